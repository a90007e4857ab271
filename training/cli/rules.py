"""Check a rule file, or replay it on labelled tickets.

Examples:
    triage rules check my-rules.toml
    triage rules replay tickets.csv --rules my-rules.toml
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.terminal import Family, JsonOption, argument, option, print_json, print_result, print_table, progress
from models.triager import Triager
from training.cli.options import DataOptions, read_data_of_people
from training.data.labels import resolve_labels
from training.evaluation.evaluate import measure
from training.evaluation.predictions import ask
from training.evaluation.rules_replay import replay
from triage.defaults import default_policy, default_rules
from triage.policy import Policy, read_policy
from triage.rules import RuleBook, check_labels, read_rules

rules = Family("rules", __doc__)


@dataclass(frozen=True, kw_only=True)
class PolicyOption(JsonOption):
    """The option of both verbs."""

    policy: Path | None = option("policy file (default: the default policy)", None, "FILE")


@dataclass(frozen=True, kw_only=True)
class CheckOptions(PolicyOption):
    """The options of `triage rules check`."""

    rules: Path | None = argument("rule file (default: the default rules)", "RULES", None)


@rules.verb("check")
def check(options: CheckOptions) -> None:
    """Read a rule file and check its labels against the policy.

    Examples:
        triage rules check
        triage rules check my-rules.toml --policy my-policy.toml
    """
    _, book = _read(options)
    kinds = [str(rule.kind) for rule in book.rules]
    bypass, fallback = kinds.count("bypass"), kinds.count("fallback")
    document = {"rules": len(kinds), "bypass": bypass, "fallback": fallback, "ok": True}
    text = f"{len(kinds)} rules are fine: {bypass} bypass, {fallback} fallback"
    print_result(document, text, as_json=options.json)


@dataclass(frozen=True, kw_only=True)
class ReplayOptions(DataOptions, PolicyOption):
    """The options of `triage rules replay`."""

    rules: Path | None = option("rule file (default: the default rules)", None, "FILE")


@rules.verb("replay")
def replay_rules(options: ReplayOptions) -> None:
    """Measure precision and coverage of each rule on labelled tickets.

    Examples:
        triage rules replay tickets.csv
        triage rules replay tickets.csv --rules my-rules.toml --json
    """
    policy, book = _read(options)
    dataset = resolve_labels(read_data_of_people(options, policy), policy, skip_bad_rows=options.skip_bad_rows)
    with progress(len(dataset), "replaying") as bar:
        lines = replay(book, policy, dataset.rows, bar.update)
    triager = Triager(policy=policy, rules=book)
    measured = measure(triager, ask(triager, dataset.rows))
    alone = {target: values["baselines"]["rules only"] for target, values in measured["targets"].items()}
    if options.json:
        print_json({"rows": len(dataset), "rules": lines, "targets": alone, "route": measured["route"]})
        return
    for target, values in alone.items():
        right, f1 = values["accuracy"], values["macro_f1"]
        count = sum(target in row.labels for row in dataset.rows)
        print(f"\n{target}: rules alone are right on {right:.3f} of {count} tickets, macro-F1 {f1:.3f}\n")
        print_table(
            ["rule", "kind", "label", "spoke", "coverage", "precision"],
            [
                [line["name"], line["kind"], one["label"], one["spoke"], one["coverage"], one["precision"]]
                for line in lines
                if (one := line["targets"].get(target)) is not None
            ],
        )


def _read(options: CheckOptions | ReplayOptions) -> tuple[Policy, RuleBook]:
    policy = read_policy(options.policy) if options.policy else default_policy()
    book = read_rules(options.rules) if options.rules else default_rules()
    check_labels(book, policy.known_labels, str(options.rules or "the default rules"))
    return policy, book
