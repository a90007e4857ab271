"""Knowledge in the service: proposals that wait or were dismissed, accepted entries, and those that fit a ticket."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from api.http.exceptions import Contradiction, NotAllowed, NotFound
from api.http.schemas import Name, Text
from api.scoring.service import Service
from api.scoring.threads import thread_of
from api.security.auth import Principal
from api.security.clearance import may_read
from models.knowledge import KnowledgeFolder
from triage.errors import InvalidRequest, StoreUnavailable
from triage.knowledge import Dismissal, Effect, Entry, Proposal, suggestions

MAX_ENTRY_CHARS = 100_000
_T = TypeVar("_T")


class AcceptIn(BaseModel):
    """A proposal is accepted: it becomes an entry, or the next version of one."""

    model_config = ConfigDict(extra="forbid", title="AcceptProposal")

    agent: Annotated[Name, Field(min_length=1, description="who accepts it")]
    title: Name | None = Field(None, description="another title than the proposal's")
    text: Annotated[Text, Field(max_length=MAX_ENTRY_CHARS)] | None = Field(
        None, description="the article or script, Markdown; the proposal's draft where it says nothing"
    )


class DismissIn(BaseModel):
    """A proposal is decided against, or waits again."""

    model_config = ConfigDict(extra="forbid", title="DismissProposal")

    agent: Annotated[Name, Field(min_length=1, description="who says so")]
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
        dismissed: Those that somebody decided against.
        entries: Accepted ones in their newest versions, the newest first.
        proposed: Ids of the entries whose proposal is still there, so that another version can be accepted.
        effects: What entries did, by id.
        counted_at: When that was counted, ISO 8601; None where nobody did.
        faults: One sentence for each file that cannot be read.
    """

    waiting: list[ProposalOut]
    dismissed: list[ProposalOut]
    entries: list[EntryOut]
    proposed: frozenset[str]
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

    def proposals(self) -> ProposalsOut:
        """Return the proposals, with what was accepted of them.

        Raises:
            StoreUnavailable: A file cannot be read.
        """
        accepted = {one.id for one in _read(self._folder.entries)}
        found, dismissed = _read(self._folder.proposals), _read(self._folder.dismissed)
        return ProposalsOut(proposals=[_proposal_out(one, one.id in accepted, dismissed.get(one.id)) for one in found])

    def look(self) -> KnowledgeShown:
        """Return everything that can be read, for people: one broken file hides nothing else."""
        found = self._folder.look()
        accepted = {one.id for one in found.entries}
        shown = [_proposal_out(one, one.id in accepted, found.dismissed.get(one.id)) for one in found.proposals]
        entries = sorted(map(_entry_out, found.entries), key=lambda one: (one.accepted_at, one.id), reverse=True)
        return KnowledgeShown(
            waiting=[one for one in shown if not one.accepted and one.dismissed_by is None],
            dismissed=[one for one in shown if not one.accepted and one.dismissed_by is not None],
            entries=entries,
            proposed=frozenset(one.id for one in shown if one.accepted),
            effects={one.id: one for one in found.report.entries} if found.report else {},
            counted_at=found.report.at if found.report else None,
            faults=found.faults,
        )

    def accept(self, proposal_id: str, payload: AcceptIn) -> EntryOut:
        """Make an entry of a proposal, or its next version.

        Raises:
            NotFound: There is no such proposal.
            StoreUnavailable: A file cannot be read or written.
        """
        found, at = self._proposal(proposal_id), _now()
        title = " ".join((payload.title or "").split()) or None
        text = payload.text.replace("\r\n", "\n") if payload.text and payload.text.strip() else None
        return _entry_out(_read(lambda: self._folder.accept(found, payload.agent, at, title=title, body=text)))

    def dismiss(self, proposal_id: str, payload: DismissIn) -> ProposalOut:
        """Decide against a proposal, or let it wait again.

        Raises:
            NotFound: There is no such proposal.
            Contradiction: It was accepted: there is an entry made of it.
            StoreUnavailable: A file cannot be read or written.
        """
        found, dismissal = self._proposal(proposal_id), None
        if _read(lambda: self._folder.entry(proposal_id)) is not None:
            raise Contradiction("accepted", "there is an entry made of this proposal: nobody can dismiss it any more")
        if payload.undo:
            _read(lambda: self._folder.restore(proposal_id))
        else:
            dismissal = _read(lambda: self._folder.dismiss(proposal_id, payload.agent, _now()))
        return _proposal_out(found, False, dismissal)

    def _proposal(self, proposal_id: str) -> Proposal:
        found = _read(lambda: self._folder.proposal(proposal_id))
        if found is None:
            raise NotFound("no-such-proposal", f"no proposal {proposal_id!r}: ask for those that wait")
        return found

    def entries(self) -> EntriesOut:
        """Return the accepted entries in their newest versions.

        Raises:
            StoreUnavailable: A file cannot be read.
        """
        return EntriesOut(entries=[_entry_out(one) for one in _read(self._folder.entries)])

    def entry(self, entry_id: str, version: int | None) -> EntryOut:
        """Return an entry.

        Raises:
            NotFound: There is no such entry, or no such version of it.
            StoreUnavailable: The file cannot be read.
        """
        found = _read(lambda: self._folder.entry(entry_id, version))
        if found is None:
            raise NotFound("no-such-entry", f"no entry {entry_id!r} in that version: ask for those that were accepted")
        return _entry_out(found)

    def fitting(self, ticket_id: str, reader: Principal) -> TicketKnowledgeOut:
        """Return the entries that fit a ticket.

        Raises:
            NotFound: Nothing was decided about the ticket.
            NotAllowed: The reader may not read it.
            StoreUnavailable: The store does not answer, or a file cannot be read.
        """
        stored, policy = self._service.store.thread(ticket_id, reader.source), self._service.model.triager.policy
        if not may_read(policy, stored.latest, reader.clearance):
            raise NotAllowed("sensitive-ticket", "the ticket is kept from this key: ask with one of higher clearance")
        found = suggestions(_read(self._folder.entries), thread_of(stored).whole.text)
        entries = [FittingOut(entry=_entry_out(one.entry), score=one.score, words=list(one.words)) for one in found]
        return TicketKnowledgeOut(ticket_id=ticket_id, entries=entries)


def _read(ask: Callable[[], _T]) -> _T:
    try:
        return ask()
    except InvalidRequest as error:  # what is wrong with a file is not the fault of the request
        raise StoreUnavailable("unreachable", f"the folder of knowledge: {error}") from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _entry_out(entry: Entry) -> EntryOut:
    return EntryOut.model_validate({name: getattr(entry, name) for name in EntryOut.model_fields})


def _proposal_out(proposal: Proposal, accepted: bool, dismissal: Dismissal | None) -> ProposalOut:
    return ProposalOut(
        **asdict(proposal),
        draft=proposal.draft(),
        accepted=accepted,
        dismissed_by=dismissal.by if dismissal else None,
        dismissed_at=dismissal.at if dismissal else None,
    )
