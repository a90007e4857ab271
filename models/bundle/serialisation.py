"""The learned part of a bundle as files and back: JSON for words, `.npy` for numbers, nothing that runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sized
from dataclasses import asdict, replace

import numpy as np

from models.bundle.codecs import array_of, json_bytes, npy_bytes
from models.bundle.head_serialisation import Widths, head_arrays, head_facts, head_of
from models.features.features import Fields
from models.features.lsa import LsaProjection
from models.features.vectorizer import Vectorizer
from models.heads.base_estimators import RuleEstimator
from models.model import Model
from models.reference.graph import NeighbourGraph
from models.reference.index import BOTH, OPEN, SENSITIVE, NeighbourIndex
from models.reference.novelty import StrangerCurve
from models.toml_files import dump_rules
from triage.errors import BundleTampered, TriageError
from triage.rules import NO_RULES, parse_rules

Files = dict[str, bytes]
RULES_FILE = "model-rules.toml"
"""The rules that the model was trained with; a bundle that was extended may route by others."""


def pack_model(model: Model) -> Files:
    """Write a model as files."""
    vectorizer, history = model.vectorizer, model.history
    files = {
        "vectorizer.json": json_bytes(
            {"word_ngrams": vectorizer.word_ngrams, "char_ngrams": vectorizer.char_ngrams, "fields": model.fields.names}
        ),
        "vectorizer-idf.npy": npy_bytes(vectorizer.idf),
        "lsa-columns.npy": npy_bytes(model.topics.columns),
        "lsa-directions.npy": npy_bytes(model.topics.directions.astype(np.float16)),
        "past-tickets.json": json_bytes(
            {
                "ids": history.ids,
                "titles": history.titles,
                "endings": history.endings,
                "labels": dict(history.labels),
                "written": dict(history.written),
            }
        ),
        "past-tickets-vectors.npy": npy_bytes(history.vectors.astype(np.float16)),
        "past-tickets-topics.npy": npy_bytes(history.topics.astype(np.float16)),
        "past-tickets-sensitive.npy": npy_bytes(history.sensitive),
        "heads.json": json_bytes(
            {
                "heads": {target: head_facts(head) for target, head in model.heads.items()},
                "set_floors": dict(model.set_floors),
                "sensitive_clearance": model.sensitive_clearance,
                "strangers": None if model.strangers is None else asdict(model.strangers),
            }
        ),
    }
    if model.rules is not NO_RULES:
        files[RULES_FILE] = dump_rules(model.rules).encode()
    for target, label_ids in history.label_ids.items():
        files[f"past-tickets-{target}.npy"] = npy_bytes(label_ids)
    files |= {f"past-tickets-graph-{part}.npy": npy_bytes(graph.to_array()) for part, graph in history.graphs.items()}
    for target, head in model.heads.items():
        files |= {f"head-{target}-{name}.npy": npy_bytes(array) for name, array in head_arrays(head).items()}
    return files


def unpack_model(files: Mapping[str, bytes]) -> Model:
    """Build a model from files that were checked already.

    Raises:
        BundleTampered: If the files do not fit together.
    """
    try:
        return _unpack(files)
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, EOFError, TriageError) as error:
        raise BundleTampered(
            f"bundle does not fit together: {type(error).__name__} while building the model; pull or train it again"
        ) from error


def _unpack(files: Mapping[str, bytes]) -> Model:
    words, heads = (json.loads(files[name]) for name in ("vectorizer.json", "heads.json"))
    idf = array_of(files, "vectorizer-idf", np.float32, 1)
    vectorizer = Vectorizer(tuple(words["word_ngrams"]), tuple(words["char_ngrams"]), idf)
    fields = Fields(tuple(words["fields"]))
    directions = array_of(files, "lsa-directions", np.float16, 2).astype(np.float32)
    topics = LsaProjection(array_of(files, "lsa-columns", np.int32, 1), directions)
    if vectorizer.size != len(idf) or topics.columns.shape != directions.shape[:1]:
        raise ValueError("arrays of unequal length")
    history = _past_tickets(files)
    widths = Widths(vectorizer.size + len(fields.names), topics.dim, history.vectors.shape[1])
    built = {
        target: head_of(target, facts, files=files, label_ids=history.label_ids[target], widths=widths)
        for target, facts in heads["heads"].items()
    }
    rules = parse_rules(files[RULES_FILE].decode()) if RULES_FILE in files else NO_RULES
    for estimator in (one for head in built.values() for one in head.estimators):
        if isinstance(estimator, RuleEstimator) and len(estimator.label_ids) != len(rules.rules):
            raise ValueError("votes of other rules")
    floors = {target: float(floor) for target, floor in heads["set_floors"].items()}
    return Model(
        vectorizer,
        fields,
        topics,
        history,
        heads=built,
        set_floors=floors,
        sensitive_clearance=int(heads["sensitive_clearance"]),
        rules=rules,
        strangers=None if heads["strangers"] is None else StrangerCurve(**heads["strangers"]),
    )


def _past_tickets(files: Mapping[str, bytes]) -> NeighbourIndex:
    past = json.loads(files["past-tickets.json"])
    index = NeighbourIndex(
        vectors=array_of(files, "past-tickets-vectors", np.float16, 2).astype(np.float32),
        topics=array_of(files, "past-tickets-topics", np.float16, 2).astype(np.float32),
        ids=tuple(past["ids"]),
        titles=tuple(past["titles"]),
        labels={target: tuple(labels) for target, labels in past["labels"].items()},
        label_ids={target: array_of(files, f"past-tickets-{target}", np.int32, 1) for target in past["labels"]},
        sensitive=array_of(files, "past-tickets-sensitive", np.bool_, 1),
        written={target: tuple(labels) for target, labels in past["written"].items()},
        endings=tuple(past.get("endings", ())),
    )
    parts: list[Sized] = [index.vectors, index.topics, index.ids, index.titles, index.sensitive]
    parts += [index.endings] if index.endings else []
    if len({len(part) for part in (*parts, *index.label_ids.values())}) > 1:
        raise ValueError("arrays of unequal length")
    return replace(index, graphs=graphs_of(files, "past-tickets-graph", index))


def graphs_of(files: Mapping[str, bytes], name: str, index: NeighbourIndex) -> dict[str, NeighbourGraph]:
    """Read the graphs of an index of past tickets from files called `name` and the part.

    Raises:
        ValueError: If one is of other rows.
    """
    count, dim = index.vectors.shape
    sensitive = int(index.sensitive.sum())
    shapes = {
        OPEN: (count - sensitive, dim),
        SENSITIVE: (sensitive, dim),
        BOTH: (count, dim + index.topics.shape[1]),
    }
    return {
        part: NeighbourGraph.read(array_of(files, f"{name}-{part}", np.uint8, 1), *shape)
        for part, shape in shapes.items()
        if f"{name}-{part}.npy" in files
    }
