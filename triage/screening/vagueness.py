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

_NO_ERROR = "".join(
    f"(?<!{word}{mark})" for word in ("error", "code", "fehler", "erreur", "codigo") for mark in (" ", ": ")
)
"""What no telephone number stands behind: "error 123-456-7890" names what is wrong."""
# Beside numbers of telephones that stand for themselves, short ones behind a word for them. "Phone 4433" may be what
# does not work, and so needs a colon and the end of its line, or a line of its own below the message.
_REACHED = re.compile(
    r"(?im)(?:\+|\b00)\d[\d ()/.-]{6,}\d|\(\d{2,5}\) ?\d[\d /-]{4,}\d|\b0\d[\d /-]{5,}\d"
    rf"|{_NO_ERROR}(?<![\w.#-])(?:\d{{3}}[ .-]\d{{3}}[ .-]\d{{4}}\b(?![.-]?\d)|\d{{3}}[ -]\d{{4}}\b)"
    r"|\b(?:extn?|tel|x)[.:]{0,2} ?\d{3,5}\b(?![ /-]?\d)"
    r"|\b(?:phone|telephone|telefon|extension|durchwahl): ?\d{3,5}(?=[^\w\n]*$)"
    r"|\b(?:call|phone|reach|ring)(?: \w+){0,3} (?:at|on|under) (?:extension|phone) \d{3,5}\b"
    r"|(?<!\S)[^\s@]++@\S++"
)
"""Where somebody can be reached: a telephone number or an address of mail."""
_LABELLED = re.compile(r"\W*(?:extn?|extension|tel|durchwahl|dw|poste|x)\b[.: ]*\d{3,5}\W*")
_LABELS = frozenset(
    (
        *(
            "phone",
            "telephone",
            "tel",
            "mobile",
            "cell",
            "fax",
            "office",
            "direct",
            "ext",
            "extension",
            "mail",
            "email",
        ),
        *("e", "f", "m", "p", "t"),
        *("f", "p", "telefon", "fon", "mobil", "handy", "durchwahl", "buro", "portable", "fixe", "poste", "movil"),
        *("telefono", "correo"),
    )
)
"""What stands before such a number or address in a line of its own."""
_SEPARATOR = re.compile(r"((?<!\s)\s*+[,;|·•]\s*+)")
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
    text = plain(f"{_REACHED.sub(' ', ticket.subject)} {_signed_off(_lines(ticket.own_part))}")
    words = [word.replace("’", "'") for word in _WORD.findall(text)]
    if len(words) > MOST_WORDS or not empty_words().issuperset(words):
        return False
    return any(word.startswith(_TROUBLE) for word in words)


def _lines(text: str) -> list[str]:
    """Return the lines of a message without where somebody can be reached; those that say nothing else are left out."""
    kept: list[str] = []
    for line in filter(str.strip, text.splitlines()):
        parts = _SEPARATOR.split(line.strip())
        while parts and (kept or len(parts) > 1) and _is_contact(plain(parts[-1])):
            del parts[-2:]
        if parts:
            kept.append(_REACHED.sub(" ", "".join(parts)).strip())
    return kept


def _is_contact(part: str) -> bool:
    rest = _REACHED.sub(" ", part)
    return bool(_LABELLED.fullmatch(part)) or (rest != part and _LABELS.issuperset(_WORD.findall(rest)))


def _signed_off(lines: list[str]) -> str:
    """Take off the name that stands after a sign-off, with what stands below it, such as a department.

    Without a sign-off nobody can tell a name from the thing that is meant: ``Printer``, ``SAP Login``.
    """
    below = next((number for number, line in enumerate(reversed(lines)) if not _is_name(line)), len(lines))
    for place in range(max(0, len(lines) - below - 1), len(lines)):  # of the names at the end one may be a sign-off
        head, _, tail = lines[place].rpartition(",")
        if _signs_off(lines[place]):
            return "\n".join(lines[: place + 1])
        if head and _is_name(tail) and _signs_off(head):
            return "\n".join([*lines[:place], head])
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
    words = [word for word in line.replace(".", " ").split() if word.strip(",-()<>[]")]
    return 0 < len(words) <= _NAME_WORDS and all(word[:1].isupper() for word in words)


@cache
def empty_words() -> frozenset[str]:
    """Return the words that say nothing about what is wrong, in four languages."""
    text = files(__package__).joinpath("empty_words.txt").read_text("utf-8")
    return frozenset(word for line in text.splitlines() if not line.startswith("#") for word in line.split())
