"""The gate of a model: what is strange, foreign or too short, and how sure is sure enough, on rows it had not seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.features.features import Features
from models.features.vectorizer import count_words
from models.heads.head import Probabilities
from models.language import language_of
from models.model import Model
from models.reference.novelty import excluded_share, novelty
from training.data.dataset import LabelledTicket
from training.gate.first_stage import Taken
from training.gate.group_risk import NO_GROUP, certify_new_group
from training.gate.label_shift import resampled
from training.gate.recall_guard import GuardCertificate, certify_guard, hypotheses, unguarded
from training.gate.risk_control import Certificate, certify, set_floor
from triage.gate import Gate, Promise, TargetGate
from triage.languages.alphabets import languages_written
from triage.policy import Policy
from triage.prediction import Score

STRANGE_SHARE = 0.005
"""Share of the desk's own tickets that are called too strange."""

_LANGUAGE_SAMPLE = 2000
_LANGUAGE_SHARE, _LANGUAGE_ROWS = 0.005, 5

ANY_LABEL = ""
"""Stands for the label that would be routed of a ticket where it may be any."""

UNLEARNED_WORTH_SAYING = 0.005
"""Share of the traffic with labels that were not learned from which on a training says so."""

LEAST_DECIDED = 0.9
"""Share of what the full model alone may decide that both stages together must be allowed to decide at least."""


@dataclass(frozen=True)
class CalibrationScores:
    """What a model predicted for labelled rows that it had not seen.

    Attributes:
        rows: The rows.
        probabilities: By target, of shape [n, labels].
        labels: By target.
        novelty: By row.
        excluded: By target and row, the share of near tickets with an unlearnable label.
        languages: Detected language by row.
        written: Languages that a row may be in by its script.
        words: Number of words by row.
        stranger: By row, the probability that the ticket belongs to no label.
        taken: What the first stage answers in the model's place; None where there is none.
    """

    rows: Sequence[LabelledTicket]
    probabilities: Mapping[str, Probabilities]
    labels: Mapping[str, tuple[str, ...]]
    novelty: NDArray[np.float64]
    excluded: Mapping[str, NDArray[np.float64]]
    languages: Sequence[str | None]
    written: Sequence[tuple[str, ...]]
    words: NDArray[np.int64]
    stranger: NDArray[np.float64]
    taken: Taken | None = None


def calibration_scores_of(
    rows: Sequence[LabelledTicket],
    probabilities: Mapping[str, Probabilities],
    features: Features,
    model: Model,
) -> CalibrationScores:
    """Collect what the gate asks of tickets, as `Model.predict` does."""
    history = model.history
    texts = [row.ticket.text for row in rows]
    return CalibrationScores(
        rows=rows,
        probabilities=probabilities,
        labels=history.labels,
        novelty=novelty(features.similarity, probabilities),
        excluded={
            target: excluded_share(features.near, features.similarity, label_ids)
            for target, label_ids in history.label_ids.items()
        },
        languages=[language_of(row.ticket) for row in rows],
        written=[languages_written(text) for text in texts],
        words=np.array([count_words(text) for text in texts], dtype=np.int64),
        stranger=model.stranger_probability(features),
    )


def languages_of(rows: Sequence[LabelledTicket], seed: int = 0) -> frozenset[str]:
    """Return the languages of the training data: those stated or detected in enough of a sample of the rows."""
    places = np.arange(len(rows))
    if len(rows) > _LANGUAGE_SAMPLE:
        places = np.random.default_rng(seed).choice(places, _LANGUAGE_SAMPLE, replace=False)
    sample = [rows[int(place)].ticket for place in places]
    languages = [language_of(ticket) for ticket in sample]
    counts = Counter(languages)
    unknown = counts.pop(None, 0)
    if unknown:  # too short to tell but for their script
        counts.update(
            language
            for ticket, language_told in zip(sample, languages, strict=True)
            if language_told is None
            for language in languages_written(ticket.text)
        )
    least = max(_LANGUAGE_ROWS, _LANGUAGE_SHARE * counts.total())
    return frozenset(language for language, count in counts.items() if language and count >= least)


@dataclass(frozen=True, kw_only=True)
class RiskTarget:
    """What a gate is to promise.

    Attributes:
        target_risk: Highest error rate among automatic decisions, in (0, 1).
        confidence: Probability with which that is to hold.
        per_class: Keep the risk within each label, not only over all: every label gets a threshold of its own where it
            alone can be certified, and the gate is shut for the others. That is for new rows only: one label of one
            group has too few.
        grouped: Whether rows come in groups, such as organisations: then what is certified holds for a new one.
        part: Part of the probability of error that may be spent, in (0, 1]; the rest is for another gate, which takes
            this one's place where that certifies too little.
    """

    target_risk: float
    confidence: float
    per_class: bool = False
    grouped: bool = False
    part: float = 1.0

    @property
    def delta(self) -> float:
        """Probability with which the promise may be broken, in (0, 1)."""
        return (1 - self.confidence) * self.part


def readable(scores: CalibrationScores, policy: Policy, languages: frozenset[str]) -> Gate:
    """Return a gate that says what is strange, foreign or too short, and is shut for every target."""
    strange = float(np.quantile(scores.novelty, 1 - STRANGE_SHARE))
    return Gate(max_novelty=strange, languages=languages).under(policy.gate)


def build_gate(
    calibration_scores: CalibrationScores,
    policy: Policy,
    languages: frozenset[str],
    wanted: RiskTarget,
    tuning_scores: CalibrationScores | None = None,
) -> tuple[Gate, dict[str, float], Mapping[str, Certificates]]:
    """Choose the gate of every target on rows that the model had not seen.

    Args:
        calibration_scores: About the calibration rows.
        policy: Folds and ranks labels; the gate is chosen on what the desk would route.
        languages: Languages of the training data.
        wanted: What the gate is to promise.
        tuning_scores: Evidence about other rows, which says where the sequence of tests starts and what is strange.

    Returns:
        The gate, the floors of the prediction sets, and the certificates.
    """
    gate = readable(tuning_scores or calibration_scores, policy, languages)
    targets, floors, certificates = {}, {}, dict[str, Certificates]()
    for target in calibration_scores.probabilities:
        guards = certified_guards(calibration_scores, target, policy, gate=gate, wanted=wanted)
        limits = {label: one.limit for label, one in guards.items()}
        guarded = replace(gate, targets={target: TargetGate(guards=limits)})
        here = routed(calibration_scores, target, policy, guarded, risk=wanted.target_risk)
        told = (
            None if tuning_scores is None else routed(tuning_scores, target, policy, guarded, risk=wanted.target_risk)
        )
        here = _as_expected(here, calibration_scores, target, policy)
        delta = wanted.delta / hypotheses(guards)
        found = certified(here, told, risk=wanted.target_risk, delta=delta, grouped=wanted.grouped)
        certificates[target] = replace(found, guards=guards)
        shown = found.by_label.values() if wanted.per_class else (found.whole,)
        proved = any(one.threshold is not None for one in shown)
        targets[target] = TargetGate(
            None if wanted.per_class else found.whole.threshold,
            {label: one.threshold for label, one in found.by_label.items()} if wanted.per_class else {},
            certified_risk=wanted.target_risk if proved else None,
            confidence=wanted.confidence if proved else None,
            promise=_promise(proved, wanted.grouped and not wanted.per_class),
            guards=limits,
        )
        floors[target] = set_floor(true_probability(calibration_scores, target), wanted.target_risk)
    return replace(gate, targets=targets), floors, certificates


def _promise(proved: bool, grouped: bool) -> Promise:
    if not proved:
        return Promise.NONE
    return Promise.NEW_GROUP if grouped else Promise.NEW_ROWS


class Routed(NamedTuple):
    """What would be routed of n labelled tickets.

    Attributes:
        label: The label, str of shape [n].
        confidence: Probability of that label, of shape [n].
        right: Whether it is right.
        eligible: Whether nothing else than the threshold keeps the ticket from being decided.
        group: Group number of each ticket, `NO_GROUP` for one of none; int64 of shape [n]. None where
            groups do not count.
    """

    label: NDArray[np.str_]
    confidence: NDArray[np.float64]
    right: NDArray[np.bool_]
    eligible: NDArray[np.bool_]
    group: NDArray[np.int64] | None = None

    def at(self, places: NDArray[np.int64]) -> Routed:
        """Return some of the tickets."""
        return Routed(
            label=self.label[places],
            confidence=self.confidence[places],
            right=self.right[places],
            eligible=self.eligible[places],
            group=None if self.group is None else self.group[places],
        )

    def with_worst(self, number: int) -> Routed:
        """Return these tickets and some of which nothing is known: decided at any threshold, whatever the label, wrong.

        Groups have them in proportion to their tickets.
        """
        n = len(self.label)
        if not number or not n:
            return self
        shared_out = np.linspace(0, n, number, endpoint=False).astype(np.int64)
        return Routed(
            label=np.concatenate([self.label, np.full(number, ANY_LABEL)]),
            confidence=np.concatenate([self.confidence, np.ones(number)]),
            right=np.concatenate([self.right, np.zeros(number, dtype=bool)]),
            eligible=np.concatenate([self.eligible, np.ones(number, dtype=bool)]),
            group=None if self.group is None else np.concatenate([self.group, np.sort(self.group)[shared_out]]),
        )


@dataclass(frozen=True)
class Certificates:
    """What could be certified for a target: over all its labels, and for each label alone.

    Attributes:
        whole: One threshold for all labels.
        by_label: One for each label that is routed; that all of them hold at once has the probability stated, since
            each is tested at an equal part of delta (Bonferroni).
        guards: What could be certified of labels that must not be missed.
    """

    whole: Certificate
    by_label: Mapping[str, Certificate]
    guards: Mapping[str, GuardCertificate] = field(default_factory=dict)


def dearer_targets(
    alone: Mapping[str, Certificates], both: Mapping[str, Certificates], *, per_class: bool
) -> list[str]:
    """Return the targets of which both stages may decide clearly less than the full model alone (`LEAST_DECIDED`).

    A certificate over a few hundred errors less or more is a matter of luck: where the first stage's share of it fails,
    speed is not worth it.

    Args:
        alone: What could be certified of the full model, by target.
        both: The same of both stages together, on the same tickets.
        per_class: Whether each label has a threshold of its own.
    """

    def kept(found: Certificates) -> int:
        return sum(one.kept for one in found.by_label.values()) if per_class else found.whole.kept

    return [target for target, found in alone.items() if kept(both[target]) < LEAST_DECIDED * kept(found)]


def certified(here: Routed, told: Routed | None, *, risk: float, delta: float, grouped: bool = False) -> Certificates:
    """Certify a target on calibration tickets, guided by other tickets where there are some.

    Args:
        here: The calibration tickets.
        told: Other tickets, which say where the sequence of tests starts.
        risk: Highest error rate among automatic decisions.
        delta: Probability with which it may be exceeded.
        grouped: Whether the whole is certified for a new group instead of for new rows.
    """

    def tuning_scores(chosen: NDArray[np.bool_] | slice) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        if told is None:
            return None
        seen = np.where(told.eligible[chosen], told.confidence[chosen], -1.0)
        return (seen, (~told.right[chosen]).astype(np.float64)) if len(seen) else None

    labels = np.unique(here.label[here.label != ANY_LABEL])
    alone = {}
    for label in labels:
        mine = (here.label == label) | (here.label == ANY_LABEL)
        alone[str(label)] = certify(
            here.confidence[mine], here.right[mine], here.eligible[mine],
            risk=risk, delta=delta / len(labels),
            tuning_scores=tuning_scores(slice(None) if told is None else told.label == label),
        )  # fmt: skip
    if grouped and here.group is not None:
        whole = certify_new_group(here.confidence, here.right, here.eligible, here.group, risk=risk, delta=delta)
    else:
        whole = certify(
            here.confidence, here.right, here.eligible, risk=risk, delta=delta, tuning_scores=tuning_scores(slice(None))
        )
    return Certificates(whole, alone)


def certified_guards(
    scores: CalibrationScores, target: str, policy: Policy, gate: Gate, wanted: RiskTarget
) -> dict[str, GuardCertificate]:
    """Certify the guards that a policy states for a target, at an equal part of the confidence each.

    Args:
        scores: About calibration tickets. Those of a group count like others.
        target: Such as ``category``.
        policy: States which labels must not be missed.
        gate: Says what keeps a ticket from being decided, thresholds left aside.
        wanted: What the gate is to promise.
    """
    stated = policy.guards(target)
    if not stated:
        return {}
    told = routed(scores, target, policy, gate, risk=wanted.target_risk)
    true = np.array([policy.fold(target, row.labels[target]) for row in labelled_with(scores.rows, target)])
    likely = _guarded_probabilities(scores, target, policy, stated)
    found = {}
    for label, least in stated.items():
        own = true == label
        found[label] = certify_guard(
            likely[label][own], (told.eligible & (told.label != label))[own],
            min_recall=least, delta=wanted.delta / len(stated),
        )  # fmt: skip
    return found


def _guarded_probabilities(
    scores: CalibrationScores, target: str, policy: Policy, labels: Iterable[str]
) -> dict[str, NDArray[np.float64]]:
    """Return the probability of each of some labels, by ticket that has a label of the target.

    It is that of the stage which answers the ticket, as in service.
    """
    known = np.array([target in row.labels for row in scores.rows], dtype=bool)
    folded, taken = np.array([policy.fold(target, label) for label in scores.labels[target]]), scores.taken
    found = {}
    for label in labels:
        found[label] = scores.probabilities[target][:, folded == label].sum(axis=1)
        if taken is not None:
            found[label] = np.where(taken.passed, taken.targets[target].guarded[label], found[label])
    return {label: values[known] for label, values in found.items()}


def _as_expected(here: Routed, calibration_scores: CalibrationScores, target: str, policy: Policy) -> Routed:
    """Return labelled tickets in the shares of labels that the policy expects of traffic; all where it states none.

    Labels that the model has not learned take part: whatever is decided of their tickets is wrong. As many of them as
    there are stand for themselves; for what they lack of their share the worst is taken, so that the certificate holds
    whatever such tickets are like.
    """
    stated = policy.expected_shares(target)
    if not stated:
        return here
    labels = calibration_scores.labels[target]
    place = {label: code for code, label in enumerate(labels)}
    given = np.array([row.labels[target] for row in labelled_with(calibration_scores.rows, target)], dtype=np.object_)
    label_ids = np.array([place.get(label, -1) for label in given])
    learned = np.array([stated[label] for label in labels])
    drawn, rng = [resampled(label_ids, learned, seed=0)], np.random.default_rng(1)
    whole, lacking = len(drawn[0]) / max(float(learned.sum()), 1e-9), 0.0
    for label in sorted(stated.keys() - place.keys()):
        own = np.flatnonzero(given == label)
        wanted = whole * stated[label]
        drawn.append(rng.choice(own, min(len(own), int(wanted)), replace=False))
        lacking += wanted - len(drawn[-1])
    return here.at(np.sort(np.concatenate(drawn))).with_worst(int(np.ceil(lacking - 1e-9)))


def unlearned_shares(labels: Mapping[str, tuple[str, ...]], policy: Policy) -> list[str]:
    """Say for each target which share of the traffic is expected to have labels that were not learned.

    Args:
        labels: Those that were learned, by target.
        policy: States the shares.
    """
    found = []
    for target, learned in labels.items():
        missing = {label: share for label, share in policy.expected_shares(target).items() if label not in learned}
        if (share := sum(missing.values())) >= UNLEARNED_WORTH_SAYING:
            found.append(
                f"{target}: {share:.1%} of the traffic is expected to have a label that was not learned "
                f"({', '.join(missing)}): what is decided of it is wrong, and the gate allows for that"
            )
    return found


def routed(calibration_scores: CalibrationScores, target: str, policy: Policy, gate: Gate, *, risk: float) -> Routed:
    """Return which label would be routed of each ticket that has one of the target, and how sure the model is.

    Args:
        calibration_scores: About tickets that the model had not seen.
        target: Name of the target, such as ``tier``.
        policy: Folds and ranks labels.
        gate: Says what keeps a ticket from being decided, guards of labels among it, thresholds left aside.
        risk: Target risk, which the floor under single decisions is a multiple of.
    """
    scores, taken = calibration_scores, calibration_scores.taken
    known = np.array([target in row.labels for row in scores.rows], dtype=bool)
    chosen, sure, margin = _tops(scores, target, policy)
    readable_rows, stranger = _readable(scores, target, gate), scores.stranger
    if taken is not None:
        first, passed = taken.targets[target], taken.passed
        chosen, sure = np.where(passed, first.labels, chosen), np.where(passed, first.confidence, sure)
        margin, stranger = np.where(passed, first.margin, margin), np.where(passed, taken.stranger, stranger)
        readable_rows |= passed  # what cannot be read it does not answer
    floor = 1 - gate.ticket_risk_limit(risk)
    eligible = readable_rows & (margin >= gate.min_margin) & (sure * (1 - stranger) >= floor)
    true = np.array([policy.fold(target, row.labels[target]) for row in labelled_with(scores.rows, target)], np.str_)
    told = Routed(
        chosen[known], sure[known], chosen[known] == true, eligible=eligible[known], group=_groups(scores.rows)[known]
    )
    limits = gate.targets.get(target, TargetGate()).guards
    likely = _guarded_probabilities(scores, target, policy, limits)
    return told._replace(eligible=told.eligible & unguarded(told.label, likely, limits))


def _tops(
    scores: CalibrationScores, target: str, policy: Policy
) -> tuple[NDArray[np.str_], NDArray[np.float64], NDArray[np.float64]]:
    """Return the label that the full model would route of each ticket, how probable it is, and how far ahead."""
    labels, probabilities = scores.labels[target], scores.probabilities[target]
    if target != "tier" or policy.ranks_by_probability:
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :2]
        first, second = np.take_along_axis(probabilities, order, axis=1).T
        return np.array(labels, dtype=np.str_)[order[:, 0]], first, first - second
    ranked = [
        policy.rank(target, [Score(label, float(p)) for label, p in zip(labels, row, strict=True)])
        for row in probabilities
    ]
    return (
        np.array([one[0].label for one in ranked], dtype=np.str_),
        np.array([one[0].probability for one in ranked]),
        np.array([one[0].probability - one[1].probability if len(one) > 1 else 1.0 for one in ranked]),
    )


def _readable(scores: CalibrationScores, target: str, gate: Gate) -> NDArray[np.bool_]:
    """Say of each ticket whether the full model can read it: it is neither strange, foreign nor short."""
    languages = zip(scores.languages, scores.written, strict=True)
    found: NDArray[np.bool_] = (
        (scores.words >= gate.min_words)
        & np.array([gate.reads(detected, written) for detected, written in languages], dtype=bool)
        & (scores.excluded[target] <= gate.max_excluded)
        & (scores.stranger <= gate.max_stranger)
    )
    return found if gate.max_novelty is None else found & (scores.novelty <= gate.max_novelty)


def labelled_with(rows: Sequence[LabelledTicket], target: str) -> list[LabelledTicket]:
    """Return the rows that have a label of the target: those that `routed` tells of, in its order."""
    return [row for row in rows if target in row.labels]


def _groups(rows: Sequence[LabelledTicket]) -> NDArray[np.int64]:
    numbers: dict[str, int] = {}
    return np.array(
        [NO_GROUP if row.group is None else numbers.setdefault(row.group, len(numbers)) for row in rows], dtype=np.int64
    )


def true_probability(calibration_scores: CalibrationScores, target: str) -> NDArray[np.float64]:
    """Return the probability that each labelled row's own label was given; 0 for a label that is not learned."""
    place = {label: code for code, label in enumerate(calibration_scores.labels[target])}
    found = [
        (row, place.get(one.labels[target], -1))
        for row, one in enumerate(calibration_scores.rows)
        if target in one.labels
    ]
    return np.array([calibration_scores.probabilities[target][row, code] if code >= 0 else 0.0 for row, code in found])


def certificate_facts(certificates: Mapping[str, Certificates]) -> dict[str, Any]:
    """Return certificates as plain values for the manifest."""
    return {
        target: {
            **vars(found.whole),
            "by_label": {label: vars(one) for label, one in found.by_label.items()},
            "guards": {label: vars(one) for label, one in found.guards.items()},
        }
        for target, found in certificates.items()
    }
