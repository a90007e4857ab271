"""Pages for people as files: refused before the work where they cannot be, written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from triage.errors import InvalidRequest


def check_page(out: Path) -> None:
    """Make sure that a page can be written, with the model card of the same name beside it.

    Raises:
        InvalidRequest: If a folder is in the way, the name is that of the card, or nothing can be written there.
    """
    for place in (out, out.with_suffix(".md")):
        if place.is_dir():
            raise InvalidRequest(f"--out {str(out)!r}: {str(place)!r} is a folder; name a file in it")
    if out.suffix.lower() == ".md":
        raise InvalidRequest(f"--out {str(out)!r} is where the model card goes; name the page .html")
    write_page(out, None)


def write_page(out: Path, text: str | None) -> None:
    """Write a text as UTF-8, in one step; None only tries whether that is possible.

    Raises:
        InvalidRequest: If it cannot be written.
    """
    draft = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(prefix=f".{out.name}-", dir=out.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text or "")
        if text is not None:
            Path(draft).chmod(0o644)
            os.replace(draft, out)
    except OSError as error:
        raise InvalidRequest(
            f"{str(out)!r} cannot be written: {error.strerror or error}; make room or choose another --out"
        ) from error
    finally:
        if draft is not None:
            Path(draft).unlink(missing_ok=True)
