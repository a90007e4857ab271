"""Cold start: accuracy on unseen organisations with 0 to 16 tickets a label; and a category added with 8 tickets.

Run as `python bench/quality_cold.py datasets/tickets.jsonl`. Examples come from organisations that are not measured on.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.bundle.bundle import Bundle, load_bundle
from models.encoder import Encoder, OnnxEncoder
from models.terminal import log, table
from models.toml_files import dump_policy
from models.triager import Triager
from training.cold_start.extend import extend
from training.cold_start.start import prototypes, suggesting
from training.data.dataset import LabelledTicket, read_dataset
from training.encoders.cache import CachedEncoder
from training.encoders.onnx_export import DEFAULT_ENCODER, exported_encoder
from training.evaluation.evaluate import evaluate
from training.pipeline import train
from training.task import TrainSettings
from triage.defaults import default_policy, default_rules
from triage.policy import Policy

UNSEEN = ("asterin", "halden", "kornblum", "notewell", "vantor", "velora")
TARGETS = ("tier", "category")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--unseen", nargs="*", default=UNSEEN, help="organisations to measure on")
    parser.add_argument("--examples", nargs="*", type=int, default=(0, 4, 8, 16), help="tickets a label")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--added", nargs="*", default=("security", "printing", "email"), help="categories to add")
    parser.add_argument("--history", type=int, default=1500, help="tickets to train on before a category is added")
    options = parser.parse_args()
    policy, encoder = default_policy(), CachedEncoder(OnnxEncoder(exported_encoder(DEFAULT_ENCODER)))
    rows = read_dataset([options.data], {"group": "organisation"}).rows
    others = [row for row in rows if row.group not in options.unseen]
    unseen = [row for row in rows if row.group in options.unseen]
    ladder = list(_ladder(others, unseen, policy, encoder, options))
    header = ["target", "tickets a label", "model", "route", "ECE", "rules only", "majority", "seconds"]
    print(table(header, sorted(ladder, key=lambda row: (TARGETS.index(row[0]), row[1]))))
    print()
    header = [
        "added with 8",
        "found",
        "precision",
        "others kept",
        "accuracy before",
        "after",
        "ECE before",
        "after ",
        "s",
    ]
    print(table(header, [_added(label, others, unseen, policy, encoder, options) for label in options.added]))


def _ladder(
    others: Sequence[LabelledTicket], unseen: Sequence[LabelledTicket], policy: Policy, encoder: Encoder, options: Any
) -> Iterator[list[Any]]:
    for count in options.examples:
        runs = []
        for seed in range(options.seeds if count else 1):
            for target in TARGETS:
                given = _sample(others, policy, target, count, seed)
                began = time.perf_counter()
                made = prototypes(given, policy, encoder)
                spent = time.perf_counter() - began
                bundle = Bundle(made.model, encoder, suggesting(made.model), policy, default_rules())
                runs.append((target, evaluate(Triager(bundle), unseen)["targets"][target], spent))
        for target in TARGETS:
            own = [(values, spent) for name, values, spent in runs if name == target]
            figures = [[v["accuracy"], v["final_accuracy"], v["ece"], v["baselines"]["rules only"]["accuracy"]]
                       for v, _ in own]  # fmt: skip
            majority = max(policy.labels(target), key=lambda label: sum(row.labels[target] == label for row in others))
            share = float(np.mean([row.labels[target] == majority for row in unseen]))
            yield [target, count, *np.mean(figures, axis=0).tolist(), share, float(np.mean([s for _, s in own]))]


def _sample(rows: Sequence[LabelledTicket], policy: Policy, target: str, count: int, seed: int) -> list[LabelledTicket]:
    """Draw so many tickets of each label of a target; what they say of the other target comes along."""
    rng = np.random.default_rng(seed)
    places = [
        rng.choice([at for at, row in enumerate(rows) if row.labels[target] == label], count, replace=False)
        for label in policy.labels(target)
    ]
    return [rows[int(at)] for at in np.concatenate(places)] if count else []


def _added(
    label: str,
    others: Sequence[LabelledTicket],
    unseen: Sequence[LabelledTicket],
    policy: Policy,
    encoder: Encoder,
    options: Any,
) -> list[Any]:
    rng = np.random.default_rng(0)
    known = [row for row in others if row.labels["category"] != label]
    chosen = rng.permutation(len(known))[: options.history]
    given = rng.choice([at for at, row in enumerate(others) if row.labels["category"] == label], 8, replace=False)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        history = _written(place / "history.jsonl", [known[int(at)] for at in chosen])
        few = _written(place / "few.jsonl", [others[int(at)] for at in given])
        (place / "policy.toml").write_text(dump_policy(policy), "utf-8")
        train(TrainSettings((history,), place / "old"), encoder=encoder, log=log)
        began = time.perf_counter()
        extend(place / "old", read_dataset([few]), place / "policy.toml", place / "new", encoder=encoder, log=log)
        spent = time.perf_counter() - began
        before, after = (load_bundle(place / name, encoder=encoder) for name in ("old", "new"))
        first, second = ([_top(found) for found in bundle.predict([row.ticket for row in unseen])]
                         for bundle in (before, after))  # fmt: skip
        old, new = (evaluate(Triager(bundle), unseen)["targets"]["category"] for bundle in (before, after))
    truly = np.array([row.labels["category"] == label for row in unseen])
    named = np.array([top == label for top in second])
    kept = np.array([a == b for a, b in zip(first, second, strict=True)])
    return [label, float(named[truly].mean()), float(truly[named].mean()), float(kept[~truly].mean()),
            old["accuracy"], new["accuracy"], old["ece"], new["ece"], spent]  # fmt: skip


def _top(found: Any) -> str:
    return str(found.top("category").label)


def _written(path: Path, rows: Sequence[LabelledTicket]) -> Path:
    told = [{"id": r.ticket.id, "subject": r.ticket.subject, "body": r.ticket.body, "channel": r.ticket.channel,
             "group": r.group, **r.labels} for r in rows]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in told), "utf-8")
    return path


if __name__ == "__main__":
    main()
