"""Text made comparable: cleaning for the model, folding for the rules; the original is never touched."""

from __future__ import annotations

import re
import unicodedata
from html.parser import HTMLParser

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
    r"|am .{4,100} schrieb.{0,80}:|le .{4,100} a écrit ?:|el .{4,100} escribió:)[ \t]*$"
)
_QUOTED_LINE = re2.compile(r"(?m)^[ \t]*>.*$")
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


def _drop_furniture(text: str) -> str:
    """Cut quoted threads, signatures and disclaimers, unless that would leave nothing to read."""
    cut = len(text)
    for pattern in (_QUOTE_HEADER, _SIGNATURE, _DISCLAIMER):
        match = pattern.search(text)
        if match and text[: match.start()].strip():
            cut = min(cut, match.start())
    kept = _SENT_FROM.sub("", _QUOTED_LINE.sub("", text[:cut]))
    return kept if kept.strip() else text


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
    if not text:
        return ""
    text = unmask(strip_html(text)).replace("\r\n", "\n").replace("\r", "\n")
    text = _shorten_logs(_drop_furniture(text))
    return _BLANK_LINES.sub("\n", _SPACES.sub(" ", text)).strip()
