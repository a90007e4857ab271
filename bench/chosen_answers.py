"""Answers that are chosen, simulated: `python bench/chosen_answers.py BUNDLE UNSEEN.jsonl`.

Tickets of unseen organisations are told whole, and in part (subject and the first third of the sentences). Where the
model abstains on the tier or the category, its likeliest labels are offered as the service offers them, and a
simulated requester chooses: the right label at a stated rate, and else a wrong one, drawn from those offered, or, which
is worse, the one that the model holds for likeliest. Who finds the right one missing chooses nothing. The ticket is
decided again by the same gate. For tickets told in part that are not clear then, the service's next question is
answered by the held-back sentence that speaks of it. Everything is averaged over five draws.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from scipy.stats import beta

from models.screening import shipped_classifier
from models.triager import Triager
from training.question_weights import answer_to, told_in_part
from triage.decide import decide
from triage.decision import Automation, Decision
from triage.defaults import default_policy
from triage.escalation.choices import MOST_OFFERED
from triage.escalation.questions import settling_questions
from triage.policy import Choice
from triage.prediction import Prediction
from triage.screening import Opinion
from triage.ticket import Ticket

CHOSEN = Path(__file__).parents[1] / "datasets" / "labels-chosen.jsonl"
DRAWS = 5
RATES = (0.7, 0.8, 0.9, 0.95)
WAYS = ("any", "likeliest")
TARGETS = ("tier", "category")
Decider = Callable[[Sequence[Ticket]], list[Decision]]


@dataclass(frozen=True)
class Told:
    """A ticket as it was told, what was held back of it, and its labels."""

    ticket: Ticket
    rest: tuple[str, ...]
    labels: dict[str, str]


def decider(triager: Triager) -> Decider:
    """Return what decides tickets as the triager does, but reads each text once, and decides each choice once."""
    known: dict[str, tuple[Prediction, Opinion]] = {}
    decisions: dict[tuple[str, str, tuple[tuple[str, str], ...]], Decision] = {}

    def decided(tickets: Sequence[Ticket]) -> list[Decision]:
        new = list({one.text: one for one in tickets if one.text not in known}.values())
        assert triager.bundle is not None
        for start in range(0, len(new), 256):
            some = new[start : start + 256]
            read = triager.bundle.predict(some, explain=False, clearance=0)
            opinions = shipped_classifier().opinions(some)
            known.update((one.text, pair) for one, pair in zip(some, zip(read, opinions, strict=True), strict=True))
        return [made(one) for one in tickets]

    def made(one: Ticket) -> Decision:
        key = one.id, one.text, one.chosen
        if key not in decisions:
            read, opinion = known[one.text]
            decisions[key] = decide(one, read, triager.gate, triager.rules, policy=triager.policy, opinion=opinion)
        return decisions[key]

    return decided


def is_clear(decision: Decision, target: str) -> bool:
    return decision.targets[target].automation is Automation.AUTOMATIC


def chosen(one: Told, decision: Decision, target: str, rate: float, *, way: str, draw: random.Random) -> Ticket:
    """Return the ticket with what the simulated requester chooses, if anything."""
    offered = [score.label for score in decision.targets[target].alternatives][:MOST_OFFERED]
    right = one.labels[target]
    wrong = [label for label in offered if label != right]
    if draw.random() < rate:
        label = right if right in offered else None
    else:
        label = wrong[0] if way == "likeliest" else draw.choice(wrong)
    return one.ticket if label is None else replace(one.ticket, chosen=(*one.ticket.chosen, (target, label)))


def second_answer(one: Told, decision: Decision, triager: Triager) -> tuple[Ticket, bool]:
    """Ask the service's best question besides; True where the held-back text answers it."""
    policy = triager.policy
    found = settling_questions(policy, decision.targets["tier"].alternatives, one.ticket.text, 1)
    answer = answer_to(found[0], one.rest) if found else None
    if answer is None:
        return one.ticket, False
    return replace(one.ticket, body=f"{one.ticket.body}\n\n{answer}"), True


def simulate(told: list[Told], target: str, decided: Decider, triager: Triager) -> None:
    first = decided([one.ticket for one in told])
    open_ones = [
        (one, before)
        for one, before in zip(told, first, strict=True)
        if before.kind is None and not is_clear(before, target)
    ]
    why = Counter(before.targets[target].reason.value for _, before in open_ones)
    sets = [(one.labels[target], before.targets[target].likely) for one, before in open_ones]
    print(
        f"  {target}: abstained {len(open_ones)} of {len(told)}; {dict(why)}; the prediction set holds one label in "
        f"{sum(len(likely) == 1 for _, likely in sets) / len(sets):.3f}, and the right one in "
        f"{sum(right in likely for right, likely in sets) / len(sets):.3f}"
    )
    for rate in RATES:
        for way in WAYS:
            cells = []
            counts = Counter[tuple[str, str]]()
            for seed in range(DRAWS):
                draw = random.Random(seed)
                asked = partial(chosen, target=target, rate=rate, way=way, draw=draw)
                heard = [replace(one, ticket=asked(one, before)) for one, before in open_ones]
                after = decided([one.ticket for one in heard])
                count(counts, "one", heard, after, target)
                if target == "tier" and any(one.rest for one in heard):
                    pairs = [
                        (one.ticket, False) if is_clear(now, target) else second_answer(one, now, triager)
                        for one, now in zip(heard, after, strict=True)
                    ]
                    counts["two", "answered"] += sum(answered for _, answered in pairs)
                    count(counts, "two", heard, decided([ticket for ticket, _ in pairs]), target)
            for answers in ("one", "two"):
                if counts[answers, "all"]:
                    clear, wrong = counts[answers, "clear"], counts[answers, "wrong"]
                    upper = beta.ppf(0.95, wrong / DRAWS + 1, (clear - wrong) / DRAWS)
                    share = clear / counts[answers, "all"]
                    cells.append(f"{answers} {share:.3f}, wrong {wrong / max(1, clear):.3f} (at most {upper:.3f})")
            print(f"    right at {rate:.2f}, else {way:<9}: " + "; ".join(cells))


def count(
    counts: Counter[tuple[str, str]], answers: str, told: Sequence[Told], after: Sequence[Decision], target: str
) -> None:
    for one, now in zip(told, after, strict=True):
        clear = is_clear(now, target)
        counts[answers, "all"] += 1
        counts[answers, "clear"] += clear
        counts[answers, "wrong"] += clear and now.targets[target].label != one.labels[target]


def whole_route(told: list[Told], decided: Decider, rate: float, way: str) -> None:
    """Say how many routes are clear, tier and category, after each was chosen where it was in doubt."""
    first, draw = decided([one.ticket for one in told]), random.Random(0)
    heard = list(told)
    for target in TARGETS:
        heard = [
            one
            if is_clear(before, target)
            else replace(one, ticket=chosen(one, before, target, rate, way=way, draw=draw))
            for one, before in zip(heard, first, strict=True)
        ]
    for name, decisions in (("before", first), ("after", decided([one.ticket for one in heard]))):
        clear = [
            (one, now)
            for one, now in zip(told, decisions, strict=True)
            if now.kind is None and all(is_clear(now, target) for target in TARGETS)
        ]
        wrong = sum(any(now.targets[t].label != one.labels[t] for t in TARGETS) for one, now in clear)
        print(f"  route {name}, right at {rate:.2f}, else {way}: {len(clear) / len(told):.3f} clear, "
              f"of those wrong {wrong / max(1, len(clear)):.3f}")  # fmt: skip


def by_a_reader() -> None:
    """Say how often somebody who read tickets without their labels chose rightly."""
    true = {row["id"]: row for row in map(json.loads, (CHOSEN.parent / "tickets.jsonl").open(encoding="utf-8"))}
    rows = [json.loads(line) for line in CHOSEN.read_text("utf-8").splitlines()]
    for target in TARGETS:
        right = sum(row[target] == true[row["id"]][target] for row in rows)
        print(f"a reader chose the {target} rightly for {right} of {len(rows)} tickets")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("unseen", type=Path, help="tickets of organisations that the bundle was not trained on")
    parser.add_argument("--told", choices=("whole", "in part"), nargs="*", default=("whole", "in part"))
    parser.add_argument("--targets", choices=TARGETS, nargs="*", default=TARGETS)
    parser.add_argument("--right", type=float, help="how right a choice is taken to be (default: the default policy's)")
    options = parser.parse_args()
    triager = Triager.load(options.bundle)
    source = default_policy()
    # A bundle keeps the policy that it was trained under: questions and choices are those of now.
    choices = tuple(Choice(one.target, one.ask, options.right or one.right, one.statements) for one in source.choices)
    triager.policy = replace(triager.policy, choices=choices, catalogue=source.catalogue)
    rows = [json.loads(line) for line in options.unseen.read_text("utf-8").splitlines()]
    tickets = [Ticket(id=row["id"], subject=row["subject"], body=row["body"], channel=row["channel"]) for row in rows]
    labels = {row["id"]: {target: row[target] for target in TARGETS} for row in rows}
    by_a_reader()
    decided = decider(triager)
    whole = [Told(ticket, (), labels[ticket.id]) for ticket in tickets]
    part = [Told(one.ticket, one.rest, labels[one.ticket.id]) for one in told_in_part(tickets, triager)]
    for name, told in (("whole", whole), ("in part", part)):
        if name not in options.told:
            continue
        print(f"told {name}: {len(told)} tickets")
        for target in options.targets:
            simulate(told, target, decided, triager)
        for way in WAYS if options.targets == TARGETS else ():
            whole_route(told, decided, 0.9, way)
    finished = dict(zip((one.id for one in tickets), decided(tickets), strict=True))
    for target in TARGETS:
        open_ones = [one for one, now in zip(part, decided([one.ticket for one in part]), strict=True)
                     if not is_clear(now, target)]  # fmt: skip
        share = sum(is_clear(finished[one.ticket.id], target) for one in open_ones) / max(1, len(open_ones))
        print(f"of the tickets told in part that abstain on the {target}, the whole text clears {share:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
