"""The sample day of `make run`: never trained on, and every word of its people is one that the service takes."""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from api.app import create_app
from api.settings import load_settings
from models.home import triage_home
from triage.defaults import default_policy

from ..service.local_client import TestClient

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, str]]]:
    folder = tmp_path_factory.mktemp("sample")
    runpy.run_path(str(ROOT / "scripts" / "sample_day.py"))["hold_out"](folder)
    return {path.stem: [json.loads(line) for line in path.read_text("utf-8").splitlines()] for path in folder.iterdir()}


def test_the_model_learns_from_every_shipped_ticket_but_those_of_the_day(
    parts: dict[str, list[dict[str, str]]],
) -> None:
    history, day = parts["history"], parts["sample-day"]
    shipped = (ROOT / "datasets" / "tickets.jsonl").read_text("utf-8").splitlines()
    assert sorted(row["id"] for row in history + day) == sorted(json.loads(line)["id"] for line in shipped)
    assert {row["organisation"] for row in day}.isdisjoint(row["organisation"] for row in history)
    assert len(day) > 100


def test_the_service_takes_what_the_people_of_the_day_say(parts: dict[str, list[dict[str, str]]]) -> None:
    policy = default_policy()
    for row in parts["sample-day"]:
        assert row["tier"] in policy.labels("tier") and row["category"] in policy.labels("category"), row["id"]
        assert policy.is_legal(row["tier"], row["category"]), row["id"]
        assert row["opened_at"]


def test_the_tickets_of_the_day_are_kept_from_the_agents_list(tmp_path: Path) -> None:
    day = runpy.run_path(str(ROOT / "scripts" / "sample_day.py"))
    settings = load_settings(home=tmp_path, rules_only=True, open_loopback=True)
    with TestClient(create_app(settings)) as client:
        for number in range(25):
            body = {"id": f"SAMPLE-{number}", "requester": day["SAMPLE_REQUESTER"], "text": "sample words only"}
            client.post("/v1/predict", json=body)
        client.post("/v1/predict", json={"id": "T-1", "text": "the printer of a person jams"})
        page = client.get("/").text
        assert "the printer of a person jams" in page and "sample words only" not in page
        assert len(client.get("/v1/decisions").json()["decisions"]) == 26


def script_on(client: TestClient, name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what a script has, with calls of a service that go to one in this process."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "sample_day", raising=False)
    run = runpy.run_path(str(ROOT / "scripts" / name))

    def call(url: str, document: object = None) -> Any:
        answer = client.get(url) if document is None else client.post(url, json=document)
        if answer.status_code >= 400:
            raise HTTPError(url, answer.status_code, answer.text, answer.headers, None)  # type: ignore[arg-type]
        return answer.json()

    for names in (run, run["day"].__dict__ if "day" in run else run["replay"].__globals__):
        monkeypatch.setitem(names, "call", call)
    return run


def kept(client: TestClient) -> dict[str, int]:
    """Count what was said of each ticket; each was decided once."""
    found = client.get("/v1/decisions", params={"limit": 200}).json()["decisions"]
    assert len({one["ticket_id"] for one in found}) == len(found)
    return {one["ticket_id"]: len(one["feedback"]) for one in found}


def test_the_example_tickets_are_filed_once_into_a_store(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    until: Callable[..., float],
) -> None:
    with TestClient(create_app(load_settings(home=tmp_path, rules_only=True, open_loopback=True))) as client:
        show = script_on(client, "show.py", monkeypatch)
        for said in ("A ticket that is left to people:", "6 of 6 example tickets were filed before, and are not filed"):
            show["main"]("http://127.0.0.1")
            assert said in capsys.readouterr().out
            until(lambda: len(kept(client)) == 6, 10)
        assert sorted(kept(client)) == [f"EXAMPLE-{number}" for number in range(1, 7)]


def test_what_was_replayed_of_the_day_is_not_filed_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    until: Callable[..., float],
    parts: dict[str, Any],
) -> None:
    rows, day = parts["sample-day"][:3], tmp_path / "day.jsonl"
    day.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    with TestClient(create_app(load_settings(home=tmp_path, rules_only=True, open_loopback=True))) as client:
        sample_day = script_on(client, "sample_day.py", monkeypatch)
        begun = {"id": f"SAMPLE-{rows[0]['id']}", "text": rows[0]["body"]}
        client.post("/v1/predict", json=begun)  # and then it was interrupted
        until(lambda: len(kept(client)) == 1, 10)
        for before in (1, 3):
            sample_day["replay"]("http://127.0.0.1", day)
            assert f"{before} of them were filed before, and are not filed again" in capsys.readouterr().out
            assert kept(client) == {f"SAMPLE-{row['id']}": 1 for row in rows}


def test_a_service_that_only_people_with_accounts_read_gets_no_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with TestClient(create_app(load_settings(home=tmp_path, rules_only=True))) as client:
        script_on(client, "show.py", monkeypatch)["main"]("http://127.0.0.1")
    said = capsys.readouterr().out
    assert "no example tickets are filed" in said and "agent page" in said and "left to people:" not in said


@contextmanager
def a_process(name: str, home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run something under a name, as the process that the files of `make run` tell of."""
    with subprocess.Popen(["bash", "-c", f'exec -a "{name}" sleep 30']) as running:
        (home / "serve.pid").write_text(f"{running.pid}\n")
        (home / "serve.url").write_text("http://127.0.0.1:8123\n")
        while "sleep" in (said := Path(f"/proc/{running.pid}/cmdline").read_text()) and "exec" in said:
            time.sleep(0.01)  # bash has not made way yet
        try:
            yield running
        finally:
            running.kill()


def script(name: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "BIN": ".venv/bin", "PORT": "8090", "TRIAGE_HOME": str(home)}
    command = ["bash", str(ROOT / "scripts" / name)]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)


def test_a_second_run_says_where_the_first_one_is(tmp_path: Path) -> None:
    with a_process("triage serve --port 8123", tmp_path) as running:
        done = script("run.sh", tmp_path)
        assert done.returncode == 0 and f"(process {running.pid}): http://127.0.0.1:8123;" in done.stdout
        assert "make run PORT=8090" in done.stdout
        threading.Thread(target=running.wait).start()  # else what has ended stays in the list of processes
        assert "stopped" in script("stop.sh", tmp_path).stdout and running.wait(10) == -signal.SIGTERM
    assert not list(tmp_path.iterdir()) and "nothing is running" in script("stop.sh", tmp_path).stdout


def test_a_process_that_has_the_number_of_an_earlier_service_is_left_alone(tmp_path: Path) -> None:
    with a_process("somebody's editor", tmp_path) as stranger:
        stopped = script("stop.sh", tmp_path)
        assert stopped.returncode == 0 and "nothing is running" in stopped.stdout
        assert stranger.poll() is None and not list(tmp_path.iterdir())


def test_a_fresh_shell_in_a_checkout_finds_its_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRIAGE_HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".triage").mkdir()
    assert triage_home() == (tmp_path / "data" / "helpdesk-triage").resolve()
    (tmp_path / "triage").mkdir()
    (tmp_path / "Makefile").touch()
    assert triage_home() == (tmp_path / ".triage").resolve()
