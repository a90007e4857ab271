"""Questions that settle the tier, simulated: `python bench/settling_questions.py BUNDLE TRAINED.jsonl UNSEEN.jsonl`.

Of each ticket of unseen organisations only the subject and the first third of its sentences are given; the rest is
held back. Where the model abstains on the tier, one question at a time is asked, and the held-back sentence that
answers it is added: then the model decides again, by the same gate. Three ways to choose the question are compared on
the same tickets: that of the service, the best fixed list, and chance. What the first two know is learned on the
organisations that the model was trained on.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from scipy.stats import binomtest

from models.triager import Triager
from training.question_weights import with_settling, with_weights
from triage.decision import Automation, Decision
from triage.defaults import default_policy
from triage.escalation.questions import answered, settling_questions
from triage.policy import Policy, Question, read_policy
from triage.screening.reading import Reading, plain
from triage.ticket import Ticket

GIVEN = 1 / 3
ROUNDS = 4
PRACTICE = 900
WAYS = ("gain", "list", "chance")


@dataclass(frozen=True)
class Case:
    """A ticket of which only a part was said, what was held back, and what was decided so far."""

    ticket: Ticket
    held_back: tuple[str, ...]
    tier: str
    decision: Decision | None = None
    asked: tuple[str, ...] = ()
    answers: int = 0
    clear_at: int = 0


def read(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def case_of(row: dict[str, str]) -> Case | None:
    sentences = [row["body"][start:end].strip() for start, end in Reading(row["body"]).sentences]
    given = max(1, round(len(sentences) * GIVEN))
    if len(sentences) <= given:
        return None
    ticket = Ticket(id=row["id"], subject=row["subject"], body=" ".join(sentences[:given]), channel=row["channel"])
    return Case(ticket, tuple(sentences[given:]), row["tier"])


def cases_of(rows: list[dict[str, str]]) -> list[Case]:
    return [case for row in rows if (case := case_of(row)) is not None]


def answer_to(question: Question, case: Case) -> str | None:
    """Return the held-back sentence that answers a question; None where the ticket never says."""
    return next((one for one in case.held_back if answered(question, plain(one))), None)


def is_clear(decision: Decision | None) -> bool:
    return decision is not None and decision.targets["tier"].automation is Automation.AUTOMATIC


def choose(way: str, case: Case, policy: Policy, order: list[str], draw: random.Random) -> Question | None:
    said = plain(case.ticket.text)
    open_ones = [one for one in policy.catalogue if one.id not in case.asked and not answered(one, said)]
    if way == "gain":
        assert case.decision is not None
        left = replace(policy, catalogue=tuple(open_ones))
        found = settling_questions(left, case.decision.targets["tier"].alternatives, case.ticket.text, 1)
        return found[0] if found else None
    if way == "list":
        return min(open_ones, key=lambda one: order.index(one.id), default=None)
    return draw.choice(open_ones) if open_ones else None


def decided(cases: list[Case], triager: Triager) -> list[Case]:
    decisions = triager.decide([case.ticket for case in cases])
    return [replace(case, decision=one) for case, one in zip(cases, decisions, strict=True)]


def asked_once(case: Case, question: Question | None) -> tuple[Case, bool]:
    """Ask a question; True where it was answered."""
    if question is None:
        return case, False
    case = replace(case, asked=(*case.asked, question.id))
    answer = answer_to(question, case)
    if answer is None:
        return case, False
    ticket = replace(case.ticket, body=f"{case.ticket.body}\n\n{answer}")
    left = tuple(one for one in case.held_back if one != answer)
    return replace(case, ticket=ticket, held_back=left, answers=case.answers + 1), True


def best_list(cases: list[Case], policy: Policy, triager: Triager) -> list[str]:
    """Return the questions by how many of these abstained tickets each settles alone, the best first."""
    settled = Counter[str]()
    for question in policy.catalogue:
        tried = [asked_once(case, question) for case in cases if not answered(question, plain(case.ticket.text))]
        after = decided([case for case, answer in tried if answer], triager)
        settled[question.id] = sum(is_clear(case.decision) for case in after)
    return sorted((one.id for one in policy.catalogue), key=lambda one: -settled[one])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("trained", type=Path, help="tickets that the bundle was trained on: weights and the best list")
    parser.add_argument("unseen", type=Path, help="tickets of organisations that it was not")
    parser.add_argument("--policy", type=Path, help="policy with the questions (default: that of the bundle)")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    triager = Triager.load(chosen.bundle)
    source = read_policy(chosen.policy) if chosen.policy else default_policy()
    trained = read(chosen.trained)
    tickets = [Ticket(subject=row["subject"], body=row["body"]) for row in trained]
    policy = with_weights(source, tickets, [row["tier"] for row in trained])
    draw = random.Random(chosen.seed)
    policy = with_settling(policy, triager, draw.sample(tickets, min(PRACTICE, len(tickets))))
    triager.policy = replace(triager.policy, catalogue=policy.catalogue)
    draw = random.Random(chosen.seed)
    some = draw.sample(trained, min(PRACTICE, len(trained)))
    practice = [case for case in decided(cases_of(some), triager) if not is_clear(case.decision)]
    order = best_list(practice, policy, triager)
    cases = decided(cases_of(read(chosen.unseen)), triager)
    abstained = [case for case in cases if not is_clear(case.decision) and case.decision and case.decision.kind is None]
    share = len(abstained) / len(cases)
    print(f"{len(cases)} tickets of which a third was said; the model abstains on {share:.2f}; best list: {order}")
    cleared: dict[tuple[str, int], list[bool]] = {}
    for way in WAYS:
        now, draw = abstained, random.Random(chosen.seed)
        for asked in range(1, ROUNDS + 1):
            pairs = [(one, None if is_clear(one.decision) else choose(way, one, policy, order, draw)) for one in now]
            heard = [asked_once(one, question)[0] for one, question in pairs]
            now = noted(decided(heard, triager), now)
            cleared[way, asked] = [is_clear(case.decision) for case in now]
            print(f"  {way:<7} {asked} asked: {sum(cleared[way, asked]) / len(now):.3f} of all abstained clear")
        report(way, now)
    for asked in range(1, ROUNDS + 1):
        for rival in WAYS[1:]:
            compare(cleared["gain", asked], cleared[rival, asked], f"{asked} asked: gain against {rival}")
    return 0


def noted(cases: list[Case], before: list[Case]) -> list[Case]:
    """Note at which answer each ticket became clear."""
    return [
        replace(case, clear_at=case.answers) if is_clear(case.decision) and not is_clear(old.decision) else case
        for case, old in zip(cases, before, strict=True)
    ]


def report(way: str, cases: list[Case]) -> None:
    one = [case for case in cases if case.answers >= 1]
    two = [case for case in cases if case.answers >= 2 or case.clear_at == 1]
    done = [case for case in cases if is_clear(case.decision)]
    wrong = sum(case.decision is not None and case.decision.tier != case.tier for case in done)
    first = sum(case.clear_at == 1 for case in one) / max(1, len(one))
    second = sum(case.clear_at in (1, 2) for case in two) / max(1, len(two))
    print(
        f"  {way:<7} clear after one answer {first:.3f} (of {len(one)}), after two {second:.3f} (of {len(two)}); "
        f"wrong among the cleared {wrong / max(1, len(done)):.3f}"
    )


def compare(ours: list[bool], theirs: list[bool], name: str) -> None:
    """McNemar's exact test on the same tickets."""
    only_ours = sum(a and not b for a, b in zip(ours, theirs, strict=True))
    only_theirs = sum(b and not a for a, b in zip(ours, theirs, strict=True))
    p = binomtest(only_ours, only_ours + only_theirs).pvalue if only_ours + only_theirs else 1.0
    print(f"  {name}: {only_ours} only by the first, {only_theirs} only by the second, p = {p:.2g}")


if __name__ == "__main__":
    sys.exit(main())
