"""What hostile texts cost: `python bench/text_cost.py [--bundle DIR]`.

Measures cleaning and folding over every block of 256 characters of Unicode, and the whole way from ticket to decision
for texts of 20,000 characters of some forty kinds, and their way from ticket to a vendor's hand-over packet, all in
processor time. Exit status 1 where a kind costs more than five times a usual long ticket, or a block more than five
microseconds a character.
"""

from __future__ import annotations

import argparse
import sys
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path

from api.privacy.outward import outward
from models.triager import Triager
from triage.defaults import default_policy
from triage.escalation.packet import Packet, packet
from triage.normalise import clean, fold
from triage.ticket import Ticket

CHARS = 20_000
MOST_TIMES_USUAL, MOST_US_A_CHARACTER = 5.0, 5.0
_BLOCK_CHARS = 2_000
USUAL = "The printer on the second floor doesn\u2019t print since this morning. Please help, it is urgent! " * 250
"""English with the apostrophe that mail programs write: hardly a long ticket is plain ASCII."""
_ALARMS = " there is a fire in the server room and my password was stolen by a hacker"
_FILLED = {
    "one character that becomes eighteen": "\ufdfa",
    "one character that becomes six": "\u33af",
    "ligatures": "\ufb03",
    "combining marks in the wrong order": "\u0300\u0316",
    "rows of forty marks": "a" + "\u0316\u0300" * 20,
    "letters in another normal form": "\u00e9\u0323",
    "letters that grow when lower": "\u0390",
    "conjoining jamo": "\u1100\u1161\u11a8",
    "look-alikes one by one": "\u0430 ",
    "Russian": "\u0421\u0435\u0440\u0432\u0435\u0440 \u043d\u0435 \u043e\u0442\u0432\u0435\u0447\u0430\u0435\u0442 ",
    "Chinese": "\u670d\u52a1\u5668\u6ca1\u6709\u54cd\u5e94",
    "variation selectors": "a\ufe0f",
    "zero-width spaces": "a\u200b",
    "joined emoji": "\U0001f469\u200d\U0001f4bb",
    "tags": "<b>",
    "open tags": "<p\n",
    "open tags with a slash": "<p/ ",
    "open attributes": '<p a="',
    "open comments": "<p><!--",
    "open references": "<p>&#1",
    "ampersands without a space": "&amp",
    "angle brackets": "> ",
    "empty lines": " \n",
    "signature marks": "-- ",
    "headers of mails": "from: a\nsent: b\n",
    "words of attention": "fire in the server room. ",
    "one endless word": "fire",
    "full stops": "a. ",
    "the words of a test": "123 ",
    "one clause of status pages": "status page ",
    "one phrase of what was tried": "no luck restarted ",
    "one clause of attached logs": "log attached ",
    "since, without an end": "since the ",
    "only when, without an end": "only when ",
    "short names of devices": "p1 ",
    "quotations": "says 'not it' ",
    "long numbers": "12345678; ",
    "addresses of the network": "1.2.3.4 ",
    "addresses of mail": "a@b.de ",
}
KINDS = {kind: (filling * CHARS)[:CHARS] for kind, filling in _FILLED.items()} | {
    "a word of each letter": " ".join(f"{chr(0x400 + i % 90)}{chr(0x430 + i // 90 % 30)}{i}" for i in range(4_000)),
    "ever other Chinese letters": "".join(chr(0x4E00 + i * 7919 % 20_900) for i in range(CHARS)),
    "ever other Korean letters": "".join(chr(0xAC00 + i * 7919 % 11_172) for i in range(CHARS)),
    "Chinese and Latin letters in turn": "".join(f"{chr(0x4E00 + i * 7919 % 20_900)}a" for i in range(CHARS // 2)),
    "a row of full stops and a letter": "." * (CHARS - 1) + "a",
    "one letter again and again before alarms": ("a " * CHARS)[: CHARS - len(_ALARMS)] + _ALARMS,
    "a reference of many digits": "<p>&#" + "1" * (CHARS - 6) + ";",
}


def processor_ms(work: Callable[[], object]) -> float:
    """Return the least processor time of three runs, in milliseconds."""
    times = []
    for _ in range(3):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times) * 1000


def kind_costs(triager: Triager) -> dict[str, float]:
    """Return by kind how many times as much a text costs as the usual long ticket."""
    triager.decide([Ticket(body=USUAL[:CHARS])])
    usual = processor_ms(lambda: triager.decide([Ticket(subject="Printer", body=USUAL[:CHARS])]))
    return {
        kind: processor_ms(lambda text=text: triager.decide([Ticket(subject="Printer", body=text)])) / usual  # type: ignore[misc]
        for kind, text in KINDS.items()
    }


def hand_over_costs() -> dict[str, float]:
    """Return by kind how many times as much a vendor's packet costs as to decide the usual long ticket by rules."""
    triager, policy = Triager(), default_policy()
    vendor = next(tier for tier in policy.labels("tier") if tier in policy.external_tiers)

    def made(text: str) -> Packet:
        return packet(policy, [outward(text)], ("L3", vendor), None)

    made(USUAL[:CHARS])
    triager.decide([Ticket(body=USUAL[:CHARS])])
    usual = processor_ms(lambda: triager.decide([Ticket(subject="Printer", body=USUAL[:CHARS])]))
    return {kind: processor_ms(lambda text=text: made(text)) / usual for kind, text in KINDS.items()}  # type: ignore[misc]


def block_costs() -> dict[str, float]:
    """Return for every block of 256 characters what each character costs, in microseconds."""
    costs = {}
    for first in range(0, sys.maxunicode + 1, 256):
        known = [chr(i) for i in range(first, first + 256) if unicodedata.category(chr(i)) not in ("Cn", "Cs", "Co")]
        if known:
            text = ("".join(known) * _BLOCK_CHARS)[:_BLOCK_CHARS].replace("\x00", "")
            costs[f"U+{first:04X}"] = processor_ms(lambda text=text: (clean(text), fold(text))) * 1000 / _BLOCK_CHARS  # type: ignore[misc]
    return costs


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bundle", type=Path, help="decide by this bundle; by the written rules alone where absent")
    bundle = parser.parse_args().bundle
    kinds = kind_costs(Triager.load(bundle) if bundle else Triager())
    packets = hand_over_costs()
    blocks = block_costs()
    for costs, what in ((kinds, "decided"), (packets, "handed to a vendor")):
        for kind, times in sorted(costs.items(), key=lambda item: -item[1]):
            print(f"  {times:6.2f} times a usual long ticket   {kind}, {what}")
    worst = sorted(blocks.items(), key=lambda item: -item[1])[:5]
    dearest = ", ".join(f"{name} {us:.2f}" for name, us in worst)
    print(f"  {len(blocks)} blocks, dearest: {dearest} microseconds a character")
    dearest_kind = max(*kinds.values(), *packets.values())
    return 0 if dearest_kind <= MOST_TIMES_USUAL and worst[0][1] <= MOST_US_A_CHARACTER else 1


if __name__ == "__main__":
    sys.exit(main())
