"""A whole run of the command line in seconds: a tiny ONNX encoder, some of the shipped tickets, a home of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace

from models.encoder import ONNX_FILES
from triage.__main__ import main

SHIPPED = Path(__file__).parents[2] / "datasets" / "tickets.jsonl"
DIM, WORDS = 32, 3000


def shipped_rows(count: int) -> list[dict[str, Any]]:
    lines = SHIPPED.read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines[:: max(1, len(lines) // count)]][:count]


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def make_encoder(folder: Path) -> Path:
    """Write an ONNX encoder that averages a fixed random vector a word."""
    words = sorted({word for row in shipped_rows(400) for word in row["body"].lower().split()})[: WORDS - 1]
    tokenizer = Tokenizer(WordLevel({"[unk]": 0, **{word: at + 1 for at, word in enumerate(words)}}, unk_token="[unk]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = Lowercase(), Whitespace()
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    rows = np.random.default_rng(0).standard_normal((WORDS, DIM)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["words"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["wide"]),
        helper.make_node("Mul", ["words", "wide"], ["seen"]),
        helper.make_node("ReduceSum", ["seen", "first"], ["summed"], keepdims=0),
        helper.make_node("LpNormalization", ["summed"], ["sentence_embedding"], axis=-1, p=2),
    ]
    constants = {"table": rows, "last": np.array([2], dtype=np.int64), "first": np.array([1], dtype=np.int64)}
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"])
        for name in ("input_ids", "attention_mask")
    ]
    output = helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", DIM])
    graph = helper.make_graph(
        nodes,
        "tiny",
        inputs,
        [output],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(folder / "encoder.onnx"))
    facts = {"name": "tiny", "dim": DIM, "max_tokens": 256}
    (folder / "encoder.json").write_text(json.dumps(facts))
    assert all((folder / name).is_file() for name in ONNX_FILES)
    return folder


@dataclass(frozen=True)
class Said:
    """What a verb left behind: its exit status, stdout and stderr."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        assert self.out, self.err
        return json.loads(self.out, parse_constant=lambda name: pytest.fail(f"{name} is not strict JSON"))

    @property
    def error(self) -> str:
        """The one line of an error."""
        assert self.status == 2, self
        assert "Traceback" not in self.err
        return self.err.strip().splitlines()[-1]


Triage = Callable[..., Said]


@pytest.fixture
def triage(capsys: pytest.CaptureFixture[str]) -> Triage:
    """Run `triage VERB …` in this process."""

    def run(*arguments: object) -> Said:
        capsys.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as left:
            status = int(left.code or 0)
        return Said(status, *capsys.readouterr())

    return run


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIAGE_HOME", str(place))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield place


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("encoder") / "tiny")


@pytest.fixture(scope="session")
def tickets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("data") / "tickets.jsonl", shipped_rows(300))


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory, encoder: Path, tickets: Path, home: Path) -> Path:
    """A bundle with both heads, trained by the verb on the shipped tickets, not registered."""
    out = tmp_path_factory.mktemp("bundle") / "first"
    arguments = ["train", tickets, "--encoder", encoder, "--out", out, "--target-risk", 0.2, "--no-register"]
    assert main([str(argument) for argument in arguments]) == 0
    return out
