"""What the one door answers to labelled tickets, laid out in arrays to be measured."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from models.triager import Triager
from training.data.dataset import LabelledTicket, row_digest
from training.data.split import kept_together
from training.evaluation.record import Fact, Outcome, Record, short, strings
from triage.decision import Automation, Decision, Reason, Source, TargetDecision
from triage.screening.screen import Opinion
from triage.ticket import Ticket

_BATCH = 256
Progress = Callable[[int], object]


@dataclass(frozen=True)
class TargetPredictions(Outcome):
    """The answers for one target, with all probabilities behind each.

    Attributes:
        probabilities: Probability of each label, float64 of shape [n, len(labels)].
        likely: Whether the true label is in the set of likely labels; False where no set was given.
        set_sizes: How many labels the set of likely labels has.
    """

    probabilities: NDArray[np.float64]
    likely: NDArray[np.bool_]
    set_sizes: NDArray[np.int64]


@dataclass(frozen=True)
class Predictions:
    """All decisions on labelled rows, in order, and the answers by target.

    Attributes:
        rows: The n tickets.
        decisions: On each.
        targets: By target, where it was measured.
        opinions: What the screening's classifier thinks of each ticket, whoever decides on it.
    """

    rows: Sequence[LabelledTicket]
    decisions: Sequence[Decision]
    targets: Mapping[str, TargetPredictions]
    opinions: Sequence[Opinion | None] = ()

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether the whole route is right: every target that has a label."""
        right = np.ones(len(self.rows), dtype=bool)
        for answers in self.targets.values():
            right[answers.rows] &= answers.named_right
        return right

    @property
    def automatic(self) -> NDArray[np.bool_]:
        """Whether the whole route is automatic."""
        return np.array([decision.automation is Automation.AUTOMATIC for decision in self.decisions], dtype=bool)


def ask(
    triager: Triager,
    rows: Sequence[LabelledTicket],
    progress: Progress | None = None,
    *,
    opinions: Sequence[Opinion | None] | None = None,
) -> Predictions:
    """Put labelled tickets through the one door and lay out what it says.

    A target is measured where some row has a label of it and the model has a head for it; without a model, where the
    policy has the target.

    Args:
        triager: With a bundle, or by rules alone.
        rows: Labelled tickets.
        progress: Called with the number of tickets decided.
        opinions: What the screening's classifier said of the same tickets before; None asks it.
    """
    tickets = [row.ticket for row in rows]

    def decided(start: int) -> tuple[Sequence[Opinion | None], list[Decision]]:
        batch: Sequence[Ticket] = tickets[start : start + _BATCH]
        known = triager.opinions_of(batch) if opinions is None else opinions[start : start + _BATCH]
        return known, triager.decide(batch, opinions=known)

    told: list[Opinion | None] = []
    decisions: list[Decision] = []
    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count()) as pool:
        for known, made in pool.map(decided, range(0, len(rows), _BATCH)):
            told += known
            decisions += made
            if progress is not None:
                progress(len(made))
    found = {target: _of_target(target, triager, rows, decisions) for target in triager.policy.targets}
    measured = {target: answers for target, answers in found.items() if answers is not None}
    return Predictions(rows, decisions, measured, opinions=told)


def _of_target(
    target: str, triager: Triager, rows: Sequence[LabelledTicket], decisions: Sequence[Decision]
) -> TargetPredictions | None:
    labelled = np.array([index for index, row in enumerate(rows) if target in row.labels], dtype=np.int64)
    if target not in triager.policy.targets or not len(labelled):
        return None
    verdicts = [decisions[row].targets[target] for row in labelled]
    if triager.bundle is not None and not any(verdict.alternatives for verdict in verdicts):
        return None
    true = [triager.policy.fold(target, rows[row].labels[target]) for row in labelled]
    labels = tuple(sorted({score.label for verdict in verdicts for score in verdict.alternatives}))
    return TargetPredictions(
        target=target,
        rows=labelled,
        true=strings(true),
        top=strings(v.alternatives[0].label if v.alternatives else "" for v in verdicts),
        confidence=np.array([v.alternatives[0].probability if v.alternatives else 0.0 for v in verdicts]),
        kept=np.array([v.source is Source.MODEL and v.reason is Reason.CONFIDENT for v in verdicts]),
        named=strings(verdict.label or "" for verdict in verdicts),
        automatic=np.array([verdict.automation is Automation.AUTOMATIC for verdict in verdicts]),
        labels=labels,
        probabilities=_probabilities(verdicts, labels),
        likely=np.array([label in verdict.likely for label, verdict in zip(true, verdicts, strict=True)]),
        set_sizes=np.array([len(verdict.likely) for verdict in verdicts], dtype=np.int64),
    )


def _probabilities(verdicts: Sequence[TargetDecision], labels: Sequence[str]) -> NDArray[np.float64]:
    column = {label: number for number, label in enumerate(labels)}
    probabilities = np.zeros((len(verdicts), len(labels)))
    for row, verdict in enumerate(verdicts):
        for score in verdict.alternatives:
            probabilities[row, column[score.label]] = score.probability
    return probabilities


def record_of(triager: Triager, answers: Predictions, measured: Mapping[str, Any]) -> Record:
    """Keep what was answered beside the figures, without any ticket text.

    Args:
        triager: What answered.
        answers: What it answered.
        measured: The figures, as `training.evaluation.evaluate` returns them.
    """
    clusters = kept_together(answers.rows).tolist()
    return Record(
        measured=measured,
        facts=tuple(
            Fact(
                digest=short(row_digest(row)),
                language=decision.language or row.ticket.language,
                channel=row.ticket.channel,
                words=len(row.ticket.text.split()),
                group=row.group,
                cluster=cluster,
            )
            for row, decision, cluster in zip(answers.rows, answers.decisions, clusters, strict=True)
        ),
        outcomes=dict(answers.targets),
        ordered_tiers=triager.policy.labels("tier") if triager.policy.ordinal else (),
    )
