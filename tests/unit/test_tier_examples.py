"""Every example from practice, routed by the default rules alone: in a desk of five tiers and in one of three."""

from dataclasses import replace

import pytest

from models.triager import Triager
from triage.decision import Reason
from triage.defaults import default_policy
from triage.ticket import Ticket

FIVE = default_policy()
THREE = replace(FIVE, folding={"L0": "L1", "L4": "L3"})

EXAMPLES = [
    # text, tier among five, tier among three
    ("I need a password reset, I forgot my password", "L0", "L1"),
    ("Username problem: the system does not know my username", "L1", "L1"),
    ("A basic usage question: how do I sort the list by date?", "L0", "L1"),
    ("Menu navigation: the agent should walk me to the right menu", "L1", "L1"),
    ("Product information, please: what does the premium plan include?", "L0", "L1"),
    ("Please do the printer configuration on my new PC", "L1", "L1"),
    ("Installation and set-up of the standard office package, please", "L1", "L1"),
    ("Please verify my hardware and software before the course", "L1", "L1"),
    ("The app crashes", "L2", "L2"),
    ("A feature malfunctions: the filter returns nothing for my account", "L2", "L2"),
    ("The application is in difficulty and stops me from finishing a request", "L2", "L2"),
    ("My machine needs hardware repair and the operating system repaired", "L2", "L2"),
    ("Configuration repair needed, the settings of my workstation are damaged", "L2", "L2"),
    ("A bug in the code base: the discount is applied twice", "L3", "L3"),
    ("A problem whose root cause nobody knows", "L3", "L3"),
    ("We need a software fix, a design change of the approval flow", "L3", "L3"),
    ("This needs experts' access to the production database", "L3", "L3"),
    ("Vendor maintenance is due: the supplier must service the storage under the maintenance contract", "L4", "L3"),
    ("I cannot find the link to request a loan in the banking app", "L0", "L1"),
    ("The link to request a loan in the banking app does not work for me", "L2", "L2"),
    ("The link to request a loan is broken for everyone since the release", "L3", "L3"),
]


@pytest.mark.parametrize(("text", "five", "three"), EXAMPLES)
def test_rules_route_the_examples(text: str, five: str, three: str) -> None:
    ticket = Ticket(body=text)
    for policy, tier in ((FIVE, five), (THREE, three)):
        (decision,) = Triager(policy=policy).decide([ticket])
        assert decision.tier == tier
        assert decision.resolver_group is not None
        assert decision.targets["tier"].confidence is None
        assert decision.reason in (Reason.MODEL_UNAVAILABLE, Reason.RULE)


def test_a_desk_of_three_tiers_never_hears_of_the_folded_ones() -> None:
    decisions = Triager(policy=THREE).decide([Ticket(body=text) for text, _, _ in EXAMPLES])
    assert {decision.tier for decision in decisions} == {"L1", "L2", "L3"}
    assert not {decision.resolver_group for decision in decisions} & {"self-service", "vendor-management"}
