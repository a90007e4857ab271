"""Learning from reviews: how right a model is at an organisation that it never saw, once people reviewed tickets there.

Run as `python -m bench.learning_from_reviews DATA --group COLUMN`. The model is fitted once, cross-fitted over the
groups: what is measured of an organisation comes from a model that saw none of its tickets. Its first tickets in the
order of time count as reviewed; the later ones are measured.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.encoder import OnnxEncoder
from models.heads.head import Probabilities
from models.reference.reviews import Reviewed, ReviewMemory
from models.terminal import print_json, table
from training.data.dataset import read_dataset
from training.data.labels import resolve_labels
from training.encoders.cache import CachedEncoder
from training.encoders.onnx_export import DEFAULT_ENCODER, exported_encoder
from training.ensemble.model import fit_model
from training.ensemble.sample import Sample
from triage.defaults import default_policy, default_rules

REVIEWS = (0, 50, 100)
SURE = 0.8
"""Confidence from which an answer counts as one that might be automatic, where the model alone says the same."""


@dataclass(frozen=True)
class Answers:
    """What a model says of the tickets of one target.

    Attributes:
        vectors: Embeddings, float32 of shape [n, dim].
        probabilities: Of shape [n, classes], by a model that did not see the ticket's organisation.
        label_ids: The right labels, int64 of shape [n]; -1 where there is none.
        places: Positions of each organisation's tickets, in the order of time.
    """

    vectors: NDArray[np.float32]
    probabilities: Probabilities
    label_ids: NDArray[np.int64]
    places: Sequence[NDArray[np.int64]]


def figures(answers: Answers, reviews: int, after: int) -> dict[str, float]:
    """Return figures on the tickets after the first `after` of each organisation, with so many of the first reviewed.

    Returns:
        Means over organisations: ``accuracy``, ``log_loss``, ``sure`` (share of answers with a confidence of at least
        `SURE`), and ``wrong_when_sure``, over all tickets.
    """
    right, losses, sure, wrong = [], [], [], 0
    for organisation in answers.places:
        known = organisation[answers.label_ids[organisation] >= 0]
        first, later = known[:reviews], known[after:]
        predicted = _probabilities(answers, first, later)
        labels = answers.label_ids[later]
        hit = predicted.argmax(axis=1) == labels
        own = answers.probabilities[later]
        same = predicted.argmax(axis=1) == own.argmax(axis=1)
        is_sure = same & (predicted.max(axis=1) >= SURE) & (own.max(axis=1) >= SURE)
        right.append(float(hit.mean()))
        losses.append(float(-np.log(predicted[np.arange(len(labels)), labels] + 1e-6).mean()))
        sure.append(is_sure)
        wrong += int((is_sure & ~hit).sum())
    decided = np.concatenate(sure)
    return {
        "accuracy": float(np.mean(right)),
        "log_loss": float(np.mean(losses)),
        "sure": float(decided.mean()),
        "wrong_when_sure": wrong / max(1, int(decided.sum())),
        "worse_organisations": float(
            np.mean([after < before for before, after in zip(_plain(answers, after), right, strict=True)])
        ),
    }


def _plain(answers: Answers, after: int) -> list[float]:
    found = []
    for organisation in answers.places:
        later = organisation[answers.label_ids[organisation] >= 0][after:]
        found.append(float((answers.probabilities[later].argmax(axis=1) == answers.label_ids[later]).mean()))
    return found


def _probabilities(answers: Answers, first: NDArray[np.int64], later: NDArray[np.int64]) -> Probabilities:
    reviewed = Reviewed(
        answers.vectors[first],
        {"it": answers.probabilities[first]},
        {"it": answers.label_ids[first]},
        np.zeros(len(first), dtype=bool),
    )
    return ReviewMemory.of(reviewed).corrected(answers.vectors[later], {"it": answers.probabilities[later]})["it"]


def answers_of(data: Sequence[Path], group: str, encoder_name: str) -> dict[str, Answers]:
    """Fit a model, and return by target what it says of organisations that it did not see."""
    policy = default_policy()
    rows = resolve_labels(read_dataset(data, {"group": group}), policy).rows
    vectors = CachedEncoder(OnnxEncoder(exported_encoder(encoder_name))).encode([row.ticket.text for row in rows])
    names = sorted({row.group or "" for row in rows})
    groups = np.array([names.index(row.group or "") for row in rows])
    fitted = fit_model(Sample.of(rows, vectors, groups, by_organisation=True), policy, rules=default_rules())
    moments = np.array([row.ticket.opened_at.timestamp() if row.ticket.opened_at else 0.0 for row in rows])
    order = np.argsort(moments, kind="stable")
    places = [order[groups[order] == number] for number in range(len(names))]
    return {
        target: Answers(vectors, values, fitted.sample.label_ids(target), places)
        for target, values in fitted.probabilities.items()
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; JSON with `--json`."""
    parser = argparse.ArgumentParser(prog="python -m bench.learning_from_reviews", description=__doc__)
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--group", default="organisation", help="column of the groups (default %(default)s)")
    parser.add_argument("--encoder", default=DEFAULT_ENCODER)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    found = {
        target: {str(count): figures(answers, count, max(REVIEWS)) for count in REVIEWS}
        for target, answers in answers_of(options.data, options.group, options.encoder).items()
    }
    if options.json:
        print_json(found)
        return 0
    for target, by_count in found.items():
        print(f"\n{target}: tickets after the first {max(REVIEWS)} of each organisation")
        columns = list(next(iter(by_count.values())))
        print(
            table(["reviews", *columns], [[count, *values.values()] for count, values in by_count.items()], indent="  ")
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
