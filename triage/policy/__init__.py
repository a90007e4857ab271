"""The desk's policy: tiers, categories, resolver groups and what goes with them, read from and written to TOML."""

from triage.policy.model import Category, Policy, ResolverGroup, Tier
from triage.policy.toml_file import dump_policy, parse_policy, read_policy

__all__ = ["Category", "Policy", "ResolverGroup", "Tier", "dump_policy", "parse_policy", "read_policy"]
