"""The story of a training run: from files to a bundle that is measured, saved, tracked and registered."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.atomic_write import json_bytes
from models.bundle.baselines import baselines_of
from models.bundle.bundle import Bundle, save_bundle
from models.bundle.manifest import refuse_occupied
from models.encoder import Encoder, OnnxEncoder, SentenceTransformerEncoder
from models.triager import Triager
from training.data.dataset import Dataset, LabelledTicket, read_dataset
from training.data.labels import learn_policy, refuse_unlearnable, resolve_labels
from training.data.split import Split, split
from training.encoders.cache import CachedEncoder
from training.encoders.onnx_export import exported_encoder
from training.encoders.selection import (
    EncoderComparison,
    FineTuned,
    compare_encoders,
    fine_tune_encoder,
    fine_tuning_facts,
    is_fine_tuned,
    refuse_not_tunable,
)
from training.ensemble.model import FittedModel, fit_model, labels_of, refit_model
from training.evaluation.evaluate import measure
from training.evaluation.own_history import history_facts
from training.evaluation.predictions import ask, record_of
from training.evaluation.record import FILE
from training.evaluation.rules_replay import precisions, replay
from training.gate.gate import CalibrationScores, build_gate, calibration_scores_of, languages_of
from training.provenance import CertifiedModel, facts_of
from training.task import LEARN, Trained, TrainSettings
from triage.defaults import default_policy, default_rules
from triage.policy import Policy, read_policy
from triage.rules import NO_RULES, RuleBook, check_labels, read_rules

CALIBRATION_SHARE, CALIBRATION_ROWS, LEAST_CALIBRATION = 0.1, 4000, 1000
GUIDE_ROWS, RULE_PRECISION_ROWS = 4000, 5
Log = Callable[[str], object]


def train(settings: TrainSettings, *, encoder: Encoder | None = None, log: Log | None = None) -> Trained:
    """Train a bundle: read, split, embed, learn, certify, replay the part set aside, learn from everything, save.

    What is reported was measured on rows that the model had not seen; the bundle saved is then fitted on all rows but
    the calibration part.

    Args:
        settings: What to do.
        encoder: Used instead of `settings.encoder`; its name alone goes into the bundle.
        log: Told of each step in a few words; None writes to stderr.

    Raises:
        TriageError: If the settings, the files or the labels do not allow it; nothing is left at `settings.out`.
    """
    say = log or (lambda text: sys.stderr.write(f"· {text}\n"))
    refuse_occupied(settings.out)
    if settings.adapt is not None:
        refuse_not_tunable(settings.encoder, given=encoder is not None)
    with tempfile.TemporaryDirectory(prefix="triage-") as workshop:
        return _train(settings, encoder, say, Path(workshop))


def _train(settings: TrainSettings, encoder: Encoder | None, say: Log, workshop: Path) -> Trained:
    policy, dataset = _read(settings, say)
    rules = rules_for(policy, settings.rules, NO_RULES if settings.policy == LEARN else default_rules())
    chosen, files = (encoder, None) if encoder is not None else open_encoder(settings.encoder, say)
    cached = CachedEncoder(chosen)
    say(f"embedding {len(dataset)} tickets")
    vectors = cached.encode([row.ticket.text for row in dataset.rows])
    parts = split(dataset, settings.seed)
    groups = _units(dataset, parts)
    say(f"learning from {len(parts.train)} tickets, {len(parts.test)} set aside by {parts.kind}")
    run = _Run(
        settings, policy, rules, dataset.rows, vectors, groups, parts.kind == "group", cached, labels_of(dataset.rows)
    )
    first = run.certified(parts.train)
    adaptation: dict[str, Any] | None = None
    if settings.adapt is not None:
        run, first, adapted, verdict = run.adapted(parts.train, first, workshop, say)
        adaptation = fine_tuning_facts(adapted, verdict)
        if adapted is not None and verdict is not None and verdict.wins:
            chosen, files = adapted.encoder, adapted.files
    say("replaying the part set aside")
    measured, record, history = run.replayed(first, parts.test)
    say("learning from all tickets")
    final = run.certified(np.arange(len(dataset)), first)
    facts = {**facts_of(settings, dataset, parts, first, final, measured, adaptation), "history": history}
    bundle = with_encoder(final.bundle, chosen)
    saved = save_bundle(settings.out, bundle, facts, encoder_files=files, extras={FILE: json_bytes(record)})
    say(f"saved {settings.out}")
    return Trained(saved, settings.out, dataset, parts, measured)


def with_encoder(bundle: Bundle, encoder: Encoder) -> Bundle:
    """Return the bundle with another encoder in it."""
    return Bundle(bundle.model, encoder, bundle.gate, bundle.policy, bundle.rules, bundle.manifest)


@dataclass(frozen=True)
class _Run:
    """What stays the same from the first model of a run to the last."""

    settings: TrainSettings
    policy: Policy
    rules: RuleBook
    rows: list[LabelledTicket]
    vectors: NDArray[np.float32]
    groups: NDArray[np.int64]
    grouped: bool
    encoder: Encoder
    labels: Mapping[str, tuple[str, ...]]
    adapted_to: FineTuned | None = None

    def adapted(
        self, places: NDArray[np.int64], plain: CertifiedModel, workshop: Path, say: Log
    ) -> tuple[_Run, CertifiedModel, FineTuned | None, EncoderComparison | None]:
        """Try an adapted encoder; return the run and the model that go on, and how it came."""
        places = self._usable(places)
        learned = np.setdiff1d(places, self._calibration(places, self._spent(None)))
        assert self.settings.adapt is not None
        found = fine_tune_encoder(
            self.settings.encoder, self.rows, self.vectors, self.groups, learned, self.labels, self.settings.adapt,
            workshop / "encoder", seed=self.settings.seed, log=say,
        )  # fmt: skip
        if found is None:
            return self, plain, None, None
        cached = CachedEncoder(found.encoder, cache=workshop / "vectors")
        vectors = cached.encode([row.ticket.text for row in self.rows])
        challenger = replace(self, encoder=cached, vectors=vectors, adapted_to=found)
        say("learning around the adapted encoder")
        second = challenger.certified(places)
        verdict = compare_encoders(
            plain.learned, second.learned, [self.rows[place] for place in learned], self.groups[learned]
        )
        say(f"adaptation {verdict}")
        return (challenger, second, found, verdict) if verdict.wins else (self, plain, found, verdict)

    def _usable(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        return places[[self.rows[place].weight > 0 for place in places]]

    def certified(self, places: NDArray[np.int64], before: CertifiedModel | None = None) -> CertifiedModel:
        """Learn from some rows and choose the gate: on a part of its own where there are many, else cross-fitted.

        Args:
            places: Row numbers.
            before: An earlier model, whose combination and calibration are kept where there are many rows.
        """
        places = self._usable(places)
        held = self._calibration(places, self._spent(before))
        fitted = np.setdiff1d(places, held)
        rows, vectors, groups = [self.rows[place] for place in fitted], self.vectors[fitted], self.groups[fitted]
        if before is not None and len(held):
            model = refit_model(before.learned, rows, vectors, self.policy, seed=self.settings.seed)
            learned = before.learned
            tuning_scores = None
        else:
            learned = fit_model(
                rows, vectors, groups, self.policy, rules=self.rules, labels=self.labels, grouped=self.grouped,
                seed=self.settings.seed,
                seen=None if self.adapted_to is None else self.adapted_to.seen[fitted],
                plain=None if self.adapted_to is None else self.adapted_to.plain,
            )  # fmt: skip
            model = learned.model
            tuning_scores = self._guide(learned, rows, GUIDE_ROWS if len(held) else len(rows))
        held_rows = [self.rows[place] for place in held]
        if len(held):
            features = model.features([row.ticket for row in held_rows], self.vectors[held])
            calibration_scores = calibration_scores_of(
                held_rows, model.probabilities(features), features, model.history
            )
        else:
            calibration_scores, tuning_scores = _not_none(tuning_scores), None
        kind = "set aside" if len(held) else "cross-fitted"
        return self._gated(
            learned, model, calibration_scores, tuning_scores, rows, f"{kind}, {len(calibration_scores.rows)} rows"
        )

    def _guide(self, learned: FittedModel, rows: list[LabelledTicket], most: int) -> CalibrationScores:
        """Return what cross-fitted models believed about their own rows, or about some of them."""
        places = learned.out_of_fold
        if len(places) > most:
            places = np.sort(np.random.default_rng(self.settings.seed).choice(places, most, replace=False))
        probabilities = {target: values[places] for target, values in learned.probabilities.items()}
        chosen = rows if len(places) == len(rows) else [rows[int(place)] for place in places]
        return calibration_scores_of(chosen, probabilities, learned.features.near_of(places), learned.model.history)

    def _gated(
        self,
        learned: FittedModel,
        model: Any,
        calibration_scores: CalibrationScores,
        tuning_scores: CalibrationScores | None,
        rows: list[LabelledTicket],
        calibration: str,
    ) -> CertifiedModel:
        languages = languages_of(rows, self.settings.seed)
        gate, floors, certificates = build_gate(
            calibration_scores, self.policy, languages,
            target_risk=self.settings.target_risk, confidence=self.settings.confidence, tuning_scores=tuning_scores,
            per_class=self.settings.per_class,
        )  # fmt: skip
        measured = replay(self.rules, self.policy, rows)
        rules = self.rules.measured(precisions(measured, RULE_PRECISION_ROWS))
        bundle = Bundle(replace(model, set_floors=floors), self.encoder, gate, self.policy, rules)
        return CertifiedModel(bundle, learned, certificates, calibration)

    def _spent(self, before: CertifiedModel | None) -> NDArray[np.bool_]:
        """Say which rows the encoder was adapted to, or a combination and its calibration were fitted on already."""
        spent = np.zeros(len(self.rows), dtype=bool)
        if self.adapted_to is not None:
            spent |= self.adapted_to.seen | self.adapted_to.kept
        if before is not None:
            learned = set(map(id, before.learned.rows))
            spent |= np.array([id(row) in learned for row in self.rows], dtype=bool)
        return spent

    def _calibration(self, places: NDArray[np.int64], spent: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Set rows aside for calibration, whole clusters; none where the rows are too few or come in groups.

        No cluster with a spent row is among them: the gate's promise is for rows that nothing at all was fitted on.
        """
        wanted = min(CALIBRATION_ROWS, int(CALIBRATION_SHARE * len(places)))
        if self.grouped or wanted < LEAST_CALIBRATION:
            return np.zeros(0, dtype=np.int64)
        names, unit = np.unique(self.groups[places], return_inverse=True)
        order = np.random.default_rng(self.settings.seed + 1).permutation(len(names))
        order = order[np.bincount(unit, spent[places])[order] == 0]
        sizes = np.bincount(unit)[order]
        chosen = order[np.cumsum(sizes) <= wanted]
        return places[np.isin(unit, chosen)]

    def replayed(
        self, certified: CertifiedModel, places: NDArray[np.int64]
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Put rows through the one door; return the figures, the record of answers, and what counts as reviews."""
        triager = Triager(certified.bundle)
        answers = ask(triager, [self.rows[place] for place in places])
        measured = measure(triager, answers, baselines_of(certified.bundle))
        return measured, record_of(triager, answers, measured).to_document(), history_facts(answers)


def _not_none(calibration_scores: CalibrationScores | None) -> CalibrationScores:
    assert calibration_scores is not None
    return calibration_scores


def _read(settings: TrainSettings, say: Log) -> tuple[Policy, Dataset]:
    dataset = read_dataset(settings.data, settings.mapping, skip_bad_rows=settings.skip_bad_rows)
    say(f"read {len(dataset)} tickets")
    policy = learn_policy(dataset, settings.tier_order) if settings.policy == LEARN else _policy(settings)
    dataset = resolve_labels(dataset, policy, skip_bad_rows=settings.skip_bad_rows)
    refuse_unlearnable(dataset.rows, dataset.targets)
    return policy, dataset


def _policy(settings: TrainSettings) -> Policy:
    return default_policy() if settings.policy is None else read_policy(Path(settings.policy))


def rules_for(policy: Policy, file: Path | None, otherwise: RuleBook) -> RuleBook:
    """Return the rules of a file, or those given; every label that they name must be the policy's."""
    rules = otherwise if file is None else read_rules(file)
    known = {target: [entry.label for entry in policy.entries(target)] for target in ("tier", "category")}
    check_labels(rules, known, where=str(file or "rules in use"))
    return rules


def open_encoder(name: str, say: Log) -> tuple[Encoder, Path | None]:
    """Return an encoder and the directory of its ONNX files, None where it has none."""
    kind, colon, source = name.partition(":")
    if colon and kind == "sentence-transformers":
        return SentenceTransformerEncoder(source), None
    say(f"encoder {name}")
    folder = exported_encoder(name)
    if is_fine_tuned(folder):
        say("this encoder was adapted to tickets before: on the same tickets confidence comes out too high")
    return OnnxEncoder(folder), folder


def _units(dataset: Dataset, parts: Split) -> NDArray[np.int64]:
    """Number what must not cross a fold: groups where the split goes by group, else clusters of near-duplicates."""
    if parts.kind != "group":
        return parts.clusters
    names: dict[str | None, int] = {}
    numbered = [
        names.setdefault(row.group, len(names)) if row.group is not None else -1 - place
        for place, row in enumerate(dataset.rows)
    ]
    return np.array(numbered, dtype=np.int64)
