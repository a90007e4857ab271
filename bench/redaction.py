"""Redaction: recall on texts with marked personal data; `python bench/redaction.py FILE.parquet`.

The file has a column `full_text` and a column `spans_json`: a JSON list of `entity_type`, `start_position` and
`end_position`. A span counts as found where each of its letters and digits is inside a finding.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as parquet

from api.privacy.redact import Redactor

AIM = 0.95
AIMED = ("EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE", "IP_ADDRESS")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path, nargs="?", help="texts with marked personal data")
    chosen = parser.parse_args()
    if chosen.file is None:
        print("  no file of marked texts given: nothing to measure")
        return 0
    redactor, spans, found, beside = Redactor(), Counter[str](), Counter[str](), Counter[str]()
    seconds = characters = 0.0
    rows = parquet.read_table(chosen.file, columns=["full_text", "spans_json"]).to_pylist()
    for row in rows:
        text, marked = row["full_text"], json.loads(row["spans_json"])
        began = time.perf_counter()
        findings = redactor.find(text)
        seconds += time.perf_counter() - began
        characters += len(text)
        covered = {place for finding in findings for place in range(finding.start, finding.end)}
        for span in marked:
            places = range(span["start_position"], span["end_position"])
            spans[span["entity_type"]] += 1
            found[span["entity_type"]] += all(place in covered for place in places if text[place].isalnum())
        for finding in findings:
            touched = any(s["start_position"] < finding.end and finding.start < s["end_position"] for s in marked)
            beside[finding.kind] += not touched
    for kind, count in sorted(spans.items(), key=lambda item: (item[0] not in AIMED, item[0])):
        print(f"  {kind:<18} {count:>5} spans   recall {found[kind] / count:.3f}")
    print(f"  findings that touch no span: {sum(beside.values())} {dict(+beside)}")
    print(f"  {len(rows)} texts, {characters / max(seconds, 1e-9) / 1e6:.2f} million characters a second")
    return 0 if all(found[kind] >= AIM * spans[kind] for kind in AIMED) else 1


if __name__ == "__main__":
    sys.exit(main())
