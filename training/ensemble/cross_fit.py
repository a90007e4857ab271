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

from models.features.vectorizer import Rows
from models.heads.base_estimators import (
    KernelMember,
    LinearMember,
    Member,
    NeighbourMember,
    NetworkMember,
    RuleMember,
    log_votes,
    rule_votes,
)
from models.reference.index import NEAR, SHUT, Near, best
from training.data.folds import left_out
from training.ensemble.estimators import USUAL, Strength, fit_member
from training.ensemble.members import ADAPTED, BESIDE, FITTED, LOOK_ALIKES, MEMBERS, NEIGHBOURS, RULES

_BLOCK = 512


@dataclass(frozen=True)
class Material:
    """What members are fitted on: the features of all rows, labels left aside.

    Attributes:
        sparse: Lexical and field columns as a matrix.
        dense: Embeddings of shape [n, dim].
        topics: Of shape [n, topics].
        near: Nearest rows of the same material that share no unit with the row; shape [n, k].
        similarity: Their similarity.
        alike: As `near`, by meaning and words together.
        likeness: Their similarity.
        fitting: Which rules fit a row, of shape [n, rules].
        plain: Leading columns of `dense` that members with weights look at, but for `ADAPTED`; None for all. The others
            are of an encoder that was adapted to some of the rows: a member fitted on both would trust it too far.
    """

    sparse: Any
    dense: NDArray[np.float32]
    topics: NDArray[np.float32]
    near: NDArray[np.int64]
    similarity: NDArray[np.float32]
    alike: NDArray[np.int64]
    likeness: NDArray[np.float32]
    fitting: NDArray[np.bool_]
    plain: int | None = None


def matrix(rows: Rows, columns: int) -> Any:
    """Return sparse rows as a SciPy matrix, float32 of shape [n, columns]."""
    return sp.csr_matrix((rows.values, rows.columns, rows.starts), shape=(len(rows.starts) - 1, columns))


def neighbours_within(
    dense: NDArray[np.float32], topics: NDArray[np.float32], units: NDArray[np.int64], count: int = NEAR
) -> Near:
    """Find each row's nearest rows among those of other units, as `NeighbourIndex.nearest` does."""

    def block(start: int) -> Near:
        mine = slice(start, start + _BLOCK)
        by_meaning = dense[mine] @ dense.T
        by_meaning[units[mine, None] == units[None, :]] = 2 * SHUT
        together = (by_meaning + topics[mine] @ topics.T) * np.float32(0.5)
        return (*best(by_meaning, count), *best(together, count))

    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(block, range(0, len(dense), _BLOCK)))
    near, similarity, alike, likeness = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return near, similarity, alike, likeness


@dataclass(frozen=True)
class CrossFit:
    """Members fitted on all rows, and their scores on rows of folds that they had not seen.

    Attributes:
        members: Those to combine, in the order asked for.
        beside: Baselines.
        scores: By member name, out-of-fold scores of shape [n, classes].
        strength: How freely they were fitted.
    """

    members: tuple[Member, ...]
    beside: tuple[Member, ...]
    scores: Mapping[str, NDArray[np.float32]]
    strength: Strength


def cross_fit(
    material: Material,
    codes: NDArray[np.int64],
    classes: int,
    folds: NDArray[np.int64] | None,
    *,
    names: Sequence[str] = MEMBERS,
    beside: Sequence[str] = BESIDE,
    spoken: NDArray[np.int32] | None = None,
    strength: Strength = USUAL,
    weights: NDArray[np.float64] | None = None,
    seed: int = 0,
    jobs: int | None = None,
) -> CrossFit:
    """Fit the members named on all rows, and on all folds but one in turn.

    Args:
        material: Features of all rows.
        codes: Label code by row; negative rows are scored but not learned from.
        classes: Number of labels.
        folds: Fold by row, `SEEN` for rows that are learned from in every fold and never scored; None leaves the
            out-of-fold scores out.
        names: Which members are combined.
        beside: Which are fitted on all rows only, as baselines.
        spoken: Label code by rule, as `RuleMember` has it; needed where the rules are among the names.
        strength: How freely they may fit.
        weights: How much each row counts; None counts all the same.
        seed: Of solvers that shuffle.
        jobs: Processes; None takes one per core where that pays.
    """
    counts = np.ones(len(codes)) if weights is None else weights
    learnable = (codes >= 0) & (counts > 0)
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
            material,
            codes,
            classes,
            learnable if fold is None else learnable & (folds != fold),
            None if fold is None else folds == fold,
            counts,
            strength,
            seed,
        )
        for name, fold in tasks
    )
    done = dict(zip(tasks, Parallel(n_jobs=_jobs(jobs, material), max_nbytes="1M")(work), strict=True))
    members: list[Member] = []
    scores: dict[str, NDArray[np.float32]] = {}
    for name in names:
        if name == RULES:
            assert spoken is not None
            members.append(RuleMember(name, spoken, classes))
            scores[name] = rule_votes(material.fitting, spoken, classes)
            continue
        if name in (NEIGHBOURS, LOOK_ALIKES):
            voters = np.where(learnable, codes, np.minimum(codes, -1)).astype(np.int32)
            members.append(NeighbourMember(name, voters, classes, name == LOOK_ALIKES))
            if folds is not None:
                near = material.near if name == NEIGHBOURS else material.alike
                similarity = material.similarity if name == NEIGHBOURS else material.likeness
                scores[name] = log_votes(near, similarity, voters, classes)
            continue
        members.append(done[name, None][0])
        if folds is not None:
            scores[name] = np.zeros((len(codes), classes), dtype=np.float32)
            for fold in left_out(folds):
                scores[name][folds == fold] = done[name, fold][1]
    return CrossFit(tuple(members), tuple(done[name, None][0] for name in beside), scores, strength)


def _jobs(asked: int | None, material: Material) -> int:
    if asked is not None:
        return asked
    return 1 if material.sparse.nnz < 200_000 else max(1, min(os.cpu_count() or 1, 8))


def _fit_and_score(
    name: str,
    material: Material,
    codes: NDArray[np.int64],
    classes: int,
    fitted: NDArray[np.bool_],
    scored: NDArray[np.bool_] | None,
    weights: NDArray[np.float64],
    strength: Strength,
    seed: int,
) -> tuple[Member | None, NDArray[np.float32] | None]:
    rows = np.flatnonzero(fitted)
    dense, half = material.dense[rows], None
    if material.plain is not None:
        half = slice(material.plain, None) if name == ADAPTED else slice(0, material.plain)
        scale = float(np.linalg.norm(material.dense[0, half]))
        dense = dense[:, half] / np.float32(scale)
    member = fit_member(
        name, material.sparse[rows], material.topics[rows], dense, codes[rows], classes, weights[rows], strength, seed
    )
    if half is not None:
        member = _widened(member, half, material.dense.shape[1], scale)
    if scored is None:
        return member, None
    held = np.flatnonzero(scored)
    if isinstance(member, NetworkMember):
        return None, member.logits(material.topics[held], material.dense[held])
    if isinstance(member, KernelMember):
        return None, member.values(material.topics[held], material.dense[held])
    assert isinstance(member, LinearMember)
    scores = np.tile(member.intercept, (len(held), 1))
    if member.sparse is not None:
        scores += material.sparse[held] @ member.sparse
    if member.dense is not None:
        scores += material.dense[held] @ member.dense
    return None, scores


def _widened(member: Member, half: slice, columns: int, scale: float) -> Member:
    """Make a member that was fitted on unit vectors read them where they are one scaled half of longer ones."""
    start, stop, _ = half.indices(columns)

    def wide(weights: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.pad(weights / np.float32(scale), ((start, columns - stop), (0, 0)))

    if isinstance(member, NetworkMember):
        topics = len(member.inward) - (stop - start)
        return replace(member, inward=np.concatenate([member.inward[:topics], wide(member.inward[topics:])]))
    if isinstance(member, KernelMember):
        topics = member.centres.shape[1] - (stop - start)
        return replace(member, centres=np.hstack([member.centres[:, :topics], wide(member.centres[:, topics:].T).T]))
    if isinstance(member, LinearMember) and member.dense is not None:
        return replace(member, dense=wide(member.dense))
    return member
