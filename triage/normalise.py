"""Text made comparable: cleaning for the model, folding for the rules; the original is never touched."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import NamedTuple

import re2

_BLOCK_TAGS = frozenset(
    (
        *("address", "article", "blockquote", "br", "div", "dl", "dt", "dd", "footer", "header", "hr", "li", "ol", "p"),
        *("h1", "h2", "h3", "h4", "h5", "h6", "pre", "section", "table", "td", "th", "tr", "ul"),
    )
)
_SILENT_TAGS = frozenset(["script", "style", "head", "title"])

# Letters of other scripts that readers (and attackers) take for Latin ones: from the confusables of Unicode TR 39,
# those that stand in for ASCII letters.
_CONFUSABLES = str.maketrans(
    dict(
        zip(
            "аеорсухіјѕԁԛԝһӏьАВЕКМНОРСТУХІЈЅԚԜҺαβγεηικνορτυχωΑΒΕΖΗΙΚΜΝΟΡΤΥΧɑɡɩʟօոսցհքІ",
            "aeopcyxijsdqwhlbABEKMHOPCTYXIJSQWHaByenikvoptuxwABEZHIKMNOPTYXagilonughqI",
            strict=True,
        )
    )
)

_TAG = re2.compile(r"(?i)<(?:html|body|div|p|br|span|table|a|b|i|img|font|ul|ol|li|h[1-6]|pre|style|script)\b[^<>]*>")
_QUOTE_HEADER = re2.compile(
    r"(?im)^[ \t>]*(?:-{2,} ?original message ?-{2,}|-{2,} ?ursprüngliche nachricht ?-{2,}|on .{4,100} wrote:"
    r"|-{2,} ?message d.origine ?-{2,}|-{2,} ?mensaje original ?-{2,}"
    r"|am .{4,100} schrieb.{0,80}:|le .{4,100} a écrit ?:|el .{4,100} escribió:)[ \t]*$"
)
# What a mail program writes above a message that is passed on; the ones of Outlook stand above answers as well.
_FORWARD_HEADER = re2.compile(
    r"(?im)^[ \t>]*(?:-{2,} ?(?:forwarded (?:message|by .{0,60})|weitergeleitete nachricht|original message"
    r"|ursprüngliche nachricht|message transf[ée]r[ée]|message d.origine|mensaje (?:reenviado|original)) ?-{2,}"
    r"|begin forwarded message:|anfang der weitergeleiteten nachricht:|début du message transféré ?:"
    r"|(?:from|von|de): ?.+\n[ \t>]*(?:sent|date|gesendet|datum|envoyé|enviado|fecha|to|an|à|para|cc"
    r"|subject|betreff|objet|asunto) ?:.*)[ \t]*$"
)
_MAIL_HEADER = re2.compile(
    r"(?im)^[ \t>]*(?:from|sent|date|to|cc|reply-to|von|gesendet|datum|an|de|envoyé|à|enviado|fecha|para) ?:.*$\n?"
)
_SUBJECT_HEADER = re2.compile(r"(?im)^[ \t>]*(?:subject|betreff|objet|asunto) ?:[ \t]*")
_BANNER = re2.compile(
    r"(?i)\A\s*(?:\[[^\]\n]{0,40}(?:external|extern|externe|externo)[^\]]{0,300}\]"
    r"|(?:caution|warning|attention|achtung|vorsicht|atención|external e?-?mail|externe e?-?mail)\b[^\n]{0,60}"
    r"(?:outside|external|extern|extérieur|externo)[^\n]{0,300})\s*\n?"
)
_QUOTED_LINE = re2.compile(r"(?m)^[ \t]*>.*$")
_QUOTE_MARKS = re2.compile(r"(?m)^(?:[ \t]*>)+ ?")
_SIGNATURE = re2.compile(r"(?m)^-- ?$")
_SENT_FROM = re2.compile(r"(?im)^[ \t]*(?:sent from my|gesendet von meinem|envoyé de mon|enviado desde mi) .{0,60}$")
_DISCLAIMER = re2.compile(
    r"(?ims)^[^\n]{0,40}(?:this (?:e-?mail|message)(?: and any attachments?)? "
    r"(?:is|are|may be|may contain|contains?) [^\n]{0,40}(?:confidential|privileged|intended)"
    r"|confidentiality notice|diese e-?mail (?:enthält|ist) vertraulich"
    r"|ce message (?:est|contient)[^\n]{0,60}confidentiel)"
)
_LOG_LINE = re2.compile(
    r"(?m)^(?:[ \t]*at [\w.$<>]+\(.*\)[ \t]*$|[ \t]*File \".*\", line \d+.*$"
    r"|\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d.*$|\d\d:\d\d:\d\d[.,]\d+ .*$)"
)
_BLANK_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")
_SPACES = re.compile(r"[ \t\f\v\r]+")
_LOG_LINES_KEPT = 5
_SHORT_WORDS = 25
"""An own part with fewer words is read with what it forwards: 'please see below' says nothing by itself."""
_MAX_FORWARDS = 5
_FOLDINGS = 4


class _Stripper(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT_TAGS:
            self._silent += 1
        elif tag in _BLOCK_TAGS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT_TAGS:
            self._silent = max(0, self._silent - 1)
        elif tag in _BLOCK_TAGS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.parts.append(data)


def strip_html(text: str) -> str:
    r"""Turn an HTML mail body into plain text; text without HTML comes back unchanged.

    Example:
        >>> strip_html("<div>Hello<br>there &amp; you</div>").strip()
        'Hello\nthere & you'
    """
    if not _TAG.search(text):
        return text
    stripper = _Stripper()
    stripper.feed(text)
    stripper.close()
    return "".join(stripper.parts)


def unmask(text: str) -> str:
    r"""Undo disguises: compatibility forms, invisible characters, foreign letters that look Latin.

    Look-alikes are replaced only in a text that is mostly Latin, so that real Cyrillic or Greek stays readable.

    Example:
        >>> unmask("p\u0430ssw\u200bord \uff32\uff25\uff33\uff25\uff34")
        'password RESET'
    """
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKC", text)
    text = "".join(char for char in text if char in "\n\t" or unicodedata.category(char) not in ("Cf", "Cc", "Co"))
    if text.isascii():
        return text
    letters = [char for char in text if char.isalpha()]
    latin = sum(1 for char in letters if char < "\u0250")
    return text.translate(_CONFUSABLES) if letters and latin * 2 > len(letters) else text


def fold(text: str) -> str:
    r"""Fold text for matching by rules: unmasked, lower case, accents kept, white space single.

    Example:
        >>> fold("  Drucker\tGEHT\nnicht ")
        'drucker geht nicht'
    """
    text = strip_html(text)
    for _ in range(_FOLDINGS):  # lower case can bring new look-alikes: a combining iota becomes a Greek letter
        before, text = text, unmask(text).casefold()
        if text == before:
            break
    return " ".join(text.replace("\u2019", "'").split())


class LeftOut(NamedTuple):
    """A part of a text that was not read: what it was, and its length in characters."""

    what: str
    chars: int


@dataclass(frozen=True)
class Cleaned:
    """A text as the model reads it, and what of it was left out."""

    text: str
    left_out: tuple[LeftOut, ...] = ()


def _cut_off(text: str, *, whole: bool = False) -> tuple[str, str, str]:
    """Cut a text at its signature, disclaimer or quoted thread, whichever comes first.

    Args:
        text: Any text.
        whole: Whether it may be cut at its very beginning, so that nothing is left.

    Returns:
        What is left, what was cut off, and what that begins with; the latter two empty where nothing was cut.
    """
    cut, what = len(text), ""
    patterns = (
        ("quoted_history", _FORWARD_HEADER),
        ("quoted_history", _QUOTE_HEADER),
        ("signature", _SIGNATURE),
        ("disclaimer", _DISCLAIMER),
    )
    for name, pattern in patterns:
        match = pattern.search(text)
        if match and match.start() < cut and (whole or text[: match.start()].strip()):
            cut, what = match.start(), name
    return text[:cut], text[cut:], what


def _forwarded(text: str) -> str:
    """Return what a text passes on, without the lines of the mail program above it; empty where it is no forward."""
    match = _FORWARD_HEADER.search(text)
    if match is None:
        return ""
    below = text[match.start() :]
    below = below.split("\n", 1)[1] if "\n" in below else ""
    return str(_SUBJECT_HEADER.sub("", _MAIL_HEADER.sub("", _QUOTE_MARKS.sub("", below))))


def _read(text: str, left_out: list[LeftOut], *, answer: bool, depth: int = 0) -> str:
    """Cut furniture off, and read what a short message forwards; nothing is cut that would leave nothing to read."""
    banner = _BANNER.match(text)
    if banner and text[banner.end() :].strip():
        left_out.append(LeftOut("banner", banner.end()))
        text = text[banner.end() :]
    kept, rest, what = _cut_off(text)
    passed_on = "" if answer or len(kept.split()) >= _SHORT_WORDS or depth >= _MAX_FORWARDS else _forwarded(rest)
    if passed_on.strip():
        return f"{_unquoted(kept, left_out)}\n{_read(passed_on, left_out, answer=False, depth=depth + 1)}"
    if what:
        left_out.append(LeftOut(what, len(rest)))
    return _unquoted(kept, left_out)


def _unquoted(text: str, left_out: list[LeftOut]) -> str:
    kept = _SENT_FROM.sub("", _QUOTED_LINE.sub("", text))
    if not kept.strip():
        return text
    if len(kept) < len(text):
        left_out.append(LeftOut("quoted_history", len(text) - len(kept)))
    return str(kept)


def _shorten_logs(text: str) -> str:
    """Keep the first lines of a pasted log or stack trace: the rest repeats and crowds out the words."""
    if len(_LOG_LINE.findall(text)) <= _LOG_LINES_KEPT:
        return text
    kept, seen = [], 0
    for line in text.split("\n"):
        seen += bool(_LOG_LINE.match(line))
        if not _LOG_LINE.match(line) or seen <= _LOG_LINES_KEPT:
            kept.append(line)
    return "\n".join(kept)


def clean(text: str) -> str:
    r"""Clean text for the model: HTML, disguises, quoted threads, signatures, disclaimers and long logs removed.

    Idempotent, never raises on any string, and never empties a text that has something to read.

    Example:
        >>> clean("It is broken\n\n\nplease help\n-- \nA. Person, Accounts")
        'It is broken\nplease help'
    """
    return read(text).text


def read(text: str, *, answer: bool = False) -> Cleaned:
    r"""Clean text for the model and say what was left out.

    Args:
        text: What somebody wrote.
        answer: Whether it answers another message: what stands below it is old then, and not read.

    Example:
        >>> read("It is broken\n-- \nA. Person").left_out
        (LeftOut(what='signature', chars=13),)
    """
    if not text:
        return Cleaned("")
    left_out: list[LeftOut] = []
    text = _plain_text(text)
    text = _read(text, left_out, answer=answer)
    shorter = _shorten_logs(text)
    if len(shorter) < len(text):
        left_out.append(LeftOut("log", len(text) - len(shorter)))
    return Cleaned(_BLANK_LINES.sub("\n", _SPACES.sub(" ", shorter)).strip(), _added_up(left_out))


def own_part(text: str) -> str:
    r"""Return what the sender wrote above signature and thread; what is forwarded where that is nothing.

    Example:
        >>> own_part("Thanks!\n\nOn Monday, 3 August, A. Person wrote:\n> Is it fixed?")
        'Thanks!'
    """
    text = _plain_text(text)
    banner = _BANNER.match(text)
    kept, rest, _ = _cut_off(text[banner.end() :] if banner else text, whole=True)
    own = str(_SENT_FROM.sub("", _QUOTED_LINE.sub("", kept))).strip()
    return own or _forwarded(rest).strip()


def _plain_text(text: str) -> str:
    return unmask(strip_html(text)).replace("\r\n", "\n").replace("\r", "\n")


def _added_up(left_out: list[LeftOut]) -> tuple[LeftOut, ...]:
    """Add up parts of one sort, in the order in which they were first met."""
    total: dict[str, int] = {}
    for what, chars in left_out:
        total[what] = total.get(what, 0) + chars
    return tuple(LeftOut(what, chars) for what, chars in total.items())
