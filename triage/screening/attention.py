"""What must never wait: danger to people, intruders, data exposed, many users down; with the words that say so."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from triage.screening.cues import Frame, compile_cue, frames_in
from triage.screening.reading import MAX_CHARS, Reading
from triage.ticket import Ticket

_NEGATION = compile_cue(
    r"(?:\bno|\bnot|n.t|\bnever|\bwithout(?: any)?|\bneither|\bnor|\bisn.?t|\bkein\w*|\bnicht|\bohne|\bnie|\bpas"
    r"|\bpas de|\bsans|\bjamais|\baucun\w*|\bsin|\bno hay|\bninguna?|\bnunca|\bunlike|\binstead of|\bfree of"
    r"|\bif (?:a|the|there is))"
    r"(?: (?:a|an|any|the|de|d.|more|really|even|visible|sign of|signs of|trace of|been|be|getting|fumee))? ?$"
)
_NEGATION_CHARS = 32
_WORD = re.compile(r"\S+")
_EVIDENCE_CHARS = 200


@dataclass(frozen=True)
class Attention:
    """A reason not to wait: its kind, and the words of the ticket that say so."""

    kind: str
    evidence: str


def find_attention(ticket: Ticket, frames: Iterable[Frame] | None = None) -> tuple[Attention, ...]:
    """Return what in a ticket must not wait, one of each kind at most, in the order of the cues.

    Args:
        ticket: What came in; its text is read without signatures and disclaimers, with what it forwards.
        frames: Cues; the shipped ones where None.
    """
    reading = Reading(ticket.text[:MAX_CHARS])
    found: dict[str, Attention] = {}
    for frame in frames_in("attention.toml", reading.plain) if frames is None else _standing(frames, reading):
        if frame.kind not in found:
            span = next(spans_of(frame, reading), None)
            if span is not None:
                found[frame.kind] = Attention(frame.kind, as_written(evidence(reading, *span), ticket))
    return tuple(found.values())


def _standing(frames: Iterable[Frame], reading: Reading) -> Iterator[Frame]:
    """Yield the frames of which a pattern stands in a text, as `frames_in` does of shipped ones."""
    return (frame for frame in frames if frame.pattern.search(reading.plain))


def as_written(quote: str, ticket: Ticket) -> str:
    """Return a quote of the cleaned text as it stands in the ticket, white space and all, where it stands there."""
    words = quote.split()
    return _in_place(words, ticket.subject) or _in_place(words, ticket.body) or quote if words else quote


def _in_place(words: Sequence[str], text: str) -> str:
    """Return the first place of a text where words stand in a row, whatever white space is between; else nothing.

    One blank between all words of the text makes it a single search, which takes time with the length of the text
    however often the words come again. A pattern of so many words takes a hundred times as long to compile.
    """
    blanked = " ".join(text.split())
    place = blanked.find(" ".join(words))
    if place < 0:
        return ""
    before = blanked[:place]
    first = before.count(" ")
    found = list(islice(_WORD.finditer(text), first, first + len(words)))
    start = found[0].start() + place - (before.rfind(" ") + 1)
    end = found[-1].start() + len(words[-1]) if len(words) > 1 else start + len(words[0])
    return text[start:end]


def spans_of(frame: Frame, reading: Reading) -> Iterator[tuple[int, int]]:
    """Yield start and end of what speaks for a frame in a text where one of its patterns stands."""
    text = reading.plain
    if frame.against_text is not None and frame.against_text.search(text):
        return
    text, sentences = frame.read(reading), reading.sentences
    for place in range(len(sentences)):
        first, last = sentences[place][0], sentences[min(place + frame.span, len(sentences)) - 1][1]
        for match in frame.pattern.finditer(text[first:last]):
            span = first + match.start(), first + match.end()
            if _counts(frame, reading, *span):
                yield span


def _counts(frame: Frame, reading: Reading, start: int, end: int) -> bool:
    """Say whether a match stands: not negated, beside what it needs, without what speaks against it."""
    text = reading.plain
    if frame.negatable and _NEGATION.search(text[max(0, start - _NEGATION_CHARS) : start]):
        return False
    wide = reading.window(start, end)
    if frame.beside is not None and not frame.beside.search(text[wide[0] : wide[1]]):
        return False
    return frame.against is None or not frame.against.search(text[wide[0] : wide[1]])


def evidence(reading: Reading, start: int, end: int) -> str:
    """Return the sentence around a span as it was written, cut to what can be quoted."""
    first, last = reading.window(start, end, around=0)
    if last - first > _EVIDENCE_CHARS:
        first, last = max(first, min(start, end - _EVIDENCE_CHARS)), min(last, max(end, start + _EVIDENCE_CHARS))
    return reading.text[first:last][:_EVIDENCE_CHARS].strip()
