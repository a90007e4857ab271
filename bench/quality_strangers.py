"""Requests that the history has nothing like: how well novelty tells them, and accuracy on the others.

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
from training.pipeline import train
from training.task import LEARN, TrainSettings
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
        told = bundle.predict([Ticket(body=text) for text in rest["text"]])
    novelty = np.array([prediction.novelty for prediction in told])
    oos = strange[~learned].to_numpy()
    top = np.array([prediction.probabilities["category"][0].label for prediction in told])
    right = top == rest["category"].to_numpy()
    limit = bundle.gate.max_novelty or np.inf
    print(
        table(
            [
                "in scope",
                "accuracy",
                "out of scope",
                "AUROC of novelty",
                "in scope held back",
                "out of scope held back",
            ],
            [
                [
                    int((~oos).sum()),
                    float(right[~oos].mean()),
                    int(oos.sum()),
                    float(roc_auc_score(oos, novelty)),
                    float((novelty[~oos] > limit).mean()),
                    float((novelty[oos] > limit).mean()),
                ]
            ],
        )
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        print("name a file: python bench/quality_strangers.py CLINC.parquet")
