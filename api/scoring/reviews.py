"""What people see of recorded decisions, and what they say about them: accepted, corrected, unsure, taken back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial

from api.http.exceptions import NotAcceptable, NotFound
from api.http.schemas import DecisionDetail, FeedbackIn, FeedbackOut, TicketOut
from api.scoring.autonomy import AutonomyKeeper
from api.scoring.model_holder import ModelHolder
from api.security.auth import Principal
from api.security.clearance import check_may_judge, document_for, is_restricted, is_sensitive, may_read
from api.store.feedback import Caps, Statement
from api.store.outbox import UPDATE_AGE
from api.store.repository import Repository
from api.store.rows import UNDONE, DecisionRow, FeedbackRow, IdempotencyKey, standing_feedback
from api.telemetry import Metrics
from models.wire import DecisionDocument, RouteDocument
from triage.decision import Source
from triage.errors import StoreUnavailable, UnknownLabel
from triage.escalation.questions import questions_of
from triage.escalation.standing import Place, set_by_person
from triage.policy import Policy
from triage.ticket import Ticket


class Reviews:
    """Shows recorded decisions as far as a reader may see them, and keeps what people say about them.

    Its methods ask the store and so block: call them from worker threads.

    Args:
        store: Where decisions and feedback are kept.
        model: Knows the policy in use: its labels, and who may see sensitive tickets.
        metrics: Where to count.
        caps: How much feedback is taken from one key or agent a day.
        autonomy: Told when something was said: it may open or close automation.
        is_awaited: Says whether a decision that the store lacks was answered, and will be there.
    """

    def __init__(
        self,
        store: Repository,
        model: ModelHolder,
        metrics: Metrics,
        caps: Caps,
        autonomy: AutonomyKeeper,
        is_awaited: Callable[[str], bool] = lambda decision_id: False,
    ) -> None:
        self._store, self._model, self._metrics, self._caps = store, model, metrics, caps
        self._autonomy, self._is_awaited = autonomy, is_awaited

    def decision(self, decision_id: str) -> DecisionRow:
        """Return a decision of the store.

        Raises:
            NotFound: There is none with that id.
            StoreUnavailable: It was answered lately, and is not there yet.
        """
        row = self._store.decision(decision_id) if "\x00" not in decision_id else None
        if row is None and self._is_awaited(decision_id):
            raise StoreUnavailable("locked", "the decision is on its way to the store: try again")
        if row is None:
            raise NotFound(
                "no-such-decision",
                "there is no decision with that id: it was never made here, or is past its retention; "
                "see GET /v1/decisions",
            )
        return row

    def shown(self, row: DecisionRow, reader: Principal) -> DecisionDetail:
        """Return a decision as people corrected it, without what the reader's clearance does not cover."""
        policy = self._model.triager.policy
        withheld = not may_read(policy, row, reader.clearance)
        document = document_for(policy, row, reader.clearance)
        hidden = withheld or row.forgotten
        corrected = _corrected(document, row, policy)
        return DecisionDetail(
            **dict(corrected),
            current_route=row.stands or corrected.route,
            created_at=row.created_at,
            desk=row.source,
            revision=row.revision,
            ticket=None if hidden else TicketOut(subject=row.subject, body=row.body, channel=row.channel),
            withheld=withheld,
            standing=feedback_out(row.standing, without_words=withheld) if row.standing else None,
            feedback=[feedback_out(said, without_words=withheld) for said in row.feedback],
            revisions=list(row.revisions),
        )

    def keep(
        self,
        decision_id: str,
        said: FeedbackIn,
        reviewer: Principal,
        idempotency_key: IdempotencyKey | None = None,
    ) -> FeedbackOut:
        """Keep what a person says about a decision; an agent who signed in to the page speaks under that name.

        Raises:
            NotFound: There is no such decision.
            NotAllowed: The reviewer may not read the ticket.
            NotAcceptable: The policy lacks a label or the group, the labels never go together, or a tier or a group may
                not see the ticket.
            Contradiction: What is accepted is not what was decided.
            TooMuch: A cap is reached.
            KeyReused: The idempotency key was used for another request.
            StoreUnavailable: Nothing was kept.
        """
        row = self.decision(decision_id)
        policy = self._model.triager.policy
        check_may_judge(policy, row, reviewer.clearance)
        labels = _stated_once(known_labels(policy, said.targets), known_labels(policy, said.labels))
        tier, category = labels.get("tier"), labels.get("category")
        group = labels.get("resolver_group")
        check_may_see(policy, row, Place(tier, category, group))
        statement = Statement(
            said.verdict,
            reviewer.agent or said.agent,
            tier,
            category,
            reason=said.reason,
            comment=said.comment,
            resolver_group=group,
            labels=labels,
            follows=_following(policy, row, labels),
        )
        kept = self._store.feedback(
            row.id,
            statement,
            key_id=reviewer.key_id,
            idempotency_key=idempotency_key,
            caps=self._caps,
            sensitive=category in policy.sensitive_categories,
        )
        self._told(said.verdict)
        return feedback_out(kept)

    def keep_correction(
        self,
        source: str,
        ticket_id: str,
        labels: Mapping[str, str],
        *,
        agent: str,
        comment: str | None,
        changed: bool,
    ) -> str | None:
        """Keep the labels that a ticket has at its helpdesk now, and return the id of the decision they are about.

        Who changes something else there has judged no label: what the helpdesk was told, or has said before, counts
        only where it says that a label was changed.

        Args:
            source: The helpdesk.
            ticket_id: Its id of the ticket.
            labels: By target; the decision counts as accepted where they are those that were decided.
            agent: Who set them.
            comment: What that person wrote.
            changed: Whether the helpdesk says that a label was changed.

        Returns:
            The id of the decision, or None where the labels are those that the ticket had there before.

        Raises:
            NotFound: Nothing was decided about the ticket.
            NotAcceptable: The policy lacks a label, or the labels never go together. A tier that stands there as it was
                decided does not count beside a sensitive category that it may not see.
            StoreUnavailable: Nothing was kept.
        """
        rows = self._store.latest(1, ticket_id=ticket_id, source=source)
        if not rows:
            raise NotFound("no-such-decision", "nothing was decided about that ticket: send the ticket first")
        policy, row = self._model.triager.policy, self.decision(rows[0].id)
        document = row.document
        labels = known_labels(policy, _spoken_of(policy, labels, document))
        further = {target: verdict.label for target, verdict in document.targets.items()}
        decided = {**further, **dict(document.route)}
        tier, category = labels.get("tier"), labels.get("category")
        same = (tier, category) == (document.tier, document.category)
        same = same and all(decided.get(target) == label for target, label in labels.items())
        verdict = "accepted" if same else "corrected"
        # Of an old ticket, and of one that was forgotten, nobody knows any more what the helpdesk was told.
        untold = same and (row.forgotten or row.created_at < datetime.now(UTC) - UPDATE_AGE)
        if not changed and (untold or self._store.is_known(source, ticket_id, labels)):
            return None
        statement = Statement(
            verdict,
            agent,
            tier,
            category,
            comment=comment,
            resolver_group=labels.get("resolver_group"),
            labels=labels,
            by_helpdesk=True,
            follows=_following(policy, row, labels),
        )
        restricted = verdict == "corrected" and category in policy.sensitive_categories
        self._store.feedback(row.id, statement, sensitive=restricted)
        self._told(verdict)
        return row.id

    def repeat(self, decision_id: str, feedback_id: str, agent: str, reviewer: Principal) -> FeedbackOut:
        """Say the last word on a decision once more, as by who has seen an alarm that came after it.

        It needs no label that the policy lists: whatever stands goes on standing.

        Raises:
            NotFound: There is no such decision.
            NotAllowed: The reviewer may not read the ticket.
            Contradiction: Somebody has spoken in the meantime.
            TooMuch: A cap is reached.
            StoreUnavailable: Nothing was kept.
        """
        row, speaker = self.decision(decision_id), reviewer.agent or agent
        check_may_judge(self._model.triager.policy, row, reviewer.clearance)
        kept = self._store.repeat(row.id, feedback_id, speaker, key_id=reviewer.key_id, caps=self._caps)
        self._told(kept.verdict)
        return feedback_out(kept)

    def take_back(self, decision_id: str, feedback_id: str, agent: str, reviewer: Principal) -> FeedbackOut:
        """Take feedback back, and return the row that says so; an agent who signed in speaks under that name.

        Raises:
            NotFound: There is no such decision, or no such feedback on it.
            NotAllowed: The reviewer may not read the ticket.
            StoreUnavailable: Nothing was kept.
        """
        row, policy = self.decision(decision_id), self._model.triager.policy
        check_may_judge(policy, row, reviewer.clearance)
        undone = self._store.undo(
            row.id,
            feedback_id,
            reviewer.agent or agent,
            key_id=reviewer.key_id,
            is_sensitive=partial(is_sensitive, policy),
        )
        self._told(UNDONE)
        return feedback_out(undone)

    def _told(self, verdict: str) -> None:
        self._metrics.feedback.labels(verdict).inc()
        self._autonomy.refresh()


def feedback_out(row: FeedbackRow, *, without_words: bool = False) -> FeedbackOut:
    """Return a row of feedback as it is answered; without what its author wrote where the ticket is withheld."""
    words = {"reason": None, "comment": None} if without_words else {}
    return FeedbackOut.model_validate(row.document() | words)


def _group_named(row: DecisionRow) -> str | None:
    """Return the resolver group that a person named last for the ticket of a decision, unless that was taken back."""
    named = (said.label_of("resolver_group") for said in reversed(standing_feedback(row.feedback)))
    return next((group for group in named if group is not None), None)


def _following(
    policy: Policy, row: DecisionRow, labels: Mapping[str, str]
) -> Callable[[DecisionDocument], RouteDocument]:
    """Return what makes the route that a correction leads to, of the decision with the route that stands.

    What must not wait stays with the group that the policy names for it. A group that a person named, and one that was
    learned for itself and decided, stands where only tier or category are corrected, if it may see the ticket.

    Args:
        policy: Of the helpdesk.
        row: The decision that a person speaks about.
        labels: What the person says is right, by target.
    """
    before, restricted = _group_named(row), is_restricted(policy, row, labels.get("category"))

    def follows(stands: DecisionDocument) -> RouteDocument:
        own, alarm = stands.targets.get("resolver_group"), policy.attention_group(one.kind for one in stands.attention)
        learned = own is not None and own.source == Source.MODEL.value and own.label == stands.resolver_group
        now, keeps = Place(stands.tier, stands.category, before or stands.resolver_group), learned or before is not None
        place = set_by_person(policy, now, labels, named=alarm, keeps_group=keeps, restricted=restricted)
        return RouteDocument(**place._asdict())

    return follows


def _corrected(decided: DecisionDocument, row: DecisionRow, policy: Policy) -> DecisionDocument:
    """Return a decision with the route that people say is right; what was decided of each target stays in it."""
    said = row.correction
    if said is None:
        return decided
    changed: dict[str, object] = {part: label for part, label in said.puts._asdict().items() if label}
    corrected = decided.model_copy(update=changed)
    tier, category = corrected.tier, corrected.category
    if (tier, category) == (decided.tier, decided.category) or decided.kind is not None:
        return corrected
    text = Ticket(subject=row.subject, body=row.body).text
    questions = questions_of(policy, (tier, category), text, decided.language)
    return corrected.model_copy(update={"questions": questions, "hand_over": policy.hand_over(tier, category)})


def known_group(policy: Policy, group: str) -> str:
    """Return a group of the policy.

    Raises:
        NotAcceptable: The policy does not list it.
    """
    known = policy.group_names
    group = policy.canonical("resolver_group", group)
    if group not in known:
        raise NotAcceptable("unknown-group", f"unknown resolver group: {listed(known)}", "resolver_group")
    return group


def listed(known: Iterable[str]) -> str:
    """Say which names the policy lists, and what to do in place of stating another one.

    Example:
        >>> listed(["network", "desk"]), listed([])
        ('the policy lists network, desk; use one of them', 'the policy lists none; leave it out')
    """
    names = ", ".join(known)
    return f"the policy lists {names}; use one of them" if names else "the policy lists none; leave it out"


def _spoken_of(policy: Policy, labels: Mapping[str, str], decided: DecisionDocument) -> dict[str, str]:
    """Return the labels at a helpdesk without those that only stand there still.

    A group that was decided follows where another tier or category was set. Who finds that a ticket is sensitive may
    leave the tier as it is: the category counts, and restricts the ticket.
    """
    stated = dict(labels)
    tier, category = (_label(policy, target, stated.get(target)) for target in ("tier", "category"))
    if not any(new not in (None, old) for new, old in ((tier, decided.tier), (category, decided.category))):
        return stated
    if stated.get("resolver_group") == decided.resolver_group:
        stated.pop("resolver_group", None)
    if category in policy.sensitive_categories and tier == decided.tier and not policy.is_legal(tier, category):
        stated.pop("tier", None)
    return stated


def known_labels(policy: Policy, labels: Mapping[str, str]) -> dict[str, str]:
    """Turn stated labels of any target into the policy's own.

    Raises:
        NotAcceptable: There is no such target, the policy does not list a label, or labels never stand together.
    """
    found = dict[str, str]()
    for target, label in labels.items():
        if target == "resolver_group":
            found[target] = known_group(policy, label)
        elif target in ("tier", "category", *policy.targets):
            found[target] = _label(policy, target, label) or label
        else:
            known = ", ".join(policy.targets)
            raise NotAcceptable("unknown-target", f"unknown target: there are {known}; use one of them", "targets")
    labels_of(policy, found.get("tier"), found.get("category"))
    if not policy.may_stand_together(found):
        raise NotAcceptable(
            "illegal-pair", "the policy says that these labels never go together: correct one of them", "targets"
        )
    return found


def _stated_once(among_targets: dict[str, str], stated: dict[str, str]) -> dict[str, str]:
    """Return all labels of a statement.

    Raises:
        NotAcceptable: A target has one label in a field of its own, and another one among `targets`.
    """
    for target, label in among_targets.items():
        if stated.get(target) != label:
            raise NotAcceptable(
                "two-labels",
                f"{target} has a label of its own and another one in targets: state one of them",
                target if target in ("tier", "category") else "targets",
            )
    return stated


def labels_of(policy: Policy, tier: str | None, category: str | None) -> tuple[str | None, str | None]:
    """Turn the labels of feedback into the policy's own.

    Raises:
        NotAcceptable: The policy does not list a label, or says that the two can never stand together.
    """
    tier, category = _label(policy, "tier", tier), _label(policy, "category", category)
    if not policy.is_legal(tier, category):
        raise NotAcceptable(
            "illegal-pair",
            "the policy says that this tier and category never go together: correct one of them",
            "category",
        )
    return tier, category


def check_may_see(policy: Policy, row: DecisionRow, stated: Place) -> None:
    """Refuse a tier and a group, each by itself, that may not see the ticket; see `is_restricted`.

    Args:
        policy: Says who may see what.
        row: The newest decision about the ticket, with where it stands.
        stated: What a person names of the route.

    Raises:
        NotAcceptable: A restricted ticket would reach a tier or a group without the clearance for it.
    """
    if not is_restricted(policy, row, stated.category):
        return
    tier, group = stated.tier, stated.resolver_group
    if not policy.may_see(tier, restricted=True):
        raise _uncleared(policy, f"tier {tier} may not see it: name a tier", "tier")
    if group is not None and not policy.group_may_see(group):
        raise _uncleared(policy, f"group {group} may not see it: name a group of a tier", "resolver_group")


def _uncleared(policy: Policy, refusal: str, field: str) -> NotAcceptable:
    wanted = f"of clearance {policy.sensitive_clearance} or more"
    return NotAcceptable(
        "uncleared-tier",
        f"this ticket is sensitive and {refusal} {wanted}; where only its category makes it so, the right one with it",
        field,
    )


def _label(policy: Policy, target: str, label: str | None) -> str | None:
    if label is None:
        return None
    try:
        return policy.fold(target, policy.resolve(target, [label])[0])
    except UnknownLabel as error:
        raise NotAcceptable(
            "unknown-label",
            f"unknown {target}: {listed(policy.labels(target))}",
            target if target in ("tier", "category") else "targets",
        ) from error
