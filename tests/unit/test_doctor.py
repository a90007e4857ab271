"""What the data doctor must get right: rare labels, what gives a label away, machines, and contradictions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from training.data.dataset import Dataset, LabelledTicket
from training.data.finding import NOTICE, SERIOUS, Finding
from training.evaluation.seen import Seen
from training.quality.checks import diagnose
from training.quality.giveaways import giveaways
from triage.ticket import Ticket

WORDS = {
    "network": ["wifi", "vpn", "router", "switch", "cable", "packet", "gateway", "proxy", "roaming", "signal"],
    "printing": ["printer", "toner", "paper", "tray", "scan", "duplex", "stapler", "fuser", "driver", "queue"],
    "access": ["password", "account", "locked", "login", "reset", "user", "token", "badge", "role", "group"],
}
FILLER = [
    "please",
    "help",
    "since",
    "morning",
    "again",
    "floor",
    "office",
    "colleague",
    "urgent",
    "today",
    "work",
    "cannot",
    "start",
    "tried",
    "twice",
]


def history(count: int, text: Callable[[str, str, int], str] = lambda label, body, number: body) -> Dataset:
    rng = np.random.default_rng(11)
    rows = []
    for number in range(count):
        label = list(WORDS)[number % 3]
        body = " ".join([*rng.choice(WORDS[label], 3), *rng.choice(FILLER, 9)])
        ticket = Ticket(f"T{number}", f"Trouble with {rng.choice(WORDS[label])}", text(label, body, number))
        rows.append(LabelledTicket(ticket, {"category": label}, place=f"rows.csv:{number + 2}"))
    return Dataset(rows, ("category",), "d")


def findings(data: Dataset, code: str) -> list[Finding]:
    return [finding for finding in diagnose(data).findings if finding.code == code]


def test_a_rare_label_that_the_text_tells_perfectly_is_no_serious_finding() -> None:
    rng = np.random.default_rng(2)
    rows = [
        LabelledTicket(Ticket(str(number), body=" ".join(rng.choice(FILLER, 10)) + (" phish" if number < 12 else "")),
                       {"category": "security" if number < 12 else "ordinary"})
        for number in range(600)
    ]  # fmt: skip
    diagnosis = diagnose(Dataset(rows, ("category",), "d"))
    assert not diagnosis.serious, diagnosis.findings


def test_labels_that_the_text_does_not_tell_are_serious_however_rare() -> None:
    rng = np.random.default_rng(2)
    rows = [
        LabelledTicket(Ticket(str(number), body=" ".join(rng.choice(FILLER, 10))),
                       {"category": "security" if number < 60 else "ordinary"})
        for number in range(600)
    ]  # fmt: skip
    (found,) = findings(Dataset(rows, ("category",), "d"), "category-unrelated")
    assert found.severity == SERIOUS


GIVING_AWAY: dict[str, Callable[[str, str, int], str]] = {
    "footer": lambda label, body, number: body + (
        f"\n\nNetwork operations team, extension {number}" if label == "network" and number % 2 else "\n\nKind regards"
    ),
    "banner": lambda label, body, number: (f"Handled by the {label} desk\n" if label == "network" else "") + body,
    "flattened footer": lambda label, body, number: f"{body} {' '.join(FILLER[number % 5 : number % 5 + 8])} -- " + (
        "printing hotline for you" if label == "printing" else "thanks a lot"
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", GIVING_AWAY)
def test_what_gives_a_label_away_is_found_by_what_predicts_too_well(kind: str) -> None:
    found = findings(history(300, GIVING_AWAY[kind]), "category-given-away")
    assert len(found) == 1, found
    assert found[0].severity == SERIOUS
    assert ("printing" if kind == "flattened footer" else "network") in found[0].what


def test_tags_of_a_subject_are_found_as_well() -> None:
    data = history(240)
    rows = [
        LabelledTicket(Ticket(row.ticket.id, f"Re: [NOC] {row.ticket.subject}", row.ticket.body), row.labels)
        if row.labels["category"] == "network"
        else row
        for row in data.rows
    ]
    assert [
        one.what.split(" stands")[0] for one in findings(Dataset(rows, ("category",), "d"), "category-given-away")
    ] == ["'[noc]'"]


def test_what_everybody_writes_gives_nothing_away() -> None:
    data = history(300, lambda label, body, number: f"Hello,\n{body}\nKind regards\nSent from my phone")
    assert not findings(data, "category-given-away")


def test_mail_by_machines_is_told_by_label() -> None:
    def alert(label: str, body: str, number: int) -> str:
        if label != "network":
            return body
        return (
            f"PROBLEM alert: service {body.split()[0]}-{number} on host srv-{number}.example.net is CRITICAL\n"
            f"State: CRITICAL for {number}m\nDate/Time: 2024-05-{number % 28 + 1:02d} 10:00:00\nAdditional info: {body}"
        )

    (found,) = findings(history(300, alert), "category-machine-mail")
    assert "100% of the category 'network' were written by machines" in found.what


def test_twins_that_contradict_each_other_are_told_from_those_that_differ_in_numbers() -> None:
    data = history(90)

    def again(place: int, change: Callable[[str], str], label: str) -> LabelledTicket:
        row = data.rows[place]
        return LabelledTicket(Ticket(f"X{place}", row.ticket.subject, change(row.ticket.body)), {"category": label})

    same = [again(place, str.upper, "access") for place in range(0, 45, 3)]
    (found,) = findings(Dataset([*data.rows, *same], ("category",), "d"), "category-conflicting-duplicates")
    assert (found.severity, found.rows) == (SERIOUS, 30)
    data = history(90, lambda label, body, number: f"{body} on srv-{number}")
    other = [again(place, lambda body: body.rpartition("-")[0] + "-777", "access") for place in range(0, 45, 3)]
    (found,) = findings(Dataset([*data.rows, *other], ("category",), "d"), "category-conflicting-duplicates")
    assert (found.severity, found.rows) == (NOTICE, 30)
    assert "30 of them differ in numbers, hosts or times" in found.what


def test_messages_of_one_ticket_are_told() -> None:
    data = history(60)
    more = [
        LabelledTicket(Ticket(row.ticket.id, body=f"any news on this {row.ticket.id}?"), row.labels)
        for row in data.rows
    ]
    (found,) = findings(Dataset([*data.rows, *more], ("category",), "d"), "repeated-ids")
    assert found.rows == 120 and "60 ids" in found.what and "one side of every split" in found.do


@pytest.mark.parametrize(
    ("asked", "new"),
    [
        ("{0}", False),
        ("{0} thank you", False),
        ("my mouse is dead", True),
        ("{1} my mouse is dead and the screen shows nothing at all since the thunderstorm of last night", True),
    ],
)
def test_what_a_bundle_has_seen_is_told_by_near_duplicates(asked: str, new: bool) -> None:
    rows: list[Any] = history(60).rows
    bodies = [f"{row.ticket.subject} {row.ticket.body}" for row in rows]
    seen = Seen.of([LabelledTicket(Ticket("", body=body), {}) for body in bodies])
    ticket = Ticket("T0", body=asked.format(*bodies))
    assert seen.lacks([LabelledTicket(ticket, {})]).tolist() == [new]
    assert set(seen.files()) == {"seen.npy", "seen-sketches.npy"}


def test_labels_that_are_paths_are_examined_at_the_level_they_are_learned_at() -> None:
    data = history(180)
    rows = [
        LabelledTicket(row.ticket, {"category": f"IT > {row.labels['category']} > {number % 20}"})
        for number, row in enumerate(data.rows)
    ]
    diagnosis = diagnose(Dataset(rows, ("category",), "d"))
    assert not diagnosis.serious, diagnosis.findings
    assert len(diagnosis.balance["category"]) > 50  # as written


def test_five_lines_at_most_are_told_to_give_labels_away() -> None:
    rows = [
        LabelledTicket(
            Ticket(str(n), body=f"word{n} and something else of {n}\nbanner of team {'abcdefgh'[n % 8] * 3}"),
            {"category": "printing" if n % 8 < 7 else "access"},
            place=f"rows.csv:{n}",
        )
        for n in range(320)
    ]
    rows += [LabelledTicket(Ticket(str(n), body=f"quite another {n}"), {"category": "access"}) for n in range(320, 640)]
    assert len(list(giveaways(rows, "category", np.arange(len(rows))))) == 5
