"""Whether a message says what is wrong at all: politeness, phone numbers and names carry no weight."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from triage.screening.reading import plain
from triage.ticket import Ticket

MOST_WORDS = 40
"""Words up to which a message may say nothing: a longer one always names something."""

_PHONE = re.compile(
    r"(?:(?:\+|\b00)\d[\d ()/.-]{6,}\d|\b0\d[\d /-]{5,}\d|\b\d{3}[ -]\d{4}\b|\b(?:ext|tel|x)\.? ?\d{3,5}\b)"
)
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_SIGN_OFF = re.compile(
    r"(?:thanks?|thank you|thx|cheers|regards|best|sincerely|yours|greetings|love|gru(?:ss?|ess)(?:en?)?|mfg|lg|danke"
    r"|dank|cordialement|merci|bien a vous|saludos|gracias|atentamente|ta)\W*$"
)
_NAME_WORDS = 4
# One of them at least: what names neither a thing nor trouble ("what day is it tomorrow") is no report of a fault.
_TROUBLE = (
    *("work", "stop", "fix", "help", "problem", "prob", "issue", "trouble", "broke", "fail", "error", "wrong", "crash"),
    *("down", "urgent", "asap", "same", "again", "fault", "bug", "weird", "repair", "support"),
    *("funktion", "geht", "hilf", "helf", "fehler", "storung", "kaputt", "dringend", "klappt", "wieder", "gleiche"),
    *("marche", "fonctionn", "aide", "panne", "souci", "erreur", "encore", "meme"),
    *("funcion", "ayud", "fallo", "averia", "sigue", "mismo", "otra", "arregl"),
)


def is_vague(ticket: Ticket) -> bool:
    """Say whether a message names neither a thing nor what happens to it, such as "it stopped working again".

    A subject or text of one real word ("printer", "VPN?") names something and is not vague.
    """
    subject, body = plain(ticket.subject), plain(_signed_off(ticket.own_part))
    text = " ".join(part for part in _PHONE.sub(" ", f"{subject} {body}").split() if "@" not in part[1:-1])
    words = [word.replace("’", "'") for word in _WORD.findall(text)]
    if len(words) > MOST_WORDS or not empty_words().issuperset(words):
        return False
    return any(word.startswith(_TROUBLE) for word in words)


def _signed_off(text: str) -> str:
    """Take off the name that stands after a sign-off, with what stands below it, such as a department.

    Without a sign-off nobody can tell a name from the thing that is meant: ``Printer``, ``SAP Login``.
    """
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    below = next((number for number, line in enumerate(reversed(lines)) if not _is_name(line)), len(lines))
    first = max(1, len(lines) - below)  # of the names at the end, of which a sign-off may look like one
    signed = next((place for place in range(first, len(lines)) if _signs_off(lines[place - 1])), None)
    lines = lines[:signed]
    if lines:
        head, _, tail = lines[-1].rpartition(",")
        if head and _is_name(tail) and _signs_off(head):
            lines[-1] = head
    return "\n".join(lines)


def signed_names(text: str) -> Iterable[tuple[int, int]]:
    r"""Find names that stand after a sign-off, behind a comma on its line or on the next line.

    Example:
        >>> text = "It hangs.\nKind regards\nHuber, Anna\nThanks, Kim"
        >>> [text[start:end] for start, end in signed_names(text)]
        ['Huber, Anna', 'Kim']
    """
    begin, signed = 0, False
    for line in text.splitlines(keepends=True):
        if line.strip():
            cuts = [0] if signed else [cut.end() for cut in re.finditer(",", line)][-2:]
            cut = next((cut for cut in cuts if _is_name(line[cut:]) and (signed or _signs_off(line[:cut]))), None)
            if cut is not None:
                end = len(line.rstrip())
                yield begin + end - len(line[cut:].strip()), begin + end
            signed = _signs_off(line)
        begin += len(line)


def _signs_off(line: str) -> bool:
    return _SIGN_OFF.search(plain(line)) is not None


def _is_name(line: str) -> bool:
    words = [word for word in line.replace(".", " ").split() if word.strip(",-")]
    return 0 < len(words) <= _NAME_WORDS and all(word[:1].isupper() for word in words)


@cache
def empty_words() -> frozenset[str]:
    """Return the words that say nothing about what is wrong, in four languages."""
    text = files(__package__).joinpath("empty_words.txt").read_text("utf-8")
    return frozenset(word for line in text.splitlines() if not line.startswith("#") for word in line.split())
