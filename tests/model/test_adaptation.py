"""An encoder adapted to labels: kept where it proves better, left alone where it does not, honest about what it saw."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.encoder import SentenceTransformerEncoder
from models.features.features import Features
from models.features.vectorizer import SparseRows
from training.encoders.finetune import adapt
from training.encoders.schedule import TrainingBudget
from training.encoders.selection import LEAST_ROWS, compare_encoders
from training.ensemble.composition import FINE_TUNED, WITH_WEIGHTS
from training.ensemble.cross_fit import TargetData, Wanted, cross_fit
from training.ensemble.estimators import HyperParameters
from training.ensemble.model import fit_model
from training.ensemble.sample import Sample
from training.pipeline import train
from training.task import LEARN, Trained, TrainSettings
from triage.__main__ import main
from triage.errors import InvalidRequest
from triage.policy import Policy

WORDS, ROWS, DIM = 8000, 600, 32
ENOUGH = TrainingBudget(steps=180, rate=3e-3, batch=6, max_tokens=24, forgotten=0.0)
Write = Callable[[Path, list[dict[str, object]]], Path]


@dataclass(frozen=True)
class Toy:
    """Words that seldom come twice, of two kinds; the kind is a product of two coordinates of the word's vector.

    A linear model sees neither the kind of a new word nor the product; one layer of an encoder can.
    """

    encoder: Path
    texts: list[str]
    kinds: list[str]

    def rows(self, kinds: list[str] | None = None) -> list[dict[str, object]]:
        labels = self.kinds if kinds is None else kinds
        return [
            {"id": str(n), "text": text, "category": kind}
            for n, (text, kind) in enumerate(zip(self.texts, labels, strict=True))
        ]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    rng = np.random.default_rng(0)
    words = sorted({"".join(rng.choice(list("abcdefghijklmnop"), 7)) for _ in range(WORDS)})
    first, kind = rng.choice([-1, 1], len(words)), rng.integers(0, 2, len(words))
    table = rng.standard_normal((len(words), DIM)) * 0.5
    table[:, 0], table[:, 1] = 1.2 * first, 1.2 * first * (2 * kind - 1)
    label_ids = rng.integers(0, 2, ROWS)
    texts = [" ".join(words[one] for one in rng.choice(np.flatnonzero(kind == code), 5)) for code in label_ids]
    folder = _write_encoder(tmp_path_factory.mktemp("toy") / "encoder", words, table)
    return Toy(folder, texts, ["red" if code else "blue" for code in label_ids])


def _write_encoder(folder: Path, words: list[str], table: Any) -> Path:
    """Write a sentence-transformers model of one layer that has these word vectors."""
    torch = pytest.importorskip("torch", reason="adaptation needs the training wing")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    vocabulary = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, **{word: at for at, word in enumerate(words, 3)}}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 2)])
    shape: dict[str, Any] = {
        "hidden_size": DIM,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    }
    torch.manual_seed(0)
    bert = BertModel(
        BertConfig(vocab_size=len(vocabulary), max_position_embeddings=32, initializer_range=0.15, **shape)
    )
    with torch.no_grad():
        bert.embeddings.word_embeddings.weight[3:] = torch.tensor(table, dtype=torch.float32)
        bert.embeddings.position_embeddings.weight.zero_()
    inner = folder.with_name("inner")
    bert.save_pretrained(inner)
    fast: Any = PreTrainedTokenizerFast  # its constructor has no types
    fast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]").save_pretrained(inner)
    modules = [Transformer(str(inner), max_seq_length=24), Pooling(DIM), Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder))
    return folder


def _train(toy: Toy, write: Write, place: Path, kinds: list[str] | None = None, **more: Any) -> Trained:
    data = write(place / "toy.jsonl", toy.rows(kinds))
    settings = TrainSettings((data,), place / "bundle", policy=LEARN, encoder=str(toy.encoder), target_risk=0.1, **more)
    return train(settings, log=lambda _: None)


def test_an_encoder_that_proves_better_is_kept_and_travels_in_the_bundle(
    toy: Toy, write: Write, tmp_path: Path
) -> None:
    trained = _train(toy, write, tmp_path, adapt=ENOUGH)
    told = trained.bundle.manifest["adaptation"]
    assert told["kept"] and told["gain_at_least"] > 0, told
    assert told["log_loss"]["adapted"] < told["log_loss"]["plain"] / 2
    assert told["steps"] == ENOUGH.steps and told["device"] and told["tickets"] + told["kept_back"] <= len(toy.texts)
    facts = json.loads((trained.path / "encoder" / "encoder.json").read_text("utf-8"))
    assert facts["dim"] == 2 * DIM and facts["adapted"] and facts["parity"]["int8"] > 0.97
    assert b"stack_trace" not in (trained.path / "encoder" / "encoder.onnx").read_bytes(), (
        "it names its maker's folders"
    )
    measured = trained.measured["targets"]["category"]
    assert measured["accuracy"] > 0.9
    assert "cross-fitted" in trained.bundle.manifest["gate"]["measured_with"]["calibration"]


def test_labels_without_meaning_leave_the_encoder_as_it_was(toy: Toy, write: Write, tmp_path: Path) -> None:
    shuffled = [str(kind) for kind in np.random.default_rng(1).permutation(toy.kinds)]
    (tmp_path / "plain").mkdir()
    plain = _train(toy, write, tmp_path / "plain", shuffled)
    tried = _train(toy, write, tmp_path, shuffled, adapt=ENOUGH)
    told = tried.bundle.manifest["adaptation"]
    assert not told["kept"] and told["gain_at_least"] < 0
    assert tried.bundle.encoder.name == plain.bundle.encoder.name
    assert tried.measured["targets"] == plain.measured["targets"]


def _adapted(toy: Toy, training_budget: TrainingBudget) -> tuple[dict[str, Any], Any]:
    encoder = SentenceTransformerEncoder(str(toy.encoder), device="cpu")
    label_ids = np.array([kind == "red" for kind in toy.kinds], dtype=np.int64)
    facts = adapt(
        encoder.model, toy.texts, {"category": label_ids}, encoder.encode(toy.texts), training_budget, quiet=True
    )
    return facts, encoder.encode(toy.texts[:20])


def test_equal_steps_give_equal_vectors_and_the_loss_falls(toy: Toy) -> None:
    training_budget = TrainingBudget(steps=60, rate=3e-3, batch=8, max_tokens=24)
    (facts, one), (_, other) = _adapted(toy, training_budget), _adapted(toy, training_budget)
    assert np.array_equal(one, other)
    assert facts["steps"] == 60 and facts["replanned"] == 0
    assert facts["loss"]["last"] < facts["loss"]["first"]


def test_the_budget_is_kept_and_three_passes_are_the_most(toy: Toy) -> None:
    began = time.monotonic()
    facts, _ = _adapted(toy, TrainingBudget(minutes=0.5 / 60, batch=2, max_tokens=24))
    assert facts["seconds"] < 3 and time.monotonic() - began < 20
    assert 0 < facts["passes"] < 3
    facts, _ = _adapted(toy, TrainingBudget(steps=10_000, batch=64, max_tokens=24))
    assert facts["passes"] == 3


def test_what_an_encoder_saw_is_no_evidence(toy: Toy) -> None:
    """Vectors of seen rows give the label away, those of others hardly: probabilities must be sized by the others."""
    from training.data.dataset import LabelledTicket
    from triage.ticket import Ticket

    rng = np.random.default_rng(0)
    label_ids, seen = rng.integers(0, 2, 900), np.arange(900) < 600
    signal = np.where(seen, 3.0, 0.4) * (2 * label_ids - 1)
    vectors = rng.standard_normal((900, 8))
    vectors[:, 0] += signal
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    rows = [
        LabelledTicket(Ticket(id=str(n), body=f"ticket {rng.integers(0, 10**9)}"), {"category": "ab"[code]})
        for n, code in enumerate(label_ids)
    ]
    policy, sample = Policy("none"), Sample.of(rows, vectors, np.arange(900))
    honest = fit_model(replace(sample, seen=seen), policy, jobs=1)
    naive = fit_model(sample, policy, jobs=1)
    assert np.array_equal(honest.out_of_fold, np.flatnonzero(~seen)) and len(naive.out_of_fold) == 900
    sure = {
        name: one.probabilities["category"][~seen].max(axis=1).mean() for name, one in (("h", honest), ("n", naive))
    }
    right = (honest.probabilities["category"][~seen].argmax(axis=1) == label_ids[~seen]).mean()
    assert abs(sure["h"] - right) < 0.06 < sure["n"] - right
    verdict = compare_encoders(honest, honest)
    assert not verdict.wins and verdict.rows == 300


def test_estimators_with_weights_read_the_plain_half_as_if_it_stood_alone() -> None:
    rng = np.random.default_rng(0)
    label_ids = rng.integers(0, 3, 200)
    halves = [rng.standard_normal((200, 6)), rng.standard_normal((200, 4)) + label_ids[:, None]]
    plain, adapted = (half / np.linalg.norm(half, axis=1, keepdims=True) for half in halves)
    sparse = SparseRows(np.arange(201), rng.integers(0, 9, 200).astype(np.int32), np.ones(200, np.float32), 9)
    topics, none = rng.standard_normal((200, 2)).astype(np.float32), np.zeros((200, 1), dtype=np.float32)
    both = np.hstack([plain * 0.2**0.5, adapted * 0.8**0.5]).astype(np.float32)
    nobody, rule_matches = none.astype(np.int64), none.astype(bool)
    features = Features(sparse, plain.astype(np.float32), topics, nobody, none, nobody, none, rule_matches)
    alone = TargetData(features, label_ids, tuple("abc"), np.zeros(0, dtype=np.int32))
    beside = replace(alone, features=features._replace(dense=both), base_dim=6)
    folds, one_process = np.arange(200) % 2, HyperParameters(jobs=1)
    names = tuple(name for name in WITH_WEIGHTS if name != FINE_TUNED)
    one, other = cross_fit([Wanted(data, folds, names) for data in (alone, beside)], one_process)
    for name in names:
        assert np.allclose(one.scores[name], other.scores[name], atol=1e-2), name
    shuffled = np.hstack([rng.permutation(both[:, :6]), both[:, 6:]])
    elsewhere = replace(beside, features=features._replace(dense=shuffled))
    wanted = [Wanted(data, folds, (FINE_TUNED,)) for data in (beside, elsewhere)]
    first, second = (found.scores[FINE_TUNED] for found in cross_fit(wanted, one_process))
    assert np.array_equal(first, second), "this estimator must not look at the plain half"
    assert (first.argmax(axis=1) == label_ids).mean() > 0.6


@pytest.mark.parametrize(("name", "needle"), [("sentence-transformers:some/model", "exports"), (None, "ONNX export")])
def test_what_cannot_be_adapted_is_refused_before_anything_is_read(
    name: str | None, needle: str, tmp_path: Path
) -> None:
    for file in ("encoder.json", "encoder.onnx", "tokenizer.json"):
        (tmp_path / file).write_text("{}")
    settings = TrainSettings((tmp_path / "absent.csv",), tmp_path / "out", encoder=name or str(tmp_path), adapt=ENOUGH)
    with pytest.raises(InvalidRequest, match=needle):
        train(settings, log=lambda _: None)


def test_too_few_tickets_are_said_to_be_too_few(toy: Toy, write: Write, tmp_path: Path) -> None:
    few = Toy(toy.encoder, toy.texts[: LEAST_ROWS // 2], toy.kinds[: LEAST_ROWS // 2])
    data = write(tmp_path / "few.jsonl", few.rows())
    said: list[str] = []
    settings = TrainSettings((data,), tmp_path / "b", policy=LEARN, encoder=str(toy.encoder), adapt=ENOUGH)
    trained = train(settings, log=said.append)
    assert any("adaptation is not tried" in line for line in said)
    assert trained.bundle.manifest["adaptation"] == {"kept": False}


@pytest.mark.parametrize(
    ("options", "needle"),
    [
        (["--adapt-minutes", "5"], "give --adapt as well"),
        (["--adapt", "--adapt-minutes", "0"], "not a positive number"),
        (["--adapt", "--adapt-minutes", "nan"], "not a positive number"),
        (["--adapt", "--adapt-steps", "1.5"], "not a positive whole number"),
    ],
)
def test_options_that_make_no_sense_are_refused_in_one_line(
    options: list[str], needle: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = main(["train", "absent.csv", *options])
    except SystemExit as left:
        status = int(left.code or 0)
    said = capsys.readouterr().err.strip()
    assert status == 2 and needle in said and "\n" not in said
