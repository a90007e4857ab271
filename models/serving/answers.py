"""A bounded memory of answers to repeated texts: monitoring and people send the same words again and again."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING

from triage.decision import Decision
from triage.ticket import Ticket

if TYPE_CHECKING:  # the settings read `MOST_ANSWERS`, and a supervisor of workers needs no model
    from models.triager import Triager

MOST_ANSWERS = 1024
"""Answers kept: some ten megabytes, with explanations."""


class AnswerMemory:
    """Remembers what one triager decided, by a digest of everything that the decision may depend on.

    It knows one triager at a time. Another bundle, policy or set of reviews is another triager, and with its first
    answer everything before is forgotten. Safe to call from any thread.

    Args:
        size: Answers kept at most, the last ones asked for; 0 keeps none.
    """

    def __init__(self, size: int = MOST_ANSWERS) -> None:
        self._size = size
        self._triager: Triager | None = None
        self._forgotten = 0
        self._answers: OrderedDict[str, Decision] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return the number of answers kept."""
        return len(self._answers)

    @property
    def forgotten(self) -> int:
        """How often everything was forgotten; whoever begins to decide reads it, and `put` wants it."""
        return self._forgotten

    def get(self, triager: Triager, ticket: Ticket, *, explain: bool, clearance: int) -> Decision | None:
        """Return what the triager decided about a ticket with the same words and fields, under this ticket's id.

        Args:
            triager: Who is asked.
            ticket: What came in.
            explain: Whether the answer has to say why.
            clearance: What the reader may see.
        """
        if not self._size:
            return None
        with self._lock:
            if triager is not self._triager:
                return None
            key = _key(ticket, explain, clearance)
            found = self._answers.get(key)
            if found is None:
                return None
            self._answers.move_to_end(key)
        return replace(found, ticket_id=ticket.id)

    def put(
        self, triager: Triager, ticket: Ticket, decision: Decision, *, begun: int, explain: bool, clearance: int
    ) -> None:
        """Remember a decision; the one asked for longest ago goes where there are too many.

        Args:
            triager: Who decided.
            ticket: What came in.
            decision: What was decided, before anything that changes from ticket to ticket, such as audits.
            begun: What `forgotten` was before it was decided. Where that has changed it is not kept: it may quote the
                ticket that was forgotten meanwhile.
            explain: Whether it says why.
            clearance: What the reader may see.
        """
        if not self._size or decision.model_version != triager.model_version:
            return  # decided by the rules because the model failed: the next one may have more luck
        with self._lock:
            if begun != self._forgotten:
                return
            if triager is not self._triager:
                self._triager = triager
                self._answers.clear()
            self._answers[_key(ticket, explain, clearance)] = decision
            while len(self._answers) > self._size:
                self._answers.popitem(last=False)

    def forget(self) -> None:
        """Forget everything: an answer quotes its ticket, and names similar ones."""
        with self._lock:
            self._forgotten += 1
            self._triager = None  # one that is out of use need not stay in memory
            self._answers.clear()


def _key(ticket: Ticket, explain: bool, clearance: int) -> str:
    """Return a digest of all that counts; the id does not, nor who asks and when."""
    said = (ticket.subject, ticket.body, ticket.channel, ticket.language, dict(ticket.attributes), ticket.chosen)
    parts = (*said, explain, clearance)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()
