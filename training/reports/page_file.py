"""Where a page for people goes, with the card beside it: refused before the work where neither can be written."""

from __future__ import annotations

from pathlib import Path

from models.atomic_write import check_writable
from triage.errors import InvalidRequest


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
