"""What the service refused, or was never sent, as exceptions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class TriageProblem(Exception):
    """The service answered with a problem (RFC 9457).

    Attributes:
        status: HTTP status.
        code: Machine-readable kind, such as ``no-such-decision``.
        detail: One sentence for people.
        errors: The fields at fault, each with its name and a code.
        retry_after_s: After how many seconds the call may be taken, as the service says; None where it does not.
    """

    def __init__(self, status: int, document: Mapping[str, Any], retry_after_s: float | None = None) -> None:
        self.status = status
        self.retry_after_s = retry_after_s
        self.code = str(document.get("code", "unknown"))
        self.detail = str(document.get("detail", ""))
        self.errors: Sequence[Mapping[str, str]] = document.get("errors", [])
        super().__init__(f"{status} {self.code}: {self.detail}")


class NotAnId(ValueError):
    """What was given as an id can be none, so that nothing was sent."""
