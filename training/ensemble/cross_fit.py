"""Fits the members of a head, once on everything and once per fold for scores on rows that a member has not seen."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from joblib import Parallel, delayed
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from models.features.vectorizer import SparseRows
from models.heads.base_estimators import (
    Estimator,
    KernelEstimator,
    LinearEstimator,
    MlpEstimator,
    NeighbourEstimator,
    RuleEstimator,
    log_votes,
    rule_votes,
)
from models.reference.index import NEAR, SHUT, Near, top_k
from training.data.folds import left_out
from training.ensemble.composition import ADAPTED, BESIDE, FITTED, HYBRID_NEIGHBOURS, MEMBERS, NEIGHBOURS, RULES
from training.ensemble.estimators import DEFAULT_HYPER_PARAMETERS, HyperParameters, fit_estimator

_BLOCK = 512


@dataclass(frozen=True)
class TrainingFeatures:
    """What members are fitted on: the features of all rows, labels left aside.

    Attributes:
        sparse: Lexical and field columns as a matrix.
        dense: Embeddings of shape [n, dim].
        topics: Of shape [n, topics].
        near: Nearest rows of the same material that share no unit with the row; shape [n, k].
        similarity: Their similarity.
        hybrid_near: As `near`, by meaning and words together.
        hybrid_similarity: Their similarity.
        rule_matches: Which rules fit a row, of shape [n, rules].
        plain: Leading columns of `dense` that members with weights look at, but for `ADAPTED`; None for all. The others
            are of an encoder that was adapted to some of the rows: a member fitted on both would trust it too far.
    """

    sparse: Any
    dense: NDArray[np.float32]
    topics: NDArray[np.float32]
    near: NDArray[np.int64]
    similarity: NDArray[np.float32]
    hybrid_near: NDArray[np.int64]
    hybrid_similarity: NDArray[np.float32]
    rule_matches: NDArray[np.bool_]
    plain: int | None = None


def matrix(rows: SparseRows, columns: int) -> Any:
    """Return sparse rows as a SciPy matrix, float32 of shape [n, columns]."""
    return sp.csr_matrix((rows.values, rows.columns, rows.starts), shape=(len(rows.starts) - 1, columns))


def neighbours_across_groups(
    dense: NDArray[np.float32], topics: NDArray[np.float32], groups: NDArray[np.int64], count: int = NEAR
) -> Near:
    """Find each row's nearest rows among those of other units, as `NeighbourIndex.nearest` does."""

    def block(start: int) -> Near:
        mine = slice(start, start + _BLOCK)
        by_meaning = dense[mine] @ dense.T
        by_meaning[groups[mine, None] == groups[None, :]] = 2 * SHUT
        together = (by_meaning + topics[mine] @ topics.T) * np.float32(0.5)
        return (*top_k(by_meaning, count), *top_k(together, count))

    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(block, range(0, len(dense), _BLOCK)))
    near, similarity, hybrid_near, hybrid_similarity = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return near, similarity, hybrid_near, hybrid_similarity


@dataclass(frozen=True)
class CrossFit:
    """Members fitted on all rows, and their scores on rows of folds that they had not seen.

    Attributes:
        estimators: Those to combine, in the order asked for.
        beside: Baselines.
        scores: By member name, out-of-fold scores of shape [n, classes].
        hyper_parameters: How freely they were fitted.
    """

    estimators: tuple[Estimator, ...]
    beside: tuple[Estimator, ...]
    scores: Mapping[str, NDArray[np.float32]]
    hyper_parameters: HyperParameters


def cross_fit(
    training_features: TrainingFeatures,
    label_ids: NDArray[np.int64],
    classes: int,
    folds: NDArray[np.int64] | None,
    *,
    names: Sequence[str] = MEMBERS,
    beside: Sequence[str] = BESIDE,
    rule_labels: NDArray[np.int32] | None = None,
    hyper_parameters: HyperParameters = DEFAULT_HYPER_PARAMETERS,
    weights: NDArray[np.float64] | None = None,
    seed: int = 0,
    jobs: int | None = None,
) -> CrossFit:
    """Fit the members named on all rows, and on all folds but one in turn.

    Args:
        training_features: Features of all rows.
        label_ids: Label code by row; negative rows are scored but not learned from.
        classes: Number of labels.
        folds: Fold by row, `SEEN` for rows that are learned from in every fold and never scored; None leaves the
            out-of-fold scores out.
        names: Which members are combined.
        beside: Which are fitted on all rows only, as baselines.
        rule_labels: Label code by rule, as `RuleEstimator` has it; needed where the rules are among the names.
        hyper_parameters: How freely they may fit.
        weights: How much each row counts; None counts all the same.
        seed: Of solvers that shuffle.
        jobs: Processes; None takes one per core where that pays.
    """
    counts = np.ones(len(label_ids)) if weights is None else weights
    learnable = (label_ids >= 0) & (counts > 0)
    tasks = [
        (name, fold)
        for name in (*names, *beside)
        if name in FITTED or name in BESIDE
        for fold in (None, *(() if folds is None or name in beside else left_out(folds)))
    ]
    tasks.sort(key=lambda task: ((*FITTED, *BESIDE).index(task[0]), task[1] is not None))
    work = (
        delayed(_fit_and_score)(
            name,
            training_features,
            label_ids,
            classes,
            learnable if fold is None else learnable & (folds != fold),
            None if fold is None else folds == fold,
            counts,
            hyper_parameters,
            seed,
        )
        for name, fold in tasks
    )
    done = dict(zip(tasks, Parallel(n_jobs=_jobs(jobs, training_features), max_nbytes="1M")(work), strict=True))
    estimators: list[Estimator] = []
    scores: dict[str, NDArray[np.float32]] = {}
    for name in names:
        if name == RULES:
            assert rule_labels is not None
            estimators.append(RuleEstimator(name, rule_labels, classes))
            scores[name] = rule_votes(training_features.rule_matches, rule_labels, classes)
            continue
        if name in (NEIGHBOURS, HYBRID_NEIGHBOURS):
            voters = np.where(learnable, label_ids, np.minimum(label_ids, -1)).astype(np.int32)
            estimators.append(NeighbourEstimator(name, voters, classes, name == HYBRID_NEIGHBOURS))
            if folds is not None:
                near = training_features.near if name == NEIGHBOURS else training_features.hybrid_near
                similarity = training_features.similarity if name == NEIGHBOURS else training_features.hybrid_similarity
                scores[name] = log_votes(near, similarity, voters, classes)
            continue
        estimators.append(done[name, None][0])
        if folds is not None:
            scores[name] = np.zeros((len(label_ids), classes), dtype=np.float32)
            for fold in left_out(folds):
                scores[name][folds == fold] = done[name, fold][1]
    return CrossFit(tuple(estimators), tuple(done[name, None][0] for name in beside), scores, hyper_parameters)


def _jobs(asked: int | None, training_features: TrainingFeatures) -> int:
    if asked is not None:
        return asked
    return 1 if training_features.sparse.nnz < 200_000 else max(1, min(os.cpu_count() or 1, 8))


def _fit_and_score(
    name: str,
    training_features: TrainingFeatures,
    label_ids: NDArray[np.int64],
    classes: int,
    fitted: NDArray[np.bool_],
    scored: NDArray[np.bool_] | None,
    weights: NDArray[np.float64],
    hyper_parameters: HyperParameters,
    seed: int,
) -> tuple[Estimator | None, NDArray[np.float32] | None]:
    rows = np.flatnonzero(fitted)
    dense, half = training_features.dense[rows], None
    if training_features.plain is not None:
        half = slice(training_features.plain, None) if name == ADAPTED else slice(0, training_features.plain)
        scale = float(np.linalg.norm(training_features.dense[0, half]))
        dense = dense[:, half] / np.float32(scale)
    estimator = fit_estimator(
        name,
        training_features.sparse[rows],
        training_features.topics[rows],
        dense,
        label_ids[rows],
        classes,
        weights[rows],
        hyper_parameters,
        seed,
    )
    if half is not None:
        estimator = _widened(estimator, half, training_features.dense.shape[1], scale)
    if scored is None:
        return estimator, None
    held = np.flatnonzero(scored)
    if isinstance(estimator, MlpEstimator):
        return None, estimator.logits(training_features.topics[held], training_features.dense[held])
    if isinstance(estimator, KernelEstimator):
        return None, estimator.values(training_features.topics[held], training_features.dense[held])
    assert isinstance(estimator, LinearEstimator)
    scores = np.tile(estimator.intercept, (len(held), 1))
    if estimator.sparse is not None:
        scores += training_features.sparse[held] @ estimator.sparse
    if estimator.dense is not None:
        scores += training_features.dense[held] @ estimator.dense
    return None, scores


def _widened(estimator: Estimator, half: slice, columns: int, scale: float) -> Estimator:
    """Make a member that was fitted on unit vectors read them where they are one scaled half of longer ones."""
    start, stop, _ = half.indices(columns)

    def wide(weights: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.pad(weights / np.float32(scale), ((start, columns - stop), (0, 0)))

    if isinstance(estimator, MlpEstimator):
        topics = len(estimator.inward) - (stop - start)
        return replace(estimator, inward=np.concatenate([estimator.inward[:topics], wide(estimator.inward[topics:])]))
    if isinstance(estimator, KernelEstimator):
        topics = estimator.centres.shape[1] - (stop - start)
        return replace(
            estimator, centres=np.hstack([estimator.centres[:, :topics], wide(estimator.centres[:, topics:].T).T])
        )
    if isinstance(estimator, LinearEstimator) and estimator.dense is not None:
        return replace(estimator, dense=wide(estimator.dense))
    return estimator
