"""Tickets that wait, as the model sees them: which of them to label next, and which have a theme in common."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from api.learning.themes import Theme, themes_of
from api.scoring.learning import PORTION, Predicted
from api.scoring.model_holder import ModelHolder
from api.security.clearance import may_read
from api.store.repository import Repository
from api.store.rows import DecisionRow
from api.store.work.queue import Filter
from models.bundle.bundle import Bundle
from models.reference.to_label import TAUGHT_BY, next_to_label
from triage.policy import Policy

LOOKED_AT = 192
"""Waiting tickets that are looked at, the least sure: reading one takes some 20 ms, once."""
SHOWN = 12
_RARE = 50
"""Past tickets below which a label is called rare, if it is among the rarest quarter."""
_REMEMBERED = 2_000
CATEGORY = "category"
_ODD = ("out_of_distribution", "low_confidence", "ambiguous", "class_excluded", "no_head")
"""Reasons for abstaining that a missing category may be behind."""


@dataclass(frozen=True)
class Worth:
    """A ticket that is worth labelling, and why.

    Attributes:
        decision_id: Its decision.
        title: What it is called in lists.
        first: The likeliest label, with its probability; None without a model.
        second: The next one.
        few: How many tickets have the likeliest label, where those are few.
    """

    decision_id: str
    title: str
    first: tuple[str, float] | None
    second: tuple[str, float] | None
    few: int | None


@dataclass(frozen=True)
class Learning:
    """What there is to label.

    Attributes:
        queue: Tickets in order.
        themes: Among those that the model abstained on.
        looked_at: How many tickets were looked at.
        target: What the order helps the model to learn.
        targets: What else it could help to learn.
    """

    queue: list[Worth]
    themes: list[Theme]
    looked_at: int
    target: str = CATEGORY
    targets: tuple[str, ...] = ()


class WorthAsking:
    """Chooses what people should label; it reads waiting tickets with the model in use, each once.

    Its methods ask the store and score tickets, and so block: call them from worker threads.

    Args:
        store: Where decisions are kept.
        model: Holds the model in use.
        blind: Whether audits are judged before anybody sees what the model says: they are left out then.
    """

    def __init__(self, store: Repository, model: ModelHolder, *, blind: bool = False) -> None:
        self._store, self._model, self._blind = store, model, blind
        self._turn = threading.Lock()
        self._read: OrderedDict[str, Predicted] = OrderedDict()
        self._digest = ""

    def forget(self) -> None:
        """Forget whatever this process remembers of tickets; what is being read meanwhile is not remembered either."""
        self._read = OrderedDict()

    def look(self, clearance: int, target: str = CATEGORY) -> Learning:
        """Return what is worth labelling now, among what somebody with that clearance may read.

        Args:
            clearance: Of the reader.
            target: What the model is to learn; what helps with categories does little for tiers. One that the model
                does not know gives way to the category, else to the first that it knows.
        """
        triager = self._model.triager
        bundle = triager.bundle
        if not isinstance(bundle, Bundle) or not bundle.model.heads:
            return Learning([], [], 0)
        targets = tuple(bundle.model.heads)
        target = next(one for one in (target, CATEGORY, *targets) if one in targets)
        lines = self._store.lines(Filter(view="waiting"), "unsure", limit=LOOKED_AT)
        rows = [line.row for line in lines if self._may_show(triager.policy, line.row, clearance)]
        if not rows:
            return Learning([], [], 0, target=target, targets=targets)
        with self._turn:
            known = self._known(bundle, rows)
        rows = [row for row in rows if row.id in known]
        if not rows:
            return Learning([], [], 0, target=target, targets=targets)
        read = [known[row.id] for row in rows]
        labels = bundle.model.heads[target].labels
        vectors = np.stack([one.vector for one in read])
        probabilities = np.stack([one.probabilities[target] for one in read])
        labelled = _labelled(bundle, target, labels)
        if len(labels) > 1:
            taught = bundle.model.history.likeness(vectors, TAUGHT_BY)
            order = next_to_label(vectors, probabilities, labelled, SHOWN, taught=taught)
        else:
            order = np.arange(min(SHOWN, len(rows)))
        rare = int(np.quantile(labelled, 0.25))
        queue = [_worth(rows[place], labels, probabilities[place], labelled=labelled, rare=rare) for place in order]
        odd = [place for place, row in enumerate(rows) if _is_odd(row)]
        themes = themes_of([rows[place] for place in odd], vectors[odd])
        return Learning(queue, themes, len(rows), target=target, targets=targets)

    def _may_show(self, policy: Policy, row: DecisionRow, clearance: int) -> bool:
        if row.forgotten or row.document.kind is not None or not may_read(policy, row, clearance):
            return False
        return not (self._blind and row.document.is_audit and row.standing is None)

    def _known(self, bundle: Bundle, rows: Sequence[DecisionRow]) -> dict[str, Predicted]:
        """Return what the model says of each ticket, by the decision; one that is forgotten meanwhile is left out."""
        if self._digest != bundle.digest:
            self._read, self._digest = OrderedDict(), bundle.digest
        read = self._read  # before the store is asked: what is forgotten from now on is kept in none that stays
        known = {row.id: read[row.id] for row in rows if row.id in read}
        fresh = list(self._store.decided_tickets([row.id for row in rows if row.id not in known]).items())
        for start in range(0, len(fresh), PORTION):
            portion = fresh[start : start + PORTION]
            said = Predicted.each(bundle.probabilities_of([ticket for _, ticket in portion]))
            known |= {decision_id: one for (decision_id, _), one in zip(portion, said, strict=True)}
        read.update(known)
        while len(read) > _REMEMBERED:
            read.popitem(last=False)
        return known


def _labelled(bundle: Bundle, target: str, labels: Sequence[str]) -> NDArray[np.int64]:
    """Return how many past tickets have each label, of shape [classes]."""
    written = list(bundle.model.history.written.get(target, ()))
    return np.array([written.count(label) for label in labels], dtype=np.int64)


def _is_odd(row: DecisionRow) -> bool:
    verdict = row.document.targets.get(CATEGORY)
    return verdict is not None and str(verdict.reason) in _ODD


def _worth(
    row: DecisionRow,
    labels: Sequence[str],
    probabilities: NDArray[np.float64],
    *,
    labelled: NDArray[np.int64],
    rare: int,
) -> Worth:
    order = np.argsort(-probabilities)[:2]
    likely = [(labels[place], float(probabilities[place])) for place in order]
    few = int(labelled[order[0]])
    return Worth(
        decision_id=row.id,
        title=row.title,
        first=likely[0],
        second=likely[1] if len(likely) > 1 else None,
        few=few if few <= min(rare, _RARE) else None,
    )
