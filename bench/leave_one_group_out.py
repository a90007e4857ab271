"""Leave one group out: how a model fares at organisations that it has never seen, and baselines.

Run as `python -m bench.leave_one_group_out DATA --group COLUMN`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from models.bundle.baselines import baselines_of
from models.bundle.bundle import Bundle
from models.encoder import Encoder, OnnxEncoder
from models.terminal import print_json, table
from models.triager import Triager
from training.data.dataset import LabelledTicket, read_dataset
from training.data.labels import resolve_labels
from training.encoders.cache import CachedEncoder
from training.encoders.onnx_export import DEFAULT_ENCODER, exported_encoder
from training.ensemble.model import fit_model
from training.ensemble.sample import Sample, labels_of
from training.evaluation.evaluate import measure
from training.evaluation.predictions import ask
from training.gate.gate import RiskTarget, build_gate, calibration_scores_of, languages_of
from training.gate.rule_precision import fallback_floors
from triage.defaults import default_policy, default_rules
from triage.errors import InvalidRequest
from triage.policy import Policy

MEANS = ("accuracy", "final_accuracy", "macro_f1", "ece", "coverage", "selective_risk")


@dataclass(frozen=True)
class Options:
    """What is measured.

    Attributes:
        target_risk: Highest error rate among automatic decisions.
        confidence: Probability with which it is to hold, were the organisations alike.
        seed: Of folds and solvers.
    """

    target_risk: float = 0.10
    confidence: float = 0.95
    seed: int = 0


def leave_one_out(
    rows: Sequence[LabelledTicket],
    policy: Policy,
    encoder: Encoder,
    options: Options = Options(),
    *,
    only: Sequence[str] = (),
) -> dict[str, Any]:
    """Learn from all groups but one, decide the one, for each group in turn.

    Args:
        rows: With the policy's own labels and a group each.
        policy: Of the helpdesk.
        encoder: Remembers what it has encoded.
        options: What is measured.
        only: Groups to leave out; empty for all.

    Returns:
        ``groups``: figures by group and target; ``targets``: their means over groups, and the baselines'.

    Raises:
        InvalidRequest: If there are fewer than three groups.
    """
    names = sorted({row.group for row in rows if row.group is not None})
    if len(names) < 3:
        raise InvalidRequest(
            f"{len(names)} groups found: leaving one out takes at least three; name the column by --group"
        )
    vectors = encoder.encode([row.ticket.text for row in rows])
    numbers = np.array([names.index(row.group) if row.group is not None else -1 - at for at, row in enumerate(rows)])
    sample = Sample.of(rows, vectors, numbers, by_organisation=True)
    figures = {}
    for name in only or names:
        figures[name] = _without(name, sample, policy, encoder=encoder, options=options)
        sys.stderr.write(f"· {name}: {_brief(figures[name])}\n")
    return {"groups": figures, "targets": _means(figures, options.target_risk)}


def _without(name: str, sample: Sample, policy: Policy, encoder: Encoder, options: Options) -> dict[str, Any]:
    held = np.array([row.group == name for row in sample.rows])
    known = sample.take(np.flatnonzero(~held))
    known = replace(known, labels=labels_of(known.rows))
    fitted = fit_model(known, policy, rules=default_rules(), seed=options.seed)
    calibration_scores = calibration_scores_of(known.rows, fitted.probabilities, fitted.features, fitted.model)
    gate, _, _ = build_gate(
        calibration_scores,
        policy,
        languages_of(known.rows, options.seed),
        RiskTarget(target_risk=options.target_risk, confidence=options.confidence, grouped=True),
    )
    rules = default_rules()
    rules = rules.measured({}, fallback_floors(rules, policy, calibration_scores, gate))
    bundle = Bundle(fitted.model, encoder, gate=gate, policy=policy, rules=rules)
    triager = Triager(bundle)
    measured = measure(triager, ask(triager, sample.take(np.flatnonzero(held)).rows), baselines_of(bundle))
    targets: dict[str, Any] = measured["targets"]
    return targets


def _brief(targets: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{target} {values['accuracy']:.3f}, {values['coverage']:.2f} decided, {values['selective_risk']:.3f} wrong"
        for target, values in targets.items()
    )


def _means(groups: Mapping[str, Mapping[str, Any]], target_risk: float) -> dict[str, Any]:
    """Average over groups; the risk over all tickets decided, and the share of groups that stayed within the target."""
    found: dict[str, Any] = {}
    for target in next(iter(groups.values())):
        per_group = [targets[target] for targets in groups.values() if target in targets]
        found[target] = {key: float(np.mean([values[key] for values in per_group])) for key in MEANS}
        kept = np.array([values["coverage"] * values["rows"] for values in per_group])
        wrong = np.array([values["selective_risk"] for values in per_group]) * kept
        found[target]["selective_risk"] = float(wrong.sum() / kept.sum()) if kept.sum() else 0.0
        kept_it = [values["selective_risk"] <= target_risk for values in per_group]
        found[target]["groups_within_target"] = float(np.mean(kept_it))
        found[target]["worst_group_risk"] = max(values["selective_risk"] for values in per_group)
        found[target]["baselines"] = {
            baseline: float(np.mean([values["baselines"][baseline]["accuracy"] for values in per_group]))
            for baseline in per_group[0]["baselines"]
        }
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; JSON with `--json`."""
    parser = argparse.ArgumentParser(prog="python -m bench.leave_one_group_out", description=__doc__)
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--group", default="organisation", help="column of the groups (default %(default)s)")
    parser.add_argument("--encoder", default=DEFAULT_ENCODER)
    parser.add_argument("--target-risk", type=float, default=0.10)
    parser.add_argument("--only", nargs="*", default=[], help="leave out only these groups")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    policy = default_policy()
    dataset = resolve_labels(read_dataset(options.data, {"group": options.group}), policy)
    encoder = CachedEncoder(OnnxEncoder(exported_encoder(options.encoder)))
    found = leave_one_out(dataset.rows, policy, encoder, Options(options.target_risk), only=options.only)
    if options.json:
        print_json(found)
        return 0
    for target, means in found["targets"].items():
        print(f"\n{target}: mean over {len(found['groups'])} groups, each decided by a model that never saw it")
        print(table(["", "accuracy"], [*means["baselines"].items(), ["this model", means["accuracy"]]], indent="  "))
        decided, wrong = means["coverage"], means["selective_risk"]
        print(f"  decided {decided:.3f} at target risk {options.target_risk}: {wrong:.3f} wrong of those")
        within, worst = means["groups_within_target"], means["worst_group_risk"]
        print(f"  groups whose own error rate stayed within the target: {within:.3f}; the worst had {worst:.3f}")
        print(f"  right in the end, rules included: {means['final_accuracy']:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
