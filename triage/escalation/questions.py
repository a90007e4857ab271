"""The question that settles it: which answer is expected to tell most about the tier, among those not given already."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property

from triage.policy import BIAS, WORDS, Option, Policy, Question
from triage.prediction import Score
from triage.screening.cues import one_of
from triage.screening.reading import MAX_CHARS, plain

MOST = 3
"""Questions that a requester is asked at once: more are not answered."""

_LEAST_GAIN = 0.01
"""Expected gain, in nats, below which an answer could as well be guessed: one hundredth moves no probability by 0.1."""

MOST_TOLD = 0.07
"""Probability that the ticket answers a question, in words that no pattern knows, above which it is not asked: of the
questions that are asked then one in thirty is answered already, and three of four are left."""
_TOLD_SCORE = math.log(MOST_TOLD / (1.0 - MOST_TOLD))
"""The same as a sum of weights."""


def settling_questions(policy: Policy, scores: Sequence[Score], text: str, count: int = MOST) -> tuple[Question, ...]:
    """Return the questions whose answers are expected to tell most about the tier, the best first.

    The gain is the information that an answer gives about the tier, under the calibrated probabilities (Lindley, 1956).
    Where history has taught how often a question settles the tier, that comes first, and the gain among equals.

    Args:
        policy: Has the questions.
        scores: Calibrated probabilities of the tiers.
        text: What the requester said; a question that it answers, or probably does, is not asked.
        count: Most questions to return.
    """
    prior = {score.label: score.probability for score in scores}
    said = plain(text[:MAX_CHARS])
    top = max(prior, key=lambda label: prior[label], default="")
    gains = [(gain(question, prior), question) for question in open_questions(policy, said)]
    telling = [(value, question) for value, question in gains if value >= _LEAST_GAIN]
    ranked = sorted(telling, key=lambda one: (-one[1].settles.get(top, 0.0), -one[0]))
    return tuple(question for _, question in ranked[:count])


def open_questions(policy: Policy, said: str) -> list[Question]:
    """Return the questions that a text does not answer: no pattern finds an answer, nor is one likely to be missed.

    Args:
        policy: Has the questions.
        said: The text, as `triage.screening.reading.plain` makes it.
    """
    told = _Told(policy, said)
    return [question for question in policy.catalogue if not told.answers(question)]


class _Told:
    """What a text answers, of each question looked for once, and only where the answer may decide.

    Args:
        policy: Has the questions.
        said: The text, as `triage.screening.reading.plain` makes it.
    """

    def __init__(self, policy: Policy, said: str) -> None:
        self._catalogue, self._said, self._given = policy.catalogue, said, dict[str, bool]()

    @cached_property
    def _words(self) -> int:
        return len(self._said.split())

    def answers(self, question: Question) -> bool:
        """Say whether the text answers a question: a pattern finds that, or it is likely in other words.

        How likely depends on the other questions that it answers. Those of most weight are looked for first, until the
        rest could change nothing.
        """
        if self._gives(question) or not question.told:
            return self._gives(question)
        weights = [(question.told[one.id], one) for one in self._catalogue if one.id in question.told]
        least = _own_score(question, self._words) + sum(min(weight, 0.0) for weight, _ in weights)
        most = least + sum(abs(weight) for weight, _ in weights)
        for weight, other in sorted(weights, key=lambda one: -abs(one[0])):
            if least > _TOLD_SCORE or most <= _TOLD_SCORE:
                break
            if self._gives(other) == (weight > 0):
                least += abs(weight)
            else:
                most -= abs(weight)
        return least > _TOLD_SCORE

    def _gives(self, question: Question) -> bool:
        if question.id not in self._given:
            self._given[question.id] = answered(question, self._said) is not None
        return self._given[question.id]


def asked_question(policy: Policy, question: str) -> Question | None:
    """Return the question of the catalogue that has an id, or is asked so in any of the policy's languages; or None."""
    catalogue = policy.catalogue
    return next((one for one in catalogue if question == one.id or question in policy.in_all_languages(one.ask)), None)


def unanswered(policy: Policy, asked: Sequence[str], text: str) -> tuple[str, ...]:
    """Return questions, less those of the catalogue that a text answers, or probably does.

    Args:
        policy: Has the catalogue.
        asked: Questions as they are asked, of the catalogue or not.
        text: What the requester said.
    """
    listed = [question for question in policy.catalogue if question.ask in asked]
    told = _Told(policy, plain(text[:MAX_CHARS])) if listed else None
    known = {question.ask for question in listed if told is not None and told.answers(question)}
    return tuple(one for one in asked if one not in known)


def questions_of(
    policy: Policy, place: tuple[str | None, str | None], text: str, language: str | None
) -> tuple[str, ...]:
    """Return what is to be asked of a ticket where a person put it: at most `MOST`, and none that it answers.

    Args:
        policy: Lists the questions.
        place: Tier and category.
        text: What the requester said.
        language: The one to ask in.
    """
    return policy.in_language(unanswered(policy, policy.questions(*place), text)[:MOST], language)


def chance_told(question: Question, words: int, given: Collection[str]) -> float:
    """Return the probability that a ticket answers a question though no pattern says so, in [0, 1].

    Long tickets, and those that answer other questions, answer more than patterns find.

    Args:
        question: With the weights that were learned; without any, patterns are taken at their word.
        words: How many words the ticket has.
        given: Ids of the questions that it answers by their patterns.

    Example:
        >>> question = Question("tried", "?", told={"bias": -6.0, "words": 1.0, "change": 0.5})
        >>> round(chance_told(question, 20, ()), 3), round(chance_told(question, 200, {"change"}), 3)
        (0.047, 0.45)
    """
    if not question.told:
        return 0.0
    score = _own_score(question, words) + sum(question.told.get(name, 0.0) for name in given)
    return 1.0 / (1.0 + math.exp(-max(-50.0, min(50.0, score))))


def _own_score(question: Question, words: int) -> float:
    return question.told.get(BIAS, 0.0) + question.told.get(WORDS, 0.0) * math.log(max(1, words))


def gain(question: Question, prior: Mapping[str, float]) -> float:
    """Return the expected gain of a question in nats: how far its answer moves the probabilities of the tiers.

    That is the Kullback-Leibler divergence from prior to posterior, expected over the answers. Whoever does not know
    moves nothing.

    Example:
        >>> sure = Question("q", "?", (Option("yes", tier={"L1": 1.0}), Option("no", tier={"L2": 1.0})))
        >>> round(gain(sure, {"L1": 0.5, "L2": 0.5}), 3), gain(sure, {"L1": 1.0, "L2": 0.0})
        (0.693, 0.0)
    """
    total = sum(prior.values()) or 1.0
    before = {label: share / total for label, share in prior.items() if share > 0}
    expected = 0.0
    for option in question.options:
        joint = {label: share * option.tier.get(label, 0.0) for label, share in before.items()}
        given = sum(joint.values())
        expected += sum(part * math.log(part / given / before[label]) for label, part in joint.items() if part > 0)
    return max(0.0, expected)


def answered(question: Question, said: str) -> Option | None:
    """Return the answer that a text gives, or None; the text is as `triage.screening.reading.plain` makes it."""
    for option in question.options:
        pattern = one_of(option.any)
        if pattern is not None and pattern.search(said):
            return option
    return None
