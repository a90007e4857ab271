"""A ticket as the helpdesk hands it over, and the one place where the model's text is composed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from types import MappingProxyType

from triage.errors import InvalidTicket
from triage.languages.alphabets import words_written
from triage.normalise import Cleaned, LeftOut, clean, fold, own_part_plain, plain_text, read_plain

CHANNELS = ("email", "phone", "chat", "portal", "social", "sms", "walk-in")
"""Channels that every helpdesk knows; any other short string is taken as it is."""

MAX_CHANNEL_CHARS = 64
FIRST_YEAR, LAST_YEAR = 2, 9998
"""The calendar of Python and of the stores without its first and last year."""
_ANSWER = re.compile(r"(?i)\s*(?:re|aw|antw|sv|rép|resp)\s*(?:\[\d+\])?\s*:")
_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Ticket:
    r"""One request to the helpdesk; never changed once made.

    Attributes:
        id: The helpdesk's own identifier; empty where there is none yet.
        subject: Subject line; may be empty.
        body: What the requester wrote or the agent noted; may hold HTML.
        channel: How it came in, such as ``email`` or ``phone``; None if unknown.
        opened_at: When it was opened; None if unknown.
        language: ISO 639-1 code as stated by the helpdesk; None lets the model detect it.
        requester: Opaque identifier of who asks; never a feature.
        attributes: Further structured fields by name, such as ``site`` or ``vip``.
        chosen: Target and label of each answer that was chosen since, oldest first.

    Example:
        >>> Ticket(subject="VPN", body="<p>It drops &amp; returns</p>").text
        'VPN\nIt drops & returns'
    """

    id: str = ""
    subject: str = ""
    body: str = ""
    channel: str | None = None
    opened_at: datetime | None = None
    language: str | None = None
    requester: str | None = None
    attributes: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    chosen: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for name in ("id", "subject", "body", "channel", "language", "requester"):
            _check_text(name, getattr(self, name))
        if self.opened_at is not None:
            check_moment("opened_at", self.opened_at)
        if self.channel is not None and len(self.channel) > MAX_CHANNEL_CHARS:
            raise InvalidTicket(
                "channel",
                "too-long",
                f"channel has {len(self.channel)} characters: at most {MAX_CHANNEL_CHARS}; shorten it",
            )
        for name, value in self.attributes.items():
            _check_text("attributes", name)
            _check_text(f"attributes.{name}", value)
        object.__setattr__(self, "attributes", MappingProxyType(dict(self.attributes)))

    @property
    def is_marked_sensitive(self) -> bool:
        """Whether the helpdesk marked it, by an attribute ``sensitive`` that is ``true``, ``yes`` or ``1``."""
        return marks_sensitive(self.attributes)

    @cached_property
    def text(self) -> str:
        """The text that the model reads: subject and body, cleaned of mail furniture."""
        return "\n".join(part for part in (clean(self.subject), self._read.text) if part)

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """What of the body the model does not read."""
        return self._read.left_out

    @property
    def is_answer(self) -> bool:
        """Whether the subject says that the message answers another one."""
        return bool(_ANSWER.match(self.subject))

    @cached_property
    def _read(self) -> Cleaned:
        return read_plain(self._plain_body, answer=bool(_ANSWER.match(self.subject)))

    @cached_property
    def _plain_body(self) -> str:
        return plain_text(self.body)

    @cached_property
    def own_part(self) -> str:
        """What the sender wrote in the body, above signature and thread; what it forwards where that is nothing."""
        return own_part_plain(self._plain_body)

    @property
    def readings(self) -> tuple[str, ...]:
        r"""Every text that a model may have read of this ticket, each once.

        A data set may give the body or the subject alone, or both in one column.

        Example:
            >>> Ticket(subject="VPN", body="It  drops\n-- \nKim").readings
            ('VPN\nIt drops', 'VPN', 'It drops')
        """
        parts = (self.subject, self.body, f"{self.subject}\n{self.body}")
        return tuple(dict.fromkeys(text for text in (self.text, *map(clean, parts)) if text))

    @cached_property
    def folded(self) -> str:
        """Everything written, lower case, look-alikes folded."""
        return fold(f"{self.subject}\n{self.body}")

    @cached_property
    def folded_text(self) -> str:
        """The text that rules are matched against: what is read, without the furniture of mail, folded."""
        return fold(f"{self.subject}\n{self._read.text}")

    @cached_property
    def folded_subject(self) -> str:
        """The subject alone, as rules are matched against it."""
        return fold(self.subject)

    @cached_property
    def folded_body(self) -> str:
        """The body alone, as rules are matched against it."""
        return fold(self._read.text)

    def folded_part(self, name: str) -> str:
        """Return what rules that ask for ``text``, ``subject`` or ``body`` are matched against."""
        if name == "text":
            return self.folded_text
        return self.folded_subject if name == "subject" else self.folded_body

    def words_in(self, name: str) -> int:
        """Count the words of such a part, once for all rules that ask for it."""
        if name not in self._words:
            self._words[name] = words_written(self.folded_part(name))
        return self._words[name]

    @cached_property
    def _words(self) -> dict[str, int]:
        return {}


def marks_sensitive(attributes: Mapping[str, str]) -> bool:
    """Say whether these attributes of a ticket are the mark with which a helpdesk keeps it from most eyes.

    Example:
        >>> marks_sensitive({"sensitive": "Yes"}), marks_sensitive({"sensitive": "no"}), marks_sensitive({})
        (True, False, False)
    """
    return attributes.get("sensitive", "").strip().lower() in ("true", "yes", "1")


def check_moment(name: str, moment: datetime) -> None:
    """Refuse a moment at the edge of the calendar: in another time zone it would be no date, and no store takes it.

    Args:
        name: Name of the field.
        moment: Its value; without a time zone it is read as UTC.

    Raises:
        InvalidTicket: If its year in UTC is not between `FIRST_YEAR` and `LAST_YEAR`.
    """
    try:
        year = (moment.astimezone(UTC) if moment.tzinfo else moment).year
    except OverflowError:
        year = 0
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise InvalidTicket(
            name, "out-of-range", f"{name} is not between the years {FIRST_YEAR} and {LAST_YEAR}: leave it out"
        )


def _check_text(name: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, str):
        raise InvalidTicket(name, "not-text", f"{name} is {type(value).__name__}: only text is taken; convert it first")
    if "\x00" in value:
        raise InvalidTicket(name, "nul", f"{name} holds a NUL character: stores refuse it; remove it")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidTicket(
            name,
            "invalid-unicode",
            f"{name} holds a lone surrogate at character {error.start}: not valid Unicode; re-encode it",
        ) from error
