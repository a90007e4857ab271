"""Shorten the screening classifier to two layers, taught by the six that `scripts/train_screening.py` trains.

Run as `python -m scripts.shorten_screening TEACHER [--further FOLDER] [--without WRITER] [--out FOLDER]`, TEACHER being
the folder that `train_screening.py --out TEACHER` wrote; forty minutes on one core, and the same files from the same
data and library versions. Three layers are taught by the six, and two by these three: each begins with the lowest
layers of its teacher, and learns what that says of the rows that it was trained on, of ordinary tickets, and of
beginnings and ends of these, as well as the labels (distillation; Hinton, Vinyals and Dean 2015). Decision 0067 has the
figures. With `--further` the two layers of a folder, such as the one that travels, learn further from the teacher: rows
that came since are learned in a quarter of an hour, and what was learned before is kept up.
"""

# The types of torch know neither the layers of a model nor what an optimiser takes.
# mypy: disable-error-code="union-attr, index, no-any-return, arg-type, no-untyped-call"
from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from models.encoder import OnnxEncoder
from models.screening.classifier import HEAD_FILE, OF_ALARMS, OF_NO_TICKETS, ScreeningClassifier
from scripts.train_screening import (
    ROOT,
    SCALE,
    Classifier,
    Rows,
    batches_of,
    label_loss,
    read_rows,
    set_rates,
)

TARGET = ROOT / "models" / "screening" / "data"
STEPS = (3, 2)
"""Layers of each classifier that is taught, by the one before."""
EPOCHS, FURTHER_EPOCHS, BATCH, ORDINARY, PARTS, ALONE = 9, 4, 32, 6_000, 8_000, 6_000
LABELS_WEIGH = 0.25
"""Share of the loss that the labels have: the rest is what the teacher says."""
SHARPER, MORE_ALARMS, MORE_NO_TICKETS = 1.2, 0.2, 0.5
"""Factor of the last classifier's logits, and what is added to those of what must not wait and of what is no ticket: it
is less sure than the six, and would find fewer of both at the same limits."""
FURTHER_MORE_ALARMS = 0.0
"""The same of what must not wait after learning further, which makes it surer by itself."""
TAUGHT = -2
"""Label of rows of which only what the teacher says is known."""
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_LEAST_CHARS = 15


def parts_of(texts: Sequence[str]) -> list[str]:
    """Return beginnings and ends of texts of three sentences or more, and sentences alone: desks write in few words.

    A classifier that learns from blunt alarms but not from such would take whatever is short for one.
    """
    rng, found, alone = np.random.default_rng(1), list[str](), list[str]()
    for text in texts:
        sentences = [one for one in _SENTENCE.split(text) if len(one.strip()) > _LEAST_CHARS]
        if len(sentences) > 2:
            cut = int(rng.integers(1, len(sentences)))
            found += [" ".join(sentences[:cut]), " ".join(sentences[cut:])]
        alone += sentences
    drawn = ([found, PARTS], [alone, ALONE])
    return [among[place] for among, most in drawn for place in rng.permutation(len(among))[:most]]


def weights_of(teacher: Path, layers: int) -> dict[str, torch.Tensor]:
    """Return the weights of so many lower layers of a teacher, by their names in BERT."""
    stored = {one.name: numpy_helper.to_array(one) for one in onnx.load(teacher / "encoder.onnx").graph.initializer}

    def exact(name: str) -> NDArray[np.float32]:
        return (stored[f"{name}_quantized"].astype(np.float32) - stored[f"{name}_zero_point"]) * stored[f"{name}_scale"]

    found: dict[str, NDArray[np.float32]] = {}
    for layer in range(layers):
        here, there = f"m0.encoder.layer.{layer}.", f"encoder.layer.{layer}."
        attention = zip(np.split(exact(f"{here}w"), 3, axis=1), np.split(stored[f"{here}b"], 3), strict=True)
        for part, (weight, bias) in zip(("query", "key", "value"), attention, strict=True):
            found[f"{there}attention.self.{part}.weight"] = weight.T
            found[f"{there}attention.self.{part}.bias"] = bias
        for part in ("attention.output.dense", "intermediate.dense", "output.dense"):
            found[f"{there}{part}.weight"] = exact(f"{here}{part}.w").T
            found[f"{there}{part}.bias"] = stored[f"{here}{part}.b"]
        for part in ("attention.output.LayerNorm", "output.LayerNorm"):
            found[f"{there}{part}.weight"] = stored[f"{here}{part}.scale"]
            found[f"{there}{part}.bias"] = stored[f"{here}{part}.shift"]
    return {name: torch.tensor(np.ascontiguousarray(values)) for name, values in found.items()}


def shortened(teacher: Path, layers: int) -> Classifier:
    """Return a classifier of a teacher's lower layers, with a linear layer that has learned nothing yet."""
    classifier = Classifier(frozen=0)
    classifier.bert.load_state_dict({**classifier.bert.state_dict(), **weights_of(teacher, layers)})
    classifier.bert.encoder.layer = classifier.bert.encoder.layer[:layers]
    classifier.bert.config.num_hidden_layers = layers
    classifier.top = classifier.bert.encoder.layer
    return classifier


def begun(folder: Path, layers: int) -> Classifier:
    """Return a classifier as a folder holds it, to learn further."""
    classifier, head = shortened(folder, layers), np.load(folder / HEAD_FILE, allow_pickle=False)
    with torch.no_grad():
        classifier.head.weight.copy_(torch.from_numpy(head[:, :-1] / SCALE))
        classifier.head.bias.copy_(torch.from_numpy(head[:, -1]))
    return classifier


def teach(classifier: Classifier, rows: Rows, said: NDArray[np.float64], epochs: int = EPOCHS) -> None:
    """Let a classifier learn what its teacher said of rows, and their labels where they have some.

    Args:
        classifier: What `shortened` returned.
        rows: Those that were written for screening all come in every epoch, of the others so many as are drawn.
        said: The teacher's probabilities, of shape [rows, labels].
        epochs: How often all written rows are learned.
    """
    tokens = classifier.tokens(rows.texts)
    states, lengths = classifier.below(tokens), np.array([len(one) for one in tokens])
    parameters: list[Any] = list(classifier.top.parameters())
    optimiser = torch.optim.AdamW([{"params": parameters}, {"params": classifier.head.parameters()}], weight_decay=0.01)
    wanted = torch.tensor(np.clip(said, 1e-6, 1.0), dtype=torch.float32)
    written, others = np.flatnonzero(rows.special), np.flatnonzero(~rows.special)
    rng, step, total = np.random.default_rng(0), 0, epochs * ((len(written) + ORDINARY) // BATCH + 1)
    classifier.bert.train()
    for epoch in range(epochs):
        drawn = np.concatenate([written, rng.choice(others, min(ORDINARY, len(others)), replace=False)])
        losses = []
        for batch in batches_of(drawn, lengths, BATCH, rng):
            set_rates(optimiser, step, total, warming=60)
            logits, labels = classifier.logits([states[row] for row in batch]), rows.labels[batch]
            loss = -(1 - LABELS_WEIGH) * (wanted[batch] * torch.log_softmax(logits, 1)).sum(1).mean()
            known = labels != TAUGHT
            if known.any():
                loss = loss + LABELS_WEIGH * known.mean() * label_loss(logits[known], torch.from_numpy(labels[known]))
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            losses.append(float(loss.detach()))
            step += 1
        print(f"epoch {epoch + 1} of {epochs}: mean loss {np.mean(losses):.3f}", flush=True)
    classifier.bert.eval()


def make_surer(classifier: Classifier, more_alarms: float = MORE_ALARMS) -> None:
    """Let a classifier find as much as the six layers at the limits that were chosen for these."""
    with torch.no_grad():
        for parameter in classifier.head.parameters():
            parameter.mul_(SHARPER)
        classifier.head.bias[OF_ALARMS] += more_alarms
        classifier.head.bias[OF_NO_TICKETS] += MORE_NO_TICKETS


def main() -> None:
    """Read the teacher, teach and write the files."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("teacher", metavar="TEACHER", type=Path, help="folder of the classifier of six layers")
    parser.add_argument("--further", metavar="FOLDER", type=Path, help="let its two layers learn further")
    parser.add_argument("--without", metavar="WRITER", help="leave this writer's rows out")
    parser.add_argument("--out", metavar="FOLDER", type=Path, default=TARGET)
    options = parser.parse_args()
    torch.set_num_threads(1)  # sums in one order: the same files every time
    rows = read_rows(options.without)
    parts = parts_of([rows.texts[row] for row in np.flatnonzero(~rows.special)])
    labels = np.concatenate([rows.labels, np.full(len(parts), TAUGHT)])
    special = np.concatenate([rows.special, np.zeros(len(parts), dtype=bool)])
    rows = Rows([*rows.texts, *parts], labels, special)
    with tempfile.TemporaryDirectory() as between:
        teacher = options.teacher
        for layers in STEPS[-1:] if options.further else STEPS:
            torch.manual_seed(0)
            print(f"{layers} layers: asking the teacher about {len(rows.texts)} rows", flush=True)
            head = np.load(teacher / HEAD_FILE, allow_pickle=False)
            said = ScreeningClassifier(OnnxEncoder(teacher), head).probabilities(rows.texts)
            classifier = begun(options.further, layers) if options.further else shortened(teacher, layers)
            teach(classifier, rows, said, FURTHER_EPOCHS if options.further else EPOCHS)
            teacher = Path(between) / str(layers)
            classifier.save(teacher)
        make_surer(classifier, FURTHER_MORE_ALARMS if options.further else MORE_ALARMS)
        classifier.save(options.out)
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
