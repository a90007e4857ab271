"""Fits what the peers serve: linear heads on sentence vectors, and on TF-IDF; `python fit.py ROWS.jsonl FOLDER`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import skops.io
from sentence_transformers import SentenceTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline


def main(source: Path, folder: Path) -> None:
    rows = [json.loads(line) for line in source.read_text("utf-8").splitlines()]
    texts = [row["text"] for row in rows]
    vectors = SentenceTransformer(os.environ["PEER_ENCODER"], device="cpu").encode(texts)
    for target in sorted({name for row in rows for name in row["labels"]}):
        labels = [row["labels"].get(target, "none") for row in rows]
        skops.io.dump(LogisticRegression(max_iter=1000).fit(vectors, labels), folder / f"{target}.vectors.skops")
        words = make_pipeline(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, max_features=40_000),
            LogisticRegression(max_iter=1000),
        )
        skops.io.dump(words.fit(texts, labels), folder / f"{target}.words.skops")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
