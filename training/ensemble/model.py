"""Fits a whole model to a sample: vocabulary, index of past tickets, and one head per target, cross-fitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from models.features.features import Features, build_fields, match_rules, sparse_features
from models.features.lsa import LsaProjection
from models.features.vectorizer import SparseRows, Vectorizer, fit_vectorizer
from models.heads.head import Head, Probabilities
from models.model import Model
from models.reference.index import NeighbourIndex, Neighbours
from training.data.folds import SEEN, make_folds
from training.data.split import kept_together
from training.ensemble.composition import MANY_ROWS, rule_label_ids
from training.ensemble.cross_fit import TargetData, neighbours_across_groups
from training.ensemble.estimators import HyperParameters
from training.ensemble.head import FittedHead, cross_fitted_heads, refit_heads
from training.ensemble.sample import Sample, apart_where_recurring, label_ids_of
from training.ensemble.support_vectors import csr_matrix, word_products
from training.gate.label_shift import prior_correction
from training.gate.strangers import fit_strangers
from triage.policy import Policy
from triage.prediction import in_order
from triage.rules import NO_RULES, RuleBook

FOLDS, FEW_FOLDS = 5, 3
"""Folds of cross-fitting; three are enough where two thirds of the rows are as good as four fifths."""

_ENDING_CHARS = 400
"""Characters kept of what ended a past ticket: people read it beside a new one."""
GROUP_FOLDS = 6
"""Folds where rows come in groups: more would be better, for each group is one observation, and cost time."""

TOPICS, TOPIC_ROWS = 128, 10_000
"""LSA components, and rows that they are learned from, which bounds the time that it takes."""


@dataclass(frozen=True)
class FittedModel:
    """A model, and its probabilities for the rows of its sample when it had not seen them.

    Attributes:
        model: Fitted on all rows of the sample.
        heads: By target, with the facts of cross-fitting.
        features: Of the n rows; their neighbours are rows of other groups.
        sample: What it was fitted to.
        out_of_fold: Positions of the rows whose probabilities are cross-fitted: all that the encoder had not seen.
    """

    model: Model
    heads: Mapping[str, FittedHead]
    features: Features
    sample: Sample
    out_of_fold: NDArray[np.int64]

    @property
    def probabilities(self) -> dict[str, Probabilities]:
        """Cross-fitted probabilities by target, each of shape [n, classes]."""
        return {target: fitted.head.in_traffic(fitted.probabilities) for target, fitted in self.heads.items()}


@dataclass(frozen=True)
class Prepared:
    """A sample with everything that a model has but its heads.

    Attributes:
        model: Without heads.
        features: Of the n rows; their neighbours are rows of other groups.
        sample: What it is fitted to.
        folds: Fold by row, int64 of shape [n].
        products: `training.ensemble.support_vectors.word_products` of the rows.
        seed: Of folds and estimators.
    """

    model: Model
    features: Features
    sample: Sample
    folds: NDArray[np.int64]
    products: NDArray[np.float32] | None
    seed: int


def fit_model(
    sample: Sample, policy: Policy, *, rules: RuleBook = NO_RULES, seed: int = 0, jobs: int | None = None
) -> FittedModel:
    """Fit a model.

    Estimators learn from every row. Stacking and calibration are fitted on out-of-fold scores, and not on rows that
    the encoder was fine-tuned on: their vectors are better than those of any ticket to come.

    Args:
        sample: What to learn from.
        policy: Says what is sensitive, and which shares of the labels traffic is expected to have.
        rules: The written rules; what they say of a ticket is an input of the model.
        seed: Of folds and estimators.
        jobs: Processes; None takes one per core where that pays.
    """
    return fit_heads(prepare(sample, policy, rules=rules, seed=seed), policy, jobs=jobs)


def prepare(sample: Sample, policy: Policy, *, rules: RuleBook = NO_RULES, seed: int = 0) -> Prepared:
    """Choose vocabulary and folds, index the past tickets and compute the features; as `fit_model` does first."""
    sample = _in_several_groups(_rounded(sample))
    tickets = [row.ticket for row in sample.rows]
    vectorizer, fields = fit_vectorizer([ticket.text for ticket in tickets]), build_fields(tickets)
    sparse = sparse_features(vectorizer, fields, tickets)
    topics = _topics(vectorizer, sparse, seed)
    history = history_of(sample, topics.project(sparse), policy)
    model = Model(
        vectorizer,
        fields,
        topics=topics,
        history=history,
        heads={},
        sensitive_clearance=policy.sensitive_clearance,
        rules=rules,
    )
    near = neighbours_across_groups(sample.vectors, history.topics, sample.groups)
    rule_matches = match_rules(rules, tickets)
    features = Features(sparse, sample.vectors, history.topics, **near._asdict(), rule_matches=rule_matches)
    return Prepared(model, features, sample, folds=folds_of(sample, seed), products=word_products(sparse), seed=seed)


def fit_heads(
    prepared: Prepared, policy: Policy, *, guessed: Features | None = None, jobs: int | None = None
) -> FittedModel:
    """Fit the heads of a prepared model.

    Args:
        prepared: What to learn from.
        policy: Says which shares of the labels traffic is expected to have, and how much of it belongs to none.
        guessed: The features with guessed vectors, for which every head is stacked and calibrated a second time.
        jobs: Processes; None takes one per core where that pays.
    """
    sample, seed = prepared.sample, prepared.seed
    data = {
        target: replace(
            target_data(sample, target, prepared.features, prepared.model.rules),
            products=prepared.products,
            guessed=guessed,
        )
        for target in sample.labels
    }
    hyper_parameters = HyperParameters(balanced=len(sample) < MANY_ROWS, seed=seed, jobs=jobs)
    heads = {
        target: fitted.corrected(prior_correction_of(policy, fitted.head, sample.label_ids(target)))
        for target, fitted in cross_fitted_heads(data, prepared.folds, hyper_parameters).items()
    }
    label_ids = {name: sample.label_ids(name) for name in heads}
    strangers = fit_strangers(sample.vectors, sample.groups, label_ids, policy.gate.stranger_share, seed=seed)
    return FittedModel(
        replace(prepared.model, heads={target: one.head for target, one in heads.items()}, strangers=strangers),
        heads,
        features=prepared.features,
        sample=sample,
        out_of_fold=np.flatnonzero(~sample.seen),
    )


def refit_model(fitted: FittedModel, sample: Sample, policy: Policy) -> Model:
    """Fit the estimators anew on a larger sample; vocabulary, labels, stacking and calibration stay as they were.

    What corrects for expected shares goes by the labels of the larger sample: it may have rows of one that had none.
    """
    sample, before = _rounded(sample), fitted.model
    sparse, topics = _features_again(fitted, sample)
    history = history_of(sample, topics, policy)
    nothing = np.zeros((len(sample), 0), dtype=np.float32)  # refitting needs neither neighbours nor rules
    near = Neighbours(nothing.astype(np.int64), nothing, nothing.astype(np.int64), nothing)
    features = Features(sparse, sample.vectors, history.topics, **near._asdict(), rule_matches=nothing.astype(bool))
    data = {target: target_data(sample, target, features, before.rules) for target in fitted.heads}
    heads = {
        target: replace(again, prior_correction=prior_correction_of(policy, again, sample.label_ids(target)))
        for target, again in refit_heads(fitted.heads, data).items()
    }
    return replace(before, history=history, heads=heads)


def _rounded(sample: Sample) -> Sample:
    """Round vectors as the index of past tickets stores them."""
    return replace(sample, vectors=sample.vectors.astype(np.float16).astype(np.float32))


def _in_several_groups(sample: Sample) -> Sample:
    """Keep near-duplicates together where all tickets are of one group, the only one beside those set aside.

    No folds could be made of it, and no ticket would have a neighbour. What is certified goes by the groups of the
    tickets all the same, and one says nothing of a new one.
    """
    if not sample.by_organisation or len(np.unique(sample.groups)) > 1:
        return sample
    groups = apart_where_recurring(sample.rows, kept_together(sample.rows), sample.labels)
    return replace(sample, groups=groups)


def folds_of(sample: Sample, seed: int) -> NDArray[np.int64]:
    """Return the fold of each row, int64 of shape [n]; `SEEN` where the encoder was fine-tuned on it."""
    count = GROUP_FOLDS if sample.by_organisation else FEW_FOLDS if len(sample) > MANY_ROWS else FOLDS
    folds, unseen = np.full(len(sample), SEEN), sample.take(np.flatnonzero(~sample.seen))
    folds[~sample.seen] = make_folds(unseen.groups, unseen.label_ids(next(iter(sample.labels))), count, seed)
    return folds


def target_data(sample: Sample, target: str, features: Features, rules: RuleBook) -> TargetData:
    """Return what a head of one target is fitted to."""
    labels = sample.labels[target]
    rule_labels = rule_label_ids(rules, target, labels)
    return TargetData(
        features, sample.label_ids(target), labels=labels, rule_labels=rule_labels, base_dim=sample.base_dim
    )


def _features_again(fitted: FittedModel, sample: Sample) -> tuple[SparseRows, NDArray[np.float32]]:
    """Return the sparse features and topics of a sample, computed anew only for rows that were not fitted to before."""
    model, before = fitted.model, fitted.sample
    new = np.flatnonzero(~np.isin(sample.index, before.index))
    fresh = sparse_features(model.vectorizer, model.fields, [row.ticket for row in sample.take(new).rows])
    known = np.concatenate([before.index, sample.index[new]])
    order = np.argsort(known)
    position = order[np.searchsorted(known, sample.index, sorter=order)]
    topics = np.vstack([model.history.topics, model.topics.project(fresh)])
    return fitted.features.sparse.followed_by(fresh).take(position), topics[position]


def prior_correction_of(policy: Policy, head: Head, label_ids: NDArray[np.int64]) -> NDArray[np.float64] | None:
    """Return what corrects a head for the shares that the policy expects, of shape [classes]; None without any."""
    stated = policy.expected_shares(head.target)
    if not stated:
        return None
    counts = np.bincount(label_ids[label_ids >= 0], minlength=len(head.labels)).astype(np.float64)
    return prior_correction(counts / counts.sum(), np.array([stated[label] for label in head.labels]))


def history_of(sample: Sample, topics: NDArray[np.float32], policy: Policy) -> NeighbourIndex:
    """Build the index of past tickets of a model.

    Args:
        sample: The n tickets.
        topics: Their LSA components, float32 of shape [n, topics].
        policy: Says what is sensitive.
    """
    rows, written = sample.rows, in_order({"tier", "category", *sample.labels})
    kept = policy.sensitive_categories
    sensitive = np.array([row.sensitive or row.labels.get("category") in kept for row in rows], dtype=bool)
    shown = list(zip(rows, (~sensitive).tolist(), strict=True))
    return NeighbourIndex(
        vectors=sample.vectors,
        topics=topics.astype(np.float16).astype(np.float32),
        ids=tuple(row.ticket.id for row in rows),
        titles=tuple(row.ticket.subject[:200] if open_to_all else "" for row, open_to_all in shown),
        labels=dict(sample.labels),
        label_ids={target: label_ids_of(rows, target, labels) for target, labels in sample.labels.items()},
        sensitive=sensitive,
        written={target: tuple(row.labels.get(target) for row in rows) for target in written},
        endings=tuple((row.resolution or "")[:_ENDING_CHARS] if open_to_all else "" for row, open_to_all in shown),
    )


def _topics(vectorizer: Vectorizer, sparse: SparseRows, seed: int) -> LsaProjection:
    """Learn the directions of single words from a sample of rows, by truncated singular value decomposition."""
    columns = np.array(
        [column for term, column in vectorizer.word_ngram_columns.items() if " " not in term], dtype=np.int32
    )
    table = csr_matrix(sparse)
    sample = np.arange(table.shape[0])
    if len(sample) > TOPIC_ROWS:
        sample = np.sort(np.random.default_rng(seed).choice(sample, TOPIC_ROWS, replace=False))
    dim = min(TOPICS, len(columns) - 1, len(sample) - 1)
    if dim < 2:
        return LsaProjection(columns[:0], np.zeros((0, 1), dtype=np.float32))
    words = normalize(table[sample][:, columns])
    with threadpool_limits(1):  # the products are so slim that threads would mostly wait for each other
        found = TruncatedSVD(dim, n_iter=3, random_state=seed).fit(words)
    return LsaProjection(columns, found.components_.T.astype(np.float16).astype(np.float32))
