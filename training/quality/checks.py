"""Data validation: what is wrong with a history of tickets, and what to mend first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.language import language_of
from training.data.dataset import Dataset, LabelledTicket
from training.data.duplicates import masked, near_duplicates
from training.data.finding import FINE, NOTICE, SERIOUS, Finding
from training.data.labels import MIN_ROWS, learnable, rolled_up
from training.data.split import MOST_MESSAGES, kept_together
from training.quality.giveaways import giveaways, machine_labels
from training.quality.label_issues import find_label_issues
from training.quality.leaks import leaks
from training.quality.renamed_labels import renamed_labels
from training.quality.similar_label_names import MOST_COMPARED, similar_label_names
from triage.languages.alphabets import words_written

_ORDER = (SERIOUS, NOTICE, FINE)
_SHORT_WORDS, _LANGUAGE_SAMPLE, _SHOWN = 3, 1500, 50
_GIVEN_AWAY = 0.3
"""Share of a label's tickets with a line that no other label has, from which accuracy on it is the line's."""
_CONFLICTING, _SUSPECT, _CHANCE, _SURELY = 0.05, 0.3, 0.02, 1.64


@dataclass(frozen=True)
class Diagnosis:
    """Everything found, the gravest first, and how the labels are spread."""

    rows: int
    balance: dict[str, dict[str, int]]
    findings: tuple[Finding, ...]

    @property
    def serious(self) -> bool:
        """Whether something makes training on this data misleading."""
        return any(finding.severity == SERIOUS for finding in self.findings)

    def to_document(self) -> dict[str, Any]:
        """Write the diagnosis as a JSON document."""
        return {
            "rows": self.rows,
            "targets": {
                target: [{"label": label, "rows": count} for label, count in counts.items()]
                for target, counts in self.balance.items()
            },
            "findings": [{**vars(finding), "places": list(finding.places)} for finding in self.findings],
            "ok": not self.serious,
        }


def diagnose(dataset: Dataset, seed: int = 0, log: Callable[[str], object] = lambda _: None) -> Diagnosis:
    """Examine a data set; labels that are paths at the level they are learned at, for the others have too few tickets.

    Args:
        dataset: What was read, bad rows skipped.
        seed: Seed of samples and cross-validation.
        log: Called with the name of what is examined next.
    """
    as_written, dataset = dataset, rolled_up(dataset)
    log("near-duplicates")
    clusters = near_duplicates([row.ticket.text for row in dataset.rows])
    together = kept_together(dataset.rows, clusters)
    examinations: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
        ("what was noticed on reading", lambda: iter(dataset.findings)),
        ("rows", lambda: _rows(dataset)),
        ("balance", lambda: _balance(dataset)),
        ("duplicates", lambda: _duplicates(dataset, clusters)),
        ("labels that look alike", lambda: _labels(dataset)),
        ("labels that were renamed", lambda: _renamed(dataset)),
        ("leakage", lambda: _leakage(dataset)),
        ("what gives labels away", lambda: _giveaways(dataset, clusters)),
        ("languages", lambda: _languages(dataset, seed)),
        ("labels that may be wrong", lambda: _suspects(dataset, together, seed)),
    )
    findings: list[Finding] = []
    for name, examine in examinations:
        log(name)
        findings += examine()
    balance = {
        target: dict(Counter(row.labels[target] for row in as_written.rows if target in row.labels).most_common())
        for target in dataset.targets
    }
    ranked = sorted(findings, key=lambda finding: (_ORDER.index(finding.severity), -finding.rows))
    return Diagnosis(len(dataset.rows), balance, tuple(ranked))


def _rows(dataset: Dataset) -> Iterator[Finding]:
    bad, rows = dataset.bad_rows, dataset.rows
    if bad:
        what = f"{len(bad)} of {len(bad) + len(rows)} rows cannot be used"
        do = "mend them in the export, or train with --skip-bad-rows"
        yield Finding("bad-rows", SERIOUS, what, do, rows=len(bad), places=tuple(map(str, bad[:_SHOWN])))
    short = [row for row in rows if words_written(row.ticket.text) < _SHORT_WORDS]
    if short:
        what = f"{len(short)} of {len(rows)} texts have fewer than {_SHORT_WORDS} words"
        do = "nothing can be told from them: leave them out, or map a column that says more"
        yield Finding("short-texts", NOTICE, what, do, rows=len(short), places=_places(short))
    logs = [row for row in rows if _log_chars(row)]
    if logs:
        chars = sum(map(_log_chars, logs))
        what = f"{len(logs)} of {len(rows)} texts hold logs or stack traces, of which only the first lines are read"
        what += f": {chars:,} characters are left out, up to {max(map(_log_chars, logs)):,} of one ticket"
        yield Finding("shortened-logs", FINE, what, rows=len(logs), places=_places(logs))
    machine = [row for row in rows if row.weight == 0]
    if machine:
        what = f"{len(machine)} of {len(rows)} rows have labels that no person gave; they will teach nothing"
        do = "let people confirm some of them"
        yield Finding("machine-labels", NOTICE, what, do, rows=len(machine), places=_places(machine))
    yield from _repeated_ids(list(_as_written(rows).values()))
    dates = sorted(row.ticket.opened_at for row in rows if row.ticket.opened_at is not None)
    if dates:
        what = f"{len(dates)} of {len(rows)} rows are dated, from {dates[0]:%Y-%m-%d} to {dates[-1]:%Y-%m-%d}"
        yield Finding("dates", FINE, what)
    else:
        do = "map the column with --map opened_at=…: then the newest tickets are set aside, as in real life"
        yield Finding("dates", NOTICE, "no row is dated, so the split is at random and flatters", do)


def _repeated_ids(rows: Sequence[LabelledTicket]) -> Iterator[Finding]:
    """Tell which rows share an id, and the group where they have one: each group may number its own tickets."""
    ids = [(row.group, row.ticket.id) for row in rows]
    counts = Counter(one for one in ids if one[1])
    twice = [row for row, one in zip(rows, ids, strict=True) if counts[one] > 1]
    if twice:
        tickets = sum(count > 1 for count in counts.values())
        if max(counts.values()) > MOST_MESSAGES:
            do = f"an id with more than {MOST_MESSAGES} rows is no ticket's: is it the right column?"
        else:
            do = "nothing, if they are messages of one ticket: they stay on one side of every split; else keep one row"
        what = f"{len(twice)} rows share an id with another row: {tickets} ids"
        yield Finding("repeated-ids", NOTICE, what, do, rows=len(twice), places=_places(twice))


def _log_chars(row: LabelledTicket) -> int:
    """Return how many characters of logs in a ticket are not read."""
    return sum(part.chars for part in row.ticket.left_out if part.what == "log")


def _balance(dataset: Dataset) -> Iterator[Finding]:
    for target in dataset.targets:
        labels, rare = learnable(dataset.rows, target)
        if not labels:
            what = f"{target} has fewer than two labels with {MIN_ROWS} rows"
            yield Finding(
                f"{target}-unlearnable", SERIOUS, what, "add rows, or join labels under [aliases] of the policy"
            )
            continue
        if rare:
            names = ", ".join(f"{label} ({count})" for label, count in list(rare.items())[:12])
            what = f"{len(rare)} {target} labels have fewer than {MIN_ROWS} rows and will not be predicted: {names}"
            yield Finding(
                f"{target}-rare-labels", NOTICE, what, do="join them with others, or add rows", rows=sum(rare.values())
            )
        counts = Counter(row.labels[target] for row in dataset.rows if target in row.labels)
        label, most = counts.most_common(1)[0]
        if most > 0.8 * counts.total():
            what = f"{most / counts.total():.0%} of the {target} labels are {label!r}"
            yield Finding(f"{target}-one-sided", NOTICE, what, "look at macro-F1 and recall by class, not at accuracy")
        missing = [row for row in dataset.rows if target not in row.labels]
        if missing:
            what = f"{len(missing)} rows have no {target}: {_teaching(missing, dataset.targets)}"
            yield Finding(f"{target}-missing", NOTICE, what, rows=len(missing))


def _teaching(missing: Sequence[LabelledTicket], targets: Sequence[str]) -> str:
    """Say what rows teach that lack the label of one target."""
    nothing = sum(row.labels.keys().isdisjoint(targets) for row in missing)
    others = f"the other {'target' if len(targets) == 2 else 'targets'} only"
    if not nothing:
        return f"they teach {others}"
    if nothing == len(missing):
        return "they are not learned from"
    return f"those without any label ({nothing}) are not learned from, the others teach {others}"


def _duplicates(dataset: Dataset, clusters: NDArray[np.int64]) -> Iterator[Finding]:
    clustered: dict[int, list[LabelledTicket]] = {}
    written = _as_written(dataset.rows)
    for place, row in written.items():
        clustered.setdefault(int(clusters[place]), []).append(row)
    extra = len(written) - len(clustered)
    if extra:
        largest = max(clustered.values(), key=len)
        what = f"{extra} rows nearly repeat another; the largest group has {len(largest)}, "
        what += f"the first at {largest[0].place_and_id}"
        do = "nothing: they stay on one side of every split; drop them if a monitor wrote them"
        yield Finding("near-duplicates", NOTICE if extra > 0.05 * len(written) else FINE, what, do, rows=extra)
    for target in dataset.targets:
        torn = [rows for rows in clustered.values() if len({row.labels.get(target) for row in rows} - {None}) > 1]
        count, twins = sum(map(len, torn)), sum(_twins(rows, target) for rows in torn)
        if count:
            severity = SERIOUS if twins > _CONFLICTING * len(written) else NOTICE
            what = f"{count} near-equal tickets in {len(torn)} groups have different {target} labels"
            if twins < count:
                what += f"; {count - twins} of them differ in numbers, hosts or times, which may tell them apart"
            do = "agree on one label for each group: no model can learn both"
            places = tuple(
                "; ".join(f"{row.place_and_id}: {row.labels.get(target)}" for row in rows[:4]) for rows in torn[:20]
            )
            yield Finding(f"{target}-conflicting-duplicates", severity, what, do, rows=count, places=places)


def _as_written(rows: Sequence[LabelledTicket]) -> dict[int, LabelledTicket]:
    """Return the rows as the file has them, by the number of their first row here, each with all of its labels.

    A row of a file whose several labels were split into a row each is one ticket, which has them all.
    """
    written: dict[int, LabelledTicket] = {}
    numbered = enumerate(rows)
    for _, group in groupby(numbered, lambda one: one[1].place or one[0]):
        (number, first), *others = group
        labels = {
            target: " + ".join(sorted({label, *(row.labels[target] for _, row in others if target in row.labels)}))
            for target, label in first.labels.items()
        }
        written[number] = replace(first, labels=labels) if others else first
    return written


def _twins(rows: Sequence[LabelledTicket], target: str) -> int:
    """Count the rows of a cluster that contradict another one in more than numbers and hosts, or in nothing."""
    labelled = [row for row in rows if target in row.labels]
    texts = [" ".join(row.ticket.text.casefold().split()) for row in labelled]
    masks = [masked(text) for text in texts]
    by_text, by_mask = (Counter((key, row.labels[target]) for key, row in zip(keys, labelled, strict=True))
                        for keys in (texts, masks))  # fmt: skip
    rows_of_text, rows_of_mask, labels = Counter(texts), Counter(masks), Counter(row.labels[target] for row in labelled)
    count = 0
    for row, text, mask in zip(labelled, texts, masks, strict=True):
        label = row.labels[target]
        same_text = rows_of_text[text] - by_text[text, label]
        same_mask = rows_of_mask[mask] - by_mask[mask, label]
        anywhere = len(labelled) - labels[label]
        count += same_text > 0 or anywhere > same_mask
    return count


def _labels(dataset: Dataset) -> Iterator[Finding]:
    for target in dataset.targets:
        spaced = [row for row in dataset.rows if row.written.get(target, "") != row.written.get(target, "").strip()]
        if spaced:
            what = f"{len(spaced)} {target} labels have spaces around them"
            do = "nothing: they are removed on reading"
            yield Finding(f"{target}-spaces", NOTICE, what, do, rows=len(spaced), places=_places(spaced))
        counts = Counter(row.labels[target] for row in dataset.rows if target in row.labels)
        for one, other, why in similar_label_names(counts):
            what = f"{target} {one!r} ({counts[one]} rows) and {other!r} ({counts[other]} rows) look alike: {why}"
            do = f"if they mean the same, add {other!r} under [aliases.{target}] of the policy, or mend the export"
            yield Finding(f"{target}-look-alike", NOTICE, what, do, rows=counts[other])
        if len(counts) > MOST_COMPARED:
            what = f"{target} has {len(counts):,} labels: which of them are misspelled was not looked for"
            do = "map another column where this is none of labels, or roll them up to fewer"
            yield Finding(f"{target}-many-labels", NOTICE, what, do, rows=sum(counts.values()))


def _renamed(dataset: Dataset) -> Iterator[Finding]:
    for target in dataset.targets:
        for one in renamed_labels(dataset.rows, target):
            what = (
                f"{target} {one.old!r} ({one.rows} rows) ends when {one.new!r} begins ({one.at:%Y-%m-%d}), and their "
                f"tickets read alike (cosine {one.alike:.2f}): it was probably renamed"
            )
            do = f"if so, add {one.old!r} = {one.new!r} under [aliases.{target}] of the policy"
            yield Finding(f"{target}-renamed", NOTICE, what, do, rows=one.rows)


def _leakage(dataset: Dataset) -> Iterator[Finding]:
    for what, do, rows in leaks(dataset):
        yield Finding("leakage", SERIOUS, what, do, rows=len(rows), places=_places(rows))


def _giveaways(dataset: Dataset, clusters: NDArray[np.int64]) -> Iterator[Finding]:
    for target in dataset.targets:
        for one in giveaways(dataset.rows, target, clusters):
            others = f"and in {one.others} others" if one.others else "and in no other"
            share = f"{one.covered:.0%} of the {target} {one.label!r} ({len(one.rows)} tickets)"
            what = f"{one.line!r} stands in {share} {others}"
            do = (
                "if the team or the desk's tool wrote it after the ticket came, cut it out: a new ticket will not have "
            )
            do += "it; if a machine always writes it, a rule does better"
            severity = SERIOUS if one.covered >= _GIVEN_AWAY else NOTICE
            yield Finding(f"{target}-given-away", severity, what, do, rows=len(one.rows), places=_places(one.rows))
        for label, rows, part in machine_labels(dataset.rows, target):
            what = f"{part:.0%} of the {target} {label!r} were written by machines ({len(rows)} tickets)"
            do = (
                "what is measured there says little about people's tickets: route machines by a rule, or leave them out"
            )
            yield Finding(f"{target}-machine-mail", NOTICE, what, do, rows=len(rows), places=_places(rows))


def _languages(dataset: Dataset, seed: int) -> Iterator[Finding]:
    chosen = np.random.default_rng(seed).permutation(len(dataset.rows))[:_LANGUAGE_SAMPLE]
    sample = [dataset.rows[row].ticket for row in chosen]
    counts = Counter(language_of(ticket) or "unclear" for ticket in sample)
    shares = ", ".join(f"{language} {count / len(sample):.0%}" for language, count in counts.most_common(6))
    foreign = 1 - (counts["en"] + counts["unclear"]) / len(sample)
    severity = NOTICE if foreign > 0.05 else FINE
    do = "the default encoder is English: look at the slices by language in the report" if foreign > 0.05 else ""
    yield Finding("languages", severity, f"languages: {shares}", do)


def _suspects(dataset: Dataset, together: NDArray[np.int64], seed: int) -> Iterator[Finding]:
    for target in dataset.targets:
        found = find_label_issues(dataset.rows, target, together, seed)
        if found is None:
            continue
        if found.balanced < found.chance + _CHANCE + _SURELY * found.noise:
            told = f"a plain model tells {found.balanced:.1%} of unseen rows, each label counted alike"
            what = f"the text hardly tells the {target}: {told}"
            do = f"guessing tells {found.chance:.1%}: are text and label of the same row?"
            yield Finding(f"{target}-unrelated", SERIOUS, what, do, rows=found.examined)
            continue
        share = len(found.rows) / max(1, found.examined)
        severity = SERIOUS if share > _SUSPECT else NOTICE if found.rows else FINE
        what = f"{len(found.rows)} of {found.examined} {target} labels examined may be wrong ({share:.1%})"
        do = "look at the first ones by hand: they are ranked, the most doubtful first" if found.rows else ""
        lines = tuple(f"{place}: {given}, rather {better}" for place, given, better in found.rows[:_SHOWN])
        yield Finding(f"{target}-suspects", severity, what, do, rows=len(found.rows), places=lines)


def _places(rows: Sequence[LabelledTicket]) -> tuple[str, ...]:
    return tuple(row.place_and_id for row in rows[:_SHOWN])
