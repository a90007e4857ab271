"""The learned part of a bundle as files and back: JSON for words, `.npy` for numbers, nothing that runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict

import numpy as np

from models.bundle.codecs import array_of, json_bytes, npy_bytes
from models.bundle.head_serialisation import Widths, head_arrays, head_facts, head_of
from models.features.features import Fields
from models.features.lsa import LsaProjection
from models.features.vectorizer import Vectorizer
from models.heads.base_estimators import RuleEstimator
from models.heads.consistency import LabelConsistency
from models.model import Model
from models.reference.index import NeighbourIndex
from models.reference.novelty import StrangerCurve
from models.toml_files import dump_rules
from triage.errors import BundleTampered, TriageError
from triage.rules import NO_RULES, parse_rules

Files = dict[str, bytes]
RULES_FILE = "model-rules.toml"
"""The rules that the model was trained beside; a bundle that was extended may route by others."""


def pack_model(model: Model) -> Files:
    """Write a model as files."""
    history = model.history
    files = {
        "lexicon.json": json_bytes({"terms": model.vectorizer.terms, "pieces": model.vectorizer.char_ngrams}),
        "lexicon-idf.npy": npy_bytes(model.vectorizer.idf),
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
                "heads": {target: head_facts(head) for target, head in model.heads.items()},
                "set_floors": dict(model.set_floors),
                "sensitive_clearance": model.sensitive_clearance,
                "strangers": None if model.strangers is None else asdict(model.strangers),
            }
        ),
    }
    if model.rules is not NO_RULES:
        files[RULES_FILE] = dump_rules(model.rules).encode()
    if model.label_consistency is not None:
        files["agreement.npy"] = npy_bytes(model.label_consistency.shares)
    for target, label_ids in history.label_ids.items():
        files[f"history-{target}.npy"] = npy_bytes(label_ids)
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
    words, past, heads = (json.loads(files[name]) for name in ("lexicon.json", "history.json", "heads.json"))
    vectorizer = Vectorizer(
        tuple(words["terms"]), tuple(words["pieces"]), array_of(files, "lexicon-idf", np.float32, 1)
    )
    fields = Fields(tuple(json.loads(files["fields.json"])))
    directions = array_of(files, "topics-directions", np.float16, 2).astype(np.float32)
    topics = LsaProjection(array_of(files, "topics-columns", np.int32, 1), directions)
    label_ids = {target: array_of(files, f"history-{target}", np.int32, 1) for target in past["labels"]}
    history = NeighbourIndex(
        vectors=array_of(files, "history-vectors", np.float16, 2).astype(np.float32),
        topics=array_of(files, "history-topics", np.float16, 2).astype(np.float32),
        ids=tuple(past["ids"]),
        titles=tuple(past["titles"]),
        labels={target: tuple(labels) for target, labels in past["labels"].items()},
        label_ids=label_ids,
        sensitive=array_of(files, "history-sensitive", np.bool_, 1),
        written={target: tuple(labels) for target, labels in past["written"].items()},
    )
    rows = {
        len(history.vectors),
        len(history.topics),
        len(history.ids),
        len(history.titles),
        len(history.sensitive),
        *map(len, label_ids.values()),
    }
    if len(rows) > 1 or vectorizer.size != len(vectorizer.idf) or topics.columns.shape != directions.shape[:1]:
        raise ValueError("arrays of unequal length")
    widths = Widths(vectorizer.size + len(fields.names), topics.dim, history.vectors.shape[1])
    built = {
        target: head_of(target, facts, files, label_ids[target], widths) for target, facts in heads["heads"].items()
    }
    floors = {target: float(floor) for target, floor in heads["set_floors"].items()}
    rules = parse_rules(files[RULES_FILE].decode()) if RULES_FILE in files else NO_RULES
    votes = {
        len(estimator.label_ids)
        for head in built.values()
        for estimator in head.estimators
        if isinstance(estimator, RuleEstimator)
    }
    if votes - {len(rules.rules)}:
        raise ValueError("votes of other rules")
    label_consistency = None
    if "agreement.npy" in files:
        label_consistency = LabelConsistency(array_of(files, "agreement", np.float64, 2))
        if label_consistency.shares.shape != tuple(built[target].learned for target in ("category", "tier")):
            raise ValueError("agreement of another shape")
    clearance = int(heads["sensitive_clearance"])
    strangers = None if heads["strangers"] is None else StrangerCurve(**heads["strangers"])
    return Model(vectorizer, fields, topics, history, built, floors, clearance, rules, label_consistency, strangers)
