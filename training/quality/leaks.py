"""Leakage: what stands in the ticket as exported, but was not known when it was opened."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from training.data.dataset import Dataset, LabelledTicket
from triage.languages.alphabets import words_written

_LATER = re.compile(
    r"clos(e|ed|ing|ure)|resol(ve|ved|ution|ver)|fix(ed)?\b|solved?|reassign|reopen|escalat|duration|time_to|sla_breach"
    r"|breached|satisf|csat|work_?notes|assign(ed|ment)|outcome|root_?cause|state$|status$",
    re.IGNORECASE,
)
_CONTAINED, _TELLING, _DECISIVE = 0.02, 0.5, 0.95
_LEAST_WORDS, _LEAST_ROWS = 4, 20

Leak = tuple[str, str, list[LabelledTicket]]


def leaks(dataset: Dataset) -> Iterator[Leak]:
    """Yield what leaks: what was found, what to do, and the rows.

    Looked for are resolutions pasted into the text, labels written into the text, attributes whose name says that they
    are known later, and attributes that alone decide a label; the channel is known when a ticket comes.
    """
    yield from _resolutions(dataset.rows)
    for target in dataset.targets:
        yield from _written_labels(dataset.rows, target)
        yield from _deciding_fields(dataset.rows, target)
    names = sorted({name for row in dataset.rows for name in row.ticket.attributes})
    for name in names:
        if _LATER.search(name):
            rows = [row for row in dataset.rows if name in row.ticket.attributes]
            what = f"the attribute {name!r} sounds like something that is known only after the ticket was worked on"
            yield what, f"switch it off with --map attributes.{name}= unless it is known at opening", rows


def _resolutions(rows: Sequence[LabelledTicket]) -> Iterator[Leak]:
    written = [row for row in rows if row.resolution and words_written(row.resolution) >= _LEAST_WORDS]
    inside = [row for row in written if _bare(row.resolution or "") in _bare(row.ticket.text)]
    if written and len(inside) > _CONTAINED * len(written):
        what = f"the resolution stands in the text of {len(inside)} of {len(written)} tickets that have one"
        yield what, "export the text as it was at opening, without what was added later", inside


def _written_labels(rows: Sequence[LabelledTicket], target: str) -> Iterator[Leak]:
    by_label: dict[str, list[LabelledTicket]] = defaultdict(list)
    for row in rows:
        if target in row.labels:
            by_label[row.labels[target]].append(row)
    for label, own in sorted(by_label.items()):
        if len(own) < _LEAST_ROWS or len(by_label) < 2:
            continue
        pattern = re.compile(rf"(?<!\w){re.escape(label)}(?!\w)", re.IGNORECASE)
        giving_away = [row for row in own if pattern.search(row.ticket.text)]
        if len(giving_away) < _TELLING * len(own):
            continue
        elsewhere = sum(1 for row in rows if row.labels.get(target, label) != label and pattern.search(row.ticket.text))
        if len(giving_away) >= _DECISIVE * (len(giving_away) + elsewhere):
            what = f"the {target} {label!r} stands in {len(giving_away)} of its {len(own)} tickets and hardly elsewhere"
            yield what, "cut it out of the text: a new ticket will not say its own label", giving_away


def _deciding_fields(rows: Sequence[LabelledTicket], target: str) -> Iterator[Leak]:
    labelled = [row for row in rows if target in row.labels]
    if len(labelled) < _LEAST_ROWS or len({row.labels[target] for row in labelled}) < 2:
        return
    for name in sorted({name for row in labelled for name in row.ticket.attributes}):
        having = [row for row in labelled if name in row.ticket.attributes]
        tables: dict[str, Counter[str]] = defaultdict(Counter)
        for row in having:
            tables[row.ticket.attributes[name]][row.labels[target]] += 1
        repeated = {value: counts for value, counts in tables.items() if counts.total() > 1}
        total = sum(counts.total() for counts in repeated.values())
        decided = sum(max(counts.values()) for counts in repeated.values())
        majority = max(Counter(row.labels[target] for row in having).values()) / len(having)
        if total > 0.5 * len(labelled) and len(repeated) > 1 and decided > 0.98 * total and majority < 0.9:
            what = f"the attribute {name!r} alone decides the {target} of {decided / total:.1%} of the tickets"
            yield what, f"make sure that it is known at opening, or switch it off with --map attributes.{name}=", having


def _bare(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
