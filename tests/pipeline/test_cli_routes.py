"""The verbs that measure and route: evaluate, score, predict, rules, policy."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pyarrow.parquet
import pytest

from models.toml_files import dump_policy
from models.triager import Triager
from training import batch_scoring
from training.batch_scoring import _resume
from training.engines.engine import InThisProcess
from training.reports.decision_text import COLUMNS
from triage.defaults import default_policy

from .conftest import Said, Triage, interrupted, shipped_rows, write_rows

SOURCES = {"model", "bypass_rule", "fallback_rule", "default"}


def test_evaluate_reports_in_the_shape_that_was_promised(triage: Triage, bundle: Path, tmp_path: Path) -> None:
    seen_by_all = [row for row in shipped_rows(200) if row["category"] != "security"]  # others may change their tier
    said = triage("evaluate", bundle, write_rows(tmp_path / "some.jsonl", seen_by_all[:150]), "--json")
    found = said.document
    assert found["rows"] == 150 and f"learned from {found['learned_from']} of these 150" in said.err
    assert set(found["targets"]) == {"tier", "category"}
    for values in found["targets"].values():
        assert values["rows"] == 150
        assert {"accuracy", "macro_f1", "ece", "aurc", "coverage", "selective_risk"} <= set(values)
        assert all(row["right"] + row["wrong"] + row["none"] == 150 for row in values["thresholds"])
        assert sum(row["rows"] for row in values["per_class"]) == 150
        assert {"majority", "TF-IDF", "rules only"} <= set(values["baselines"])
        assert values["promise"] in ("new_rows", "none") and "by_group" not in values
        assert values["final_accuracy"] >= values["accuracy"]  # rules never make it worse
    assert set(found["route"]) == {"coverage", "risk", "accuracy"}
    assert set(found["abstained"]) == {"rows", "rule_accuracy", "model_accuracy", "default_accuracy"}
    assert sum(found["sources"].values()) == sum(found["reasons"].values()) == 150


def test_files_and_options_come_in_any_order(triage: Triage, bundle: Path, tmp_path: Path) -> None:
    one, two = (write_rows(tmp_path / name, shipped_rows(12)) for name in ("one.jsonl", "two.jsonl"))
    said = triage("evaluate", bundle, one, "--map", "group=organisation", two, "--json")
    assert said.document["rows"] == 24
    groups = said.document["targets"]["tier"]["by_group"]
    assert sum(one["rows"] for one in groups) == 24
    assert {tuple(one) for one in groups} == {("group", "rows", "coverage", "selective_risk")}
    assert len({one["group"] for one in groups}) == len(groups) > 1


def test_evaluate_counts_unknown_labels_as_wrong_and_lists_them(triage: Triage, bundle: Path, tmp_path: Path) -> None:
    rows = shipped_rows(30)
    rows[0]["category"] = "teleportation"
    found = triage("evaluate", bundle, write_rows(tmp_path / "odd.jsonl", rows), "--json").document
    category = found["targets"]["category"]
    assert category["unknown_labels"] == [{"label": "teleportation", "rows": 1}]
    assert category["macro_f1_known"] > category["macro_f1"]
    assert found["targets"]["category"]["accuracy"] <= 29 / 30


def test_a_label_that_differs_in_case_alone_is_told_with_the_bundles_own(
    triage: Triage, bundle: Path, tmp_path: Path
) -> None:
    rows = [{**row, "category": str(row["category"]).upper()} for row in shipped_rows(12)]
    said = triage("evaluate", bundle, write_rows(tmp_path / "case.jsonl", rows))
    own = str(shipped_rows(1)[0]["category"])
    told = next(line for line in said.out.splitlines() if f"does not know {own.upper()!r}" in line)
    assert f"it has {own!r}" in told
    table = said.out.split("category: labels, the weakest first")[1]
    counts = [line.split()[1] for line in table.splitlines() if line.split()[:1] == [own.upper()]]
    assert counts and all(count.isdigit() for count in counts)  # a count is none of 12.000


def test_a_report_on_tickets_says_whose_figures_they_are_and_that_the_bundle_knew_them(
    triage: Triage, bundle: Path, tickets: Path, tmp_path: Path
) -> None:
    assert triage("report", bundle, "--out", tmp_path / "own.html").status == 0
    card, page = ((tmp_path / f"own.{ending}").read_text("utf-8") for ending in ("md", "html"))
    assert "tickets it had not seen" in card and "of the model before" in card and "of the model before" in page
    assert "flatter" not in card
    said = triage("report", bundle, tickets, "--out", tmp_path / "known.html")
    assert "results on them flatter" in said.err
    for ending in ("md", "html"):
        text = (tmp_path / f"known.{ending}").read_text("utf-8")
        assert "results on them flatter" in text and tickets.name in text
        assert "had not seen that part" not in text and "of the model before" not in text
        assert "tickets it had not seen" not in text


def test_a_report_on_one_ticket_shows_no_warning_of_a_library(triage: Triage, bundle: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one = write_rows(tmp_path / "one.jsonl", shipped_rows(1))
        assert triage("report", bundle, one, "--out", tmp_path / "one.html").status == 0


def test_evaluate_is_readable_without_json(triage: Triage, bundle: Path, tickets: Path) -> None:
    said = triage("evaluate", bundle, tickets)
    assert said.status == 0
    assert "macro-F1" in said.out and "left undecided" in said.out
    assert "learned from" in said.err
    one = triage(
        "evaluate",
        bundle,
        write_rows(tickets.parent / "one.jsonl", [{**shipped_rows(1)[0], "tier": "L3", "category": "security"}]),
    )
    assert re.search(r"macro-F1 is the mean of \d+ labels, \d+ of them named for tickets of others only", one.out)


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_score_writes_one_decision_a_row_in_order(triage: Triage, bundle: Path, tmp_path: Path, suffix: str) -> None:
    rows = shipped_rows(25)
    out = tmp_path / f"scored.{suffix}"
    said = triage("score", bundle, write_rows(tmp_path / "in.jsonl", rows), "--out", out, "--json")
    assert said.document["rows"] == 25
    found = _read(out)
    assert tuple(found[0]) == COLUMNS
    assert [row["ticket_id"] for row in found] == [row["id"] for row in rows]
    assert {row["tier_source"] for row in found} <= SOURCES
    assert all(row["tier_top"] and row["category_top"] for row in found)
    assert not list(tmp_path.glob("*.partial"))


def _read(path: Path) -> list[dict[str, object]]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    rows: list[dict[str, object]] = pyarrow.parquet.read_table(path).to_pylist()
    return rows


def test_a_row_that_cannot_be_scored_gets_the_default_route_and_its_reason(
    triage: Triage, bundle: Path, tmp_path: Path
) -> None:
    data = tmp_path / "in.jsonl"
    data.write_text(
        '{"id": "a", "text": "my password is gone"}\n'
        '{"id": "b", "text": ""}\n'
        '{"id": "c", "text": "nul \\u0000 inside"}\n'
        '{"id": "d", "text": "half a pair \\ud800"}\n'
        "not json\n"
        '{"id": "f", "text": "the printer is out of paper", "opened_at": "no date"}\n'
    )
    out = tmp_path / "out.jsonl"
    said = triage("score", bundle, data, "--out", out, "--json")
    rows = _read(out)
    assert [row["ticket_id"] for row in rows] == ["a", "b", "c", "d", "", "f"]
    for row in rows[1:5]:
        assert (row["tier"], row["tier_source"], row["tier_reason"]) == ("L1", "default", "too_short")
    assert [fault["line"] for fault in said.document["unscorable"]] == [2, 3, 4, 5]
    assert "nul" not in said.err.lower().replace("nul character", "")


def test_score_leaves_out_dates_that_do_not_tell_day_from_month(triage: Triage, bundle: Path, tmp_path: Path) -> None:
    dated = [{**row, "opened_at": f"0{1 + n % 9}/0{1 + n * 4 % 9}/2025"} for n, row in enumerate(shipped_rows(25))]
    data, out = write_rows(tmp_path / "in.jsonl", dated), tmp_path / "out.jsonl"
    said = triage("score", bundle, data, "--out", out, "--json")
    assert said.document["rows"] == 25 and said.document["unscorable"] == []
    told = [line for line in said.err.splitlines() if "day and month cannot be told apart" in line]
    assert len(told) == 1 and "the dates are left out" in told[0]
    plain = write_rows(tmp_path / "plain.jsonl", [{**row, "opened_at": None} for row in dated])
    triage("score", bundle, plain, "--out", tmp_path / "plain-out.jsonl")
    assert _read(out) == _read(tmp_path / "plain-out.jsonl")
    assert "day and month cannot be told apart" in triage("evaluate", bundle, data).error
    assert "day and month cannot be told apart" in triage("train", data, "--out", tmp_path / "none").error


def test_score_continues_where_it_stopped(triage: Triage, bundle: Path, tmp_path: Path) -> None:
    rows = shipped_rows(300)
    data = write_rows(tmp_path / "in.jsonl", rows)
    whole, again = tmp_path / "whole.jsonl", tmp_path / "again.jsonl"
    triage("score", bundle, data, "--out", whole)
    partial = tmp_path / "again.jsonl.partial"
    interrupted(Triager.load(bundle), data, again, after=200)
    assert partial.read_bytes().count(b"\n") == 1 + 256
    left = partial.read_text("utf-8").splitlines(keepends=True)
    partial.write_text("".join(left[:201]) + left[201][:40], "utf-8")
    said = triage("score", bundle, data, "--out", again, "--json")
    assert said.document["resumed"] == 128, "what was scored in part of a batch is scored again"
    assert again.read_text("utf-8") == whole.read_text("utf-8")


def test_a_resume_reads_as_before_or_begins_anew(triage: Triage, bundle: Path, tmp_path: Path) -> None:
    text = "id,subject,body\n" + "".join(
        f"{n},Gerät {n},Der Drucker im Büro {n} druckt nicht mehr\n" for n in range(150)
    )
    data, out = tmp_path / "in.csv", tmp_path / "out.jsonl"
    data.write_bytes(text.encode("cp1252"))
    interrupted(Triager.load(bundle), data, out, after=128)
    assert triage("score", bundle, data, "--out", out, "--encoding", "cp850", "--json").document["resumed"] == 0
    interrupted(Triager.load(bundle), data, out, after=128)
    assert triage("score", bundle, data, "--out", out, "--json").document["resumed"] == 128


def test_two_runs_never_write_to_one_file(triage: Triage, bundle: Path, tmp_path: Path) -> None:
    data, out = write_rows(tmp_path / "in.jsonl", shipped_rows(300)), tmp_path / "out.jsonl"
    said: list[Said] = []

    def watch(_: int | None, done: int) -> Callable[[int], object]:
        return lambda rows: said.append(triage("score", bundle, data, "--out", out)) if not said else None

    batch_scoring.score(InThisProcess(Triager.load(bundle)), data, out, progress=watch)
    assert said[0].status == 2 and "is being written by another triage score" in said[0].error
    assert len(out.read_text("utf-8").splitlines()) == 300
    assert triage("score", bundle, data, "--out", out).status == 0, "the lock goes with the run"


def test_a_partial_file_of_something_else_is_begun_anew(tmp_path: Path) -> None:
    partial = tmp_path / "x.partial"
    partial.write_text('{"other": 1}\n{"row": 1}\n')
    assert _resume(partial, '{"this": 1}') == 0
    assert partial.read_text() == '{"this": 1}\n'


def test_predict_tells_people_and_programs(triage: Triage, bundle: Path) -> None:
    said = triage("predict", bundle, "I forgot my password and the reset mail never comes")
    assert said.status == 0 and "access" in said.out
    found = triage("predict", bundle, "I forgot my password", "--json").document
    assert set(found["targets"]) == {"tier", "category"}
    assert found["targets"]["tier"]["alternatives"]
    assert found["explanation"]["terms"]


def test_predict_refuses_an_empty_ticket(triage: Triage, bundle: Path) -> None:
    assert "no text" in triage("predict", bundle, "  ").error


def test_rules_replay_gives_precision_and_coverage(triage: Triage, tickets: Path, tmp_path: Path) -> None:
    found = triage("rules", "replay", tickets, "--json").document
    assert found["rows"] == 300
    rule_labels = [rule for rule in found["rules"] if rule["targets"].get("tier", {}).get("spoke")]
    assert rule_labels and all(0 <= rule["targets"]["tier"]["precision"] <= 1 for rule in rule_labels)
    assert found["targets"]["tier"]["accuracy"] > 0.4
    assert "coverage" in triage("rules", "replay", tickets).out
    rows = shipped_rows(60)
    half = write_rows(
        tmp_path / "half.jsonl", [row | ({"category": None} if n % 2 else {}) for n, row in enumerate(rows)]
    )
    out = triage("rules", "replay", half).out
    assert "of 60 tickets" in out and "of 30 tickets" in out  # those that have a tier, and those that have a category


def test_a_label_that_the_policy_lists_is_not_asked_about(triage: Triage, tmp_path: Path) -> None:
    rows = [{**row, "tier": "L1;L2" if row["tier"] == "L2" else row["tier"]} for row in shipped_rows(60)]
    rows += [{**row, "tier": "L2"} for row in rows[:3]]
    data = write_rows(tmp_path / "pairs.jsonl", rows)
    policy = tmp_path / "policy.toml"
    policy.write_text(dump_policy(replace(default_policy(), aliases={"tier": {"L1;L2": "L2"}})), "utf-8")
    assert "--multi first|drop|split|keep" in triage("rules", "replay", data).error
    said = triage("rules", "replay", data, "--policy", policy)
    assert said.status == 0 and "several" not in said.err and "of 63 tickets" in said.out


def test_the_fit_of_levels_says_that_the_bundle_learned_from_the_tickets(
    triage: Triage, bundle: Path, tickets: Path, tmp_path: Path
) -> None:
    page = tmp_path / "fit.html"
    said = triage("policy", "fit", bundle, tickets, "--out", page, "--json")
    count = said.document["learned_from"]
    warning = f"the bundle has learned from {count} of these 300 tickets: results on them flatter"
    assert count > 200 and warning in said.err and warning in page.read_text("utf-8")
    fresh = write_rows(tmp_path / "fresh.jsonl", [{"body": "the lift sings at night", "tier": "L1"}])
    said = triage("policy", "fit", bundle, fresh, "--out", page, "--json")
    assert said.document["learned_from"] == 0 and "flatter" not in said.err + page.read_text("utf-8")


@pytest.mark.parametrize(
    "verb",
    [
        ("rules", "replay", "DATA"),
        ("policy", "questions", "DATA", "--out", "OUT"),
        ("policy", "fit", "BUNDLE", "DATA"),
        ("simulate", "DATA"),
    ],
    ids=lambda verb: " ".join(verb[:2]),
)
def test_labels_of_machines_are_no_answers(triage: Triage, bundle: Path, tmp_path: Path, verb: tuple[str, ...]) -> None:
    rows = shipped_rows(60)
    people = [{**row, "label_source": "person"} for row in rows[:40]]
    machine = [{**row, "tier": rows[place - 1]["tier"], "label_source": "machine"} for place, row in enumerate(rows)]
    files = {
        name: write_rows(tmp_path / f"{name}.jsonl", those)
        for name, those in (("people", people), ("both", [*people, *machine]), ("machine", machine))
    }

    def said(name: str) -> Said:
        places = {"DATA": files[name], "BUNDLE": bundle, "OUT": tmp_path / f"{name}.toml"}
        return triage(*(places.get(word, word) for word in verb), "--json")

    with_all = said("both")
    assert "left out: 60 of 100 tickets that only a machine labelled" in with_all.err
    alone = said("people").document
    assert {**with_all.document, "out": None} == {**alone, "out": None}
    assert "all 60 tickets were labelled by a machine" in said("machine").error


def test_policy_and_rules_check(triage: Triage, tmp_path: Path) -> None:
    assert triage("policy", "check", "--json").document["tiers"] == ["L0", "L1", "L2", "L3", "L4"]
    assert "is fine" in triage("policy", "check").out
    assert triage("rules", "check", "--json").document["ok"]
    broken = tmp_path / "rules.toml"
    broken.write_text('[[rule]]\nname = "x"\nkind = "bypass"\nany = ["("]\n')
    assert "does not compile" in triage("rules", "check", broken).error
    broken.write_text("tiers = 3")
    assert "policy" in triage("policy", "check", broken).error
    tiers = '[[tiers]]\nlabel = "L1"\n[[tiers]]\nlabel = "L2"\n'
    shipped = files("triage.defaults").joinpath("policy.toml").read_text("utf-8")
    broken.write_text(shipped.replace('by whom?", "affected"]', 'by whom?", "affected_by", "VPN?"]'))
    asked = [one for one in triage("policy", "check", broken, "--json").document["remarks"] if "[[question]]" in one]
    assert len(asked) == 1 and asked[0].startswith("tier 'L3' asks 'affected_by'")
    broken.write_text(f'{tiers}[[groups]]\nname = "desk"\ntier = "L1"\n[[groups]]\nname = "field"')
    remarks = "\n".join(triage("policy", "check", broken, "--json").document["remarks"])
    assert "group 'field' has no tier" in remarks and "the last tier 'L2' has no group" in remarks
    broken.write_text(
        shipped.replace('kind = "safety"\ngroup = "major-incident"', 'kind = "safety"\ngroup = "service-desk"')
    )
    [told] = triage("policy", "check", broken, "--json").document["remarks"]
    assert "[[attention]] 'safety' names group 'service-desk' of tier 'L1', which may not see sensitive tickets" in told


@pytest.mark.parametrize(
    ("arguments", "needle"),
    [
        (["score"], "required"),
        (["score", "b", "d", "--out", "x.xml"], "x.xml"),
        (["evaluate", "nowhere", "d.csv"], "no bundle"),
        (["predict", "nowhere", "text"], "no bundle"),
        (["rules", "replay", "nowhere.csv"], "no data file"),
        (["policy", "check", "nowhere.toml"], "cannot be read"),
        (["train", "d.csv", "--target-risk", "2"], "between 0 and 1"),
        (["train", "d.csv", "--map", "nonsense=x", "--no-register"], "unknown roles"),
        (["train", "d.csv", "--tier-order", "a,b", "--no-register"], "--policy learn"),
        (["promote", "a", "b"], "one too many"),
        (["pull", "no-alias"], "NAME@ALIAS"),
        (["train", "d.csv", "--name", "a b"], "not usable"),
        (["nonsense"], "unknown verb"),
    ],
)
def test_errors_are_one_line(triage: Triage, arguments: list[str], needle: str) -> None:
    said = triage(*arguments)
    assert said.status == 2
    assert len(said.err.strip().splitlines()) == 1, said.err
    assert needle in said.err
    assert said.out == ""


def test_help_does_not_wait_for_heavy_libraries() -> None:
    code = "import training.cli, sys; print({'numpy', 'sklearn', 'mlflow', 'pandas', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    "verb",
    [
        "data",
        "evaluate",
        "models",
        "policy",
        "predict",
        "promote",
        "pull",
        "register",
        "report",
        "rollback",
        "rules",
        "score",
        "train",
    ],
)
def test_every_verb_has_help(triage: Triage, verb: str) -> None:
    said = triage(verb, "--help")
    assert said.status == 0
    assert f"usage: triage {verb}" in said.out
