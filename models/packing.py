"""The learned part of a bundle as files and back: JSON for words, `.npy` for numbers, nothing that runs."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.agreement import Agreement
from models.classifier import Calibrator, Combiner, Head
from models.features import Fields
from models.lexicon import Lexicon
from models.members import KernelMember, LinearMember, Member, NeighbourMember, NetworkMember, RuleMember
from models.model import Model
from models.neighbours import NeighbourIndex
from models.topics import Topics
from triage.errors import BundleTampered

Files = dict[str, bytes]
Array = NDArray[Any]
NETWORK_PARTS = ("inward", "threshold", "outward", "intercept")
KERNEL_PARTS = ("centres", "weights", "intercept")


class _Widths(NamedTuple):
    """How many inputs of each kind a head has."""

    columns: int
    topics: int
    dim: int


def json_bytes(document: object) -> bytes:
    """Write a document as strict JSON, the same bytes for equal documents."""
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True).encode()


def npy_bytes(array: Array) -> bytes:
    """Write an array as `.npy`, C-contiguous whatever it was."""
    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(array), allow_pickle=False)
    return stream.getvalue()


def npy_array(content: bytes) -> Array:
    """Read an array; one that would need unpickling is refused."""
    return np.asarray(np.load(io.BytesIO(content), allow_pickle=False))


def pack_model(model: Model) -> Files:
    """Write a model as files."""
    history = model.history
    files = {
        "lexicon.json": json_bytes({"terms": model.lexicon.terms, "pieces": model.lexicon.pieces}),
        "lexicon-idf.npy": npy_bytes(model.lexicon.idf),
        "fields.json": json_bytes(model.fields.names),
        "history.json": json_bytes(
            {
                "ids": history.ids,
                "titles": history.titles,
                "labels": dict(history.labels),
                "written": dict(history.written),
            }
        ),
        "history-vectors.npy": npy_bytes(history.vectors.astype(np.float16)),
        "history-topics.npy": npy_bytes(history.topics.astype(np.float16)),
        "topics-columns.npy": npy_bytes(model.topics.columns),
        "topics-directions.npy": npy_bytes(model.topics.directions.astype(np.float16)),
        "history-sensitive.npy": npy_bytes(history.sensitive),
        "heads.json": json_bytes(
            {
                "heads": {target: _head_facts(head) for target, head in model.heads.items()},
                "set_floors": dict(model.set_floors),
                "sensitive_clearance": model.sensitive_clearance,
            }
        ),
    }
    if model.agreement is not None:
        files["agreement.npy"] = npy_bytes(model.agreement.shares)
    for target, codes in history.codes.items():
        files[f"history-{target}.npy"] = npy_bytes(codes)
    for target, head in model.heads.items():
        files |= {f"head-{target}-{name}.npy": npy_bytes(array) for name, array in _head_arrays(head).items()}
    return files


def _head_facts(head: Head) -> dict[str, Any]:
    return {
        "labels": head.labels,
        "members": [{"name": member.name, "kind": _kind(member)} for member in head.members],
        "beside": [{"name": member.name, "kind": _kind(member)} for member in head.beside],
        "calibrator": head.calibrator.kind,
        "reads_category": head.reads_category,
        **({} if head.newcomers is None else {"newcomers": len(head.newcomers.intercept)}),
    }


def _kind(member: Member) -> str:
    if isinstance(member, NeighbourMember):
        return "look-alikes" if member.by_words else "neighbours"
    kinds = {NetworkMember: "network", KernelMember: "kernel", RuleMember: "rules"}
    return kinds.get(type(member), "linear")


def _head_arrays(head: Head) -> dict[str, Array]:
    arrays: dict[str, Array] = {"combiner": head.combiner.weights, "combiner-bias": head.combiner.bias}
    for member in (*head.members, *head.beside, *([head.newcomers] if head.newcomers else [])):
        arrays |= _member_arrays(member)
    arrays |= _calibrator_arrays(head.calibrator)
    if head.odds is not None:
        arrays["odds"] = head.odds
    return arrays


def _member_arrays(member: Member) -> dict[str, Array]:
    """Name the arrays of a member; the votes of neighbours are those of the history."""
    arrays: dict[str, Array] = {}
    if isinstance(member, NetworkMember):
        arrays = {f"{member.name}-{part}": getattr(member, part) for part in NETWORK_PARTS}
    if isinstance(member, KernelMember):
        arrays = {f"{member.name}-{part}": getattr(member, part) for part in KERNEL_PARTS}
        arrays[f"{member.name}-centres"] = member.centres.astype(np.float16)  # past tickets are rounded so already
    if isinstance(member, RuleMember):
        arrays = {f"{member.name}-codes": member.codes}
    if isinstance(member, LinearMember):
        arrays[f"{member.name}-intercept"] = member.intercept
        if member.sparse is not None:
            arrays[f"{member.name}-sparse"] = member.sparse
        if member.dense is not None:
            arrays[f"{member.name}-dense"] = member.dense
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


def unpack_model(files: Mapping[str, bytes]) -> Model:
    """Build a model from files that were checked already.

    Raises:
        BundleTampered: If the files do not fit together.
    """
    try:
        return _unpack(files)
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, EOFError) as error:
        raise BundleTampered(
            f"bundle does not fit together: {type(error).__name__} while building the model; pull or train it again"
        ) from error


def _unpack(files: Mapping[str, bytes]) -> Model:
    words, past, heads = (json.loads(files[name]) for name in ("lexicon.json", "history.json", "heads.json"))
    lexicon = Lexicon(tuple(words["terms"]), tuple(words["pieces"]), _array(files, "lexicon-idf", np.float32, 1))
    fields = Fields(tuple(json.loads(files["fields.json"])))
    directions = _array(files, "topics-directions", np.float16, 2).astype(np.float32)
    topics = Topics(_array(files, "topics-columns", np.int32, 1), directions)
    codes = {target: _array(files, f"history-{target}", np.int32, 1) for target in past["labels"]}
    history = NeighbourIndex(
        vectors=_array(files, "history-vectors", np.float16, 2).astype(np.float32),
        topics=_array(files, "history-topics", np.float16, 2).astype(np.float32),
        ids=tuple(past["ids"]),
        titles=tuple(past["titles"]),
        labels={target: tuple(labels) for target, labels in past["labels"].items()},
        codes=codes,
        sensitive=_array(files, "history-sensitive", np.bool_, 1),
        written={target: tuple(labels) for target, labels in past["written"].items()},
    )
    rows = {
        len(history.vectors),
        len(history.topics),
        len(history.ids),
        len(history.titles),
        len(history.sensitive),
        *map(len, codes.values()),
    }
    if len(rows) > 1 or lexicon.size != len(lexicon.idf) or topics.columns.shape != directions.shape[:1]:
        raise ValueError("arrays of unequal length")
    widths = _Widths(lexicon.size + len(fields.names), topics.dim, history.vectors.shape[1])
    built = {target: _head(target, facts, files, codes[target], widths) for target, facts in heads["heads"].items()}
    floors = {target: float(floor) for target, floor in heads["set_floors"].items()}
    agreement = None
    if "agreement.npy" in files:
        agreement = Agreement(_array(files, "agreement", np.float64, 2))
        if agreement.shares.shape != tuple(built[target].learned for target in ("category", "tier")):
            raise ValueError("agreement of another shape")
    clearance = int(heads["sensitive_clearance"])
    return Model(lexicon, fields, topics, history, built, floors, clearance, agreement=agreement)


@dataclass(frozen=True)
class _HeadFiles:
    """The arrays of one head, by their names within it."""

    target: str
    files: Mapping[str, bytes]

    def load(self, name: str, kind: Any, dimensions: int) -> Array:
        return _array(self.files, f"head-{self.target}-{name}", kind, dimensions)

    def maybe(self, name: str, shape: tuple[int, int]) -> NDArray[np.float32] | None:
        if f"head-{self.target}-{name}.npy" not in self.files:
            return None
        array = self.load(name, np.float32, 2)
        if array.shape != shape:
            raise ValueError(f"{name} of another shape")
        return array

    def member(self, facts: Mapping[str, Any], codes: NDArray[np.int32], classes: int, widths: _Widths) -> Member:
        name, kind = facts["name"], facts["kind"]
        if kind in ("neighbours", "look-alikes"):
            return NeighbourMember(name, codes, classes, kind == "look-alikes")
        if kind == "rules":
            return RuleMember(name, self.load(f"{name}-codes", np.int32, 1), classes)
        intercept = self.load(f"{name}-intercept", np.float32, 1)
        if kind == "kernel":
            centres = self.load(f"{name}-centres", np.float16, 2).astype(np.float32)
            weights = self.maybe(f"{name}-weights", (len(centres), classes))
            if weights is None or centres.shape[1] != widths.topics + widths.dim:
                raise ValueError(f"{name} of another shape")
            return KernelMember(name, centres, weights, intercept)
        if kind == "network":
            threshold = self.load(f"{name}-threshold", np.float32, 1)
            inward = self.maybe(f"{name}-inward", (widths.topics + widths.dim, len(threshold)))
            outward = self.maybe(f"{name}-outward", (len(threshold), classes))
            if inward is None or outward is None:
                raise ValueError(f"{name} without weights")
            return NetworkMember(name, inward, threshold, outward, intercept)
        sparse = self.maybe(f"{name}-sparse", (widths.columns, classes))
        return LinearMember(name, intercept, sparse, self.maybe(f"{name}-dense", (widths.dim, classes)))

    def newcomers(self, added: int, widths: _Widths) -> LinearMember:
        intercept = self.load("newcomers-intercept", np.float32, 1)
        if len(intercept) != added:
            raise ValueError("newcomers of another number")
        return LinearMember("newcomers", intercept, None, self.maybe("newcomers-dense", (widths.dim, added)))


def _head(
    target: str, facts: Mapping[str, Any], files: Mapping[str, bytes], codes: NDArray[np.int32], widths: _Widths
) -> Head:
    labels, arrays = tuple(facts["labels"]), _HeadFiles(target, files)
    added = int(facts.get("newcomers", 0))
    members, beside = (
        tuple(arrays.member(one, codes, len(labels) - added, widths) for one in facts[part])
        for part in ("members", "beside")
    )
    return Head(
        target,
        labels,
        members,
        Combiner(arrays.load("combiner", np.float32, 2), arrays.load("combiner-bias", np.float32, 1)),
        _calibrator(facts["calibrator"], arrays.load),
        bool(facts["reads_category"]),
        arrays.load("odds", np.float64, 1) if f"head-{target}-odds.npy" in files else None,
        beside,
        arrays.newcomers(added, widths) if added else None,
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


def _array(files: Mapping[str, bytes], name: str, kind: Any, dimensions: int) -> Array:
    array = npy_array(files[f"{name}.npy"])
    if array.dtype != np.dtype(kind) or array.ndim != dimensions:
        raise ValueError(f"{name} is {array.dtype} of {array.ndim} dimensions")
    return array
