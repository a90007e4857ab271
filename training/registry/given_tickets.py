"""Two versions on tickets that somebody gives: each is asked and judged in the words of its own policy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from models.triager import Triager
from training.data.dataset import Dataset
from training.data.labels import in_words_of
from training.evaluation.champion import unseen_by
from training.evaluation.evaluate import measure
from training.evaluation.predictions import ask, record_of
from training.evaluation.record import Record
from triage.errors import InvalidRequest

_LEAST_KNOWN = 0.5
"""Share of the labels of a target that one of the two must know: below, nearly all of them are errors of both."""
_NAMED = 3


@dataclass(frozen=True)
class Asked:
    """What a version answered to given tickets.

    Attributes:
        record: The answers, and the right ones in the words of its policy.
        unknown: By target, how often each label was given that its policy does not have.
    """

    record: Record
    unknown: dict[str, Counter[str]]


def new_to_both(dataset: Dataset, paths: Sequence[Path], triagers: Sequence[Triager]) -> Dataset:
    """Leave out the tickets that a version was given to learn from, and those that do not count.

    Returns:
        The others, each with a place of its own, by which it is known again.

    Raises:
        InvalidRequest: If none is left.
    """
    new = unseen_by(dataset.rows, paths, triagers)
    kept = [row for row, unseen in zip(dataset.rows, new, strict=True) if unseen and row.weight > 0]
    if not kept:
        raise InvalidRequest(
            f"all {len(dataset)} tickets given are ones that a version has learned from: give later ones"
        )
    return replace(dataset, rows=[replace(row, place=str(number)) for number, row in enumerate(kept)])


def asked(triager: Triager, dataset: Dataset) -> Asked:
    """Put tickets to a version, with their labels in the words of its policy.

    Args:
        triager: The version.
        dataset: As `new_to_both` returns it.
    """
    rows = in_words_of(triager.policy, dataset)
    answers = ask(triager, rows)
    record = record_of(triager, answers, measure(triager, answers))
    facts = [replace(fact, digest=row.place) for fact, row in zip(record.facts, rows, strict=True)]
    unknown = {}
    for target, outcome in answers.targets.items():
        known = {*triager.policy.labels(target), *outcome.labels}
        unknown[target] = Counter(label for label in outcome.true.tolist() if label not in known)
    return Asked(replace(record, facts=facts), unknown)


def unfit(before: Asked, after: Asked) -> list[str]:
    """Say for which targets the labels are such that no comparison means anything: neither version knows them."""
    found = []
    for target, outcome in before.record.outcomes.items():
        mine = after.record.outcomes.get(target)
        if mine is None:
            continue
        theirs, ours = (one.unknown[target] for one in (before, after))
        missed = min((theirs.total(), len(outcome.rows), theirs), (ours.total(), len(mine.rows), ours), key=_share)
        if _share(missed) > 1 - _LEAST_KNOWN:
            found.append(
                f"{target}: {missed[0]} of {missed[1]} labels given are known to neither version, such as "
                f"{_some(missed[2])}: map the column that has the labels of the policy, or give it aliases for these"
            )
    return found


def told(before: Asked, after: Asked) -> list[str]:
    """Say which labels one of two versions does not know, so that their tickets count as its errors."""
    return [
        f"{target}: {labels.total()} labels given are not known to the {whose}, such as {_some(labels)}: they count as "
        "its errors"
        for whose, one in (("champion", before), ("challenger", after))
        for target, labels in one.unknown.items()
        if labels
    ]


def _share(counted: tuple[int, int, Counter[str]]) -> float:
    return counted[0] / max(1, counted[1])


def _some(labels: Counter[str]) -> str:
    return ", ".join(repr(label) for label, _ in labels.most_common(_NAMED))


def unanswered(before: Record, theirs: Triager, ours: Triager) -> list[str]:
    """Say which targets the champion decides that no ticket compares.

    Args:
        before: What the champion answered.
        theirs: The champion.
        ours: The challenger.
    """
    decided = [target for target in theirs.policy.targets if target in theirs.gate.targets]
    return [
        f"the champion decides {target}, and no ticket to compare on has a {target}: map the column that has it, such "
        f"as --map {target}=COLUMN, or promote it all the same with --force"
        if target in ours.gate.targets
        else f"the champion decides {target} and the challenger does not, so {target} would go unanswered: train on "
        f"tickets that have a {target}, or promote it all the same with --force"
        for target in decided
        if target not in before.outcomes
    ]


def share_decided(record: Record) -> dict[str, float]:
    """Return the share of the tickets asked about that was decided, by target."""
    return {target: float(np.mean(one.kept)) for target, one in record.outcomes.items() if len(one.kept)}
