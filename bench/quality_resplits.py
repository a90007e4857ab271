"""The gate's promise on real tickets: the part set aside of a bundle, split anew 200 times into calibration and test.

Run as `python bench/quality_resplits.py BUNDLE`. Both halves were never seen by the model that answered.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from models.terminal import table
from training.evaluation.record import FILE, Record
from training.gate.risk_control import certify

RESPLITS, CONFIDENCE = 200, 0.95


def main(bundle: Path) -> None:
    record = Record.from_document(json.loads((bundle / FILE).read_text("utf-8")))
    rows = []
    for target, outcome in record.outcomes.items():
        for risk in (0.05, 0.10):
            broken, kept, silent, realised, noise = 0, [], 0, [], []
            for seed in range(RESPLITS):
                order = np.random.default_rng(seed).permutation(len(outcome.true))
                here, there = np.array_split(order, 2)
                sure, right = outcome.confidence, outcome.correct
                everyone = np.ones(len(here), dtype=bool)
                found = certify(sure[here], right[here], everyone, risk=risk, delta=1 - CONFIDENCE)
                if found.threshold is None:
                    silent += 1
                    continue
                above = sure[there] >= found.threshold
                kept.append(above.mean())
                realised.append(1 - right[there][above].mean())
                noise.append(np.sqrt(realised[-1] * (1 - realised[-1]) / max(1, above.sum())))
                broken += realised[-1] > risk
            means = [float(np.mean(values)) if values else 0.0 for values in (kept, realised, noise)]
            rows.append([target, risk, broken / RESPLITS, *means, silent / RESPLITS])
    header = ["target", "target risk", "exceeded", "coverage", "realised risk", "its standard error", "kept nothing"]
    print(table(header, rows))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        print("name a bundle: python bench/quality_resplits.py BUNDLE")
