"""Learns a whole model from rows: vocabulary, history and one head per target, cross-fitted so that nothing leaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.preprocessing import normalize

from models.features.features import Features, build_fields, match_rules, sparse_features
from models.features.lsa import LsaProjection
from models.features.vectorizer import SparseRows, Vectorizer, fit_vectorizer
from models.heads.head import Head, Probabilities
from models.model import Model
from models.reference.index import EXCLUDED, UNLABELLED, NeighbourIndex
from training.data.dataset import LabelledTicket
from training.data.folds import SEEN, make_folds
from training.data.labels import learnable
from training.ensemble.consistency import fit_label_consistency
from training.ensemble.cross_fit import TrainingFeatures, matrix, neighbours_across_groups
from training.ensemble.estimators import HyperParameters
from training.ensemble.head import FittedHead, fit_head, refit_head
from training.gate.label_shift import prior_correction
from triage.policy import Policy
from triage.rules import NO_RULES, RuleBook

FOLDS, FEW_FOLDS, MANY_ROWS, GROUP_FOLDS = 5, 3, 20_000, 6
TOPICS, TOPIC_ROWS = 128, 10_000


@dataclass(frozen=True)
class FittedModel:
    """A model, and what it believed about its own rows when it had not seen them.

    Attributes:
        model: Fitted on all rows.
        heads: By target, with the facts of cross-fitting.
        features: Of all rows; neighbours are those of other units.
        rows: What it learned from.
        out_of_fold: Rows whose beliefs are cross-fitted; all, unless the encoder had seen some.
        plain: Leading columns of the vectors that members with weights look at; None for all.
    """

    model: Model
    heads: Mapping[str, FittedHead]
    features: Features
    rows: Sequence[LabelledTicket]
    out_of_fold: NDArray[np.int64]
    plain: int | None = None

    @property
    def probabilities(self) -> dict[str, Probabilities]:
        """Cross-fitted beliefs by target."""
        return {target: fitted.head.in_traffic(fitted.probabilities) for target, fitted in self.heads.items()}


def fit_model(
    rows: Sequence[LabelledTicket],
    vectors: NDArray[np.float32],
    groups: NDArray[np.int64],
    policy: Policy,
    *,
    rules: RuleBook = NO_RULES,
    labels: Mapping[str, tuple[str, ...]] | None = None,
    seen: NDArray[np.bool_] | None = None,
    plain: int | None = None,
    grouped: bool = False,
    hyper_parameters: HyperParameters | None = None,
    seed: int = 0,
    jobs: int | None = None,
) -> FittedModel:
    """Learn a model.

    Args:
        rows: What to learn from, with the policy's own labels.
        vectors: Their embeddings.
        groups: Which rows belong together and never meet across a fold: near-duplicates, or groups.
        policy: Says what is sensitive.
        rules: Of the desk: what they say of a ticket is one voice among the members.
        labels: What each target can be; None takes those of the rows that are frequent enough.
        seen: Rows that the encoder was adapted to: members learn from them, combination and calibration do not, since
            their vectors are better than those of any ticket to come. None for none.
        plain: Leading columns of the vectors that come from an encoder which has seen no labels: members with weights
            look at no others. None for all.
        grouped: Whether units are groups such as organisations: then as many folds as pays.
        hyper_parameters: How freely members may fit; None goes by the number of rows.
        seed: Of folds and solvers.
        jobs: Processes; None takes one per core where that pays.
    """
    vectors = vectors.astype(np.float16).astype(np.float32)
    labels = labels_of(rows) if labels is None else labels
    label_ids = {target: label_ids_of(rows, target, names) for target, names in labels.items()}
    model, sparse = _empty_model(rows, vectors, labels, label_ids, policy, rules, seed)
    training_features, features = _material(model, rows, sparse, vectors, groups, plain)
    first = next(iter(label_ids.values())).astype(np.int64)
    count = GROUP_FOLDS if grouped else FEW_FOLDS if len(rows) > MANY_ROWS else FOLDS
    out_of_fold = np.arange(len(rows)) if seen is None else np.flatnonzero(~seen)
    folds = np.full(len(rows), SEEN)
    folds[out_of_fold] = make_folds(groups[out_of_fold], first[out_of_fold], count, seed)
    heads: dict[str, FittedHead] = {}
    for target in labels:
        category = heads["category"].probabilities if "category" in heads else None
        heads[target] = fit_head(
            target, labels[target], label_ids[target].astype(np.int64), training_features, folds,
            category=category, rules=rules, hyper_parameters=hyper_parameters, seed=seed, jobs=jobs,
        )  # fmt: skip
    heads, label_consistency = fit_label_consistency(
        heads, {target: values.astype(np.int64) for target, values in label_ids.items()}, folds
    )
    heads = {
        target: replace(fitted, head=replace(fitted.head, odds=_odds(policy, fitted.head, label_ids[target])))
        for target, fitted in heads.items()
    }
    model = replace(
        model, heads={target: fitted.head for target, fitted in heads.items()}, label_consistency=label_consistency
    )
    return FittedModel(model, heads, features, rows, out_of_fold, plain)


def refit_model(
    learned: FittedModel,
    rows: Sequence[LabelledTicket],
    vectors: NDArray[np.float32],
    policy: Policy,
    *,
    seed: int = 0,
    jobs: int | None = None,
) -> Model:
    """Fit the members anew on more rows; vocabulary, labels, combination and calibration stay as they were learned."""
    vectors = vectors.astype(np.float16).astype(np.float32)
    before = learned.model
    labels = {target: fitted.head.labels for target, fitted in learned.heads.items()}
    label_ids = {target: label_ids_of(rows, target, names) for target, names in labels.items()}
    sparse, topics = _seen_again(learned, rows)
    history = history_of(rows, vectors, topics, labels, label_ids, policy)
    model = replace(before, history=history, heads={})
    nothing, none = np.zeros((len(rows), 1), dtype=np.int64), np.zeros((len(rows), 1), dtype=np.float32)
    training_features = TrainingFeatures(
        sparse, vectors, history.topics, nothing, none, nothing, none, nothing.astype(bool), learned.plain
    )
    heads = {
        target: refit_head(fitted, label_ids[target].astype(np.int64), training_features, seed=seed, jobs=jobs)
        for target, fitted in learned.heads.items()
    }
    return replace(model, heads=heads)


def _seen_again(learned: FittedModel, rows: Sequence[LabelledTicket]) -> tuple[Any, NDArray[np.float32]]:
    """Return the sparse features and topics of rows, computed anew only for those that were not learned from."""
    model, known = learned.model, {id(row): place for place, row in enumerate(learned.rows)}
    new = [row.ticket for row in rows if id(row) not in known]
    fresh = sparse_features(model.vectorizer, model.fields, new)
    sparse = sp.vstack([matrix(learned.features.sparse, _columns(model)), matrix(fresh, _columns(model))], format="csr")
    topics = np.vstack([model.history.topics, model.topics.project(fresh)])
    later = iter(range(len(learned.rows), len(learned.rows) + len(new)))
    order = np.array([known[id(row)] if id(row) in known else next(later) for row in rows], dtype=np.int64)
    return sparse[order], topics[order]


def _odds(policy: Policy, head: Head, label_ids: NDArray[np.int32]) -> NDArray[np.float64] | None:
    """Return what corrects a head for the shares that the policy expects; None where it states none."""
    stated = policy.expected_shares(head.target)
    if not stated:
        return None
    counts = np.bincount(label_ids[label_ids >= 0], minlength=len(head.labels)).astype(np.float64)
    return prior_correction(counts / counts.sum(), np.array([stated[label] for label in head.labels]))


def labels_of(rows: Sequence[LabelledTicket]) -> dict[str, tuple[str, ...]]:
    """Return the labels of each target that has at least two frequent enough to learn, the category first."""
    found = {target: tuple(learnable(rows, target)[0]) for target in ("category", "tier")}
    return {target: names for target, names in found.items() if names}


def label_ids_of(rows: Sequence[LabelledTicket], target: str, labels: Sequence[str]) -> NDArray[np.int32]:
    """Return the label code of each row: a place in `labels`, `EXCLUDED` or `UNLABELLED`."""
    place = {label: code for code, label in enumerate(labels)}
    found = (UNLABELLED if target not in row.labels else place.get(row.labels[target], EXCLUDED) for row in rows)
    return np.fromiter(found, dtype=np.int32, count=len(rows))


def _columns(model: Model) -> int:
    return model.vectorizer.size + len(model.fields.names)


def _empty_model(
    rows: Sequence[LabelledTicket],
    vectors: NDArray[np.float32],
    labels: Mapping[str, tuple[str, ...]],
    label_ids: Mapping[str, NDArray[np.int32]],
    policy: Policy,
    rules: RuleBook,
    seed: int,
) -> tuple[Model, SparseRows]:
    """Build everything but the heads."""
    tickets = [row.ticket for row in rows]
    vectorizer, fields = fit_vectorizer([ticket.text for ticket in tickets]), build_fields(tickets)
    sparse = sparse_features(vectorizer, fields, tickets)
    topics = _topics(vectorizer, sparse, seed)
    history = history_of(rows, vectors, topics.project(sparse), labels, label_ids, policy)
    model = Model(vectorizer, fields, topics, history, {}, {}, policy.sensitive_clearance, rules)
    return model, sparse


def history_of(
    rows: Sequence[LabelledTicket],
    vectors: NDArray[np.float32],
    topics: NDArray[np.float32],
    labels: Mapping[str, tuple[str, ...]],
    label_ids: Mapping[str, NDArray[np.int32]],
    policy: Policy,
) -> NeighbourIndex:
    """Lay tickets out as the history of a model.

    Args:
        rows: The tickets.
        vectors: Their embeddings.
        topics: What the topics say of their words.
        labels: By target, what `label_ids` counts in.
        label_ids: By target; see `label_ids_of`.
        policy: Says what is sensitive.
    """
    tickets = [row.ticket for row in rows]
    sensitive = np.array([row.sensitive or _sensitive_label(policy, row) for row in rows], dtype=bool)
    return NeighbourIndex(
        vectors=vectors,
        topics=topics.astype(np.float16).astype(np.float32),
        ids=tuple(ticket.id for ticket in tickets),
        titles=tuple("" if hidden else ticket.subject[:200] for ticket, hidden in zip(tickets, sensitive, strict=True)),
        labels=dict(labels),
        label_ids=dict(label_ids),
        sensitive=sensitive,
        written={target: tuple(row.labels.get(target) for row in rows) for target in ("tier", "category")},
    )


def _sensitive_label(policy: Policy, row: LabelledTicket) -> bool:
    entry = policy.entry("category", row.labels.get("category", ""))
    return bool(getattr(entry, "sensitive", False))


def _material(
    model: Model,
    rows: Sequence[LabelledTicket],
    sparse: SparseRows,
    vectors: NDArray[np.float32],
    groups: NDArray[np.int64],
    plain: int | None,
) -> tuple[TrainingFeatures, Features]:
    topics = model.history.topics
    near = neighbours_across_groups(vectors, topics, groups)
    rule_matches = match_rules(model.rules, [row.ticket for row in rows])
    features = Features(sparse, vectors, topics, *near, rule_matches)
    return TrainingFeatures(matrix(sparse, _columns(model)), vectors, topics, *near, rule_matches, plain), features


def _topics(vectorizer: Vectorizer, sparse: SparseRows, seed: int) -> LsaProjection:
    """Learn the directions of single words from a sample of rows, by truncated singular value decomposition."""
    columns = np.array(
        [column for term, column in vectorizer.word_ngram_columns.items() if " " not in term], dtype=np.int32
    )
    table = matrix(sparse, int(sparse.columns.max(initial=vectorizer.size)) + 1)
    sample = np.arange(table.shape[0])
    if len(sample) > TOPIC_ROWS:
        sample = np.sort(np.random.default_rng(seed).choice(sample, TOPIC_ROWS, replace=False))
    dim = min(TOPICS, len(columns) - 1, len(sample) - 1)
    if dim < 2:
        return LsaProjection(columns[:0], np.zeros((0, 1), dtype=np.float32))
    words = normalize(table[sample][:, columns])
    found = TruncatedSVD(dim, n_iter=3, random_state=seed).fit(words)
    return LsaProjection(columns, found.components_.T.astype(np.float16).astype(np.float32))
