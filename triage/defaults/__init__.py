"""The policy and the rules that a base install routes by."""

from __future__ import annotations

from importlib.resources import files

from triage.policy.model import Policy
from triage.policy.toml_file import parse_policy
from triage.rules.book import RuleBook
from triage.rules.toml_file import parse_rules


def default_policy() -> Policy:
    """Return the shipped policy: tiers L0 to L4, eleven categories and their resolver groups."""
    return parse_policy(files(__name__).joinpath("policy.toml").read_text("utf-8"), where="default policy.toml")


def default_rules() -> RuleBook:
    """Return the shipped rules."""
    return parse_rules(files(__name__).joinpath("rules.toml").read_text("utf-8"), where="default rules.toml")
