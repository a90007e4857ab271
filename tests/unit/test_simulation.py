"""A desk simulated: clocks, queues that can be reckoned by hand, paired arms, and the page."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from models.toml_files import dump_policy
from training.cli.desk.simulate import SimulateOptions, _thresholds, simulate
from training.reports.simulation import simulation_page
from training.simulation.arms import _above
from training.simulation.clock import Clock
from training.simulation.compare import Arm, Past, compare, overlaid
from training.simulation.desk import Desk, Load, Post
from triage.decide import decide
from triage.defaults import default_policy
from triage.errors import InvalidRequest
from triage.gate import Gate
from triage.policy import Policy
from triage.policy.hours import Hours
from triage.prediction import Prediction, Score
from triage.rules import NO_RULES
from triage.ticket import Ticket

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
ALWAYS = Clock.of(None, MONDAY, 100)


def test_a_clock_laid_out_says_what_hours_say() -> None:
    hours = Hours.parse("mon-fri 08:00-18:00, sat 08:00-12:00")
    assert hours is not None
    clock, draw = Clock.of(hours, MONDAY, 60), np.random.default_rng(0)
    for _ in range(200):
        start, minutes = float(draw.uniform(0, 20_000)), float(draw.uniform(1, 3000))
        end = hours.after(MONDAY + timedelta(minutes=start), minutes)
        assert end is not None
        assert clock.after(start, minutes) == pytest.approx((end - MONDAY).total_seconds() / 60, abs=1e-3)
        worked = hours.minutes_between(MONDAY, MONDAY + timedelta(minutes=start))
        assert clock.worked_until(start) == pytest.approx(worked, abs=1e-3)


def desk(staff: int | None = None) -> Desk:
    posts = [
        Post("L0", False, 5.0, ALWAYS, None),
        Post("L1", True, 10.0, ALWAYS, staff),
        Post("L2", True, 60.0, ALWAYS, None),
        Post("L3", True, 100.0, ALWAYS, None),
        Post("L4", False, 600.0, ALWAYS, None),
    ]
    return Desk(posts, 7.0)


def one(need: int, sent: int | None) -> tuple[float, int, float]:
    """Return work, moves and minutes to resolution of one ticket."""
    load = Load(np.zeros(1), np.array([need]), np.ones((1, 5)))
    found = desk().run(load, [sent])
    return sum(found.work_min.values()), found.moves, found.resolved_h[0] * 60


@pytest.mark.parametrize(
    ("need", "sent", "expected"),
    [
        (1, None, (10, 0, 10)),
        (1, 1, (10, 0, 10)),
        (3, None, (10 + 67 + 107, 2, 184)),  # up one tier at a time, each reading in
        (3, 3, (100, 0, 100)),
        (1, 3, (10, 0, 10)),  # an expert resolves it in the time of the right tier
        (0, None, (10, 0, 10)),  # a person says what an article would have said
        (0, 0, (0, 0, 5)),
        (2, 0, (17 + 67, 2, 5 + 84)),  # self-service cannot, and it begins anew with a person
        (3, 4, (107, 1, 707)),  # the vendor hands it back
        (4, 3, (100, 1, 707)),
    ],
)
def test_the_way_of_one_ticket_can_be_reckoned(need: int, sent: int | None, expected: tuple[float, int, float]) -> None:
    assert one(need, sent) == pytest.approx(expected)


def test_tickets_wait_for_people() -> None:
    load = Load(np.zeros(3), np.array([1, 1, 1]), np.ones((3, 5)))
    assert desk(staff=1).run(load, [None] * 3).first_wait == [0.0, 10.0, 20.0]
    assert desk(staff=3).run(load, [None] * 3).first_wait == [0.0, 0.0, 0.0]


POLICY = default_policy()
TIERS = ["L0", "L1", "L1", "L2", "L3"] * 12
PAST = [Past(MONDAY + timedelta(hours=3 * number), tier) for number, tier in enumerate(TIERS)]


def test_arms_have_the_same_tickets_and_knowing_saves_work() -> None:
    knows = Arm("knows", POLICY, TIERS)
    arms = [Arm("no machine", POLICY, [None] * 60), knows, Arm("again", POLICY, TIERS)]
    found = compare(PAST, arms, 30, seed=1)
    assert found.arms["knows"] == found.arms["again"] and found.replications == 30
    saved = found.arms["knows"]["saved_h_per_100"]
    assert saved.low > 0 and saved.low < saved.mean < saved.high
    assert found.arms["knows"]["misrouted"].mean == 0 and found.arms["knows"]["moves"].mean == 0
    assert found.against["knows"]["moves"].high < 0 and set(found.staff["knows"]) == {"L1", "L2", "L3"}
    assert "misrouted" not in found.arms["no machine"] and "misrouted" not in found.against["knows"]
    assert compare(PAST, arms, 30, seed=1) == found
    page = simulation_page(found, "<60> tickets", ["assumed & said"])
    assert "<td>–</td><td>0.000 (0.000 to 0.000)</td>" in page
    assert page.count("<svg") == 5 and "&lt;60&gt;" in page and "src=" not in page and "<script" not in page


def test_a_desk_that_cannot_keep_up_does_only_what_it_can_and_says_so() -> None:
    """One expert has some 2,600 hours a year, and 12 tickets of 600 hours each."""
    slow = tuple(replace(tier, staff=1, handling_min=36_000) if tier.label == "L3" else tier for tier in POLICY.tiers)
    found = compare(PAST, [Arm("now", POLICY, TIERS), Arm("slow", replace(POLICY, tiers=slow), TIERS)], 30, seed=1)
    figures = found.arms["slow"]
    assert found.arms["now"]["unresolved"].mean == 0 and found.left["now"] == {}
    assert 0.05 < figures["unresolved"].mean < 0.2 and set(found.left["slow"]) == {"L3"}
    assert figures["unresolved"].mean == pytest.approx(found.left["slow"]["L3"])
    assert found.work_h["slow"]["L3"] * 60 / 100 <= 10 * 5 / 7 * (
        366 + 14
    )  # what one person has, from Monday to Friday
    [said] = found.overruns
    assert said.startswith("slow: the desk cannot keep up.") and "are at L3" in said
    page = simulation_page(found, "60 tickets", [])
    assert said in page and "share of tickets that are not resolved" in page


def test_nothing_is_done_in_time_that_is_not_left() -> None:
    short = Clock.of(None, MONDAY, 1)
    posts = [Post("L1", True, 1000.0, short, 1)]
    found = Desk(posts, 7.0).run(Load(np.zeros(3), np.zeros(3, dtype=np.int64), np.ones((3, 1))), [None] * 3)
    assert found.resolved_h == [1000 / 60] and found.work_min == {0: 1440.0} and found.left[0] == 2
    assert found.first_wait == [0.0, 1000.0]


def test_an_arm_says_something_of_each_ticket_and_has_a_name_of_its_own() -> None:
    for arms in ([Arm("half", POLICY, TIERS[:30])], [Arm("one", POLICY, TIERS), Arm("one", POLICY, TIERS)]):
        with pytest.raises(ValueError, match="there twice, or is one of another history"):
            compare(PAST, arms, 30, seed=1)


def renamed(old: str, new: str) -> Policy:
    """The default policy with another name for a tier, which knows the former one."""
    tiers = tuple(replace(tier, label=new if tier.label == old else tier.label) for tier in POLICY.tiers)
    groups = tuple(replace(one, tier=new if one.tier == old else one.tier) for one in POLICY.groups)
    return replace(POLICY, tiers=tiers, groups=groups, aliases={**POLICY.aliases, "tier": {old: new}})


def test_a_planned_policy_may_rename_a_tier() -> None:
    arms = [Arm("now", POLICY, TIERS), Arm("planned", renamed("L2", "Second"), TIERS)]
    found = compare(PAST, arms, 30, seed=1)
    assert found.arms["now"] == found.arms["planned"]
    assert set(found.work_h["planned"]) == {"L1", "Second", "L3"}


def test_a_ticket_takes_as_long_at_a_tier_whatever_other_tiers_a_policy_has() -> None:
    fewer = replace(POLICY, tiers=tuple(tier for tier in POLICY.tiers if tier.label != "L0"))
    past = [one for one in PAST if one.tier != "L0"]
    tiers = [one.tier for one in past]
    found = compare(past, [Arm("all", POLICY, tiers), Arm("fewer", fewer, tiers)], 30, seed=1)
    assert found.work_h["all"] == pytest.approx(found.work_h["fewer"])


def test_a_tier_that_states_no_minutes_is_told_with_those_that_are_simulated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, policy = tmp_path / "closed.csv", tmp_path / "policy.toml"
    lines = [f"{number},screen is black,{one.tier},{one.opened_at.isoformat()}" for number, one in enumerate(PAST)]
    data.write_text("id,body,tier,opened_at\n" + "\n".join(lines) + "\n", "utf-8")
    untold = tuple(replace(tier, handling_min=None, time_budget_min=None) for tier in POLICY.tiers)
    plain = replace(POLICY.escalation, priority={})
    policy.write_text(dump_policy(replace(POLICY, tiers=untold, escalation=plain)), "utf-8")
    assert simulate([str(data), "--policy", str(policy), "--json"]) == 0
    assumed = json.loads(capsys.readouterr().out)["assumed"]
    assert "L1 30 min" in assumed[-1] and "0 min," not in assumed[-1].replace("30 min,", "")


def test_weeks_laid_over_each_other_keep_day_and_hour() -> None:
    laid, places = overlaid(PAST, 2)
    assert places == list(range(len(PAST)))
    assert [(one.opened_at.weekday(), one.opened_at.hour) for one in laid] == [
        (one.opened_at.weekday(), one.opened_at.hour) for one in PAST
    ]


def test_the_verb_writes_a_page_and_refuses_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, page = tmp_path / "closed.csv", tmp_path / "page.html"
    lines = [
        f"{number},screen {number} is black,{one.tier},{one.opened_at.isoformat()}" for number, one in enumerate(PAST)
    ]
    data.write_text("id,body,tier,opened_at\n" + "\n".join(lines) + "\n", "utf-8")
    assert simulate([str(data), "--out", str(page)]) == 0
    assert "rules only" in capsys.readouterr().out and page.read_text("utf-8").startswith("<!doctype html>")
    assert simulate([str(data), "--replications", "5"]) == 2
    assert "30 to 10000" in capsys.readouterr().err
    for arguments, message in (
        (["--threshold", "0.9"], "--threshold needs a --bundle"),
        (["--map", "opened_at="], "0 tickets have a date and a tier, 2 are needed at least: map them"),
    ):
        with pytest.raises(Exception, match=message):
            simulate([str(data), *arguments])
    data.write_text("id,body,tier,opened_at\n" + "\n".join(lines[:10]) + "\n", "utf-8")
    assert simulate([str(data)]) == 0 and "only 10 tickets: every replication" in capsys.readouterr().err
    data.write_text("id,body,tier,opened_at\n" + lines[0] + "\n", "utf-8")
    with pytest.raises(Exception, match="1 tickets have a date and a tier, 2 are needed at least: give a longer"):
        simulate([str(data)])


def test_weeks_that_do_not_fill_an_overlay_are_left_out() -> None:
    weeks = [Past(MONDAY + timedelta(weeks=week), "L1") for week in range(5)]
    later = MONDAY + timedelta(weeks=1)
    laid, places = overlaid([weeks[4], *weeks[:4]], 2)
    assert [one.opened_at for one in laid] == [MONDAY, MONDAY, later, later] and places == [1, 2, 3, 4]
    with pytest.raises(InvalidRequest, match="the history has 5 weeks"):
        overlaid(weeks, 6)


def test_only_tickets_of_weeks_that_are_kept_are_decided(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In an export that is newest first the left-over week stands before the others."""
    weeks = [MONDAY + timedelta(weeks=week, hours=hour) for week in range(3) for hour in range(20)]
    lines = [
        f"{at},{'ransomware' if at < weeks[40] else 'please reset my password'},L3,{at.isoformat()}"
        for at in reversed(weeks)
    ]
    (tmp_path / "closed.csv").write_text("id,body,tier,opened_at\n" + "\n".join(lines) + "\n", "utf-8")
    assert simulate([str(tmp_path / "closed.csv"), "--overlay", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["tickets"] == 40 and found["arms"]["rules only"]["misrouted"]["mean"] == 0


@pytest.mark.parametrize(("likely", "sent"), [("L0", "L2"), ("L2", "L2"), ("L4", "L3")])
def test_a_threshold_sends_no_sensitive_ticket_to_a_tier_that_may_not_see_it(likely: str, sent: str) -> None:
    scores = (Score(likely, 0.95), Score("L1", 0.05))
    said = Prediction({"tier": scores, "category": (Score("security", 0.9), Score("access", 0.1))}, words=20)
    decision = decide(Ticket("T", body="somebody is in my account"), said, Gate({}), NO_RULES, default_policy())
    assert decision.restricted
    assert _above(decision, default_policy(), 0.9) == sent and _above(decision, default_policy(), 0.96) is None
    assert _above(replace(decision, restricted=False), default_policy(), 0.9) == likely


def test_a_threshold_that_is_written_twice_is_one_arm() -> None:
    options = SimulateOptions(data=[Path("x")], bundle="b", threshold=["0.9", "0.90", "0.8"])
    assert _thresholds(options) == [0.9, 0.8]
