"""Any journey through predict, feedback, undo, replay, forget and restart leaves the store as a simple model says."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from api.http.examples import DECISION_EXAMPLE
from api.http.exceptions import KeyReused, NotFound
from api.store.feedback import Statement
from api.store.repository import Repository, open_repository
from api.store.rows import IdempotencyKey, NewDecision
from models.wire import DecisionDocument
from triage.ticket import Ticket

pytestmark = pytest.mark.slow
TICKETS = st.sampled_from(["A", "B", "C"])
TEXTS = st.sampled_from(["the vpn drops", "the printer jams", "a password", "ünï \u200b 日本"])
KEYS = st.sampled_from([None, "k-1", "k-2"])
AGENTS = st.sampled_from(["kim", "lee"])


def new(ticket: str, text: str, by_model: bool) -> NewDecision:
    stated = DECISION_EXAMPLE | {
        "decision_id": None,
        "ticket_id": ticket,
        "reason": "confident" if by_model else "model_unavailable",
        "model_version": "1" if by_model else None,
    }
    return NewDecision(Ticket(id=ticket, body=text), DecisionDocument.model_validate(stated))


class Journeys(RuleBasedStateMachine):
    """The store beside plain dictionaries.

    `decided` holds for each ticket and text its decision and whether a model made it, `order` the decisions about a
    ticket, `said` what stands in each history, `keys` what each idempotency key was answered with.
    """

    decisions = Bundle("decisions")

    @initialize()
    def open(self) -> None:
        self.room = tempfile.TemporaryDirectory()
        self.repository: Repository = open_repository(Path(self.room.name))
        self.decided: dict[tuple[str, str], tuple[str, bool]] = {}
        self.order: dict[str, list[str]] = {}
        self.said: dict[str, list[tuple[str, str]]] = {}
        self.standing: dict[str, list[str]] = {}
        self.keys: dict[str, tuple[str, str]] = {}

    @rule(target=decisions, ticket=TICKETS, text=TEXTS, by_model=st.booleans(), key=KEYS)
    def predict(self, ticket: str, text: str, by_model: bool, key: str | None) -> Any:
        body = f"{ticket} {text}"
        idempotency = IdempotencyKey.of("owner", key, "POST", "/v1/predict", body.encode()) if key else None
        decided = new(ticket, text, by_model)
        if key and key in self.keys:
            asked, decision = self.keys[key]
            if asked != body:
                try:
                    self.repository.record([decided], idempotency_key=idempotency)
                except KeyReused:
                    return multiple()
                raise AssertionError("a key was taken for two requests")
            assert self.repository.record([decided], idempotency_key=idempotency)[0].id == decision
            return decision
        recorded = self.repository.record([decided], idempotency_key=idempotency)[0]
        decision = recorded.id
        earlier = self.decided.get((ticket, text))
        if earlier is not None and (earlier[1] or not by_model):
            assert (decision, recorded.created) == (earlier[0], False)
        else:
            assert recorded.created and decision not in self.said
            self.decided[ticket, text] = (decision, by_model)
            self.order.setdefault(ticket, []).append(decision)
            self.said[decision], self.standing[decision] = [], []
        if key:
            self.keys[key] = (body, decision)
        return decision

    @rule(decision=decisions, agent=AGENTS, verdict=st.sampled_from(["accepted", "unsure", "corrected"]))
    def speak(self, decision: str, agent: str, verdict: str) -> None:
        tier = "L2" if verdict == "corrected" else None
        row = self.repository.feedback(decision, Statement(verdict, agent, tier=tier))
        same = self.standing[decision] and (verdict, agent) == self._words(decision, self.standing[decision][-1])
        if same:
            assert row.id == self.standing[decision][-1]
            return
        self.said[decision].append((row.id, f"{verdict} {agent}"))
        self.standing[decision].append(row.id)

    @rule(decision=decisions, agent=AGENTS, which=st.integers(0, 5))
    def undo(self, decision: str, agent: str, which: int) -> None:
        rule_labels = [said for said, words in self.said[decision] if not words.startswith("undone")]
        if which >= len(rule_labels):
            try:
                self.repository.undo(decision, "nothing", agent)
            except NotFound:
                return
            raise AssertionError("nothing was taken back")
        row = self.repository.undo(decision, rule_labels[which], agent)
        if rule_labels[which] in self.standing[decision]:
            self.standing[decision].remove(rule_labels[which])
            self.said[decision].append((row.id, f"undone {agent}"))

    @rule()
    def restart(self) -> None:
        self.repository.close()
        self.repository = open_repository(Path(self.room.name))

    @rule(ticket=TICKETS)
    def forget(self, ticket: str) -> None:
        if ticket not in self.order:
            try:
                self.repository.forget(ticket)
            except NotFound:
                return
            raise AssertionError("nobody was forgotten")
        self.repository.forget(ticket)
        for known in [known for known in self.decided if known[0] == ticket]:
            del self.decided[known]

    def _words(self, decision: str, said: str) -> tuple[str, str]:
        words = dict(self.said[decision])[said].split(" ")
        return words[0], words[1]

    @invariant()
    def the_store_is_what_the_model_says(self) -> None:
        if not hasattr(self, "repository"):
            return
        for ticket, ids in self.order.items():
            assert [row.id for row in self.repository.latest(ticket_id=ticket)] == ids[::-1]
        for decision, said in self.said.items():
            row = self.repository.decision(decision)
            assert row is not None and [one.id for one in row.feedback] == [one for one, _ in said]
            standing = self.standing[decision]
            assert (row.standing.id if row.standing else None) == (standing[-1] if standing else None)
        for ticket, text in self.decided:
            found = self.repository.seen(Ticket(id=ticket, body=text)).decision
            assert found is not None and found.id == self.decided[ticket, text][0]

    def teardown(self) -> None:
        if hasattr(self, "repository"):
            self.repository.close()
            self.room.cleanup()


TestJourneys = Journeys.TestCase
TestJourneys.settings = settings(
    max_examples=int(os.environ.get("TRIAGE_TEST_JOURNEYS", "10")),
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
