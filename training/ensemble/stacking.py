"""Learns how to weigh the members of a head: from one weight a member to one a member and pair of labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from models.heads.head import Stacking

_STEPS, _FREE_STEPS = 80, 60
_BIAS_PENALTY = 1e-3


def fit_stacking(
    scores: Sequence[NDArray[np.float32]],
    extra: NDArray[np.float32] | None,
    label_ids: NDArray[np.int64],
    *,
    freedom: float,
) -> Stacking:
    """Fit a multinomial logistic regression on out-of-fold scores that is pulled towards one weight per member.

    Each logit is the sum over members of `weight(estimator) * score(estimator, label)` plus a bias, plus whatever a
    full matrix from all scores to all labels adds; that matrix is penalised by `1 / freedom`. With few rows a label the
    members are merely weighed; with many, it is stacking in full (Wolpert 1992).

    Args:
        scores: One array of shape [n, classes] per member.
        extra: Further inputs of shape [n, inputs], such as beliefs of another head; None for none.
        label_ids: Label codes of shape [n], all learnable.
        freedom: Prior variance of the full matrix; 0 leaves it out.
    """
    problem = _Problem.of(scores, extra, label_ids, freedom)
    count, classes = problem.blocks.shape[0], problem.blocks.shape[2]
    flat = np.concatenate([np.full(count, 2.0 / count), np.zeros(classes)])
    flat = _minimised(_Problem(problem.blocks, problem.inputs[:, :0], problem.label_ids, 0.0), flat, _STEPS)
    if freedom > 0:
        flat = _minimised(problem, np.concatenate([flat, np.zeros(problem.inputs.shape[1] * classes)]), _FREE_STEPS)
    each, bias = flat[:count], flat[count : count + classes]
    beside = problem.inputs.shape[1] - count * classes
    table = np.concatenate([np.eye(classes) * one for one in each] + [np.zeros((beside, classes))])
    if freedom > 0:
        table = table + flat[count + classes :].reshape(-1, classes)
    table /= problem.spread[:, None]
    return Stacking(np.ascontiguousarray(table, dtype=np.float32), bias.astype(np.float32))


def _minimised(problem: _Problem, start: NDArray[np.float64], steps: int) -> NDArray[np.float64]:
    with threadpool_limits(1):  # the products are so slim that threads would mostly wait for each other
        found = minimize(problem.loss, start, jac=True, method="L-BFGS-B", options={"maxiter": steps, "gtol": 1e-5})
    return np.asarray(found.x)


@dataclass(frozen=True)
class _Problem:
    """What is minimised: `blocks` are the members' scores, [members, n, classes]; `inputs` all of them side by side."""

    blocks: NDArray[np.float32]
    inputs: NDArray[np.float32]
    label_ids: NDArray[np.int64]
    freedom: float
    spread: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    @classmethod
    def of(
        cls,
        scores: Sequence[NDArray[np.float32]],
        extra: NDArray[np.float32] | None,
        label_ids: NDArray[np.int64],
        freedom: float,
    ) -> _Problem:
        """Scale every member, and every further input, to a spread of 1."""
        spread = np.array([max(float(block.std()), 1e-6) for block in scores])
        blocks = np.stack([block / np.float32(scale) for block, scale in zip(scores, spread, strict=True)])
        inputs = np.concatenate(list(blocks), axis=1)
        all_spread = np.repeat(spread, blocks.shape[2])
        if extra is not None:
            scale = np.maximum(extra.std(axis=0), 1e-6)
            inputs = np.concatenate([inputs, extra / scale], axis=1)
            all_spread = np.concatenate([all_spread, scale])
        return cls(blocks.astype(np.float32), inputs.astype(np.float32), label_ids, freedom, all_spread)

    def loss(self, flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Return the mean log loss with its penalties, and its gradient."""
        count, n, classes = self.blocks.shape
        each, bias, full = flat[:count].astype(np.float32), flat[count : count + classes], flat[count + classes :]
        matrix = full.reshape(-1, classes)
        if len(matrix):
            table = matrix.astype(np.float32)
            table[: count * classes] += np.concatenate([np.eye(classes, dtype=np.float32) * one for one in each])
            logits = self.inputs @ table
        else:
            logits = (each @ self.blocks.reshape(count, -1)).reshape(n, classes)
        logits += bias.astype(np.float32)
        logits -= logits.max(axis=1, keepdims=True)
        probabilities = np.exp(logits)
        total = probabilities.sum(axis=1, keepdims=True)
        probabilities /= total
        rows = np.arange(n)
        right = logits[rows, self.label_ids] - np.log(total[:, 0])
        probabilities[rows, self.label_ids] -= 1.0
        probabilities /= n
        penalty = 1.0 / (self.freedom * n) if len(matrix) else 0.0
        value = -float(right.mean(dtype=np.float64))
        value += 0.5 * penalty * float(full @ full) + 0.5 * _BIAS_PENALTY / n * float(bias @ bias)
        slope_bias = probabilities.sum(axis=0, dtype=np.float64) + _BIAS_PENALTY / n * bias
        if not len(matrix):
            slope_each = self.blocks.reshape(count, -1) @ probabilities.ravel()
            return value, np.concatenate([slope_each.astype(np.float64), slope_bias])
        slope = (self.inputs.T @ probabilities).astype(np.float64)
        slope_each = np.array([np.trace(slope[one * classes : (one + 1) * classes]) for one in range(count)])
        slope_full = slope.ravel() + penalty * full
        return value, np.concatenate([slope_each, slope_bias, slope_full])
