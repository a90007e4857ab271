"""`triage evaluate`: a bundle measured on labelled tickets, and an evaluation printed for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.bundle.baselines import baselines_of
from models.bundle.bundle import Bundle, load_bundle
from models.terminal import JsonOption, log, option, print_json, print_table, progress, verb
from models.triager import Triager
from training.cli.options import WITHOUT_CASCADE, BundleOption, DataOptions, bundle_path, read_data
from training.data.dataset import Dataset
from training.data.labels import in_words_of
from training.encoders.cache import CachedEncoder
from training.evaluation import evaluate as measuring
from training.evaluation.champion import unseen_by

_WEAKEST = 12  # labels that a person looks at; all of them are in the JSON document


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(BundleOption, DataOptions, JsonOption):
    """The options of `triage evaluate`."""

    no_cascade: bool = option(WITHOUT_CASCADE, False)


@verb
def evaluate(options: EvaluateOptions) -> None:
    """Replay labelled tickets through a bundle and measure it, with baselines beside it.

    Examples:
        triage evaluate my-bundle later.csv
        triage evaluate helpdesk-triage@champion later.csv --map group=organisation --json
    """
    path = bundle_path(options.bundle)
    triager, bundle = open_for_measuring(path, cascade=not options.no_cascade)
    dataset = read_data(options, bundle.policy)
    known = training_tickets(path, bundle, dataset)
    warn_of(known, dataset)
    with progress(len(dataset), "deciding") as bar:
        measured = measuring.evaluate(
            triager, in_words_of(triager.policy, dataset), baselines=baselines_of(bundle), progress=bar.update
        )
    if options.json:
        print_json({**measured, "learned_from": known})
    else:
        print(f"{measured['rows']} tickets\n")
        print_measured(measured)


def open_for_measuring(path: Path, *, cascade: bool = True) -> tuple[Triager, Bundle]:
    """Load a bundle whose encoder remembers texts: baselines and reports ask for the same ones again.

    Args:
        path: Its folder.
        cascade: Ask its first stage and its prefilter of screening first.

    Raises:
        BundleError: If it cannot be used.
    """
    bundle = load_bundle(path)
    bundle = bundle if cascade else bundle.without_cascade()
    bundle.encoder = CachedEncoder(bundle.encoder)
    return Triager(bundle), bundle


def warn_of_training_tickets(path: Path, bundle: Bundle, dataset: Dataset) -> str:
    """Tell on stderr how many of the tickets a bundle was trained on, and return what was told; empty for none.

    They are known by their text and by near-duplicates of it, not by their id: other desks number theirs alike.

    Raises:
        BundleError: If the bundle was altered.
    """
    return warn_of(training_tickets(path, bundle, dataset), dataset)


def training_tickets(path: Path, bundle: Bundle, dataset: Dataset) -> int:
    """Count the tickets that a bundle has learned from, by their text and by near-duplicates of it.

    Raises:
        BundleError: If the bundle was altered.
    """
    return int(np.count_nonzero(~unseen_by(dataset.rows, [path], [Triager(bundle)])))


def warn_of(known: int, dataset: Dataset) -> str:
    """Tell on stderr that a bundle has learned from some of the tickets, and return what was told; empty for none."""
    if not known:
        return ""
    warning = f"the bundle has learned from {known} of these {len(dataset)} tickets: results on them flatter"
    log(warning)
    return warning


def print_measured(measured: Mapping[str, Any]) -> None:
    """Print an evaluation for people."""
    keys = ("rows", "accuracy", "macro_f1", "ece", "aurc", "coverage", "selective_risk")
    print_table(
        ["target", "tickets", "accuracy", "macro-F1", "ECE", "AURC", "decided", "wrong of those"],
        [[target, *(values[key] for key in keys)] for target, values in measured["targets"].items()],
    )
    for target, values in measured["targets"].items():
        _print_target(target, values)
    route, held = measured["route"], measured["abstained"]
    print(
        f"\nroute: {route['coverage']:.3f} automatic, {route['risk']:.3f} of those wrong; "
        f"{route['accuracy']:.3f} right over all"
    )
    print(
        f"{held['rows']} tickets left undecided: rules are right on {held['rule_accuracy']:.3f}, "
        f"the model's guess on {held['model_accuracy']:.3f}, the default on {held['default_accuracy']:.3f}"
    )
    for what in ("sources", "reasons"):
        print(f"{what}: " + ", ".join(f"{name} {count}" for name, count in sorted(measured[what].items())))


def _print_target(target: str, values: Mapping[str, Any]) -> None:
    print(f"\n{target}: baselines")
    rivals = {**values["baselines"], "this bundle": values}
    print_table(
        ["", "accuracy", "macro-F1"], [[name, one["accuracy"], one["macro_f1"]] for name, one in rivals.items()], 2
    )
    print(f"\n{target}: right, wrong, left to people, by threshold")
    lines = [[f"{row['threshold']:.2f}", row["right"], row["wrong"], row["none"]] for row in values["thresholds"]]
    print_table(["at", "right", "wrong", "none"], lines, 2)
    print(f"\n{target}: labels, the weakest first")
    weakest = sorted((row for row in values["per_class"] if row["rows"]), key=lambda row: row["f1"])[:_WEAKEST]
    keys = ("label", "rows", "precision", "recall", "f1")
    print_table(["label", "tickets", "precision", "recall", "F1"], [[row[key] for key in keys] for row in weakest], 2)
    print(_averaged(values["per_class"]))
    _print_levels_and_guards(target, values)
    if "misses" in values:
        misses = values["misses"]
        print(f"  missed by one tier {misses['off_by_one']:.3f}, by two or more {misses['severe']:.3f}")
    if "label_shift" in values:
        _print_label_shift(target, values["label_shift"])
    if values["unknown_labels"]:
        print(f"  macro-F1 over the labels that the bundle knows: {values['macro_f1_known']:.3f}")
    for row in values["unknown_labels"]:
        own = f"; it has {row['known_as']!r}, so write it as that" if "known_as" in row else ""
        print(f"  the bundle does not know {row['label']!r}: {row['rows']} tickets count as wrong{own}")


def _averaged(per_class: Sequence[Mapping[str, Any]]) -> str:
    """Say over which labels macro-F1 is the mean: those that no ticket has are in no table."""
    unseen = [str(row["label"]) for row in per_class if not row["rows"]]
    named = ", ".join(unseen[:_WEAKEST]) + (" …" if len(unseen) > _WEAKEST else "")
    without = f", {len(unseen)} of them named for tickets of others only, which count as 0: {named}" if unseen else ""
    return f"  macro-F1 is the mean of {len(per_class)} labels{without}"


def _print_levels_and_guards(target: str, values: Mapping[str, Any]) -> None:
    tables = (
        ("by_level", "by level of the label, as written and as learned",
         ("level", "rows", "accuracy", "learned_rows", "learned_accuracy"),
         ("level", "tickets", "accuracy", "as learned", "accuracy")),
        ("guards", "labels that must not be missed",
         ("label", "min_recall", "rows", "decided_right", "left_to_people", "missed"),
         ("label", "recall to keep", "tickets", "decided right", "left to people", "missed")),
    )  # fmt: skip
    for name, title, keys, header in tables:
        if values.get(name):
            print(f"\n{target}: {title}")
            print_table(list(header), [[row[key] for key in keys] for row in values[name]], 2)


def _print_label_shift(target: str, shift: Mapping[str, Any]) -> None:
    print(f"\n{target}: probabilities corrected for the shares that the policy expects, and as they were trained")
    keys = ("accuracy", "ece")
    rows = [
        [tickets, correction, *(shift[key][correction][name] for name in keys)]
        for tickets, key in (("as they came", "as_it_came"), ("weighted to the shares", "as_expected"))
        for correction in ("with", "without")
    ]
    print_table(["tickets", "correction", "accuracy", "ECE"], rows, 2)
