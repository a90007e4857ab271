"""Train, track, register, promote, roll back, pull: the life of a version."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from models.bundle.bundle import Bundle, load_bundle, save_bundle
from models.local_store import CHAMPION, LocalModelStore
from models.toml_files import dump_policy
from training.cli import registry, report
from training.data.dataset import Dataset, read_dataset
from training.diagnostics.ablation import Extras
from training.registry import promote as promotion
from training.registry.tracker import Tracker
from triage.defaults import default_policy

from .conftest import Said, Triage, shipped_rows, write_rows


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as MLflow makes it on first use, which takes seconds."""
    place = tmp_path_factory.mktemp("database")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIAGE_HOME", str(place))
        Tracker()
    return place / "mlflow.db"


@pytest.fixture
def fresh_home(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, in a working directory of its own."""
    monkeypatch.setenv("TRIAGE_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    shutil.copy(empty_database, tmp_path / "home")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "home"


def train(triage: Triage, encoder: Path, data: Path, out: Path, *more: object) -> Said:
    return triage("train", data, "--encoder", encoder, "--out", out, "--target-risk", 0.2, *more)


def test_a_version_is_trained_registered_promoted_and_served_from_the_shelf(
    triage: Triage, bundle: Path, fresh_home: Path, tmp_path: Path
) -> None:
    registered = triage("register", bundle, "--json").document
    assert registered["version"] == "1" and registered["run_id"]
    assert triage("register", bundle, "--json").document == registered
    promoted = triage("promote", "--json").document
    assert (promoted["version"], promoted["before"], promoted["promoted"]) == ("1", None, True)
    assert LocalModelStore.of().resolve(CHAMPION).is_dir()
    listed = triage("models", "--json").document["versions"]
    assert [(one["version"], one["aliases"], one["on_this_machine"]) for one in listed] == [("1", ["champion"], True)]
    assert triage("predict", "helpdesk-triage@champion", "my mouse is dead", "--json").document["model_version"]
    assert triage("pull", "helpdesk-triage@champion", "--json").document["changed"] is False
    assert sorted(path.name for path in Path.cwd().iterdir()) == []
    _check_artifacts(fresh_home, registered["run_id"])


def _check_artifacts(home: Path, run_id: str) -> None:
    root = home / "artifacts" / "helpdesk-triage" / run_id / "artifacts"
    names = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert {"model-card.md", "report.html", "bundle/manifest.json"} <= names
    for plot in ("confusion-matrix", "reliability", "risk-coverage"):
        assert f"plots/tier-{plot}.svg" in names
    run = Tracker()._client.get_run(run_id)
    assert run.data.params["settings.target_risk"] == "0.2"
    assert 0 < run.data.metrics["tier/accuracy"] <= 1
    assert len(run.data.tags["triage.data_digest"]) == 64


def test_bundles_of_the_first_stages_are_registered_promoted_and_served(
    triage: Triage, bundle: Path, encoder: Path, fresh_home: Path, tmp_path: Path
) -> None:
    assert triage("start", "--encoder", encoder, "--out", tmp_path / "s", "--json").document["version"] == "1"
    assert triage("promote", "--json").document["promoted"]
    parking = '[[categories]]\nlabel = "parking"\ndescription = "car park, barrier, parking permit"\n'
    (tmp_path / "policy.toml").write_text(dump_policy(default_policy()) + parking, "utf-8")
    data = write_rows(tmp_path / "p.jsonl", [{"body": "the barrier of the car park is shut", "category": "parking"}])
    arguments = ("extend", bundle, data, "--policy", tmp_path / "policy.toml", "--out", tmp_path / "x", "--json")
    assert triage(*arguments).document["version"] == "2"
    refused = triage("promote", "--data", write_rows(tmp_path / "none.jsonl", shipped_rows(3)))
    assert refused.status != 0  # tickets that were given are compared on, whatever came before
    outgrown = triage("promote")
    assert outgrown.status == 0 and "version 1 was only started" in outgrown.out
    assert triage("promote", "helpdesk-triage", "1").status == 1  # never the other way round
    assert triage("predict", "helpdesk-triage@champion", "my mouse is dead", "--json").document["tier"]
    card = next((fresh_home / "artifacts").rglob("model-card.md")).read_text()
    assert "- stage: **" in card


def test_a_tracker_lost_after_the_alias_moved_leaves_the_promotion_and_its_status(
    triage: Triage, bundle: Path, encoder: Path, fresh_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    triage("register", bundle)
    triage("promote")
    triage("start", "--encoder", encoder, "--out", tmp_path / "s")
    promote = promotion.promote

    def lose(tracker: Tracker, *rest: Any) -> promotion.Promotion:
        """Take the database away once the alias has moved, as a vanished server would."""
        result = promote(tracker, *rest)
        database = fresh_home / "mlflow.db"
        tracker._client._tracking_client.store.engine.dispose()
        database.unlink()
        database.mkdir()
        return result

    monkeypatch.setattr(promotion, "promote", lose)
    said = triage("promote", "helpdesk-triage", "2", "--force", "--json")
    assert said.status == 0 and said.document["promoted"] and said.document["changed"]
    assert "the comparison is not kept as a run: MLflow at" in said.err and "what it decided stands" in said.err
    assert LocalModelStore.of().aliases()[CHAMPION].version == "2"


def few(count: int = 200) -> list[dict[str, object]]:
    """Rows with a tier and nothing else to learn: quick to learn from."""
    return [{key: row[key] for key in ("id", "subject", "body", "tier")} for row in shipped_rows(count)]


def test_train_tracks_and_prints_one_document(triage: Triage, encoder: Path, fresh_home: Path, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "few.jsonl", [{**row, "colour": "red"} for row in few()])
    said = train(triage, encoder, data, tmp_path / "one", "--json")
    assert set(said.document) == {"bundle", "run_id", "version", "targets"}
    assert said.document["version"] == "1" and said.document["bundle"] == str(tmp_path / "one")
    assert set(said.document["targets"]) == {"tier"}
    assert "ignored columns: colour" in said.err
    challenged = _second_version(triage, encoder, tmp_path)
    assert challenged.status in (0, 1)


def _second_version(triage: Triage, encoder: Path, tmp_path: Path) -> Said:
    """A challenger that learned from shuffled labels must not take over; one from the same data may."""
    assert triage("promote").status == 0
    rows = few()
    labels = [row["tier"] for row in rows]
    for row, tier in zip(rows, labels[7:] + labels[:7], strict=True):
        row["tier"] = tier
    spoiled = write_rows(tmp_path / "spoiled.jsonl", rows)
    assert train(triage, encoder, spoiled, tmp_path / "two").status == 0
    refused = triage("promote", "--data", write_rows(tmp_path / "later.jsonl", _later(200)))
    assert refused.status == 1 and "refused" in refused.out
    assert triage("models", "--json").document["versions"][1]["aliases"] == ["champion"]
    _data_in_other_words(triage, tmp_path)
    forced = triage("promote", "2", "--force", "--json", "--data", tmp_path / "later.jsonl").document
    assert forced["promoted"] and not forced["comparison"]["passed"]
    back = triage("rollback", "--json").document
    assert (back["left"], back["version"], back["registry"]) == ("2", "1", True)
    assert "no earlier version" in triage("rollback").error
    return triage("promote", "helpdesk-triage", "2", "--data", tmp_path / "later.jsonl")


def _data_in_other_words(triage: Triage, tmp_path: Path) -> None:
    """Names that the policy knows as others compare as the labels do; names that nobody knows compare nothing."""
    plain = triage("promote", "2", "--json", "--data", tmp_path / "later.jsonl").document["comparison"]
    for name, write in {"alias": "Level {}", "odd": "Team {}"}.items():
        rows = [{**row, "tier": write.format(str(row["tier"])[1:])} for row in _later(200)]
        write_rows(tmp_path / f"{name}.jsonl", rows)
    aliased = triage("promote", "2", "--json", "--data", tmp_path / "alias.jsonl").document["comparison"]
    accuracy = [next(one for one in found["checks"] if "accuracy" in one["what"]) for found in (plain, aliased)]
    assert accuracy[0] == accuracy[1] and not aliased["passed"]
    odd = triage("promote", "2", "--json", "--data", tmp_path / "odd.jsonl").document["comparison"]
    assert not odd["passed"] and "labels given are known to neither version, such as 'Team " in odd["obstacles"][0]
    (tmp_path / "broken.jsonl").write_text((tmp_path / "later.jsonl").read_text("utf-8") + '{"tier": "L1"}\n', "utf-8")
    broken = ("promote", "2", "--json", "--data", tmp_path / "broken.jsonl")
    assert "leave them out by --skip-bad-rows" in triage(*broken).error
    assert triage(*broken, "--skip-bad-rows").document["comparison"]["checks"][0] == accuracy[0]
    untiered = triage("promote", "2", "--json", "--map", "tier=", "--data", tmp_path / "later.jsonl")
    assert "no row has a label of a target that the bundle has a head for" in untiered.error


def register_alike(triage: Triage, bundle: Path, tmp_path: Path, count: int) -> None:
    """Register a bundle as several versions."""
    old = load_bundle(bundle)
    extras = {name: (bundle / name).read_bytes() for name in old.manifest["files"] if name.endswith("evaluation.json")}
    same = Bundle(old.model, old.encoder, old.gate, old.policy, old.rules)
    for number in range(count):
        facts = {**old.manifest, "settings": {**old.manifest["settings"], "seed": number}}
        save_bundle(tmp_path / str(number), same, facts, encoder_files=bundle / "encoder", extras=extras)
        assert triage("register", tmp_path / str(number), "--json").document["version"] == str(number + 1)


def test_what_takes_over_was_compared_with_what_it_replaces(
    triage: Triage, bundle: Path, fresh_home: Path, tmp_path: Path
) -> None:
    """While version 3 is compared with version 1, somebody lets version 2 serve, or lets version 1 serve again."""
    register_alike(triage, bundle, tmp_path, count=3)
    assert triage("promote", "1").status == 0
    tracker, local_store = Tracker(), LocalModelStore.of()
    data, told = read_dataset([write_rows(tmp_path / "later.jsonl", _later(60))]), list[str]()

    def challenge(version: str, **more: Any) -> promotion.Challenge:
        return promotion.Challenge(tracker.version(local_store.name, version), CHAMPION, **more)

    def meanwhile(step: str) -> None:
        told.append(step)
        if len(told) == 1:
            promotion.promote(tracker, local_store, challenge("2", force=True))
        elif len(told) == 3:
            assert triage("rollback").status == 0

    result = promotion.promote(tracker, local_store, challenge("3", data=data, force=True), meanwhile)
    asked = [step for step in told if step.startswith("comparing")]
    assert asked == [f"comparing version 3 with champion {number}" for number in "121"]
    assert (result.before, result.promoted) == ("1", True)
    assert [one.version for one in local_store.history(CHAMPION)] == ["1", "3"]


def test_a_rollback_lets_others_have_their_turn_and_no_pull_in_between_undoes_it(
    triage: Triage, bundle: Path, fresh_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_alike(triage, bundle, tmp_path, count=2)
    for version in ("1", "2"):
        assert triage("promote", version, "--force").status == 0
    local_store, meanwhile = LocalModelStore.of(), list[tuple[str, bool]]()

    def opened() -> Tracker:
        """Open the registry as any verb does, while somebody else pulls what it has."""
        before = local_store.resolve(CHAMPION).name
        with ThreadPoolExecutor(1) as other:
            meanwhile.append(
                (before, other.submit(promotion.pull, Tracker(), "helpdesk-triage", CHAMPION).result(60)[1])
            )
        return Tracker()

    monkeypatch.setattr(registry, "Tracker", opened)
    back = triage("rollback", "--json").document
    assert meanwhile == [("1", True)]  # the machine had gone back, and the pull brought the other version again
    assert (back["left"], back["version"], back["registry"]) == ("2", "1", True)
    assert local_store.resolve(CHAMPION).name == "1"
    assert Tracker().aliased("helpdesk-triage", CHAMPION).version == "1"


def test_two_machines_share_a_registry(
    triage: Triage, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another machine promoted is what a rollback here goes back to, and `models` says what serves where."""
    old = load_bundle(bundle)
    extras = {name: (bundle / name).read_bytes() for name in old.manifest["files"] if name.endswith("evaluation.json")}
    same = Bundle(old.model, old.encoder, old.gate, old.policy, old.rules)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/shared.db")
    monkeypatch.setenv("TRIAGE_HOME", str(tmp_path / "a"))
    for number in range(2):
        facts = {**old.manifest, "settings": {**old.manifest["settings"], "seed": number}}
        save_bundle(tmp_path / str(number), same, facts, encoder_files=bundle / "encoder", extras=extras)
        assert triage("register", tmp_path / str(number)).status == 0
    first = triage("promote", "1", "--json").document
    again = triage("promote", "1", "--json").document
    assert (first["promoted"], first["changed"], again["promoted"], again["changed"]) == (True, True, True, False)
    monkeypatch.setenv("TRIAGE_HOME", str(tmp_path / "b"))
    promoted = triage("promote", "2", "--force")
    assert promoted.status == 0 and "triage rollback goes back to 1" in promoted.out
    monkeypatch.setenv("TRIAGE_HOME", str(tmp_path / "a"))
    listed = triage("models").out
    assert "champion (in the registry)" in listed and "champion (on this machine)" in listed
    monkeypatch.setenv("TRIAGE_HOME", str(tmp_path / "b"))
    assert "champion (" not in triage("models").out
    back = triage("rollback", "--json").document
    assert (back["left"], back["version"], back["registry"]) == ("2", "1", True)


def test_nothing_is_lost_where_many_point_an_alias_at_once(tmp_path: Path) -> None:
    store = LocalModelStore(tmp_path)
    for number in range(20):
        (store.path(str(number))).mkdir(parents=True)
        (store.path(str(number)) / "manifest.json").write_text("{}")
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda number: store.point(CHAMPION, str(number), ""), range(20)))
    assert sorted(int(one.version) for one in store.history(CHAMPION)) == list(range(20))


def _later(count: int) -> list[dict[str, object]]:
    lines = (Path(__file__).parents[2] / "datasets" / "tickets.jsonl").read_text("utf-8").splitlines()
    return [{**json.loads(line), "id": f"later-{number}"} for number, line in enumerate(lines[1 : 5 * count : 5])]


def test_an_edited_bundle_is_neither_registered_nor_promoted(
    triage: Triage, bundle: Path, fresh_home: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    (copy / "gate.json").write_text("{}")
    assert "gate.json" in triage("register", copy).error
    assert "gate.json" in triage("promote", copy).error
    assert "no bundle" in triage("register", tmp_path).error


def test_a_version_changed_in_the_registry_never_reaches_the_shelf(
    triage: Triage, bundle: Path, fresh_home: Path
) -> None:
    run_id = triage("register", bundle, "--json").document["run_id"]
    artifact = fresh_home / "artifacts" / "helpdesk-triage" / run_id / "artifacts" / "bundle" / "rules.toml"
    artifact.write_text(artifact.read_text() + "\n# edited\n")
    assert "rules.toml" in triage("promote").error
    assert LocalModelStore.of().versions() == [] and LocalModelStore.of().aliases() == {}


@pytest.mark.parametrize("kind", ["refused", "silent"])
def test_a_tracker_that_is_away_is_found_before_the_work_starts(
    triage: Triage, encoder: Path, tickets: Path, fresh_home: Path, tmp_path: Path, kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if kind == "silent":
            server.listen(20)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.getsockname()[1]}")
        start = time.monotonic()
        said = train(triage, encoder, tickets, tmp_path / "never")
        assert time.monotonic() - start < 20
    assert "MLflow at http://127.0.0.1" in said.error and "--no-register" in said.error
    assert not (tmp_path / "never").exists()


def test_a_tracker_lost_at_the_end_leaves_the_bundle(
    triage: Triage, encoder: Path, fresh_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.registry import publish

    def lose(tracker: Tracker, directory: Path, name: str, run_id: str | None) -> tuple[str, str]:
        """Take the database away in mid-run, as a vanished server would."""
        database = fresh_home / "mlflow.db"
        tracker._client._tracking_client.store.engine.dispose()
        database.unlink()
        database.mkdir()
        return original(tracker, directory, name, run_id)

    original = publish.publish
    monkeypatch.setattr(publish, "publish", lose)
    said = train(triage, encoder, write_rows(tmp_path / "few.jsonl", few()), tmp_path / "kept", "--json")
    assert said.status == 0
    assert said.document["run_id"] is None and said.document["version"] is None
    assert "triage register" in said.err
    monkeypatch.setattr(publish, "publish", original)
    (fresh_home / "mlflow.db").rmdir()
    command = [sys.executable, "-P", "-m", "triage", "register", str(tmp_path / "kept"), "--json"]
    repaired = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(repaired.stdout)["version"] == "1"


def test_a_bundle_with_one_head_works_everywhere(
    triage: Triage, encoder: Path, fresh_home: Path, tmp_path: Path
) -> None:
    rows = [{key: row[key] for key in ("id", "subject", "body", "category")} for row in shipped_rows(220)]
    data = write_rows(tmp_path / "one.jsonl", rows)
    out = tmp_path / "one"
    found = train(triage, encoder, data, out, "--policy", "learn", "--no-register", "--json").document
    assert list(found["targets"]) == ["category"] and found["version"] is None
    assert list(triage("evaluate", out, data, "--json").document["targets"]) == ["category"]
    assert triage("score", out, data, "--out", tmp_path / "s.csv").status == 0
    empty = write_rows(tmp_path / "empty.jsonl", [{"id": "a", "text": ""}, {"id": "b", "text": "no toner"}])
    assert len(triage("score", out, empty, "--out", tmp_path / "e.csv", "--json").document["unscorable"]) == 1
    decided = triage("predict", out, "the printer prints nothing", "--json").document
    assert decided["tier"] is None and list(decided["targets"]) == ["category"]
    assert triage("report", out, "--out", tmp_path / "r.html").status == 0
    assert triage("report", out, data, "--full", "--out", tmp_path / "full.html").status == 0
    assert "left out" in (tmp_path / "full.html").read_text("utf-8")
    assert "trained on" in triage("report", out, "--full").error
    assert triage("register", out).status == 0 and triage("promote").status == 0


@pytest.mark.parametrize(
    ("rows", "more", "needle"),
    [
        ([{"text": f"t {n}", "category": "same"} for n in range(40)], ["--policy", "learn"], "two classes"),
        ([{"text": f"t {n}", "category": "xq"} for n in range(40)], [], "'xq'"),
        ([{"text": f"t {n}", "tier": "L9", "category": "xq"} for n in range(9)], [], "'L9'"),
        ([{"text": f"t {n}", "tier": "AB"[n % 2]} for n in range(9)], ["--policy", "learn", "--tier-order", "A"], "B"),
        ([{"text": f"t {n}", "resolver_group": "moon"} for n in range(9)], [], "no tier in the policy"),
    ],
)  # fmt: skip
def test_data_that_cannot_be_learned_from_is_a_one_line_error(
    triage: Triage, encoder: Path, tmp_path: Path, rows: list[dict[str, object]], more: list[str], needle: str
) -> None:
    data = write_rows(tmp_path / "bad.jsonl", rows)
    said = train(triage, encoder, data, tmp_path / "out", "--no-register", *more)
    assert needle in said.error
    assert not (tmp_path / "out").exists() and os.listdir(tmp_path) == ["bad.jsonl"]


def test_out_must_be_free(triage: Triage, encoder: Path, tickets: Path, tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    assert "occupied" in train(triage, encoder, tickets, tmp_path, "--no-register").error
    assert os.listdir(tmp_path) == ["kept.txt"]


def test_a_long_history_is_learned_from_its_newest_tickets(
    triage: Triage, encoder: Path, tickets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "newest"
    said = triage("train", tickets, "--encoder", encoder, "--out", out, "--no-register", "--newest", 250)
    assert said.status == 0 and "read 250 tickets" in said.err
    assert "newest 250 of 300 tickets" in said.err and "--newest N takes more" in said.err
    assert "a whole number from 100 to" in triage("train", tickets, "--newest", 5).error
    again = list[Dataset]()

    def noted(_: object, dataset: Dataset, *more: object, **how: object) -> Extras:
        again.append(dataset)
        return Extras({}, {})

    monkeypatch.setattr(report, "ablation_of", noted)
    assert triage("report", out, tickets, "--full", "--out", tmp_path / "full.html").status == 0
    assert len(again.pop()) == 250
    rows = shipped_rows(300)
    halves = [write_rows(tmp_path / f"{name}.jsonl", rows[name::2]) for name in (0, 1)]
    both = tmp_path / "both"
    said = triage("train", *halves, "--encoder", encoder, "--out", both, "--no-register", "--newest", 200)
    assert said.status == 0 and "read 200 tickets" in said.err
    assert triage("report", both, *halves, "--full", "--out", tmp_path / "full.html").status == 0
    assert len(again.pop()) == 200
    other = triage("report", both, halves[0], "--full", "--out", tmp_path / "full.html")
    assert "needs the files that the bundle was trained on" in other.error and not again


@pytest.mark.parametrize("more", [(), ("--no-cascade",)])
def test_two_groups_are_learned_from_and_promise_nothing_of_a_third(
    triage: Triage, encoder: Path, tmp_path: Path, more: tuple[str, ...]
) -> None:
    rows = [{**row, "site": f"site {place % 2}"} for place, row in enumerate(shipped_rows(160))]
    data = write_rows(tmp_path / "sites.jsonl", rows)
    out = tmp_path / "made"
    said = train(triage, encoder, data, out, "--map", "group=site", "--no-register", "--json", *more)
    assert said.status == 0, said.err
    assert "80 set aside by group; one group is left to learn from" in said.err
    assert {one["promise"] for one in said.document["targets"].values()} == {"none"}
    assert {one["coverage"] for one in said.document["targets"].values()} == {0.0}
