"""A bundle with a first stage: trained, saved, read back, measured, and switched off."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from joblib import cpu_count
from threadpoolctl import threadpool_limits

from models.bundle.bundle import Bundle, load_bundle
from models.bundle.codecs import json_bytes, npy_bytes
from models.bundle.first_stage import pack_first_stage, unpack_first_stage
from models.encoder import OnnxEncoder
from models.triager import Triager
from training import pipeline
from training.cascade import choice
from training.cascade import first_stage as fitting
from training.cascade.choice import CascadeChoice
from training.engines import processes
from training.engines.engine import InThisProcess
from training.engines.processes import InProcesses
from training.evaluation.record import read_record
from training.gate import first_stage as gate_of_first
from training.gate.gate import CalibrationScores
from training.gate.risk_control import upper_bound
from training.gate.rule_precision import Floors, fallback_floors
from training.gate.served import certificates_of, gate_changes, served_gates
from training.registry.publish import _thresholds
from training.reports.model_card import model_card
from training.reports.report import report
from training.stages import stage_of
from training.task import Trained, TrainSettings
from triage.errors import BundleTampered
from triage.gate import Gate
from triage.policy import Policy
from triage.prediction import Prediction
from triage.rules import RuleBook
from triage.ticket import Ticket

from .conftest import Triage, interrupted, write_rows


@pytest.fixture(scope="module")
def staged(trained: Trained) -> Bundle:
    return trained.bundle


@pytest.fixture(scope="module")
def measured_under() -> list[tuple[CalibrationScores, Gate]]:
    """What fallback rules are measured under in the training, in order."""
    return []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the bundle is saved."""
    return tmp_path_factory.mktemp("staged") / "bundle"


@pytest.fixture(scope="module")
def trained(
    make_bundle: Callable[..., Path], folder: Path, measured_under: list[tuple[CalibrationScores, Gate]]
) -> Trained:
    """Train a bundle whose first stage answers often: it may differ from the full model more than usual."""

    def noted(rules: RuleBook, policy: Policy, scores: CalibrationScores, gate: Gate) -> Floors:
        measured_under.append((scores, gate))
        return fallback_floors(rules, policy, scores, gate)

    first = make_bundle()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "fallback_floors", noted)
        return train_in_stages(first.parent, folder, home=first.parent / "home")


def train_in_stages(source: Path, out: Path, home: Path) -> Trained:
    """Train a bundle with a first stage on the tickets and with the encoder in `source`, and the cache in `home`.

    Threads of matrix products, by whose number sums round, are as in a process of its own, whatever ran here before.
    """
    settings = TrainSettings((source / "tickets.jsonl",), out, encoder=str(source / "encoder"), target_risk=0.3)
    with pytest.MonkeyPatch.context() as patch, threadpool_limits(cpu_count(), user_api="blas"):
        patch.setenv("TRIAGE_HOME", str(home))
        patch.setenv("TRIAGE_ORGANISATION", "desk")
        patch.setattr(pipeline, "LEAST_ROWS", 50)
        patch.setattr(gate_of_first, "LEAST_ANSWERED", 10)
        patch.setattr(choice, "LEAST_ANSWERED", 10)
        patch.setattr(gate_of_first, "MAY_LOSE", 0.05)
        patch.setattr(choice, "dearer_targets", lambda *_, **__: [])
        return pipeline.train(settings, log=lambda step: None)


@pytest.fixture(scope="module")
def tickets(make_bundle: Callable[..., Path]) -> list[Ticket]:
    rows = map(json.loads, (make_bundle().parent / "tickets.jsonl").read_text("utf-8").splitlines())
    return [Ticket(row["id"], row["subject"], row["body"]) for row in rows]


def test_a_small_history_has_no_first_stage(make_bundle: Callable[..., Path]) -> None:
    assert load_bundle(make_bundle()).cascade is None


def test_both_stages_answer_and_each_says_which_it_is(staged: Bundle, tickets: list[Ticket]) -> None:
    assert staged.cascade is not None
    found = staged.predict(tickets, explain=True)
    by_first = np.array([one.by_first_stage for one in found])
    assert by_first.any()
    floor = staged.cascade.stage.threshold
    for one in np.array(found, dtype=object)[by_first]:
        assert min(scores[0].probability - scores[1].probability for scores in one.probabilities.values()) >= floor
        assert one.explanation.terms and len(one.explanation.similar) == 5


def test_what_the_first_stage_does_not_answer_is_answered_as_without_it(staged: Bundle, tickets: list[Ticket]) -> None:
    full = staged.without_cascade().predict(tickets, explain=True)
    for mine, alone in zip(staged.predict(tickets, explain=True), full, strict=True):
        assert not alone.by_first_stage
        if not mine.by_first_stage:  # a matrix product rounds in the eleventh digit by what else is in the batch
            for target in alone.probabilities:
                (label, probability), wanted = top(mine, target), top(alone, target)
                assert label == wanted[0] and probability == pytest.approx(wanted[1], abs=1e-6)
            assert mine.novelty == pytest.approx(alone.novelty, abs=1e-5)
            assert mine.explanation == alone.explanation


def test_processes_decide_by_both_stages_or_by_the_full_model_alone(
    staged: Bundle, folder: Path, tickets: list[Ticket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "cpu_count", lambda: 2)
    batches = [tickets[start : start + 7] for start in range(0, 84, 7)]
    told = {cascade: list(InProcesses(folder, cascade).rows(batches)) for cascade in (True, False)}
    for cascade, bundle in ((True, staged), (False, staged.without_cascade())):
        assert told[cascade] == list(InThisProcess(Triager(bundle)).rows(batches))
    assert told[True] != told[False]


def test_score_and_evaluate_do_without_the_cascade_where_told(
    triage: Triage, staged: Bundle, folder: Path, tickets: list[Ticket], tmp_path: Path
) -> None:
    rows = [{"id": f"T-{place}", "body": one.body, "tier": "L1", "category": "network"}
            for place, one in enumerate((*tickets, *tickets)[:150])]  # fmt: skip
    data, out = write_rows(tmp_path / "tickets.jsonl", rows), tmp_path / "decisions.jsonl"
    interrupted(Triager(staged), data, out, after=128)
    assert triage("score", folder, data, "--out", out, "--no-cascade", "--json").document["resumed"] == 0
    decided = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    full, both = (
        Triager(one).decide([Ticket(row["id"], body=row["body"]) for row in rows[:128]])
        for one in (staged.without_cascade(), staged)
    )
    assert [row["tier_confidence"] for row in decided[:128]] == [one.targets["tier"].confidence for one in full]
    assert [one.targets["tier"].confidence for one in both] != [one.targets["tier"].confidence for one in full]
    measured = [triage("evaluate", folder, data, *given, "--json").document for given in ((), ("--no-cascade",))]
    assert measured[0]["targets"]["tier"]["ece"] != measured[1]["targets"]["tier"]["ece"]


def test_a_worker_of_a_cluster_decides_as_told(staged: Bundle, folder: Path, tickets: list[Ticket]) -> None:
    scoring = pytest.importorskip("training.engines.ray_scoring", reason="Ray is not installed: pip install '.[ray]'")
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for cascade, bundle in ((True, staged), (False, staged.without_cascade())):
        worker = scoring.Worker()
        worker.load(files, cascade, staged.digest)
        assert worker.rows(tickets[:32]) == next(InThisProcess(Triager(bundle)).rows([tickets[:32]]))


def top(prediction: Prediction, target: str) -> tuple[str, float]:
    first = prediction.probabilities[target][0]
    return first.label, first.probability


def test_a_ticket_is_answered_alone_as_among_others(staged: Bundle, tickets: list[Ticket]) -> None:
    together = Triager(staged).decide(tickets[:20], explain=True)
    for ticket, decision in zip(tickets, together, strict=False):
        alone = Triager(staged).decide([ticket], explain=True)[0]
        assert (alone.tier, alone.category, alone.reason) == (decision.tier, decision.category, decision.reason)


def test_parts_of_a_first_stage_that_do_not_fit_are_refused(staged: Bundle) -> None:
    assert staged.cascade is not None and isinstance(staged.encoder, OnnxEncoder)
    files = pack_first_stage(staged.cascade.stage)
    again = unpack_first_stage(files, staged.model, staged.encoder)
    assert again is not None and again.threshold == staged.cascade.stage.threshold
    facts = json.loads(files["first-stage.json"])
    for name, content in (
        ("first-stage-columns.npy", npy_bytes(np.zeros((3, 2), np.int8))),
        ("first-stage-token-rows.npy", npy_bytes(np.full_like(again.student.token_vectors.rows, 1 << 30))),
        ("first-stage-tier-bias.npy", npy_bytes(np.zeros(99, np.float32))),
        ("first-stage.json", json_bytes({**facts, "targets": ["mood"]})),
        ("first-stage.json", json_bytes({**facts, "asks_between": {"mood": [0.5, 0.6]}})),
    ):
        with pytest.raises(BundleTampered, match="first stage"):
            unpack_first_stage({**files, name: content}, staged.model, staged.encoder)


def test_a_first_stage_of_an_earlier_kind_answers_nothing(staged: Bundle) -> None:
    assert isinstance(staged.encoder, OnnxEncoder)
    earlier = {"first-stage.json": b"{}", "first-stage-float32.npy": b""}
    assert unpack_first_stage(earlier, staged.model, staged.encoder) is None


def test_the_manifest_tells_of_both_stages(staged: Bundle) -> None:
    facts = staged.manifest["cascade"]
    assert 0 < facts["refitted"]["share"] <= 1 and staged.cascade is not None
    assert facts["refitted"]["threshold"] == staged.cascade.stage.threshold
    assert set(facts["stages"]) == {"share", "targets"}
    assert staged.prefilter is not None and 0 <= facts["prefilter"]["share"] <= 1


def test_equal_trainings_have_equal_digests_whatever_was_encoded_before(
    trained: Trained, make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    assert trained.milliseconds["first"] and trained.bundle.cascade is not None
    again = train_in_stages(make_bundle().parent, tmp_path / "bundle", home=tmp_path / "home")
    assert again.bundle.manifest == trained.bundle.manifest


@pytest.mark.parametrize(
    ("measured", "served", "said"),
    [
        (0.6, 0.5, None),
        (0.6, 0.25, "answers 0.250 of the tickets that its gate was chosen on, that of the model measured before 0.6"),
        (0.6, None, "the bundle has no first stage"),
        (None, 0.6, "has a first stage, which answers 0.600"),
        (None, None, None),
    ],
)
def test_a_first_stage_other_than_the_measured_one_is_told(
    measured: float | None, served: float | None, said: str | None
) -> None:
    shares = {"measured_with": measured, "refitted": served}
    facts = {name: None if share is None else {"share": share} for name, share in shares.items()}
    told = gate_changes({"cascade": facts})
    assert (not told) if said is None else (len(told) == 1 and said in told[0])


def test_a_training_without_a_cascade_makes_a_bundle_without_one(
    make_bundle: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_bundle()
    monkeypatch.setenv("TRIAGE_HOME", str(first.parent / "home"))
    monkeypatch.setattr(pipeline, "LEAST_ROWS", 50)
    settings = TrainSettings(
        (first.parent / "tickets.jsonl",), tmp_path / "bundle", encoder=str(first.parent / "encoder"), cascade=False
    )
    assert pipeline.train(settings, log=lambda step: None).bundle.cascade is None


def test_where_the_encoder_tells_strangers_well_there_is_no_first_stage(
    make_bundle: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, steps = make_bundle(), list[str]()
    monkeypatch.setenv("TRIAGE_HOME", str(first.parent / "home"))
    for place, name, value in (
        (pipeline, "LEAST_ROWS", 50),
        (gate_of_first, "LEAST_ANSWERED", 1),
        (choice, "LEAST_ANSWERED", 1),
        (gate_of_first, "MAY_LOSE", 1.0),
        (choice, "dearer_targets", lambda *_, **__: []),
        (fitting, "tells_strangers", lambda *_, **__: 0.8),
    ):
        monkeypatch.setattr(place, name, value)
    settings = TrainSettings(
        (first.parent / "tickets.jsonl",), tmp_path / "b", encoder=str(first.parent / "encoder"), target_risk=0.3
    )
    assert pipeline.train(settings, log=steps.append).bundle.cascade is None
    assert any("what belongs to no label" in step for step in steps)


@pytest.fixture
def with_a_part_to_calibrate_on(make_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> TrainSettings:
    """Return settings of a training whose gate is chosen on a part of its own, as from 10,000 rows on."""
    first = make_bundle()
    monkeypatch.setenv("TRIAGE_HOME", str(first.parent / "home"))
    for place, name, value in (
        (pipeline, "LEAST_ROWS", 50),
        (pipeline, "LEAST_CALIBRATION", 10),
        (gate_of_first, "LEAST_ANSWERED", 1),
        (choice, "LEAST_ANSWERED", 1),
        (gate_of_first, "MAY_LOSE", 1.0),
    ):
        monkeypatch.setattr(place, name, value)
    return TrainSettings(
        (first.parent / "tickets.jsonl",), Path(), encoder=str(first.parent / "encoder"), target_risk=0.3
    )


def test_when_a_first_stage_answers_is_not_looked_up_on_the_tickets_of_the_last_certificate(
    with_a_part_to_calibrate_on: TrainSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, looked = list[str](), list[str]()
    bands = CascadeChoice._bands

    def noted(self: CascadeChoice, threshold: float) -> object:
        looked.append(next(step for step in reversed(steps) if step.startswith("learning from")))
        return bands(self, threshold)

    monkeypatch.setattr(choice, "dearer_targets", lambda *_, **__: [])
    monkeypatch.setattr(CascadeChoice, "_bands", noted)
    settings = replace(with_a_part_to_calibrate_on, out=tmp_path / "b")
    assert pipeline.train(settings, log=steps.append).bundle.cascade is not None
    assert looked and "learning from all tickets" in steps and "learning from all tickets" not in looked


def test_a_first_stage_that_the_last_certificate_finds_too_dear_is_left_out_and_that_is_said_and_paid_for(
    with_a_part_to_calibrate_on: TrainSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = list[str]()

    def dearer(*_: object, **__: object) -> list[str]:
        return ["tier"] if "learning from all tickets" in steps else []

    monkeypatch.setattr(choice, "dearer_targets", dearer)
    settings = replace(with_a_part_to_calibrate_on, out=tmp_path / "b", target_risk=0.8)
    made = pipeline.train(settings, log=steps.append)
    facts = made.bundle.manifest
    assert facts["cascade"]["measured_with"] is not None and facts["cascade"]["refitted"] is None
    assert made.bundle.cascade is None
    assert any(step.startswith("tier: with a first stage far less could be certified") for step in steps)
    tier = facts["gate"]["refitted"]["tier"]
    assert tier["threshold"] is not None
    assert tier["bound"] == pytest.approx(upper_bound(tier["wrong"], tier["kept"], 0.05 * (1 - choice.BOTH_STAGES)))


def test_fallback_rules_are_measured_under_the_gate_that_serves(
    staged: Bundle, measured_under: list[tuple[CalibrationScores, Gate]]
) -> None:
    assert staged.cascade is not None
    scores, gate = measured_under[-1]
    assert gate == staged.cascade.gate
    assert scores.taken is not None and scores.taken.passed.any()


def test_the_report_says_from_how_many_decisions_on_a_new_group_is_promised_anything(trained: Trained) -> None:
    manifest = json.loads(json.dumps(trained.bundle.manifest))
    manifest["settings"]["target_risk"] = 0.1
    of_new_groups = {"threshold": 0.9, "bound": 0.133, "promise": "new_group", "groups": 28, "largest_group": 0}
    manifest["cascade"]["refitted"]["tier"] |= of_new_groups  # bound as earlier versions wrote it
    page = report(manifest, read_record(trained.path))
    assert "for a group that was never seen, from 20 automatic decisions on (made on 28 groups)" in page
    assert "the upper bound of the error rate is 0.100" in page and "is 0.133" not in page


def test_what_is_told_of_the_gate_is_told_of_the_one_that_serves(trained: Trained) -> None:
    """Both stages fail here where the full model alone would pass, and the other way round."""
    record = read_record(trained.path)
    shut = {"threshold": None, "kept": 0, "wrong": 0, "bound": None, "more_tickets": 77, "promise": "none"}
    for both_shut in (True, False):
        manifest = json.loads(json.dumps(trained.bundle.manifest))
        place = manifest["cascade"] if both_shut else manifest["gate"]
        place["refitted"]["tier"] |= shut
        assert (certificates_of(manifest)["tier"]["threshold"] is None) is both_shut
        assert ("tier/threshold" not in _thresholds(manifest)) is both_shut
        assert (served_gates(manifest)["tier"].served == 0.0) is both_shut
        assert any("about 77 tickets more" in need for need in stage_of(manifest).needs) is both_shut
        card = model_card(manifest, record)
        assert ("- tier: nothing is promised and nothing decided; about 77 more tickets" in card) is both_shut
        assert ("The gate that is served: threshold none" in report(manifest, record)) is both_shut
