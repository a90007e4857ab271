"""How a ticket in a request becomes one of the domain: what cannot be read is left out and said, the rest decided."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from api.http.schemas import TicketIn
from triage.normalise import LEAST_WIDTH, LeftOut, shortened, without_images
from triage.ticket import Ticket


def _run(digit: bytes, line_break: bytes) -> re.Pattern[bytes]:
    """Return what matches base64 in lines, of which all but the first are as long as no word is."""
    return re.compile(rb"(?:%b)*+(?:%b(?:%b){%d,}+)*+" % (digit, line_break, digit, LEAST_WIDTH))


class Ignored(NamedTuple):
    """An optional field that could not be read: its name, and a machine-readable reason."""

    field: str
    code: str


@dataclass(frozen=True)
class Received(Ticket):
    """A ticket as it was received.

    Attributes:
        ignored: Optional fields that could not be read.
        cut: Parts of the text that were taken out before anything was read.
    """

    ignored: tuple[Ignored, ...] = ()
    cut: tuple[LeftOut, ...] = ()


class InlineImages:
    """Counts the bytes of a body that are no image written into the text; fed with one part after the other.

    The lines of an image that is folded are told by their length; a shorter last one counts. What follows an image is
    told from it by the next few hundred bytes: where a body ends before, these do not count.
    """

    _MARK = b";base64,"
    # JSON may escape a slash, a plus sign and a line break.
    _RUN = _run(rb"[A-Za-z0-9+/]|\\/|\\u002[bBfF]", rb"(?:\\r|\r)?(?:\\n|\n)(?:[ \t]|\\t){0,20}+")
    _LOOK_AHEAD = 300
    """Bytes of a line break with the shortest line behind it, all of them escaped."""

    def __init__(self) -> None:
        self._kept, self._inside = b"", False

    def counted(self, part: bytes) -> int:
        """Return how many bytes of a part count.

        Example:
            >>> images = InlineImages()
            >>> [images.counted(one) for one in (b"<img src='data:image/png;ba", b"se64,QUJD", b"REVG'>" + b"." * 300)]
            [27, 5, 302]
        """
        text, size, mark = self._kept + part, 0, self._MARK
        place = 0 if self._inside else len(self._kept)
        while place < len(text):
            if self._inside:
                run = self._RUN.match(text, place)
                place = run.end() if run else place
                if len(text) - place < self._LOOK_AHEAD:
                    break
            found = text.find(mark, max(0, place - len(mark) + 1))
            self._inside = found >= 0
            end = found + len(mark) if self._inside else len(text)
            size, place = size + end - place, end
        self._kept = text[place:] if self._inside else text[1 - len(mark) :]
        return size


class InlineImagesOfForm(InlineImages):
    """The same for a form as browsers send it, with percent signs."""

    _MARK = b"%3Bbase64%2C"
    _RUN = _run(rb"[A-Za-z0-9/]|%2[BF]", rb"(?:%0D)?%0A(?:\+|%20|%09){0,20}+")


def to_ticket(payload: TicketIn, max_text_chars: int) -> Received:
    """Turn the ticket of a request into one of the domain.

    Images written into the text are taken out. What is longer than the service takes then is cut to its head and tail.
    """
    subject, of_subject = readable(payload.subject or "", max_text_chars)
    body, of_body = readable(payload.text or payload.body or "", max_text_chars)
    return Received(
        id=payload.id or "",
        subject=subject,
        body=body,
        channel=payload.channel or None,
        opened_at=payload.opened_at,
        language=payload.language,
        requester=payload.requester,
        attributes=payload.attributes or {},
        ignored=tuple(Ignored(field, code) for field, code in payload.ignored),
        cut=(*of_subject, *of_body),
    )


def readable(text: str, max_chars: int) -> tuple[str, list[LeftOut]]:
    """Return what of a text is read, and what was taken out; HTML that is over-long is as long as what it shows.

    Example:
        >>> readable("see <img src='data:image/png;base64,QUJDRA=='> there", 100)
        ("see <img src=''> there", [LeftOut(what='inline_image', chars=30)])
        >>> readable("a" * 60 + "b" * 60, 100)[1]
        [LeftOut(what='over_long', chars=25)]
        >>> readable(f"<style>{'p { margin: 0 } ' * 20}</style><p>It drops</p>", 100)
        ('It drops', [])
    """
    without = without_images(text)
    left_out = [LeftOut("inline_image", len(text) - len(without))] if without != text else []
    read, over = shortened(without, max_chars)
    return read, [*left_out, LeftOut("over_long", over)] if over else left_out
