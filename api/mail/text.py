"""The text of a mail out of whatever MIME it has: what a mail program shows of it, and nothing of what is attached."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from email.message import Message
from itertools import chain, islice
from typing import NamedTuple, TypeVar

from tnefparse import TNEF

from triage.normalise import strip_html

_TNEF = ("application/ms-tnef", "application/vnd.ms-tnef")
_AS_UTF8_OR_WINDOWS = ("", "ascii", "iso8859-1", "cp1252")
"""Charsets under whose names programs write another one: UTF-8 where it is valid, else that of Windows."""
_NO_CHARSETS = ("idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape")
"""Codecs of Python that no mail is written in: some refuse most texts, one takes time with the square of the length."""
_MOST_LEVELS = 50
"""Levels of parts that are read: mail programs write four or five."""
_MOST_TEXTS = 100
"""Parts of a text that are joined: those of a mail that people wrote are a handful."""
_BLANK_LINES = re.compile(r"\n(?:[ \t\xa0]*\n){2,}")
_T = TypeVar("_T")


class _Text(NamedTuple):
    is_plain: bool
    text: str


def body_of(message: Message) -> str:
    """Return the text of a mail; empty where it has none.

    The parts of its body are joined in their order, plain text before HTML where it is there as both. A text with the
    name of a file counts only where there is no other, and last comes what Outlook packs into winmail.dat.
    """
    for named in (False, True):
        if text := _joined(_texts(message, named=named)):
            return text
    return next(_packed(message), "")


def decoded(content: bytes, charset: str) -> str:
    """Return bytes as a text, whatever charset they claim to be written in.

    Example:
        >>> decoded("größer".encode("cp1252"), "us-ascii"), decoded("größer".encode(), "")
        ('größer', 'größer')
        >>> decoded(b"It drops", "klingon")
        'It drops'
    """
    try:
        name = codecs.lookup(charset).name if charset else ""
        if name not in (*_AS_UTF8_OR_WINDOWS, *_NO_CHARSETS):
            return content.decode(name, "replace")
    except (LookupError, ValueError):
        pass
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        is_cut_off = error.reason == "unexpected end of data" and not content[: error.start].isascii()
        return content.decode("utf-8" if is_cut_off else "cp1252", "replace")


def storable(text: str) -> str:
    """Return a text without what no database takes."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def _joined(texts: list[_Text]) -> str:
    """Join texts; HTML that only repeats the plain text before it is left out."""
    kept, seen = [], ""
    for is_plain, text in islice(texts, _MOST_TEXTS):
        words = " ".join(text.split())
        if is_plain or words not in seen:
            kept.append(text)
            seen = f"{seen} {words}"
    return "\n".join(kept)


def _texts(part: Message, *, named: bool, depth: int = 0) -> list[_Text]:
    if depth > _MOST_LEVELS or _is_attached(part):
        return []
    if not part.is_multipart():
        return _text(part, named=named)
    found = [texts for inner in _inner(part) if (texts := _texts(inner, named=named, depth=depth + 1))]
    if part.get_content_subtype() == "alternative":
        return next((texts for texts in found if any(one.is_plain for one in texts)), found[0] if found else [])
    return found[0] if found and part.get_content_subtype() == "related" else list(chain.from_iterable(found))


def _text(part: Message, *, named: bool) -> list[_Text]:
    kind = part.get_content_type()
    if kind not in ("text/plain", "text/html") or (not named and _name(part)):
        return []
    content = _read(lambda: part.get_payload(decode=True), None)
    if not isinstance(content, bytes):
        return []
    text = storable(decoded(content, str(_read(lambda: part.get_content_charset(""), ""))))
    text = text if kind == "text/plain" else _shown(text)
    return [_Text(kind == "text/plain", text)] if text.strip() else []


def _shown(html: str) -> str:
    """Return what HTML shows: style sheets and markup would take the room that a text has."""
    return _BLANK_LINES.sub("\n\n", strip_html(html)).strip()


def _inner(part: Message) -> list[Message]:
    """Return the parts of a part; an attached mail has none that count."""
    parts = part.get_payload() if part.is_multipart() and part.get_content_maintype() == "multipart" else []
    return [inner for inner in parts if isinstance(inner, Message)]


def _is_attached(part: Message) -> bool:
    return _read(part.get_content_disposition, None) == "attachment"


def _name(part: Message) -> str:
    return str(_read(part.get_filename, None) or "")


def _read(read: Callable[[], _T], otherwise: _T) -> _T:
    try:
        return read()
    except Exception:  # the library fails in many ways on headers that nobody should write; the mail itself is decided
        return otherwise


def _packed(part: Message, depth: int = 0) -> Iterator[str]:
    """Yield the texts that Outlook packs into winmail.dat."""
    if depth > _MOST_LEVELS:
        return
    for inner in _inner(part):
        yield from _packed(inner, depth + 1)
    if part.get_content_type() in _TNEF or _name(part).lower() == "winmail.dat":
        yield from _unpacked(_read(lambda: part.get_payload(decode=True), None))


def _unpacked(content: object) -> Iterator[str]:
    if not isinstance(content, bytes):
        return
    try:
        found = TNEF(content)
        bodies = [found.body, found.htmlbody]
    except Exception:  # whatever is wrong with a packed mail, the mail itself is decided
        return
    for body in bodies:
        text = decoded(body, "") if isinstance(body, bytes) else str(body or "")
        if (text := storable(_shown(text))).strip():
            yield text
