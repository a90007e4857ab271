"""Starting without a history: a bundle from the policy's descriptions and whatever few tickets there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle.bundle import Bundle, save_bundle
from models.bundle.codecs import json_bytes
from models.bundle.manifest import refuse_occupied
from models.encoder import Encoder
from models.features.features import Fields, sparse_features
from models.features.lsa import NO_TOPICS
from models.features.vectorizer import count_words, fit_vectorizer
from models.heads.head import Head, Probabilities
from models.model import Model
from models.terminal import Log, log_step
from models.triager import Triager
from training.cold_start.prototypes import PrototypeInputs, phrases_of, prototype_head
from training.data.dataset import Dataset, LabelledTicket, dataset_digest, read_dataset
from training.data.labels import listed_labels, resolve_labels, rules_for
from training.data.reading import READ_PLAINLY, ReadOptions
from training.encoders.cache import CachedEncoder
from training.encoders.onnx_export import DEFAULT_ENCODER
from training.encoders.open import open_encoder
from training.ensemble.model import history_of
from training.ensemble.sample import Sample
from training.ensemble.support_vectors import csr_matrix
from training.evaluation.evaluate import measure
from training.evaluation.predictions import Predictions, ask, record_of
from training.evaluation.record import FILE
from training.evaluation.rules_replay import lower_bounds, precisions, replay
from training.evaluation.seen import Seen, with_newest
from training.gate.label_shift import prior_correction
from training.stages import DESCRIPTIONS, EXAMPLES, stage_facts
from training.task import LEARN
from triage.defaults import default_policy, default_rules
from triage.errors import InvalidPolicy, InvalidRequest
from triage.gate import Gate, TargetGate
from triage.policy import Policy, read_policy
from triage.prediction import Prediction, Score, in_order
from triage.rules import RuleBook
from triage.ticket import Ticket

NO_FIGURES: Mapping[str, Any] = {
    "rows": 0,
    "targets": {},
    "route": {"coverage": 0.0, "risk": 0.0, "accuracy": 0.0},
    "abstained": {"rows": 0, "rule_accuracy": 0.0, "model_accuracy": 0.0, "default_accuracy": 0.0},
    "sources": {},
    "reasons": {},
}
"""What an evaluation on no tickets says."""


@dataclass(frozen=True)
class StartSettings:
    """What a start is asked to do.

    Attributes:
        out: Where the bundle goes; must be absent or empty.
        data: Files with the few labelled tickets there are; none goes by the descriptions alone.
        mapping: Roles with the column that plays them, None switching a role off.
        reading: How the files are to be read.
        policy: A policy file; None takes the default policy.
        rules: A rule file; None takes the default rules, as far as they name labels of the policy.
        encoder: As in `training.task.TrainSettings`.
        skip_bad_rows: Leave unusable rows out instead of stopping.
    """

    out: Path
    data: tuple[Path, ...] = ()
    mapping: Mapping[str, str | None] = field(default_factory=dict)
    reading: ReadOptions = READ_PLAINLY
    policy: Path | None = None
    rules: Path | None = None
    encoder: str = DEFAULT_ENCODER
    skip_bad_rows: bool = False


@dataclass(frozen=True)
class Started:
    """What a start made: the bundle as saved, the data read (None without any), and the figures on its examples."""

    bundle: Bundle
    path: Path
    dataset: Dataset | None
    measured: Mapping[str, Any]


@dataclass(frozen=True)
class Prototypes:
    """A model made of prototypes, and what it predicts for each example when it has not seen that one."""

    model: Model
    unseen: Mapping[str, Probabilities]


def start(settings: StartSettings, *, encoder: Encoder | None = None, log: Log = log_step) -> Started:
    """Make a bundle that suggests from the first day; nothing in it is ever decided by the model alone.

    Args:
        settings: What to do.
        encoder: Used instead of `settings.encoder`; its name alone goes into the bundle.
        log: Takes each step in a few words.

    Raises:
        TriageError: If the settings, the files or the labels do not allow it; nothing is left at `settings.out`.
    """
    refuse_occupied(settings.out)
    policy = _policy(settings)
    rules = rules_for(policy, settings.rules, default_rules().fitting(policy.known_labels))
    _refuse_single_labels(policy)
    dataset = _read(settings, policy)
    rows = [row for row in dataset.rows if row.weight > 0] if dataset else []
    chosen, files = (encoder, None) if encoder is not None else open_encoder(settings.encoder, log)
    log(f"going by the policy's descriptions and {len(rows)} tickets")
    made = prototypes(rows, policy, CachedEncoder(chosen))
    replayed = replay(rules, policy, rows)
    rules = rules.measured(precisions(replayed), lower_bounds(replayed))
    bundle = Bundle(made.model, chosen, suggesting(made.model), policy, rules)
    measured, record = _asked(made, policy, rules, rows)
    seen = Seen.of(dataset.rows if dataset else [])
    saved = save_bundle(
        settings.out,
        bundle,
        with_newest(_facts(settings, policy, made.model, rows, dataset), seen),
        encoder_files=files,
        extras={FILE: json_bytes(record), **seen.files()},
    )
    log(f"saved {settings.out}")
    return Started(saved, settings.out, dataset, measured)


def prototypes(rows: Sequence[LabelledTicket], policy: Policy, encoder: Encoder) -> Prototypes:
    """Make a model of every target that the policy has labels for.

    Args:
        rows: Labelled tickets in the policy's own labels; may be empty.
        policy: Describes its labels.
        encoder: Encodes phrases and tickets.
    """
    phrases = {
        target: [(place, phrase) for place, entry in enumerate(policy.entries(target)) for phrase in phrases_of(entry)]
        for target in policy.targets
    }
    tickets = [row.ticket for row in rows]
    texts = [phrase for told in phrases.values() for _, phrase in told]
    vectorizer = fit_vectorizer([*texts, *(ticket.text for ticket in tickets)], min_word_texts=1, min_char_texts=2)
    fields, topics = Fields(()), NO_TOPICS
    sparse = sparse_features(vectorizer, fields, tickets)
    vectors = encoder.encode([ticket.text for ticket in tickets]) if tickets else np.zeros((0, encoder.dim), np.float32)
    vectors = vectors.astype(np.float16).astype(np.float32)
    labels = {target: tuple(entry.label for entry in policy.entries(target)) for target in policy.targets}
    position = np.arange(len(rows))
    sample = Sample(rows, vectors, position, position, labels)
    heads: dict[str, Head] = {}
    unseen: dict[str, Probabilities] = {}
    for target, told in phrases.items():
        described = [phrase for _, phrase in told]
        heads[target], unseen[target] = prototype_head(
            PrototypeInputs(
                target,
                labels[target],
                encoder.encode(described),
                csr_matrix(vectorizer.rows(described)),
                np.array([place for place, _ in told], dtype=np.int64),
                vectors,
                csr_matrix(sparse),
                sample.label_ids(target),
            ),
            _prior_correction(policy, target),
        )
    history = history_of(sample, topics.project(sparse), policy)
    return Prototypes(Model(vectorizer, fields, topics, history, heads, {}, policy.sensitive_clearance), unseen)


def suggesting(model: Model) -> Gate:
    """Return a gate that keeps nothing: what was not measured on enough tickets decides nothing."""
    return Gate({target: TargetGate() for target in model.heads})


def _prior_correction(policy: Policy, target: str) -> NDArray[np.float64] | None:
    """Return what turns equal shares of the labels into those that the policy expects; None where it states none."""
    stated = list(policy.expected_shares(target).values())
    return prior_correction(np.full(len(stated), 1 / len(stated)), np.array(stated)) if stated else None


def _policy(settings: StartSettings) -> Policy:
    if settings.policy is None:
        return default_policy()
    if str(settings.policy) == LEARN and not settings.policy.exists():
        raise InvalidRequest(
            "--policy learn takes labels from a history: a start needs a policy file whose labels are described"
        )
    return read_policy(settings.policy)


def _refuse_single_labels(policy: Policy) -> None:
    for target in policy.targets:
        if len(policy.entries(target)) < 2:
            raise InvalidPolicy(
                f"the policy has one {target} only ({policy.entries(target)[0].label!r}): there is nothing to tell "
                "apart; describe a second one, or take the table away"
            )


def _read(settings: StartSettings, policy: Policy) -> Dataset | None:
    if not settings.data:
        return None
    reading = replace(settings.reading, known=listed_labels(policy))
    dataset = read_dataset(settings.data, settings.mapping, options=reading, skip_bad_rows=settings.skip_bad_rows)
    return resolve_labels(dataset, policy, skip_bad_rows=settings.skip_bad_rows)


class _LeaveOneOut:
    """Predicts each example by the model made without it; its ticket's id is its position among the examples."""

    version = "unsaved"

    def __init__(self, made: Prototypes, policy: Policy, rules: RuleBook) -> None:
        self.gate, self.policy, self.rules = suggesting(made.model), policy, rules
        self._made = made

    def predict(self, tickets: Sequence[Ticket], *, explain: bool = False, clearance: int = 0) -> list[Prediction]:
        return [
            Prediction({target: self._ranked(target, ticket) for target in in_order(self._made.unseen)},
                       language=ticket.language, words=count_words(ticket.text))
            for ticket in tickets
        ]  # fmt: skip

    def _ranked(self, target: str, ticket: Ticket) -> tuple[Score, ...]:
        values, labels = self._made.unseen[target][int(ticket.id)], self._made.model.heads[target].labels
        return tuple(Score(labels[code], float(values[code])) for code in np.argsort(-values, kind="stable"))


def _asked(
    made: Prototypes, policy: Policy, rules: RuleBook, rows: Sequence[LabelledTicket]
) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """Ask about each example without it; return the figures and the record."""
    triager = Triager(_LeaveOneOut(made, policy, rules))
    if not rows:
        answers, measured = Predictions([], [], {}), NO_FIGURES
    else:
        numbered = [replace(row, ticket=replace(row.ticket, id=str(number))) for number, row in enumerate(rows)]
        answers = replace(ask(triager, numbered), rows=rows)
        measured = measure(triager, answers)
    return measured, record_of(triager, answers, measured).to_document()


def _facts(
    settings: StartSettings, policy: Policy, model: Model, rows: Sequence[LabelledTicket], dataset: Dataset | None
) -> dict[str, Any]:
    return {
        "settings": {
            "target_risk": None,
            "confidence": None,
            "seed": 0,
            "encoder": settings.encoder,
            "policy": "default" if settings.policy is None else "file",
        },
        "data": {
            "digest": dataset_digest(dataset.rows if dataset else []),
            "rows": len(rows),
            "split": "each" if rows else "none",
            "set_aside": len(rows),
            "ignored_columns": list(dataset.ignored_columns) if dataset else [],
        },
        "targets": {target: {"labels": list(head.labels), "excluded": {}} for target, head in model.heads.items()},
        "stage": stage_facts(EXAMPLES if rows else DESCRIPTIONS, policy, rows),
    }
