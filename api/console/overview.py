"""The figures of the overview, each as a table: what the page draws is what its CSV files hold."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from api.console.drift import TICKETS_BETWEEN_FALSE_ALARMS, alarms, label_alarms
from api.console.intervals import confidence_sequence
from api.store.rows import DecisionRow, disputed_among, standing_feedback
from api.store.work.figures import OWN_ENOUGH, Cell, Day, Signal
from triage.policy import Effort
from triage.wording import phrase_why_asked

BINS = 10
"""Bins of the reliability diagram, of equal width."""
_REASONS = 5
"""Reasons that are counted apart over time."""
_POINTS = 120
"""Most points of a curve: more do not show at the width of a page."""
_ONCE = (
    "Each ticket counts once, by its newest text; those that assistants ask about count under none, and those of the "
    f"sample day only while there are fewer than {OWN_ENOUGH} others."
)
Row = tuple[str | int | float | None, ...]


@dataclass(frozen=True)
class Table:
    """A figure: its name in addresses, its title, what it means, its columns and rows."""

    name: str
    title: str
    meaning: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def funnel(name: str, title: str, cells: Iterable[Cell], key: Callable[[Cell], str | None]) -> Table:
    """Count from what was received to what was corrected, by the label that a cell has."""
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    for cell in cells:
        steps = counted[key(cell) or "–"]
        steps["received"] += cell.count
        steps["with_model"] += cell.count * cell.by_model
        steps["automatic"] += cell.count * (cell.automation == "automatic")
        if cell.verdict:
            steps[cell.verdict] += cell.count
    columns = ("received", "with_model", "automatic", "accepted", "corrected", "unsure")
    rows: tuple[Row, ...] = tuple((label, *(steps[one] for one in columns)) for label, steps in sorted(counted.items()))
    meaning = (
        "Received, decided with a model and not by rules alone, decided without a person, and what people said; each "
        f"under the label that stands now, which people may have chosen. {_ONCE}"
    )
    return Table(name, title, meaning, columns=("label", *columns), rows=rows)


def reasons(cells: Iterable[Cell]) -> Table:
    """Count why decisions were not automatic."""
    counted: Counter[str] = Counter()
    for cell in cells:
        if cell.automation != "automatic":
            counted[phrase_why_asked(cell.reason, drawn=cell.audit, moved=cell.moved)] += cell.count
    rows = tuple(counted.most_common())
    return Table(
        "reasons",
        "Why a person is asked",
        f"Decisions that were not automatic, by reason. {_ONCE}",
        columns=("reason", "decisions"),
        rows=rows,
    )


def rules(cells: Iterable[Cell]) -> Table:
    """Count how often each written rule spoke, and what people said of it."""
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    everything = 0
    for cell in cells:
        everything += cell.count
        if cell.rule:
            counted[cell.rule]["spoke"] += cell.count
            counted[cell.rule][cell.verdict or "open"] += cell.count
    rows: list[Row] = []
    for rule, steps in sorted(counted.items(), key=lambda one: -one[1]["spoke"]):
        judged = steps["accepted"] + steps["corrected"]
        precision = round(steps["accepted"] / judged, 3) if judged else None
        rows.append((rule, steps["spoke"], round(steps["spoke"] / everything, 4), judged, precision))
    meaning = (
        "How often a rule spoke, the share of all decisions, and the share of judged ones that people accepted whole. "
        f"{_ONCE}"
    )
    return Table(
        "rules",
        "Written rules",
        meaning,
        columns=("rule", "spoke", "coverage", "judged", "precision"),
        rows=tuple(rows),
    )


def days(counted: Iterable[Day]) -> Table:
    """Count decisions by day."""
    by_day: dict[str, Counter[str]] = defaultdict(Counter)
    for one in counted:
        by_day[one.day]["received"] += one.count
        by_day[one.day]["automatic"] += one.count * (one.automation == "automatic")
        by_day[one.day][one.verdict or "open"] += one.count
    columns = ("received", "automatic", "accepted", "corrected")
    rows: tuple[Row, ...] = tuple((day, *(steps[one] for one in columns)) for day, steps in sorted(by_day.items()))
    meaning = f"Decisions by the day (UTC) on which they were made. {_ONCE}"
    return Table("days", "Over time", meaning, columns=("day", *columns), rows=rows)


def reasons_by_day(counted: Iterable[Day]) -> Table:
    """Count by day why a person was asked: the commonest reasons apart, the others together."""
    asked = [
        (one.day, phrase_why_asked(one.reason, drawn=one.audit, moved=one.moved), one.count)
        for one in counted
        if one.automation != "automatic"
    ]
    total: Counter[str] = Counter()
    for _, reason, count in asked:
        total[reason] += count
    named = [reason for reason, _ in total.most_common(_REASONS)]
    by_day: dict[str, Counter[str]] = defaultdict(Counter)
    for day, reason, count in asked:
        by_day[day][reason if reason in named else ""] += count
    rows: tuple[Row, ...] = tuple(
        (day, *(steps[reason] for reason in named), steps[""]) for day, steps in sorted(by_day.items())
    )
    return Table(
        "reasons-days",
        "Why a person is asked, over time",
        f"Decisions that were not automatic, by day (UTC) and reason. {_ONCE}",
        columns=("day", *named, "other reasons"),
        rows=rows,
    )


def minutes(cells: Iterable[Cell], effort: Effort, wrong: float) -> Table:
    """Reckon what was saved, in minutes of people's work.

    Args:
        cells: The decisions that count.
        effort: The policy's figures.
        wrong: Share of automatic decisions that is taken to be wrong where nobody looked, in [0, 1].
    """
    counted: Counter[tuple[str, str | None]] = Counter()
    for cell in cells:
        counted["automatic" if cell.automation == "automatic" else "suggested", cell.verdict] += cell.count
    spared, price = effort.by_hand_min, effort.reassign_min
    outcomes = (
        ("decided alone, nobody looked", ("automatic", None), spared - wrong * price),
        ("decided alone, found right", ("automatic", "accepted"), spared - effort.check_min),
        ("decided alone, found wrong", ("automatic", "corrected"), -price),
        ("suggestion accepted", ("suggested", "accepted"), spared - effort.check_min),
        ("suggestion corrected", ("suggested", "corrected"), -effort.check_min),
    )
    rows: list[Row] = [
        (name, counted[key], round(each, 2), round(counted[key] * each)) for name, key, each in outcomes if counted[key]
    ]
    if rows:
        decisions = sum(int(row[1] or 0) for row in rows)
        saved = sum(int(row[3] or 0) for row in rows)
        rows.append(("together", decisions, round(saved / decisions, 2), saved))
    meaning = (
        f"By the policy's figures: {effort.by_hand_min:g} minutes to triage by hand, {effort.check_min:g} to check a "
        f"suggestion, {effort.reassign_min:g} for a ticket in the wrong place. Of automatic decisions that nobody "
        f"looked at, {wrong:.1%} are taken to be wrong. These figures stand in the policy's section [effort]. {_ONCE}"
    )
    columns = ("outcome", "decisions", "minutes_each", "minutes")
    return Table("minutes", "Minutes saved", meaning, columns=columns, rows=tuple(rows))


def realised_error(target: str, errors: Sequence[bool]) -> Table:
    """Return the error rate that audits of automatic decisions found so far, with its confidence sequence."""
    rows: list[Row] = []
    step = max(1, len(errors) // _POINTS)
    wrong = 0
    for place, error in enumerate(errors, 1):
        wrong += error
        if place % step == 0 or place == len(errors):
            low, high = confidence_sequence(wrong, place)
            rows.append((place, wrong, round(wrong / place, 4), round(low, 4), round(high, 4)))
    meaning = (
        "Errors among automatic decisions that were drawn for a check. The interval holds the true rate with 95 % "
        "confidence at every number of audits at once."
    )
    columns = ("audits", "errors", "rate", "low", "high")
    return Table(
        f"error-{target}", f"Realised error: {target.replace('_', ' ')}", meaning, columns=columns, rows=tuple(rows)
    )


def reliability(spoken: Iterable[DecisionRow]) -> Table:
    """Compare how sure the model was of its first label with how often people agreed, in bins of equal width."""
    sums = [[0, 0.0, 0] for _ in range(BINS)]
    for row in spoken:
        said = row.settled
        for target, verdict in row.document.targets.items():
            right = said.label_of(target) if said is not None else None
            if right is None or not verdict.alternatives or verdict.source != "model":
                continue
            top = verdict.alternatives[0]
            place = sums[min(BINS - 1, int(top.probability * BINS))]
            place[0] += 1
            place[1] += top.probability
            place[2] += right == top.label
    rows = tuple(
        (f"{place / BINS:.1f}–{(place + 1) / BINS:.1f}", int(count), round(sure / count, 3), round(right / count, 3))
        for place, (count, sure, right) in enumerate(sums)
        if count
    )
    meaning = (
        "Among labels that people spoke about: how sure the model was of its first one, and how often people agreed. "
        "People review mostly what is not automatic, so this is no sample of all tickets."
    )
    columns = ("confidence", "labels", "mean_confidence", "right")
    return Table("reliability", "Is the confidence honest?", meaning, columns=columns, rows=rows)


def agreement(spoken: Iterable[DecisionRow]) -> Table:
    """Count the tickets that several people judged, and on how many of them they say the same."""
    judged = agreed = 0
    for row in spoken:
        if len({one.agent for one in standing_feedback(row.feedback) if one.verdict != "unsure"}) > 1:
            judged += 1
            agreed += not disputed_among(row.feedback)
    rows: tuple[Row, ...] = ((judged, agreed, round(agreed / judged, 3)),) if judged else ()
    return Table(
        "agreement",
        "Do people agree?",
        "Tickets that two or more people judged, and those on which all name the same labels. The others are in the "
        "list of disagreements.",
        columns=("judged", "agreed", "share"),
        rows=rows,
    )


def drift(signals: Sequence[Signal]) -> Table:
    """Watch length of texts, category, confidence and abstention for a change, since the model came into use."""
    sure = [(place, one.confidence) for place, one in enumerate(signals, 1) if one.confidence is not None]
    everywhere = range(1, len(signals) + 1)
    found = {
        "length of the text": (alarms([one.chars for one in signals]), everywhere),
        "category": (label_alarms(one.category or "–" for one in signals), everywhere),
        "confidence": (alarms([confidence for _, confidence in sure]), [place for place, _ in sure]),
        "abstention": (alarms([float(one.abstained) for one in signals]), everywhere),
    }
    rows: tuple[Row, ...] = tuple(
        (name, len(signals), len(given), places[given[-1].ticket - 1] if given else None)
        for name, (given, places) in found.items()
    )
    meaning = (
        "Whether the newest tickets of the model in use are like those before them, each as it came in first; the "
        "place of an alarm counts all tickets, those without a confidence too. Without a change, one of these "
        f"signals gives a false alarm every {TICKETS_BETWEEN_FALSE_ALARMS // len(found):,} tickets on average at most."
    )
    columns = ("signal", "tickets", "alarms", "last_alarm_at_ticket")
    return Table("drift", "Drift", meaning, columns=columns, rows=rows)
