"""A confidence sequence for an error rate: an interval that holds however often and whenever one looks."""

from __future__ import annotations

import math
from collections.abc import Callable

_PRIOR = (0.5, 9.5)
"""Beta prior of the mixture: mean 0.05, where error rates of automatic decisions lie; any prior keeps the promise."""
_STEPS = 40
"""Halvings of the search for a bound: to 1e-12."""


def confidence_sequence(errors: int, reviews: int, delta: float = 0.05) -> tuple[float, float]:
    """Return the error rates that the reviews seen so far do not rule out.

    With a probability of at least 1 - delta the true rate lies inside at every number of reviews at once, as long as
    each review is wrong with that rate whatever came before. The rates are those at which a bettor who mixes over all
    rates (Robbins 1970, Statistical methods related to the law of the iterated logarithm) has less than 1 / delta:
    Ville's inequality.

    Args:
        errors: Reviews that found an error.
        reviews: All reviews.
        delta: Chance that the interval ever misses the rate, in (0, 1).

    Example:
        >>> confidence_sequence(0, 0)
        (0.0, 1.0)
        >>> low, high = confidence_sequence(4, 200)
        >>> round(low, 3), round(high, 3)
        (0.003, 0.064)
    """
    if not reviews:
        return 0.0, 1.0
    found = errors / reviews
    bound = math.log(1 / delta)

    def excess(rate: float) -> float:
        return _log_capital(errors, reviews, rate) - bound

    low = 0.0 if errors == 0 else _crossing(excess, outside=0.0, inside=found)
    high = 1.0 if errors == reviews else _crossing(excess, outside=1.0, inside=found)
    return low, high


def _log_capital(errors: int, reviews: int, rate: float) -> float:
    """Return the logarithm of what the bettor has against a rate strictly inside (0, 1)."""
    right, (first, second) = reviews - errors, _PRIOR
    mixed = _log_beta(first + errors, second + right) - _log_beta(first, second)
    return mixed - (errors * math.log(rate) if errors else 0.0) - (right * math.log1p(-rate) if right else 0.0)


def _log_beta(first: float, second: float) -> float:
    return math.lgamma(first) + math.lgamma(second) - math.lgamma(first + second)


def _crossing(excess: Callable[[float], float], outside: float, inside: float) -> float:
    for _ in range(_STEPS):
        middle = (outside + inside) / 2
        if excess(middle) >= 0:
            outside = middle
        else:
            inside = middle
    return outside
