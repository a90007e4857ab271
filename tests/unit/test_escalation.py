"""Whether a ticket stays or moves: each criterion by itself, clocks, bounces, and what a person chose."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from triage.decide import decide
from triage.decision import Decision
from triage.defaults import default_policy, default_rules
from triage.errors import InvalidPolicy
from triage.escalation.criteria import Name, Verdict, assess
from triage.escalation.retriage import change_bar, rerouted, route_by_person
from triage.escalation.thread import Event, EventKind, Mover, Route, Thread, bounces
from triage.gate import Gate, TargetGate
from triage.policy import AttentionRoute, parse_policy, read_policy
from triage.policy.hours import Hours, hours_problem
from triage.prediction import Prediction, Score
from triage.ticket import Ticket

FRIDAY = datetime(2026, 11, 27, 9, tzinfo=UTC)
POLICY = default_policy()
GATE = Gate({"tier": TargetGate(0.9), "category": TargetGate(0.8)})


def decided(ticket: Ticket, tier: str = "L1", probability: float = 0.6, category: str = "software") -> Decision:
    rest = (1 - probability) / 4
    scores = {
        "tier": (Score(tier, probability), *(Score(one, rest) for one in POLICY.labels("tier") if one != tier)),
        "category": (Score(category, 0.99), Score("request", 0.01)),
    }
    return decide(ticket, Prediction(scores, words=20), GATE, default_rules(), POLICY)


def thread(text: str = "It is slow", *events: Event, tier: str = "L1", by: Mover = Mover.MACHINE) -> Thread:
    group = POLICY.resolver_group(tier, "software")
    return Thread(Ticket("T", body=text), (Route(tier, "software", group, FRIDAY, by),), events)


def asked(it: Thread, minutes: float = 5, decision: Decision | None = None) -> Verdict:
    return assess(it, decision or decided(it.whole), POLICY, FRIDAY + timedelta(minutes=minutes))


def tried(number: int, outcome: str = "failed") -> Event:
    return Event(f"e{number}", EventKind.ATTEMPT, FRIDAY + timedelta(minutes=number), "cleared the cache", outcome)


def test_nothing_met_stays_and_says_when_to_ask_again() -> None:
    verdict = asked(thread())
    assert not verdict.move and verdict.tier == "L1"
    assert {one.name for one in verdict.criteria} == set(Name) - {Name.PING_PONG}
    assert verdict.next_check_at == FRIDAY + timedelta(minutes=30)


@pytest.mark.parametrize(
    ("it", "minutes", "by", "tier"),
    [
        (thread("Please look at the server logs"), 5, Name.EXPERTISE, "L2"),
        (thread("A stack trace shows up"), 5, Name.EXPERTISE, "L3"),
        (thread("Five colleagues see it"), 5, Name.SCOPE, "L2"),
        (thread("The whole company cannot print"), 5, Name.SCOPE, "L3"),
        (thread("There is no written procedure for it"), 5, Name.NO_PROCEDURE, "L2"),
        (thread("It is slow", tried(1), tried(2)), 5, Name.ATTEMPTS, "L2"),
        (thread(), 30, Name.TIME, "L2"),
        (
            thread("It is slow", Event("e", EventKind.STATUS, FRIDAY, priority="critical")),
            8,
            Name.PRIORITY,
            "L2",
        ),
        (
            thread("It is slow", Event("e", EventKind.COMMENT, FRIDAY, "hm", needs=("forensics",))),
            5,
            Name.EXPERTISE,
            "L3",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_each_criterion_moves_a_ticket_and_is_named(it: Thread, minutes: float, by: Name, tier: str) -> None:
    verdict = asked(it, minutes)
    assert (verdict.move, verdict.by, verdict.tier) == (True, by, tier)
    assert verdict.because.startswith(f"{tier}: ")
    alarm = POLICY.attention_group(one.kind for one in decided(it.whole).attention)
    assert verdict.resolver_group == (alarm or POLICY.resolver_group(tier, "software"))
    met = next(one for one in verdict.criteria if one.name is by)
    assert met.met and met.score >= met.bar
    assert by not in (Name.SCOPE, Name.NO_PROCEDURE) or met.quote


def test_it_says_why_not_the_tier_above() -> None:
    assert "not L3: nothing says that it needs code change" in asked(thread("Please pull the event logs")).because


def test_complexity_moves_up_and_down_at_a_higher_bar_than_the_first_choice() -> None:
    for now, tier in (("L1", "L3"), ("L3", "L1")):
        it = thread(tier=now)
        assert not asked(it, decision=decided(it.whole, tier, 0.4)).move
        verdict = asked(it, decision=decided(it.whole, tier, 0.9))
        assert (verdict.move, verdict.by, verdict.tier) == (True, Name.COMPLEXITY, tier)


@pytest.mark.parametrize("sure", [0.9902, 0.9702, 0.9999])
def test_complexity_says_the_score_that_stands_beside_it(sure: float) -> None:
    it = thread(tier="L3")
    [found] = [one for one in asked(it, decision=decided(it.whole, "L1", sure)).criteria if one.name is Name.COMPLEXITY]
    assert found.met and found.because.split()[0] == f"{round(found.score, 2):.2f}"


def test_how_many_are_affected_is_said_in_words() -> None:
    assert "it affects all" in asked(thread("The whole company cannot print")).because


@pytest.mark.parametrize("minutes", [5, 40])
def test_what_the_ticket_says_hides_nothing_that_happened_since_a_person_chose(minutes: int) -> None:
    said = "Please look at the event log"
    held = asked(thread(said, by=Mover.PERSON), 5)
    assert (held.move, held.held, held.advised) == (False, True, "L2")
    attempts = (tried(1), tried(2)) if minutes < 30 else ()
    moved = asked(thread(said, *attempts, by=Mover.PERSON), minutes)
    by = Name.ATTEMPTS if attempts else Name.TIME
    assert (moved.move, moved.tier, moved.by, moved.held) == (True, "L2", by, False)
    higher = asked(thread(f"{said}: a stack trace", *attempts, by=Mover.PERSON), minutes)
    assert (higher.move, higher.tier, higher.by) == (True, "L2", by)  # not as high as its words alone would ask for


def test_a_sensitive_ticket_leaves_an_uncleared_tier_even_against_a_person() -> None:
    it = thread(by=Mover.PERSON)
    verdict = asked(it, decision=replace(decided(it.whole), restricted=True))
    assert (verdict.move, verdict.by, verdict.tier) == (True, Name.ACCESS, "L2")


VENDOR = "The vendor has confirmed it"


@pytest.mark.parametrize("by", list(Mover))
@pytest.mark.parametrize(
    ("text", "now", "likely", "asked_for"),
    [
        ("It is slow", "L2", "L0", None),  # what speaks for L0 and L1 speaks for the nearest that may see it: L2
        ("It is slow", "L2", "L1", None),
        ("It is slow", "L3", "L0", "L2"),
        ("It is slow", "L3", "L4", None),
        ("It is slow", "L2", "L4", "L3"),
        (VENDOR, "L3", "L3", None),  # L4 is an outside party of too low a clearance
        (VENDOR, "L2", "L2", "L3"),
    ],
)
def test_a_sensitive_ticket_is_sent_to_no_tier_that_may_not_see_it(
    text: str, now: str, likely: str, asked_for: str | None, by: Mover
) -> None:
    it = thread(text, tier=now, by=by)
    verdict = asked(it, decision=replace(decided(it.whole, likely, 0.99), restricted=True))
    assert (verdict.tier if verdict.move else verdict.advised) == asked_for
    assert "not L4" not in verdict.because
    assert all(POLICY.may_see(one.tier, restricted=True) for one in verdict.criteria)
    as_open = asked(it, decision=decided(it.whole, likely, 0.99))
    assert (as_open.tier if as_open.move else as_open.advised) == ("L4" if text == VENDOR else likely)


def test_time_passes_over_a_tier_that_may_not_see_a_sensitive_ticket() -> None:
    tiers = tuple(replace(one, clearance=0 if one.label == "L3" else 2) for one in POLICY.tiers)
    policy = replace(POLICY, tiers=tuple(replace(one, external=False) for one in tiers))
    it = thread(tier="L2")
    late, decision = FRIDAY + timedelta(days=9), decided(it.whole, "L2", 0.99)
    assert assess(it, decision, policy, late).tier == "L3"
    assert assess(it, replace(decision, restricted=True), policy, late).tier == "L4"


def test_new_words_send_a_sensitive_ticket_to_no_tier_that_may_not_see_it() -> None:
    it, event = thread(tier="L3"), Event("e", EventKind.COMMENT, FRIDAY, "more")
    decision = replace(decided(it.whole, "L1", 0.99), restricted=True)
    route = rerouted(it, decision, GATE, POLICY, event)
    assert route is not None and (route.tier, route.resolver_group) == ("L2", POLICY.resolver_group("L2", "software"))
    assert rerouted(thread(tier="L2"), decision, GATE, POLICY, event) is None


def test_what_must_not_wait_stays_with_its_group_at_another_tier() -> None:
    it = thread("There is smoke in the server room. " + VENDOR, tier="L1")
    alarm = POLICY.attention_group(["safety"])
    assert alarm and asked(it).resolver_group == alarm
    event = Event("e", EventKind.STATUS, FRIDAY, tier="L3")
    assert route_by_person(it, event, POLICY, kinds=["safety"]).resolver_group == alarm
    assert route_by_person(it, event, POLICY).resolver_group == POLICY.resolver_group("L3", "software")


UNCLEARED = replace(POLICY, attention=(AttentionRoute("safety", "service-desk", "L1"),))


def test_what_must_not_wait_moves_to_no_group_that_may_not_see_it() -> None:
    it, seen = thread(tier="L2"), POLICY.resolver_group("L2", "software")
    event = Event("e", EventKind.COMMENT, FRIDAY, "smoke", attention=(("safety", "smoke"),))
    decision = decided(it.whole)
    as_open = rerouted(it, decision, GATE, UNCLEARED, event)
    assert as_open is not None and as_open.resolver_group == "service-desk"
    assert rerouted(it, replace(decision, restricted=True), GATE, UNCLEARED, event) is None
    status = Event("e", EventKind.STATUS, FRIDAY, tier="L3")
    placed = route_by_person(it, status, UNCLEARED, kinds=["safety"], restricted=True)
    assert placed.resolver_group == POLICY.resolver_group("L3", "software") != seen
    burns = thread("There is smoke in the server room. " + VENDOR, tier="L2")
    closed = replace(decided(burns.whole, "L2"), restricted=True)
    verdict = assess(burns, closed, UNCLEARED, FRIDAY + timedelta(minutes=5))
    assert verdict.tier == "L3" and verdict.resolver_group == POLICY.resolver_group("L3", "software")


def test_what_becomes_sensitive_leaves_a_group_that_may_not_see_it() -> None:
    at_desk = (Route("L2", "software", "service-desk", FRIDAY),)
    it, event = replace(thread(), routes=at_desk), Event("e", EventKind.COMMENT, FRIDAY, "more")
    decision = decided(it.whole, "L2", 0.99)
    assert rerouted(it, decision, GATE, POLICY, event) is None
    route = rerouted(it, replace(decision, restricted=True), GATE, POLICY, event)
    assert route is not None and (route.tier, route.because) == ("L2", "access: service-desk may not see it")
    assert route.resolver_group == POLICY.resolver_group("L2", "software") and route.event_id == "e"


def test_what_a_person_chose_is_held_until_time_or_attempts_speak() -> None:
    it = thread("A stack trace shows up", by=Mover.PERSON)
    verdict = asked(it)
    assert (verdict.move, verdict.held, verdict.tier, verdict.advised) == (False, True, "L1", "L3")
    assert asked(thread(by=Mover.PERSON), 30).by is Name.TIME


def test_time_alone_sends_nothing_to_an_outside_party() -> None:
    it = thread(tier="L3")
    assert asked(it, 100_000, decided(it.whole, "L3", 0.9)).tier == "L3"


def test_only_attempts_since_the_last_move_count() -> None:
    it = thread("It is slow", tried(1), tried(2))
    moved = replace(
        it, routes=(*it.routes, Route("L2", "software", "workplace-support", FRIDAY + timedelta(minutes=3)))
    )
    assert asked(moved, decision=decided(it.whole, "L2")).tier == "L2" and not moved.failed_attempts


def test_an_attempt_counts_at_the_tier_where_it_was_made_whatever_it_led_to() -> None:
    """What an attempt says may move the ticket: then the move has the attempt's own moment."""
    first, second = tried(1), replace(tried(2), id="same moment", at=tried(1).at)
    routes = (*thread().routes, Route("L2", "software", "workplace-support", first.at, event_id=first.id))
    assert replace(thread("It is slow", first), routes=routes).failed_attempts == ()
    assert replace(thread("It is slow", first, second), routes=routes).failed_attempts == (second,)
    by_hand = (*thread().routes, Route("L2", "software", "workplace-support", first.at, Mover.PERSON))
    assert replace(thread("It is slow", first, tried(2)), routes=by_hand).failed_attempts == (tried(2),)
    assert thread("It is slow", tried(0)).failed_attempts == (tried(0),)


def test_who_went_to_and_fro_too_often_gets_an_owner() -> None:
    groups = ["service-desk", "workplace-support", "service-desk", "workplace-support", "service-desk"]
    routes = tuple(
        Route("L1" if group == "service-desk" else "L2", "software", group, FRIDAY + timedelta(minutes=place))
        for place, group in enumerate(groups)
    )
    it = replace(thread("A stack trace shows up"), routes=routes)
    verdict = asked(it, 6)
    assert bounces(routes) == verdict.bounces == 3
    assert (verdict.move, verdict.by, verdict.owner) == (False, Name.PING_PONG, POLICY.escalation.owner)
    assert asked(replace(it, routes=routes[:4]), 6).owner is None


def test_the_bar_to_change_is_above_the_bar_to_set() -> None:
    suggested, automatic = thread().route, replace(thread().route, automatic=True)
    assert change_bar(suggested, GATE, POLICY) == POLICY.escalation.change
    assert change_bar(automatic, GATE, POLICY) == pytest.approx(0.95)
    event = Event("e", EventKind.COMMENT, FRIDAY, "more")
    it = replace(thread(), routes=(automatic,))
    assert rerouted(it, decided(it.whole, "L3", 0.94), GATE, POLICY, event) is None
    assert rerouted(it, decided(it.whole, "L3", 0.96), GATE, POLICY, event) is not None


def test_the_bar_to_change_is_that_of_the_other_tier_where_each_was_certified_alone() -> None:
    automatic = replace(thread().route, automatic=True)
    alone = Gate({"tier": TargetGate(None, per_class={"L1": 0.7, "L2": 0.98, "L3": None})})
    bars = {label: change_bar(automatic, alone, POLICY, label) for label in ("L1", "L2", "L3")}
    assert bars == pytest.approx({"L1": 0.85, "L2": 0.99, "L3": 0.99})
    assert change_bar(automatic, Gate({"tier": TargetGate()}), POLICY, "L1") == POLICY.escalation.change
    event = Event("e", EventKind.COMMENT, FRIDAY, "more")
    it = replace(thread(), routes=(automatic,))
    assert rerouted(it, decided(it.whole, "L2", 0.98), alone, POLICY, event) is None
    assert rerouted(thread(by=Mover.PERSON), decided(it.whole, "L3", 0.99), GATE, POLICY, event) is None


def test_clocks_stand_still_outside_of_hours() -> None:
    hours = Hours.parse("mon-fri 08:00-18:00, sat 08:00-12:00", "Europe/Vienna", ("2026-11-30",))
    assert hours is not None
    friday = datetime(2026, 11, 27, 16, 30, tzinfo=UTC)  # 17:30 in Vienna
    tuesday = datetime(2026, 12, 1, 7, 30, tzinfo=UTC)
    assert hours.minutes_between(friday, tuesday) == 30 + 4 * 60 + 30
    assert hours.minutes_between(tuesday, friday) == 0
    assert hours.after(friday, 30 + 4 * 60 + 30) == tuesday
    assert Hours.parse("as contracted") is None


@pytest.mark.parametrize(
    ("text", "start", "end", "hours"),
    [
        ("mon-sun 22:00-06:00", (27, 23), (28, 7), 7),  # begins in the shift of the evening before
        ("mon-sun 22:00-06:00", (27, 3), (27, 23), 4),
        ("fri 22:00-06:00", (28, 1), (29, 23), 5),
        ("mon-fri 08:00-12:00, 13:00-17:00", (27, 9), (30, 9), 8),
        ("mon-fri 08:00-12:00 and 13:00-17:00; sat, sun 10:00-11:00", (27, 9), (30, 9), 10),
        ("mon–fri 08:00–18:00, fri 16:00-20:00", (27, 9), (30, 9), 12),  # what overlaps counts once
        ("fri 18:00-24:00, sat 00:00-02:00", (27, 9), (29, 9), 8),
        ("24/7", (27, 9), (28, 9), 24),
        ("mon-fri 08:00-18:00, on call for major incidents", (27, 9), (30, 9), 10),
    ],
)
def test_hours_over_midnight_and_in_parts_count(
    text: str, start: tuple[int, int], end: tuple[int, int], hours: float
) -> None:
    clock = Hours.parse(text)
    assert clock is not None and hours_problem(text) is None
    begin, until = (datetime(2026, 11, day, hour, tzinfo=UTC) for day, hour in (start, end))
    assert clock.minutes_between(begin, until) == 60 * hours
    assert sum((closes - opens).total_seconds() for opens, closes in clock.shifts(begin, until)) == 3600 * hours
    due = clock.after(begin, 60 * hours)
    assert due is not None and due <= until and clock.minutes_between(begin, due) == 60 * hours


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("mon-fri 08:00-48:00", "mon-fri 08:00-48:00"),
        ("mon-fri 08:00-18:00, sat 08:00-08:00", "sat 08:00-08:00"),
        ("mon-fri 08:60-18:00", "mon-fri 08:60-18:00"),
        ("24:00-06:00", "24:00-06:00"),
        ("weekdays 08:00-18:00", "08:00-18:00"),
        ("mon-fri 08:00-12:00, saturday 09:00-12:00", "09:00-12:00"),
        ("mon-fri 08:00-18:00, sat", "sat"),
        ("mon-fri 8-18", "mon-fri 8-18"),
        ("mon-fri 08:00-12:00, 1pm-5pm", "1pm-5pm"),
        ("mon-fri", "mon-fri"),
    ],
)
def test_hours_that_are_none_are_named_and_fail_nothing(text: str, problem: str) -> None:
    with pytest.raises(InvalidPolicy, match=re.escape(f"[[tiers]] 'A' has hours that are none, {problem!r}")):
        parse_policy(f'[[tiers]]\nlabel = "A"\nhours = "{text}"\n[[tiers]]\nlabel = "B"')
    clock = Hours.parse(text)
    assert clock is None or clock.minutes_between(FRIDAY, FRIDAY + timedelta(days=7)) > 0


FAULTS = {
    '[[escalation.skills]]\nname = "x"\ntier = "L9"': "tier 'L9', which is not listed",
    '[[escalation.skills]]\nname = "x"\ntier = "A"': "can never fire: no tier is below",
    '[[escalation.skills]]\nname = "x"\ntier = "B"\nany = ["("]': "does not compile",
    '[[escalation.scopes]]\nname = "all"\ntier = "B"': "can never fire: it has no patterns",
    '[[escalation.scopes]]\nname = "one"\ntier = "B"\nany = ["x"]\n[[escalation.scopes]]\nname = "all"\ntier = "A"\n'
    'any = ["y"]': "contradicts a narrower scope",
    "[escalation]\nchange = 0.4": "must lie in",
    "[escalation]\nbar = 1": "unknown keys bar",
    '[escalation]\nattempts = "two"': "is not a number",
    '[escalation]\nowner = "lead"\n[escalation.priority]\nhigh = 0.5': "can never fire: no tier has a time budget",
    "[escalation]\nattempts = 3": "names no owner",
    '[escalation]\nowner = "lead"\ntimezone = "Mars/North"': "is unknown",
    '[folding]\nA = "B"\nB = "A"': "is a loop",
    '[[groups]]\nname = "g"\n[escalation]\nowner = "lead"\n[[escalation.skills]]\nname = "x"\ntier = "B"': (
        "has no tier"
    ),
    '[[groups]]\nname = "g"\ntier = "A"\n[escalation]\nowner = "lead"\n[[escalation.skills]]\nname = "x"\ntier = "B"': (
        "the last tier 'B' has no group"
    ),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault[:40])
def test_a_policy_that_cannot_work_is_refused_by_name(fault: str) -> None:
    with pytest.raises(InvalidPolicy, match=FAULTS[fault]):
        parse_policy('[[tiers]]\nlabel = "A"\n[[tiers]]\nlabel = "B"\n' + fault)


SKILL, SCOPE = (
    "[[escalation.skills]]\nname = 'logs'\ntier = 'B'\n",
    "[[escalation.scopes]]\nname = 'all'\nany = ['x']\n",
)
LATER_FAULTS = {
    "no_procedure = ['x'] #": "no_procedure can never fire: .policy. ordinal",
    "attempts = 3\ntime = 0.5 #": "attempts, time can never fire: .policy. ordinal",
    "time = 0.5": "time = 0.5 can never fire: no tier has a time budget",
    SKILL + SKILL.replace("'B'", "'C'"): "skills.. 'logs' is listed twice",
    SCOPE + SCOPE: "scopes.. 'all' is listed twice",
    "[[question]]\nid = 'kind'\nask = '?'\nsettles = {A = 7.5}\n[[question.options]]\nanswer = 'x'\ntier = {A = 0.5}": (
        "settles A = 7.5, which is no probability"
    ),
}
"""By what stands below `[escalation]`; a mark at its end takes the order from the tiers."""


@pytest.mark.parametrize("fault", LATER_FAULTS, ids=lambda fault: fault[:60])
def test_what_earlier_versions_did_not_look_for_is_refused_in_a_file_and_read_in_a_bundle(
    fault: str, tmp_path: Path
) -> None:
    file, tiers = tmp_path / "policy.toml", "".join(f"[[tiers]]\nlabel = '{label}'\n" for label in "ABC")
    ordinal = str(not fault.endswith("#")).lower()
    file.write_text(f"[policy]\nordinal = {ordinal}\n[escalation]\nmax_bounces = 0\n{fault}\n{tiers}")
    with pytest.raises(InvalidPolicy, match=LATER_FAULTS[fault]):
        read_policy(file)
    assert read_policy(file, of_bundle=True).labels("tier") == ("A", "B", "C")


def test_a_switched_off_criterion_without_an_order_is_no_fault(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text("[policy]\nordinal = false\n[escalation]\nattempts = 0\nmax_bounces = 0\n[[tiers]]\nlabel = 'A'")
    assert not read_policy(file).ordinal
