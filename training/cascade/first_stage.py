"""Fits the first stage: a small model on words and static vectors, on the rows and folds of the full model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.cascade.first_stage import FirstStage
from models.cascade.static_encoder import StaticEncoder
from models.features.lsa import NO_TOPICS
from models.heads.head import Probabilities
from models.reference.novelty import novelty
from training.cascade.distill import Distiller, static_vectors
from training.ensemble.composition import HYBRID, NEIGHBOURS, RULES
from training.ensemble.cross_fit import neighbours_across_groups
from training.ensemble.head import fit_head
from training.ensemble.model import FittedModel, folds_of, history_of, prior_correction_of, refit_model, target_data
from training.ensemble.sample import Sample
from training.ensemble.support_vectors import word_products
from training.gate.strangers import fit_strangers, tells_strangers
from triage.policy import Policy

LEAST_ROWS = 1000
"""Rows below which there is no first stage: too few would show whether it agrees with the full model."""

TELLS_STRANGERS, MAY_LOSE = 0.75, 0.02
"""Area under the ROC curve from which distance tells strangers well, and how much of it static vectors may lose."""

_QUANTILES = 101


@dataclass(frozen=True)
class FittedFirstStage:
    """A first stage, and its probabilities for the rows of its sample when it had not seen them.

    Attributes:
        encoder: Distilled from that of the full model.
        fitted: Model and cross-fitted probabilities, with static vectors in the place of embeddings.
        novelty: Quantiles of its novelty and of the full model's, float64 of shape [2, quantiles].
    """

    encoder: StaticEncoder
    fitted: FittedModel
    novelty: NDArray[np.float64]

    def stage(self, risk: float) -> FirstStage:
        """Return the stage as it is before its threshold is chosen: it answers nothing."""
        return FirstStage(self.encoder, self.fitted.model, threshold=1.0, risk=risk, novelty=self.novelty)

    def refitted(self, sample: Sample, policy: Policy, risk: float) -> FirstStage:
        """Fit the estimators to more rows; the static vectors, stacking and calibration stay as they were."""
        model = refit_model(self.fitted, with_static_vectors(sample, self.encoder), policy)
        return FirstStage(self.encoder, model, threshold=1.0, risk=risk, novelty=self.novelty)


def fit_first_stage(
    full: FittedModel, distiller: Distiller, policy: Policy, *, seed: int = 0
) -> FittedFirstStage | None:
    """Fit a first stage beside a full model.

    Args:
        full: Fitted to the same rows; its vocabulary, fields and rules are shared.
        distiller: Of the encoder.
        policy: Says what is sensitive, and which shares of the labels traffic is expected to have.
        seed: Of folds and estimators.

    Returns:
        The first stage; None where its vectors would let pass what belongs to no label and the full model's do not.
    """
    encoder = distiller.distil([row.ticket.text for row in full.sample.rows])
    sample = with_static_vectors(full.sample, encoder)
    if _is_blind(sample, full.sample, {target: sample.label_ids(target) for target in full.heads}, seed):
        return None
    nothing = NO_TOPICS.of_none(len(sample))
    near = neighbours_across_groups(sample.vectors, nothing, sample.groups)
    features = full.features._replace(dense=sample.vectors, topics=nothing, **near._asdict())
    folds, products, heads = folds_of(sample, seed), word_products(features.sparse), {}
    for target, whole in full.heads.items():
        data = replace(target_data(sample, target, features, full.model.rules), products=products)
        names = (HYBRID, NEIGHBOURS, *([RULES] if (data.rule_labels >= 0).any() else []))
        head = fit_head(target, data, folds, whole.hyper_parameters, names=names)
        correction = prior_correction_of(policy, head.head, sample.label_ids(target))
        heads[target] = replace(head, head=replace(head.head, prior_correction=correction))
    label_ids = {name: sample.label_ids(name) for name in heads}
    model = replace(
        full.model,
        topics=NO_TOPICS,
        history=history_of(sample, nothing, policy),
        heads={target: head.head for target, head in heads.items()},
        strangers=fit_strangers(sample.vectors, sample.groups, label_ids, policy.gate.stranger_share, seed=seed),
    )
    fitted = replace(full, model=model, heads=heads, features=features, sample=sample)
    return FittedFirstStage(encoder, fitted, _same_scale(fitted, full))


def _is_blind(static: Sample, full: Sample, label_ids: Mapping[str, NDArray[np.int64]], seed: int) -> bool:
    """Say whether static vectors tell strangers clearly worse, on data where the full model's tell them well."""
    with_full, with_static = (
        tells_strangers(sample.vectors, sample.groups, label_ids, seed=seed) for sample in (full, static)
    )
    if with_full is None or with_static is None:
        return False
    return with_full >= TELLS_STRANGERS and with_static < with_full - MAY_LOSE


def with_static_vectors(sample: Sample, encoder: StaticEncoder) -> Sample:
    """Return the same tickets with the vectors of a static encoder."""
    vectors = static_vectors(encoder, [row.ticket.text for row in sample.rows])
    return replace(sample, vectors=vectors, base_dim=None)


def _same_scale(first: FittedModel, full: FittedModel) -> NDArray[np.float64]:
    """Return quantiles of the novelty of both models, so that one can be stated as the other; of shape [2, n]."""
    quantiles = [np.quantile(_novelty(one), np.linspace(0.0, 1.0, _QUANTILES)) for one in (first, full)]
    return np.stack(quantiles)


def _novelty(fitted: FittedModel) -> NDArray[np.float64]:
    index = fitted.out_of_fold
    probabilities: Mapping[str, Probabilities] = {name: values[index] for name, values in fitted.probabilities.items()}
    return novelty(fitted.features.similarity[index], probabilities)
