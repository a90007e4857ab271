"""The gate's threshold with a guarantee: fixed-sequence testing with exact binomial p-values."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, binom

GRID = 1.0 / (1.0 + np.exp(-np.linspace(-3.0, 9.0, 481)))
"""Thresholds that may be chosen: fixed before any ticket is seen, finer towards 1."""

_FAR = 64.0

Flags = NDArray[np.bool_]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Certificate:
    """What could be certified on calibration tickets.

    Attributes:
        threshold: Lowest confidence that is kept; None where nothing could be certified.
        kept: Calibration tickets at or above it.
        wrong: Of these, how many were wrong.
        tickets: Calibration tickets in all.
        bound: Upper confidence bound of the error rate among kept tickets (Clopper and Pearson 1934); None without one.
        more_tickets: Labelled tickets that a certificate would take on top, if the error rates seen are the true ones;
            0 where there is one, None where no number is enough: the model itself is not good enough.
        promise: Whom the certificate is for: ``new_rows`` like those it was made on, a ``new_group``, or ``none``.
        groups: Groups it was made on; 0 where rows are the observations.
        more_groups: Groups that it would take on top; None where rows are the observations or no number is known.
        largest_group: Tickets of the largest group, where what holds is for the tickets of new groups taken together,
            none of them larger than this one; 0 where it is for each group, or for rows.
    """

    threshold: float | None
    kept: int
    wrong: int
    tickets: int
    bound: float | None
    more_tickets: int | None
    promise: str = "new_rows"
    groups: int = 0
    more_groups: int | None = None
    largest_group: int = 0


def no_certificate(tickets: int, more_tickets: int | None) -> Certificate:
    """Return what there is to say where no threshold keeps the risk: the gate stays shut."""
    return Certificate(
        threshold=None, kept=0, wrong=0, tickets=tickets, bound=None, more_tickets=more_tickets, promise="none"
    )


def certify(
    confidence: Values,
    correct: Flags,
    eligible: Flags,
    *,
    risk: float,
    delta: float,
    tuning_scores: tuple[Values, Values] | None = None,
) -> Certificate:
    """Choose the lowest threshold whose error rate is at most `risk` with probability at least `1 - delta`.

    Learn-then-Test (Angelopoulos, Bates, Candès, Jordan and Lei 2021) with fixed-sequence testing: for each threshold
    the hypothesis "the error rate above it exceeds `risk`" has the exact binomial p-value of the errors seen among the
    tickets kept. Thresholds are tested one after the other, each at level `delta`, and the first that cannot be
    rejected ends the sequence; so the whole family errs with probability at most `delta`. The sequence runs
    downwards from where the guide expects the smallest p-value; the guide must not depend on whether calibration
    tickets were right.

    Args:
        confidence: Of the label that would be routed, in [0, 1], of shape [n].
        correct: Whether that label is right.
        eligible: Whether nothing else than confidence keeps the ticket from being decided.
        risk: Highest error rate among kept tickets, in (0, 1).
        delta: Probability with which it may be exceeded, in (0, 1).
        tuning_scores: Confidence (-1 for tickets not eligible) and expected error of other tickets, or of these as the
            model predicts; None takes the model's own confidence.
    """
    n = len(confidence)
    seen = np.where(eligible, confidence, -1.0)
    expected = tuning_scores if tuning_scores is not None else (seen, 1.0 - confidence)
    kept, wrong = kept_and_wrong(seen, (~correct).astype(np.float64))
    scale = n / max(1, len(expected[0]))
    kept_expected, wrong_expected = (scale * values for values in kept_and_wrong(*expected))
    promise = _p_values(wrong_expected, kept_expected, risk)
    start = int(promise.argmin())
    chosen: int | None = None
    p_values = _p_values(wrong, kept, risk)
    for place in range(start, -1, -1):
        if p_values[place] > delta or kept[place] == 0:
            break
        chosen = place
    if chosen is None:
        first = slice(start, start + 1)  # the sequence ended where it began: only what stands there counts
        return no_certificate(n, _more_tickets(kept[first], wrong[first], n, risk, delta))
    errors, total = round(wrong[chosen]), round(kept[chosen])
    bound = upper_bound(errors, total, delta)
    return Certificate(float(GRID[chosen]), total, errors, n, bound=bound, more_tickets=0)


def kept_and_wrong(confidence: Values, errors: Values) -> tuple[Values, Values]:
    """Count tickets, and errors among them, at or above each threshold of `GRID`; two arrays of its length."""
    order = np.argsort(confidence, kind="stable")
    first = np.searchsorted(confidence[order], GRID, side="left")
    tail = np.concatenate([np.cumsum(errors[order][::-1])[::-1], [0.0]])
    return (len(confidence) - first).astype(np.float64), tail[first]


def _p_values(wrong: Values, kept: Values, risk: float) -> Values:
    return np.asarray(np.where(kept > 0, binom.cdf(np.ceil(wrong - 1e-9), np.maximum(np.round(kept), 1), risk), 1.0))


def upper_bound(wrong: int, kept: int, delta: float) -> float:
    """Return the exact upper confidence bound of an error rate (Clopper and Pearson 1934).

    Example:
        >>> round(upper_bound(0, 59, 0.05), 4)
        0.0495
    """
    return 1.0 if wrong >= kept else float(beta.ppf(1 - delta, wrong + 1, kept - wrong))


def _more_tickets(kept: Values, wrong: Values, n: int, risk: float, delta: float) -> int | None:
    """Find how many times the tickets would do if the rates seen held; no error is taken as half of one.

    What so many do, more do as well, but for the rounding of whole tickets: a search by halves is near enough.
    """
    if not n:
        return None
    some = kept > 0
    kept, wrong = np.unique(np.stack([kept[some], wrong[some]]), axis=1)  # many thresholds keep the same tickets
    rate = np.maximum(wrong, 0.5) / np.maximum(kept, 1)
    factors = np.geomspace(1.05, _FAR, 60)

    def would_do(place: int) -> bool:
        return bool((_p_values(rate * kept * factors[place], kept * factors[place], risk) <= delta).any())

    place = bisect_left(range(len(factors)), True, key=would_do)
    return None if place == len(factors) else int(np.ceil(n * (factors[place] - 1)))


def set_floor(true_probability: Values, risk: float) -> float:
    """Return the probability from which a label belongs to the set, so that sets miss at most `risk` of the time.

    Split conformal prediction with the least ambiguous sets (Sadinle, Lei and Wasserman 2019).

    Args:
        true_probability: The probability given to the right label, by calibration ticket.
        risk: Share of tickets whose set may miss the right label.
    """
    place = int(np.floor(risk * (len(true_probability) + 1)))
    return 0.0 if place < 1 else float(np.sort(true_probability)[place - 1])
