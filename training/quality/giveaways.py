"""What gives a label away: banners, footers and mail by machines that predict one label too well."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from training.data.labelled_ticket import LabelledTicket
from triage.languages.alphabets import words_written
from triage.screening.machines import is_machine_made

_SURELY = 0.98
"""Share of the tickets with a line that must have one label."""

_LEAST, _COVERED = 15, 0.05
"""Tickets that a line needs, near-duplicates counted once, and the share that they must be of the label's tickets."""

_COMMON = 0.8
"""A label with this share of the tickets is predicted well by anything."""

_WORDS = (2, 25)
_AT_THE_EDGE, _OF_LINES = 0.8, 3
"""Share of its tickets in which a line must be the first one of the body or among the last three: requesters repeat
themselves in the middle, banners and footers stand outside."""

_RUN, _LONG = 4, 20
"""Words at either end of a text without line breaks that are taken for a line, in texts of so many words at least."""

_TAG = re.compile(r"(?i)^\s*(?:(?:re|aw|fwd?|wg|tr)\s*:\s*)*(\[[^\]\n]{2,40}\])")
_MOST = 5

_MACHINES, _MOST_OF_A_LABEL = 20, 0.3
"""Tickets by machines from which they are worth a word, and the share of a label's tickets that they must be."""


@dataclass(frozen=True)
class Giveaway:
    """A line that gives a label away.

    Attributes:
        line: In lower case, numbers as ``#``.
        label: What it gives away.
        rows: The tickets of that label with it.
        others: How many tickets of other labels have it.
        covered: Share of the label's tickets that have it, in [0, 1].
    """

    line: str
    label: str
    rows: tuple[LabelledTicket, ...]
    others: int
    covered: float


def giveaways(rows: Sequence[LabelledTicket], target: str, clusters: NDArray[np.int64]) -> Iterator[Giveaway]:
    """Yield the lines that give a label of a target away, those that cover most first, five at most.

    Args:
        rows: The history.
        target: Such as ``category``.
        clusters: Near-duplicates, int64 of shape [n]: those of one cluster count once, for a message sent often has
            its own lines as often.
    """
    labelled = [(row, cluster) for row, cluster in zip(rows, clusters.tolist(), strict=True) if target in row.labels]
    one_each = {cluster: row for row, cluster in reversed(labelled)}
    totals = Counter(row.labels[target] for row in one_each.values())
    having: dict[str, list[tuple[LabelledTicket, bool]]] = defaultdict(list)
    for row in one_each.values():
        for line, at_the_edge in _lines(row).items():
            having[line].append((row, at_the_edge))
    found = []
    for line, places in having.items():
        label, count = Counter(row.labels[target] for row, _ in places).most_common(1)[0]
        covered = count / totals[label]
        if (
            count >= _LEAST
            and covered >= _COVERED
            and count >= _SURELY * len(places)
            and totals[label] < _COMMON * totals.total()
            and sum(edge for _, edge in places) >= _AT_THE_EDGE * len(places)
        ):
            own = tuple(row for row, _ in places if row.labels[target] == label)
            found.append(Giveaway(line, label, own, others=len(places) - count, covered=covered))
    yield from islice(_of_different_tickets(found), _MOST)


def _of_different_tickets(found: Sequence[Giveaway]) -> Iterator[Giveaway]:
    """Yield those that cover most first, and of the lines of one footer only the first."""
    told: dict[str, set[str]] = defaultdict(set)
    for one in sorted(found, key=lambda one: (-one.covered, -len(one.line), one.line)):
        places = {row.place for row in one.rows}
        if len(places & told[one.label]) <= len(places) / 2:
            told[one.label] |= places
            yield one


def machine_labels(rows: Sequence[LabelledTicket], target: str) -> Iterator[tuple[str, list[LabelledTicket], float]]:
    """Yield labels of which a good part is mail by machines, with its tickets and their share of the label's."""
    made = [row for row in rows if target in row.labels and is_machine_made(row.ticket)]
    totals = Counter(row.labels[target] for row in rows if target in row.labels)
    for label, count in Counter(row.labels[target] for row in made).most_common():
        if count >= _MACHINES and count >= _MOST_OF_A_LABEL * totals[label]:
            yield label, [row for row in made if row.labels[target] == label], count / totals[label]


def _lines(row: LabelledTicket) -> dict[str, bool]:
    """Return what may be a banner, a footer or a tag in a ticket, and whether it stands at the edge."""
    lines = [line for line in (_bare(line) for line in row.ticket.text.splitlines()) if line]
    subject = _bare(row.ticket.subject)
    body = lines[1:] if subject and lines and lines[0] == subject else lines
    found = {}
    for place, line in enumerate(body):
        if _WORDS[0] <= words_written(line) <= _WORDS[1]:
            found[line] = place == 0 or place >= len(body) - _OF_LINES
    words = " ".join(body).split()
    if len(words) >= _LONG:
        found[" ".join(words[:_RUN]) + " …"] = True
        found["… " + " ".join(words[-_RUN:])] = True
    tag = _TAG.match(row.ticket.subject or row.ticket.text)
    if tag:
        found[_bare(tag[1])] = True
    return found


def _bare(line: str) -> str:
    return " ".join(re.sub(r"\d+", "#", line.casefold()).split())
