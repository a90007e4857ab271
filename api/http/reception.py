"""How a ticket in a request becomes one of the domain: what cannot be read is left out and said, the rest decided."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from api.http.schemas import TicketIn
from triage.normalise import LeftOut, shortened
from triage.ticket import Ticket

_IMAGE = re.compile(r"data:[\w.+-]{1,40}/[\w.+-]{1,80}(?:;[\w.+=-]{1,80})*;base64,[A-Za-z0-9+/=\s]*")
"""An image that stands in the text itself, as mail programs and editors write it (RFC 2397)."""


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
    """Counts the bytes of a body that are no image written into the text; fed with one part after the other."""

    _MARK = b";base64,"
    _RUN = re.compile(rb"[A-Za-z0-9+/=\\rn\s]*")

    def __init__(self) -> None:
        self._tail, self._inside = b"", False

    def counted(self, part: bytes) -> int:
        """Return how many bytes of a part count.

        Example:
            >>> images = InlineImages()
            >>> [images.counted(one) for one in (b"<img src='data:image/png;ba", b"se64,QUJD", b"REVG'>")]
            [27, 5, 2]
        """
        text, size, place, mark = self._tail + part, 0, len(self._tail), self._MARK
        if self._inside:
            place = self._end_of_run(text, place)
        while place < len(text):
            found = text.find(mark, max(0, place - len(mark) + 1))
            end = len(text) if found < 0 else found + len(mark)
            size += end - place
            place = len(text) if found < 0 else self._end_of_run(text, end)
            self._inside = found >= 0 and place == len(text)
        self._tail = b"" if self._inside else text[1 - len(mark) :]
        return size

    def _end_of_run(self, text: bytes, start: int) -> int:
        run = self._RUN.match(text, start)
        return run.end() if run else start


class InlineImagesOfForm(InlineImages):
    """The same for a form as browsers send it, with percent signs; an escape that is cut in two waits for its end."""

    _MARK = b"%3Bbase64%2C"
    _RUN = re.compile(rb"(?:[A-Za-z0-9+]++|%(?:2[BF]|3D|0[AD]|20))*+")

    def __init__(self) -> None:
        super().__init__()
        self._cut = b""

    def counted(self, part: bytes) -> int:
        """Return how many bytes of a part count.

        Example:
            >>> images = InlineImagesOfForm()
            >>> [images.counted(one) for one in (b"body=data%3Aimage%2Fpng%3Bbase64%", b"2CQUJD%2B%3", b"D%26x")]
            [32, 3, 4]
        """
        whole = self._cut + part
        escape = whole.rfind(b"%", max(0, len(whole) - 2))
        whole, self._cut = (whole, b"") if escape < 0 else (whole[:escape], whole[escape:])
        return super().counted(whole)


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


def without_images(text: str) -> str:
    """Return a text without the images that are written into it."""
    return _IMAGE.sub("", text) if ";base64," in text else text


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
