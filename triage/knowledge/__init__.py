"""Knowledge that is handed down: what higher tiers found, as proposals and accepted entries, and which ticket fits."""

from triage.knowledge.entry import (
    ARTICLE,
    KINDS,
    MAX_ENTRY_CHARS,
    SCRIPT,
    Dismissal,
    Effect,
    Entry,
    Proposal,
    Report,
    parse_entry,
)
from triage.knowledge.match import Suggestion, score, suggestions, words_of

__all__ = [
    "ARTICLE",
    "KINDS",
    "MAX_ENTRY_CHARS",
    "SCRIPT",
    "Dismissal",
    "Effect",
    "Entry",
    "Proposal",
    "Report",
    "Suggestion",
    "parse_entry",
    "score",
    "suggestions",
    "words_of",
]
