"""The steps of adaptation: which tickets go together, how many steps fit into the time, how fast the encoder learns."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

MOST_EPOCHS = 3.0
"""Passes over the tickets that are never exceeded: from there on an encoder learns them by heart."""

_MEASURED_STEPS = 16
_REPLANNED_EVERY = 0.1
_RESERVE = 0.98
_POOL = 64


@dataclass(frozen=True)
class TrainingBudget:
    """How much is done.

    Attributes:
        minutes: Time for the passes; the clock decides how many steps are taken.
        steps: Steps to take whatever the clock says, which makes a run repeatable; None goes by the clock.
        rate: Highest learning rate of the encoder.
        head_rate: Highest learning rate of the heads.
        batch: Tickets in a step.
        max_tokens: What is read of a ticket.
        dropout: Of the encoder's layers.
        forgotten: Share of the tokens left out at random, anew in every pass.
        smoothing: Of the labels.
    """

    minutes: float = 20.0
    steps: int | None = None
    rate: float = 1e-4
    head_rate: float = 2e-3
    batch: int = 32
    max_tokens: int = 96
    dropout: float = 0.0
    forgotten: float = 0.1
    smoothing: float = 0.05


@dataclass
class LearningRateSchedule:
    """How many steps there will be: told beforehand, or worked out from the pace and mended on the way.

    Attributes:
        training_budget: What is asked for.
        sizes: Padded tokens of every step of all passes.
        began: When the clock was started.
        total: Steps planned.
        changes: How often the clock changed a plan; 0 means that as many steps again give the same weights.
    """

    training_budget: TrainingBudget
    sizes: NDArray[np.int64]
    began: float = field(default_factory=time.monotonic)
    total: int = 0
    changes: int = 0
    _next: int = _MEASURED_STEPS
    _warm: tuple[float, int] = (0.0, 0)

    def __post_init__(self) -> None:
        """Sum up the padded tokens of the steps; until the pace is known all of them are planned."""
        self._done = np.concatenate([[0], np.cumsum(self.sizes)])
        steps = self.training_budget.steps
        self.total = len(self.sizes) if steps is None else min(steps, len(self.sizes))

    def rate(self, step: int) -> float:
        """Return the share of the highest learning rate at a step: up over a tenth of it all at most, then down."""
        warm = max(1, min(100, len(self.sizes) // 30, self.total // 10))
        return min((step + 1) / warm, max(0.0, self.total - step) / max(1, self.total - warm))

    def replan(self, step: int) -> None:
        """After a step: work out how many there will be, should the clock decide."""
        if self.training_budget.steps is not None:
            return
        elapsed = time.monotonic() - self.began
        budget = self.training_budget.minutes * 60 * _RESERVE
        if step == 2:  # the first steps warm caches up and say nothing about the pace
            self._warm = elapsed, step
        if elapsed > budget:
            self.changes += self.total > step
            self.total = step
        elif step >= self._next:
            since, first = self._warm
            pace = (elapsed - since) / max(1, self._done[step] - self._done[first])
            reach = self._done[step] + (budget - elapsed) / pace
            total = max(step, int(np.searchsorted(self._done, reach, side="right")) - 1)
            self.changes += self._next > _MEASURED_STEPS and total != self.total
            self.total = min(total, len(self.sizes))
            self._next = step + max(_MEASURED_STEPS, int(_REPLANNED_EVERY * self.total))


def batches(tokens: Sequence[NDArray[np.int64]], size: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of every step of all passes, those of like length together, in an order that the seed draws."""
    lengths = np.array([len(ids) for ids in tokens])
    for epoch in range(int(np.ceil(MOST_EPOCHS))):
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(len(tokens))
        found: list[NDArray[np.int64]] = []
        for start in range(0, len(order), size * _POOL):
            pool = order[start : start + size * _POOL]
            pool = pool[np.argsort(lengths[pool], kind="stable")]
            found += [pool[first : first + size] for first in range(0, len(pool), size)]
        yield from (found[place] for place in rng.permutation(len(found)))


def drop_tokens(ids: NDArray[np.int64], share: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Leave tokens out at random; the first and the last, which mark the ends, stay."""
    if not share or len(ids) < 4:
        return ids
    kept = rng.random(len(ids)) >= share
    kept[0] = kept[-1] = True
    return ids[kept]


def padded(rows: Sequence[NDArray[np.int64]], filler: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return token numbers and mask of a step, as wide as its longest ticket."""
    longest = max(2, *(len(ids) for ids in rows))
    ids = np.full((len(rows), longest), filler, dtype=np.int64)
    mask = np.zeros_like(ids)
    for place, row in enumerate(rows):
        ids[place, : len(row)], mask[place, : len(row)] = row, 1
    return ids, mask
