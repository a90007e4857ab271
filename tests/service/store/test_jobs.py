"""Jobs end whatever happens: what cannot be done, a store that is locked, a service that stops or is killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.http.exceptions import Contradiction
from api.learning.job_files import new_bundle
from api.learning.jobs import Runner, Task
from api.learning.process_group import end_group
from api.maintenance.backup import back_up, restore
from api.settings import load_settings
from api.store.repository import Repository, open_repository
from api.store.work.jobs import DISCARDED, DONE, FAILED, PROMOTED, RUNNING
from models.bundle.manifest import read_manifest
from models.local_store import CHAMPION, LocalModelStore

QUICK = ("models", "nobody")
DESK_VERBS = """
import json, subprocess, sys, time
from pathlib import Path

def wait(arguments):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print(child.pid, file=sys.stderr, flush=True)
    while not Path(arguments[0]).exists():
        time.sleep(0.05)
    child.kill()
    print(json.dumps({"version": "1"}))
    return 0

def draw(arguments):
    for drawn in (
        b"first\\r\\n", b"\\r10 %", b"\\r20 %", b"\\r100 %\\n", b"odd \\xe9 \\n", b"\\rread", b"\\r    \\r", b"last\\n"
    ):
        sys.stderr.buffer.write(drawn)
        sys.stderr.buffer.flush()
    print("{}")
    return 0
"""
SERVICE = """
import sys, time
from pathlib import Path
from api.learning.jobs import Runner, Task
from api.settings import load_settings
from api.store.repository import open_repository

home = Path(sys.argv[1])
words = ["wait", str(home / "go"), "{folder}"]
Runner(open_repository(home), load_settings(home=home)).begin(Task("wait", "a wait", words, {"one.jsonl": "{}"}), "kim")
time.sleep(600)
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Repository]:
    opened = open_repository(tmp_path, patience_s=0.2)
    yield opened
    opened.close()


@pytest.fixture
def runner(store: Repository, tmp_path: Path) -> Iterator[Runner]:
    runner = Runner(store, load_settings(home=tmp_path))
    yield runner
    runner.stop()


@pytest.fixture
def waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Task:
    """A job with a verb of the desk's own, which starts another process and waits for a file named `go`."""
    folder = tmp_path / "verbs"
    (folder / "desk_verbs-1.dist-info").mkdir(parents=True)
    (folder / "desk_verbs-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: desk-verbs\nVersion: 1\n")
    (folder / "desk_verbs-1.dist-info" / "entry_points.txt").write_text(
        "[triage.commands]\nwait = desk_verbs:wait\ndraw = desk_verbs:draw\n"
    )
    (folder / "desk_verbs.py").write_text(DESK_VERBS)
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"), *sys.path)))
    monkeypatch.setenv("PYTHONPATH", path)
    return Task("wait", "a wait", ["wait", str(tmp_path / "go"), "{folder}"], {"examples.jsonl": "{}"})


def ended(store: Repository, until: Callable[..., float]) -> tuple[str, str]:
    """Wait for the newest job, and return how it ended and what it wrote."""
    until(lambda: store.jobs()[0].state != RUNNING, 60)
    newest = store.jobs()[0]
    return newest.state, newest.log


def child_of(store: Repository, until: Callable[..., float]) -> int:
    """Wait for what a waiting job has started, and return its number."""
    until(lambda: store.jobs() != [] and store.jobs()[0].log.strip().isdecimal(), 60)
    return int(store.jobs()[0].log)


def runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def made_version(store: Repository) -> str:
    """Keep a job that has made a version, and return its id."""
    job = store.begin_job("retrain", "a training", "kim")
    store.end_job(job, ok=True, result={"version": "1"}, log="")
    return job.id


def test_a_job_that_cannot_be_done_makes_room_for_another(
    store: Repository, tmp_path: Path, until: Callable[..., float]
) -> None:
    ends: list[str] = []
    runner = Runner(store, load_settings(home=tmp_path), lambda: ends.append("end"))

    def cannot(result: Mapping[str, Any] | None) -> None:
        raise OSError(28, "No space left on device")

    runner.begin(Task("models", "no such folder", QUICK, {"away/of.jsonl": "{}"}), "kim")
    state, log = ended(store, until)
    assert state == FAILED and "FileNotFoundError" in log
    runner.begin(Task("models", "what comes then fails", QUICK, then=cannot), "kim")
    state, log = ended(store, until)
    assert state == FAILED and "OSError" in log
    runner.begin(Task("models", "nothing in the way", QUICK), "kim")
    assert ended(store, until)[0] == DONE
    until(lambda: len(ends) == 3, 5)


def test_what_ends_while_the_store_is_locked_is_recorded_once_it_answers(
    store: Repository, tmp_path: Path, waiting: Task, until: Callable[..., float]
) -> None:
    ends: list[str] = []
    runner = Runner(store, load_settings(home=tmp_path), lambda: ends.append("end"))
    earlier = made_version(store)
    settled = Task("wait", "a wait", waiting.arguments, then=lambda result: store.settle_job(earlier, PROMOTED))
    runner.begin(settled, "kim")
    child_of(store, until)
    locking = sqlite3.connect(tmp_path / "store.sqlite", isolation_level=None)
    until(lambda: _locked(locking), 10)
    (tmp_path / "go").touch()
    time.sleep(4.0)
    assert ends == []
    locking.execute("UPDATE jobs SET seen_at = '2020-01-01 00:00:00.000000' WHERE state = 'running'")
    locking.execute("COMMIT")
    states = set()
    until(lambda: states.add(store.jobs()[0].state) or ends != [], 20)  # type: ignore[func-returns-value]
    assert states <= {RUNNING, DONE}
    newest, before = store.jobs()
    assert newest.state == DONE and newest.result == {"version": "1"} and before.verdict == PROMOTED


def test_a_restore_ends_no_job_and_what_comes_of_it_is_kept(
    store: Repository, runner: Runner, tmp_path: Path, waiting: Task, until: Callable[..., float]
) -> None:
    back_up(store.database, tmp_path / "before.sqlite")
    earlier = made_version(store)
    settled = Task("wait", "a wait", waiting.arguments, then=lambda result: store.settle_job(earlier, PROMOTED))
    job = runner.begin(settled, "kim")
    child = child_of(store, until)
    restore(store.database, tmp_path / "before.sqlite", replace=True)
    until(lambda: [one.state for one in store.jobs()] == [RUNNING], 10)
    assert store.jobs()[0].log.strip() == str(child) and runs(child)
    restore(store.database, tmp_path / "before.sqlite", replace=True)
    (tmp_path / "go").touch()
    until(lambda: [one.state for one in store.jobs()] == [DONE], 20)
    kept = store.jobs()[0]
    assert (kept.id, kept.title, kept.asked_by, kept.result) == (job.id, "a wait", "kim", {"version": "1"})


def test_of_a_progress_bar_the_last_picture_alone_is_kept(
    store: Repository, runner: Runner, waiting: Task, until: Callable[..., float]
) -> None:
    runner.begin(Task("draw", "a bar", ["draw"]), "kim")
    state, log = ended(store, until)
    assert (state, log.splitlines()) == (DONE, ["first", "100 %", "odd \ufffd", "last"])


def _locked(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError:
        return False
    return True


def test_a_service_that_stops_ends_its_job_with_all_processes_and_says_so(
    store: Repository, runner: Runner, tmp_path: Path, waiting: Task, until: Callable[..., float]
) -> None:
    runner.begin(waiting, "kim")
    child = child_of(store, until)
    began = time.monotonic()
    runner.stop()
    assert time.monotonic() - began < 5 and not runs(child)
    assert store.jobs()[0].state == FAILED and "service was stopped" in store.jobs()[0].log
    another = Runner(store, load_settings(home=tmp_path))
    another.begin(Task("models", "at once", QUICK), "kim")
    assert ended(store, until)[0] == DONE


def test_a_group_that_will_not_end_is_killed(until: Callable[..., float]) -> None:
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    )
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {deaf!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "deaf\n"
        end_group(process.pid, grace_s=0.5)
        assert process.wait(5) == -signal.SIGTERM
        assert process.stdout.read() == ""  # whoever has the other end is gone


def test_a_job_that_the_system_kills_says_by_what(
    store: Repository, runner: Runner, tmp_path: Path, waiting: Task, until: Callable[..., float]
) -> None:
    runner.begin(waiting, "kim")
    child = child_of(store, until)
    parent = int(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(parent, signal.SIGKILL)
    state, log = ended(store, until)
    assert state == FAILED and "signal 9" in log and "memory" in log and not runs(child)


def test_what_a_job_reads_is_for_its_owner_only_and_gone_after_it(
    store: Repository, runner: Runner, tmp_path: Path, waiting: Task, until: Callable[..., float]
) -> None:
    job = runner.begin(waiting, "kim")
    child_of(store, until)
    folder = tmp_path / "jobs" / job.id
    assert {path.stat().st_mode & 0o777 for path in (folder.parent, folder)} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    Runner(store, load_settings(home=tmp_path)).start()
    assert (folder / "examples.jsonl").is_file()  # another service on the same home leaves alone what is read
    (tmp_path / "go").touch()
    assert ended(store, until)[0] == DONE
    until(lambda: not folder.exists(), 5)


def test_files_of_a_job_whose_service_was_killed_go_with_the_next_start(
    store: Repository, runner: Runner, tmp_path: Path, waiting: Task, until: Callable[..., float]
) -> None:
    with subprocess.Popen([sys.executable, "-P", "-c", SERVICE, str(tmp_path)]) as service:
        child = child_of(store, until)
        parent = int(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[1])
        service.kill()
    until(lambda: not runs(parent), 10)
    assert list((tmp_path / "jobs").glob("*/one.jsonl"))
    os.kill(child, signal.SIGKILL)
    runner.start()
    assert not list((tmp_path / "jobs").glob("*/one.jsonl"))


def test_the_bundle_of_a_job_goes_once_the_registry_has_it(
    store: Repository, runner: Runner, tmp_path: Path, waiting: Task, until: Callable[..., float]
) -> None:
    made = new_bundle(tmp_path)
    made.mkdir()
    assert made.parent.stat().st_mode & 0o777 == 0o700
    (tmp_path / "go").touch()
    runner.begin(replace(waiting, makes=made), "kim")
    until(lambda: ended(store, until)[0] == DONE, 10)
    assert not made.exists()


def test_a_folder_that_an_earlier_version_left_open_is_closed(tmp_path: Path) -> None:
    (tmp_path / "learning").mkdir()
    (tmp_path / "learning").chmod(0o755)
    assert new_bundle(tmp_path).parent.stat().st_mode & 0o777 == 0o700


def test_a_bundle_that_no_registry_took_stays_for_a_week(
    store: Repository, runner: Runner, tmp_path: Path, until: Callable[..., float]
) -> None:
    made = new_bundle(tmp_path)
    made.mkdir()
    runner.begin(Task("models", "quick", QUICK, makes=made), "kim")
    ended(store, until)
    assert made.is_dir()
    serving, old = new_bundle(tmp_path), new_bundle(tmp_path)
    for folder in (serving, old):
        folder.mkdir()
        os.utime(folder, (0, 0))
    Runner(store, load_settings(home=tmp_path, bundle=serving)).start()
    assert (made.is_dir(), serving.is_dir(), old.exists()) == (True, True, False)


def test_a_version_that_is_about_to_serve_is_not_discarded(repository: Repository) -> None:
    first, second = made_version(repository), made_version(repository)
    promotion = repository.begin_job("promote", "a promotion", "kim", about=first)
    with pytest.raises(Contradiction, match="about to serve"):
        repository.settle_job(first, DISCARDED)
    with pytest.raises(Contradiction, match="another job"):
        repository.begin_job("promote", "the same again", "kim", about=first)
    repository.settle_job(first, PROMOTED)
    repository.settle_job(first, PROMOTED)  # as after an answer that got lost
    repository.end_job(promotion, ok=True, result={}, log="")
    repository.settle_job(second, DISCARDED)
    with pytest.raises(Contradiction, match="decided"):
        repository.settle_job(first, DISCARDED)
    for decided in (first, second):
        with pytest.raises(Contradiction, match="decided"):
            repository.begin_job("promote", "once more", "kim", about=decided)
    assert all(job.state != RUNNING for job in repository.jobs())


def test_a_version_that_serves_already_is_not_discarded(
    serve: Callable[..., AbstractContextManager[Any]], make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    models = LocalModelStore(tmp_path)
    models.add(make_bundle(), "1")
    models.point(CHAMPION, "1", str(read_manifest(models.path("1"))["digest"]))
    with serve("--open-loopback", TRIAGE_RULES_ONLY="1") as service:
        store = open_repository(tmp_path)
        refused = service.client.post(f"/learning/{made_version(store)}/discard")
        assert refused.status_code == 409 and "Version 1 serves already" in refused.text
        store.close()


def test_the_page_says_why_a_version_cannot_be_discarded_or_promoted(
    serve: Callable[..., AbstractContextManager[Any]], tmp_path: Path
) -> None:
    with serve("--open-loopback", TRIAGE_RULES_ONLY="1") as service:
        store = open_repository(tmp_path)
        first, second = made_version(store), made_version(store)
        store.settle_job(second, DISCARDED)
        refused = service.client.post(f"/learning/{second}/promote")
        assert refused.status_code == 409 and "somebody has decided" in refused.text
        promotion = store.begin_job("promote", "a promotion", "kim", about=first)
        refused = service.client.post(f"/learning/{first}/discard")
        assert refused.status_code == 409 and "A version is about to serve" in refused.text
        assert service.client.post(f"/learning/{first}/promote").status_code == 409
        store.end_job(promotion, ok=False, result=None, log="")
        assert service.client.post(f"/learning/{first}/discard").status_code == 303
        store.close()
