"""Heads for a desk without a history: each label stands where its description and its few tickets stand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.heads.base_estimators import LinearEstimator
from models.heads.head import Head, Probabilities, Stacking, softmax
from training.ensemble.calibration import fit_temperature
from triage.policy import Category, Label, Tier

DESCRIPTION_ALONE = 4
"""Tickets that a description counts as where there is no history; those of a label outweigh it from the fifth on."""

SHARPNESS, WORDS = 13.0, 0.4
"""Logits for a unit of cosine similarity, and what similarity of words counts beside that of meaning.

Both were chosen on 22 organisations of the shipped tickets; where there are enough examples the sharpness is fitted.
"""

ENOUGH_EXAMPLES = 20
"""Examples from which on the sharpness is fitted to them instead of taken as it is."""

Vectors = NDArray[np.float32]


def phrases_of(entry: Tier | Category | Label) -> list[str]:
    """Return what a policy says about a label, phrase by phrase; the label itself where it says nothing.

    Example:
        >>> phrases_of(Category("net", "Network", "Wi-Fi, VPN; lines"))
        ['Network', 'Wi-Fi', 'VPN', 'lines']
    """
    phrases = [part.strip() for part in re.split(r"[,;:]", entry.description)]
    return [part for part in (entry.name.strip(), *phrases) if part] or [entry.label]


@dataclass(frozen=True)
class PrototypeInputs:
    """What is known of one target's labels.

    Attributes:
        target: Name of the target, such as ``tier``.
        labels: In the order of the policy.
        phrases: Embeddings of the phrases, float32 of shape [phrases, dim].
        phrase_words: Their lexical columns, as a SciPy matrix.
        phrase_codes: Which label each phrase describes.
        examples: Embeddings of the tickets, float32 of shape [n, dim].
        example_words: Their lexical columns.
        example_codes: Their labels, negative where they have none of this target.
    """

    target: str
    labels: tuple[str, ...]
    phrases: Vectors
    phrase_words: Any
    phrase_codes: NDArray[np.int64]
    examples: Vectors
    example_words: Any
    example_codes: NDArray[np.int64]


def prototype_head(
    inputs: PrototypeInputs, prior_correction: NDArray[np.float64] | None = None
) -> tuple[Head, Probabilities]:
    """Build a head out of prototypes: unit vectors of meaning and of words, one per label.

    A label's prototype is the mean of its description, counted as `DESCRIPTION_ALONE` tickets, and of its tickets
    (nearest-mean classification; Snell, Swersky and Zemel 2017 for prototypes of a few examples).

    Args:
        inputs: What is known.
        prior_correction: Corrects for the shares of labels that traffic is expected to have; None takes equal ones.

    Returns:
        The head, and its probabilities for each example when it has not seen that one, of shape [n, labels].
    """
    label_ids, count = inputs.example_codes, len(inputs.labels)
    phrase_share = np.array([DESCRIPTION_ALONE / (inputs.phrase_codes == code).sum() for code in inputs.phrase_codes])
    described = unit(_sums(inputs.phrases, inputs.phrase_codes, phrase_share, count)) * DESCRIPTION_ALONE
    counted = (label_ids >= 0).astype(np.float64)
    meaning = described + _sums(inputs.examples, label_ids, counted, count)
    words = _sums(inputs.phrase_words, inputs.phrase_codes, phrase_share, count)
    words += _sums(inputs.example_words, label_ids, counted, count)
    unseen = SHARPNESS * (
        _scores_unseen(meaning, inputs.examples, label_ids)
        + WORDS * _scores_unseen(words, inputs.example_words, label_ids)
    )
    slope, known = 1.0, label_ids >= 0
    if known.sum() >= ENOUGH_EXAMPLES and len(np.unique(label_ids[known])) > 1:
        slope = fit_temperature(unseen[known], label_ids[known])
    zero, same = np.zeros(count, dtype=np.float32), np.eye(count, dtype=np.float32)
    head = Head(
        inputs.target,
        inputs.labels,
        (
            LinearEstimator("meaning", zero, None, np.ascontiguousarray(unit(meaning).T.astype(np.float32))),
            LinearEstimator("words", zero, np.ascontiguousarray(unit(words).T.astype(np.float32)), None),
        ),
        Stacking(np.concatenate([same * SHARPNESS, same * (SHARPNESS * WORDS)]), zero).scaled(slope),
        prior_correction=prior_correction,
    )
    return head, head.in_traffic(softmax(unseen * slope))


def unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale rows to length 1; rows of zeros stay."""
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-9))


def _sums(rows: Any, label_ids: NDArray[np.int64], weights: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Add up the rows of each label."""
    table = np.zeros((count, len(label_ids)))
    inside = np.flatnonzero(label_ids >= 0)
    table[label_ids[inside], inside] = weights[inside]
    return np.asarray(table @ rows, dtype=np.float64)


def _scores_unseen(totals: NDArray[np.float64], rows: Any, label_ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the similarity of each row to each prototype, its own label's made without it."""
    scores = np.asarray(rows @ unit(totals).T, dtype=np.float64)
    for place in np.flatnonzero(label_ids >= 0):
        row = np.asarray(rows[[place]].todense() if hasattr(rows, "todense") else rows[[place]], dtype=np.float64)[0]
        scores[place, label_ids[place]] = row @ unit(totals[label_ids[place]] - row)
    return scores
