"""Written rules: the rule book that matches tickets, read from and written to TOML."""

from triage.rules.book import NO_RULES, Rule, RuleBook, RuleKind, check_labels
from triage.rules.toml_file import dump_rules, parse_rules, read_rules

__all__ = ["NO_RULES", "Rule", "RuleBook", "RuleKind", "check_labels", "dump_rules", "parse_rules", "read_rules"]
