"""What each stage of a cascade answers of labelled tickets, how well and at what cost, and what screening is spared."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.bundle.bundle import Bundle
from models.screening import shipped_classifier
from models.screening.classifier import read_part
from models.screening.prefilter import Prefilter
from training.data.labelled_ticket import LabelledTicket
from triage.decide import in_terms_of
from triage.prediction import Prediction

_TIMED = 64
"""Tickets of each stage whose processor time is taken: the mean is within a tenth by then."""


class StageFigures(NamedTuple):
    """What was measured of both stages.

    Attributes:
        facts: Shares and accuracies, which are the same for the same tickets and seed.
        milliseconds: Processor time of one prediction by the first stage (`first`), by the full model after it (`full`)
            and `without_cascade`; None where no ticket is answered so. It differs from run to run, so that it stands in
            no manifest: equal trainings would have different digests.
    """

    facts: dict[str, Any]
    milliseconds: dict[str, float | None]


def stage_figures(bundle: Bundle, rows: Sequence[LabelledTicket], *, timed: Bundle) -> StageFigures | None:
    """Measure both stages on tickets that neither has seen; None where the bundle has no first stage.

    Args:
        bundle: Its encoder may remember what it has encoded.
        rows: Labelled tickets.
        timed: The same with an encoder that remembers nothing, or the time would say nothing.
    """
    if bundle.cascade is None or not rows:
        return None
    alone, tickets = bundle.without_cascade(), [row.ticket for row in rows]
    staged = bundle.predict(tickets)
    passed = np.array([one.by_first_stage for one in staged])
    full = list(staged)  # what the first stage passed on is the full model's already
    answered = np.flatnonzero(passed).tolist()
    for row, found in zip(answered, alone.predict([tickets[row] for row in answered]), strict=True):
        full[row] = found
    targets: dict[str, Any] = {}
    for target in bundle.model.heads:
        known = np.array([target in row.labels for row in rows])
        if known.any():
            whole, cascade = (_right(bundle, target, rows, told)[known] for told in (full, staged))
            first = passed[known]
            targets[target] = {
                "accuracy": {"full": _share(whole), "cascade": _share(cascade)},
                "of_first_stage": {"first": _share(cascade[first]), "full": _share(whole[first])},
                "of_full_model": {"full": _share(whole[~first])},
            }
    chosen = {"first": np.flatnonzero(passed)[:_TIMED], "full": np.flatnonzero(~passed)[:_TIMED]}
    took = {name: _milliseconds(timed, [tickets[row] for row in places]) for name, places in chosen.items()}
    whole_ms = _milliseconds(timed.without_cascade(), [tickets[row] for row in (*chosen["first"], *chosen["full"])])
    return StageFigures({"share": _share(passed), "targets": targets}, {**took, "without_cascade": whole_ms})


def prefilter_figures(prefilter: Prefilter | None, rows: Sequence[LabelledTicket]) -> dict[str, Any] | None:
    """Measure how many tickets that it has not seen a prefilter finds ordinary; None where there is no prefilter."""
    if prefilter is None or not rows:
        return None
    tokens = shipped_classifier().tokens
    return {"share": _share(np.array([prefilter.is_ordinary(tokens(read_part(row.ticket))) for row in rows]))}


def _right(
    bundle: Bundle, target: str, rows: Sequence[LabelledTicket], found: Sequence[Prediction]
) -> NDArray[np.bool_]:
    told = (in_terms_of(bundle.policy, one).top(target) for one in found)
    true = (bundle.policy.fold(target, row.labels[target]) if target in row.labels else None for row in rows)
    return np.array([top is not None and top.label == label for top, label in zip(told, true, strict=True)])


def _milliseconds(bundle: Bundle, tickets: Sequence[Any]) -> float | None:
    """Return the processor time of one prediction in milliseconds, one ticket at a time; None without tickets."""
    if not tickets:
        return None
    began = time.thread_time()
    for ticket in tickets:
        bundle.predict([ticket])
    return round(1000 * (time.thread_time() - began) / len(tickets), 2)


def _share(flags: NDArray[np.bool_]) -> float | None:
    return round(float(flags.mean()), 5) if len(flags) else None
