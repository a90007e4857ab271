"""A head as files and back: its facts for `heads.json`, its arrays by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.bundle.codecs import Array, array_of
from models.heads.base_estimators import (
    Estimator,
    KernelEstimator,
    LinearEstimator,
    MlpEstimator,
    NeighbourEstimator,
    RuleEstimator,
)
from models.heads.head import Calibrator, Head, Stacking

NETWORK_PARTS = ("inward", "threshold", "outward", "intercept")
KERNEL_PARTS = ("centres", "weights", "intercept")


class Widths(NamedTuple):
    """How many inputs of each kind a head has."""

    columns: int
    topics: int
    dim: int


def head_facts(head: Head) -> dict[str, Any]:
    """Return what `heads.json` says of a head."""
    return {
        "labels": head.labels,
        "members": [{"name": estimator.name, "kind": _kind(estimator)} for estimator in head.estimators],
        "beside": [{"name": estimator.name, "kind": _kind(estimator)} for estimator in head.beside],
        "calibrator": head.calibrator.kind,
        "reads_category": head.reads_category,
        **({} if head.new_classes is None else {"newcomers": len(head.new_classes.intercept)}),
    }


def _kind(estimator: Estimator) -> str:
    if isinstance(estimator, NeighbourEstimator):
        return "look-alikes" if estimator.by_words else "neighbours"
    kinds = {MlpEstimator: "network", KernelEstimator: "kernel", RuleEstimator: "rules"}
    return kinds.get(type(estimator), "linear")


def head_arrays(head: Head) -> dict[str, Array]:
    """Return the arrays of a head by their names within it."""
    arrays: dict[str, Array] = {"combiner": head.combiner.weights, "combiner-bias": head.combiner.bias}
    for estimator in (*head.estimators, *head.beside, *([head.new_classes] if head.new_classes else [])):
        arrays |= _member_arrays(estimator)
    arrays |= _calibrator_arrays(head.calibrator)
    if head.odds is not None:
        arrays["odds"] = head.odds
    return arrays


def _member_arrays(estimator: Estimator) -> dict[str, Array]:
    """Name the arrays of a member; the votes of neighbours are those of the history."""
    arrays: dict[str, Array] = {}
    if isinstance(estimator, MlpEstimator):
        arrays = {f"{estimator.name}-{part}": getattr(estimator, part) for part in NETWORK_PARTS}
    if isinstance(estimator, KernelEstimator):
        arrays = {f"{estimator.name}-{part}": getattr(estimator, part) for part in KERNEL_PARTS}
        arrays[f"{estimator.name}-centres"] = estimator.centres.astype(
            np.float16
        )  # past tickets are rounded so already
    if isinstance(estimator, RuleEstimator):
        arrays = {f"{estimator.name}-codes": estimator.label_ids}
    if isinstance(estimator, LinearEstimator):
        arrays[f"{estimator.name}-intercept"] = estimator.intercept
        if estimator.sparse is not None:
            arrays[f"{estimator.name}-sparse"] = estimator.sparse
        if estimator.dense is not None:
            arrays[f"{estimator.name}-dense"] = estimator.dense
    return arrays


def _calibrator_arrays(calibrator: Calibrator) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    if calibrator.slope is not None:
        arrays["calibrator-slope"] = calibrator.slope
    if calibrator.shift is not None:
        arrays["calibrator-shift"] = calibrator.shift
    if calibrator.knots:
        arrays["calibrator-steps"] = np.array([len(knots) for knots in calibrator.knots])
        arrays["calibrator-knots"] = np.concatenate(calibrator.knots)
        arrays["calibrator-levels"] = np.concatenate(calibrator.levels)
    return arrays


@dataclass(frozen=True)
class _HeadFiles:
    """The arrays of one head, by their names within it."""

    target: str
    files: Mapping[str, bytes]

    def load(self, name: str, kind: Any, dimensions: int) -> Array:
        return array_of(self.files, f"head-{self.target}-{name}", kind, dimensions)

    def maybe(self, name: str, shape: tuple[int, int]) -> NDArray[np.float32] | None:
        if f"head-{self.target}-{name}.npy" not in self.files:
            return None
        array = self.load(name, np.float32, 2)
        if array.shape != shape:
            raise ValueError(f"{name} of another shape")
        return array

    def estimator(
        self, facts: Mapping[str, Any], label_ids: NDArray[np.int32], classes: int, widths: Widths
    ) -> Estimator:
        name, kind = facts["name"], facts["kind"]
        if kind in ("neighbours", "look-alikes"):
            return NeighbourEstimator(name, label_ids, classes, kind == "look-alikes")
        if kind == "rules":
            rule_labels = self.load(f"{name}-codes", np.int32, 1)
            if rule_labels.max(initial=-1) >= classes:
                raise ValueError(f"{name} name no label")
            return RuleEstimator(name, rule_labels, classes)
        intercept = self.load(f"{name}-intercept", np.float32, 1)
        if kind == "kernel":
            centres = self.load(f"{name}-centres", np.float16, 2).astype(np.float32)
            weights = self.maybe(f"{name}-weights", (len(centres), classes))
            if weights is None or centres.shape[1] != widths.topics + widths.dim:
                raise ValueError(f"{name} of another shape")
            return KernelEstimator(name, centres, weights, intercept)
        if kind == "network":
            threshold = self.load(f"{name}-threshold", np.float32, 1)
            inward = self.maybe(f"{name}-inward", (widths.topics + widths.dim, len(threshold)))
            outward = self.maybe(f"{name}-outward", (len(threshold), classes))
            if inward is None or outward is None:
                raise ValueError(f"{name} without weights")
            return MlpEstimator(name, inward, threshold, outward, intercept)
        sparse = self.maybe(f"{name}-sparse", (widths.columns, classes))
        return LinearEstimator(name, intercept, sparse, self.maybe(f"{name}-dense", (widths.dim, classes)))

    def new_classes(self, added: int, widths: Widths) -> LinearEstimator:
        intercept = self.load("newcomers-intercept", np.float32, 1)
        if len(intercept) != added:
            raise ValueError("newcomers of another number")
        return LinearEstimator("newcomers", intercept, None, self.maybe("newcomers-dense", (widths.dim, added)))


def head_of(
    target: str, facts: Mapping[str, Any], files: Mapping[str, bytes], label_ids: NDArray[np.int32], widths: Widths
) -> Head:
    """Build a head.

    Args:
        target: ``tier`` or ``category``.
        facts: What `head_facts` said of it.
        files: All files of the model by name.
        label_ids: Label code by row of the history.
        widths: How many inputs of each kind its members may have.

    Raises:
        ValueError: If an array is of another kind or shape than it must be.
        KeyError: If one is missing.
    """
    labels, arrays = tuple(facts["labels"]), _HeadFiles(target, files)
    added = int(facts.get("newcomers", 0))
    estimators, beside = (
        tuple(arrays.estimator(one, label_ids, len(labels) - added, widths) for one in facts[part])
        for part in ("members", "beside")
    )
    return Head(
        target,
        labels,
        estimators,
        Stacking(arrays.load("combiner", np.float32, 2), arrays.load("combiner-bias", np.float32, 1)),
        _calibrator(facts["calibrator"], arrays.load),
        bool(facts["reads_category"]),
        arrays.load("odds", np.float64, 1) if f"head-{target}-odds.npy" in files else None,
        beside,
        arrays.new_classes(added, widths) if added else None,
    )


def _calibrator(kind: str, load: Callable[[str, Any, int], Array]) -> Calibrator:
    if kind == "temperature":
        return Calibrator(kind, slope=load("calibrator-slope", np.float64, 1))
    if kind == "sigmoid":
        slope, shift = (load(f"calibrator-{name}", np.float64, 1) for name in ("slope", "shift"))
        return Calibrator(kind, slope=slope, shift=shift)
    if kind == "isotonic":
        ends = np.cumsum(load("calibrator-steps", np.int64, 1))[:-1]
        knots, levels = (load(f"calibrator-{name}", np.float64, 1) for name in ("knots", "levels"))
        return Calibrator(kind, knots=tuple(np.split(knots, ends)), levels=tuple(np.split(levels, ends)))
    if kind != "none":
        raise ValueError(f"calibrator {kind!r}")
    return Calibrator()
