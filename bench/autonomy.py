"""How soon automation opens at a good desk, how often at a bad one, and how soon it closes when the risk doubles.

Every desk is simulated with the product's own tests (`triage.autonomy`), review by review; seed 1. Arguments name the
parts to run: opening, closing, false-opening, late.
"""

from __future__ import annotations

import heapq
import math
import random
import sys
from collections.abc import Callable
from statistics import median

from models.terminal import table
from triage.autonomy import DELTA, Autonomy, Mode

DESKS = 1000
RISKS = (0.05, 0.10)
AUDIT_SHARE = 0.05
FALSE_HORIZON = 5000
PATIENCE = 20_000
DAYS, TICKETS_A_DAY, QUICK = 10, 200, 0.2


def information_limit(true: float, target: float) -> float:
    """Return ln(1 / delta) / KL(true, target): the reviews that no test at this level can undercut on average."""
    divergence = true * math.log(true / target) + (1 - true) * math.log((1 - true) / (1 - target))
    return math.log(1 / DELTA) / divergence


def reviews_to_open(draw: random.Random, target: float, risk: Callable[[int], float], horizon: int) -> int | None:
    """Return after how many reviews one desk opens, or None where it does not within the horizon."""
    state = Autonomy.begin(target)
    for review in range(horizon):
        state = state.update(draw.random() < risk(review))
        if state.mode is Mode.AUTOMATIC:
            return review + 1
    return None


def tickets_to_close(
    draw: random.Random, target: float, risk: Callable[[int], float], horizon: int
) -> tuple[int | None, int]:
    """Return after how many automatic tickets one open desk closes, or None, and how many went to people."""
    state, audited = Autonomy.begin(target, carried=True), 0
    for ticket in range(horizon):
        if draw.random() >= state.audit_share(AUDIT_SHARE):
            continue
        audited += 1
        state = state.update(draw.random() < risk(ticket), audited=True)
        if state.mode is Mode.SUGGEST:
            return ticket + 1, audited
    return None, audited


def opening(draw: random.Random) -> None:
    rows: list[list[object]] = []
    for target in RISKS:
        limit = information_limit(target / 2, target)
        clean = Autonomy.begin(target).reviews_to_go
        for name, share in (("0", 0.0), ("r / 4", 0.25), ("r / 2", 0.5), ("3 r / 4", 0.75)):
            found = [
                reviews_to_open(draw, target, lambda _, p=share * target: p, PATIENCE) or PATIENCE for _ in range(DESKS)
            ]
            middle = median(found)
            rows.append([f"{target:.2f}", name, middle, f"{middle / limit:.2f}", f"{limit:.0f}", clean])
    print(f"\nreviews until automation opens, {DESKS} desks; limit = ln(1/{DELTA}) / KL(r/2, r)")
    print(table(["target risk r", "true risk", "median", "times the limit", "limit", "clean reviews needed"], rows))


def false_opening(draw: random.Random) -> None:
    rows: list[list[object]] = []
    for target in RISKS:
        cases: dict[str, Callable[[int], float]] = {
            "1.01 r": lambda _, p=1.01 * target: p,
            "1.2 r": lambda _, p=1.2 * target: p,
            "rising from 1.01 r to 2 r": lambda review, r=target: r * (1.01 + 0.99 * review / FALSE_HORIZON),
        }
        for name, risk in cases.items():
            found = [reviews_to_open(draw, target, risk, FALSE_HORIZON) for _ in range(DESKS)]
            rows.append([f"{target:.2f}", name, f"{sum(one is not None for one in found) / DESKS:.3f}"])
    print(f"\nopened falsely at any time within {FALSE_HORIZON} reviews, {DESKS} desks")
    print(table(["target risk r", "true risk", "opened"], rows))


def closing(draw: random.Random) -> None:
    rows: list[list[object]] = []
    for target in RISKS:
        doubled = [
            tickets_to_close(draw, target, lambda t, r=target: r if t < 2000 else 2 * r, 2000 + PATIENCE)
            for _ in range(DESKS)
        ]
        late = [closed - 2000 for closed, _ in doubled if closed is not None and closed > 2000]
        clean = {}
        for share in (1.0, 0.5):
            found = [tickets_to_close(draw, target, lambda _, p=share * target: p, 10_000) for _ in range(DESKS)]
            clean[share] = (
                sum(closed is not None for closed, _ in found) / DESKS,
                sum(audited for _, audited in found) / DESKS,
            )
        row = [f"{target:.2f}", f"{median(late):.0f}", f"{sorted(late)[int(0.9 * len(late))]}"]
        rows.append(row + [f"{rate:.3f} ({audited:.0f} audited)" for rate, audited in clean.values()])
    print(f"\nclosing on the audit slice alone ({AUDIT_SHARE:.0%} of the automatic tickets), {DESKS} desks")
    heads = ["target risk r", "r to 2 r: median tickets", "9 in 10 within", "closed wrongly in 10,000 at r", "at r / 2"]
    print(table(heads, rows))


def days_of(draw: random.Random, target: float, risk: float, slow: float) -> tuple[bool, bool, float, bool]:
    """Let one desk live for some days, where what is right is accepted within hours and what is wrong corrected later.

    Returns:
        Whether automation ever opened, whether late reviews took it back, the share of tickets while it was open, and
        whether it was open in the end.
    """
    state, waiting, taken_back, held = Autonomy.begin(target), list[tuple[float, int, bool, bool]](), False, 0
    for ticket in range(DAYS * TICKETS_A_DAY):
        now = ticket / TICKETS_A_DAY
        while waiting and waiting[0][0] <= now:
            _, _, error, audited = heapq.heappop(waiting)
            before, state = state, state.update(error, audited=audited)
            taken_back |= not audited and (before.mode, state.mode) == (Mode.AUTOMATIC, Mode.SUGGEST)
        is_open, error = state.mode is Mode.AUTOMATIC, draw.random() < risk
        held += is_open
        if not is_open or draw.random() < state.audit_share(AUDIT_SHARE):
            heapq.heappush(waiting, (now + draw.expovariate(1 / (slow if error else QUICK)), ticket, error, is_open))
    return state.openings > 0, taken_back, held / (DAYS * TICKETS_A_DAY), state.mode is Mode.AUTOMATIC


def late(draw: random.Random) -> None:
    rows: list[list[object]] = []
    for slow in (QUICK, 2.0):
        for name, share in (("r / 4", 0.25), ("r / 2", 0.5), ("1.01 r", 1.01), ("1.5 r", 1.5)):
            found = [days_of(draw, 0.10, share * 0.10, slow) for _ in range(DESKS)]
            rows.append([f"{slow:g} days", name, *(f"{sum(one) / DESKS:.3f}" for one in zip(*found, strict=True))])
    print(
        f"\n{DESKS} desks with {TICKETS_A_DAY} tickets a day for {DAYS} days, target risk r = 0.10; what is right is "
        f"accepted after {QUICK:g} days in the mean"
    )
    heads = [
        "wrong ones corrected after",
        "true risk",
        "opened",
        "taken back",
        "share of tickets while open",
        "open last",
    ]
    print(table(heads, rows))


PARTS = {"opening": opening, "closing": closing, "false-opening": false_opening, "late": late}


def main() -> None:
    for name in sys.argv[1:] or PARTS:
        PARTS[name](random.Random(1))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
