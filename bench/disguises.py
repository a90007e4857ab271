"""Disguised tickets: `python bench/disguises.py [--tickets 400]`.

Takes the shipped tickets that a written rule decides, disguises them in several ways, and counts how many keep their
route. Exit status 1 where less than 95 % do so for a disguise.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path

from models.triager import Triager
from triage.decision import Decision, Source
from triage.ticket import Ticket

LEAST_SHARE = 0.95
_DATA = Path(__file__).parents[1] / "datasets" / "tickets.jsonl"
_CYRILLIC = str.maketrans("aceopxyijsABCEHIJKMOPSTXY", "асеорхуіјѕАВСЕНІЈКМОРЅТХУ")
_MORE_CYRILLIC = str.maketrans("aceopxyijshkmtrnbdABCEHIJKMOPSTXY", "асеорхуіјѕһкмтгпьԁАВСЕНІЈКМОРЅТХУ")
_GREEK = str.maketrans("aioptuvxynkABEZHIKMNOPTYX", "αιορτυνχγηκΑΒΕΖΗΙΚΜΝΟΡΤΥΧ")
_DRAW = random.Random(0)


def _some(mark: str) -> Callable[[str], str]:
    return lambda text: "".join(char + mark if char.isalpha() and _DRAW.random() < 0.3 else char for char in text)


DISGUISES: dict[str, Callable[[str], str]] = {
    "a variation selector after every letter": lambda text: "".join(c + "\ufe0f" if c.isalpha() else c for c in text),
    "variation selectors here and there": _some("\ufe0f"),
    "variation selectors of plane 14": _some("\U000e0101"),
    "zero-width spaces": _some("\u200b"),
    "combining grapheme joiners": _some("\u034f"),
    "Hangul fillers": _some("\u3164"),
    "soft hyphens": _some("\u00ad"),
    "Cyrillic for every letter that has it": lambda text: text.translate(_CYRILLIC),
    "Cyrillic for every letter that may pass": lambda text: text.translate(_MORE_CYRILLIC),
    "Greek for every letter that has it": lambda text: text.translate(_GREEK),
    "full width": lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    "mathematical bold": lambda text: "".join(chr(0x1D41A + ord(c) - 97) if "a" <= c <= "z" else c for c in text),
}


def _route(decision: Decision) -> tuple[str | None, str | None, str | None]:
    return decision.tier, decision.category, decision.resolver_group


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tickets", type=int, default=400, help="most tickets to disguise")
    most = parser.parse_args().tickets
    triager = Triager()
    rows = [json.loads(line) for line in _DATA.read_text("utf-8").splitlines()]
    tickets = [Ticket(row["id"], row["subject"], row["body"]) for row in rows]
    decided = [(ticket, one) for ticket, one in zip(tickets, triager.decide(tickets), strict=True)]
    hit = [pair for pair in decided if pair[1].source in (Source.BYPASS_RULE, Source.FALLBACK_RULE)]
    chosen = random.Random(1).sample(hit, min(most, len(hit)))
    worst = 1.0
    for name, disguise in DISGUISES.items():
        twins = [Ticket(one.id, disguise(one.subject), disguise(one.body)) for one, _ in chosen]
        kept = sum(
            _route(twin) == _route(was) for twin, (_, was) in zip(triager.decide(twins), chosen, strict=True)
        ) / len(chosen)
        worst = min(worst, kept)
        print(f"  {kept:7.1%} keep their route   {name}")
    print(f"  {len(chosen)} tickets that a rule decides, of {len(hit)} among {len(tickets)}")
    return 0 if worst >= LEAST_SHARE else 1


if __name__ == "__main__":
    sys.exit(main())
