"""A head as files and back: its facts for `heads.json`, its arrays by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from models.bundle.codecs import Array, array_of
from models.heads.base_estimators import Estimator, LinearEstimator, MlpEstimator, NeighbourEstimator, RuleEstimator
from models.heads.head import NEW_CLASSES, Head, Stacking

_KINDS: Mapping[type[Estimator], str] = {LinearEstimator: "linear", MlpEstimator: "network", RuleEstimator: "rules"}

_EARLIER_VOTERS, _EARLIER_POWER, _EARLIER_LOOKED_AT = 15, 4.0, 25
"""How neighbours vote in a bundle that does not say so: those from before decision 0055."""

_MOST_VOTERS, _MOST_POWER = 10_000, 1_000.0


class Widths(NamedTuple):
    """How many inputs of each kind a head has: lexical and field columns, LSA components, and the embedding's."""

    columns: int
    topics: int
    dim: int


def head_facts(head: Head) -> dict[str, Any]:
    """Return what `heads.json` says of a head."""
    return {
        "labels": head.labels,
        "estimators": [_estimator_facts(one) for one in head.estimators],
        "baselines": [_estimator_facts(one) for one in head.baselines],
        "new_classes": 0 if head.new_classes is None else len(head.new_classes.intercept),
    }


def _estimator_facts(estimator: Estimator) -> dict[str, Any]:
    """Return name and kind of an estimator; of neighbours how they vote too, for the stacking was fitted to that."""
    facts: dict[str, Any] = {"name": estimator.name, "kind": _kind(estimator)}
    if isinstance(estimator, NeighbourEstimator):
        facts |= {"voters": estimator.voters, "power": estimator.power, "looked_at": estimator.looked_at}
    return facts


def _kind(estimator: Estimator) -> str:
    if isinstance(estimator, NeighbourEstimator):
        return "hybrid-neighbours" if estimator.hybrid else "neighbours"
    return _KINDS[type(estimator)]


def head_arrays(head: Head) -> dict[str, Array]:
    """Return the arrays of a head by their names within it."""
    arrays: dict[str, Array] = {"stacking-weights": head.stacking.weights, "stacking-bias": head.stacking.bias}
    for estimator in (*head.estimators, *head.baselines, *([head.new_classes] if head.new_classes else [])):
        arrays |= _estimator_arrays(estimator)
    if head.prior_correction is not None:
        arrays["prior-correction"] = head.prior_correction
    return arrays


def _estimator_arrays(estimator: Estimator) -> dict[str, Array]:
    """Return the arrays of an estimator; the votes of neighbours are those of the index of past tickets."""
    if isinstance(estimator, NeighbourEstimator):
        return {}
    parts = {name: value for name, value in vars(estimator).items() if isinstance(value, np.ndarray)}
    return {f"{estimator.name}-{name.replace('_', '-')}": value for name, value in parts.items()}


@dataclass(frozen=True)
class _HeadFiles:
    """The arrays of one head, by their names within it."""

    target: str
    files: Mapping[str, bytes]
    widths: Widths

    def load(self, name: str, kind: DTypeLike, dimensions: int) -> Array:
        return array_of(self.files, f"head-{self.target}-{name}", kind, dimensions)

    def has(self, name: str) -> bool:
        return f"head-{self.target}-{name}.npy" in self.files

    def table(self, name: str, rows: int, columns: int) -> NDArray[np.float32]:
        array = self.load(name, np.float32, 2)
        if array.shape != (rows, columns):
            raise ValueError(f"{name} of another shape")
        return array

    def vector(self, name: str, length: int, kind: DTypeLike = np.float32) -> Array:
        array = self.load(name, kind, 1)
        if len(array) != length:
            raise ValueError(f"{name} of another length")
        return array

    def estimator(self, facts: Mapping[str, Any], label_ids: NDArray[np.int32], classes: int) -> Estimator:
        name, kind = facts["name"], facts["kind"]
        if kind in ("neighbours", "hybrid-neighbours"):
            return _neighbours(facts, label_ids, classes)
        if kind == "rules":
            rule_labels = self.load(f"{name}-label-ids", np.int32, 1)
            if rule_labels.max(initial=-1) >= classes:
                raise ValueError(f"{name} name no label")
            return RuleEstimator(name, rule_labels, classes)
        if kind == "network":
            hidden = self.load(f"{name}-hidden-intercept", np.float32, 1)
            return MlpEstimator(
                name,
                self.table(f"{name}-hidden-weights", self.widths.topics + self.widths.dim, len(hidden)),
                hidden_intercept=hidden,
                weights=self.table(f"{name}-weights", len(hidden), classes),
                intercept=self.vector(f"{name}-intercept", classes),
            )
        if kind != "linear":
            raise ValueError(f"estimator of kind {kind!r}")
        return self.linear(name, classes)

    def linear(self, name: str, classes: int) -> LinearEstimator:
        return LinearEstimator(
            name,
            self.vector(f"{name}-intercept", classes),
            self.table(f"{name}-sparse", self.widths.columns, classes) if self.has(f"{name}-sparse") else None,
            self.table(f"{name}-dense", self.widths.dim, classes) if self.has(f"{name}-dense") else None,
        )


def _neighbours(facts: Mapping[str, Any], label_ids: NDArray[np.int32], classes: int) -> NeighbourEstimator:
    voters, power = facts.get("voters", _EARLIER_VOTERS), facts.get("power", _EARLIER_POWER)
    looked_at = facts.get("looked_at", _EARLIER_LOOKED_AT)
    if not 1 <= voters <= _MOST_VOTERS or not 0 < power <= _MOST_POWER or not 1 <= looked_at <= _MOST_VOTERS:
        raise ValueError(f"{voters!r} of {looked_at!r} neighbours that vote by the power of {power!r}")
    hybrid = facts["kind"] == "hybrid-neighbours"
    return NeighbourEstimator(
        facts["name"], label_ids, classes, hybrid, voters=int(voters), power=float(power), looked_at=int(looked_at)
    )


def head_of(
    target: str, facts: Mapping[str, Any], files: Mapping[str, bytes], label_ids: NDArray[np.int32], widths: Widths
) -> Head:
    """Build a head.

    Args:
        target: Name of the target, such as ``tier``.
        facts: What `head_facts` said of it.
        files: All files of the model by name.
        label_ids: Label ids of the past tickets, int32 of shape [past tickets].
        widths: How many inputs of each kind its estimators may have.

    Raises:
        ValueError: If an array is of another kind or shape than it must be.
        KeyError: If one is missing.
    """
    labels, arrays = tuple(facts["labels"]), _HeadFiles(target, files, widths)
    added = int(facts["new_classes"])
    classes = len(labels) - added
    estimators, baselines = (
        tuple(arrays.estimator(one, label_ids, classes) for one in facts[part]) for part in ("estimators", "baselines")
    )
    stacking = Stacking(
        arrays.table("stacking-weights", len(estimators) * classes, classes), arrays.vector("stacking-bias", classes)
    )
    return Head(
        target,
        labels,
        estimators,
        stacking,
        prior_correction=arrays.vector("prior-correction", classes, np.float64)
        if arrays.has("prior-correction")
        else None,
        baselines=baselines,
        new_classes=arrays.linear(NEW_CLASSES, added) if added else None,
    )
