"""An evaluation printed for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.terminal import say, table


def show_measured(measured: Mapping[str, Any]) -> None:
    """Print an evaluation for people."""
    targets = measured["targets"]
    header = ["target", "tickets", "accuracy", "macro-F1", "ECE", "AURC", "decided", "wrong of those"]
    keys = ("rows", "accuracy", "macro_f1", "ece", "aurc", "coverage", "selective_risk")
    say(table(header, [[target, *(values[key] for key in keys)] for target, values in targets.items()]))
    for target, values in targets.items():
        say(f"\n{target}: baselines")
        rows = [[name, figures["accuracy"], figures["macro_f1"]] for name, figures in values["baselines"].items()]
        say(
            table(
                ["", "accuracy", "macro-F1"],
                [*rows, ["this bundle", values["accuracy"], values["macro_f1"]]],
                indent="  ",
            )
        )
        say(f"\n{target}: right, wrong, left to people, by threshold")
        lines = [[f"{row['threshold']:.2f}", row["right"], row["wrong"], row["none"]] for row in values["thresholds"]]
        say(table(["at", "right", "wrong", "none"], lines, indent="  "))
        weakest = sorted((row for row in values["per_class"] if row["rows"]), key=lambda row: row["f1"])[:12]
        say(f"\n{target}: labels, the weakest first")
        lines = [[row["label"], row["rows"], row["precision"], row["recall"], row["f1"]] for row in weakest]
        say(table(["label", "tickets", "precision", "recall", "F1"], lines, indent="  "))
        if "misses" in values:
            misses = values["misses"]
            say(f"  missed by one tier {misses['off_by_one']:.3f}, by two or more {misses['severe']:.3f}")
        if "label_shift" in values:
            _show_shift(target, values["label_shift"])
        if values["unknown_labels"]:
            say(f"  macro-F1 over the labels that the bundle knows: {values['macro_f1_known']:.3f}")
        for row in values["unknown_labels"]:
            say(f"  the bundle does not know {row['label']!r}: {row['rows']} tickets count as wrong")
    route, held = measured["route"], measured["abstained"]
    automatic, wrong, right = (f"{route[key]:.3f}" for key in ("coverage", "risk", "accuracy"))
    say(f"\nroute: {automatic} automatic, {wrong} of those wrong; {right} right over all")
    say(
        f"{held['rows']} tickets left undecided: rules are right on {held['rule_accuracy']:.3f}, "
        f"the model's guess on {held['model_accuracy']:.3f}, the default on {held['default_accuracy']:.3f}"
    )
    say("sources: " + ", ".join(f"{name} {count}" for name, count in sorted(measured["sources"].items())))
    say("reasons: " + ", ".join(f"{name} {count}" for name, count in sorted(measured["reasons"].items())))


def _show_shift(target: str, shift: Mapping[str, Any]) -> None:
    say(f"\n{target}: beliefs corrected for the shares that the policy expects, and as they were learned")
    keys = ("accuracy", "ece")
    header = ["tickets", "correction", "accuracy", "ECE"]
    rows = [
        [tickets, correction, *(shift[key][correction][figure] for figure in keys)]
        for tickets, key in (("as they came", "as_it_came"), ("weighted to the shares", "as_expected"))
        for correction in ("with", "without")
    ]
    say(table(header, rows, indent="  "))
