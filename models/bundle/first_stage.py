"""The first stage as files and back: what it does not share with the full model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from models.bundle.codecs import Array, array_of, json_bytes, npy_bytes
from models.cascade.first_stage import FirstStage
from models.cascade.student import Student, TokenVectors
from models.encoder import OnnxEncoder
from models.heads.head import Head, Stacking
from models.model import Model
from models.reference.novelty import StrangerCurve
from triage.errors import BundleTampered, TriageError

_PREFIX = "first-stage"


def pack_first_stage(stage: FirstStage) -> dict[str, bytes]:
    """Write a first stage as files."""
    model, student = stage.model, stage.student
    facts = {
        "threshold": stage.threshold,
        "asks_between": {target: list(band) for target, band in stage.asks_between.items()},
        "risk": stage.risk,
        "novelty": stage.novelty.tolist(),
        "targets": list(model.heads),
        "set_floors": dict(model.set_floors),
        "strangers": None if model.strangers is None else asdict(model.strangers),
    }
    arrays: dict[str, Array] = {
        "tokens": student.token_vectors.table,
        "token-rows": student.token_vectors.rows,
        "columns": student.columns,
        "steps": student.steps,
        "of-tokens": student.of_tokens,
        "mean": student.mean,
        "directions": student.directions,
    }
    for target, head in model.heads.items():
        arrays |= {f"{target}-weights": head.stacking.weights, f"{target}-bias": head.stacking.bias}
    files = {f"{_PREFIX}-{name}.npy": npy_bytes(array) for name, array in arrays.items()}
    return files | {f"{_PREFIX}.json": json_bytes(facts)}


def unpack_first_stage(files: Mapping[str, bytes], full: Model, encoder: OnnxEncoder) -> FirstStage | None:
    """Build a first stage from files that were checked already; None for one of an earlier kind (decision 0060).

    Args:
        files: All files of the bundle by name.
        full: The full model, whose vocabulary, fields, rules, past tickets and estimators it shares.
        encoder: Of the bundle.

    Raises:
        BundleTampered: If the files do not fit together.
    """
    if f"{_PREFIX}-float32.npy" in files:  # the arrays of a model of its own, which no code reads any more
        return None
    try:
        return _unpack(files, full, encoder)
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, EOFError, TriageError) as error:
        raise BundleTampered(
            f"bundle does not fit together: {type(error).__name__} in the first stage; pull or train it again"
        ) from error


def _unpack(files: Mapping[str, bytes], full: Model, encoder: OnnxEncoder) -> FirstStage:
    facts = json.loads(files[f"{_PREFIX}.json"])
    novelty = np.array(facts["novelty"], dtype=np.float64)
    if novelty.ndim != 2 or len(novelty) != 2:
        raise ValueError("novelty of another shape")
    if sorted(facts["targets"]) != sorted(full.heads) or not facts["asks_between"].keys() <= full.heads.keys():
        raise ValueError("other targets than the full model's")
    model = replace(
        full,
        heads={target: _head(files, head) for target, head in full.heads.items()},
        set_floors={target: float(floor) for target, floor in facts["set_floors"].items()},
        strangers=None if facts["strangers"] is None else StrangerCurve(**facts["strangers"]),
    )
    return FirstStage(
        _student(files, full, encoder),
        model,
        threshold=float(facts["threshold"]),
        risk=float(facts["risk"]),
        novelty=novelty,
        asks_between={target: (float(low), float(high)) for target, (low, high) in facts["asks_between"].items()},
    )


def _head(files: Mapping[str, bytes], full: Head) -> Head:
    """Return a head of the full model with the stacking that was fitted to guessed vectors."""
    weights = array_of(files, f"{_PREFIX}-{full.target}-weights", np.float32, 2)
    bias = array_of(files, f"{_PREFIX}-{full.target}-bias", np.float32, 1)
    if weights.shape != full.stacking.weights.shape or bias.shape != full.stacking.bias.shape:
        raise ValueError("stacking of another shape")
    return replace(full, stacking=Stacking(weights, bias))


def _student(files: Mapping[str, bytes], full: Model, encoder: OnnxEncoder) -> Student:
    def load(name: str, kind: Any, dimensions: int) -> Array:
        return array_of(files, f"{_PREFIX}-{name}", kind, dimensions)

    rows, table = load("token-rows", np.int32, 1), load("tokens", np.float16, 2)
    student = Student(
        TokenVectors(encoder.tokens, encoder.max_tokens, rows=rows, table=table),
        columns=load("columns", np.int8, 2),
        steps=load("steps", np.float32, 1),
        of_tokens=load("of-tokens", np.float32, 2),
        mean=load("mean", np.float32, 1),
        directions=load("directions", np.float32, 2),
    )
    if len(rows) < encoder.tokens.size or not (rows >= 0).all():
        raise ValueError("tokens without a row")
    if rows.max(initial=0) >= len(table):
        raise ValueError("tokens beyond the table")
    width, count = full.vectorizer.size + len(full.fields.names), len(student.directions)
    shapes = (student.columns.shape, student.steps.shape, student.of_tokens.shape, student.directions.shape)
    wanted = ((width, count), (width,), (table.shape[1], count), (count, full.history.vectors.shape[1]))
    if shapes != wanted or student.mean.shape != wanted[-1][1:]:
        raise ValueError("parts of another shape")
    return student
