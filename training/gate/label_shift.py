"""Label shift: when traffic has other shares of tiers and categories than the data that was learned from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.heads.head import Probabilities

_STEPS, _STILL = 500, 1e-7


def prior_correction(prior: NDArray[np.float64], expected: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the factor by label that turns probabilities learned under one share of labels into those under another.

    Probabilities are multiplied by it and normalised again (Saerens, Latinne and Decaestecker 2002, equation 2.4). A
    label without a row in training keeps its probability: the quotient would be without bound, and every ticket that
    label's.

    Args:
        prior: Share of each label in training.
        expected: Share of each label in traffic.

    Example:
        >>> prior_correction(np.array([0.8, 0.2, 0.0, 0.0]), np.array([0.4, 0.4, 0.2, 0.0])).tolist()
        [0.5, 2.0, 1.0, 0.0]
    """
    return np.asarray(np.where(prior > 0, expected / np.where(prior > 0, prior, 1.0), expected > 0))


def estimate_shares(probabilities: Probabilities, prior: NDArray[np.float64]) -> NDArray[np.float64]:
    """Learn the share of each label in unlabelled traffic from the probabilities given to it.

    Expectation maximisation (Saerens, Latinne and Decaestecker 2002); the probabilities are calibrated.

    Args:
        probabilities: About recent tickets, of shape [n, labels].
        prior: Share of each label in training.
    """
    shares = prior.copy()
    for _ in range(_STEPS):
        weighted = probabilities * prior_correction(prior, shares)
        updated = (weighted / weighted.sum(axis=1, keepdims=True)).mean(axis=0)
        done = np.abs(updated - shares).max() < _STILL
        shares = updated
        if done:
            break
    return shares


def resampled(label_ids: NDArray[np.int64], expected: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    """Choose rows whose shares of labels are the expected ones, as many as there can be without repetition.

    What is certified on these rows holds for traffic with those shares, exactly as for exchangeable tickets, as far as
    it has these labels.

    Args:
        label_ids: Label code by row; rows below 0 are never chosen.
        expected: Share of each label in traffic.
        seed: Of the draw.
    """
    counts = np.bincount(label_ids[label_ids >= 0], minlength=len(expected))
    wanted = expected > 0
    total = float((counts[wanted] / expected[wanted]).min()) if wanted.any() else 0.0
    rng = np.random.default_rng(seed)
    chosen = [
        rng.choice(np.flatnonzero(label_ids == label), min(counts[label], int(total * expected[label])), replace=False)
        for label in np.flatnonzero(wanted)
    ]
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, dtype=np.int64)
