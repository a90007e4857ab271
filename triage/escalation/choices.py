"""Answers that are chosen: which labels are offered, which one was meant, and what that makes of the odds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from triage.gate import Gate
from triage.policy import Choice, Policy
from triage.prediction import Prediction, Score

MOST_OFFERED = 5
"""Labels that are offered, the likeliest ones: more are not read."""


def choice_question(policy: Policy, target: str, scores: Sequence[Score], language: str | None = None) -> str | None:
    """Return the question that lets somebody choose a target's label, with the labels offered; None without one.

    Example:
        >>> from triage.policy import Category
        >>> categories = (Category("net", "Network"), Category("hw", "Devices"))
        >>> policy = Policy("1", categories=categories, choices=(Choice("category", "Which is it?"),))
        >>> choice_question(policy, "category", [Score("hw", 0.6), Score("net", 0.4)])
        'Which is it? Devices / Network'
    """
    choice = _choice(policy, target)
    known = policy.labels(target)
    offered = [score.label for score in scores if score.label in known][:MOST_OFFERED]
    if choice is None or len(offered) < 2:
        return None
    ask, *words = policy.in_language([choice.ask, *(_words(policy, choice, label) for label in offered)], language)
    return f"{ask} {' / '.join(words)}"


def chosen_label(policy: Policy, question: str, said: str) -> tuple[str, str] | None:
    """Return target and label that an answer chooses; None where the question is no choice, or it chooses none.

    Args:
        policy: Has the choices.
        question: The target's name, or the question as it was asked, in any of the policy's languages, or its
            beginning.
        said: A label, its name, or its statement, in any of the policy's languages.

    Example:
        >>> from triage.policy import Category
        >>> policy = Policy("1", categories=(Category("net", "Network"),), choices=(Choice("category", "Which?"),))
        >>> chosen_label(policy, "Which? Network / Devices", " network"), chosen_label(policy, "Which?", "the cellar")
        (('category', 'net'), None)
    """
    choice = next((one for one in policy.choices if _is_asked(policy, one, question)), None)
    if choice is None:
        return None
    words = _plain(said)
    for entry in policy.entries(choice.target):
        names = (entry.label, entry.name, _words(policy, choice, entry.label))
        if words in {_plain(name) for one in names if one for name in policy.in_all_languages(one)}:
            return choice.target, policy.fold(choice.target, entry.label)
    return None


def is_choice(policy: Policy, question: str) -> bool:
    """Say whether a question is answered by choosing a label; the arguments are those of `chosen_label`."""
    return any(_is_asked(policy, one, question) for one in policy.choices)


def with_chosen(policy: Policy, prediction: Prediction, chosen: Iterable[tuple[str, str]], gate: Gate) -> Prediction:
    """Return a prediction with what somebody chose as evidence beside the text (Bayes' rule).

    The odds of the chosen label are multiplied by the choice's weight. Where a label that must not be missed is likely
    enough to hold a decision back, an answer does not talk it away: there it changes nothing. The set of likely labels
    was measured without answers, and says nothing where one counts.

    Args:
        policy: Has the choices; its labels are the prediction's.
        prediction: What the model makes of the text.
        chosen: Target and label of each choice, of which the last one of a target counts.
        gate: Says which labels must not be missed.
    """
    probabilities, unreviewed = dict(prediction.probabilities), dict(prediction.unreviewed)
    sets = dict(prediction.sets)
    for target, label in dict(chosen).items():
        choice, own = _choice(policy, target), gate.targets.get(target)
        scores = prediction.probabilities.get(target, ())
        if choice is None or not scores or (own is not None and own.is_guarded(scores)):
            continue
        for table in (probabilities, unreviewed):
            if target in table:
                table[target] = policy.ranked(target, _weighed(table[target], label, choice.weight))
        sets.pop(target, None)
    return replace(prediction, probabilities=probabilities, unreviewed=unreviewed, sets=sets)


def _weighed(scores: Sequence[Score], label: str, weight: float) -> list[Score]:
    raised = [one._replace(probability=one.probability * (weight if one.label == label else 1.0)) for one in scores]
    total = sum(one.probability for one in raised) or 1.0
    return [one._replace(probability=one.probability / total) for one in raised]


def _choice(policy: Policy, target: str) -> Choice | None:
    return next((one for one in policy.choices if one.target == target), None)


def _words(policy: Policy, choice: Choice, label: str) -> str:
    entry = policy.entry(choice.target, label)
    says = next((one.says for one in choice.statements if one.label == label), None)
    return says or (entry.name if entry is not None and entry.name else label)


def _is_asked(policy: Policy, choice: Choice, question: str) -> bool:
    return question == choice.target or question.startswith(tuple(policy.in_all_languages(choice.ask)))


def _plain(words: str) -> str:
    return " ".join(words.casefold().split()).rstrip(".!")
