"""Pages for people as files: refused before the work where they cannot be, written whole or not at all."""

from __future__ import annotations

from pathlib import Path

from models.atomic_write import check_writable
from models.atomic_write import write_text as write_page
from triage.errors import InvalidRequest

__all__ = ["check_page", "write_page"]


def check_page(out: Path) -> None:
    """Make sure that a page can be written, with the model card of the same name beside it.

    Raises:
        InvalidRequest: If a folder, a device or a pipe is in the way, the name
            is that of the card, or nothing can be written there.
    """
    card = out.with_suffix(".md")
    for path in (out, card):
        if path.is_dir():
            raise InvalidRequest(f"--out {str(out)!r}: {str(path)!r} is a folder; name a file in it")
    if out.suffix.lower() == ".md":
        raise InvalidRequest(f"--out {str(out)!r} is where the model card goes; name the page .html")
    check_writable(out)
    check_writable(card)
