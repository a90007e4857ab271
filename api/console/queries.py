"""What a list of decisions may be asked for: the same filters for programs and for the page, unknown ones refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.http.schemas import MAX_NAME_CHARS, NO_NUL, Person
from api.security.auth import Principal
from api.security.clearance import may_read
from api.store.work.queue import Filter, Sort, View
from triage.policy import Policy

MAX_WORDS_CHARS = 200
Label = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS, pattern=NO_NUL)]


class DecisionQuery(BaseModel):
    """The filters of `GET /v1/decisions`; each one narrows the list."""

    model_config = ConfigDict(extra="forbid")

    view: View = Field(
        default="all",
        description="a share of the work: waiting for what needs a person, mine for what I took, my_groups for what "
        "waits for the resolver groups of my account",
    )
    tier: Label | None = Field(default=None, description="as it stands after corrections")
    category: Label | None = Field(default=None, description="as it stands after corrections")
    resolver_group: Label | None = Field(default=None, description="as it stands after corrections")
    agent: Person | None = Field(
        default=None,
        description="whose tickets `view=mine` asks for, where a key asks; people who signed in see their own",
    )
    automation: Literal["automatic", "suggested", "blank"] | None = None
    reason: Label | None = Field(default=None, description="why the decision is what it is, such as low_confidence")
    attention: Label | None = Field(default=None, description="a kind of what must never wait; any for every kind")
    reviewed: bool | None = Field(default=None, description="whether somebody has said something about it that stands")
    model_version: Label | None = None
    ticket_id: Label | None = Field(default=None, description="only decisions about this ticket")
    q: str = Field(default="", max_length=MAX_WORDS_CHARS, pattern=NO_NUL, description="words of subject, text or id")
    sort: Sort = Field(
        default="newest", description="urgent: what must never wait, then the oldest; unsure: least confident"
    )
    before: Label | None = Field(
        default=None,
        description="id of a decision: only those that come after it in the order; 422 where there is none",
    )
    limit: int = Field(default=50, ge=1, le=200, description="most decisions to return")
    open: bool = Field(default=False, description="only decisions that nobody has said anything about")

    def filter_for(self, reader: Principal, policy: Policy, *, blind: bool = False) -> Filter:
        """Return what the store is asked for.

        Args:
            reader: Who asks: ``mine`` are the tickets that this person took, or for a key those of `agent`;
                ``my_groups`` those of the groups of whoever asks.
            policy: Says which tickets are sensitive, and from which clearance their words are searched.
            blind: Whether audits that nobody has judged are found by no label.
        """
        return Filter(
            view=self.view,
            tier=self.tier,
            category=self.category,
            resolver_group=self.resolver_group,
            automation=self.automation,
            reason=self.reason,
            attention=self.attention,
            reviewed=frozenset(said for said in (self.reviewed, False if self.open else None) if said is not None),
            model_version=self.model_version,
            ticket_id=self.ticket_id,
            words=self.q,
            agent=reader.agent or self.agent or reader.speaks_as,
            groups=reader.groups,
            clearance_for_words=reader.clearance >= policy.sensitive_clearance,
            sensitive_categories=frozenset(policy.sensitive_categories),
            may_read=lambda row: may_read(policy, row, reader.clearance),
            blind=blind,
        )


class QueueQuery(DecisionQuery):
    """The filters of the queue page; what is not stated is the work that waits, the most urgent first."""

    view: View = "waiting"
    sort: Sort = "urgent"
    limit: int = Field(default=50, ge=1, le=200)
    done: Label | None = Field(default=None, description="id of the decision that was just spoken about")
    told: Literal["answers", "moved", "both"] | None = Field(
        default=None, description="what was just noted of a ticket; both: somebody had spoken of it in the meantime"
    )

    @model_validator(mode="before")
    @classmethod
    def _without_what_was_left_empty(cls, stated: object) -> object:
        """Leave out what a form sends of a field that nobody filled in: an empty text."""
        return {name: one for name, one in stated.items() if one != ""} if isinstance(stated, Mapping) else stated

    @property
    def stated(self) -> dict[str, object]:
        """What the list is asked for by name, without what is usual, its page, and what was just done."""
        return _unusual({name: value for name, value in self if name not in ("before", "done", "told")})

    def link(self, **changes: object) -> str:
        """Return the query of a link to the same list with some parts changed; what is usual is left out."""
        return urlencode(_unusual(self.stated | changes))

    def only(self, **chosen: object) -> str:
        """Return the query of a link to what waits, in the same order, narrowed by what is chosen and nothing else."""
        return urlencode(_unusual({**chosen, "sort": self.sort, "limit": self.limit}))

    @property
    def narrowed(self) -> bool:
        """Whether anything but view and order was chosen."""
        usual = QueueQuery()
        return any(getattr(self, name) != getattr(usual, name) for name in _NARROWING)


def _unusual(stated: Mapping[str, object]) -> dict[str, object]:
    usual = QueueQuery().model_dump()
    return {name: value for name, value in stated.items() if value not in (usual.get(name), None, "")}


_NARROWING = (
    *("tier", "category", "resolver_group", "automation", "reason", "attention", "reviewed", "model_version"),
    *("ticket_id", "q", "open"),
)
