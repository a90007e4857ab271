"""Questions that the ticket answers already: `python bench/questions_answered.py [--policy FILE]`.

A reader marked, before seeing what the code says, which of the default policy's questions each of 65 shipped tickets
answers (`datasets/questions-answered.jsonl`). For each ticket the questions are taken that the service would ask where
each tier in turn is the most probable one, at 0.4 against 0.15 for the others, and the share is counted that the
reader says are answered. Tickets are whole, and not only those that a model abstains on.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

from triage.defaults import default_policy
from triage.escalation.questions import answered, settling_questions
from triage.policy import read_policy
from triage.prediction import Score
from triage.screening.reading import plain

DATA = Path(__file__).parents[1] / "datasets"
FIRST, OTHERS = 0.4, 0.15


def read(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--policy", type=Path, help="policy with the questions (default: the default policy)")
    chosen = parser.parse_args()
    policy = read_policy(chosen.policy) if chosen.policy else default_policy()
    tickets = {row["id"]: f"{row['subject']}\n{row['body']}" for row in read(DATA / "tickets.jsonl")}
    asked, wrong, found = Counter[str](), Counter[str](), Counter[tuple[str, bool, bool]]()
    for row in read(DATA / "questions-answered.jsonl"):
        text, told = tickets[row["id"]], set(row["answered"])  # type: ignore[call-overload]
        for question in policy.catalogue:
            found[question.id, question.id in told, answered(question, plain(text)) is not None] += 1
        for top in policy.labels("tier"):
            scores = [Score(label, FIRST if label == top else OTHERS) for label in policy.labels("tier")]
            for question in settling_questions(policy, scores, text):
                asked[question.id] += 1
                wrong[question.id] += question.id in told
    print(f"{asked.total()} questions asked, of which the ticket answers {wrong.total() / asked.total():.3f}")
    for question in policy.catalogue:
        name = question.id
        right, missed, invented = (
            found[name, told, said] for told, said in ((True, True), (True, False), (False, True))
        )
        share = wrong[name] / asked[name] if asked[name] else 0.0
        print(
            f"  {name:<10} asked {asked[name]:>4}, answered already {share:.3f}; answers in tickets found {right}, "
            f"missed {missed}, invented {invented}"
        )
    others = asked.total() - asked["kind"]
    print(f"  without 'kind': {(wrong.total() - wrong['kind']) / max(1, others):.3f} of {others}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
