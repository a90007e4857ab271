"""What requests look like, and how a ticket in one becomes a ticket of the domain; answers are in `models/wire.py`."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from models.wire import DecisionDocument
from triage.errors import InvalidTicket
from triage.ticket import MAX_CHANNEL_CHARS, Ticket

MAX_NAME_CHARS = 255
MAX_ATTRIBUTES = 50
MAX_ATTRIBUTE_CHARS = 1000
_NO_NUL = r"^[^\u0000]*$"
_BLANK = r"\s\u0000-\u001f\u007f-\u00a0\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff"
_READABLE = rf"^[^\u0000]*[^{_BLANK}][^\u0000]*$"
_LANGUAGE = r"^[A-Za-z]{2,3}([_-][A-Za-z0-9]{1,8}){0,3}$"


def _storable(text: str) -> str:
    if "\x00" in text:
        raise PydanticCustomError("nul", "holds a NUL character")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise PydanticCustomError("invalid_unicode", "holds a lone surrogate") from error
    return text


def _moment(value: object) -> object:
    """Read an RFC 3339 date and time; a leap second counts as the one before, none stated as UTC."""
    if not isinstance(value, str):
        raise PydanticCustomError("datetime_type", "is not a date and time as text")
    try:
        moment = datetime.fromisoformat(re.sub(r":60(?=[.Zz+-]|$)", ":59", value.strip().upper()))
    except ValueError as error:
        raise PydanticCustomError("datetime_parsing", "is not an RFC 3339 date and time") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _attribute(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        raise PydanticCustomError("finite_number", "is not a finite number")
    if isinstance(value, (int, float)):
        return repr(value)
    return value


Text = Annotated[str, AfterValidator(_storable), Field(json_schema_extra={"pattern": _NO_NUL})]
Name = Annotated[Text, Field(max_length=MAX_NAME_CHARS)]
AttributeValue = Annotated[
    Text,
    Field(max_length=MAX_ATTRIBUTE_CHARS),
    BeforeValidator(_attribute),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "maxLength": MAX_ATTRIBUTE_CHARS, "pattern": _NO_NUL},
                {"type": "number"},
                {"type": "boolean"},
            ]
        }
    ),
]
Moment = Annotated[datetime, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})]


def _stated(name: str) -> dict[str, Any]:
    return {"required": [name], "properties": {name: {"type": "string", "pattern": _READABLE}}}


def _ticket_schema(schema: dict[str, Any]) -> None:
    """Say in the schema what the validator below asks: a text, or subject and body, and something to read in it."""
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
    opened_at: Moment | None = Field(None, description="RFC 3339; without an offset it is UTC")
    language: Annotated[str, Field(pattern=_LANGUAGE)] | None = Field(
        None, description="such as en; detected where absent"
    )
    attributes: (
        Annotated[dict[Annotated[Text, Field(max_length=100)], AttributeValue], Field(max_length=MAX_ATTRIBUTES)] | None
    ) = Field(None, description="further fields by name, such as site or vip")

    @model_validator(mode="after")
    def _something_to_read(self) -> TicketIn:
        if self.text is not None and (self.subject is not None or self.body is not None):
            raise PydanticCustomError("text_beside_subject", "text stands beside subject or body")
        if self.text is None and self.subject is None and self.body is None:
            raise PydanticCustomError("no_text", "text, or subject or body, is needed")
        if not any(re.match(_READABLE, part, re.DOTALL) for part in (self.text, self.subject, self.body) if part):
            raise PydanticCustomError("empty", "nothing to read")
        return self


class BatchIn(BaseModel):
    """Several tickets at once."""

    model_config = ConfigDict(extra="forbid", title="Batch")

    tickets: Annotated[list[TicketIn], Field(min_length=1)] = Field(
        description="decided each on its own; the order is kept"
    )


def to_ticket(wire: TicketIn, max_text_chars: int) -> Ticket:
    """Translate a ticket from the wire.

    Raises:
        InvalidTicket: If a text is longer than the service takes.
    """
    for field in ("text", "subject", "body"):
        if len(getattr(wire, field) or "") > max_text_chars:
            raise InvalidTicket(
                field, "too-long", f"{field} is too long: at most {max_text_chars} characters are taken; shorten it"
            )
    language = re.split("[_-]", wire.language)[0].lower() if wire.language else None
    return Ticket(
        id=wire.id or "",
        subject=wire.subject or "",
        body=wire.text or wire.body or "",
        channel=wire.channel or None,
        opened_at=wire.opened_at,
        language=language,
        requester=wire.requester,
        attributes=wire.attributes or {},
    )


class BatchOut(BaseModel):
    """The decisions of a batch, in the order of its tickets."""

    decisions: list[DecisionDocument]
