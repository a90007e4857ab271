"""Dead letters: decisions that were answered and that the store can never take, so that somebody hears of them."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from api.store.rows import NewDecision
from models.wire import DecisionDocument

FILE_NAME = "dead-letters.jsonl"
MAX_BYTES = 64 << 20
"""Some 200,000 letters: whoever has not looked by then has the log and the metric, and the disk is not for them."""


@dataclass(frozen=True)
class DeadLetter:
    """A decision that the store refused for good; never with a word of the ticket.

    Attributes:
        at: When it was given up, ISO 8601.
        ticket_id: The helpdesk's id of the ticket.
        source: The helpdesk.
        decision_id: Id that the decision was answered with.
        tier: The tier that was answered.
        category: The category that was answered.
        automation: Whether it was answered as automatic.
        error: Type of what the store failed with.
    """

    at: str
    ticket_id: str
    source: str
    decision_id: str
    tier: str | None
    category: str | None
    automation: str
    error: str

    @classmethod
    def of(cls, new: NewDecision, source: str, error: Exception) -> DeadLetter:
        """Make the letter of a decision that failed with an error."""
        document: DecisionDocument = new.document
        cause = getattr(error, "orig", None) or error.__cause__ or error
        return cls(
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            ticket_id=new.ticket.id,
            source=source,
            decision_id=document.decision_id or "",
            tier=document.tier,
            category=document.category,
            automation=document.automation,
            error=type(cause).__name__,
        )


@dataclass(frozen=True)
class DeadLetters:
    """The file of dead letters in a home; several processes may write it."""

    home: Path

    @property
    def path(self) -> Path:
        """Where they lie."""
        return self.home / FILE_NAME

    def add(self, letter: DeadLetter) -> None:
        """Append a letter in one write, so that two processes never mix their lines.

        Raises:
            OSError: If it cannot be written.
        """
        line = json.dumps(asdict(letter)).encode("ascii") + b"\n"
        handle = os.open(
            self.path, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600
        )
        try:
            if os.fstat(handle).st_size < MAX_BYTES:
                os.write(handle, line)
        finally:
            os.close(handle)

    def read(self) -> list[DeadLetter]:
        """Return all letters, oldest first; a line that is damaged is left out."""
        try:
            lines = self.path.read_text("utf-8", "replace").splitlines()
        except FileNotFoundError:
            return []
        letters = []
        for line in lines:
            try:
                letters.append(DeadLetter(**json.loads(line)))
            except (ValueError, TypeError):
                continue
        return letters

    def clear(self) -> int:
        """Remove all letters, and return their number."""
        count = len(self.read())
        self.path.unlink(missing_ok=True)
        return count
