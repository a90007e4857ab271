"""(a) The obvious service: FastAPI, `SentenceTransformer.encode` and a linear head of scikit-learn."""

import os

from fastapi import FastAPI
from heads import answers, heads
from pydantic import BaseModel
from sentence_transformers import SentenceTransformer

encoder = SentenceTransformer(os.environ["PEER_ENCODER"], device="cpu")
by_target = heads("vectors")
app = FastAPI()


class Ticket(BaseModel):
    text: str


@app.post("/predict")
def predict(ticket: Ticket) -> dict[str, dict[str, str | float]]:
    return answers(by_target, encoder.encode([ticket.text], show_progress_bar=False))[0]
