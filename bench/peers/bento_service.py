"""(c) The same pipeline with BentoML and its adaptive batching."""

from __future__ import annotations

import os
from typing import Any

import bentoml
from heads import answers, heads
from sentence_transformers import SentenceTransformer


@bentoml.service(
    workers=int(os.environ["PEER_WORKERS"]), traffic={"timeout": 60, "concurrency": 128}, metrics={"enabled": False}
)
class Tickets:
    def __init__(self) -> None:
        self.encoder = SentenceTransformer(os.environ["PEER_ENCODER"], device="cpu")
        self.by_target = heads("vectors")

    @bentoml.api(batchable=True, max_batch_size=32, max_latency_ms=10_000)
    def predict(self, texts: list[str]) -> list[dict[str, Any]]:
        return answers(self.by_target, self.encoder.encode(texts, batch_size=32, show_progress_bar=False))
