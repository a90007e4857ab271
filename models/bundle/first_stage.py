"""The first stage as files and back: what it does not share with the full model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from models.bundle.codecs import array_of, json_bytes, npy_bytes
from models.bundle.head_serialisation import Widths, head_arrays, head_facts, head_of
from models.bundle.serialisation import graphs_of
from models.cascade.first_stage import FirstStage
from models.cascade.static_encoder import StaticEncoder
from models.features.lsa import NO_TOPICS
from models.model import Model
from models.reference.novelty import StrangerCurve
from triage.errors import BundleTampered, TriageError

_PREFIX = "first-stage"
_KINDS = frozenset(["float32", "float64", "int32"])


def pack_first_stage(stage: FirstStage) -> dict[str, bytes]:
    """Write a first stage as files."""
    model = stage.model
    facts = {
        "encoder": stage.encoder.name,
        "threshold": stage.threshold,
        "risk": stage.risk,
        "novelty": stage.novelty.tolist(),
        "heads": {target: head_facts(head) for target, head in model.heads.items()},
        "set_floors": dict(model.set_floors),
        "strangers": None if model.strangers is None else asdict(model.strangers),
    }
    files = {
        f"{_PREFIX}-tokens.npy": npy_bytes(stage.encoder.table),
        f"{_PREFIX}-past-vectors.npy": npy_bytes(model.history.vectors.astype(np.float16)),
    }
    graphs = model.history.graphs
    files |= {f"{_PREFIX}-graph-{part}.npy": npy_bytes(graph.to_array()) for part, graph in graphs.items()}
    named = (
        (f"{_PREFIX}-{target}-{name}", array)
        for target, head in model.heads.items()
        for name, array in head_arrays(head).items()
    )
    arrays = dict(sorted(named))  # in the order in which JSON keeps the names
    layout = {name: [array.dtype.name, *array.shape] for name, array in arrays.items()}
    files[f"{_PREFIX}.json"] = json_bytes({**facts, "arrays": layout})
    for kind in sorted({array.dtype.name for array in arrays.values()}):
        flat = [array.ravel() for array in arrays.values() if array.dtype.name == kind]
        files[f"{_PREFIX}-{kind}.npy"] = npy_bytes(np.concatenate(flat))
    return files


def _head_files(files: Mapping[str, bytes], layout: Mapping[str, list[Any]]) -> dict[str, bytes]:
    """Return the arrays of the heads, which lie one behind the other in a file for each kind of number."""
    found, at = {}, dict.fromkeys(_KINDS, 0)
    flat = {
        kind: array_of(files, f"{_PREFIX}-{kind}", kind, 1) for kind in {one[0] for one in layout.values()} & _KINDS
    }
    for name, (kind, *shape) in layout.items():
        end = at[kind] + int(np.prod(shape))
        found[f"head-{name}.npy"] = npy_bytes(flat[kind][at[kind] : end].reshape(shape))
        at[kind] = end
    return found


def unpack_first_stage(files: Mapping[str, bytes], full: Model, tokenizer: Tokenizer) -> FirstStage:
    """Build a first stage from files that were checked already.

    Args:
        files: All files of the bundle by name.
        full: The full model, whose vocabulary, fields, rules and past tickets it shares.
        tokenizer: Of the bundle's encoder.

    Raises:
        BundleTampered: If the files do not fit together.
    """
    try:
        return _unpack(files, full, tokenizer)
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, EOFError, TriageError) as error:
        raise BundleTampered(
            f"bundle does not fit together: {type(error).__name__} in the first stage; pull or train it again"
        ) from error


def _unpack(files: Mapping[str, bytes], full: Model, tokenizer: Tokenizer) -> FirstStage:
    facts = json.loads(files[f"{_PREFIX}.json"])
    arrays = _head_files(files, facts["arrays"])
    table = array_of(files, f"{_PREFIX}-tokens", np.float16, 2)
    vectors = array_of(files, f"{_PREFIX}-past-vectors", np.float16, 2).astype(np.float32)
    novelty = np.array(facts["novelty"], dtype=np.float64)
    if len(table) < tokenizer.get_vocab_size() or vectors.shape != (len(full.history.ids), table.shape[1]):
        raise ValueError("arrays of unequal length")
    if novelty.ndim != 2 or len(novelty) != 2:
        raise ValueError("novelty of another shape")
    widths = Widths(full.vectorizer.size + len(full.fields.names), NO_TOPICS.dim, table.shape[1])
    label_ids = full.history.label_ids
    heads = {
        target: replace(
            head_of(f"{_PREFIX}-{target}", one, files=arrays, label_ids=label_ids[target], widths=widths), target=target
        )
        for target, one in facts["heads"].items()
    }
    history = replace(full.history, vectors=vectors, topics=NO_TOPICS.of_none(len(vectors)), graphs={})
    model = replace(
        full,
        topics=NO_TOPICS,
        history=replace(history, graphs=graphs_of(files, f"{_PREFIX}-graph", history)),
        heads=heads,
        set_floors={target: float(floor) for target, floor in facts["set_floors"].items()},
        strangers=None if facts["strangers"] is None else StrangerCurve(**facts["strangers"]),
    )
    encoder = StaticEncoder(str(facts["encoder"]), tokenizer, table)
    return FirstStage(encoder, model, threshold=float(facts["threshold"]), risk=float(facts["risk"]), novelty=novelty)
