"""A desk's policy: its tiers, categories, resolver groups, legal pairs, costs, aliases and lists; data, not code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations
from operator import itemgetter
from types import MappingProxyType
from typing import Any

from triage.errors import InvalidRequest, UnknownLabel
from triage.policy.effort import Effort
from triage.policy.escalation import EscalationPolicy
from triage.policy.questions import Choice, Question
from triage.prediction import Score, in_order, name_problem
from triage.screening.cues import Frame

_EMPTY: Mapping[str, Any] = MappingProxyType({})
_by_probability = itemgetter(1)


@dataclass(frozen=True)
class Tier:
    """A support tier.

    Attributes:
        label: Short name used everywhere, such as ``L2``.
        name: What people call it.
        description: What ends there, in words: the only evidence where there is no history.
        time_budget_min: Working minutes after which it hands the ticket up; None for no budget.
        hours: When it works, in words, such as ``mon-fri 08:00-18:00``.
        clearance: What it may see: a sensitive past ticket needs a clearance of at least `Policy.sensitive_clearance`.
        automate: False allows suggestions only.
        expected_share: Share of traffic expected here, in (0, 1); None if not stated.
        questions: What to ask the requester when the tier is in doubt or the ticket starts here: in words, or by the id
            of a question of the catalogue.
        hand_over: What this tier must hand over when it passes a ticket up.
        staffed: Whether people work there; what nobody works at has nothing to hand over to the tiers above the next.
        external: Whether it is an outside party: it gets no personal data, and nothing for lack of time alone.
        staff: People who work there at the same time, within its hours; None if not stated.
        handling_min: Minutes of work on a ticket, half of them taking longer; where nobody works or an outside party
            does, minutes until there is an answer. None if not stated.
        min_recall: Share of its tickets that must not be decided as another tier, in (0, 1): where that cannot be kept,
            the gate leaves the ticket to a person. None guards nothing.
    """

    label: str
    name: str = ""
    description: str = ""
    time_budget_min: float | None = None
    hours: str = ""
    clearance: int = 0
    automate: bool = True
    expected_share: float | None = None
    questions: tuple[str, ...] = ()
    hand_over: tuple[str, ...] = ()
    staffed: bool = True
    external: bool = False
    staff: int | None = None
    handling_min: float | None = None
    min_recall: float | None = None


@dataclass(frozen=True)
class Category:
    """A category of tickets; fields as for `Tier`, `parent` for reports, `sensitive` for who may see past tickets."""

    label: str
    name: str = ""
    description: str = ""
    parent: str | None = None
    sensitive: bool = False
    automate: bool = True
    expected_share: float | None = None
    questions: tuple[str, ...] = ()
    hand_over: tuple[str, ...] = ()
    min_recall: float | None = None


@dataclass(frozen=True)
class Label:
    """A label of a target beside tier and category; fields as for `Tier`."""

    label: str
    name: str = ""
    description: str = ""
    automate: bool = True
    expected_share: float | None = None
    min_recall: float | None = None


@dataclass(frozen=True)
class Legal:
    """Which labels of other targets may stand beside one label: which tiers a group serves, for example.

    Attributes:
        target: The target whose label is bound.
        label: That label.
        beside: By other target, the labels that may stand beside it; a target that is absent is free.
    """

    target: str
    label: str
    beside: Mapping[str, tuple[str, ...]]

    def allows(self, target: str, label: str, other: str, beside: str) -> bool:
        """Say whether two labels of different targets may stand together as far as this tells.

        Example:
            >>> Legal("resolver_group", "network", {"tier": ("L2",)}).allows("tier", "L1", "resolver_group", "network")
            False
        """
        pair = {target: label, other: beside}
        named = other if target == self.target else target
        return pair.get(self.target) != self.label or named not in self.beside or pair[named] in self.beside[named]


@dataclass(frozen=True)
class ResolverGroup:
    """A team that resolves tickets: its tier, and the categories it takes (none listed: every one)."""

    name: str
    tier: str | None
    categories: tuple[str, ...] = ()


@dataclass(frozen=True)
class AttentionRoute:
    """Where a ticket goes that must not wait.

    Attributes:
        kind: What it is, such as ``safety``.
        group: The resolver group that takes it whatever its category; None leaves the group to the route, and so does
            a sensitive ticket that the group may not see.
        tier: The lowest tier that may have it; None for any.
        any: re2 patterns of this desk's own that mark the kind, over lower-case text without accents, beside the
            shipped cues.
    """

    kind: str
    group: str | None = None
    tier: str | None = None
    any: tuple[str, ...] = ()


@dataclass(frozen=True)
class GatePolicy:
    """Floors under single automatic decisions, whatever is right on average, and how many strangers to expect.

    Attributes:
        max_ticket_risk_multiple: A single decision is automatic only where its own probability of being wrong is at
            most this many times the target risk. An average of r allows single tickets far above r; three times r
            leaves out the coin tosses and costs a tenth of the decisions on the shipped tickets.
        tolerated_ticket_risk: A single decision that is wrong with at most this is never held back by the floor, in
            [0, 1]; 0 keeps to the multiple alone. The average is certified anyway, and at a target of 0.05 the
            multiple alone would cost 6 in 100 decisions on Endava, of which four in five are right.
        min_margin: Where the first two labels are closer than this, neither is decided, in [0, 1]. A calibrated
            probability is hardly known to better than half of the default.
        stranger_share: Share of traffic that belongs to no label at all, in [0, 1). What is decided about such a
            ticket is always wrong; 0 expects none. On CLINC150 one in fifty holds back 92 in 100 requests of no
            intent for 4 in 100 of the others, and on tickets, where distance tells less, next to nothing.
        max_stranger: Nothing is decided about a ticket that belongs to no label with more than this probability, in
            [0, 1]: what is sure of its label among strangers is sure of nothing.
    """

    max_ticket_risk_multiple: float = 3.0
    tolerated_ticket_risk: float = 0.25
    min_margin: float = 0.1
    stranger_share: float = 0.02
    max_stranger: float = 0.25


@dataclass(frozen=True)
class Policy:
    """Everything about routing that a desk may decide for itself.

    Attributes:
        version: Stated by whoever wrote it, or a digest of the file; part of every decision.
        tiers: In order of escalation where `ordinal`.
        categories: In the order of the file.
        groups: Resolver groups; the first that fits a route is its group.
        folding: Tiers this desk does not run, and the tier that takes their tickets.
        illegal: Pairs of (tier, category) that cannot be.
        apart: Pairs of other targets' labels that cannot be, each a pair of (target, label).
        legal: Labels that only some labels of other targets may stand beside.
        aliases: Per target, other spellings of a label.
        ordinal: Whether the order of tiers means anything.
        cost_under: Cost of each tier that a ticket lands too low.
        cost_over: Cost of each tier that a ticket lands too high.
        decide_by_cost: True picks the tier of least expected cost instead of the most probable one.
        sensitive_clearance: Clearance needed to see sensitive past tickets.
        suggest_only: Targets that are never decided without a person, whatever the model's confidence.
        settling: Questions whose answer settles which of two tiers it is, by the pair.
        attention: Where tickets go that must not wait, the most pressing first.
        not_a_ticket: What may be done without a person with a message that is no ticket, by its kind.
        ask_when_vague: What to ask somebody who does not say what is wrong.
        never_automatic: Pairs of (tier, category) that a person confirms, whatever the model's confidence.
        translations: By language, questions as they are asked in it.
        gate: Floors under single automatic decisions.
        escalation: When a ticket changes its tier.
        effort: The minutes that the desk's work takes.
        catalogue: Questions whose answers tell tiers apart; which of them is asked depends on the ticket.
        choices: Questions that are answered by choosing a label of a target that is in doubt.
        further: Labels of the targets beside tier and category, by target.
    """

    version: str
    tiers: tuple[Tier, ...] = ()
    categories: tuple[Category, ...] = ()
    groups: tuple[ResolverGroup, ...] = ()
    folding: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    illegal: frozenset[tuple[str, str]] = frozenset()
    aliases: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: _EMPTY)
    ordinal: bool = True
    cost_under: float = 1.0
    cost_over: float = 1.0
    decide_by_cost: bool = False
    sensitive_clearance: int = 2
    suggest_only: frozenset[str] = frozenset()
    settling: Mapping[frozenset[str], tuple[str, ...]] = field(default_factory=dict)
    attention: tuple[AttentionRoute, ...] = ()
    not_a_ticket: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    ask_when_vague: tuple[str, ...] = ()
    never_automatic: frozenset[tuple[str, str]] = frozenset()
    translations: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: _EMPTY)
    gate: GatePolicy = field(default_factory=GatePolicy)
    escalation: EscalationPolicy = field(default_factory=EscalationPolicy)
    effort: Effort = field(default_factory=Effort)
    catalogue: tuple[Question, ...] = ()
    choices: tuple[Choice, ...] = ()
    further: Mapping[str, tuple[Label, ...]] = field(default_factory=lambda: _EMPTY)
    apart: frozenset[frozenset[tuple[str, str]]] = frozenset()
    legal: tuple[Legal, ...] = ()

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """The targets this policy has labels for, in the order in which they are decided."""
        return in_order(target for target in ("tier", "category", *self.further) if self.entries(target))

    def entries(self, target: str) -> Sequence[Tier | Category | Label]:
        """Return what is known of each label of a target; nothing for one that this policy does not have."""
        if target == "tier":
            return self.tiers
        return self.categories if target == "category" else self.further.get(target, ())

    @property
    def known_labels(self) -> dict[str, list[str]]:
        """All labels by target, those of folded tiers too; resolver groups count as listed where a route names them."""
        known = {target: [entry.label for entry in self.entries(target)] for target in ("tier", "category")}
        others = {target: [entry.label for entry in labels] for target, labels in self.further.items()}
        return {**known, **others, "resolver_group": list(self.group_names)}

    def with_labels(self, labels: Mapping[str, Iterable[str]]) -> Policy:
        """Return this policy with labels of targets beside tier and category that it does not list yet.

        Args:
            labels: By target, as the data has them; what is an alias of another label is not added.

        Raises:
            InvalidRequest: A target has a name that none can have.
        """
        for target in labels:
            problem = name_problem(target, {*labels, *self.further})
            if problem is not None:
                raise InvalidRequest(f"{target!r} cannot be a target: {problem}; give it another name with --target")
        further = dict(self.further)
        for target, found in labels.items():
            known = {entry.label for entry in self.entries(target)} | set(self.aliases.get(target, {}))
            added = tuple(Label(label) for label in dict.fromkeys(found) if label not in known)
            further[target] = (*self.further.get(target, ()), *added)
        return replace(self, further=further)

    def with_targets_of(self, other: Policy) -> Policy:
        """Return this policy with the targets beside tier and category that only another one has."""
        missing = {target: labels for target, labels in other.further.items() if target not in self.further}
        return replace(self, further={**self.further, **missing}) if missing else self

    def labels(self, target: str) -> tuple[str, ...]:
        """Return the labels in use, in order; folded tiers are left out."""
        return tuple(
            entry.label for entry in self.entries(target) if entry.label not in self.folding or target != "tier"
        )

    def canonical(self, target: str, label: str) -> str:
        """Return the policy's own spelling of a label: what it is an alias of, else itself.

        Example:
            >>> Policy("1", aliases={"category": {"net": "network"}}).canonical("category", "net")
            'network'
        """
        return self.aliases.get(target, {}).get(label, label)

    def entry(self, target: str, label: str) -> Tier | Category | Label | None:
        """Return what is known of a label of a target, or None."""
        return next((entry for entry in self.entries(target) if entry.label == label), None)

    def fold(self, target: str, label: str) -> str:
        """Return the label in whose place this desk puts it: itself, unless its tier is folded."""
        return self.folding.get(label, label) if target == "tier" else label

    @property
    def ranks_by_probability(self) -> bool:
        """Whether each label is ranked by its own probability: no tier is folded, and none is chosen by its cost."""
        return not (self.folding or self.decide_by_cost)

    def rank(self, target: str, scores: Iterable[Score]) -> tuple[Score, ...]:
        """Add up the probabilities of folded tiers and rank the labels: the one this desk would choose first.

        That is the most probable label, or with `decide_by_cost` the tier of least expected cost; the others follow by
        probability.

        Example:
            >>> policy = Policy("1", tiers=(Tier("L0"), Tier("L1")), folding={"L0": "L1"})
            >>> policy.rank("tier", (Score("L0", 0.6), Score("L1", 0.4)))
            (Score(label='L1', probability=1.0),)
        """
        if target != "tier" or not self.folding:
            return self.ranked(target, scores)
        total: dict[str, float] = {}
        for score in scores:
            label = self.fold(target, score.label)
            total[label] = total.get(label, 0.0) + score.probability
        return self.ranked(target, (Score(label, min(1.0, share)) for label, share in total.items()))

    def ranked(self, target: str, scores: Iterable[Score]) -> tuple[Score, ...]:
        """Rank labels as `rank` does, where those of folded tiers are added up already."""
        found = sorted(scores, key=_by_probability, reverse=True)
        if target == "tier" and self.decide_by_cost and found:
            cheapest = min(found, key=lambda routed: self._expected_cost(routed.label, found))
            found.remove(cheapest)
            found.insert(0, cheapest)
        return tuple(found)

    def _expected_cost(self, routed: str, scores: Iterable[Score]) -> float:
        return sum(score.probability * self.cost(score.label, routed) for score in scores)

    def expected_shares(self, target: str) -> dict[str, float]:
        """Return the share of traffic stated per label, folded ones too; empty unless every label has one."""
        shares = {entry.label: entry.expected_share for entry in self.entries(target)}
        stated = {label: share for label, share in shares.items() if share is not None}
        return stated if len(stated) == len(shares) else {}

    def without_share(self, target: str) -> list[str]:
        """Return the labels in use that lack an expected share where others state one: then none of them counts."""
        entries = self.entries(target)
        lacking = [entry.label for entry in entries if entry.expected_share is None]
        return lacking if len(lacking) < len(entries) else []

    def guards(self, target: str) -> dict[str, float]:
        """Return the labels in use that must not be missed, with the recall that each must keep.

        Example:
            >>> policy = Policy("1", categories=(Category("security", min_recall=0.9), Category("ordinary")))
            >>> policy.guards("category")
            {'security': 0.9}
        """
        stated = {entry.label: entry.min_recall for entry in self.entries(target)}
        return {label: recall for label in self.labels(target) if (recall := stated[label]) is not None}

    def may_automate(self, target: str, label: str) -> bool:
        """Say whether a label may be acted on without a person."""
        entry = self.entry(target, label)
        return target not in self.suggest_only and (entry is None or entry.automate)

    def questions(self, tier: str | None, category: str | None, rival: str | None = None) -> tuple[str, ...]:
        """Return what to ask, the question that settles `tier` against `rival` first, without repetition."""
        asked = self.settling.get(frozenset((tier, rival)), ()) if tier and rival else ()
        words = {question.id: question.ask for question in self.catalogue}
        listed = (*asked, *self._lists("questions", tier, category))
        return tuple(dict.fromkeys(words.get(one, one) for one in listed))

    def in_language(self, questions: Sequence[str], language: str | None) -> tuple[str, ...]:
        """Return questions in a language, each as it stands where the policy has no translation.

        Example:
            >>> policy = Policy("1", translations={"de": {"Who?": "Wer?"}})
            >>> policy.in_language(["Who?", "When?"], "de")
            ('Wer?', 'When?')
        """
        known = self.translations.get(language or "", {})
        return tuple(known.get(question, question) for question in questions)

    def in_all_languages(self, words: str) -> list[str]:
        """Return words as they stand, then as each language of the policy that has them says them."""
        return [words, *(table[words] for table in self.translations.values() if words in table)]

    @cached_property
    def own_cues(self) -> tuple[Frame, ...]:
        """This desk's own cues for what must not wait."""
        return tuple(Frame(route.kind, "of the policy", route.any) for route in self.attention if route.any)

    def attention_route(self, kinds: Iterable[str], *, restricted: bool = False) -> AttentionRoute | None:
        """Return the most pressing route among kinds; None where the policy has none for them.

        Args:
            kinds: What was found that must not wait.
            restricted: Whether only some may see the ticket. A group that may not gives way to that of the next kind
                found whose group may, and to none where there is no such group.
        """
        found = set(kinds)
        routes = [route for route in self.attention if route.kind in found]
        if not routes or routes[0].group is None or not restricted or self.group_may_see(routes[0].group):
            return routes[0] if routes else None
        cleared = (route.group for route in routes if route.group is not None and self.group_may_see(route.group))
        return replace(routes[0], group=next(cleared, None))

    def attention_group(self, kinds: Iterable[str], *, restricted: bool = False) -> str | None:
        """Return the group that takes what must not wait of these kinds; None where the policy names none.

        Args:
            kinds: What was found that must not wait.
            restricted: Whether only some may see the ticket. A group that may not is not named.
        """
        route = self.attention_route(kinds, restricted=restricted)
        return route.group if route is not None else None

    def is_below(self, tier: str | None, floor: str | None) -> bool:
        """Say whether a tier lies below another; never where tiers have no order or one is not stated."""
        order = self.labels("tier")
        floor = floor and self.fold("tier", floor)
        return self.ordinal and tier in order and floor in order and order.index(tier) < order.index(floor)

    def hand_over(self, tier: str | None, category: str | None) -> tuple[str, ...]:
        """Return what must be known of a ticket that is handed up to this tier.

        That is what each staffed tier below it must hand over, from the lowest on, and what the category asks for.

        Example:
            >>> tiers = (Tier("L1", hand_over=("user",)), Tier("L2", hand_over=("logs",)), Tier("L3"))
            >>> Policy("1", tiers=tiers).hand_over("L3", None)
            ('user', 'logs')
        """
        order = self.labels("tier")
        lower = order[: order.index(tier)] if tier in order else ()
        below = [entry for entry in self.tiers if entry.label in lower]
        staffed = [one for one in below if one.staffed]
        given = [item for one in staffed or below for item in one.hand_over]
        return tuple(dict.fromkeys((*given, *self._lists("hand_over", None, category))))

    def _lists(self, name: str, tier: str | None, category: str | None) -> list[str]:
        found = (self.entry(target, label) for target, label in (("tier", tier), ("category", category)) if label)
        return [item for entry in found if entry is not None for item in getattr(entry, name)]

    def resolve(self, target: str, labels: Iterable[str]) -> list[str]:
        """Turn labels as written in the data into the policy's own, by aliases; unknown ones are an error.

        Raises:
            UnknownLabel: Naming all labels that neither the policy nor its aliases list.
        """
        known = {entry.label for entry in self.entries(target)}
        resolved = [self.canonical(target, label) for label in labels]
        unknown = set(resolved) - known
        if unknown:
            raise UnknownLabel(target, unknown, known)
        return resolved

    def is_legal(self, tier: str | None, category: str | None) -> bool:
        """Say whether the pair can be, and the tier may see it; an unknown half makes every pair possible."""
        if tier is None or category is None:
            return True
        if (tier, category) in self.illegal or not self._allowed("tier", tier, "category", category):
            return False
        return self.may_see(tier, category in self.sensitive_categories)

    def _allowed(self, target: str, label: str, other: str, beside: str) -> bool:
        return all(rule.allows(target, label, other, beside) for rule in self.legal)

    def may_stand_together(self, labels: Mapping[str, str]) -> bool:
        """Say whether labels of different targets can all be at once."""
        return not self._clashing(labels, lambda tier, category: not self.is_legal(tier, category))

    def never_automatic_among(self, labels: Mapping[str, str]) -> frozenset[str]:
        """Return the targets whose labels may not be acted on without a person beside another one of these labels.

        Args:
            labels: What would be automatic, by target.
        """
        return self._clashing(labels, lambda tier, category: not self.may_automate_pair(tier, category))

    def _clashing(self, labels: Mapping[str, str], excludes: Callable[[str, str], bool]) -> frozenset[str]:
        found = set[str]()
        for one, other in combinations(in_order(labels), 2):
            pair = (one, labels[one]), (other, labels[other])
            if (one, other) == ("tier", "category"):
                clash = excludes(labels[one], labels[other])
            else:
                clash = frozenset(pair) in self.apart or not self._allowed(*pair[0], *pair[1])
            found |= {one, other} if clash else set()
        return frozenset(found)

    @cached_property
    def first_line(self) -> tuple[str, ...]:
        """The lowest tiers in use, up to the first at which people work: self-service, where there is any, and a desk.

        Example:
            >>> Policy("1", tiers=(Tier("L0", staffed=False), Tier("L1"), Tier("L2"))).first_line
            ('L0', 'L1')
        """
        order = self.labels("tier")
        staffed = [getattr(self.entry("tier", label), "staffed", True) for label in order]
        return order[: staffed.index(True) + 1] if True in staffed else order[:1]

    @cached_property
    def sensitive_categories(self) -> frozenset[str]:
        """The categories that are kept from tiers and people below `sensitive_clearance`."""
        return frozenset(entry.label for entry in self.categories if isinstance(entry, Category) and entry.sensitive)

    @cached_property
    def external_tiers(self) -> frozenset[str]:
        """The tiers that are outside parties: they get no personal data, and nothing for lack of time alone."""
        return frozenset(tier.label for tier in self.tiers if tier.external)

    def may_see(self, tier: str | None, restricted: bool) -> bool:
        """Say whether a tier may see a ticket; every tier may where the policy states no tier's clearance."""
        entry = self.entry("tier", tier) if tier and restricted else None
        stated = any(one.clearance for one in self.tiers)
        return not (isinstance(entry, Tier) and stated) or entry.clearance >= self.sensitive_clearance

    def cleared_tier(self, tier: str | None) -> str | None:
        """Return the tier that takes a restricted ticket in place of another: the next one up that may see it.

        Where none above may, it is the next one down; None where no tier may see it.

        Example:
            >>> policy = Policy("1", tiers=(Tier("L1", clearance=1), Tier("L2", clearance=2), Tier("L4", clearance=1)))
            >>> policy.cleared_tier("L1"), policy.cleared_tier("L4")
            ('L2', 'L2')
        """
        order = self.labels("tier")
        place = order.index(tier) if tier in order else 0
        by_nearness = (*order[place:], *reversed(order[:place]))
        return next((label for label in by_nearness if self.may_see(label, restricted=True)), None)

    def may_automate_pair(self, tier: str | None, category: str | None) -> bool:
        """Say whether tier and category may both be acted on without a person."""
        return self.is_legal(tier, category) and (tier, category) not in self.never_automatic

    def resolver_group(self, tier: str | None, category: str | None) -> str | None:
        """Return the first resolver group that fits the route, or None; groups of folded tiers come last."""
        if tier is None and self.tiers:
            return None
        fitting = [group for group in self.groups if self._takes(group, tier, category)]
        own_tier = (group.name for group in fitting if group.tier not in self.folding)
        return next(own_tier, fitting[0].name if fitting else None)

    def _takes(self, group: ResolverGroup, tier: str | None, category: str | None) -> bool:
        fits_tier = group.tier is None or self.fold("tier", group.tier) == tier
        return fits_tier and (not group.categories or category in group.categories)

    @cached_property
    def group_names(self) -> tuple[str, ...]:
        """All resolver groups: those of the policy's routes, and those that were learned."""
        learned = (entry.label for entry in self.entries("resolver_group"))
        return tuple(dict.fromkeys((*(group.name for group in self.groups), *learned)))

    def group_may_see(self, group: str) -> bool:
        """Say whether a group may see a restricted ticket: its tier has the clearance, where any tier states one."""
        tier = self.tier_of_group(group)
        seen = tier is not None and self.may_see(self.fold("tier", tier), True)
        return seen or not any(one.clearance for one in self.tiers)

    def tier_of_group(self, group: str) -> str | None:
        """Return the tier of a resolver group, or None if the group is unknown."""
        return next((known.tier for known in self.groups if known.name == group), None)

    def cost(self, true: str, routed: str) -> float:
        """Cost of routing a ticket of tier `true` to `routed`: 0 if right, 1 for any miss where tiers have no order."""
        if true == routed:
            return 0.0
        order = self.labels("tier")
        if not self.ordinal or true not in order or routed not in order:
            return 1.0
        steps = order.index(routed) - order.index(true)
        return steps * self.cost_over if steps > 0 else -steps * self.cost_under

    def without(self, target: str) -> Policy:
        """Return this policy with one target taken away."""
        if target in ("tier", "category"):
            return replace(self, tiers=()) if target == "tier" else replace(self, categories=())
        return replace(self, further={name: labels for name, labels in self.further.items() if name != target})
