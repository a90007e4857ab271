"""Fits the estimators of heads, once on everything and once per fold for scores on rows that none of them has seen."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from models.features.features import Features
from models.heads.base_estimators import (
    HYBRID_POWER,
    POWER,
    Estimator,
    LinearEstimator,
    MlpEstimator,
    NeighbourEstimator,
    RuleEstimator,
)
from models.reference.index import MASKED, NEAR, Neighbours, top_k
from models.serving.orphans import end_with
from training.data.folds import left_out
from training.ensemble.composition import (
    BASELINES,
    FINE_TUNED,
    HYBRID_NEIGHBOURS,
    MACHINES,
    NEIGHBOURS,
    RULES,
    USUAL,
    WITH_WEIGHTS,
)
from training.ensemble.estimators import (
    DEFAULT_HYPER_PARAMETERS,
    HyperParameters,
    fit_estimator,
    fit_machines,
    machine_inputs,
)

_ORDER = (*WITH_WEIGHTS, *BASELINES)
"""Estimators that are fitted, the slowest first."""
_MOST_JOBS = 32
"""Jobs at a time, on however many cores: there are about as many fits of estimators and folds."""
_BLOCK, _LEAST_BLOCK = 512, 16
"""Rows that a thread compares with all others at once, at most and at least."""
_AT_ONCE = 1 << 27
"""Similarities that all threads hold together, on however many cores: half a gigabyte, and as much for topics."""


@dataclass(frozen=True)
class TargetData:
    """Features and labels of n rows for one target.

    Attributes:
        features: Of the rows; their neighbours are rows of the same data, from other groups.
        label_ids: int64 of shape [n], negative where there is nothing to learn.
        labels: What the label ids count in.
        rule_labels: Label id that each written rule names, int32 of shape [rules], -1 for none.
        base_dim: Leading columns of `features.dense` that estimators with weights look at, but for `FINE_TUNED`; None
            means all. The others are of an encoder that was fine-tuned on some of the rows: an estimator fitted on both
            would trust it too far.
        products: `training.ensemble.support_vectors.word_products` of the rows, where several targets share them.
        guessed: The same features with vectors that a student guesses, which estimators score as well but do not learn
            from; None where no first stage is wanted.
    """

    features: Features
    label_ids: NDArray[np.int64]
    labels: tuple[str, ...]
    rule_labels: NDArray[np.int32]
    base_dim: int | None = None
    products: NDArray[np.float32] | None = None
    guessed: Features | None = None


def neighbours_across_groups(
    dense: NDArray[np.float32],
    topics: NDArray[np.float32],
    groups: NDArray[np.int64],
    *,
    seen_as: NDArray[np.float32] | None = None,
    count: int = NEAR,
) -> Neighbours:
    """Find each row's nearest rows among those of other groups, as `NeighbourIndex.nearest` does.

    Args:
        dense: Embeddings of shape [n, dim].
        topics: LSA components of shape [n, topics].
        groups: int64 of shape [n].
        seen_as: Vectors that each row would have as a new ticket, where they differ from those of the history.
        count: Neighbours per row.
    """
    of_words, asked = bool(topics.any()), dense if seen_as is None else seen_as

    threads = max(1, min(os.cpu_count() or 1, -(-len(dense) // _LEAST_BLOCK)))
    size = max(_LEAST_BLOCK, min(_BLOCK, _AT_ONCE // max(1, threads * len(dense)) // _LEAST_BLOCK * _LEAST_BLOCK))

    def block(start: int) -> Neighbours:
        rows = slice(start, start + size)
        similarity = asked[rows] @ dense.T
        similarity[groups[rows, None] == groups[None, :]] = 2 * MASKED
        if not of_words:  # both measures then have the same order
            near, found = top_k(similarity, count)
            return Neighbours(near, found, near, found * np.float32(0.5))
        return Neighbours.of(similarity, topics[rows] @ topics.T, count)

    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        return Neighbours.joined(pool.map(block, range(0, len(dense), size)))


@dataclass(frozen=True)
class Wanted:
    """What is to be fitted for one target.

    Attributes:
        data: Of n rows; those without a label are scored but not learned from.
        folds: Fold by row, int64 of shape [n], `SEEN` for rows that are learned from in every fold and never scored;
            None leaves the out-of-fold scores out.
        names: Which estimators are combined.
        baselines: Which are fitted on all rows only.
    """

    data: TargetData
    folds: NDArray[np.int64] | None
    names: Sequence[str] = USUAL
    baselines: Sequence[str] = BASELINES

    @property
    def numbers(self) -> tuple[int, ...]:
        """The folds that are left out in turn."""
        return () if self.folds is None else tuple(left_out(self.folds))

    @property
    def tasks(self) -> list[tuple[str, tuple[int | None, ...]]]:
        """Estimators with the folds that each leaves out in one piece of work, None for a fit to all rows."""
        found: list[tuple[str, tuple[int | None, ...]]] = []
        for name in _ORDER:
            if name in {*self.names, *self.baselines}:
                fits = (None, *(() if name in self.baselines else self.numbers))
                found += [(name, fits)] if name in MACHINES else [(name, (fit,)) for fit in fits]
        return found


@dataclass(frozen=True)
class CrossFit:
    """Estimators fitted on all rows, and their scores on rows of folds that they had not seen.

    Attributes:
        estimators: Those to combine, in the order asked for.
        baselines: Those that are fitted only to be beaten.
        scores: By estimator name, out-of-fold scores of shape [n, classes].
        of_guesses: The same scores on guessed vectors; empty where there are none.
    """

    estimators: tuple[Estimator, ...]
    baselines: tuple[Estimator, ...]
    scores: Mapping[str, NDArray[np.float32]]
    of_guesses: Mapping[str, NDArray[np.float32]]


def cross_fit(wanted: Sequence[Wanted], hyper_parameters: HyperParameters = DEFAULT_HYPER_PARAMETERS) -> list[CrossFit]:
    """Fit the estimators of targets on all rows, and on all folds but one in turn; all of them share the cores.

    Args:
        wanted: What to fit, by target.
        hyper_parameters: Of the estimators.

    Returns:
        What was fitted, in the order of `wanted`.
    """
    tasks = [(number, *task) for number, one in enumerate(wanted) for task in one.tasks]
    # The slowest first, so that no core waits long for another: by kind, and the more labels the slower.
    tasks.sort(key=lambda task: (_ORDER.index(task[1]), -len(wanted[task[0]].data.labels)))
    fit_and_score = delayed(partial(_fit_and_score, hyper_parameters=hyper_parameters))
    jobs = min(max((_jobs(hyper_parameters, one.data) for one in wanted), default=1), max(1, len(tasks)))
    workers = Parallel(n_jobs=jobs, max_nbytes="1M", initializer=end_with, initargs=(os.getpid(),))
    results = workers(
        fit_and_score(name, wanted[number].data, wanted[number].folds, fits) for number, name, fits in tasks
    )
    done: list[dict[tuple[str, int | None], _Fitted]] = [{} for _ in wanted]
    for (number, name, fits), found in zip(tasks, results, strict=True):
        done[number] |= {(name, fit): one for fit, one in zip(fits, found, strict=True)}
    return [_collected(one, found) for one, found in zip(wanted, done, strict=True)]


def _collected(wanted: Wanted, done: Mapping[tuple[str, int | None], _Fitted]) -> CrossFit:
    """Put together what was fitted for a target, with the estimators that have nothing to fit."""
    data, folds = wanted.data, wanted.folds
    estimators: list[Estimator] = []
    views = [data.features, *([data.guessed] if data.guessed is not None else [])]
    scores: list[dict[str, NDArray[np.float32]]] = [{}, {}]
    for name in wanted.names:
        if name not in WITH_WEIGHTS:
            estimators.append(_without_weights(name, data))
            for found, view in zip(scores, views if folds is not None else [], strict=False):
                found[name] = estimators[-1].scores(view)
            continue
        estimators.append(done[name, None].whole)
        for place, found in enumerate(scores[: len(views) if folds is not None else 0]):
            found[name] = np.zeros((len(data.label_ids), len(data.labels)), dtype=np.float32)
            for fold in wanted.numbers:
                found[name][folds == fold] = done[name, fold].scores[place]
    return CrossFit(tuple(estimators), tuple(done[name, None].whole for name in wanted.baselines), *scores)


class _Fitted(NamedTuple):
    """An estimator that was fitted to all rows, or what one that left out a fold says of it.

    Attributes:
        estimator: None for one that left out a fold: nobody needs it again.
        scores: Of the fold, on the features, and on those with guessed vectors where there are some.
    """

    estimator: Estimator | None
    scores: list[NDArray[np.float32]]

    @property
    def whole(self) -> Estimator:
        """The estimator that was fitted to all rows."""
        assert self.estimator is not None
        return self.estimator


def _jobs(hyper_parameters: HyperParameters, data: TargetData) -> int:
    if hyper_parameters.jobs is not None:
        return hyper_parameters.jobs
    return 1 if len(data.features.sparse.values) < 200_000 else max(1, min(effective_n_jobs(-1), _MOST_JOBS))


def _without_weights(name: str, data: TargetData) -> Estimator:
    """Return an estimator that has nothing to fit: the written rules, or the votes of neighbours."""
    if name == RULES:
        return RuleEstimator(name, data.rule_labels, len(data.labels))
    assert name in (NEIGHBOURS, HYBRID_NEIGHBOURS)
    hybrid = name == HYBRID_NEIGHBOURS
    return NeighbourEstimator(
        name,
        data.label_ids.astype(np.int32),
        len(data.labels),
        hybrid=hybrid,
        power=HYBRID_POWER if hybrid else POWER,
    )


def _fit_and_score(
    name: str,
    data: TargetData,
    folds: NDArray[np.int64] | None,
    fits: Sequence[int | None],
    hyper_parameters: HyperParameters,
) -> list[_Fitted]:
    """Fit an estimator without each of some folds, and score that fold; None stands for a fit to all rows.

    Returns:
        The estimator that was fitted to all rows, or the scores of one that was not.
    """
    features, part, scale = data.features, None, 1.0
    if data.base_dim is not None:
        part = slice(data.base_dim, None) if name == FINE_TUNED else slice(0, data.base_dim)
        scale = float(np.linalg.norm(features.dense[0, part]))
        features = features._replace(dense=features.dense[:, part] / np.float32(scale))
    learnable = data.label_ids >= 0
    learns = np.stack([learnable if fold is None else learnable & (folds != fold) for fold in fits], axis=1)
    if name in MACHINES:
        inputs = machine_inputs(name, features, data.products)
        estimators = fit_machines(
            name, inputs, data.label_ids, learns, classes=len(data.labels), hyper_parameters=hyper_parameters
        )
    else:
        taken = [np.flatnonzero(rows) for rows in learns.T]
        estimators = [
            fit_estimator(name, features.take(rows), data.label_ids[rows], len(data.labels), hyper_parameters)
            for rows in taken
        ]
    if part is not None:
        estimators = [_widened(one, part, data.features.dense.shape[1], scale) for one in estimators]
    views = [data.features, *([data.guessed] if data.guessed is not None else [])]
    left = [np.zeros(0, dtype=np.int64) if fold is None else np.flatnonzero(folds == fold) for fold in fits]
    return [
        _Fitted(one, []) if fold is None else _Fitted(None, [one.scores(view.take(rows)) for view in views])
        for one, fold, rows in zip(estimators, fits, left, strict=True)
    ]


def _widened(estimator: Estimator, part: slice, columns: int, scale: float) -> Estimator:
    """Make an estimator that was fitted on unit vectors read them where they are a scaled part of longer ones."""
    start, stop, _ = part.indices(columns)

    def wide(weights: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.pad(weights / np.float32(scale), ((start, columns - stop), (0, 0)))

    if isinstance(estimator, MlpEstimator):
        topics = len(estimator.hidden_weights) - (stop - start)
        of_topics, of_dense = estimator.hidden_weights[:topics], estimator.hidden_weights[topics:]
        return replace(estimator, hidden_weights=np.concatenate([of_topics, wide(of_dense)]))
    if isinstance(estimator, LinearEstimator) and estimator.dense is not None:
        return replace(estimator, dense=wide(estimator.dense))
    return estimator
