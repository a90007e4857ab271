"""One document says what was decided, wherever it is written: to the last field and decimal."""

from __future__ import annotations

import pytest

from models.wire import DECIMALS, DecisionDocument
from triage.decision import Automation, Decision, Reason, Source, TargetDecision
from triage.normalise import LeftOut
from triage.prediction import Explanation, Neighbour, Score, Term
from triage.screening import Attention
from triage.wording import AUTOMATION, REASONS, SOURCES, phrase_of, sentence_of

DECISION = Decision(
    ticket_id="INC-7",
    targets={
        "tier": TargetDecision(
            label="L2",
            automation=Automation.SUGGESTED,
            source=Source.FALLBACK_RULE,
            reason=Reason.LOW_CONFIDENCE,
            confidence=0.71234,
            alternatives=(Score("L2", 0.71249), Score("L1", 0.2), Score("L0", -1e-9)),
            likely=("L2", "L1"),
            rule="vpn",
        ),
        "category": TargetDecision(None, Automation.BLANK, Source.DEFAULT, Reason.NO_HEAD),
    },
    resolver_group="net",
    automation=Automation.SUGGESTED,
    source=Source.FALLBACK_RULE,
    reason=Reason.LOW_CONFIDENCE,
    rule="vpn",
    questions=("Since when?",),
    hand_over=("logs",),
    policy_version="2026-11",
    model_version="3",
    novelty=0.41261,
    language="en",
    truncated=True,
    explanation=Explanation(
        "tier",
        "L2",
        "L1",
        terms=(Term("vpn", 1.83999), Term("mail", -0.0001)),
        against=(Term("update", 0.2222),),
        similar=(Neighbour("INC-1", 0.83456, {"tier": "L2"}, "VPN drops", "restarted"),),
    ),
    attention=(Attention("safety", "it smokes"),),
    left_out=(LeftOut("signature", 12),),
    kind="thanks",
    action="close",
)
WRITTEN = {
    "decision_id": "id-1",
    "ticket_id": "INC-7",
    "tier": "L2",
    "category": None,
    "resolver_group": "net",
    "automation": "suggested",
    "source": "fallback_rule",
    "reason": "low_confidence",
    "targets": {
        "tier": {
            "label": "L2",
            "automation": "suggested",
            "source": "fallback_rule",
            "reason": "low_confidence",
            "confidence": 0.712,
            "alternatives": [{"label": "L2", "probability": 0.712}, {"label": "L1", "probability": 0.2}],
            "likely": ["L2", "L1"],
            "rule": "vpn",
            "audit": False,
            "ticket_risk": None,
            "certified_risk": None,
        },
        "category": {
            "label": None,
            "automation": "blank",
            "source": "default",
            "reason": "no_head",
            "confidence": None,
            "alternatives": [],
            "likely": [],
            "rule": None,
            "audit": False,
            "ticket_risk": None,
            "certified_risk": None,
        },
    },
    "rule": "vpn",
    "attention": [{"kind": "safety", "evidence": "it smokes"}],
    "kind": "thanks",
    "action": "close",
    "explanation": {
        "target": "tier",
        "label": "L2",
        "rival": "L1",
        "terms": [{"term": "vpn", "weight": 1.84}, {"term": "mail", "weight": 0.0}],
        "against": [{"term": "update", "weight": 0.222}],
        "similar": [
            {
                "ticket_id": "INC-1",
                "similarity": 0.835,
                "title": "VPN drops",
                "labels": {"tier": "L2"},
                "ending": "restarted",
            }
        ],
        "reviews": [],
    },
    "questions": ["Since when?"],
    "hand_over": ["logs"],
    "language": "en",
    "novelty": 0.413,
    "truncated": True,
    "left_out": [{"what": "signature", "chars": 12}],
    "model_version": "3",
    "policy_version": "2026-11",
    "restricted": False,
    "ignored": [],
    "proposed": None,
    "stored": True,
}


def document() -> DecisionDocument:
    return DecisionDocument.from_decision(DECISION, "id-1", alternatives=2, decimals=DECIMALS)


def test_a_decision_is_written_down_field_by_field() -> None:
    assert document().model_dump(mode="json") == WRITTEN
    assert list(document().model_dump(mode="json")) == list(WRITTEN)  # in the documented order


def test_a_document_reads_back_as_it_was_written() -> None:
    assert DecisionDocument.model_validate_json(document().model_dump_json()) == document()


def test_without_a_service_everything_is_exact_and_there_is_no_id() -> None:
    exact = DecisionDocument.from_decision(DECISION)
    assert exact.decision_id is None and exact.novelty == 0.41261
    tier = exact.targets["tier"]
    assert (tier.confidence, tier.rule) == (0.71234, "vpn")
    assert [one.probability for one in tier.alternatives] == [0.71249, 0.2, 0.0]


def test_a_document_may_be_shown_without_similar_tickets_or_without_any_word() -> None:
    explanation = document().without_similar().explanation
    assert explanation.similar == () and explanation.terms
    assert document().without_explanation().explanation.model_dump() == {
        "target": None,
        "label": None,
        "rival": None,
        "terms": (),
        "against": (),
        "similar": (),
        "reviews": (),
    }
    assert document().explanation.similar  # the document itself did not change


def test_every_code_has_its_words() -> None:
    assert set(REASONS) == set(Reason) and set(SOURCES) == set(Source) and set(AUTOMATION) == set(Automation)


@pytest.mark.parametrize("say", [phrase_of, sentence_of])
def test_a_code_of_another_version_stands_for_itself(say: object) -> None:
    assert callable(say) and say("not_yet_invented") == "not_yet_invented"
