"""Knowledge in the service: proposals that wait, entries that were accepted, and those that fit a ticket."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from api.http.exceptions import NotAllowed, NotFound
from api.http.schemas import Name, Text
from api.scoring.service import Service
from api.scoring.threads import thread_of
from api.security.auth import Principal
from api.security.clearance import may_read
from models.knowledge import KnowledgeFolder
from triage.errors import InvalidRequest, StoreUnavailable
from triage.knowledge import Entry, Proposal, suggestions

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
        found = _read(self._folder.proposals)
        return ProposalsOut(proposals=[_proposal_out(one, one.id in accepted) for one in found])

    def accept(self, proposal_id: str, payload: AcceptIn) -> EntryOut:
        """Make an entry of a proposal, or its next version.

        Raises:
            NotFound: There is no such proposal.
            StoreUnavailable: A file cannot be read or written.
        """
        found = _read(lambda: self._folder.proposal(proposal_id))
        if found is None:
            raise NotFound("no-such-proposal", f"no proposal {proposal_id!r}: ask for those that wait")
        at, title = datetime.now(UTC).isoformat(timespec="seconds"), " ".join((payload.title or "").split()) or None
        text = payload.text if payload.text and payload.text.strip() else None
        return _entry_out(_read(lambda: self._folder.accept(found, payload.agent, at, title=title, body=text)))

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


def _entry_out(entry: Entry) -> EntryOut:
    return EntryOut.model_validate({name: getattr(entry, name) for name in EntryOut.model_fields})


def _proposal_out(proposal: Proposal, accepted: bool) -> ProposalOut:
    return ProposalOut(**asdict(proposal), draft=proposal.draft(), accepted=accepted)
