"""Chooses when the first stage answers, and certifies both stages together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

from models.bundle.bundle import Cascade
from models.cascade.first_stage import FirstStage
from models.terminal import Log
from training.gate.first_stage import (
    LEAST_ANSWERED,
    Band,
    Beliefs,
    FirstAnswers,
    affordable_threshold,
    bands_around,
)
from training.gate.gate import (
    CalibrationScores,
    Certificates,
    RiskTarget,
    build_gate,
    certificate_facts,
    dearer_targets,
    readable,
    true_probability,
)
from training.gate.risk_control import set_floor
from triage.gate import Gate
from triage.policy import Policy
from triage.prediction import Prediction

BOTH_STAGES = 0.9
"""Part of delta that the certificate of both stages is made with; the rest is for the full model alone, which takes
over where that certificate fails. So either holds with the confidence stated, whichever the tickets choose."""


class FirstScores(NamedTuple):
    """What a first stage says of tickets that it had not seen: predictions, and scores as the gate reads them."""

    predictions: list[Prediction]
    scores: CalibrationScores


class Staged(NamedTuple):
    """When the first stage answers, the share of calibration tickets that it answers, and what holds of both stages."""

    threshold: float
    asks_between: Mapping[str, Band]
    share: float
    certificates: Mapping[str, Certificates]

    def facts(self) -> dict[str, Any]:
        """Return what the manifest says of it."""
        bands = {target: list(band) for target, band in self.asks_between.items()}
        about = {"threshold": self.threshold, "asks_between": bands, "share": self.share}
        return {**about, **certificate_facts(self.certificates)}


Certified = tuple[Gate, Mapping[str, Certificates]]
"""A gate, and what could be certified of it."""


class Chosen(NamedTuple):
    """What became of a first stage.

    Attributes:
        cascade: Both stages under one gate; None where every ticket is put to the full model.
        staged: What is known of it.
        alone: The gate of the full model in place of its own, where both stages turned out to certify far less.
        scores: What both stages say of the calibration tickets; None where there is no first one.
    """

    cascade: Cascade | None = None
    staged: Staged | None = None
    alone: Certified | None = None
    scores: CalibrationScores | None = None


class Evidence(NamedTuple):
    """What a gate is chosen on.

    Attributes:
        kind: Where the tickets are from: ``set aside`` or ``cross-fitted``.
        scores: Of tickets that the model had not seen.
        tuning: Scores of other tickets, which say where the sequence of tests starts; None takes `scores`.
        stage: A first stage before its threshold is chosen; None where there is none.
        first: What it says of the tickets of `scores`.
        first_tuning: What it says of the tickets of `tuning`.
        decided: When an earlier model's first stage answered: it answers no more often, and which tickets are put to
            the full model is not looked up again. None leaves it open.
    """

    kind: str
    scores: CalibrationScores
    tuning: CalibrationScores | None = None
    stage: FirstStage | None = None
    first: FirstScores | None = None
    first_tuning: FirstScores | None = None
    decided: Staged | None = None


class CascadeChoice:
    """Both stages on the tickets that they are certified on.

    Args:
        evidence: Of these tickets.
        policy: Folds and ranks labels.
        languages: That the desk writes.
        wanted: What is to be promised.
        alone: What could be certified of the full model, by target.
    """

    def __init__(
        self,
        evidence: Evidence,
        policy: Policy,
        languages: frozenset[str],
        wanted: RiskTarget,
        alone: Mapping[str, Certificates],
    ) -> None:
        self._evidence = evidence
        self._policy = policy
        self._languages = languages
        self._wanted = wanted
        self._alone = alone

    def chosen(self, log: Log) -> Chosen:
        """Choose from when on the first stage answers, if ever.

        It answers from where that costs no accuracy. Where too little could be automatic then, tickets around the
        threshold of the full model are put to that. This is looked up on tickets that are not those of the certificate,
        where there are others, and stays for the refitted model: choosing after the certificate was seen would spend
        more than delta. One choice is made then, and paid for: where both stages certify far less than the full model
        does with the part of delta that was kept for it, the first stage is left out (`BOTH_STAGES`).

        Args:
            log: Is told why there is none.
        """
        stage, first, rule = self._evidence.stage, self._evidence.first, self._rule(log)
        if stage is None or first is None or rule is None:
            return Chosen()
        threshold, asks_between = rule
        together = self._staged(threshold, asks_between)
        gate, certificates = self._built(*together, part=BOTH_STAGES if self._is_proof else 1.0)
        alone = self._better_alone(certificates, log) if self._is_proof else None
        if alone is not None:
            return Chosen(alone=alone)
        risk = self._wanted.target_risk
        floors = {target: set_floor(true_probability(first.scores, target), risk) for target in certificates}
        model = replace(stage.model, set_floors=floors)
        stage = replace(stage, threshold=threshold, asks_between=asks_between, model=model)
        share = self._share(threshold, asks_between) or 0.0
        staged = Staged(threshold, asks_between, share=share, certificates=certificates)
        return Chosen(Cascade(stage, gate), staged, scores=together[0])

    def _rule(self, log: Log) -> tuple[float, Mapping[str, Band]] | None:
        """Return when the first stage answers, by what is known before any certificate; None where it never does."""
        if self._evidence.stage is None or self._evidence.first is None:
            return None
        threshold, decided = self._threshold, self._evidence.decided
        asks_between: Mapping[str, Band] | None = None
        if threshold is not None and decided is not None:
            threshold, asks_between = max(threshold, decided.threshold), decided.asks_between
        elif threshold is not None:
            asks_between = self._bands(threshold)
            if asks_between is None:
                log("with a first stage far less could be automatic: every ticket is put to the full model")
                return None
        if threshold is None or asks_between is None or self._share(threshold, asks_between) is None:
            log("the first stage would cost accuracy: every ticket is put to the full model")
            return None
        return threshold, asks_between

    def _better_alone(self, both: Mapping[str, Certificates], log: Log) -> Certified | None:
        """Return what the full model certifies with the rest of delta, where that is far more than by both stages."""
        alone = self._built(self._evidence.scores, self._evidence.tuning, part=1 - BOTH_STAGES)
        dearer = dearer_targets(alone[1], both, per_class=self._wanted.per_class)
        if not dearer:
            return None
        log(
            f"{', '.join(dearer)}: with a first stage far less could be certified on these tickets than without: every "
            "ticket is put to the full model"
        )
        return alone

    @property
    def _is_proof(self) -> bool:
        """Whether nothing was chosen on the tickets of the certificate, so that it is one."""
        return self._evidence.tuning is not None or self._evidence.decided is not None

    @cached_property
    def _open_gate(self) -> Gate:
        return readable(self._evidence.tuning or self._evidence.scores, self._policy, self._languages)

    @cached_property
    def _answers(self) -> FirstAnswers:
        assert self._evidence.first is not None
        return FirstAnswers.of(self._evidence.first.predictions, self._open_gate, self._policy)

    @cached_property
    def _answers_elsewhere(self) -> FirstAnswers | None:
        found = self._evidence.first_tuning
        return None if found is None else FirstAnswers.of(found.predictions, self._open_gate, self._policy)

    @cached_property
    def _threshold(self) -> float | None:
        scores = self._evidence.scores
        beliefs = {
            target: Beliefs.of(target, scores.labels[target], found, self._policy)
            for target, found in scores.probabilities.items()
        }
        return affordable_threshold(self._answers, beliefs)

    def _share(self, threshold: float, asks_between: Mapping[str, Band]) -> float | None:
        """Return the share of tickets that are answered; None where that is next to nothing."""
        passed = self._answers.above(threshold, asks_between).passed
        return float(passed.mean()) if passed.sum() >= LEAST_ANSWERED else None

    def _bands(self, threshold: float) -> Mapping[str, Band] | None:
        """Return what is put to the full model so that hardly less can be automatic; None where nothing helps."""
        reference = self._alone if self._evidence.tuning is None else self._built(self._evidence.tuning)[1]
        thresholds = {target: found.whole.threshold for target, found in reference.items()}
        wider = {target: iter(bands_around(one)) for target, one in thresholds.items() if one is not None}
        asks_between: dict[str, Band] = {}
        while dearer := self._dearer(threshold, asks_between):
            found = {target: next(wider[target], None) if target in wider else None for target in dearer}
            if None in found.values():
                return None
            asks_between |= {target: band for target, band in found.items() if band is not None}
        return asks_between

    def _dearer(self, threshold: float, asks_between: Mapping[str, Band]) -> list[str]:
        """Return the targets of which far less could be automatic than by the full model alone."""
        both, tuned = self._staged(threshold, asks_between)
        alone, together = self._alone, both
        if self._evidence.tuning is not None and tuned is not None:
            alone, together = self._built(self._evidence.tuning)[1], tuned
        return dearer_targets(alone, self._built(together)[1], per_class=self._wanted.per_class)

    def _staged(
        self, threshold: float, asks_between: Mapping[str, Band]
    ) -> tuple[CalibrationScores, CalibrationScores | None]:
        """Return the scores of both stages together: of the calibration tickets, and of the tuning ones if any."""
        here = replace(self._evidence.scores, taken=self._answers.above(threshold, asks_between))
        elsewhere, tuning = self._answers_elsewhere, self._evidence.tuning
        if elsewhere is None or tuning is None:
            return here, None
        return here, replace(tuning, taken=elsewhere.above(threshold, asks_between))

    def _built(
        self, scores: CalibrationScores, tuning: CalibrationScores | None = None, *, part: float = 1.0
    ) -> Certified:
        wanted = replace(self._wanted, part=part)
        gate, _, certificates = build_gate(scores, self._policy, self._languages, wanted, tuning_scores=tuning)
        return gate, certificates
