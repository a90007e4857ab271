"""A ticket after its decision: events are taken, its route is judged anew, and its history is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from anyio import to_thread

from api.http.exceptions import NotAcceptable, TooBusy
from api.http.reception import readable
from api.http.ticket_schemas import (
    MAX_EVENT_CHARS,
    AnswerIn,
    AnswersIn,
    CriterionOut,
    EscalationOut,
    EventIn,
    EventOut,
    PacketEntryOut,
    PacketOut,
    RouteOut,
    TicketViewOut,
    TimelineOut,
)
from api.privacy.outward import outward
from api.scoring.reviews import check_may_see, known_group, labels_of, listed
from api.scoring.service import Service
from api.security.auth import Principal
from api.security.clearance import check_may_judge, is_restricted, may_be_told
from api.store.outbox import PendingUpdate
from api.store.rows import UNDONE, DecisionRow, route_document, step_decided, steps_said
from api.store.threads.events import Outcome, Overtaken, StoredThread, check_order, forgotten
from models.triager import Triager
from models.wire import ALTERNATIVES, DECIMALS, DecisionDocument, RouteDocument
from triage.decide import alarmed
from triage.decision import Decision
from triage.escalation.choices import chosen_label, is_choice
from triage.escalation.criteria import Verdict, assess, next_up
from triage.escalation.packet import packet
from triage.escalation.questions import asked_question, questions_of
from triage.escalation.retriage import new_alarms, rerouted, route_by_person
from triage.escalation.standing import Place, placed
from triage.escalation.thread import Event, EventKind, Mover, Route, Thread
from triage.normalise import LeftOut
from triage.policy import Policy
from triage.restriction import suspected_category
from triage.wording import phrase_of, phrase_of_cause

_TRIES = 3
"""How often an event is judged in the hope that nothing else is kept about its ticket meanwhile; after that it is kept
by what is known then."""

_SAYING = (EventKind.COMMENT, EventKind.ANSWER)
"""What has a text."""


@dataclass(frozen=True)
class Handling:
    """Everything about a ticket over time that people look at together, judged once.

    Attributes:
        view: Its routes and everything that happened to it.
        escalation: Whether it stays or moves, by which criterion.
        packet: What goes with it to the tier that it moves to, or to the next one where it stays.
        decision: What would be decided now, about everything that was written.
        questions: What is still to be asked about it where it is now.
    """

    view: TicketViewOut
    escalation: EscalationOut
    packet: PacketOut
    decision: DecisionDocument
    questions: tuple[str, ...]


Alarm = Callable[[str, DecisionDocument], Sequence[PendingUpdate]]


def _nobody_told(source: str, document: DecisionDocument) -> Sequence[PendingUpdate]:
    return ()


class TicketThreads:
    """Takes events of tickets, says whether they stay or move, and shows their history.

    Args:
        service: Decides threads, and has the store and the policy in use.
        alarm: Makes what a helpdesk, by its name, is to be told of a decision that must not wait.
    """

    def __init__(self, service: Service, alarm: Alarm = _nobody_told) -> None:
        self._service, self._store, self._alarm = service, service.store, alarm

    async def take(
        self, ticket_id: str, payload: EventIn, sender: Principal, *, chosen: tuple[tuple[str, str], ...] = ()
    ) -> EventOut:
        """Take an event: the whole thread is decided anew, and the route changes where that is sure enough.

        Args:
            ticket_id: Of a ticket that was decided.
            payload: What happened.
            sender: Who says so.
            chosen: Of an answer: target and label of what was chosen.

        Raises:
            NotFound: Nothing was decided about the ticket.
            NotAllowed: The event says where a ticket goes that the sender may not read.
            NotAcceptable: The policy lacks a label, a group or a skill, a tier may not see the ticket, or the event is
                dated far in the future.
            Contradiction: The event is older than the last one, came before with another content, or the ticket was
                forgotten.
            TooBusy: The service cannot answer in time.
        """
        event, cut = _event_of(payload, chosen)
        for _ in range(_TRIES):
            try:
                return _with_cut(await self._taken(ticket_id, event, sender), cut)
            except Overtaken:
                continue
        return _with_cut(await self._taken(ticket_id, event, sender, at_last=True), cut)

    async def _taken(self, ticket_id: str, event: Event, sender: Principal, *, at_last: bool = False) -> EventOut:
        """Take an event by what is known of its ticket now.

        Args:
            ticket_id: Of a ticket that was decided.
            event: What happened.
            sender: Who says so.
            at_last: Whether it is kept even where something else is kept about the ticket in the meantime.

        Raises:
            Overtaken: Something else was.
        """
        triager = self._service.model.triager
        stored = await to_thread.run_sync(self._store.thread, ticket_id, sender.source)
        row = standing_row(stored)
        event = _checked(triager.policy, row, event, sender)
        thread, readable = thread_of(stored), may_be_told(triager.policy, row, sender)
        if await to_thread.run_sync(self._store.earlier_event, ticket_id, event, sender.source):
            return _told(ticket_id, event, thread, moved=False, readable=readable)
        check_order(stored.last_at, event, is_first=not stored.events)
        decision, event = await self._decided(triager, stored, event, sender)
        thread = replace(thread, events=(*thread.events, event))
        kinds = _kinds(stored, decision)
        kept = _as_kept(triager.policy, row, decision)
        closed = is_restricted(triager.policy, row, event.category) or (event.category is None and kept.restricted)
        by_person = partial(route_by_person, kinds=kinds, restricted=closed)
        route = by_person(thread, event, triager.policy) if event.moves else None
        route = route or rerouted(thread, kept, gate=triager.gate, policy=triager.policy, event=event)
        named = (event.category, route.category if route else None)
        restricted = decision.restricted or not triager.policy.sensitive_categories.isdisjoint(filter(None, named))

        after = replace(thread, routes=(*thread.routes, route)) if route else thread
        updates = self._alarms(after, decision, stored.latest, sender) if event.attention else ()
        led = Outcome(route, restricted, updates, stored.erased_at, progress=None if at_last else stored.progress)
        add = partial(self._store.add_event, ticket_id, event, led, source=sender.source, key_id=sender.key_id)
        readable = readable and _covers(triager.policy, restricted, sender)
        if not await to_thread.run_sync(add):
            return _told(ticket_id, event, thread, moved=False, readable=readable)
        if at_last:
            after = thread_of(await to_thread.run_sync(self._store.thread, ticket_id, sender.source))
        moved = route is not None and after.route.event_id == event.id
        document = _document(decision, stored.latest.id, readable)
        return _told(ticket_id, event, after, moved=moved, readable=readable, decision=document)

    async def _decided(
        self, triager: Triager, stored: StoredThread, event: Event, sender: Principal, *, counted: bool = True
    ) -> tuple[Decision, Event]:
        """Decide a thread with an event in it; return the event too, with what must not wait that came up with it."""
        thread = thread_of(stored)
        grown = self._service.as_read(replace(thread, events=(*thread.events, event)))
        decision = await self._service.decide_again(triager, grown, sender, counted=counted)
        alone = await self._service.alarms_in(triager, event.text, sender)
        decision = alarmed(decision, grown.whole, (*thread.alarms, *alone), triager.policy)
        known = [one.kind for one in stored.latest.document.attention]
        return decision, replace(event, attention=new_alarms(thread, decision, event, known))

    def _alarms(
        self, thread: Thread, decision: Decision, latest: DecisionRow, sender: Principal
    ) -> tuple[PendingUpdate, ...]:
        """Return what the ticket's helpdesk is to be told of what must not wait; what a person set stands in it."""
        now, document = thread.route, _document(decision, latest.id, readable=True)
        route = RouteDocument(tier=now.tier, category=now.category, resolver_group=now.resolver_group)
        by_person = now.by is Mover.PERSON
        document = document.under(route) if by_person else document.moved(route, automatic=route == document.route)
        return tuple(self._alarm(sender.source, document))

    async def answer(self, ticket_id: str, payload: AnswersIn, sender: Principal) -> EventOut:
        """Take answers to questions as one event, cut between head and tail where together they are over-long.

        Raises:
            NotAcceptable: The policy lists no such answer, nothing was answered, or two labels of a target were chosen.
            NotFound: As for `take`, like the other refusals.
        """
        stated, chosen = _answered(self._service.model.triager.policy, payload)
        return await self.take(ticket_id, stated, sender, chosen=chosen)

    async def preview(self, ticket_id: str, payload: AnswersIn, asker: Principal) -> DecisionDocument:
        """Return what `answer` would decide about a ticket; nothing is kept and nothing is counted.

        Raises:
            NotAcceptable: As for `answer`.
            NotFound: As for `take`, like the other refusals.
        """
        triager = self._service.model.triager
        stated, chosen = _answered(triager.policy, payload)
        stored = await to_thread.run_sync(self._store.thread, ticket_id, asker.source)
        row = standing_row(stored)
        event, cut = _event_of(stated, chosen)
        event = _checked(triager.policy, row, event, asker)
        decision, _ = await self._decided(triager, stored, event, asker, counted=False)
        told = may_be_told(triager.policy, row, asker) and _covers(triager.policy, decision.restricted, asker)
        return _document(decision, stored.latest.id, told).as_received((), cut)

    def moment(self, ticket_id: str, sender: Principal) -> datetime:
        """Return the moment of what happens now: no earlier than the last event, whose sender's clock may be ahead.

        Raises:
            NotFound: Nothing was decided about the ticket.
            StoreUnavailable: The store does not answer.
        """
        now = datetime.now(UTC)
        return max(now, self._store.thread(ticket_id, sender.source).last_at or now)

    async def escalation(self, ticket_id: str, asker: Principal, at: datetime | None = None) -> EscalationOut:
        """Say whether a ticket stays at its tier or moves, by which criterion, and when to ask again.

        Raises:
            NotFound: Nothing was decided about the ticket.
            TooBusy: The service cannot answer in time.
        """
        judged = await self._judged(await self._stored(ticket_id, asker), asker)
        return _escalation(judged, judged.verdict(at or datetime.now(UTC)))

    async def handling(self, ticket_id: str, asker: Principal) -> Handling:
        """Return history, escalation and packet of a ticket, for the page that shows them together.

        Raises:
            NotFound: Nothing was decided about the ticket.
            TooBusy: The service cannot answer in time.
        """
        judged = await self._judged(await self._stored(ticket_id, asker), asker)
        verdict, policy = judged.verdict(datetime.now(UTC)), judged.policy
        up = next_up(policy, judged.thread.route.tier, restricted=judged.decision.restricted)
        tier = verdict.tier if verdict.move else up
        return Handling(
            _view(policy, judged.stored, asker),
            _escalation(judged, verdict),
            await to_thread.run_sync(_packet, judged, tier),
            _document(judged.decision, judged.stored.latest.id, judged.readable),
            questions=_open_questions(judged),
        )

    async def _stored(self, ticket_id: str, reader: Principal) -> StoredThread:
        return await to_thread.run_sync(self._store.thread, ticket_id, reader.source)

    async def _judged(self, stored: StoredThread, asker: Principal) -> _Judged:
        """Decide a thread as it is, to look at it: nothing happened, so that the metrics do not count it."""
        triager, thread = self._service.model.triager, self._service.as_read(thread_of(stored))
        decision = await self._service.decide_again(triager, thread, asker, counted=False)
        decision = alarmed(decision, thread.whole, thread.alarms, triager.policy)
        row = standing_row(stored)
        readable = may_be_told(triager.policy, row, asker) and _covers(triager.policy, decision.restricted, asker)
        decision = _as_kept(triager.policy, row, decision)
        return _Judged(triager.policy, stored, thread, decision=decision, readable=readable)

    async def packet(self, ticket_id: str, asker: Principal, to_tier: str | None = None) -> PacketOut:
        """Return the hand-over packet of the edge that a ticket is about to take, or of the one to a stated tier.

        Raises:
            NotFound: Nothing was decided about the ticket.
            NotAcceptable: The policy lacks the tier.
            TooBusy: The service cannot answer in time.
        """
        judged = await self._judged(await self._stored(ticket_id, asker), asker)
        tier = labels_of(judged.policy, to_tier, None)[0] if to_tier else None
        return await to_thread.run_sync(_packet, judged, tier)

    async def told(self, ticket_id: str, reader: Principal) -> TicketViewOut:
        """Return what `view` does, with the packet of the edge that the ticket is about to take.

        It is left out where its words are kept from the reader, and where the service is too busy to decide the thread:
        the history is told all the same.

        Raises:
            NotFound: Nothing was decided about the ticket.
            StoreUnavailable: The store does not answer.
        """
        stored = await self._stored(ticket_id, reader)
        shown = _view(self._service.model.triager.policy, stored, reader)
        if shown.withheld:
            return shown
        try:
            judged = await self._judged(stored, reader)
        except TooBusy:
            return shown
        packed = await to_thread.run_sync(_packet, judged) if judged.readable else None
        return shown.model_copy(update={"packet": packed})

    def view(self, ticket_id: str, reader: Principal) -> TicketViewOut:
        """Return a ticket's routes and everything that happened to it, as far as the reader may see it.

        Raises:
            NotFound: Nothing was decided about the ticket.
            StoreUnavailable: The store does not answer.
        """
        return _view(self._service.model.triager.policy, self._store.thread(ticket_id, reader.source), reader)


@dataclass(frozen=True)
class _Judged:
    """A thread as far as it is read, what is decided about it now, and whether its words are for the one who asks."""

    policy: Policy
    stored: StoredThread
    thread: Thread
    decision: Decision
    readable: bool

    @property
    def ticket_id(self) -> str:
        return self.stored.ticket.id

    def verdict(self, at: datetime) -> Verdict:
        return assess(self.thread, self.decision, self.policy, at)


def _open_questions(judged: _Judged) -> tuple[str, ...]:
    """Return what is still to be asked: of what is decided now, or of the route that a person set in its place."""
    decision, now, policy = judged.decision, judged.thread.route, judged.policy
    if now.by is not Mover.PERSON or decision.kind or (now.tier, now.category) == (decision.tier, decision.category):
        return decision.questions
    return questions_of(policy, (now.tier, now.category), judged.thread.whole.text, decision.language)


def thread_of(stored: StoredThread) -> Thread:
    """Return a ticket's thread: decisions, what people said of them, and events, each with the route it led to.

    They follow one another as they were kept; each has the time at which its sender says that it happened. See `placed`
    for what counts.
    """
    opening = stored.decisions[0]
    first = opening.created_at
    if stored.events:
        first = min(first, stored.events[0][0].at)
    steps = [step_decided(row.id, row.document, row.created_at) for row in stored.decisions]
    steps += steps_said(said for row in stored.decisions for said in row.feedback)
    steps += [step for _, step in stored.events if step is not None]
    opened, *after = (step.route for step in placed(steps))
    routes = (replace(opened, at=stored.opened or first), *after)
    return Thread(stored.ticket, routes, tuple(event for event, _ in stored.events))


def standing_row(stored: StoredThread) -> DecisionRow:
    """Return the newest decision about a ticket with where it stands, and all that was said and marked of its texts."""
    route = thread_of(stored).route
    stands = route_document(route)
    return replace(
        stored.latest,
        stands=stands,
        set_route=stands if route.by is Mover.PERSON else None,
        marked=any(row.marked for row in stored.decisions),
        feedback=tuple(said for row in stored.decisions for said in row.feedback),
    )


def _as_kept(policy: Policy, row: DecisionRow, decision: Decision) -> Decision:
    """Return a decision about a whole thread as one that only some may see, where its ticket is kept from the others.

    What is read now may say nothing of what a helpdesk marked, a person said or another text told. Where it says no
    more than what a person has found to be of another category, the ticket may go where that person may send it.
    """
    verdicts = (decision.targets.get("category"), row.document.targets.get("category"))
    now, before = (suspected_category(policy, verdict) for verdict in verdicts)
    is_new = decision.restricted and (now is None or now != before)
    return replace(decision, restricted=is_new or is_restricted(policy, row))


def _kinds(stored: StoredThread, decision: Decision) -> set[str]:
    """Return the kinds of what must not wait that were ever found in a ticket."""
    found = [one.kind for row in stored.decisions for one in row.document.attention]
    return {*found, *(one.kind for one in decision.attention)}


def _answered(policy: Policy, payload: AnswersIn) -> tuple[EventIn, tuple[tuple[str, str], ...]]:
    """Return answers as one event, and what they choose.

    Raises:
        NotAcceptable: The policy lists no such answer, nothing was answered, or two labels of a target were chosen.
    """
    told = [_answer(policy, one) for one in payload.answers]
    text = "\n".join(words for words, _ in told if words)
    stated = {"id": payload.id, "kind": "answer", "at": payload.at.isoformat(), "text": text or None}
    return EventIn.model_validate(stated), _chosen_once([one for _, one in told if one is not None])


def _answer(policy: Policy, said: AnswerIn) -> tuple[str, tuple[str, str] | None]:
    """Return an answer as the model reads it, and the target and label that it chooses, if it does.

    The model reads the requester's words, and the answer that was chosen among the policy's. A label that was chosen is
    evidence of its own, and is not read as text besides.
    """
    for words in (said.answer, said.text):
        chosen = chosen_label(policy, said.question, words) if words else None
        if chosen is not None:
            return (said.text or "" if words is said.answer else ""), chosen
    question = asked_question(policy, said.question)
    known = [option.answer for option in question.options] if question else []
    answer = next((one for one in known if said.answer in policy.in_all_languages(one)), None)
    if said.answer is not None and answer is None:
        listed = "a label of it, by name or as it is offered" if is_choice(policy, said.question) else " / ".join(known)
        raise NotAcceptable(
            "unknown-answer",
            f"the policy lists no such answer to that question: it has {listed or 'none'}; choose, or send text",
            "answers",
        )
    words = " ".join(part for part in (answer, said.text) if part and part.strip())
    if not words:
        raise NotAcceptable("no-text", "an answer says something: state answer or text", "answers")
    return words, None


def _chosen_once(chosen: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return what was chosen, each target once.

    Raises:
        NotAcceptable: Two labels of a target were chosen.
    """
    once = tuple(dict.fromkeys(chosen))
    targets = [target for target, _ in once]
    twice = next((target for target in targets if targets.count(target) > 1), None)
    if twice is not None:
        labels = " and ".join(label for target, label in once if target == twice)
        raise NotAcceptable("two-labels", f"{twice} is answered with {labels}: choose one of them", "answers")
    return once


def _event_of(payload: EventIn, chosen: tuple[tuple[str, str], ...]) -> tuple[Event, list[LeftOut]]:
    """Return an event as far as its text is read, and what of that was taken out.

    Raises:
        NotAcceptable: It says nothing.
    """
    written = payload.text or ""
    if payload.kind in _SAYING and not written.strip() and not chosen:
        raise NotAcceptable("no-text", "a comment or an answer says something: state its text", "text")
    text, cut = readable(written, MAX_EVENT_CHARS)
    stated = {"kind": EventKind(payload.kind), "text": text, "needs": tuple(payload.needs), "chosen": chosen}
    return Event(**{**payload.model_dump(), **stated}), cut


def _with_cut(told: EventOut, cut: Sequence[LeftOut]) -> EventOut:
    """Return what became of an event, with what of its text was taken out among what the decision did not read."""
    decision = told.decision and told.decision.as_received((), cut)
    return told.model_copy(update={"decision": decision})


def _checked(policy: Policy, row: DecisionRow, event: Event, sender: Principal) -> Event:
    """Return an event in the policy's own labels, or refuse it."""
    if row.forgotten:
        raise forgotten()
    _check_kind(event)
    skills = {skill.name for skill in policy.escalation.skills}
    if not skills >= set(event.needs):
        raise NotAcceptable("unknown-skill", f"unknown skill: {listed(sorted(skills))}", "needs")
    if not event.moves:
        return event
    check_may_judge(policy, row, sender.clearance)
    tier, category = labels_of(policy, event.tier, event.category)
    group = event.resolver_group and known_group(policy, event.resolver_group)
    check_may_see(policy, row, Place(tier, category, group))
    return replace(event, tier=tier, category=category, resolver_group=group)


def _check_kind(event: Event) -> None:
    """Refuse an event with fields of another kind."""
    if (event.outcome is None) == (event.kind is EventKind.ATTEMPT):
        raise NotAcceptable("outcome", "outcome belongs to an attempt, and every attempt has one: state it", "outcome")
    if event.kind is not EventKind.STATUS and (event.moves or event.status):
        raise NotAcceptable(
            "not-a-status", "status, tier, category and resolver_group belong to a status: send one", "kind"
        )


def _covers(policy: Policy, restricted: bool, principal: Principal) -> bool:
    return not restricted or principal.clearance >= policy.sensitive_clearance


def _document(decision: Decision, decision_id: str, readable: bool) -> DecisionDocument:
    document = DecisionDocument.from_decision(decision, decision_id, alternatives=ALTERNATIVES, decimals=DECIMALS)
    return document if readable else document.without_explanation()


def _told(
    ticket_id: str,
    event: Event,
    thread: Thread,
    *,
    moved: bool,
    readable: bool,
    decision: DecisionDocument | None = None,
) -> EventOut:
    return EventOut(
        ticket_id=ticket_id,
        event_id=event.id,
        duplicate=decision is None,
        moved=moved,
        route=_route_out(thread.route, readable),
        decision=decision,
    )


def _view(policy: Policy, stored: StoredThread, reader: Principal) -> TicketViewOut:
    thread, readable = thread_of(stored), may_be_told(policy, standing_row(stored), reader)
    limit = policy.escalation.max_bounces
    owner = policy.escalation.owner if limit and thread.bounces >= limit else None
    return TicketViewOut(
        ticket_id=stored.ticket.id,
        withheld=not readable,
        route=_route_out(thread.route, readable),
        bounces=thread.bounces,
        bounce_cost=thread.bounces * policy.escalation.bounce_cost,
        owner=owner or None,
        routes=[_route_out(route, readable) for route in thread.routes],
        timeline=sorted(_timeline(stored, with_words=readable), key=lambda entry: entry.at),
    )


def _packet(judged: _Judged, tier: str | None = None) -> PacketOut:
    """Return what must go with a ticket to a tier; who is not to read its words gets none, an outsider no names.

    Where no tier is named, it is the one that the ticket is about to go to, or is at.
    """
    policy, readable, now = judged.policy, judged.readable, judged.thread.route
    tier = tier or judged.verdict(datetime.now(UTC)).tier
    outside = tier in policy.external_tiers
    texts = [outward(text) if outside else text for text in judged.thread.texts] if readable else []
    made = packet(policy, texts, (now.tier, tier), now.category or judged.decision.category)
    missing = policy.in_language(made.missing, judged.decision.language) if readable else ()
    return PacketOut(
        ticket_id=judged.ticket_id,
        from_tier=now.tier,
        to_tier=tier,
        withheld=not readable,
        redacted=outside,
        entries=[PacketEntryOut.model_validate(one) for one in made.entries] if readable else [],
        missing=list(missing),
        text=made.text() if readable else "",
    )


def _escalation(judged: _Judged, verdict: Verdict) -> EscalationOut:
    criteria = [CriterionOut.model_validate(one) for one in verdict.criteria]
    if not judged.readable:
        criteria = [one.model_copy(update={"quote": ""}) for one in criteria]
    return EscalationOut(
        ticket_id=judged.ticket_id,
        verdict="move" if verdict.move else "stay",
        tier=verdict.tier,
        resolver_group=verdict.resolver_group,
        by=verdict.by,
        because=verdict.because,
        criteria=criteria,
        next_check_at=verdict.next_check_at,
        held=verdict.held,
        advised=verdict.advised,
        owner=verdict.owner,
        bounces=verdict.bounces,
    )


def _route_out(route: Route, readable: bool) -> RouteOut:
    """Return a route as it is answered: why a person set it is in that person's words."""
    found = RouteOut.model_validate(route)
    return found if readable else found.model_copy(update={"because": ""})


def _cause(route: Route) -> str:
    return phrase_of_cause(route.because) if route.by is Mover.MACHINE else route.because


def _timeline(stored: StoredThread, *, with_words: bool) -> Iterable[TimelineOut]:
    for row in stored.decisions:
        yield TimelineOut(
            at=row.created_at,
            what="decision",
            by="machine",
            words=f"{row.document.automation}: {phrase_of(row.document.reason)}",
            tier=row.document.tier,
            category=row.document.category,
            resolver_group=row.document.resolver_group,
        )
        for said in row.feedback:
            yield TimelineOut(
                at=said.created_at,
                what="feedback",
                by=said.agent,
                words=" ".join(filter(None, ("taken back" if said.verdict == UNDONE else said.verdict, said.reason)))
                if with_words
                else "",
                tier=said.tier,
                category=said.category,
                resolver_group=said.resolver_group,
            )
    for event, step in stored.events:
        route = step.route if step is not None else None
        chosen = ", ".join(f"{target}: {label}" for target, label in event.chosen)
        words = ": ".join(filter(None, (event.outcome or event.status, chosen, event.text)))
        yield TimelineOut(at=event.at, what=event.kind.value, by="person", words=words if with_words else "")
        if route is not None:
            yield TimelineOut(
                at=route.at,
                what="route",
                by=route.by.value,
                words=_cause(route) if with_words else "",
                tier=route.tier,
                category=route.category,
                resolver_group=route.resolver_group,
            )
