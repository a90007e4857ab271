"""What requests about a ticket over time look like, and what they are answered with."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.http.schemas import READABLE, Moment, Name, Text
from models.wire import DecisionDocument

MAX_EVENT_CHARS = 20_000
"""Characters of an event that are kept; a longer text is cut between head and tail, as a ticket's is."""
MAX_NEEDS = 20
MAX_ANSWERS = 10
MAX_QUESTION_CHARS = 2_000
_IN_ORDER = "not before the last event or the ticket's opening, nor more than a year ahead"
_CUT = f"images in it are left out, and of more than {MAX_EVENT_CHARS} characters the middle is, which is said"


def _of_one_kind(schema: dict[str, Any]) -> None:
    """Say in the schema which fields belong to which kind of event."""
    nothing = {"type": "null"}
    route = dict.fromkeys(("tier", "category", "resolver_group", "status"), nothing)
    schema["anyOf"] = [
        {
            "properties": {
                "kind": {"enum": ["comment", "answer"]},
                "outcome": nothing,
                **route,
                "text": {"type": "string", "pattern": READABLE},
            },
            "required": ["text"],
        },
        {"properties": {"kind": {"const": "attempt"}, "outcome": {"type": "string"}, **route}, "required": ["outcome"]},
        {"properties": {"kind": {"const": "status"}, "outcome": nothing}},
    ]


class EventIn(BaseModel):
    """Something that happened to a ticket: a comment, an attempt and its outcome, an answer, or a status."""

    model_config = ConfigDict(extra="forbid", title="TicketEvent", json_schema_extra=_of_one_kind)

    id: Annotated[Name, Field(min_length=1, description="the helpdesk's own id; the same one is taken once")]
    kind: Literal["comment", "attempt", "answer", "status"]
    at: Moment = Field(description=f"when it happened, RFC 3339; {_IN_ORDER}")
    text: Text | None = Field(None, description=f"what was written; {_CUT}")
    outcome: Literal["worked", "failed", "partly"] | None = Field(None, description="of an attempt")
    status: Name | None = Field(None, description="of a status: as the helpdesk calls it")
    priority: Name | None = Field(None, description="the priority class from then on, as the policy names it")
    tier: Name | None = Field(None, description="of a status: the tier that a person put it at")
    category: Name | None = Field(None, description="of a status: the category that a person named")
    resolver_group: Name | None = Field(None, description="of a status: the group that a person assigned it to")
    needs: Annotated[list[Name], Field(max_length=MAX_NEEDS)] = Field(
        default_factory=list, description="names of the policy's skills that somebody said are needed"
    )


class RouteOut(BaseModel):
    """Where a ticket was from some moment on."""

    model_config = ConfigDict(from_attributes=True)

    tier: str | None
    category: str | None
    resolver_group: str | None
    at: datetime
    by: Literal["machine", "person"]
    automatic: bool = Field(description="whether it was set without a person")
    because: str
    event_id: str | None = Field(description="the event that led to it")


class EventOut(BaseModel):
    """What became of an event."""

    ticket_id: str
    event_id: str
    duplicate: bool = Field(description="true: it was taken before; nothing was changed")
    moved: bool = Field(description="whether the route changed")
    route: RouteOut = Field(description="where the ticket is now")
    decision: DecisionDocument | None = Field(
        description="what would be decided about the whole thread; null for a duplicate"
    )


class CriterionOut(BaseModel):
    """One criterion and how it stands."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    score: float = Field(description="in its own unit: a probability, a share, a count")
    bar: float = Field(description="from which score on it is met")
    met: bool
    tier: str | None = Field(description="the tier that it asks for")
    because: str
    quote: str = Field(description="the words of the ticket that say so")


class EscalationIn(BaseModel):
    """When to judge; now, where nothing is stated."""

    model_config = ConfigDict(extra="forbid", title="EscalationQuestion")

    at: Moment | None = Field(None, description="the moment to judge at, RFC 3339")


class EscalationOut(BaseModel):
    """Whether a ticket stays at its tier or moves, and by which criterion."""

    ticket_id: str
    verdict: Literal["stay", "move"]
    tier: str | None = Field(description="where it should be now")
    resolver_group: str | None = Field(description="who should have it now")
    by: str | None = Field(description="the criterion that decides")
    because: str
    criteria: list[CriterionOut]
    next_check_at: datetime | None = Field(
        description="when to ask again: when the tier's time budget is spent, counted in its hours, or `check_min` "
        "later where it has none or has spent it; null where the policy lists no such tier, or its `hours` name no time"
    )
    held: bool = Field(description="true: it stays because a person put it there")
    advised: str | None = Field(description="the tier that the criteria ask for where it is held")
    owner: str | None = Field(description="who decides now, because the ticket went to and fro too often")
    bounces: int = Field(ge=0, description="how often it returned to a group that had it before")


class PacketEntryOut(BaseModel):
    """One line of a hand-over packet."""

    model_config = ConfigDict(from_attributes=True)

    item: str = Field(description="what must be known, as the policy says it")
    quotes: list[str] = Field(description="the words of the ticket that say it")
    ask: str = Field(description="what to ask of it that the ticket does not say; empty where it says all")


class PacketOut(BaseModel):
    """What goes with a ticket over the edge that it is about to take."""

    ticket_id: str
    from_tier: str | None
    to_tier: str | None
    withheld: bool = Field(description="its words are kept from this key")
    redacted: bool = Field(description="true: it goes to an outside party, and personal data are taken out")
    entries: list[PacketEntryOut]
    missing: list[str] = Field(description="questions that are still open, in the requester's language where known")
    text: str = Field(description="the packet as text to paste")


class TimelineOut(BaseModel):
    """One entry of a ticket's timeline."""

    at: datetime
    what: Literal["decision", "feedback", "comment", "attempt", "answer", "status", "route"]
    by: str = Field(description="machine, person, or the agent who spoke")
    words: str = Field(description="what was said or done; empty where the ticket is withheld")
    tier: str | None = None
    category: str | None = None
    resolver_group: str | None = None


class TicketViewOut(BaseModel):
    """A ticket with its routes and everything that happened to it."""

    ticket_id: str
    withheld: bool = Field(description="its words are kept from this key")
    route: RouteOut
    bounces: int = Field(ge=0, description="how often it returned to a group that had it before")
    bounce_cost: float = Field(ge=0, description="what that cost by the policy, in reassignments")
    owner: str | None = Field(description="who decides now, because the ticket went to and fro too often")
    routes: list[RouteOut]
    timeline: list[TimelineOut]
    packet: PacketOut | None = Field(
        default=None,
        description="what goes with it over the edge that it is about to take; null where its words are kept, or "
        "the service is too busy to make it",
    )


class AnswerIn(BaseModel):
    """The answer to one question: one of the policy's answers, or the requester's own words, or both."""

    model_config = ConfigDict(
        extra="forbid",
        title="Answer",
        json_schema_extra={
            "anyOf": [
                {"required": ["answer"], "properties": {"answer": {"type": "string"}}},
                {"required": ["text"], "properties": {"text": {"type": "string", "pattern": READABLE}}},
            ]
        },
    )

    question: Annotated[
        Text,
        Field(
            min_length=1,
            max_length=MAX_QUESTION_CHARS,
            description="id of the policy's question, the target of its choice, or the question as asked",
        ),
    ]
    answer: Name | None = Field(
        None, description="one of the answers that the policy lists for it; of a choice a label, its name or statement"
    )
    text: Text | None = Field(None, description=f"in the requester's words; {_CUT}")


class AnswersIn(BaseModel):
    """What a requester answered."""

    model_config = ConfigDict(extra="forbid", title="Answers")

    id: Annotated[Name, Field(min_length=1, description="the helpdesk's own id; the same one is taken once")]
    at: Moment = Field(description=f"when it was answered, RFC 3339; {_IN_ORDER}")
    answers: Annotated[list[AnswerIn], Field(min_length=1, max_length=MAX_ANSWERS)]
