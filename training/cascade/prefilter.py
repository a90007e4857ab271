"""Learns which tickets of a desk the screening classifier would find ordinary, from what it says of many of them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from models.encoder import OnnxEncoder, Progress
from models.screening import shipped_classifier
from models.screening.classifier import READ_CHARS, alarm_and_no_ticket, read_part
from models.screening.prefilter import BUCKETS, Prefilter, token_buckets
from training.data.duplicates import near_duplicates
from training.data.folds import make_folds
from training.encoders.cache import CachedEncoder
from triage.screening import ALARMED, SURE_NO_TICKET
from triage.ticket import Ticket

ROWS_FILE = "prefilter-rows.npz"
"""Token ids of shipped tickets, and what the classifier says of them; made by `scripts/prefilter_rows.py`."""

OWN_ROWS = 3_000
"""Tickets of the desk's own that the classifier is asked about: with a third of them a fifth more are not ordinary."""

MISSED_ALARMS, MISSED_NO_TICKETS = 0.003, 0.01
"""Share of what the classifier flags that may be taken for ordinary, on writers that neither has learned from."""

MISSED_OWN = 0.1
"""The same of the desk's own tickets, each by a filter that has not seen it. Real desks write alarms in the words of
every day, which the rows of writers do not show (decision 0065)."""

HELD_BACK = frozenset(["c", "e", "w", "ac", "ad", "ae", "af", "ag", "ah", "al", "am"])
"""Writers of the data set whose rows neither the classifier nor a prefilter learns from: both are measured on them."""

LEARN, ALARMS, NO_TICKETS = 0, 1, 2
"""What a shipped row is there for: to learn from, or to choose the threshold so that few of its kind are missed."""

_PENALTY, _TOLERANCE = 1.0, 1e-3
_FOLDS, _LEAST_FLAGGED = 5, 10
_MOST_LOG_ODDS = 4.0


class BeginningEncoder:
    """The classifier's encoder for whole tickets: what it says of them is remembered, and forgotten, with their texts.

    Args:
        encoder: Reads the beginning of a text.
    """

    def __init__(self, encoder: OnnxEncoder) -> None:
        self.name = f"{encoder.name}:{READ_CHARS}"
        self.dim = encoder.dim
        self._encoder = encoder

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """Encode the beginning of each text, float32 of shape [n, dim]."""
        return self._encoder.encode([text[:READ_CHARS] for text in texts], progress)

    def truncates(self, texts: Sequence[str]) -> list[bool]:
        """Say for each text whether only its beginning is read."""
        return [len(text) > READ_CHARS for text in texts]


class TokenRows(NamedTuple):
    """Token ids of n texts one behind the other, and where each begins, int64 of shape [n + 1]."""

    tokens: NDArray[np.int64]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, tokens: Sequence[Sequence[int] | NDArray[np.int64]]) -> TokenRows:
        """Put the token ids of texts one behind the other."""
        starts = np.concatenate([[0], np.cumsum([len(one) for one in tokens])]).astype(np.int64)
        return cls(np.concatenate([np.zeros(0, np.int64), *map(np.asarray, tokens)]).astype(np.int64), starts)

    def runs(self) -> Any:
        """Return which buckets occur in which text, as a sparse matrix of ones of shape [n, BUCKETS]."""
        text = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))
        rows, columns = [], []
        for length, buckets in enumerate(token_buckets(self.tokens)):
            inside = text[: len(buckets)] == text[length : length + len(buckets)]  # no run goes on in the next text
            rows.append(text[: len(buckets)][inside])
            columns.append(buckets[inside])
        place = (np.concatenate(rows), np.concatenate(columns))
        found = sp.csr_matrix((np.ones(len(place[0]), np.float32), place), shape=(len(self.starts) - 1, BUCKETS))
        found.data[:] = 1.0  # equal places were added up
        return found


def log_odds(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how sure the classifier is that a ticket is anything but ordinary, within bounds; of shape [n].

    Args:
        probabilities: Of each of its labels, of shape [n, labels].
    """
    alarm, no_ticket = alarm_and_no_ticket(probabilities)
    flagged = np.clip(np.maximum(alarm, no_ticket), 1e-6, 1 - 1e-6)
    return np.asarray(np.clip(np.log(flagged / (1 - flagged)), -_MOST_LOG_ODDS, _MOST_LOG_ODDS))


def _shipped_rows() -> dict[str, NDArray[Any]]:
    content = io.BytesIO(files(__package__).joinpath(ROWS_FILE).read_bytes())
    with np.load(content, allow_pickle=False) as archive:
        return dict(archive)


def fit_prefilter(tickets: Sequence[Ticket], clusters: NDArray[np.int64] | None = None, *, seed: int = 0) -> Prefilter:
    """Fit a prefilter to a desk's tickets beside the shipped ones.

    Args:
        tickets: Of the desk; `OWN_ROWS` of them are drawn.
        clusters: Tickets with the same number are kept together, int64 of shape [n]; None keeps near-duplicates so.
        seed: Of the draw, and of the folds.
    """
    classifier, shipped = shipped_classifier(threads=None), _shipped_rows()
    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.permutation(len(tickets))[:OWN_ROWS])
    texts = [read_part(tickets[row]) for row in drawn]
    own = TokenRows.of([classifier.tokens(text) for text in texts]).runs()
    theirs = TokenRows(shipped["tokens"].astype(np.int64), shipped["starts"].astype(np.int64)).runs()
    use, wanted = shipped["use"], shipped["log_odds"].astype(np.float64)
    table = sp.vstack([own, theirs[use == LEARN]]).tocsr()
    vectors = CachedEncoder(BeginningEncoder(classifier.encoder)).encode([tickets[row].text for row in drawn])
    said = classifier.probabilities_of(vectors)
    target = np.concatenate([log_odds(said), wanted[use == LEARN]])
    texts_with = np.bincount(table.indices, minlength=BUCKETS)
    rarity = np.where(texts_with > 0, np.log((1 + table.shape[0]) / (1 + texts_with)) + 1, 0.0)
    weighted = table.multiply(rarity[None, :]).tocsr()
    scale = 1 / np.sqrt(np.maximum(weighted.multiply(weighted).sum(axis=1).A1, 1e-12))
    scaled = (sp.diags(scale) @ weighted).tocsr()
    model = _ridge(scaled, target)
    prefilter = Prefilter(
        (model.coef_ * rarity).astype(np.float32), (rarity**2).astype(np.float32), float(model.intercept_), -np.inf
    )
    together = near_duplicates(texts) if clusters is None else clusters[drawn]
    limits = _own_limits(scaled, target, said, _folds(together, seed))
    for kind, missed in ((ALARMS, MISSED_ALARMS), (NO_TICKETS, MISSED_NO_TICKETS)):
        rows = np.flatnonzero(use == kind).tolist()
        starts, tokens = shipped["starts"], shipped["tokens"].astype(np.int64)
        scores = [prefilter.score(tokens[starts[row] : starts[row + 1]]) for row in rows]
        limits.append(float(np.quantile(scores, missed, method="lower")))
    return Prefilter(prefilter.weights, prefilter.squares, prefilter.intercept, threshold=min(limits))


def _ridge(table: Any, target: NDArray[np.float64]) -> Any:
    return Ridge(alpha=_PENALTY, solver="sparse_cg", tol=_TOLERANCE).fit(table, target)


def _folds(clusters: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Return the fold of each ticket, no cluster in two of them."""
    nothing = np.zeros(len(clusters), dtype=np.int64)
    return make_folds(clusters, nothing, _FOLDS, seed) if len(np.unique(clusters)) > 1 else nothing


def _own_limits(
    table: Any, target: NDArray[np.float64], said: NDArray[np.float64], fold: NDArray[np.int64]
) -> list[float]:
    """Return the scores below which few of the desk's own tickets lie that the classifier flags, by kind.

    Args:
        table: Scaled runs of tokens, the desk's own rows before the shipped ones.
        target: What a filter learns, of shape [rows].
        said: The classifier's probabilities of the own rows, of shape [n, labels].
        fold: Of each own row; what is nearly the same is in one, so that a filter is asked about what it has not seen.
    """
    parts = zip(alarm_and_no_ticket(said), (ALARMED, SURE_NO_TICKET), strict=True)
    flagged = [np.flatnonzero(share >= least) for share, least in parts]
    if max(map(len, flagged)) < _LEAST_FLAGGED:
        return []
    scores, shipped = np.zeros(len(said)), np.arange(len(said), len(target))
    for number in np.unique(fold):
        learned = np.concatenate([np.flatnonzero(fold != number), shipped])
        unseen = np.flatnonzero(fold == number)
        scores[unseen] = _ridge(table[learned], target[learned]).predict(table[unseen])
    return [
        float(np.quantile(scores[rows], MISSED_OWN, method="lower")) for rows in flagged if len(rows) >= _LEAST_FLAGGED
    ]
