"""What a desk reckons its work in: the minutes that triage takes by hand, that a check takes, and a wrong route."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """Minutes of people's work; each desk states its own, and what is said to be saved follows from them.

    Attributes:
        by_hand_min: To read a ticket and to choose its route without a suggestion.
        check_min: To read a suggestion and to accept it.
        reassign_min: That a ticket costs which went to the wrong place: read there, sent back, triaged again.
    """

    by_hand_min: float = 4.0
    check_min: float = 1.0
    reassign_min: float = 15.0
