"""Where a ticket stands: what counts of all that said where it goes, and what an alarm of a part does to the whole."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from triage.decide import alarmed, decide
from triage.decision import Decision
from triage.defaults import default_policy
from triage.escalation.standing import Place, Step, placed, set_by_person
from triage.escalation.thread import Mover, Route
from triage.gate import Gate, TargetGate
from triage.policy import AttentionRoute, Label
from triage.prediction import Prediction, Score
from triage.rules import NO_RULES
from triage.ticket import Ticket

NINE = datetime(2026, 11, 27, 9, tzinfo=UTC)
POLICY = default_policy()
SURE = Gate({name: TargetGate(0.8) for name in ("tier", "category", "resolver_group")})


def step(minute: int, tier: str | None, category: str | None = None, group: str | None = None, **more: object) -> Step:
    """Return something that was kept at a minute; `ahead` is how far the sender's clock is, in minutes."""
    told = {"by": Mover.MACHINE, "event": None, "word": "", "ahead": 0, "about": "D1", **more}
    at = NINE + timedelta(minutes=minute + int(str(told["ahead"])))
    by = Mover.PERSON if told["word"] else Mover(str(told["by"]))
    event = None if told["event"] is None else str(told["event"])
    route = Route(tier, category, group, at, by=by, event_id=event)
    return Step(NINE + timedelta(minutes=minute), str(told["about"]), route, str(told["word"]))


def tiers(*steps: Step) -> list[str | None]:
    return [one.route.tier for one in placed(steps)]


def test_steps_count_in_the_order_in_which_they_were_kept() -> None:
    late = step(1, "L2", event="e1", ahead=120)
    assert tiers(step(0, "L1"), late, step(5, "L0", word="corrected")) == ["L1", "L2", "L0"]
    assert placed([step(0, "L1"), late])[-1].route.at == NINE + timedelta(minutes=121)


def test_a_machine_says_nothing_after_a_person() -> None:
    said, later = step(1, "L2", word="corrected"), step(2, "L3", event="e1")
    assert tiers(step(0, "L1"), said, later, step(3, "L4", about="D2")) == ["L1", "L2"]
    assert tiers(step(0, "L1"), said, later, step(4, "L3", by=Mover.PERSON, event="e2")) == ["L1", "L2", "L3"]
    assert tiers(step(0, "L1"), later, step(3, "L4", about="D2")) == ["L1", "L3", "L4"]  # taken back, it is no step


def test_who_accepts_what_an_event_has_moved_leaves_it_there() -> None:
    accepted = step(2, "L1", "net", "desk", word="accepted")
    moved = step(1, "L3", "net", "noc", event="e1", by=Mover.PERSON)
    last = placed([step(0, "L1", "net", "desk"), moved, accepted])[-1]
    assert (last.route.tier, last.route.resolver_group, last.by_person, last.by_event) == ("L3", "noc", True, False)
    assert tiers(step(0, "L1"), replace(moved, about="D0"), accepted)[-1] == "L1"  # an earlier text had moved


def test_what_was_kept_without_a_whole_route_leaves_the_rest_as_it_was() -> None:
    decided, other = step(0, "L1", "net", "desk"), step(1, "L4", "mail", "vendor", about="D2")
    last = placed([decided, other, step(2, None, "mail", word="corrected")])[-1].route
    assert (last.tier, last.category, last.resolver_group) == ("L1", "mail", "desk")
    moved = placed([decided, step(1, "L2", "net", "noc", event="e"), step(2, None, "mail", word="corrected")])[-1].route
    assert (moved.tier, moved.category, moved.resolver_group) == ("L2", "mail", "noc")


def test_a_person_names_some_labels_and_the_others_follow() -> None:
    now = Place("L1", "printing", "workplace-support")
    cleared = POLICY.cleared_tier("L1")
    assert set_by_person(POLICY, now, {"category": "security"})[:2] == (cleared, "security")
    assert set_by_person(POLICY, now, {"category": "security", "tier": "L3"}).tier == "L3"
    assert set_by_person(POLICY, now, {"tier": "L1"}) == now
    assert set_by_person(POLICY, now, {"tier": "L2"}, keeps_group=True).resolver_group == now.resolver_group
    unseen = set_by_person(
        POLICY, now._replace(resolver_group="service-desk"), {"category": "security"}, keeps_group=True
    )
    assert unseen.resolver_group == POLICY.resolver_group(cleared, "security")
    assert set_by_person(POLICY, now, {"tier": "L2"}, named="major-incident").resolver_group == "major-incident"
    alarm = set_by_person(POLICY, now, {"tier": "L2"}, named="service-desk", restricted=True)
    assert alarm.resolver_group == POLICY.resolver_group("L2", "printing")
    assert set_by_person(POLICY, now, {"category": "security"}, named="service-desk").resolver_group != "service-desk"
    assert set_by_person(POLICY, now, {"resolver_group": "network"}).tier == "L1"


def predicted(tier: float, groups: bool = False) -> Prediction:
    scores = {
        "tier": (Score("L1", tier), Score("L2", 1 - tier)),
        "category": (Score("software", 0.99), Score("printing", 0.01)),
    }
    learned = {"resolver_group": (Score("service-desk", 0.97), Score("network-operations", 0.03))} if groups else {}
    return Prediction({**scores, **learned}, words=20, language="en")


@pytest.mark.parametrize("group", [None, "major-incident"])
@pytest.mark.parametrize("floor", [None, "L1", "L2"])
@pytest.mark.parametrize("prediction", [None, predicted(0.97), predicted(0.6), predicted(0.97, groups=True)])
@pytest.mark.parametrize("sensitive", [False, True])
def test_an_alarm_that_is_found_in_a_part_counts_as_one_that_is_found_in_the_whole(
    group: str | None, floor: str | None, prediction: Prediction | None, sensitive: bool
) -> None:
    """No verdict, question or item of the hand-over contradicts another one, whichever way the alarm was found."""
    learned = {} if prediction is None or len(prediction.probabilities) < 3 else {"resolver_group": _GROUPS}
    route = AttentionRoute("ours", group, floor, any=(r"\bzanzibar\b",))
    heard = replace(POLICY, attention=(route,), further=learned)
    deaf = replace(POLICY, attention=(replace(route, any=()),), further=learned)
    marked = {"sensitive": "yes"} if sensitive else {}
    ticket = Ticket("T", body="The accounts program is slow since Monday. Zanzibar.", attributes=marked)
    whole = decide(ticket, prediction, SURE, NO_RULES, heard)
    part = decide(ticket, prediction, SURE, NO_RULES, deaf)
    assert whole.attention and not part.attention
    [found] = [(one.kind, one.evidence) for one in whole.attention]
    after = alarmed(part, ticket, [found], deaf)
    if not sensitive:  # else it may be there already, by who may see it
        assert after == whole
    assert _stated(after) == _stated(whole)
    assert alarmed(whole, ticket, [found], heard) is whole


def _stated(decision: Decision) -> tuple[object, ...]:
    labels = {target: (verdict.label, verdict.automation) for target, verdict in decision.targets.items()}
    return labels, decision.resolver_group, decision.automation, decision.questions, decision.hand_over


_GROUPS = (Label("service-desk"), Label("network-operations"))


def test_what_must_not_wait_is_not_closed_without_a_person() -> None:
    policy = replace(POLICY, not_a_ticket={"thanks": "close"})
    ticket = Ticket("T", body="Thank you very much!")
    decision = decide(ticket, None, Gate({}), NO_RULES, policy)
    assert decision.action == "close"
    after = alarmed(decision, ticket, [("safety", "it burns")], policy)
    assert after.action is None and after.resolver_group == "major-incident"
