"""What the codes in a decision mean, in words: for reports, the command line and the pages of agents alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from triage.decision import Automation, Reason, Source


@dataclass(frozen=True)
class Wording:
    """A code in words.

    Attributes:
        phrase: A few words that continue "because …", for tables and terminals.
        sentence: A whole sentence for the agent who has the ticket open.
    """

    phrase: str
    sentence: str


REASONS: Mapping[str, Wording] = {
    Reason.CONFIDENT: Wording(
        "the model is sure enough to act on",
        "Sure enough: the promised error rate is kept on average, and this ticket is no toss-up.",
    ),
    Reason.RULE: Wording(
        "a written rule decides",
        "A written rule decides tickets like this one.",
    ),
    Reason.LOW_CONFIDENCE: Wording(
        "the model is not sure enough for the promised error rate",
        "The model is not sure enough to decide this alone and keep the error rate that it promises.",
    ),
    Reason.AMBIGUOUS: Wording(
        "two labels are nearly as likely",
        "Two answers are about equally likely. A question below may settle it.",
    ),
    Reason.OUT_OF_DISTRIBUTION: Wording(
        "it resembles nothing the model has seen",
        "This reads unlike the tickets this helpdesk has seen before.",
    ),
    Reason.UNSUPPORTED_LANGUAGE: Wording(
        "it is in a language the model was not trained on",
        "The model has not learned this language.",
    ),
    Reason.TOO_SHORT: Wording(
        "it says too little to tell",
        "Too little is said to tell. Ask first.",
    ),
    Reason.ILLEGAL_PAIR: Wording(
        "tier and category do not go together",
        "By the policy, this tier and this category never go together.",
    ),
    Reason.CLASS_EXCLUDED: Wording(
        "it resembles tickets of a label too rare to learn",
        "Similar tickets belong to a kind that is too rare to have been learned.",
    ),
    Reason.NO_HEAD: Wording(
        "the model did not learn this",
        "The model has not learned to tell this.",
    ),
    Reason.NOT_A_TICKET: Wording(
        "it is no ticket",
        "This is no ticket: nobody asks for anything in it.",
    ),
    Reason.TOO_VAGUE: Wording(
        "it does not say what is wrong",
        "It does not say what is wrong. Ask first.",
    ),
    Reason.RECALL_GUARD: Wording(
        "it may be of a kind that must not be missed",
        "The model is sure enough on average, but this may be of a kind that must not be missed: look for that first.",
    ),
    Reason.MODEL_UNAVAILABLE: Wording(
        "no model is in use",
        "No model is in use. This is what the written rules say.",
    ),
    Reason.NOT_EARNED: Wording(
        "the model is sure, but has not earned autonomy here yet",
        "Sure enough, but autonomy has to be earned first: reviews like yours open it.",
    ),
    Reason.SET_BY_PERSON: Wording(
        "a person has set the route",
        "Somebody has set the route of this ticket. That stands; what the machine would say now is only a proposal.",
    ),
    Reason.STORE_UNAVAILABLE: Wording(
        "the store could not say whether somebody has set the route",
        "The store did not answer, so that nobody could look whether somebody has set the route of this ticket.",
    ),
}

SOURCES: Mapping[str, str] = {
    Source.MODEL: "Learned from past tickets",
    Source.BYPASS_RULE: "Written rule",
    Source.FALLBACK_RULE: "Written rule",
    Source.DEFAULT: "Default route",
    Source.PERSON: "Set by a person",
}

AUTOMATION: Mapping[str, str] = {
    Automation.AUTOMATIC: "Decided",
    Automation.SUGGESTED: "Suggested – please check",
    Automation.BLANK: "No suggestion",
}


CRITERIA: Mapping[str, Wording] = {
    "access": Wording("Access", "This tier may see the ticket."),
    "expertise": Wording("Skills", "It needs no skill that this tier lacks."),
    "scope": Wording("How many are affected", "No rule on how many are affected asks for another tier."),
    "complexity": Wording("Where it belongs", "No other tier is probable enough."),
    "no_procedure": Wording("Procedure", "Nothing says that no procedure covers it."),
    "attempts": Wording("Attempts", "Not tried often enough in vain to hand it up."),
    "priority": Wording("Priority", "Its priority asks for no haste, or there is time left."),
    "time": Wording("Time", "The tier's time is not spent."),
    "ping_pong": Wording("To and fro", "It did not go to and fro too often."),
}
"""The criteria by which a ticket moves between tiers: what each is called, and what holds where it is not met."""

ATTENTION: Mapping[str, str] = {
    "safety": "Danger to people",
    "credentials": "Secrets given away, or an intruder",
    "data_exposure": "Data that others can see",
    "outage": "Many cannot work",
}
"""Kinds of what must never wait; a kind of the policy's own stands for itself."""

NO_TICKET: Mapping[str, str] = {
    "auto_reply": "an automatic reply",
    "bounce": "a report of the mail system",
    "thanks": "thanks",
    "close_request": "a request to close the ticket",
    "newsletter": "a newsletter",
    "spam": "spam",
    "empty": "empty",
    "gibberish": "text without meaning",
}


DRAWN = "drawn at random for a person to check"
"""Why a person is asked about a ticket that would have been automatic."""
MOVED = "something that happened since has moved it"
"""Why a person is asked about a ticket that was automatic at first."""
LEFT_TO_PEOPLE = "the model is sure, but the policy leaves it to people"
"""Why a person is asked about a label that the model may not act on, however sure it is."""


def phrase_of(reason: str) -> str:
    """Return a reason in a few words; a code that this version does not know stands for itself.

    Example:
        >>> phrase_of("too_short")
        'it says too little to tell'
    """
    return REASONS[reason].phrase if reason in REASONS else reason


def phrase_why_asked(reason: str, *, drawn: bool, moved: bool = False) -> str:
    """Return in a few words why a decision is not automatic.

    Args:
        reason: The reason of the decision, which is what spoke for the label where nothing else holds it back.
        drawn: Whether the ticket was drawn for a person to check.
        moved: Whether it was automatic at first, until an event moved its ticket.

    Example:
        >>> phrase_why_asked("confident", drawn=True), phrase_why_asked("confident", drawn=False, moved=True)
        ('drawn at random for a person to check', 'something that happened since has moved it')
        >>> phrase_why_asked("confident", drawn=False)
        'the model is sure, but the policy leaves it to people'
    """
    if moved and reason in (Reason.CONFIDENT, Reason.RULE):
        return MOVED
    if reason == Reason.CONFIDENT:
        return DRAWN if drawn else LEFT_TO_PEOPLE
    return phrase_of(reason)


def sentence_of(reason: str) -> str:
    """Return a reason in a sentence; a code that this version does not know stands for itself.

    Example:
        >>> sentence_of("no_head")
        'The model has not learned to tell this.'
    """
    return REASONS[reason].sentence if reason in REASONS else reason


def phrase_of_cause(because: str) -> str:
    """Return in words why the machine moved a ticket; what begins with no code that is known stands for itself.

    Example:
        >>> phrase_of_cause("attention: outage")
        'it must not wait: many cannot work'
        >>> phrase_of_cause("complexity: 0.83 for L2, at least 0.75 is needed")
        'where it belongs: 0.83 for L2, at least 0.75 is needed'
    """
    code, colon, rest = because.partition(": ")
    if code == "attention" and colon:
        kind = ATTENTION.get(rest, rest)
        return f"it must not wait: {kind[:1].lower()}{kind[1:]}"
    if code == "rule" and colon:
        return f"by the rule {rest}"
    if code in CRITERIA and colon:
        phrase = CRITERIA[code].phrase
        return f"{phrase[:1].lower()}{phrase[1:]}: {rest}"
    return phrase_of(because)


def phrase_of_rule(rule: str, source: str, automation: str) -> str | None:
    """Return in words what stands in place of a rule's name where the policy decides; None for a written rule.

    Args:
        rule: What is stated as the rule.
        source: The source of the decision.
        automation: Its automation: what the policy hands to those who may see it is never automatic, and a written rule
            of the same name is.

    Example:
        >>> phrase_of_rule("access", "bypass_rule", "suggested"), phrase_of_rule("access", "fallback_rule", "suggested")
        ('only some tiers may see it', None)
    """
    if source != Source.BYPASS_RULE:
        return None
    if rule.startswith("attention: "):
        return phrase_of_cause(rule)
    return "only some tiers may see it" if rule == "access" and automation != Automation.AUTOMATIC else None
