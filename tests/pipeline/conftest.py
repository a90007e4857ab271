"""A whole run of the command line in seconds: a tiny ONNX encoder, some of the shipped tickets, a home of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from models.local_store import CHAMPION
from models.triager import Triager
from training import batch_scoring
from training.engines.engine import InThisProcess
from triage.__main__ import main

from ..conftest import SHIPPED, make_encoder

DIM, WORDS = 32, 3000


def shipped_rows(count: int) -> list[dict[str, Any]]:
    lines = SHIPPED.read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines[:: max(1, len(lines) // count)]][:count]


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


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


def interrupted(triager: Triager, data: Path, out: Path, after: int) -> None:
    """Score until so many rows are written, and stop as Ctrl+C does."""

    def watch(_: int | None, done: int) -> Callable[[int], object]:
        rows = [done]

        def count(more: int) -> None:
            rows[0] += more
            if rows[0] >= after:
                raise KeyboardInterrupt

        return count

    with pytest.raises(KeyboardInterrupt):
        batch_scoring.score(InThisProcess(triager), data, out, progress=watch)


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIAGE_HOME", str(place))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield place


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = sorted({word for row in shipped_rows(400) for word in row["body"].lower().split()})[: WORDS - 1]
    return make_encoder(tmp_path_factory.mktemp("encoder") / "tiny", words, DIM)


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


FIRST, MONTHLY, MONTHS = 240, 70, 12


def history(months: int) -> list[dict[str, object]]:
    """The tickets that a desk has after some months, oldest first."""
    rows = sorted(shipped_rows(FIRST + MONTHLY * MONTHS), key=lambda row: str(row["opened_at"]))
    rows = [{key: row[key] for key in ("id", "subject", "body", "tier", "opened_at")} for row in rows]
    return rows[: FIRST + MONTHLY * months]


def as_exported(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """The same tickets under the column names of a helpdesk."""
    names = {"id": "Number", "subject": "Short description", "body": "Description", "tier": "Level", "opened_at": "At"}
    return [{names[key]: value for key, value in row.items()} for row in rows]


MAP = [
    word
    for pair in ("id=Number", "subject=Short description", "body=Description", "tier=Level", "opened_at=At")
    for word in ("--map", pair)
]


def champion_number(triage: Triage) -> str:
    versions = triage("models", "--json").document["versions"]
    return str(next(one["version"] for one in versions if CHAMPION in one["aliases"]))


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRIAGE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def champion(triage: Triage, encoder: Path, own_home: Path, tmp_path: Path) -> Path:
    """The first version serves, trained on an export with columns of its own."""
    data = write_rows(tmp_path / "month-0.jsonl", as_exported(history(0)))
    trained = triage("train", data, *MAP, "--encoder", encoder, "--out", tmp_path / "first", "--target-risk", 0.2)
    assert trained.status == 0, trained.err
    assert triage("promote").status == 0
    return tmp_path / "first"
