"""The desk's policy: tiers, categories, resolver groups and what goes with them, read from TOML."""

from triage.policy.effort import Effort
from triage.policy.escalation import EscalationPolicy, Scope, Skill
from triage.policy.model import AttentionRoute, Category, GatePolicy, Label, Legal, Policy, ResolverGroup, Tier
from triage.policy.questions import BIAS, WORDS, Choice, Option, Question, Statement
from triage.policy.toml_file import parse_policy, policy_document, read_policy

__all__ = [
    "BIAS",
    "WORDS",
    "AttentionRoute",
    "Category",
    "Choice",
    "Effort",
    "EscalationPolicy",
    "GatePolicy",
    "Label",
    "Legal",
    "Option",
    "Policy",
    "Question",
    "ResolverGroup",
    "Scope",
    "Skill",
    "Statement",
    "Tier",
    "parse_policy",
    "policy_document",
    "read_policy",
]
