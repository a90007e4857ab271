"""For every folder of tests: a bundle trained in seconds, and the service as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import settings as hypothesis_settings

from models.bundle.bundle import Bundle, load_bundle, save_bundle
from models.encoder import ONNX_FILES
from training.pipeline import train
from training.task import TrainSettings
from triage.gate import Gate, TargetGate

SHIPPED = Path(__file__).parents[1] / "datasets" / "tickets.jsonl"
DIM, WORDS, ROWS = 16, 600, 120
TIERS, CATEGORIES = ("L1", "L2"), ("access", "network", "printing")


TRAIN_OR_SERVE = {"make_bundle", "trained", "bundle", "serve", "run_service"}
"""Fixtures that train a model or start a server."""

hypothesis_settings.register_profile("suite", deadline=None)  # a deadline would measure how busy the machine is
hypothesis_settings.load_profile("suite")


def pytest_configure(config: pytest.Config) -> None:
    """Keep what `nohup` and `&` of a shell have ignored from the programs of the tests, which would inherit it.

    A signal that is handled has its default again in each program that is started. Who only starts other processes of
    pytest leaves it to them, so that these live through it as well.
    """
    starts_others = config.getoption("numprocesses", None) and not hasattr(config, "workerinput")
    for number in () if starts_others else (signal.SIGHUP, signal.SIGINT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda _number, _frame: None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test as slow that asks for a trained model or a running server."""
    for item in items:
        if isinstance(item, pytest.Function) and TRAIN_OR_SERVE & set(item.fixturenames):
            item.add_marker(pytest.mark.slow)


def make_encoder(folder: Path, words: list[str], dim: int = DIM) -> Path:
    """Write an ONNX encoder that averages a fixed random vector a word."""
    onnx = pytest.importorskip("onnx", reason="the encoder of the tests is written with onnx")
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    folder.mkdir()
    vocabulary = {"[unk]": 0, **{word: place for place, word in enumerate(words, 1)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[unk]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    make, kinds = onnx.helper, onnx.TensorProto
    constants = {
        "table": np.random.default_rng(0).standard_normal((len(vocabulary), dim)).astype(np.float32),
        "last": np.array([2], dtype=np.int64),
        "first": np.array([1], dtype=np.int64),
    }
    nodes = [
        make.make_node("Gather", ["table", "input_ids"], ["words"]),
        make.make_node("Cast", ["attention_mask"], ["mask"], to=kinds.FLOAT),
        make.make_node("Unsqueeze", ["mask", "last"], ["wide"]),
        make.make_node("Mul", ["words", "wide"], ["seen"]),
        make.make_node("ReduceSum", ["seen", "first"], ["summed"], keepdims=0),
        make.make_node("LpNormalization", ["summed"], ["sentence_embedding"], axis=-1, p=2),
    ]
    inputs = [make.make_tensor_value_info(name, kinds.INT64, ["n", "t"]) for name in ("input_ids", "attention_mask")]
    output = make.make_tensor_value_info("sentence_embedding", kinds.FLOAT, ["n", dim])
    stored = [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = make.make_graph(nodes, "tiny", inputs, [output], stored)
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(folder / "encoder.onnx"))
    (folder / "encoder.json").write_text(json.dumps({"name": "tiny", "dim": dim, "max_tokens": 256}))
    assert all((folder / name).is_file() for name in ONNX_FILES)
    return folder


@pytest.fixture(scope="session")
def make_bundle(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a way to get bundles: `a` as trained on a few of the shipped tickets, others the same with a shut gate."""
    place = tmp_path_factory.mktemp("bundles")
    rows = [json.loads(line) for line in SHIPPED.read_text("utf-8").splitlines()]
    kept = [row for row in rows if row["category"] in CATEGORIES and row["tier"] in TIERS and row["language"] == "en"]
    data = place / "tickets.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in kept[:ROWS]), "utf-8")
    common = Counter(word for row in kept for word in row["body"].lower().split())

    @cache
    def trained() -> Path:
        encoder = make_encoder(place / "encoder", [word for word, _ in common.most_common(WORDS)])
        settings = TrainSettings((data,), place / "a", encoder=str(encoder), target_risk=0.3)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TRIAGE_HOME", str(place / "home"))
            train(settings, log=lambda step: None)
        return settings.out

    @cache
    def make(name: str = "a") -> Path:
        if name == "a":
            return trained()
        old = load_bundle(trained())
        gate = Gate({target: TargetGate(None) for target in ("tier", "category")}, languages=old.gate.languages)
        bundle = Bundle(old.model, old.encoder, gate, replace(old.policy, version=name), old.rules)
        save_bundle(place / name, bundle, {"settings": {"name": name}}, encoder_files=trained() / "encoder")
        return place / name

    return make


@dataclass
class Serving:
    """A running `triage serve`."""

    process: subprocess.Popen[str]
    url: str
    log: Path
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.url, timeout=20)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def predict(self, **ticket: Any) -> httpx.Response:
        return self.client.post("/v1/predict", json=ticket)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(40)

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(child) for child in children.split()]

    def sockets(self) -> dict[int, int]:
        """Count the sockets that each worker has open."""
        return {pid: _sockets_of(pid) for pid in self.workers()}

    def serve(self, count: int) -> bool:
        """Say whether there are so many workers, and each has more than the socket that it was born with."""
        sockets = self.sockets().values()
        return len(sockets) == count and min(sockets) > 1


def _sockets_of(pid: int) -> int:
    links = list[str]()
    with suppress(FileNotFoundError):  # it has ended
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed since it was listed
                links.append(os.readlink(file))
    return sum(link.startswith("socket:") for link in links)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(
    home: Path, *arguments: object, ready: str = "/livez", within: Sequence[str] = (), **environment: str
) -> Iterator[Serving]:
    """Run `triage serve` until the block is left; `within` is a command that runs it in its turn."""
    port = free_port()
    log = home / f"serve-{port}.log"
    command = [*within, sys.executable, "-P", "-m", "triage", "serve", "--port", str(port), *map(str, arguments)]
    variables = {name: value for name, value in os.environ.items() if not name.startswith("TRIAGE_")}
    with log.open("w") as sink:
        process = subprocess.Popen(
            command, env={**variables, "TRIAGE_HOME": str(home), **environment}, stdout=sink, stderr=sink, text=True
        )
    serving = Serving(process, f"http://127.0.0.1:{port}", log)
    try:
        wait_until(lambda: _answers(serving, ready), 40, log)
        yield serving
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        serving.client.close()


def _answers(serving: Serving, path: str) -> bool:
    if serving.process.poll() is not None:
        raise AssertionError(f"it did not start: {serving.log.read_text()[-2000:]}")
    try:
        return serving.client.get(path).status_code == 200
    except httpx.TransportError:
        return False


def wait_until(holds: Callable[[], bool], within_s: float, log: Path | None = None) -> float:
    """Wait for something to hold, and return how long it took in seconds."""
    began = time.monotonic()
    while time.monotonic() - began < within_s:
        if holds():
            return time.monotonic() - began
        time.sleep(0.05)
    raise AssertionError(f"not within {within_s} s: {log.read_text()[-2000:] if log else ''}")


@pytest.fixture(scope="session")
def run_service() -> Callable[..., AbstractContextManager[Serving]]:
    return served


@pytest.fixture
def serve(tmp_path: Path) -> Callable[..., AbstractContextManager[Serving]]:
    """Return a way to run the service on a fresh home."""

    def start(*arguments: object, **options: Any) -> AbstractContextManager[Serving]:
        return served(options.pop("home", tmp_path), *arguments, **options)

    return start


@pytest.fixture
def until() -> Callable[..., float]:
    return wait_until
