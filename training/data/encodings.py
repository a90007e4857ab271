"""Which character encoding a text file is in: UTF-8, UTF-16 with a mark, or cp1252."""

from __future__ import annotations

import codecs
from pathlib import Path

from triage.errors import InvalidDataset

_CHUNK = 1 << 20


def detect_encoding(path: Path) -> tuple[str, str]:
    """Find the encoding of a file and how to treat wrong bytes, as `open` takes them.

    A UTF-8 file with some wrong bytes stays UTF-8, so that only those rows are bad.

    Raises:
        InvalidDataset: If it is in none of the known encodings.
    """
    with path.open("rb") as file:
        start = file.read(_CHUNK)
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16", "surrogatepass"
        if start.count(0) > len(start) / 4:
            raise InvalidDataset(f"{path} is no text: it looks like UTF-16 without a mark, or binary; save it as UTF-8")
        file.seek(0)
        strict = codecs.getincrementaldecoder("utf-8")()
        try:
            while chunk := file.read(_CHUNK):
                strict.decode(chunk)
            strict.decode(b"", final=True)
            return "utf-8-sig", "strict"
        except UnicodeDecodeError:
            pass
        file.seek(0)
        data = file.read()
    readable = data.decode("utf-8", errors="ignore")
    if any(char > "\x7f" for char in readable.removeprefix("\ufeff")):
        return "utf-8-sig", "surrogateescape"
    try:
        data.decode("cp1252")
    except UnicodeDecodeError as error:
        raise InvalidDataset(
            f"{path} is neither UTF-8 nor cp1252: byte 0x{data[error.start]:02x} at {error.start}; save it as UTF-8"
        ) from error
    return "cp1252", "strict"
