"""Questions that the ticket answers already: `python bench/questions_answered.py [--policy FILE] [--learn]`.

A reader marked, before seeing what the code says, which of the default policy's questions 175 shipped tickets answer,
in three lots of `datasets/`; the patterns were widened on the first one. For each ticket the questions are taken that
the service would ask where each tier in turn is the most probable one, at 0.4 against 0.15 for the others, and the
share is counted that the reader says are answered: by patterns alone, with the policy's own weights of what is told
unseen, and with weights learned on the other organisations, seven times in turn. Tickets are whole, and not only those
that a model abstains on. Choices among labels are not counted: they ask for no fact. `--learn` prints the weights of
all tickets.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from training.question_weights import with_told
from triage.defaults import default_policy
from triage.escalation.questions import answered, settling_questions
from triage.policy import Policy, read_policy
from triage.prediction import Score
from triage.screening.reading import plain

DATA = Path(__file__).parents[1] / "datasets"
LOTS = ("questions-answered.jsonl", "questions-answered-b.jsonl", "questions-answered-c.jsonl")
FIRST, OTHERS = 0.4, 0.15
FOLDS = 7


@dataclass(frozen=True)
class Read:
    """A ticket that the reader read, and the ids of the questions that it answers."""

    lot: str
    organisation: str
    text: str
    told: frozenset[str]


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def read_lots() -> list[Read]:
    texts = {row["id"]: f"{row['subject']}\n{row['body']}" for row in lines(DATA / "tickets.jsonl")}
    return [
        Read(lot, str(row["organisation"]), texts[row["id"]], frozenset(row["answered"]))  # type: ignore[call-overload]
        for lot in LOTS
        for row in lines(DATA / lot)
    ]


def asked_of(policy: Policy, ticket: Read) -> list[str]:
    """Return the questions that are asked, for each tier in turn as the most probable one."""
    tiers = policy.labels("tier")
    rankings = [[Score(label, FIRST if label == top else OTHERS) for label in tiers] for top in tiers]
    return [one.id for scores in rankings for one in settling_questions(policy, scores, ticket.text)]


def report(name: str, pairs: Sequence[tuple[Read, Policy]]) -> None:
    for lot in (*LOTS, "all"):
        some = [(ticket, policy) for ticket, policy in pairs if lot in (ticket.lot, "all")]
        asked, wrong = Counter[str](), Counter[str]()
        for ticket, policy in some:
            for question in asked_of(policy, ticket):
                asked[question] += 1
                wrong[question] += question in ticket.told
        each = asked.total() / (len(some) * len(some[0][1].labels("tier")))
        print(f"{name}, {lot}: {each:.2f} questions a ticket, answered already {wrong.total() / asked.total():.3f}")
    print("  " + ", ".join(f"{one} {wrong[one] / asked[one]:.3f} of {asked[one]}" for one in asked))


def by_patterns(policy: Policy, tickets: Sequence[Read]) -> None:
    for question in policy.catalogue:
        found = Counter((question.id in one.told, answered(question, plain(one.text)) is not None) for one in tickets)
        print(f"  {question.id}: patterns find {found[True, True]}, miss {found[True, False]}, "
              f"invent {found[False, True]}")  # fmt: skip


def crossed(policy: Policy, tickets: Sequence[Read]) -> list[tuple[Read, Policy]]:
    """Return each ticket with the policy whose weights were learned on other organisations."""
    organisations = sorted({one.organisation for one in tickets})
    pairs = []
    for fold in range(FOLDS):
        away = set(organisations[fold::FOLDS])
        known = [one for one in tickets if one.organisation not in away]
        learned = with_told(policy, [one.text for one in known], [one.told for one in known])
        pairs += [(one, learned) for one in tickets if one.organisation in away]
    return pairs


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--policy", type=Path, help="policy with the questions (default: the default policy)")
    parser.add_argument("--learn", action="store_true", help="print the weights learned on all tickets")
    chosen = parser.parse_args()
    policy = read_policy(chosen.policy) if chosen.policy else default_policy()
    bare = replace(policy, catalogue=tuple(replace(one, told={}) for one in policy.catalogue))
    tickets = read_lots()
    by_patterns(policy, tickets)
    report("patterns alone", [(one, bare) for one in tickets])
    report("with the policy's weights", [(one, policy) for one in tickets])
    report("with weights of other organisations", crossed(bare, tickets))
    if chosen.learn:
        for one in with_told(bare, [one.text for one in tickets], [one.told for one in tickets]).catalogue:
            weights = ", ".join(f"{name} = {weight}" for name, weight in one.told.items())
            print(f"{one.id}: told = {{{weights}}}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
