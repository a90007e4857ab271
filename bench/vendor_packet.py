"""Personal data left in what goes to a vendor: `python bench/vendor_packet.py FILE.parquet`.

The file has a column `full_text` and a column `spans_json`: a JSON list of `entity_type`, `start_position` and
`end_position`. Each text is put into a ticket, the packet to the vendor is made of it, and an item counts as
left where the packet holds its whole text.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

import pyarrow.parquet as parquet

from api.privacy.outward import outward
from triage.defaults import default_policy
from triage.escalation.packet import packet

AIMED = ("EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE", "IP_ADDRESS")
AROUND = "Since Monday the router shows 'no carrier'. Restarted twice, no luck. {} Contract C-77120, serial 4711-99."


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path, help="texts with marked personal data")
    policy, every, left = default_policy(), Counter[str](), Counter[str]()
    whole = Counter[str]()
    for row in parquet.read_table(parser.parse_args().file, columns=["full_text", "spans_json"]).to_pylist():
        text = row["full_text"]
        cleaned = outward(AROUND.format(text))
        made = packet(policy, [cleaned], ("L3", "L4"), None).text()
        for span in json.loads(row["spans_json"]):
            kind, item = span["entity_type"], text[span["start_position"] : span["end_position"]].strip()
            if len(item) < 2:
                continue
            every[kind] += 1
            left[kind] += item in made
            whole[kind] += item in cleaned
    for kind, count in sorted(every.items()):
        print(f"  {kind:<18} {count:>5} items, left in the packet {left[kind]:>3}, in the whole text {whole[kind]:>4}")
    share, aimed = left.total() / every.total(), sum(left[kind] for kind in AIMED)
    print(f"  left in the packet: {share:.4f} of {every.total()} items, {aimed} of the five aimed kinds")
    return 0 if share <= 0.02 and not aimed else 1


if __name__ == "__main__":
    sys.exit(main())
