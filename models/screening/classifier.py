"""A classifier of whole tickets: what must never wait, what is no ticket, and what is neither."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from models.encoder import ONNX_FILES, OnnxEncoder
from models.screening.prefilter import Prefilter
from triage.screening import ALARMED, ATTENTION_KINDS, Opinion
from triage.ticket import Ticket

LABELS: tuple[str, ...] = (
    *("none", *ATTENTION_KINDS),
    *("auto_reply", "bounce", "thanks", "close_request", "newsletter", "spam", "empty", "gibberish"),
)
"""What a ticket can be, in the order of the classifier's outputs: ordinary, what must not wait, what is no ticket."""
OF_ALARMS = slice(1, 1 + len(ATTENTION_KINDS))
OF_NO_TICKETS = slice(OF_ALARMS.stop, len(LABELS))
"""Places of the labels of either sort."""

HEAD_FILE = "head.npy"
READ_CHARS = 600
"""Characters that are read: the classifier was trained on beginnings of this length (about 80 tokens)."""

_MOST_SENTENCES = 12
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


Said = TypeVar("Said", bound=Opinion | None)

ORDINARY = Opinion({label: float(label == "none") for label in LABELS}, read_chars=READ_CHARS)
"""Of a ticket that nobody had to be asked about."""


def read_part(ticket: Ticket) -> str:
    """Return the beginning of a ticket, which is all that the classifier reads."""
    return ticket.text[:READ_CHARS]


class ScreeningClassifier:
    """Says how probable each label is, from the vector of a small encoder and one linear layer.

    Args:
        encoder: Fine-tuned for this task.
        head: Weights and bias, float32 of shape [labels, dim + 1].
    """

    def __init__(self, encoder: OnnxEncoder, head: NDArray[np.float32]) -> None:
        self.encoder = encoder
        self.head = head

    def doubtful(self, tickets: Sequence[Ticket], prefilter: Prefilter | None) -> list[int]:
        """Return the positions of the tickets that the classifier has to be asked about; all without a prefilter."""
        if prefilter is None:
            return list(range(len(tickets)))
        return [row for row, ticket in enumerate(tickets) if not prefilter.is_ordinary(self.tokens(read_part(ticket)))]

    def opinions(self, tickets: Sequence[Ticket], prefilter: Prefilter | None = None) -> list[Opinion]:
        """Return what each ticket probably is, with the sentence that says so where it must not wait.

        Args:
            tickets: Any number of them.
            prefilter: Says which of them are ordinary, so that the encoder is not asked; None asks it about each.
        """
        asked = self.doubtful(tickets, prefilter)
        return in_their_places(asked, self._said([read_part(tickets[row]) for row in asked]), len(tickets))

    def tokens(self, text: str) -> NDArray[np.int64]:
        """Return the tokens of a text as far as it is read, without those that mark beginning and end."""
        return self.encoder.tokens.ids(text)[: self.encoder.max_tokens]

    def _said(self, texts: Sequence[str]) -> list[Opinion]:
        return [
            Opinion(dict(zip(LABELS, map(float, values), strict=True)), self._quote(text, values), READ_CHARS)
            for text, values in zip(texts, self.probabilities(texts), strict=True)
        ]

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the probability of each label, of shape [n, labels]."""
        return self.probabilities_of(self.encoder.encode(texts))

    def probabilities_of(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the probability of each label, of shape [n, labels], from the encoder's vectors, of shape [n, dim]."""
        if not len(vectors):
            return np.zeros((0, len(LABELS)))
        # Row by row: a matrix product rounds a row by what else is in the batch.
        logits = np.stack([self.head[:, :-1] @ vector for vector in vectors]) + self.head[:, -1]
        odds = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))

    def _quote(self, text: str, row: NDArray[np.float64]) -> str:
        """Return the sentence that speaks most for what must not wait; empty where nothing does."""
        if row[OF_ALARMS].sum() < ALARMED:  # nobody would quote it
            return ""
        sentences = [part.strip() for part in _SENTENCE.split(text) if part.strip()][:_MOST_SENTENCES]
        if len(sentences) < 2:
            return "".join(sentences)
        return sentences[int(np.argmax(alarm_and_no_ticket(self.probabilities(sentences))[0]))]


def alarm_and_no_ticket(probabilities: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how probable it is that a ticket must not wait, and that it is none, both of shape [n].

    Args:
        probabilities: Of each label, of shape [n, labels].
    """
    return probabilities[:, OF_ALARMS].sum(axis=1), probabilities[:, OF_NO_TICKETS].sum(axis=1)


def in_their_places(asked: Sequence[int], opinions: Iterable[Said], count: int) -> list[Opinion | Said]:
    """Return an opinion of each of so many tickets: of those asked about what was said, of the others `ORDINARY`."""
    found: list[Opinion | Said] = [ORDINARY] * count
    for row, opinion in zip(asked, opinions, strict=True):
        found[row] = opinion
    return found


@cache
def shipped_classifier(threads: int | None = 1) -> ScreeningClassifier:
    """Return the classifier that travels with the code; made by `scripts/shorten_screening.py`.

    Args:
        threads: Texts read at a time; None takes one per core. One is right beside a model that is asked meanwhile.
    """
    folder = files("models.screening").joinpath("data")
    content = {name: folder.joinpath(name).read_bytes() for name in (*ONNX_FILES, HEAD_FILE)}
    head = np.load(io.BytesIO(content.pop(HEAD_FILE)), allow_pickle=False)
    if tuple(json.loads(content["encoder.json"])["labels"]) != LABELS or len(head) != len(LABELS):
        raise RuntimeError(
            "the screening classifier in this installation has other labels than its code: install again"
        )
    return ScreeningClassifier(OnnxEncoder(content, threads), head)
