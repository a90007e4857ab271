"""What requests look like, and answers but for decisions, which are in `models/wire.py`."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from models.wire import DecisionDocument, RouteDocument
from triage.errors import InvalidTicket
from triage.languages.names import language_code
from triage.normalise import title_of
from triage.ticket import FIRST_YEAR, LAST_YEAR, MAX_CHANNEL_CHARS, check_moment

MAX_NAME_CHARS = 255
MAX_ATTRIBUTES = 50
MAX_ATTRIBUTE_CHARS = 1000
MAX_COMMENT_CHARS = 4000
MAX_BATCH_TICKETS = 64
_TITLE_CHARS = 90
NO_NUL = r"^[^\u0000]*$"
_BLANK = r"\s\u0000-\u001f\u007f-\u00a0\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff"
READABLE = rf"^[^\u0000]*[^{_BLANK}][^\u0000]*$"
_MAX_LANGUAGE_CHARS = 100


def _language(stated: str) -> str:
    code = language_code(stated) if len(stated) <= _MAX_LANGUAGE_CHARS else None
    if code is None:
        raise PydanticCustomError("unknown_language", "is no language that is known")
    return code


def _storable(text: str) -> str:
    if "\x00" in text:
        raise PydanticCustomError("nul", "holds a NUL character")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise PydanticCustomError("invalid_unicode", "holds a lone surrogate") from error
    return text


def _readable(text: str) -> str:
    if re.match(READABLE, text) is None:
        raise PydanticCustomError("empty", "holds nothing to read")
    return text


def _moment(value: object) -> object:
    """Read an RFC 3339 date and time; a leap second counts as the one before, none stated as UTC."""
    if not isinstance(value, str):
        raise PydanticCustomError("datetime_type", "is not a date and time as text")
    try:
        moment = datetime.fromisoformat(re.sub(r":60(?=[.Zz+-]|$)", ":59", value.strip().upper()))
    except ValueError as error:
        raise PydanticCustomError("datetime_parsing", "is not an RFC 3339 date and time") from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    try:
        check_moment("opened_at", moment)
    except InvalidTicket as error:
        raise PydanticCustomError("out_of_range", "is at the edge of the calendar") from error
    return moment


def _attribute(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        raise PydanticCustomError("finite_number", "is not a finite number")
    if isinstance(value, (int, float)):
        return repr(value)
    return value


Text = Annotated[str, AfterValidator(_storable), Field(json_schema_extra={"pattern": NO_NUL})]
Name = Annotated[Text, Field(max_length=MAX_NAME_CHARS)]
Person = Annotated[Name, Field(min_length=1), AfterValidator(_readable), Field(json_schema_extra={"pattern": READABLE})]
"""Who says or does something, as the helpdesk names its people: a name of blanks is nobody's."""
AttributeValue = Annotated[
    Text,
    Field(max_length=MAX_ATTRIBUTE_CHARS),
    BeforeValidator(_attribute),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "maxLength": MAX_ATTRIBUTE_CHARS, "pattern": NO_NUL},
                {"type": "number"},
                {"type": "boolean"},
            ]
        }
    ),
]
_NO_EDGE = rf"^(?!{FIRST_YEAR - 1:04}|{LAST_YEAR + 1:04})"
Language = Annotated[str, AfterValidator(_language)]
Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": _NO_EDGE}),
]


def _stated(name: str) -> dict[str, Any]:
    return {"required": [name], "properties": {name: {"type": "string", "pattern": NO_NUL}}}


def _ticket_schema(schema: dict[str, Any]) -> None:
    """Say in the schema what the validator below asks: a text, or subject and body."""
    nothing = {"properties": {"subject": {"type": "null"}, "body": {"type": "null"}}}
    apart = {"properties": {"text": {"type": "null"}}}
    schema["anyOf"] = [
        {**_stated("text"), "properties": {**_stated("text")["properties"], **nothing["properties"]}},
        {**_stated("subject"), "properties": {**_stated("subject")["properties"], **apart["properties"]}},
        {**_stated("body"), "properties": {**_stated("body")["properties"], **apart["properties"]}},
    ]


class TicketIn(BaseModel):
    """A ticket as a helpdesk sends it: `text`, or `subject` and `body`; everything else is optional."""

    model_config = ConfigDict(
        extra="forbid",
        title="Ticket",
        json_schema_extra=_ticket_schema,
    )

    id: Name | None = Field(None, description="the helpdesk's own id; sent again, the answer is the same")
    text: Text | None = Field(None, description="everything in one; not beside subject or body")
    subject: Text | None = Field(None, description="subject line")
    body: Text | None = Field(None, description="what the requester wrote; may hold HTML")
    channel: Annotated[Text, Field(max_length=MAX_CHANNEL_CHARS)] | None = Field(
        None, description="email, phone, chat, portal, social, sms, walk-in or any other short word"
    )
    requester: Name | None = Field(None, description="opaque id of who asks; never used to decide")
    opened_at: Annotated[Moment | None, WithJsonSchema({})] = Field(
        None, description="RFC 3339; without an offset it is UTC; left out, and said so, where it cannot be read"
    )
    language: Annotated[Language | None, WithJsonSchema({})] = Field(
        None,
        description="a code, a locale or a name, such as en, en-US or English; detected where absent, or where it is "
        "no known language, which is said",
    )
    attributes: (
        Annotated[dict[Annotated[Text, Field(max_length=100)], AttributeValue], Field(max_length=MAX_ATTRIBUTES)] | None
    ) = Field(None, description="further fields by name, such as site or vip")

    _ignored: tuple[tuple[str, str], ...] = PrivateAttr(())

    @property
    def ignored(self) -> tuple[tuple[str, str], ...]:
        """Optional fields that could not be read, each with a machine-readable reason."""
        return self._ignored

    @model_validator(mode="wrap")
    @classmethod
    def _without_what_cannot_be_read(cls, stated: object, handler: ModelWrapValidatorHandler[TicketIn]) -> TicketIn:
        """Leave out a date or a language that cannot be read: it is no reason not to decide the ticket."""
        if not isinstance(stated, dict):
            return handler(stated)
        faults = {name: _fault(form, stated.get(name)) for name, form in _MAY_BE_MISSING.items()}
        ticket = handler({name: value for name, value in stated.items() if not faults.get(name)})
        ticket._ignored = tuple((name, code) for name, code in faults.items() if code)
        return ticket

    @model_validator(mode="after")
    def _something_to_read(self) -> TicketIn:
        if self.text is not None and (self.subject is not None or self.body is not None):
            raise PydanticCustomError("text_beside_subject", "text stands beside subject or body")
        if self.text is None and self.subject is None and self.body is None:
            raise PydanticCustomError("no_text", "text, or subject or body, is needed")
        return self


def _fault(form: TypeAdapter[Any], value: object) -> str | None:
    try:
        form.validate_python(value)
    except ValidationError as error:
        return str(error.errors(include_input=False)[0]["type"]).replace("_", "-")
    return None


_MAY_BE_MISSING: dict[str, TypeAdapter[Any]] = {
    "opened_at": TypeAdapter(Moment | None),
    "language": TypeAdapter(Language | None),
}


class BatchIn(BaseModel):
    """Several tickets at once."""

    model_config = ConfigDict(extra="forbid", title="Batch")

    tickets: Annotated[
        list[Annotated[Any, WithJsonSchema({"description": "a ticket as `POST /v1/predict` takes it"})]],
        Field(min_length=1, max_length=MAX_BATCH_TICKETS),
    ] = Field(description="decided each on its own; the order is kept; one that is none has a problem in its place")


class FaultOut(BaseModel):
    """A field at fault."""

    field: str
    code: str


class ProblemOut(BaseModel):
    """Why a ticket of a batch was not decided; the others were."""

    model_config = ConfigDict(title="ProblemOfTicket")

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[FaultOut]


class BatchOut(BaseModel):
    """The decisions of a batch, in the order of its tickets; a problem where a ticket is none."""

    decisions: list[DecisionDocument | ProblemOut]


def _say_what_belongs_together(schema: dict[str, Any]) -> None:
    """Say in the schema what the store asks: a correction names what is right, an acceptance need not."""
    stated = {"type": "string"}
    corrected = {"properties": {"verdict": {"const": "corrected"}}}
    schema["anyOf"] = [
        {"properties": {"verdict": {"enum": ["accepted", "unsure"]}}},
        {"required": ["tier"], "properties": {**corrected["properties"], "tier": stated}},
        {"required": ["category"], "properties": {**corrected["properties"], "category": stated}},
        {"required": ["resolver_group"], "properties": {**corrected["properties"], "resolver_group": stated}},
        {"required": ["targets"], "properties": {**corrected["properties"], "targets": {"minProperties": 1}}},
    ]


class FeedbackIn(BaseModel):
    """What a person says about a decision; `corrected` names what is right: tier, category, group, another target."""

    model_config = ConfigDict(extra="forbid", title="Feedback", json_schema_extra=_say_what_belongs_together)

    verdict: Literal["accepted", "corrected", "unsure"]
    tier: Name | None = Field(None, description="the right tier; as in the policy")
    category: Name | None = Field(None, description="the right category; as in the policy")
    resolver_group: Name | None = Field(
        None, description="the group that should take it; as in the policy; left out, the policy names it"
    )
    targets: dict[Name, Name] = Field(
        default_factory=dict, description="the right label of any target, by its name in the decision's `targets`"
    )
    agent: Annotated[Person, Field(description="who says it, as the helpdesk names its people")]
    reason: Name | None = Field(None, description="why, in a word or two")
    comment: Annotated[Text, Field(max_length=MAX_COMMENT_CHARS)] | None = Field(None, description="why, at length")

    @property
    def labels(self) -> dict[str, str]:
        """All labels that are named, by target; one that has a field of its own goes by that."""
        own = {"tier": self.tier, "category": self.category, "resolver_group": self.resolver_group}
        return {**self.targets, **{name: label for name, label in own.items() if label is not None}}


class FeedbackOut(BaseModel):
    """One thing that a person said about a decision."""

    feedback_id: str
    decision_id: str
    verdict: Literal["accepted", "corrected", "unsure", "undone"]
    tier: str | None = Field(description="the right tier; of a correction null where it names none")
    category: str | None = Field(description="the right category; of a correction null where it names none")
    resolver_group: str | None = Field(description="the group that takes the ticket after this")
    targets: dict[str, str] = Field(default_factory=dict, description="what is said to be right, by target")
    agent: str
    reason: str | None
    comment: str | None
    undoes: str | None = Field(description="id of the feedback that this row takes back")
    created_at: datetime


class TicketOut(BaseModel):
    """The ticket that was decided, as it is kept."""

    subject: str
    body: str
    channel: str | None


class DecisionDetail(DecisionDocument):
    """A decision as it stands in the store: `tier`, `category` and `resolver_group` follow a correction.

    What was decided at first stays in `targets`. Where people or the helpdesk moved the ticket since is in
    `current_route`.
    """

    model_config = ConfigDict(title="KeptDecision", json_schema_extra=None)

    created_at: datetime
    desk: str = Field(description="the helpdesk that the ticket id belongs to")
    revision: int = Field(ge=1, description="2 for the second text of the same ticket id, and so on")
    ticket: TicketOut | None = Field(description="null where it was forgotten, or is kept from this key")
    withheld: bool = Field(
        description="the text is kept from this key: its clearance is too low for a sensitive ticket"
    )
    standing: FeedbackOut | None = Field(description="the feedback that counts: the last one that was not taken back")
    feedback: list[FeedbackOut] = Field(description="everything that was said, oldest first")
    current_route: RouteDocument = Field(
        description="where the ticket stands, and lists find it: after corrections, and after events that moved it; of "
        "a text that another one has replaced, where it stood then"
    )
    revisions: list[str] = Field(description="ids of all decisions about this ticket id, oldest first; empty in lists")
    untold: str | None = Field(
        default=None,
        description="what the helpdesk was not told of the ticket, and why, in words; null where it was, and in lists",
    )

    @property
    def title(self) -> str:
        """The ticket's subject, else the beginning of its text, else its id."""
        written = (self.ticket.subject, self.ticket.body) if self.ticket else ("", "")
        return title_of(*written, _TITLE_CHARS) or f"Ticket {self.ticket_id}"


class DecisionsOut(BaseModel):
    """A page of decisions, newest first."""

    decisions: list[DecisionDetail]
    next: str | None = Field(description="value of `before` for the next page; null on the last one")


class WebhookOut(BaseModel):
    """What became of a webhook."""

    outcome: Literal["decided", "feedback", "ignored"]
    decision_id: str | None = None
    ticket_id: str | None = None
