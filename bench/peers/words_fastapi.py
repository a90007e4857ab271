"""(e) What somebody without an encoder would do: TF-IDF and a linear head behind FastAPI."""

from fastapi import FastAPI
from heads import answers, heads
from pydantic import BaseModel

by_target = heads("words")
app = FastAPI()


class Ticket(BaseModel):
    text: str


@app.post("/predict")
def predict(ticket: Ticket) -> dict[str, dict[str, str | float]]:
    return answers(by_target, [ticket.text])[0]
