"""The policy and the rules that a base install routes by."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from triage.policy import Policy, parse_policy
from triage.rules import RuleBook, parse_rules


@cache
def default_policy() -> Policy:
    """Return the shipped policy: tiers L0 to L4, eleven categories and their resolver groups."""
    return parse_policy(files(__name__).joinpath("policy.toml").read_text("utf-8"), where="default policy.toml")


@cache
def default_rules() -> RuleBook:
    """Return the shipped rules."""
    return parse_rules(files(__name__).joinpath("rules.toml").read_text("utf-8"), where="default rules.toml")
