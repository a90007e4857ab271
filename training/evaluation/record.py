"""What was answered to the rows set aside, kept beside the figures: enough to report and to compare, no ticket text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle.manifest import audit, read_manifest
from triage.errors import BundleMismatch
from triage.prediction import in_order

FILE = "evaluation.json"
"""Name of the record in a bundle and among the artifacts of a run."""

FORMAT = 1
_DIGEST_CHARS = 24

Strings = NDArray[np.object_]


@dataclass(frozen=True)
class Fact:
    """What a slice can be made of, for one row: a digest of its content and what is known beside the text.

    Near-duplicates and messages of one ticket have one number in `cluster`; None where an older version wrote it.
    """

    digest: str
    language: str | None = None
    channel: str | None = None
    words: int = 0
    group: str | None = None
    cluster: int | None = None


@dataclass(frozen=True)
class Outcome:
    """How one target came out, on the rows that have a label of it.

    Attributes:
        target: Name of the target, such as ``tier``.
        rows: Numbers of the labelled rows, ascending; int64 of shape [n].
        true: The right label of each, folded as the policy says.
        top: The model's own top label, an empty string where there is none; whatever the gate says.
        confidence: Probability of the top label, float64 in [0, 1].
        kept: Whether the model decided: source ``model`` and reason ``confident``.
        named: The label of the final route, an empty string where it is blank.
        automatic: Whether the final label may be acted on without a person.
        labels: The model's labels, sorted.
    """

    target: str
    rows: NDArray[np.int64]
    true: Strings
    top: Strings
    confidence: NDArray[np.float64]
    kept: NDArray[np.bool_]
    named: Strings
    automatic: NDArray[np.bool_]
    labels: tuple[str, ...]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether the model's top label is right."""
        return np.asarray(self.true == self.top, dtype=bool)

    @property
    def named_right(self) -> NDArray[np.bool_]:
        """Whether the final route's label is right."""
        return np.asarray(self.true == self.named, dtype=bool)


@dataclass(frozen=True)
class Record:
    """An evaluation that can be looked at again.

    Attributes:
        measured: What `training.evaluation.evaluate` returned.
        facts: One per row.
        outcomes: Per target.
        ordered_tiers: Tiers from lowest to highest; empty where they have no order.
    """

    measured: Mapping[str, Any]
    facts: Sequence[Fact]
    outcomes: Mapping[str, Outcome] = field(default_factory=lambda: MappingProxyType({}))
    ordered_tiers: tuple[str, ...] = ()

    def to_document(self) -> dict[str, Any]:
        """Write the record as a JSON document; labels are numbers into a list, so that it stays small."""
        return {
            "format": FORMAT,
            "measured": dict(self.measured),
            "ordered_tiers": list(self.ordered_tiers),
            "facts": [list(astuple(fact)) for fact in self.facts],
            "outcomes": {target: _packed(outcome) for target, outcome in self.outcomes.items()},
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Record:
        """Read a record.

        Raises:
            BundleMismatch: If it has another form.
        """
        try:
            if document["format"] != FORMAT:
                raise ValueError(f"format {document['format']!r} is not {FORMAT}")
            measured = document["measured"]
            return cls(
                measured={**measured, "targets": _in_order(measured["targets"])},
                facts=tuple(Fact(*fact) for fact in document["facts"]),
                outcomes={name: _unpacked(name, packed) for name, packed in _in_order(document["outcomes"]).items()},
                ordered_tiers=tuple(document["ordered_tiers"]),
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise BundleMismatch(f"{FILE} cannot be read: {error}; train the bundle again with this version") from error


def read_record(directory: Path) -> Record:
    """Read the evaluation that a bundle carries, after an audit of the bundle.

    Raises:
        BundleError: If the bundle is absent or altered, or carries no evaluation.
    """
    files = audit(directory, read_manifest(directory))
    if FILE not in files:
        raise BundleMismatch(f"bundle {directory.name!r} carries no {FILE}: train it again with this version")
    try:
        document = json.loads(files[FILE])
    except ValueError as error:
        raise BundleMismatch(f"{FILE} of bundle {directory.name!r} is not JSON; train it again") from error
    return Record.from_document(document)


def _in_order(by_target: Mapping[str, Any]) -> dict[str, Any]:
    return {target: by_target[target] for target in in_order(by_target)}


def strings(values: Iterable[str]) -> Strings:
    """Lay out labels in an array that compares element by element."""
    found = list(values)
    array = np.empty(len(found), dtype=np.object_)
    array[:] = found
    return array


def short(digest: str) -> str:
    """Shorten the digest of a row to what a record keeps (96 bits)."""
    return digest[:_DIGEST_CHARS]


def _packed(outcome: Outcome) -> dict[str, Any]:
    names = sorted({*outcome.true.tolist(), *outcome.top.tolist(), *outcome.named.tolist(), *outcome.labels})
    number = {name: index for index, name in enumerate(names)}
    return {
        "names": names,
        "labels": [number[label] for label in outcome.labels],
        "rows": outcome.rows.tolist(),
        **{key: [number[label] for label in getattr(outcome, key)] for key in ("true", "top", "named")},
        "confidence": [round(float(value), 6) for value in outcome.confidence],
        **{key: [int(flag) for flag in getattr(outcome, key)] for key in ("kept", "automatic")},
    }


def _unpacked(target: str, packed: Mapping[str, Any]) -> Outcome:
    names = packed["names"]
    return Outcome(
        target=target,
        rows=np.array(packed["rows"], dtype=np.int64),
        true=strings(names[index] for index in packed["true"]),
        top=strings(names[index] for index in packed["top"]),
        confidence=np.array(packed["confidence"], dtype=np.float64),
        kept=np.array(packed["kept"], dtype=bool),
        named=strings(names[index] for index in packed["named"]),
        automatic=np.array(packed["automatic"], dtype=bool),
        labels=tuple(names[index] for index in packed["labels"]),
    )
