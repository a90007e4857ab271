"""A trained bundle gains the categories that a new policy adds, from descriptions and a few tickets, in seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle.bundle import ENCODER_FOLDER, Bundle, load_bundle, save_bundle
from models.bundle.codecs import json_bytes
from models.bundle.manifest import refuse_occupied
from models.encoder import Encoder
from models.features.features import sparse_features
from models.heads.base_estimators import Estimator, LinearEstimator, NeighbourEstimator
from models.heads.head import NEW_CLASSES, Head
from models.model import Model
from models.reference.index import UNLABELLED, NeighbourIndex
from models.terminal import Log, log_step
from training.cold_start.new_classes import NewClass, Past, described, set_apart
from training.cold_start.past_tickets import closed, relabelled
from training.cold_start.prototypes import phrases_of
from training.data.dataset import Dataset, LabelledTicket
from training.data.labels import resolve_labels, rules_for
from training.encoders.cache import CachedEncoder
from training.ensemble.model import history_of
from training.ensemble.sample import Sample
from training.evaluation.record import FILE, read_record
from training.evaluation.seen import Seen, with_newest
from training.stages import EXTENDED, FULL, HANDFUL, stage_of
from triage.errors import InvalidDataset, InvalidPolicy, InvalidRequest
from triage.gate import Gate, TargetGate
from triage.policy import Policy, read_policy
from triage.rules import RuleBook

TARGET = "category"
_LEAST_PAST = 50
_STORED = ("settings", "data", "targets", "gate", "metrics", "stage")


@dataclass(frozen=True)
class Extended:
    """What an extension made: the bundle as saved, and the figures of the bundle that it came from."""

    bundle: Bundle
    path: Path
    measured: Mapping[str, Any]


def extend(
    source: Path,
    dataset: Dataset,
    policy_file: Path,
    out: Path,
    *,
    rule_file: Path | None = None,
    encoder: Encoder | None = None,
    log: Log = log_step,
) -> Extended:
    """Add to a bundle the categories that a policy has and its head lacks.

    Probabilities of the labels known before are scaled by that of it being none of the new ones; their gate stays,
    and the new labels are suggested only, until a training on the whole history.

    Args:
        source: The bundle's folder.
        dataset: Labelled tickets; those of the new categories are used.
        policy_file: The new policy, with everything that the bundle knows in it.
        out: Where the new bundle goes; must be absent or empty.
        rule_file: Rules that know the new categories; None keeps the bundle's.
        encoder: Stands in for one that is not inside the bundle.
        log: Takes each step in a few words.

    Raises:
        TriageError: If bundle, policy and tickets do not allow it; nothing is left at `out`.
    """
    refuse_occupied(out)
    bundle, policy = load_bundle(source, encoder=encoder), read_policy(policy_file)
    rules = rules_for(policy, rule_file, bundle.rules)
    record = read_record(source)
    resolved, lacking = resolve_labels(dataset, policy), _new_labels(bundle, policy)
    given = [row for row in resolved.rows if row.labels.get(TARGET) in lacking and row.weight > 0]
    cached = CachedEncoder(bundle.encoder)
    vectors = _rounded(cached.encode([row.ticket.text for row in given]) if given else None, bundle)
    past, fresh = relabelled(bundle.model.history, given, vectors, TARGET)
    rows, vectors = [row for row, is_new in zip(given, fresh, strict=True) if is_new], vectors[fresh]
    past = closed(past, replace(bundle.model, history=past).shown_under(policy).history.withheld)
    new = _wanted(bundle.policy, past, lacking, rows)
    past_places = _past_places(past, new)
    counts = _counts(rows, past_places, new)
    if policy.version == bundle.policy.version:
        log(f"the new policy has the version of the old one, {policy.version!r}: decisions will not tell them apart")
    known = f", of which the bundle has {len(given) - len(rows)} already" if len(rows) < len(given) else ""
    log(
        f"adding {', '.join(new)} from {len(given)} tickets{known}; {len(resolved) - len(given)} others are left unread"
    )
    model = replace(bundle.model, history=past)
    found = _found(model, policy, new, rows, vectors, past_places, cached)
    history = _with_rows(model, rows, vectors, policy, new=new)
    heads = {target: _reading(head, history) for target, head in bundle.model.heads.items()}
    heads[TARGET] = _with_new_classes(heads[TARGET], found)
    model = replace(model, heads=heads, history=history, sensitive_clearance=policy.sensitive_clearance)
    made = Bundle(model, bundle.encoder, _shut_for(bundle.gate_alone, new), policy, _unmeasured(rules, new))
    inside = bundle.manifest["encoder"].get("inside")
    before = Seen.by(source)
    seen = before.joined(Seen.of(given)) if before else None
    extras = {FILE: json_bytes(record.to_document()), **(seen.files() if seen else {})}
    facts = with_newest(_facts(bundle, found, counts), seen)
    made = made.screened_by(bundle.prefilter)
    saved = save_bundle(out, made, facts, encoder_files=source / ENCODER_FOLDER if inside else None, extras=extras)
    log(f"saved {out}")
    return Extended(saved, out, record.measured)


def _new_labels(bundle: Bundle, policy: Policy) -> tuple[str, ...]:
    """Return the categories to add, after a look at whether bundle and policy fit together."""
    stage = stage_of(bundle.manifest).name
    if stage not in (FULL, EXTENDED):
        raise InvalidRequest(
            f"the bundle is at the stage {stage!r}, too little to tell a new label from: run triage start again with "
            "the new policy and all tickets there are, it takes seconds"
        )
    if TARGET not in bundle.model.heads:
        raise InvalidRequest("the bundle has no head for the category: train it on tickets that have one")
    for target, head in bundle.model.heads.items():
        gone = [label for label in head.labels if policy.entry(target, label) is None]
        if gone:
            raise InvalidPolicy(
                f"the policy lacks {target} {', '.join(map(repr, gone))} that the bundle knows: keep them in it, or "
                "train in full under the new policy"
            )
    new = tuple(entry.label for entry in policy.categories if entry.label not in bundle.model.heads[TARGET].labels)
    if not new:
        raise InvalidPolicy(
            f"the policy has no category that the bundle lacks: both have {', '.join(policy.labels(TARGET))}; add a "
            "[[categories]] entry with label and description"
        )
    if len(bundle.model.history.vectors) < _LEAST_PAST:
        raise InvalidRequest(
            f"the bundle's history has {len(bundle.model.history.vectors)} tickets, {_LEAST_PAST} are needed to tell a "
            "new label from: train in full"
        )
    return new


def _wanted(
    before: Policy, past: NeighbourIndex, lacking: Sequence[str], rows: Sequence[LabelledTicket]
) -> tuple[str, ...]:
    """Return the categories to add: those that the old policy had too, and that nobody has filed, wait for tickets."""
    filed = {row.labels[TARGET] for row in rows} | set(past.written.get(TARGET, ()))
    wanted = [label for label in lacking if label in filed or before.entry(TARGET, label) is None]
    return tuple(wanted or lacking)


def _past_places(history: NeighbourIndex, new: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    """Return the past tickets of each new label: one that was too rare to be learned has some."""
    written = history.written.get(TARGET, ())
    return {label: np.array([at for at, one in enumerate(written) if one == label], dtype=np.int64) for label in new}


def _counts(
    rows: Sequence[LabelledTicket], past: Mapping[str, NDArray[np.int64]], new: Sequence[str]
) -> dict[str, int]:
    """Count the tickets of each new label; one without any is refused."""
    counts = {label: len(past[label]) + sum(row.labels[TARGET] == label for row in rows) for label in new}
    empty = [label for label, count in counts.items() if not count]
    if empty:
        raise InvalidDataset(
            f"category {', '.join(map(repr, empty))} has 0 tickets in the data: a new category needs 1 at least, "
            f"{HANDFUL} are a good start; add them, or take the category out of the policy for now"
        )
    return counts


def _rounded(vectors: NDArray[np.float32] | None, bundle: Bundle) -> NDArray[np.float32]:
    """Round vectors as the history's are; nothing becomes no rows."""
    if vectors is None:
        return np.zeros((0, bundle.encoder.dim), dtype=np.float32)
    return vectors.astype(np.float16).astype(np.float32)


def _found(
    model: Model,
    policy: Policy,
    new: Sequence[str],
    rows: Sequence[LabelledTicket],
    vectors: NDArray[np.float32],
    past_places: Mapping[str, NDArray[np.int64]],
    encoder: Encoder,
) -> dict[str, NewClass]:
    history = model.history
    kept = np.setdiff1d(np.arange(len(history.vectors)), np.concatenate(list(past_places.values())))
    past = Past.of(history.vectors[kept])
    even = 1.0 / (len(model.heads[TARGET].labels) + len(new))
    found = {}
    for label in new:
        entry = policy.entry(TARGET, label)
        assert entry is not None
        given = vectors[[at for at, row in enumerate(rows) if row.labels[TARGET] == label]]
        own = np.concatenate([history.vectors[past_places[label]], given])
        about = described(encoder.encode(phrases_of(entry)))
        found[label] = set_apart(past, about, own, entry.expected_share or even)
    return found


def _reading(head: Head, history: NeighbourIndex) -> Head:
    """Return the head with its neighbours taken from a longer history."""
    label_ids = history.label_ids[head.target]

    def read(estimators: Sequence[Estimator]) -> tuple[Estimator, ...]:
        return tuple(
            replace(one, label_ids=label_ids) if isinstance(one, NeighbourEstimator) else one for one in estimators
        )

    return replace(head, estimators=read(head.estimators), baselines=read(head.baselines))


def _with_new_classes(head: Head, found: Mapping[str, NewClass]) -> Head:
    intercept = np.array([one.intercept for one in found.values()], dtype=np.float32)
    dense = np.stack([one.weights for one in found.values()], axis=1).astype(np.float32)
    if head.new_classes is not None and head.new_classes.dense is not None:
        intercept = np.concatenate([head.new_classes.intercept, intercept])
        dense = np.concatenate([head.new_classes.dense, dense], axis=1)
    new_classes = LinearEstimator(NEW_CLASSES, intercept, None, np.ascontiguousarray(dense))
    return replace(head, labels=(*head.labels, *found), new_classes=new_classes)


def _with_rows(
    model: Model, rows: Sequence[LabelledTicket], vectors: NDArray[np.float32], policy: Policy, *, new: Sequence[str]
) -> NeighbourIndex:
    """Put the new tickets at the end of the history, where they are shown and near, without a vote."""
    old = model.history
    topics = model.topics.project(sparse_features(model.vectorizer, model.fields, [row.ticket for row in rows]))
    position = np.arange(len(rows))
    added = history_of(Sample(rows, vectors, position, position, old.labels), topics, policy)
    return NeighbourIndex(
        vectors=np.concatenate([old.vectors, added.vectors]),
        topics=np.concatenate([old.topics, added.topics]),
        ids=(*old.ids, *added.ids),
        titles=(*old.titles, *added.titles),
        labels=old.labels,
        label_ids={
            target: np.concatenate([label_ids, np.full(len(rows), UNLABELLED, dtype=np.int32)])
            for target, label_ids in _silenced(old, new).items()
        },
        sensitive=np.concatenate([old.sensitive, added.sensitive]),
        written={target: (*labels, *added.written[target]) for target, labels in old.written.items()},
        endings=(*(old.endings or ("",) * len(old.ids)), *added.endings),
    )


def _silenced(old: NeighbourIndex, new: Sequence[str]) -> dict[str, NDArray[np.int32]]:
    """Return the codes of the history; a past ticket whose label is new no longer stands for another, or one too rare.

    Args:
        old: The history.
        new: The labels that are added.
    """
    heard = np.array([label in new for label in old.written[TARGET]], dtype=bool)
    label_ids = dict(old.label_ids)
    label_ids[TARGET] = np.where(heard, np.int32(UNLABELLED), label_ids[TARGET]).astype(np.int32)
    return label_ids


def _unmeasured(rules: RuleBook, new: Sequence[str]) -> RuleBook:
    """Forget the precision of rules that name a new label: where no ticket had it they were never right."""
    kept = {rule.name: dict(rule.precision) for rule in rules.rules}
    naming = [rule.name for rule in rules.rules if rule.names(TARGET) in new]
    for name in naming:
        kept[name].pop(TARGET, None)
    return rules.measured(kept, {name: {TARGET: 0.0} for name in naming})


def _shut_for(gate: Gate, new: Sequence[str]) -> Gate:
    """Leave the gate as it is but for the new labels, which it keeps nothing of."""
    own = gate.targets.get(TARGET, TargetGate())
    shut = replace(own, per_class={**own.per_class, **dict.fromkeys(new)})
    return replace(gate, targets={**gate.targets, TARGET: shut})


def _facts(bundle: Bundle, found: Mapping[str, NewClass], counts: Mapping[str, int]) -> dict[str, Any]:
    """Tell readers of the manifest what the bundle was, and what was added."""
    before = {key: bundle.manifest[key] for key in _STORED if key in bundle.manifest}
    own = before["targets"][TARGET]
    added = {
        label: {
            "tickets": counts[label],
            "found": round(float((one.unseen > 0.5).mean()), 5),
            "drawn_over": round(one.drawn_over, 5),
        }
        for label, one in found.items()
    }
    excluded = {label: count for label, count in own.get("excluded", {}).items() if label not in added}
    targets = {
        **before["targets"],
        TARGET: {
            **own,
            "labels": [*own["labels"], *found],
            "excluded": excluded,
            "added": {**own.get("added", {}), **added},
        },
    }
    stood = before.get("stage", {"tickets": {}})
    tickets = {**stood["tickets"], TARGET: {**stood["tickets"].get(TARGET, {}), **counts}}
    past = stood.get("added", {}).get(TARGET, [])
    stage = {"name": EXTENDED, "tickets": tickets, "added": {TARGET: [*past, *found]}, "from": bundle.digest}
    return {
        **before,
        "settings": {**before["settings"], "policy": "file"},
        "targets": targets,
        "stage": stage,
    }
