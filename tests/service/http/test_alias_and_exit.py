"""A damaged alias file is told in one line with its cure, and nothing that waits for a disk keeps a process alive."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from api.app import create_app
from api.server.server import memory_shortage
from api.settings import load_settings

from ..local_client import TestClient

ROOT = Path(__file__).parents[3]


@pytest.fixture
def alias(tmp_path: Path) -> Path:
    folder = tmp_path / "models" / "helpdesk-triage"
    folder.mkdir(parents=True)
    (folder / "champion.alias").write_text("{ no alias")
    return folder / "champion.alias"


def test_a_reload_from_a_damaged_alias_says_how_to_mend_it(tmp_path: Path, alias: Path, capsys: Any) -> None:
    with TestClient(create_app(load_settings(home=tmp_path, open_loopback=True, rules_only=True))) as client:
        for _ in range(2):
            answer = client.post("/v1/model/reload")
            assert (answer.status_code, answer.json()["code"]) == (409, "bundle-refused")
            assert "champion.alias" in answer.json()["detail"] and "triage promote" in answer.json()["detail"]
        assert "triage_model_load_failures_total 1.0" in client.get("/metrics").text
        assert "champion.alias" in client.get("/v1/model").json()["last_error"]
        assert client.post("/v1/predict", json={"text": "printer"}).status_code == 200
        assert capsys.readouterr().out.count("alias_unreadable") == 1
        alias.unlink()
        assert "points to no bundle" in client.post("/v1/model/reload").json()["detail"]
        assert client.get("/v1/model").json()["last_error"] is None


@pytest.mark.usefixtures("alias")
def test_a_verb_tells_of_a_damaged_alias_in_one_line(tmp_path: Path) -> None:
    words = ["rollback", "helpdesk-triage"]
    environment = {**os.environ, "TRIAGE_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "triage", *words], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "champion.alias" in done.stderr and "remove it" in done.stderr and "fault of this program" not in done.stderr


STUCK = """
import sys, time
from pathlib import Path
import api.server.server as server
from api.server.address import bind
from api.scoring.model_holder import ModelHolder
from api.settings import load_settings
server._LEFT_S = 1.0
ModelHolder._look = lambda self: time.sleep(3600)  # a disk that never answers
settings = load_settings(home=Path(sys.argv[1]), open_loopback=True, rules_only=True, poll_s=0.05, drain_s=0)
sock = bind("127.0.0.1", 0)
server.serve_on(sock, settings)
"""


def test_sigterm_ends_a_process_whose_watcher_waits_for_the_disk(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-P", "-c", STUCK, str(tmp_path)]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and "serves on" in process.stdout.readline()
        time.sleep(1.0)
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        process.wait(15)
        assert time.monotonic() - began < 8
        assert "left_behind" in process.stderr.read()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("with_model", "limit_mb", "short"),
    [(False, 700, True), (False, 800, False), (True, 1200, True), (True, 2000, False)],
)
def test_a_limit_of_address_space_that_is_too_low_is_told(with_model: bool, limit_mb: int, short: bool) -> None:
    assert (memory_shortage(with_model, limit_mb << 20) is not None) is short
    assert memory_shortage(with_model, resource.RLIM_INFINITY) is None


def test_a_service_with_little_memory_says_so_at_its_start(tmp_path: Path) -> None:
    limited = "import resource; resource.setrlimit(resource.RLIMIT_AS, (700 << 20, 700 << 20))\n" + STUCK
    command = [sys.executable, "-P", "-c", limited, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and "serves on" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        process.wait(15)
        assert '"memory_limit_low"' in process.stderr.read()  # type: ignore[union-attr]
