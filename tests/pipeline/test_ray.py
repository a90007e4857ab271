"""Work on a Ray cluster of two nodes: the same rows as here, none lost or doubled when a node is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from .conftest import Triage, shipped_rows, write_rows

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install '.[ray]'"),
]
ROOT = Path(__file__).parents[2]
ROWS, KILLED_AFTER = 1_600, 300


class Nodes:
    """A cluster of two nodes with one core each."""

    def __init__(self, room: Path) -> None:
        (room / "token").write_text("0123456789abcdef" * 4)
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self.environment = {
            **os.environ,
            "PYTHONPATH": path,
            "RAY_AUTH_TOKEN_PATH": str(room / "token"),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_raylet_start_wait_time_s": "200",
            "RAY_worker_niceness": "0",
            "OMP_NUM_THREADS": "1",  # sums in one order, so that two trainings can be compared to the byte
        }
        self._log = room / "nodes.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(Path(__file__).with_name("ray_nodes.py"))],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=self.environment,
            )  # fmt: skip
        self.address = self._told("address").split()[1]

    def _told(self, word: str) -> str:
        assert self._process.stdout is not None
        line = next((line for line in self._process.stdout if line.startswith(word)), "")
        assert line, self._log.read_text()[-3000:]
        return line

    def kill_the_second(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("kill\n")
        self._process.stdin.flush()
        self._told("killed")

    def stop(self) -> None:
        self._process.communicate(timeout=60)

    def run(self, verb: str, *arguments: object, address: str = "") -> subprocess.Popen[str]:
        return self.run_here(verb, *arguments, "--engine", "ray", "--address", address or self.address)

    def run_here(self, verb: str, *arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "triage", verb, *map(str, arguments), "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment,
        )  # fmt: skip


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    started = Nodes(tmp_path_factory.mktemp("ray"))
    yield started
    started.stop()


def test_training_on_a_cluster_gives_the_estimators_that_training_here_gives(
    nodes: Nodes, encoder: Path, tickets: Path, tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "on-ray"
    for out, run in ((here, nodes.run_here), (there, nodes.run)):
        process = run("train", tickets, "--encoder", encoder, "--out", out, "--target-risk", 0.2, "--no-register")
        said, complaints = process.communicate(timeout=300)
        assert process.returncode == 0, complaints
        assert json.loads(said)["bundle"] == str(out)
    same = [path.relative_to(here) for path in here.rglob("*.npy")]
    assert same and [path for path in same if (here / path).read_bytes() != (there / path).read_bytes()] == []


def test_a_node_that_is_killed_loses_and_doubles_no_row(nodes: Nodes, bundle: Path, tmp_path: Path) -> None:
    rows = shipped_rows(400)
    numbered = [{**rows[place % len(rows)], "id": f"R-{place}"} for place in range(ROWS)]
    numbered[700] = {"id": "R-700", "body": "\0"}
    data = write_rows(tmp_path / "in.jsonl", numbered)
    here, there = tmp_path / "here.jsonl", tmp_path / "there.jsonl"
    process = nodes.run("score", bundle, data, "--out", there)
    partial, deadline = there.with_name("there.jsonl.partial"), time.monotonic() + 300
    while not partial.exists() or partial.read_bytes().count(b"\n") < KILLED_AFTER:
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[1]
        time.sleep(0.02)
    nodes.kill_the_second()
    assert not there.exists(), "the node was killed after the work was done"
    said, complaints = process.communicate(timeout=300)
    assert process.returncode == 0, complaints
    assert (json.loads(said)["rows"], len(json.loads(said)["unscorable"])) == (ROWS, 1)
    alone = nodes.run_here("score", bundle, data, "--out", here)
    _, complaints = alone.communicate(timeout=300)
    assert alone.returncode == 0, complaints
    assert there.read_bytes() == here.read_bytes()


def test_an_address_where_no_cluster_is_is_one_line(
    nodes: Nodes, triage: Triage, bundle: Path, tickets: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    process = nodes.run("score", bundle, tickets, "--out", out, address="127.0.0.1:1")
    _, complaints = process.communicate(timeout=120)
    assert process.returncode == 2 and "no Ray cluster" in complaints.strip().splitlines()[-1]
    assert "--engine ray" in triage("score", bundle, tickets, "--out", out, "--address", "auto").error
