"""The story of a training run: from files to a bundle that is measured and saved."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from joblib import cpu_count
from joblib.parallel import LokyBackend, get_active_backend
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from models.bundle.baselines import baselines_of
from models.bundle.bundle import Bundle, save_bundle
from models.bundle.codecs import json_bytes
from models.bundle.manifest import refuse_occupied
from models.cascade.first_stage import FirstStage
from models.encoder import Encoder, OnnxEncoder
from models.model import Model
from models.screening.prefilter import Prefilter
from models.terminal import Log, log_step
from models.triager import Triager
from training.cascade.choice import CascadeChoice, Evidence, FirstScores
from training.cascade.distill import Distiller
from training.cascade.figures import prefilter_figures, stage_figures
from training.cascade.first_stage import LEAST_ROWS, FittedFirstStage, first_stage_of, needs_encoder
from training.cascade.prefilter import fit_prefilter
from training.cascade.student import FittedStudent, fit_student
from training.data.dataset import Dataset, limited, read_dataset
from training.data.labels import (
    follows_from_policy,
    learn_policy,
    listed_labels,
    refuse_unlearnable,
    resolve_labels,
    rules_for,
    with_further_targets,
    without_target,
)
from training.data.split import Split, split
from training.encoders.cache import CachedEncoder
from training.encoders.open import open_encoder
from training.encoders.selection import compare_encoders, fine_tune_encoder, fine_tuning_facts, refuse_not_tunable
from training.engines.side_process import SideProcess, side_process
from training.ensemble.model import FittedModel, Prepared, fit_heads, prepare, refit_model
from training.ensemble.sample import Sample
from training.evaluation.champion import Champion
from training.evaluation.evaluate import measure
from training.evaluation.own_history import history_facts
from training.evaluation.predictions import ask, record_of
from training.evaluation.record import FILE
from training.evaluation.rules_replay import precisions, replay
from training.evaluation.seen import Seen, with_newest
from training.evaluation.traffic_shares import shares_left_out
from training.gate.gate import (
    CalibrationScores,
    RiskTarget,
    build_gate,
    calibration_scores_of,
    languages_of,
    unlearned_shares,
)
from training.gate.recall_guard import told
from training.gate.rule_precision import fallback_floors
from training.provenance import CertifiedModel, facts_of
from training.task import LEARN, Trained, TrainSettings
from triage.defaults import default_policy, default_rules
from triage.policy import Policy, read_policy
from triage.rules import NO_RULES, RuleBook
from triage.ticket import Ticket

CALIBRATION_SHARE, CALIBRATION_ROWS = 0.1, 4000
"""Share of the tickets that the gate is chosen on, and how many are enough: the bound hardly narrows beyond."""

LEAST_CALIBRATION = 1000
"""Tickets below which a part of its own would certify next to nothing: cross-fitted scores of all rows do better."""

LEAST_BESIDE, MOST_BESIDE = 1_500, 20_000
"""Tickets between which the final model is learned beside the one that is measured: a process takes four seconds to
start, and as much memory again."""

TUNING_ROWS = 4000
"""Cross-fitted rows that say where the sequence of tests starts."""


def train(
    settings: TrainSettings, *, dataset: Dataset | None = None, encoder: Encoder | None = None, log: Log = log_step
) -> Trained:
    """Train a bundle.

    What is reported was measured on tickets that the model had not seen; the bundle saved is then fitted on all
    tickets but the calibration part.

    Args:
        settings: What to do.
        dataset: Labelled tickets, where they were read already; None reads `settings.data`.
        encoder: Used instead of `settings.encoder`; its name alone goes into the bundle.
        log: Takes each step in a few words.

    Raises:
        TriageError: If the settings, the files or the labels do not allow it; nothing is left at `settings.out`.
    """
    refuse_occupied(settings.out)
    if settings.adapt is not None:
        refuse_not_tunable(settings.encoder, given=encoder is not None)
    with tempfile.TemporaryDirectory(prefix="triage-") as scratch, ExitStack() as stack:
        policy, dataset = _read_and_check(settings, dataset, log)
        side = stack.enter_context(_second_process(settings, len(dataset)))
        champion, seen = Champion.of(settings.champion, log), Seen.of(dataset.rows)
        parts = split(dataset, settings.seed, new=champion.seen.lacks(dataset.rows) if champion else None)
        run = _Run.opened(settings, policy, scratch=Path(scratch), encoder=encoder, log=log)
        everything = run.embed(dataset, parts)
        beside_it = _of_all(run, everything, side)
        if beside_it is None:
            stack.close()  # the second process has nothing to do
        with threadpool_limits(_half_of_the_cores() if beside_it else None):
            run = run if beside_it is None else replace(run, jobs=_half_of_the_cores())
            log(parts.told)
            first = fit(run, everything.take(parts.train))
            run, everything, first, adaptation = _with_fine_tuned_encoder(run, everything, parts.train, first)
            prefilter = _prefilter(run, [dataset.rows[row].ticket for row in parts.train], parts.clusters[parts.train])
            first = replace(first, bundle=first.bundle.screened_by(prefilter))
            log("replaying the part set aside")
            replayed = _replay(first.bundle, everything.take(parts.test))
            answers, asked = _asked(champion, dataset, parts, log)
            unseen = [dataset.rows[row] for row in parts.test]
            stages = stage_figures(first.bundle, unseen, timed=with_encoder(first.bundle, run.encoder))
            facts_of_stages = None if stages is None else stages.facts
            measured = replace(first, stages=facts_of_stages, prefilter=prefilter_figures(prefilter, unseen))
            log("learning from all tickets")
            final = refit(run, first, everything) if beside_it is None else beside_it()
        facts = facts_of(settings, dataset, parts=parts, first=measured, final=final, measured=replayed.measured)
        facts = with_newest({**facts, **adaptation, **asked, "history": replayed.history}, seen)
        bundle = with_encoder(final.bundle, run.encoder).screened_by(prefilter)
        extras = {FILE: json_bytes(replayed.record), **seen.files(), **answers}
        saved = save_bundle(settings.out, bundle, facts, encoder_files=run.encoder_files, extras=extras)
        log(f"saved {settings.out}")
    took = {} if stages is None else stages.milliseconds
    return Trained(saved, settings.out, dataset=dataset, split=parts, measured=replayed.measured, milliseconds=took)


def _second_process(settings: TrainSettings, tickets: int) -> AbstractContextManager[SideProcess | None]:
    """Start a process that can learn beside this one; None where the final model has to wait for the first.

    It waits where the encoder is adapted on the way, and where the work goes to a cluster or is too little or too much
    for a second process.
    """
    here = isinstance(get_active_backend()[0], LokyBackend)
    if settings.adapt is not None or not here or cpu_count() < 2 or not LEAST_BESIDE <= tickets <= MOST_BESIDE:
        return nullcontext()
    return side_process(_ready)


def _of_all(run: _Run, everything: Sample, side: SideProcess | None) -> Callable[[], CertifiedModel] | None:
    """Begin to learn from all tickets in the second process; None where that has to wait for the first model.

    It also waits where the encoder does not travel, and where the tickets of the certificate must be new to the first
    model.
    """
    if side is None or not isinstance(run.encoder, OnnxEncoder) or run.encoder_files is None:
        return None
    if len(_calibration_split(everything, run.settings.seed)[1]):
        return None
    return side.begin(partial(_fit_on_few_cores, replace(run, log=_unheard, jobs=_half_of_the_cores()), everything))


def _ready() -> None:
    """Do nothing: with this module a second process imports all that learning needs."""


def _fit_on_few_cores(run: _Run, sample: Sample) -> CertifiedModel:
    with threadpool_limits(run.jobs):
        return fit(run, sample)


def _unheard(step: str) -> None:
    """Take a step of a process that nobody listens to."""


def _half_of_the_cores() -> int:
    return max(1, int(cpu_count()) // 2)


def _asked(
    champion: Champion | None, dataset: Dataset, parts: Split, log: Log
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Let the champion answer what was set aside, as far as it is new to it: what `promote` compares."""
    if champion is None:
        return {}, {}
    log("asking the champion about the tickets set aside that are new to it")
    return champion.answers([dataset.rows[row] for row in parts.test], dataset.switched_off)


def _read_and_check(settings: TrainSettings, dataset: Dataset | None, log: Log) -> tuple[Policy, Dataset]:
    learned = settings.policy == LEARN
    if dataset is None:
        listed = {} if learned else listed_labels(_policy(settings))
        dataset = read_dataset(
            settings.data,
            settings.mapping,
            options=replace(settings.reading, known=listed),
            skip_bad_rows=settings.skip_bad_rows,
            newest=settings.newest,
        )
    dataset = limited(dataset, settings.newest)
    log(f"read {len(dataset)} tickets")
    policy = learn_policy(dataset, settings.tier_order) if learned else with_further_targets(_policy(settings), dataset)
    dataset = resolve_labels(dataset, policy, skip_bad_rows=settings.skip_bad_rows)
    asked = "resolver_group" in settings.asked or settings.mapping.get("resolver_group") is not None
    if "resolver_group" in dataset.targets and not asked and follows_from_policy(policy, dataset.rows):
        log("the resolver group follows from tier and category by the policy: it is no target of its own")
        policy, dataset = policy.without("resolver_group"), without_target(dataset, "resolver_group")
    if learned and "resolver_group" in dataset.targets:
        policy = replace(policy, groups=())  # what is commonest of tier and category is a poorer guess of the same
    refuse_unlearnable(dataset.rows, dataset.targets)
    for remark in shares_left_out(policy):
        log(remark)
    return policy, dataset


def _policy(settings: TrainSettings) -> Policy:
    return default_policy() if settings.policy is None else read_policy(Path(settings.policy))


@dataclass(frozen=True)
class _Run:
    """What every step of a run needs; it changes only where a fine-tuned encoder takes over.

    Attributes:
        settings: What was asked for.
        policy: Of the helpdesk.
        rules: Of the helpdesk.
        scratch: A directory that is gone after the run.
        log: Takes each step in a few words.
        encoder: As it goes into the bundle.
        encoder_files: Its ONNX files; None where the bundle only names it.
        cached: The same encoder, which remembers what it has encoded.
        distiller: Makes token vectors of it for a first stage; None where there is to be none.
        jobs: Processes of a fit; None takes one per core where that pays.
    """

    settings: TrainSettings
    policy: Policy
    rules: RuleBook
    scratch: Path
    log: Log
    encoder: Encoder
    encoder_files: Path | None
    cached: CachedEncoder
    distiller: Distiller | None = None
    jobs: int | None = None

    @classmethod
    def opened(cls, settings: TrainSettings, policy: Policy, scratch: Path, encoder: Encoder | None, log: Log) -> _Run:
        """Read the rules and open the encoder."""
        otherwise = NO_RULES if settings.policy == LEARN else default_rules().fitting(policy.known_labels)
        rules = rules_for(policy, settings.rules, otherwise)
        chosen, files = (encoder, None) if encoder is not None else open_encoder(settings.encoder, log)
        return cls(settings, policy, rules=rules, scratch=scratch, log=log, encoder=chosen, encoder_files=files,
                   cached=CachedEncoder(chosen), distiller=_distiller(settings, chosen))  # fmt: skip

    def embed(self, dataset: Dataset, parts: Split) -> Sample:
        """Return all tickets with their vectors, and with the groups that the split went by."""
        self.log(f"embedding {len(dataset)} tickets")
        vectors = self.cached.encode([row.ticket.text for row in dataset.rows])
        return Sample.of(dataset.rows, vectors, parts.clusters, by_organisation=parts.kind == "group")


def _distiller(settings: TrainSettings, encoder: Encoder) -> Distiller | None:
    """Return what a first stage is made with; None where none is wanted, or where the encoder is not ONNX."""
    return Distiller(encoder) if settings.cascade and isinstance(encoder, OnnxEncoder) else None


def fit(run: _Run, sample: Sample) -> CertifiedModel:
    """Fit a model and choose its gate: on a part of its own where there are many tickets, else cross-fitted."""
    learned, held = _calibration_split(sample, run.settings.seed)
    seed = run.settings.seed
    prepared = prepare(learned, run.policy, rules=run.rules, seed=seed)
    student = _student(run, prepared)
    fitted = fit_heads(prepared, run.policy, guessed=None if student is None else student.guessed, jobs=run.jobs)
    first = None if student is None else first_stage_of(fitted, student, run.policy, seed=seed)
    stage = None if first is None else first.stage(run.settings.target_risk)
    if len(held):
        tuning = _out_of_fold_scores(fitted, seed, TUNING_ROWS)
        evidence = Evidence("set aside", _scores(fitted.model, held), tuning)
        if first is not None and stage is not None:
            evidence = evidence._replace(
                stage=stage, first=_first_scores(stage, held), first_tuning=_first_out_of_fold(first, seed, TUNING_ROWS)
            )
    else:
        evidence = Evidence("cross-fitted", _out_of_fold_scores(fitted, seed))
        if first is not None:
            evidence = evidence._replace(stage=stage, first=_first_out_of_fold(first, seed))
    made = calibrate(run, fitted, model=fitted.model, learned=learned, evidence=evidence)
    return replace(made, first=first)


def _student(run: _Run, prepared: Prepared) -> FittedStudent | None:
    """Return a student of the encoder for a first stage; None where there is to be none."""
    if run.distiller is None:
        return None
    if len(prepared.sample) < LEAST_ROWS:
        run.log(f"fewer than {LEAST_ROWS} tickets to learn from: every ticket is put to the full model")
        return None
    if needs_encoder(prepared):
        run.log("the encoder tells well what belongs to no label: every ticket is put to the full model")
        return None
    run.log("learning to guess what the encoder would say, for a first stage without it")
    return fit_student(prepared, run.distiller)


def _prefilter(run: _Run, tickets: Sequence[Ticket], clusters: NDArray[np.int64]) -> Prefilter | None:
    """Return what tells ordinary tickets in the screening classifier's place; None where there is to be none."""
    if not run.settings.cascade or len(tickets) < LEAST_ROWS:
        return None
    run.log("learning which tickets are so ordinary that screening need not ask its classifier")
    return fit_prefilter(tickets, clusters, seed=run.settings.seed)


def refit(run: _Run, before: CertifiedModel, sample: Sample) -> CertifiedModel:
    """Fit the estimators to more tickets, and choose the gate anew on tickets that nothing at all was fitted on.

    Stacking and calibration stay those of the first model. Where the tickets are too few for a part of their own,
    everything is fitted from the beginning.
    """
    fitted = before.fitted
    used = sample.used | np.isin(sample.index, fitted.sample.index)
    learned, held = _calibration_split(replace(sample, used=used), run.settings.seed)
    if not len(held):
        return fit(run, sample)
    model = refit_model(fitted, learned, run.policy)
    evidence = Evidence("set aside", _scores(model, held))
    if before.first is not None and before.staged is not None:
        stage = before.first.of_refitted(model, run.settings.target_risk)
        evidence = evidence._replace(stage=stage, first=_first_scores(stage, held), decided=before.staged)
    return calibrate(run, fitted, model=model, learned=learned, evidence=evidence)


def calibrate(run: _Run, fitted: FittedModel, model: Model, learned: Sample, evidence: Evidence) -> CertifiedModel:
    """Choose the gate of a model.

    Args:
        run: Holds the target risk and the confidence.
        fitted: What stacking and calibration come from.
        model: The same, or refitted.
        learned: What the model learned from.
        evidence: Scores of tickets that the model had not seen.
    """
    wanted = RiskTarget(
        target_risk=run.settings.target_risk,
        confidence=run.settings.confidence,
        per_class=run.settings.per_class,
        grouped=learned.by_organisation,
    )
    languages = languages_of(learned.rows, run.settings.seed)
    gate, floors, certificates = build_gate(
        evidence.scores, run.policy, languages, wanted, tuning_scores=evidence.tuning
    )
    chosen = CascadeChoice(evidence, run.policy, languages, wanted, alone=certificates).chosen(run.log)
    if chosen.alone is not None:
        gate, certificates = chosen.alone
    for line in unlearned_shares(evidence.scores.labels, run.policy):
        run.log(line)
    served = certificates if chosen.staged is None else chosen.staged.certificates
    for target, found in served.items():
        for line in told(target, found.guards):
            run.log(line)
    measured = replay(run.rules, run.policy, learned.rows)
    decides = gate if chosen.cascade is None else chosen.cascade.gate
    beneath = fallback_floors(run.rules, run.policy, chosen.scores or evidence.scores, decides)
    rules = run.rules.measured(precisions(measured), beneath)
    calibration = f"{evidence.kind}, {len(evidence.scores.rows)} rows"
    bundle = Bundle(replace(model, set_floors=floors), run.cached, gate=gate, policy=run.policy, rules=rules)
    return CertifiedModel(bundle.in_stages(chosen.cascade), fitted, certificates, calibration, staged=chosen.staged)


def _calibration_split(sample: Sample, seed: int) -> tuple[Sample, Sample]:
    """Split tickets into those to learn from and those to calibrate on, whole groups of near-duplicates each.

    No group with a used ticket is calibrated on: the gate's promise is for tickets that nothing at all was fitted on.
    Nor is one with a ticket that people judged in the service: whoever teaches does not also certify. A group that does
    not fit in is passed over.

    The second part is empty where the tickets are too few, or come in groups such as organisations.
    """
    sample = sample.take(np.flatnonzero([row.weight > 0 for row in sample.rows]))
    wanted, nothing = min(CALIBRATION_ROWS, int(CALIBRATION_SHARE * len(sample))), np.zeros(0, dtype=np.int64)
    if sample.by_organisation or wanted < LEAST_CALIBRATION:
        return sample, sample.take(nothing)
    names, group = np.unique(sample.groups, return_inverse=True)
    order = np.random.default_rng(seed + 1).permutation(len(names))  # not the draw that set the test part aside
    judged = _judged(sample)
    unfit = sample.used if judged.all() else sample.used | judged
    sizes, taken, chosen = np.bincount(group), 0, np.zeros(len(names), dtype=bool)
    for one in order[np.bincount(group, unfit)[order] == 0].tolist():
        if taken + sizes[one] <= wanted:
            chosen[one] = True
            taken += int(sizes[one])
    if taken < LEAST_CALIBRATION:
        return sample, sample.take(nothing)
    held = chosen[group]
    return sample.take(np.flatnonzero(~held)), sample.take(np.flatnonzero(held))


def _judged(sample: Sample) -> NDArray[np.bool_]:
    """Say of each ticket whether people judged it in the service."""
    return np.array([row.judged for row in sample.rows], dtype=bool)


def _scores(model: Model, held: Sample) -> CalibrationScores:
    """Return what a model says of tickets that it has not seen."""
    features = model.features([row.ticket for row in held.rows], held.vectors)
    return calibration_scores_of(held.rows, model.probabilities(features), features, model)


def _may_certify(fitted: FittedModel) -> NDArray[np.int64]:
    """Return positions of the cross-fitted rows that a gate may be chosen on.

    As in `_calibration_split` these are none that people judged in the service, unless there are no others, and none
    that the encoder was chosen on, where the others are enough. A row's near-duplicates are in its fold, so that what
    was judged has taught nothing that is asked about them.
    """
    index, sample = fitted.out_of_fold, fitted.sample
    judged = _judged(sample)[index]
    index = index if judged.all() else index[~judged]
    unused = index[~sample.used[index]]
    return unused if len(unused) >= LEAST_CALIBRATION else index


def _out_of_fold_rows(fitted: FittedModel, seed: int, most: int | None) -> NDArray[np.int64]:
    """Return positions of cross-fitted rows, all or so many of them; the same for two models of the same sample."""
    index = _may_certify(fitted)
    if most is None or len(index) <= most:
        return index
    return np.sort(np.random.default_rng(seed).choice(index, most, replace=False))


def _out_of_fold_scores(fitted: FittedModel, seed: int, most: int | None = None) -> CalibrationScores:
    """Return what cross-fitted models said of their own tickets, or of some of them."""
    index = _out_of_fold_rows(fitted, seed, most)
    probabilities = {target: values[index] for target, values in fitted.probabilities.items()}
    rows = fitted.sample.take(index).rows
    return calibration_scores_of(rows, probabilities, fitted.features.take(index), fitted.model)


def _first_scores(stage: FirstStage, held: Sample) -> FirstScores:
    tickets = [row.ticket for row in held.rows]
    features = stage.features(tickets)
    probabilities = stage.model.probabilities(features)
    scores = calibration_scores_of(held.rows, probabilities, features, stage.model)
    return FirstScores(stage.predictions(tickets, features, probabilities), scores)


def _first_out_of_fold(first: FittedFirstStage, seed: int, most: int | None = None) -> FirstScores:
    index, fitted = _out_of_fold_rows(first.fitted, seed, most), first.fitted
    rows, features = fitted.sample.take(index).rows, fitted.features.take(index)
    probabilities = {target: values[index] for target, values in fitted.probabilities.items()}
    scores = calibration_scores_of(rows, probabilities, features, fitted.model)
    return FirstScores(first.stage(1.0).predictions([row.ticket for row in rows], features, probabilities), scores)


def _with_fine_tuned_encoder(
    run: _Run, sample: Sample, train: NDArray[np.int64], first: CertifiedModel
) -> tuple[_Run, Sample, CertifiedModel, dict[str, Any]]:
    """Fine-tune the encoder where that is asked for; go on with it where it proves better.

    Args:
        run: With the encoder as it is.
        sample: All tickets.
        train: Positions of the training part.
        first: The model around the encoder as it is.

    Returns:
        Run, tickets and model to go on with, and what the manifest says of it.
    """
    if run.settings.adapt is None:
        return run, sample, first, {}
    tuned = fine_tune_encoder(
        run.settings.encoder, first.fitted.sample, run.settings.adapt, run.scratch / "encoder",
        seed=run.settings.seed, log=run.log,
    )  # fmt: skip
    if tuned is None:
        return run, sample, first, {"adaptation": {"kept": False}}
    cached = CachedEncoder(tuned.encoder, cache=run.scratch / "vectors")
    distiller = _distiller(run.settings, tuned.encoder)
    challenger = replace(run, encoder=tuned.encoder, encoder_files=tuned.files, cached=cached, distiller=distiller)
    vectors = cached.encode([row.ticket.text for row in sample.rows])
    seen = np.isin(sample.index, tuned.seen)
    used = seen | np.isin(sample.index, tuned.kept)
    again = replace(sample, vectors=vectors, seen=seen, used=used, base_dim=tuned.base_dim)
    run.log("learning around the adapted encoder")
    second = fit(challenger, again.take(train))
    verdict = compare_encoders(first.fitted, second.fitted)
    run.log(f"adaptation {verdict}")
    facts = {"adaptation": fine_tuning_facts(tuned, verdict)}
    return (challenger, again, second, facts) if verdict.wins else (run, sample, first, facts)


class _Replayed(NamedTuple):
    """The tickets set aside as the service would have decided them: figures, record, and what counts as reviews."""

    measured: dict[str, Any]
    record: dict[str, Any]
    history: dict[str, Any]


def _replay(bundle: Bundle, sample: Sample) -> _Replayed:
    triager = Triager(bundle)
    answers = ask(triager, sample.rows)
    measured = measure(triager, answers, baselines_of(bundle))
    return _Replayed(measured, record_of(triager, answers, measured).to_document(), history_facts(answers))


def with_encoder(bundle: Bundle, encoder: Encoder) -> Bundle:
    """Return the bundle with another encoder in it."""
    made = Bundle(
        bundle.model,
        encoder,
        gate=bundle.gate_alone,
        policy=bundle.policy,
        rules=bundle.rules,
        manifest=bundle.manifest,
    )
    return made.in_stages(bundle.cascade).screened_by(bundle.prefilter)
