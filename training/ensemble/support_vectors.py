"""Linear support vector machines of all labels and all folds at once, by dual coordinate descent over blocks of rows.

The machines of one estimator read the same rows and differ in labels, in costs and in which rows they leave out. So
each step serves them all: what rows have in common with each other is computed once, and by matrix products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from models.features.vectorizer import SparseRows

Values = NDArray[np.float32]

MOST_PRODUCTS = 8192
"""Rows up to which the products of all with all are kept: they take 270 megabytes then."""

_PART = 1024
"""Rows of a part where there are more: within it products tell what the machines say, and from part to part weights."""

_BLOCK = 64
"""Rows that are visited between two matrix products: fewer waste the products, more the steps within a block."""

_MOST_MACHINES = 512
"""Machines that are trained together, which bounds the memory for their weights."""

_PASSES = 100
_COMMON = 0.04
"""Share of the rows from which a column is multiplied as a dense one: there a matrix product beats a sparse one."""


@dataclass(frozen=True)
class Inputs:
    """What the machines read of n rows; a column of ones is added to it, whose weight is the intercept.

    Attributes:
        words: Words and fields.
        dense: Embeddings, float32 of shape [n, dim]; None where they are not read.
        products: `word_products` of the rows, where they are known.
    """

    words: SparseRows
    dense: Values | None = None
    products: Values | None = None

    @property
    def matrix(self) -> sp.csr_matrix:
        """Words and fields as a SciPy matrix, float32 of shape [n, width]."""
        return csr_matrix(self.words)

    @property
    def beside(self) -> Values:
        """The embeddings and the column of ones, float32 of shape [n, dim + 1]."""
        ones = np.ones((len(self.words.starts) - 1, 1), dtype=np.float32)
        return ones if self.dense is None else np.hstack([self.dense, ones])


class Machine(NamedTuple):
    """What one machine is to tell apart.

    Attributes:
        label: Id of the label that is told from all others.
        fit: Number of the fit that it belongs to, which says what rows it learns from.
        cost: Of a unit of error on the label's own rows.
        other_cost: The same on the other rows.
    """

    label: int
    fit: int
    cost: float
    other_cost: float


class Weights(NamedTuple):
    """Of m machines: of words [width, m], of the embedding [dim, m], and intercepts [m]; float32."""

    words: Values
    dense: Values
    intercept: Values


@dataclass(frozen=True)
class Task:
    """Machines that are trained on the same n rows.

    Attributes:
        inputs: Of the rows.
        label_ids: int64 of shape [n].
        learns: By row and fit, whether the fit learns from the row, bool of shape [n, fits].
        machines: Whatever number of them.
    """

    inputs: Inputs
    label_ids: NDArray[np.int64]
    learns: NDArray[np.bool_]
    machines: Sequence[Machine]


def train_machines(task: Task, *, tolerance: float, seed: int) -> Weights:
    """Train machines on the squared hinge loss (Hsieh, Chang, Lin, Keerthi and Sundararajan 2008).

    Args:
        task: What to learn.
        tolerance: A machine is done after a pass in which its projected gradients differed by no more.
        seed: Of the order in which rows are visited.
    """
    with threadpool_limits(1):  # sums come out the same whatever else runs on the machine
        parts = [
            _dual(replace(task, machines=task.machines[start : start + _MOST_MACHINES]), tolerance, seed)
            for start in range(0, len(task.machines), _MOST_MACHINES)
        ]
        dual = np.hstack([np.zeros((len(task.label_ids), 0), dtype=np.float32), *parts])
        beside = task.inputs.beside.T @ dual
        return Weights(np.asarray(task.inputs.matrix.T @ dual), beside[:-1], beside[-1])


def csr_matrix(rows: SparseRows) -> sp.csr_matrix:
    """Return sparse rows as a SciPy matrix, float32 of shape [n, width]."""
    return sp.csr_matrix((rows.values, rows.columns, rows.starts), shape=(len(rows.starts) - 1, rows.width))


def word_products(words: SparseRows) -> Values | None:
    """Return the products of all rows with all, float32 of shape [n, n]; None where these would be too many."""
    return None if len(words.starts) - 1 > MOST_PRODUCTS else _products(words)


def _products(words: SparseRows) -> Values:
    with threadpool_limits(1):
        table = csr_matrix(words).tocsc()
        common = np.diff(table.indptr) >= _COMMON * table.shape[0]
        dense, rare = table[:, common].toarray(), table[:, ~common].tocsr()
        products = dense @ dense.T
        added = (rare @ rare.T).tocoo()
        products[added.row, added.col] += added.data
    return np.asarray(products, dtype=np.float32)


def _dual(task: Task, tolerance: float, seed: int) -> Values:
    """Return the signed dual variables of the machines, float32 of shape [n, m]."""
    random, table = np.random.default_rng(seed), _Machines.of(task.machines)
    rows = _Rows(task.inputs, random.permutation(len(task.label_ids)), len(task.machines))
    dual = np.zeros((len(task.label_ids), len(task.machines)), dtype=np.float32)
    found, open_ones = dual.copy(), np.arange(len(task.machines))
    for _ in range(_PASSES):
        spread = _Spread.of_none(len(open_ones))
        for number in random.permutation(len(rows.parts)):
            places = rows.parts[number]
            before = dual[places]
            part = _Visit(
                table, task.label_ids[places], task.learns[places], products=rows.products[number], spread=spread
            )
            after = part.of_all(rows.foreign(number, before), before, random)
            rows.learn(number, after - before)
            dual[places] = after
        found[:, open_ones] = dual
        going_on = spread.highest - spread.lowest > tolerance
        if not going_on.any():
            break
        if not going_on.all():
            open_ones, dual, table = open_ones[going_on], dual[:, going_on], table.take(going_on)
            rows.keep(going_on)
    return found


class _Spread(NamedTuple):
    """The highest and the lowest projected gradient of each machine in a pass, of shape [m]."""

    highest: Values
    lowest: Values

    @classmethod
    def of_none(cls, machines: int) -> _Spread:
        """Return what is known before the pass."""
        return cls(np.full(machines, -np.inf, dtype=np.float32), np.full(machines, np.inf, dtype=np.float32))

    def note(self, gradients: Values) -> None:
        """Take note of gradients of some rows, of shape [b, m]."""
        np.maximum(self.highest, gradients.max(axis=0), out=self.highest)
        np.minimum(self.lowest, gradients.min(axis=0), out=self.lowest)


class _Steps(NamedTuple):
    """How the dual variables of the rows of a block are changed, each of shape [b, m].

    Attributes:
        sign: 1 for rows of a machine's label, -1 for the others.
        scale: One over the curvature in the variable; 0 for rows that the machine does not learn from.
        kept: Share of a variable that a step leaves.
        lowest: Bound of the variable.
        highest: Bound of the variable.
    """

    sign: Values
    scale: Values
    kept: Values
    lowest: Values
    highest: Values

    def gradients(self, change: Values) -> Values:
        """Return the gradients, projected to the bounds, that steps were made for."""
        scale = np.where(self.scale > 0, self.scale, np.float32(1.0))
        return np.asarray(-change * self.sign / scale)


class _Machines(NamedTuple):
    """Machines as arrays of shape [m]."""

    label: NDArray[np.int64]
    fit: NDArray[np.int64]
    cost: Values
    other_cost: Values

    @classmethod
    def of(cls, machines: Sequence[Machine]) -> _Machines:
        label, fit, cost, other_cost = zip(*machines, strict=True)
        return cls(np.array(label), np.array(fit), np.array(cost, np.float32), np.array(other_cost, np.float32))

    def take(self, chosen: NDArray[np.bool_]) -> _Machines:
        """Return some of the machines."""
        return _Machines(self.label[chosen], self.fit[chosen], self.cost[chosen], self.other_cost[chosen])

    def steps(self, label_ids: NDArray[np.int64], learns: NDArray[np.bool_], squares: Values) -> _Steps:
        """Return how the dual variables of rows are changed.

        Args:
            label_ids: Of b rows.
            learns: By row and fit, whether the fit learns from the row.
            squares: Product of each row with itself, of shape [b].
        """
        own = label_ids[:, None] == self.label
        ridge = np.where(own, np.float32(0.5) / self.cost, np.float32(0.5) / self.other_cost)
        scale = np.where(learns[:, self.fit], np.float32(1.0) / (squares[:, None] + ridge), np.float32(0.0))
        infinite = np.float32(np.inf)
        return _Steps(
            np.where(own, np.float32(1.0), np.float32(-1.0)),
            scale,
            kept=np.asarray(1.0 - ridge * scale, dtype=np.float32),
            lowest=np.where(own, np.float32(0.0), -infinite),
            highest=np.where(own, infinite, np.float32(0.0)),
        )


class _Visit(NamedTuple):
    """A pass over the rows of a part.

    Attributes:
        machines: All that are not done.
        label_ids: Of the rows, of shape [p].
        learns: By row and fit, whether the fit learns from the row, of shape [p, fits].
        products: Of the rows with each other, of shape [p, p].
        spread: Takes note of the gradients.
    """

    machines: _Machines
    label_ids: NDArray[np.int64]
    learns: NDArray[np.bool_]
    products: Values
    spread: _Spread

    def of_all(self, foreign: Values | None, dual: Values, random: np.random.Generator) -> Values:
        """Visit the rows one after the other, and return their dual variables, of shape [p, m].

        Args:
            foreign: What the machines say of the rows by what they learned from other parts; None for nothing.
            dual: The dual variables of the rows.
            random: Draws the order.
        """
        dual, blocks = dual.copy(), -(-len(dual) // _BLOCK)
        for number in random.permutation(blocks):
            block = slice(number, None, blocks)  # rows that lie far apart: neighbours in a file are often alike
            within = self.products[block, block]
            outputs = self.products[block] @ dual
            if foreign is not None:
                outputs += foreign[block]
            steps = self.machines.steps(self.label_ids[block], self.learns[block], np.diag(within))
            change = _change(within, outputs, dual[block], steps)
            self.spread.note(steps.gradients(change))
            dual[block] += change
        return dual


def _change(products: Values, outputs: Values, dual: Values, steps: _Steps) -> Values:
    """Visit the rows of a block one after the other, and return how their dual variables change."""
    wanted = dual * steps.kept + (steps.sign - outputs) * steps.scale
    change = np.zeros_like(dual)
    for row, (want, scale, low, high) in enumerate(zip(wanted, steps.scale, steps.lowest, steps.highest, strict=True)):
        now = products[row, :row] @ change[:row]
        now *= scale
        np.subtract(want, now, out=now)
        np.maximum(now, low, out=now)
        np.minimum(now, high, out=now)
        np.subtract(now, dual[row], out=change[row])
    return change


class _Rows:
    """The rows in parts, with the products within each part and, where there are several, the weights learned so far.

    Attributes:
        parts: Positions of the rows of each part.
        products: Of the rows of each part with each other, of shape [p, p].
    """

    def __init__(self, inputs: Inputs, order: NDArray[np.int64], machines: int) -> None:
        words, beside = csr_matrix(inputs.words), inputs.beside
        if len(order) <= MOST_PRODUCTS:
            products = beside @ beside.T
            products += _products(inputs.words) if inputs.products is None else inputs.products
            self.parts, self.products = [np.arange(len(order))], [products]
            self._read: list[_Part] = []
            return
        self.parts = [order[start : start + _PART] for start in range(0, len(order), _PART)]
        common = np.diff(words.tocsc().indptr) >= _COMMON * len(order)
        dense, rare = np.hstack([words[:, common].toarray(), beside]), words[:, ~common].tocsr()
        self._read = [_Part.of(rare, dense, rows) for rows in self.parts]
        self.products = [part.products() for part in self._read]
        self._rare = np.zeros((np.count_nonzero(~common), machines), dtype=np.float32)
        self._dense = np.zeros((dense.shape[1], machines), dtype=np.float32)

    def foreign(self, number: int, dual: Values) -> Values | None:
        """Return what the machines say of the rows of a part by what they learned from others; None for nothing.

        Args:
            number: Of the part.
            dual: Its dual variables, of shape [p, m].
        """
        if not self._read:
            return None
        part = self._read[number]
        said = part.rare @ self._rare[part.columns] + part.dense @ self._dense
        return np.asarray(said - self.products[number] @ dual)

    def learn(self, number: int, change: Values) -> None:
        """Take note of how the dual variables of a part changed, of shape [p, m]."""
        if self._read:
            part = self._read[number]
            self._rare[part.columns] += part.rare.T @ change
            self._dense += part.dense.T @ change

    def keep(self, machines: NDArray[np.bool_]) -> None:
        """Go on with some of the machines only."""
        if self._read:
            self._rare, self._dense = self._rare[:, machines], self._dense[:, machines]


class _Part(NamedTuple):
    """What rows of a part have: rare columns, as a matrix of those that the part has any of, and dense ones."""

    columns: NDArray[np.int64]
    rare: sp.csr_matrix
    dense: Values

    @classmethod
    def of(cls, rare: sp.csr_matrix, dense: Values, rows: NDArray[np.int64]) -> _Part:
        own = rare[rows]
        columns, places = np.unique(own.indices, return_inverse=True)
        return cls(columns, sp.csr_matrix((own.data, places, own.indptr), shape=(len(rows), len(columns))), dense[rows])

    def products(self) -> Values:
        """Return the products of the rows with each other."""
        found = self.dense @ self.dense.T
        added = (self.rare @ self.rare.T).tocoo()
        found[added.row, added.col] += added.data
        return np.asarray(found)
