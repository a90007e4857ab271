"""Written rules: the rule book that matches tickets, read from TOML."""

from triage.rules.book import NO_RULES, Rule, RuleBook, RuleKind, check_labels
from triage.rules.toml_file import parse_rules, read_rules, rules_document

__all__ = ["NO_RULES", "Rule", "RuleBook", "RuleKind", "check_labels", "parse_rules", "read_rules", "rules_document"]
