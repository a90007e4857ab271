"""What a desk's own closed tickets say about a new model: reviews that were made before it existed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from models.home import organisation_id
from training.data.dataset import LabelledTicket
from training.data.shipped import is_shipped
from training.evaluation.predictions import Predictions

MOST_REVIEWS = 5000
"""Most outcomes kept for each target, the newest; the sequential tests have long settled by then."""

_UNDATED = datetime.min.replace(tzinfo=UTC)


def history_facts(answers: Predictions) -> dict[str, Any]:
    """Return what the manifest says of the tickets set aside, as reviews by which autonomy can be earned at once.

    A ticket is a review where a person labelled it, where it is the desk's own, and where the model would have decided
    it without a person. Tickets that came with the product never count: they say nothing about the desk.

    Args:
        answers: What the model answered to tickets that it had not seen.

    Returns:
        `organisation` (where it was trained), `own` and `shipped` (how many of the tickets set aside are the desk's
        own, and how many came with the product), and by target under `outcomes` one digit a review in the order of
        time: 0 where the model was right, 1 where not.
    """
    own = np.array([not is_shipped(row.ticket) for row in answers.rows], dtype=bool)
    order = _in_time_order(answers.rows)
    outcomes = {}
    for target, found in answers.targets.items():
        counted = dict(zip(found.rows.tolist(), (found.kept & found.automatic).tolist(), strict=True))
        right = dict(zip(found.rows.tolist(), (found.named == found.true).tolist(), strict=True))
        digits = ["01"[not right[place]] for place in order if own[place] and counted.get(place, False)]
        outcomes[target] = "".join(digits[-MOST_REVIEWS:])
    counts = {"own": int(own.sum()), "shipped": int((~own).sum())}
    return {"organisation": organisation_id(), **counts, "outcomes": outcomes}


def _in_time_order(rows: Sequence[LabelledTicket]) -> list[int]:
    """Return row numbers by date, those without one first, in the order of the file."""
    return sorted(range(len(rows)), key=lambda place: rows[place].ticket.opened_at or _UNDATED)
