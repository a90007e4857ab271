"""What each answer says of each tier, and which questions a ticket answers unseen, learned from a desk's tickets."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from sklearn.linear_model import LogisticRegression

from models.triager import Triager
from triage.decision import Automation, Decision
from triage.escalation.questions import answered
from triage.policy import BIAS, WORDS, Option, Policy, Question
from triage.screening.reading import MAX_CHARS, Reading, plain
from triage.ticket import Ticket

_PSEUDO = 1.0
"""Tickets that are assumed of each answer beside those counted: no answer is impossible because none was seen."""
_DECIMALS = 3
_SHRINK = 10.0
"""Tickets that pull the share of one tier towards that of all: some tiers are rarely the most probable one."""
_OPENING = 1 / 3
"""Share of a ticket's sentences that stand for what is said without being asked."""


def with_weights(policy: Policy, tickets: Sequence[Ticket], tiers: Sequence[str]) -> Policy:
    """Return a policy whose questions have the probabilities of their answers, by tier, as tickets give them.

    Args:
        policy: Has the questions.
        tickets: A history.
        tiers: The tier of each ticket.
    """
    parts = [_opening_and_rest(ticket) for ticket in tickets]
    folded = [policy.fold("tier", tier) for tier in tiers]
    order = policy.labels("tier")
    return replace(policy, catalogue=tuple(_learned(question, parts, folded, order) for question in policy.catalogue))


def with_settling(policy: Policy, triager: Triager, tickets: Sequence[Ticket]) -> Policy:
    """Return a policy whose questions say how often asking them settles the tier, by the most probable tier.

    Each ticket is told in part, and where the model abstains each question is put: its answer is what the rest of the
    ticket says on it. A question that the rest does not answer settles nothing.

    Args:
        policy: Has the questions, with the probabilities of their answers.
        triager: Decides, by the gate that it would decide by.
        tickets: A history.
    """
    cases = [case for case in told_in_part(tickets, triager) if not case.is_clear]
    answers = [
        (case, question.id, answer_to(question, case.rest))
        for case in cases
        for question in policy.catalogue
        if not answered(question, plain(case.ticket.text))
    ]
    heard = [(case, name, answer) for case, name, answer in answers if answer is not None]
    after = triager.decide([case.with_answer(answer).ticket for case, _, answer in heard])
    asked = Counter((name, case.top) for case, name, _ in answers)
    clear = Counter(
        (name, case.top) for (case, name, _), decision in zip(heard, after, strict=True) if is_clear(decision)
    )
    total, settled = Counter(name for _, name, _ in answers), Counter[str]()
    for (name, _), count in clear.items():
        settled[name] += count

    def settles(question: Question) -> Question:
        mean = (settled[question.id] + 0.5) / (total[question.id] + 2)
        shares = {
            tier: round((clear[question.id, tier] + _SHRINK * mean) / (asked[question.id, tier] + _SHRINK), _DECIMALS)
            for tier in policy.labels("tier")
        }
        return replace(question, settles=shares)

    return replace(policy, catalogue=tuple(map(settles, policy.catalogue)))


def with_told(policy: Policy, texts: Sequence[str], told: Sequence[Collection[str]]) -> Policy:
    """Return a policy whose questions say how likely a ticket answers them in words that no pattern knows.

    For each question a logistic regression is fitted on the tickets in which no pattern finds an answer. A question
    that all of them, or none, answer has nothing to learn from, and stays as it is.

    Args:
        policy: Has the questions.
        texts: Tickets that somebody read.
        told: For each, the ids of the questions that it answers, as the reader says.
    """
    plains = [plain(text[:MAX_CHARS]) for text in texts]
    given = [{one.id for one in policy.catalogue if answered(one, said)} for said in plains]
    ids = [one.id for one in policy.catalogue]
    rows = [
        [math.log(max(1, len(said.split()))), *(float(name in found) for name in ids)]
        for said, found in zip(plains, given, strict=True)
    ]

    def learned(question: Question) -> Question:
        open_ones = [place for place, found in enumerate(given) if question.id not in found]
        labels = [question.id in told[place] for place in open_ones]
        if len(set(labels)) < 2:
            return question
        fitted = LogisticRegression(max_iter=3000).fit([rows[place] for place in open_ones], labels)
        names = (WORDS, *ids)
        weights = {
            name: round(float(weight), _DECIMALS)
            for name, weight in zip(names, fitted.coef_[0], strict=True)
            if name != question.id and round(float(weight), _DECIMALS)
        }
        return replace(question, told={BIAS: round(float(fitted.intercept_[0]), _DECIMALS), **weights})

    return replace(policy, catalogue=tuple(map(learned, policy.catalogue)))


@dataclass(frozen=True)
class Case:
    """A ticket of which only a part was said, the sentences that were not, and what was decided so far."""

    ticket: Ticket
    rest: tuple[str, ...]
    decision: Decision

    @property
    def is_clear(self) -> bool:
        """Whether the model decides the tier by itself."""
        return is_clear(self.decision)

    @property
    def top(self) -> str:
        """The most probable tier."""
        scores = self.decision.targets["tier"].alternatives
        return scores[0].label if scores else ""

    def with_answer(self, answer: str) -> Case:
        """Return the case with one of its sentences said."""
        said = replace(self.ticket, body=f"{self.ticket.body}\n\n{answer}")
        return replace(self, ticket=said, rest=tuple(one for one in self.rest if one != answer))


def is_clear(decision: Decision) -> bool:
    """Say whether the tier of a decision is one that nobody has to confirm."""
    return decision.targets["tier"].automation is Automation.AUTOMATIC


def told_in_part(tickets: Sequence[Ticket], triager: Triager) -> list[Case]:
    """Return tickets with only the first third of their sentences, decided; those of one sentence are left out."""
    parts: list[tuple[Ticket, tuple[str, ...]]] = []
    for ticket in tickets:
        sentences = [ticket.body[start:end].strip() for start, end in Reading(ticket.body).sentences]
        given = max(1, round(len(sentences) * _OPENING))
        if len(sentences) > given:
            parts.append((replace(ticket, body=" ".join(sentences[:given])), tuple(sentences[given:])))
    decisions = triager.decide([ticket for ticket, _ in parts])
    return [
        Case(ticket, rest, decision)
        for (ticket, rest), decision in zip(parts, decisions, strict=True)
        if decision.kind is None
    ]


def answer_to(question: Question, rest: Sequence[str]) -> str | None:
    """Return the sentence that answers a question; None where none does."""
    return next((one for one in rest if answered(question, plain(one))), None)


def _learned(
    question: Question, parts: Sequence[tuple[str, str]], tiers: Sequence[str], order: Sequence[str]
) -> Question:
    """Count the answers that the rest of tickets gives, of those whose opening does not give it already.

    A tier with few tickets is taken to be answered like the others: no answer is impossible because none was seen.
    """
    open_ones = [
        (rest, tier) for (opening, rest), tier in zip(parts, tiers, strict=True) if not answered(question, opening)
    ]
    total = Counter(tier for _, tier in open_ones)
    given = Counter((option.answer, tier) for rest, tier in open_ones if (option := answered(question, rest)))
    unseen = _PSEUDO * (len(question.options) + 1)

    def learned(option: Option) -> Option:
        usual = (sum(given[option.answer, tier] for tier in order) + _PSEUDO) / (total.total() + unseen)
        shares = {
            tier: round((given[option.answer, tier] + unseen * usual) / (total[tier] + unseen), _DECIMALS)
            for tier in order
        }
        return replace(option, tier=shares)

    return replace(question, options=tuple(map(learned, question.options)))


def _opening_and_rest(ticket: Ticket) -> tuple[str, str]:
    """Split a ticket after its first third: what somebody says when asked is like what comes later."""
    body = ticket.body[:MAX_CHARS]
    sentences = Reading(body).sentences
    cut = sentences[max(1, round(len(sentences) * _OPENING)) - 1][1] if sentences else 0
    return plain(f"{ticket.subject}\n{body[:cut]}"), plain(body[cut:])
