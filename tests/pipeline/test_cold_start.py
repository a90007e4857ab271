"""From no history to a bundle that suggests, and from a trained bundle to one with a category more, in seconds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.app import create_app
from api.settings import load_settings
from models.bundle.bundle import load_bundle, save_bundle
from models.local_store import CHAMPION, LocalModelStore
from models.screening.prefilter import BUCKETS, Prefilter
from models.toml_files import dump_policy
from models.triager import Triager
from training.evaluation.record import FILE
from triage.__main__ import main
from triage.decision import Automation, Source
from triage.defaults import default_policy
from triage.policy import Category, Policy, read_policy
from triage.ticket import Ticket

from ..conftest import wait_until
from ..service.local_client import TestClient
from .conftest import Triage, shipped_rows, write_rows

PARKING = """
[[categories]]
label = "parking"
name = "Parking"
description = "parking spaces, car park, barrier, parking permit, garage"
"""
SPACES = ("north", "south", "east", "west", "upper", "lower", "old", "new", "main")
PARKED = [
    {"id": f"P-{at}", "body": f"The barrier of the {side} car park stays shut, my parking permit is refused",
     "tier": "L1", "category": "parking"}
    for at, side in enumerate(SPACES)
]  # fmt: skip


@pytest.fixture(scope="module")
def with_parking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("policy") / "policy.toml"
    file.write_text(dump_policy(default_policy()) + PARKING, "utf-8")
    return file


def handful(count: int = 3) -> list[dict[str, object]]:
    """A few shipped tickets of every category."""
    found: dict[object, list[dict[str, object]]] = {}
    for row in shipped_rows(400):
        found.setdefault(row["category"], []).append(row)
    return [row for rows in found.values() for row in rows[:count]]


def test_descriptions_alone_make_a_bundle_that_suggests(
    triage: Triage, encoder: Path, tickets: Path, tmp_path: Path
) -> None:
    out = tmp_path / "first-day"
    said = triage("start", "--encoder", encoder, "--out", out, "--no-register", "--json").document
    assert (said["stage"], said["version"], said["targets"]) == ("descriptions", None, {})
    assert any("triage start DATA" in need for need in said["needs"])
    decision = triage("predict", out, "the toner of our copier and printer", "--json").document
    assert decision["targets"]["category"]["label"] == "printing"
    assert decision["automation"] == "suggested"
    measured = triage("evaluate", out, tickets, "--json").document["targets"]
    assert measured["category"]["coverage"] == 0 and set(measured["category"]["baselines"]) == {"rules only"}
    assert triage("score", out, tickets, "--out", tmp_path / "all.csv").status == 0
    assert triage("report", out, "--out", tmp_path / "page.html").status == 0
    assert "**descriptions**" in (tmp_path / "page.md").read_text() and "Nothing" in (tmp_path / "page.md").read_text()
    assert triage("report", out, tickets, "--out", tmp_path / "page.html").status == 0
    assert "stands on descriptions" in triage("policy", "shares", out, tickets).error


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory, encoder: Path) -> Path:
    out = tmp_path_factory.mktemp("started") / "first-day"
    assert main(["start", "--encoder", str(encoder), "--out", str(out), "--no-register"]) == 0
    return out


def says_how_far_it_may_go(client: Any, bundle: Path) -> bool:
    """Whether a service uses a bundle that was started, and says what its reviews allow."""
    if client.get("/v1/model").json()["model_version"] != load_bundle(bundle).version:
        return False
    targets = client.get("/v1/autonomy").json()["targets"]
    return {(one["mode"], one["target_risk"]) for one in targets.values()} == {("suggest", 0.05)}


def test_a_bundle_without_a_history_is_served(
    started: Path, run_service: Callable[..., AbstractContextManager[Any]], tmp_path: Path
) -> None:
    with run_service(tmp_path, "--bundle", started, "--open-loopback") as serving:
        assert says_how_far_it_may_go(serving.client, started)
        decided = serving.predict(text="the toner of our copier and printer").json()
        assert (decided["category"], decided["automation"]) == ("printing", "suggested")
        pages = ("/", "/overview", "/learning", "/metrics", f"/overview/models/{decided['model_version']}")
        assert {serving.client.get(page).status_code for page in pages} == {200}
        assert serving.client.post("/v1/model/reload").status_code == 200


@pytest.mark.parametrize("before", [True, False], ids=["from a trained one", "from the beginning"])
def test_an_alias_may_point_to_a_bundle_without_a_history(
    started: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], *, before: bool
) -> None:
    shelf = LocalModelStore(tmp_path)
    for version, source in (("1", bundle), ("2", started)):
        shelf.add(source, version)
    if before:
        shelf.point(CHAMPION, "1", load_bundle(bundle).digest)
    else:
        shelf.point(CHAMPION, "2", load_bundle(started).digest)
    with TestClient(create_app(load_settings(home=tmp_path, open_loopback=True, poll_s=0.1))) as client:
        if before:
            shelf.point(CHAMPION, "2", load_bundle(started).digest)
        wait_until(lambda: says_how_far_it_may_go(client, started), 10)
        assert client.post("/v1/model/reload").status_code == 200
    assert "alias_not_watched" not in capsys.readouterr().out


def test_a_policy_of_ones_own_needs_no_rules_of_ones_own(triage: Triage, encoder: Path, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(
        '[[categories]]\nlabel = "printing"\ndescription = "printers, toner"\n[[categories]]\nlabel = "kitchen"\n'
    )
    arguments = ("--policy", tmp_path / "own.toml", "--encoder", encoder, "--out", tmp_path / "b", "--no-register")
    assert triage("start", *arguments).status == 0
    bundle = load_bundle(tmp_path / "b")
    assert {rule.names("category") for rule in bundle.rules.rules} == {"printing", None}
    assert all(rule.names("tier") is None for rule in bundle.rules.rules)
    decision = triage("predict", tmp_path / "b", "the kitchen sink", "--json").document
    assert (decision["tier"], decision["category"], decision["automation"]) == (None, "kitchen", "suggested")


def test_a_handful_of_tickets_weighs_in_and_the_card_says_what_is_missing(
    triage: Triage, encoder: Path, tmp_path: Path
) -> None:
    data = write_rows(tmp_path / "few.jsonl", handful())
    arguments = ("--encoder", encoder, "--no-register", "--json")
    said = triage("start", data, "--out", tmp_path / "one", *arguments).document
    assert said["stage"] == "examples"
    assert "category printing: 7 tickets more to be learned in full" in said["needs"]
    assert said["targets"]["category"]["rows"] == 33
    again = triage("start", data, "--out", tmp_path / "two", *arguments)
    assert again.status == 0
    one, two = (load_bundle(tmp_path / name) for name in ("one", "two"))
    assert one.digest == two.digest
    assert one.predict([Ticket(body=str(handful()[0]["body"]))], explain=True)[0].explanation.similar
    assert triage("report", tmp_path / "one", "--out", tmp_path / "page.html").status == 0
    assert "printing: 7 tickets more" in (tmp_path / "page.html").read_text()
    assert "stands on examples" in triage("report", tmp_path / "one", data, "--full").error


def test_nothing_at_these_stages_is_decided_by_the_model(triage: Triage, encoder: Path, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "few.jsonl", handful(9))
    assert triage("start", data, "--encoder", encoder, "--out", tmp_path / "b", "--no-register").status == 0
    for decision in Triager.load(tmp_path / "b").decide([Ticket(body=str(row["body"])) for row in handful(9)]):
        for verdict in decision.targets.values():
            assert verdict.source is not Source.MODEL or verdict.automation is not Automation.AUTOMATIC


def test_a_start_follows_a_start_with_less(
    triage: Triage, started: Path, bundle: Path, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIAGE_HOME", str(tmp_path / "home"))
    few = write_rows(tmp_path / "few.jsonl", handful())
    assert triage("start", few, "--encoder", encoder, "--out", tmp_path / "week", "--no-register").status == 0
    assert triage("promote", started).status == 0
    week = triage("promote", tmp_path / "week")
    assert week.status == 0 and "version 1 was only started: nothing to compare with" in week.out
    back = triage("promote", started, "--json")
    obstacles = back.document["comparison"]["obstacles"]
    assert (back.status, back.document["promoted"], len(obstacles)) == (1, False, 1)
    count = len(handful())
    assert f"it was only started, without a ticket, and the present version was started with {count};" in obstacles[0]
    given = triage("promote", started, "--data", write_rows(tmp_path / "later.jsonl", shipped_rows(200)), "--json")
    assert given.document["comparison"]["checks"] and not given.document["comparison"]["obstacles"]
    assert triage("promote", bundle).status == 0
    week = triage("promote", tmp_path / "week", "--json").document
    assert not week["promoted"] and "the present version was trained;" in week["comparison"]["obstacles"][0]


def test_a_start_refuses_in_one_line(triage: Triage, encoder: Path, tmp_path: Path, with_parking: Path) -> None:
    where = ("--encoder", encoder, "--out", tmp_path / "b", "--no-register")
    strange = write_rows(tmp_path / "strange.jsonl", [{"body": "hello there", "category": "weather"}])
    assert "'weather'" in triage("start", strange, *where).error
    assert "cannot be read" in triage("start", "--policy", tmp_path / "absent.toml", *where).error
    (tmp_path / "one.toml").write_text('[[categories]]\nlabel = "all"\n')
    assert "one category only" in triage("start", "--policy", tmp_path / "one.toml", *where).error
    assert "takes labels from a history" in triage("start", "--policy", "learn", *where).error
    assert not (tmp_path / "b").exists()
    few = write_rows(tmp_path / "few.jsonl", handful(1))
    assert "triage start" in triage("train", few, "--encoder", encoder, "--out", tmp_path / "b").error


@pytest.fixture(scope="module")
def extended(bundle: Path, with_parking: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from triage.__main__ import main

    place = tmp_path_factory.mktemp("extended")
    data = write_rows(place / "parked.jsonl", [*PARKED[:8], *shipped_rows(3)])
    arguments = ["extend", bundle, data, "--policy", with_parking, "--out", place / "new", "--no-register"]
    assert main([str(argument) for argument in arguments]) == 0
    return place / "new"


def test_what_spares_screening_its_classifier_stays(bundle: Path, with_parking: Path, tmp_path: Path) -> None:
    from triage.__main__ import main

    blank = np.zeros(BUCKETS, np.float32)
    screened = load_bundle(bundle).screened_by(Prefilter(blank, blank, intercept=0.25, threshold=-1.0))
    extras = {name: (bundle / name).read_bytes() for name in (FILE, *(one.name for one in bundle.glob("seen*.npy")))}
    facts = {name: value for name, value in screened.manifest.items() if name not in ("files", "digest")}
    save_bundle(tmp_path / "screened", screened, facts, encoder_files=bundle / "encoder", extras=extras)
    data = write_rows(tmp_path / "parked.jsonl", PARKED[:8])
    arguments = ["extend", tmp_path / "screened", data, "--policy", with_parking, "--out", tmp_path / "new"]
    assert main([str(argument) for argument in (*arguments, "--no-register")]) == 0
    kept = load_bundle(tmp_path / "new").prefilter
    assert kept is not None and (kept.intercept, kept.threshold) == (0.25, -1.0)


def test_a_new_category_is_suggested_the_same_minute_and_never_decided(
    triage: Triage, bundle: Path, extended: Path
) -> None:
    said = triage("predict", extended, PARKED[8]["body"], "--json").document["targets"]["category"]
    assert (said["label"], said["automation"], said["source"]) == ("parking", "suggested", "model")
    assert sum(one["probability"] for one in said["alternatives"]) <= 1 + 1e-6
    before, after = load_bundle(bundle), load_bundle(extended)
    tickets = [Ticket(body=str(row["body"]), channel=str(row["channel"])) for row in shipped_rows(200)]
    tops = [[found.top("category").label for found in one.predict(tickets)] for one in (before, after)]  # type: ignore[union-attr]
    assert sum(a == b for a, b in zip(*tops, strict=True)) >= 0.97 * len(tickets)
    assert after.gate.targets["category"].per_class == {"parking": None}
    assert after.gate.targets["category"].threshold == before.gate.targets["category"].threshold
    assert after.gate.targets["tier"] == before.gate.targets["tier"]
    explained = after.predict([Ticket(body=str(PARKED[8]["body"]))], explain=True)[0]
    assert "P-" in explained.explanation.similar[0].ticket_id


def test_an_extended_bundle_says_so_and_is_measured_like_any_other(
    triage: Triage, bundle: Path, extended: Path, tmp_path: Path
) -> None:
    manifest = json.loads((extended / "manifest.json").read_text())
    assert manifest["stage"]["name"] == "extended"
    assert manifest["stage"]["from"] == json.loads((bundle / "manifest.json").read_text())["digest"]
    assert manifest["targets"]["category"]["added"]["parking"]["tickets"] == 8
    data = write_rows(tmp_path / "later.jsonl", PARKED)
    measured = triage("evaluate", extended, data, "--json").document["targets"]["category"]
    assert measured["unknown_labels"] == [] and measured["accuracy"] > 0.8 and measured["coverage"] == 0
    assert triage("report", extended, "--out", tmp_path / "page.html").status == 0
    card = (tmp_path / "page.md").read_text()
    assert "**extended**" in card and "category parking: 2 tickets more to be learned in full" in card


def test_past_tickets_that_the_new_policy_makes_sensitive_are_kept_without_their_words(
    triage: Triage, bundle: Path, with_parking: Path, tmp_path: Path
) -> None:
    data = write_rows(tmp_path / "parked.jsonl", PARKED[:8])
    policy = read_policy(with_parking)
    commonest = Counter(load_bundle(bundle).model.history.written["category"]).most_common(1)[0][0]
    closed = [replace(one, sensitive=one.sensitive or one.label == commonest) for one in policy.categories]
    (tmp_path / "policy.toml").write_text(dump_policy(replace(policy, categories=tuple(closed))), "utf-8")
    arguments = ("--policy", tmp_path / "policy.toml", "--out", tmp_path / "new", "--no-register")
    assert triage("extend", bundle, data, *arguments).status == 0
    past = load_bundle(tmp_path / "new").model.history
    theirs = [place for place, label in enumerate(past.written["category"]) if label == commonest]
    assert past.sensitive[theirs].all() and not past.sensitive.all()
    assert {past.titles[place] for place in theirs} == {past.endings[place] for place in theirs} == {""}
    assert any(load_bundle(bundle).model.history.titles[place] for place in theirs) and any(past.titles)


def test_past_tickets_that_the_export_files_anew_are_no_tickets_more(
    triage: Triage, bundle: Path, extended: Path, with_parking: Path, tmp_path: Path
) -> None:
    again = [{**row, "category": "parking"} for row in shipped_rows(300)[:6]]
    others = [{**PARKED[0], "id": shipped_rows(300)[10]["id"]}]  # another desk's ticket of the same number
    data = write_rows(tmp_path / "all.jsonl", [*again, *others, *shipped_rows(300)[20:40]])
    out = tmp_path / "new"
    said = triage("extend", bundle, data, "--policy", with_parking, "--out", out, "--no-register")
    assert said.status == 0 and "adding parking from 7 tickets, of which the bundle has 6 already" in said.err
    before, after = load_bundle(bundle), load_bundle(out)
    assert after.manifest["targets"]["category"]["added"]["parking"]["tickets"] == 7
    assert len(after.model.history.ids) == len(before.model.history.ids) + 1
    assert Counter(after.model.history.written["category"])["parking"] == 7


def test_an_extension_with_other_rules_routes_by_them_and_lets_the_model_vote_by_those_it_learned_beside(
    triage: Triage, bundle: Path, extended: Path, with_parking: Path, tmp_path: Path
) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nname = "park"\nkind = "bypass"\nany = ["car park"]\ncategory = "parking"\n\n'
                     '[[rule]]\nname = "rest"\nkind = "fallback"\ntier = "L1"\n', "utf-8")  # fmt: skip
    data = write_rows(tmp_path / "parked.jsonl", PARKED[:8])
    out = tmp_path / "other"
    triage("extend", bundle, data, "--policy", with_parking, "--rules", rules, "--out", out, "--no-register")
    told = triage("predict", out, PARKED[8]["body"], "--json").document["targets"]["category"]
    assert (told["label"], told["source"]) == ("parking", "bypass_rule")
    tickets = [Ticket(body=str(row["body"])) for row in shipped_rows(30)]
    kept, other = (load_bundle(path).predict(tickets) for path in (extended, out))
    assert load_bundle(bundle).model.features(tickets, _vectors(bundle, tickets)).rule_matches.any()
    for one, two in zip(kept, other, strict=True):
        for target in ("tier", "category"):
            first, second = ({s.label: s.probability for s in one.probabilities[target]} for one in (one, two))
            assert first == pytest.approx(second, abs=1e-6)


def _vectors(bundle: Path, tickets: list[Ticket]) -> Any:
    return load_bundle(bundle).encoder.encode([ticket.text for ticket in tickets])


def test_an_extended_bundle_can_be_extended_again(
    triage: Triage, extended: Path, with_parking: Path, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(with_parking.read_text() + PARKING.replace("arking", "lants").replace("car park", "watering"))
    rows = [{"id": f"L-{at}", "body": f"the plants in the {side} hall need watering, leaves are brown",
             "category": "plants"} for at, side in enumerate(SPACES)]  # fmt: skip
    out = tmp_path / "again"
    data = write_rows(tmp_path / "plants.jsonl", rows[:8])
    said = triage("extend", extended, data, "--policy", policy, "--out", out, "--no-register", "--json").document
    assert said["measured_on"] == "the bundle that was extended"
    assert said["stage"] == "extended" and set(said["added"]["category"]) == {"parking", "plants"}
    bundle = load_bundle(out)
    found = bundle.predict([Ticket(body=str(rows[8]["body"])), Ticket(body=str(PARKED[8]["body"]))])
    assert [one.top("category").label for one in found] == ["plants", "parking"]  # type: ignore[union-attr]
    assert bundle.gate.targets["category"].per_class == {"parking": None, "plants": None}


def test_an_extension_refuses_in_one_line(
    triage: Triage, bundle: Path, encoder: Path, with_parking: Path, tmp_path: Path
) -> None:
    out = ("--out", tmp_path / "new", "--no-register")
    parked, old = write_rows(tmp_path / "p.jsonl", PARKED), write_rows(tmp_path / "o.jsonl", shipped_rows(5))
    (tmp_path / "same.toml").write_text(dump_policy(default_policy()))
    assert (
        "no category that the bundle lacks"
        in triage("extend", bundle, old, "--policy", tmp_path / "same.toml", *out).error
    )
    assert "'parking' has 0 tickets" in triage("extend", bundle, old, "--policy", with_parking, *out).error
    less_policy = Policy("less", default_policy().tiers, (Category("access"), Category("parking")))
    (tmp_path / "less.toml").write_text(dump_policy(less_policy))
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nname = "rest"\nkind = "fallback"\ntier = "L1"\n')
    less = triage("extend", bundle, parked, "--policy", tmp_path / "less.toml", "--rules", rules, *out)
    assert "lacks category 'business-app'" in less.error
    started = tmp_path / "started"
    assert triage("start", "--encoder", encoder, "--out", started, "--no-register").status == 0
    assert "triage start again" in triage("extend", started, parked, "--policy", with_parking, *out).error
    assert not (tmp_path / "new").exists()
