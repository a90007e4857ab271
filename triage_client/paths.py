"""Ids as parts of a path: quoted as a whole, so that no id leads to another address than that of its own thing."""

from __future__ import annotations

from urllib.parse import quote

from triage_client.errors import NotAnId


def path_part(value: object) -> str:
    """Return an id as one part of a path, with every character quoted that means something in an address.

    Args:
        value: The id, as a text or a number.

    Raises:
        NotAnId: It is empty or no valid Unicode, or a part of it between slashes is ``.`` or ``..``: software on the
            way may read a quoted slash as a slash, and then such an id would lead elsewhere.

    Example:
        >>> path_part("INC 7/2?")
        'INC%207%2F2%3F'
    """
    text = str(value)
    if not text or any(part in (".", "..") for part in text.split("/")):
        raise NotAnId("an id cannot be empty, nor can a part of it be '.' or '..': send the id of a ticket or decision")
    try:
        return quote(text, safe="")
    except UnicodeEncodeError as error:
        raise NotAnId("an id is valid Unicode: this one holds a lone surrogate") from error
