"""Trains a network with one hidden layer: Adam on one flat array, in place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

_MEAN_DECAY, _SQUARE_DECAY, _EPSILON = 0.9, 0.999, 1e-8  # as proposed with Adam


@dataclass(frozen=True)
class Schedule:
    """How a network is trained.

    Attributes:
        hidden: Rectified linear units.
        epochs: Passes over the rows.
        batch: Rows a step.
        learning_rate: Of the first step; it falls to nothing along half a cosine.
        weight_decay: Factor of the squared weights in the loss of all rows, halved.
        seed: Of first weights and order.
    """

    hidden: int
    epochs: int
    batch: int
    learning_rate: float
    weight_decay: float
    seed: int = 0


class Weights(NamedTuple):
    """Of a network with one hidden layer: [columns, hidden], [hidden], [hidden, classes] and [classes], float32."""

    hidden: NDArray[np.float32]
    hidden_intercept: NDArray[np.float32]
    output: NDArray[np.float32]
    intercept: NDArray[np.float32]


def train_network(
    inputs: NDArray[np.float32], label_ids: NDArray[np.int64], classes: int, schedule: Schedule
) -> Weights:
    """Return the weights of a network that tells labels apart, trained on the log loss.

    Args:
        inputs: float32 of shape [n, columns], each column of a like spread.
        label_ids: int64 of shape [n], from 0 to `classes`.
        classes: Number of labels.
        schedule: How to train.
    """
    random, rows = np.random.default_rng(schedule.seed), len(inputs)
    flat, weights = _first_weights(random, inputs.shape[1], schedule.hidden, classes)
    slopes_flat = np.empty_like(flat)
    slopes = _parts(slopes_flat, inputs.shape[1], schedule.hidden, classes)
    adam = _Adam(flat)
    steps = schedule.epochs * -(-rows // schedule.batch)
    with threadpool_limits(1):  # sums come out the same whatever else runs on the machine
        for _ in range(schedule.epochs):
            order = random.permutation(rows)
            for start in range(0, rows, schedule.batch):
                chosen = order[start : start + schedule.batch]
                _slopes(weights, inputs[chosen], label_ids[chosen], schedule.weight_decay, into=slopes)
                rate = schedule.learning_rate * 0.5 * (1.0 + np.cos(np.pi * adam.steps / steps))
                adam.step(flat, slopes_flat, rate)
    return weights


def _first_weights(
    random: np.random.Generator, columns: int, hidden: int, classes: int
) -> tuple[NDArray[np.float32], Weights]:
    """Draw weights (Glorot and Bengio 2010); returns one array of all, and its parts as views."""
    flat = np.empty(columns * hidden + hidden + hidden * classes + classes, dtype=np.float32)
    weights = _parts(flat, columns, hidden, classes)
    for part, bound in zip(weights, np.sqrt(6.0 / np.repeat([columns + hidden, hidden + classes], 2)), strict=True):
        part[...] = random.uniform(-bound, bound, part.shape)
    return flat, weights


def _parts(flat: NDArray[np.float32], columns: int, hidden: int, classes: int) -> Weights:
    ends = np.cumsum([columns * hidden, hidden, hidden * classes])
    first, shift, second, intercept = np.split(flat, ends)
    return Weights(first.reshape(columns, hidden), shift, second.reshape(hidden, classes), intercept)


def _slopes(
    weights: Weights, inputs: NDArray[np.float32], label_ids: NDArray[np.int64], decay: float, *, into: Weights
) -> None:
    """Write the gradient of the penalised mean log loss of some rows."""
    rows = len(inputs)
    hidden = inputs @ weights.hidden
    hidden += weights.hidden_intercept
    np.maximum(hidden, 0.0, out=hidden)
    error = hidden @ weights.output
    error += weights.intercept
    error -= error.max(axis=1, keepdims=True)
    np.exp(error, out=error)
    error /= error.sum(axis=1, keepdims=True)
    error[np.arange(rows), label_ids] -= 1.0
    error /= rows
    np.matmul(hidden.T, error, out=into.output)
    np.sum(error, axis=0, out=into.intercept)
    back = error @ weights.output.T
    back *= hidden > 0.0
    np.matmul(inputs.T, back, out=into.hidden)
    np.sum(back, axis=0, out=into.hidden_intercept)
    for slope, weight in ((into.hidden, weights.hidden), (into.output, weights.output)):
        slope += np.float32(decay / rows) * weight


class _Adam:
    """Adam (Kingma and Ba 2015) on one flat array, in place."""

    def __init__(self, flat: NDArray[np.float32]) -> None:
        self.steps = 0
        self._mean, self._square, self._scratch = np.zeros_like(flat), np.zeros_like(flat), np.empty_like(flat)

    def step(self, flat: NDArray[np.float32], slopes: NDArray[np.float32], rate: float) -> None:
        """Move weights against their slopes; `slopes` is used up."""
        self.steps += 1
        mean, square, scratch = self._mean, self._square, self._scratch
        mean *= np.float32(_MEAN_DECAY)
        np.multiply(slopes, np.float32(1.0 - _MEAN_DECAY), out=scratch)
        mean += scratch
        square *= np.float32(_SQUARE_DECAY)
        np.square(slopes, out=scratch)
        scratch *= np.float32(1.0 - _SQUARE_DECAY)
        square += scratch
        np.sqrt(square, out=scratch)
        scratch += np.float32(_EPSILON)
        np.divide(mean, scratch, out=scratch)
        unbiased = np.sqrt(1.0 - _SQUARE_DECAY**self.steps) / (1.0 - _MEAN_DECAY**self.steps)
        scratch *= np.float32(rate * unbiased)
        flat -= scratch
