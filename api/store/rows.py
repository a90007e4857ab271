"""What crosses the seam of the store: plain values in, plain values out, never a live row."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from api.http.exceptions import KeyReused
from models.wire import DecisionDocument, RouteDocument
from triage.decision import Automation
from triage.escalation.standing import NOWHERE, Place, Step, placed
from triage.escalation.thread import Mover, Route
from triage.normalise import title_of
from triage.prediction import ROUTE, in_order
from triage.ticket import Ticket

SCOPES = ("predict", "feedback", "read", "train", "people", "admin")
"""What a key may be good for; none of them includes another. ``train`` makes and promotes models, ``people`` sees
accounts and ends sessions."""

SAMPLE_REQUESTER = "triage-sample-day"
"""Who has opened the tickets of the sample day that `make run` replays (`scripts/sample_day.py`)."""
ASKED_REQUESTER = "triage-mcp"
"""Who has opened the tickets that an assistant asks about (`triage mcp`)."""
ASIDE = frozenset({SAMPLE_REQUESTER, ASKED_REQUESTER})
"""Requesters whose tickets are decided and kept, and wait for nobody, where they were sent with a key: anybody may take
such a name in a mail or at a helpdesk."""
KEYS = "api"
"""The source of tickets that were sent with a key."""
RELOADS, STORE = "reload", "store"
"""Under these names the store keeps what processes tell each other, and what happened to itself."""
RESERVED = (KEYS, RELOADS, STORE)
"""Names that neither a helpdesk nor a mailbox may have: tickets and positions are told apart by them."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

ADMIN = "admin"
_AGENT = frozenset({"predict", "feedback", "read"})
ROLES = {
    "agent": _AGENT,
    "lead": _AGENT | {"people"},
    "data-scientist": _AGENT | {"train"},
    ADMIN: frozenset(SCOPES),
}
"""What people are, and the scopes that it gives them."""

VERDICTS = ("accepted", "corrected", "unsure")
"""What a person may say about a decision."""

UNDONE = "undone"
"""Verdict of the row that takes an earlier one back."""


_TITLE_CHARS = 120
MOST_CLEARANCE = 1_000_000
"""Clearance of somebody who may see everything."""


@dataclass(frozen=True)
class NewDecision:
    """A ticket and what was decided about it, to be recorded.

    Attributes:
        ticket: As it came in.
        document: The decision as it is answered; the store gives it an id where it has none.
        sensitive: Whether only people with the policy's sensitive clearance may see the text.
        clearance: Clearance of who asked: people with less do not get to see the similar tickets that it brought up.
        grown: Whether it was decided together with what had happened to the ticket, whose words it may quote.
        erasure: What `Seen.erasure` was then: where that has changed, those words were forgotten meanwhile.
    """

    ticket: Ticket
    document: DecisionDocument
    sensitive: bool = False
    clearance: int = MOST_CLEARANCE
    grown: bool = False
    erasure: object = None


@dataclass(frozen=True)
class IdempotencyKey:
    """The `Idempotency-Key` of a request, and what was asked with it.

    Attributes:
        owner: Id of the API key that sent it; empty where requests need no key.
        key: The header's value, 1 to 255 characters.
        digest: SHA-256 of what was asked: method, path and body.
    """

    owner: str
    key: str
    digest: str

    @classmethod
    def of(cls, owner: str | None, key: str, method: str, path: str, body: bytes) -> IdempotencyKey:
        """Make an idempotency key out of a request."""
        asked = hashlib.sha256(f"{method} {path}\n".encode() + body)
        return cls(owner or "", key, asked.hexdigest())

    @property
    def lock(self) -> str:
        """Name under which the store lets one request with this key past at a time."""
        return f"idempotency {self.owner} {self.key}"

    def check(self, digest: str) -> None:
        """Make sure that what was asked with this key before, by its digest, is what is asked now.

        Raises:
            KeyReused: It was another request.
        """
        if digest != self.digest:
            raise KeyReused(
                "idempotency-key-reused",
                "this Idempotency-Key was used for another request: its body or path differs; send a fresh key",
            )


@dataclass(frozen=True)
class FeedbackRow:
    """One thing that a person said about a decision; see `StoredFeedback`.

    `tier` and `category` are those that it says are right; `resolver_group` is the group that takes the ticket then.
    """

    id: str
    decision_id: str
    verdict: str
    tier: str | None
    category: str | None
    agent: str
    key_id: str | None
    reason: str | None
    comment: str | None
    undoes: str | None
    created_at: datetime
    resolver_group: str | None = None
    labels: Mapping[str, str] | None = None
    puts: Place = NOWHERE
    """Where it puts the ticket; parts are missing in what was said before whole routes were kept."""

    def document(self) -> dict[str, Any]:
        """Return it as a JSON document, as the API describes feedback; who asked is left out."""
        targets = {name: label for name in in_order((*ROUTE, *(self.labels or {}))) if (label := self.label_of(name))}
        document = {"feedback_id": self.id, **vars(self), "created_at": self.created_at.isoformat(), "targets": targets}
        return {name: value for name, value in document.items() if name not in ("id", "key_id", "labels", "puts")}

    def label_of(self, target: str) -> str | None:
        """Return what this says is right of a target; None where it says nothing of it.

        A group that only followed from the tier or category that was stated is part of the route, and not said; so is a
        tier that gave way to one that may see the ticket.
        """
        if self.labels is not None:
            return self.labels.get(target)
        return getattr(self, target) if target in ROUTE else None  # said before every target was kept


@dataclass(frozen=True)
class Happened:
    """What an event changed about its ticket.

    Attributes:
        at: When it was kept.
        revision: Of the ticket's text at that time.
        step: Where it led; None where the ticket stayed.
        attention: What must not wait that came up with it: each kind, with the words that say so.
    """

    at: datetime
    revision: int
    step: Step | None = None
    attention: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Words:
    """What people said of one ticket, over all its texts, what happened to it, and the routes that they set by that.

    Attributes:
        set: Every route that a person set and that was not taken back, oldest first.
        ever: All that was ever said, taken back or not.
        happened: The events that moved the ticket or say that it must not wait, oldest first.
        moves: Where the machine sent the ticket by events before a person spoke, oldest first.
    """

    set: tuple[Step, ...] = ()
    ever: tuple[FeedbackRow, ...] = ()
    happened: tuple[Happened, ...] = ()
    moves: tuple[Step, ...] = ()

    @classmethod
    def of(
        cls,
        feedback: Sequence[FeedbackRow],
        decided: Iterable[Step],
        happened: Sequence[Happened] = (),
    ) -> Words:
        """Read everything that was said of a ticket.

        Args:
            feedback: All of it, oldest first.
            decided: The decisions that it is about.
            happened: The events that count, oldest first.
        """
        led = (one.step for one in happened if one.step is not None)
        steps = placed([*decided, *steps_said(feedback), *led])
        people = tuple(one for one in steps if one.by_person)
        moves = tuple(one for one in steps if one.by_event and not one.by_person)
        return cls(people, tuple(feedback), tuple(happened), moves)

    @property
    def route(self) -> RouteDocument | None:
        """The route that stands; None where nobody has set one."""
        return route_document(self.set[-1].route) if self.set else None

    def before(self, row: DecisionRow) -> RouteDocument | None:
        """Return the route that stood on the ticket apart from this decision before a person spoke of it, or None."""
        own = [place for place, one in enumerate(self.set) if one.about == row.id and one.word]
        others = [
            one.route
            for place, one in enumerate(self.set)
            if (one.about != row.id if one.word else one.kept_at <= row.created_at) and (not own or place < own[-1])
        ]
        return route_document(others[-1]) if others else None

    def beneath(self, row: DecisionRow) -> RouteDocument:
        """Return the route that what is said of a decision changes: what was said of it before counts no more then."""
        others = [one.route for one in self.set if not one.word or one.about != row.id]
        return route_document(others[-1]) if others else self.since(row).route

    def standing(self, row: DecisionRow, *, newest: bool) -> RouteDocument:
        """Return where the ticket of a decision stands: as a person set it, else where the machine sent it.

        Args:
            row: The decision.
            newest: Whether no other text of the ticket came after; else what is said of one of those leaves it alone.
        """
        own = [route_document(one.route) for one in self.set if one.about == row.id]
        said = self.route if newest else (own[-1] if own else self.before(row))
        return said or self.since(row).route

    def since(self, row: DecisionRow) -> DecisionDocument:
        """Return a decision's document with where the machine sent its ticket since, and what came up meanwhile."""
        document = row.document
        after = [one for one in self.happened if one.revision == row.revision and one.at > row.created_at]
        last = next((one.step for one in reversed(after) if one.step in self.moves), None)
        if last is not None:
            document = document.moved(route_document(last.route), automatic=last.route.wholly)
        earlier = (one for one in self.happened if one.revision <= row.revision)
        return document.alarmed(alarm for one in earlier for alarm in one.attention)


def route_document(route: Route) -> RouteDocument:
    """Return a route as documents state it."""
    return RouteDocument(tier=route.tier, category=route.category, resolver_group=route.resolver_group)


def step_decided(decision_id: str, document: DecisionDocument, at: datetime) -> Step:
    """Return where a decision that was kept at a moment sends its ticket."""
    verdict = document.targets.get("tier")
    automatic = verdict is not None and verdict.automation == Automation.AUTOMATIC.value
    place = (document.tier, document.category, document.resolver_group)
    return Step(at, decision_id, Route(*place, at=at, automatic=automatic, because=document.reason))


def steps_said(feedback: Iterable[FeedbackRow]) -> list[Step]:
    """Return where people put a ticket by what they said of its decisions, oldest first: of each, the last word."""
    about: dict[str, list[FeedbackRow]] = {}
    for row in feedback:
        about.setdefault(row.decision_id, []).append(row)
    settled = [said for rows in about.values() if (said := last_label(rows)) is not None]
    return [
        Step(
            said.created_at,
            said.decision_id,
            Route(*said.puts, at=said.created_at, by=Mover.PERSON, because=said.verdict),
            word=said.verdict,
        )
        for said in settled
    ]


@dataclass(frozen=True)
class ReviewedTicket:
    """A ticket that people judged, and what they say is right: a label of each target that they spoke about."""

    decision_id: str
    ticket: Ticket
    labels: Mapping[str, str]
    sensitive: bool

    @property
    def tier(self) -> str | None:
        """The tier that they say is right; None where they said nothing of it."""
        return self.labels.get("tier")

    @property
    def category(self) -> str | None:
        """The category that they say is right; None where they said nothing of it."""
        return self.labels.get("category")


@dataclass(frozen=True)
class DecisionRow:
    """A decision as it stands in the store.

    Attributes:
        id: Its id.
        document: What was answered.
        ticket_id: The helpdesk's id of its ticket; None where it came without.
        source: The helpdesk that the ticket id belongs to.
        revision: 1 for the first text of a ticket id, 2 for the second, and so on.
        subject: The ticket's subject, as it is kept.
        body: The ticket's text, as it is kept.
        channel: The ticket's channel.
        sensitive: Whether only people with the policy's sensitive clearance may see the text.
        marked: Whether its helpdesk marked the ticket as one for few eyes: this text, or any where one is looked up.
        clearance: Clearance of who asked for it.
        forgotten: Whether the text was removed.
        created_at: When it was recorded.
        feedback: Everything said about it, oldest first; empty where it was not asked for.
        said_of_ticket: Everything said about any text of its ticket, oldest first; empty where it was not asked for.
        revisions: Ids of all decisions about this ticket id, oldest first; empty where they were not asked for.
        created: Whether the call that returned it recorded it; False where it was there before.
        stands: Where lists find it: where its ticket stands now, or stood when another text took its place; None where
            that was not asked for.
        set_route: The route that a person set on the ticket last, by whatever way; None where nobody did, or it was not
            asked for.
        has_history: Whether the ticket had another text before this one, or something happened to it: what it is
            answered may quote more than its sender wrote. Told where a ticket that comes in is answered.
        has_events: Whether something happened to it, told in the same place.
    """

    id: str
    document: DecisionDocument
    ticket_id: str | None
    source: str
    revision: int
    subject: str
    body: str
    channel: str | None
    sensitive: bool
    clearance: int
    forgotten: bool
    created_at: datetime
    feedback: tuple[FeedbackRow, ...] = ()
    said_of_ticket: tuple[FeedbackRow, ...] = ()
    revisions: tuple[str, ...] = ()
    created: bool = False
    marked: bool = False
    stands: RouteDocument | None = None
    set_route: RouteDocument | None = None
    has_history: bool = False
    has_events: bool = False

    def document_for(self, clearance: int) -> DecisionDocument:
        """Return the document as somebody with that clearance may see it."""
        return self.document.without_similar() if clearance < self.clearance else self.document

    @property
    def title(self) -> str:
        """What the ticket is called in lists: its subject, else the beginning of its text, else its id."""
        return title_of(self.subject, self.body, _TITLE_CHARS) or f"Ticket {self.ticket_id or '?'}"

    @property
    def by_model(self) -> bool:
        """Whether a model took part; a decision of the rules alone gives way once there is a model."""
        return self.document.model_version is not None

    @property
    def standing(self) -> FeedbackRow | None:
        """The last word on the decision that was not taken back."""
        return last_word(self.feedback)

    @property
    def settled(self) -> FeedbackRow | None:
        """The last word that says which labels are right: a note that somebody is unsure changes none."""
        return last_label(self.feedback)

    @property
    def correction(self) -> FeedbackRow | None:
        """What is settled, where it corrects the decision."""
        said = self.settled
        return said if said is not None and said.verdict == "corrected" else None


@dataclass(frozen=True)
class KeyRow:
    """An API key as it may be shown: never the key itself."""

    id: str
    name: str
    prefix: str
    scopes: frozenset[str]
    clearance: int
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True)
class UserRow:
    """A person's account as it may be shown: never the password.

    Attributes:
        id: Its id.
        name: What the person signs in with, and what their feedback is signed with.
        roles: Some of `ROLES`.
        clearance: Which sensitive tickets the person sees.
        groups: Resolver groups that the person works for.
        has_password: Whether the person can sign in with a password.
        created_at: When it was made.
        disabled_at: Since when nobody can sign in with it; None where people can.
    """

    id: str
    name: str
    roles: tuple[str, ...]
    clearance: int
    groups: tuple[str, ...]
    has_password: bool
    created_at: datetime
    disabled_at: datetime | None

    @property
    def scopes(self) -> frozenset[str]:
        """What the roles allow together."""
        return frozenset[str]().union(*(ROLES[role] for role in self.roles))


@dataclass(frozen=True)
class SessionRow:
    """An open session of the pages: its id tells nothing of its token.

    Attributes:
        id: By which it can be ended.
        owner: Id of the account or key that opened it.
        agent: Who it speaks as.
        by_account: Whether a person's account opened it, else a key.
        created_at: When it was opened.
        expires_at: When it ends by itself.
    """

    id: str
    owner: str
    agent: str
    by_account: bool
    created_at: datetime
    expires_at: datetime


def new_id() -> str:
    """Return a fresh id that holds the moment at which it was made: a UUID of version 7 (RFC 9562)."""
    random = secrets.randbits(74)
    value = (int(time.time() * 1000) << 80) | (7 << 76) | ((random >> 62) << 64) | (2 << 62) | (random & (2**62 - 1))
    return str(UUID(int=value))


def problem_with_name(name: str, of: str) -> str | None:
    """Say why a helpdesk or a mailbox cannot have its name; None where it can.

    Args:
        name: The name.
        of: What has it.

    Example:
        >>> problem_with_name("jira-2", "a helpdesk"), problem_with_name("api", "a mailbox")
        (None, "'api' is no name of a mailbox: the service itself uses api, reload, store")
    """
    if name in RESERVED:
        return f"{name!r} is no name of {of}: the service itself uses {', '.join(RESERVED)}"
    if not _NAME.fullmatch(name):
        return f"{name!r} is no name of {of}: use at most 64 letters, digits, - and _"
    return None


def is_aside(source: str, requester: str | None) -> bool:
    """Say whether a ticket is set aside: sent with a key by one of `ASIDE`."""
    return source == KEYS and requester in ASIDE


def made_at(decision_id: str) -> float | None:
    """Return when an id was made, in seconds since 1970; None where that does not stand in it.

    Example:
        >>> made_at("01890a5d-ac96-774b-bcce-b302099a8057"), made_at("T-1")
        (1688096058.518, None)
    """
    try:
        found = UUID(decision_id)
    except ValueError:
        return None
    return (found.int >> 80) / 1000 if found.version == 7 else None


def standing_feedback(said: Iterable[FeedbackRow]) -> list[FeedbackRow]:
    """Return what was said and not taken back, in its order; that something was taken back is no word of its own."""
    rows = list(said)
    undone = {row.undoes for row in rows if row.undoes}
    return [row for row in rows if row.verdict != UNDONE and row.id not in undone]


def last_word(said: Sequence[FeedbackRow]) -> FeedbackRow | None:
    """Return the last of what was said of a decision, oldest first, that was not taken back."""
    return next(reversed(standing_feedback(said)), None)


def last_label(said: Sequence[FeedbackRow]) -> FeedbackRow | None:
    """Return the last of what was said of a decision, oldest first, that accepts or corrects it and stands."""
    return last_word([row for row in said if row.verdict != "unsure"])


def disputed_among(said: Iterable[FeedbackRow]) -> bool:
    """Say whether people disagree: the last words of two of them name different labels."""
    last = {
        row.agent: (row.tier, row.category, _further(row)) for row in standing_feedback(said) if row.verdict != "unsure"
    }
    return len(set(last.values())) > 1


def _further(row: FeedbackRow) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, label) for name, label in (row.labels or {}).items() if name not in ROUTE))


def digest_of(ticket: Ticket) -> str:
    """Return the SHA-256 of everything in a ticket that may decide its route; two equal ones are the same text."""
    parts = [ticket.subject, ticket.body, ticket.channel, ticket.language, sorted(ticket.attributes.items())]
    return hashlib.sha256(dump(parts).encode()).hexdigest()


def dump(document: object) -> str:
    """Write a document as compact, strict JSON text."""
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
