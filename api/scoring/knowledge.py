"""Knowledge in the service: proposals that wait or were dismissed, accepted entries, and those that fit a ticket."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import structlog
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from api.http.exceptions import Contradiction, NotAllowed, NotFound
from api.http.schemas import Name, Person, Text
from api.scoring.service import Service
from api.scoring.threads import standing_row, thread_of
from api.security.auth import Principal
from api.security.clearance import may_read, may_read_category
from models.knowledge import Contents, KnowledgeFolder
from triage.errors import InvalidRequest, StoreUnavailable
from triage.knowledge import MAX_ENTRY_CHARS, Dismissal, Effect, Entry, Proposal, suggestions

_WHO = "who does it, as the helpdesk names its people; of somebody who is signed in, the account's name counts"
_T = TypeVar("_T")
log = structlog.get_logger(__name__)


def _in_plain_lines(text: object) -> object:
    """Return a text with the line ends that are stored: browsers send two characters for each."""
    return text.replace("\r\n", "\n") if isinstance(text, str) else text


EntryText = Annotated[Text, BeforeValidator(_in_plain_lines), Field(max_length=MAX_ENTRY_CHARS)]


class AcceptIn(BaseModel):
    """A proposal is accepted: it becomes an entry, or the next version of one."""

    model_config = ConfigDict(extra="forbid", title="AcceptProposal")

    agent: Annotated[Person, Field(description=_WHO)]
    title: Name | None = Field(None, description="another title than the entry's or the proposal's")
    text: EntryText | None = Field(
        None, description="the article or script, Markdown; else that of the entry's last version, or the draft"
    )


class WithdrawIn(BaseModel):
    """An entry counts no more."""

    model_config = ConfigDict(extra="forbid", title="WithdrawEntry")

    agent: Annotated[Person, Field(description=_WHO)]


class DismissIn(BaseModel):
    """A proposal is decided against, or waits again."""

    model_config = ConfigDict(extra="forbid", title="DismissProposal")

    agent: Annotated[Person, Field(description=_WHO)]
    undo: bool = Field(False, description="true: the proposal waits again")


class ProposalOut(BaseModel):
    """Tickets of a higher tier that share a resolution, and what an article or a script has to cover."""

    model_config = ConfigDict(title="KnowledgeProposal")

    id: str
    title: str
    kind: str
    tier: str
    from_tier: str
    category: str | None
    tickets: list[str]
    words: dict[str, float]
    bar: float
    precision: float
    recall: float
    resolutions: list[str]
    per_month: float
    saved_min: float
    cover: list[str]
    draft: str
    accepted: bool = Field(description="whether there is an entry made of it")
    dismissed_by: str | None = Field(None, description="who decided against it; null while it waits")
    dismissed_at: str | None = None


class ProposalsOut(BaseModel):
    """What could be handed down, what would save the most minutes a month first."""

    model_config = ConfigDict(title="KnowledgeProposals")

    proposals: list[ProposalOut]
    left_out: list[str] = Field(default=[], description="one sentence for each file that cannot be read")


class EntryOut(BaseModel):
    """An accepted entry in one of its versions."""

    model_config = ConfigDict(title="KnowledgeEntry")

    id: str
    version: int
    title: str
    kind: str
    tier: str
    from_tier: str
    category: str | None
    accepted_at: str
    accepted_by: str
    saved_min: float
    tickets: list[str]
    body: str


class EntriesOut(BaseModel):
    """Accepted entries in their newest versions."""

    model_config = ConfigDict(title="KnowledgeEntries")

    entries: list[EntryOut]
    left_out: list[str] = Field(default=[], description="one sentence for each file that cannot be read")


class FittingOut(BaseModel):
    """An entry that fits a ticket, how well, and the words that say so."""

    model_config = ConfigDict(title="FittingEntry")

    entry: EntryOut
    score: float
    words: list[str]


class TicketKnowledgeOut(BaseModel):
    """The entries that fit a ticket, the best first."""

    model_config = ConfigDict(title="TicketKnowledge")

    ticket_id: str
    entries: list[FittingOut]


@dataclass(frozen=True)
class KnowledgeShown:
    """Everything that the page of knowledge shows.

    Attributes:
        waiting: Proposals about which nobody decided, what would save the most minutes a month first.
        dismissed: Those that somebody decided against, or whose entry was withdrawn.
        entries: Accepted ones in their newest versions, the newest first.
        fresh: How many tickets the proposal of an entry's next version has that the entry was not made from, by id.
        effects: What entries did, by id.
        counted_at: When that was counted, ISO 8601; None where nobody did.
        faults: One sentence for each file that cannot be read.
    """

    waiting: list[ProposalOut]
    dismissed: list[ProposalOut]
    entries: list[EntryOut]
    fresh: Mapping[str, int]
    effects: Mapping[str, Effect]
    counted_at: str | None
    faults: tuple[str, ...]

    @property
    def stayed_low(self) -> float:
        """Tickets that stayed low because of the entries that there are."""
        return sum(self.effects[one.id].stayed_low for one in self.entries if one.id in self.effects)


class Knowledge:
    """The desk's knowledge, as files below its home.

    Args:
        service: Has the store, the policy in use, and the home.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._folder = KnowledgeFolder(service.settings.home / "knowledge")
        self._told: set[str] = set()

    def proposals(self, reader: Principal) -> ProposalsOut:
        """Return the proposals that a reader may see, with what was accepted of them."""
        found = self._seen_by(reader)
        return ProposalsOut(proposals=_proposals_out(found), left_out=list(found.faults))

    def look(self, reader: Principal) -> KnowledgeShown:
        """Return everything that a reader may see."""
        found = self._seen_by(reader)
        made_from = {one.id: set(one.tickets) for one in found.entries}
        shown = _proposals_out(found)
        entries = sorted(map(_entry_out, found.entries), key=lambda one: (one.accepted_at, one.id), reverse=True)
        return KnowledgeShown(
            waiting=[one for one in shown if not one.accepted and one.dismissed_by is None],
            dismissed=[one for one in shown if not one.accepted and one.dismissed_by is not None],
            entries=entries,
            fresh={one.id: len(set(one.tickets) - made_from[one.id]) for one in shown if one.id in made_from},
            effects={one.id: one for one in found.report.entries} if found.report else {},
            counted_at=found.report.at if found.report else None,
            faults=found.faults,
        )

    def accept(self, proposal_id: str, payload: AcceptIn, reviewer: Principal) -> EntryOut:
        """Make an entry of a proposal, or its next version; of an entry that is proposed no more, what is written.

        Raises:
            NotFound: There is no such proposal, and no entry to say something else of.
            StoreUnavailable: A file cannot be read or written.
        """
        by, at = reviewer.agent or payload.agent, _now()
        title = " ".join((payload.title or "").split()) or None
        text = payload.text if payload.text and payload.text.strip() else None
        found, entry = self._waiting(proposal_id, reviewer), self._entry(proposal_id, None, reviewer)
        if found is not None:
            return _entry_out(_read(lambda: self._folder.accept(found, by, at, title=title, body=text)))
        if entry is not None and (title or text):
            return _entry_out(_read(lambda: self._folder.revise(entry, by, at, title=title, body=text)))
        raise _no_proposal()

    def dismiss(self, proposal_id: str, payload: DismissIn, reviewer: Principal) -> ProposalOut:
        """Decide against a proposal, or let it wait again; an entry that was withdrawn counts again then.

        Raises:
            NotFound: There is no such proposal.
            Contradiction: It was accepted: there is an entry made of it.
            StoreUnavailable: A file cannot be read or written.
        """
        found, dismissal = self._waiting(proposal_id, reviewer), None
        if found is None:
            raise _no_proposal()
        if self._folder.entry(proposal_id) is not None:
            raise Contradiction("accepted", "there is an entry made of this proposal: nobody can dismiss it any more")
        if payload.undo:
            _read(lambda: self._folder.restore(proposal_id))
        else:
            by = reviewer.agent or payload.agent
            dismissal = _read(lambda: self._folder.dismiss(proposal_id, by, _now()))
        return _proposal_out(found, self._folder.entry(proposal_id) is not None, dismissal)

    def withdraw(self, entry_id: str, payload: WithdrawIn, reviewer: Principal) -> EntryOut:
        """Let an entry count no more: it fits no ticket, and its matter stays decided against.

        Raises:
            NotFound: There is no such entry.
            StoreUnavailable: A file cannot be read or written.
        """
        found = self.entry(entry_id, None, reviewer)
        _read(lambda: self._folder.withdraw(entry_id, reviewer.agent or payload.agent, _now()))
        return found

    def _waiting(self, proposal_id: str, reader: Principal) -> Proposal | None:
        found = _read(lambda: self._folder.proposal(proposal_id))
        entry = self._folder.last_version(proposal_id)
        may = found is not None and self._may_read(found, reader)
        return found if may and (entry is None or self._may_read(entry, reader)) else None

    def entries(self, reader: Principal) -> EntriesOut:
        """Return the accepted entries that a reader may see, in their newest versions."""
        found = self._seen_by(reader)
        return EntriesOut(entries=[_entry_out(one) for one in found.entries], left_out=list(found.faults))

    def entry(self, entry_id: str, version: int | None, reader: Principal) -> EntryOut:
        """Return an entry.

        Raises:
            NotFound: There is no such entry, or no such version of it.
            StoreUnavailable: The file cannot be read.
        """
        found = self._entry(entry_id, version, reader)
        if found is None:
            raise NotFound("no-such-entry", "no such entry in that version: ask for those that were accepted")
        return _entry_out(found)

    def _entry(self, entry_id: str, version: int | None, reader: Principal) -> Entry | None:
        found = _read(lambda: self._folder.entry(entry_id, version))
        return found if found is not None and self._may_read(found, reader) else None

    def fitting(self, ticket_id: str, reader: Principal) -> TicketKnowledgeOut:
        """Return the entries that fit a ticket.

        Raises:
            NotFound: Nothing was decided about the ticket.
            NotAllowed: The reader may not read it.
            StoreUnavailable: The store does not answer.
        """
        stored, policy = self._service.store.thread(ticket_id, reader.source), self._service.model.triager.policy
        if not may_read(policy, standing_row(stored), reader.clearance):
            raise NotAllowed("sensitive-ticket", "the ticket is kept from this key: ask with one of higher clearance")
        found = suggestions(self._seen_by(reader).entries, self._service.as_read(thread_of(stored)).whole.text)
        entries = [FittingOut(entry=_entry_out(one.entry), score=one.score, words=list(one.words)) for one in found]
        return TicketKnowledgeOut(ticket_id=ticket_id, entries=entries)

    def _may_read(self, one: Proposal | Entry, reader: Principal) -> bool:
        """Say whether a reader may read what was made of tickets of all of its categories."""
        policy = self._service.model.triager.policy
        return all(may_read_category(policy, category, reader.clearance) for category in one.made_of)

    def _seen_by(self, reader: Principal) -> Contents:
        """Return what there is, without what was made of tickets that the reader may not read; log what is left out."""
        found = self._folder.look()
        for fault in found.faults:
            if fault not in self._told:
                self._told.add(fault)
                log.warning("knowledge_left_out", fault=fault)
        entries = tuple(one for one in found.entries if self._may_read(one, reader))
        kept = {one.id for one in found.entries} - {one.id for one in entries}
        proposals = (one for one in found.proposals if one.id not in kept and self._may_read(one, reader))
        return replace(found, proposals=tuple(proposals), entries=entries)


def _read(ask: Callable[[], _T]) -> _T:
    try:
        return ask()
    except InvalidRequest as error:  # what is wrong with a file is not the fault of the request
        raise StoreUnavailable("unreachable", f"the folder of knowledge: {error}") from error


def _no_proposal() -> NotFound:
    return NotFound("no-such-proposal", "there is no such proposal: ask for those that wait")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _entry_out(entry: Entry) -> EntryOut:
    return EntryOut.model_validate({name: getattr(entry, name) for name in EntryOut.model_fields})


def _proposals_out(found: Contents) -> list[ProposalOut]:
    accepted = {one.id for one in found.entries}
    return [_proposal_out(one, one.id in accepted, found.dismissed.get(one.id)) for one in found.proposals]


def _proposal_out(proposal: Proposal, accepted: bool, dismissal: Dismissal | None) -> ProposalOut:
    return ProposalOut(
        **asdict(proposal),
        draft=proposal.draft(),
        accepted=accepted,
        dismissed_by=dismissal.by if dismissal else None,
        dismissed_at=dismissal.at if dismissal else None,
    )
