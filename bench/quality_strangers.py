"""Requests that belong to no class: how many are decided all the same, and how many of the others.

Run as `python bench/quality_strangers.py CLINC.parquet`, a file with the columns text, category, split (train or not)
and out-of-scope rows of category `oos`, which are kept out of training.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from models.terminal import log, table
from models.triager import Triager
from training.pipeline import train
from training.task import LEARN, TrainSettings
from triage.decision import Reason
from triage.ticket import Ticket


def main(file: Path) -> None:
    frame = pd.read_parquet(file)
    strange = frame["category"] == "oos"
    learned = (frame["split"] == "train") & ~strange
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "train.parquet"
        frame.loc[learned, ["text", "category"]].to_parquet(data)
        bundle = train(TrainSettings((data,), Path(folder) / "bundle", policy=LEARN), log=log).bundle
        rest = frame[~learned]
        told = bundle.predict([_ticket(text) for text in rest["text"]])
    triager = Triager(bundle)
    decided = np.array(
        [
            made.targets["category"].reason is Reason.CONFIDENT
            for made in triager.decide([_ticket(text) for text in rest["text"]])
        ]
    )
    novelty = np.array([prediction.novelty for prediction in told])
    oos = strange[~learned].to_numpy()
    top = np.array([prediction.probabilities["category"][0].label for prediction in told])
    right = top == rest["category"].to_numpy()
    figures = {
        "in scope": int((~oos).sum()),
        "accuracy": float(right[~oos].mean()),
        "decided": float(decided[~oos].mean()),
        "wrong of those": float((~right[~oos & decided]).mean()),
        "out of scope": int(oos.sum()),
        "decided all the same": float(decided[oos].mean()),
        "AUROC of novelty": float(roc_auc_score(oos, novelty)),
    }
    print(table(list(figures), [list(figures.values())]))


def _ticket(text: str) -> Ticket:
    return Ticket(body=text)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        print("name a file: python bench/quality_strangers.py CLINC.parquet")
