"""Jobs: a verb of the command line run beside the service, one at a time, with its progress in the store."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import structlog

from api.http.exceptions import NotFound
from api.learning.job_files import job_files, remove_left_files, remove_old_bundles
from api.learning.process_group import GRACE_S, end_group
from api.settings import Settings
from api.store.repository import Repository
from api.store.work.jobs import JobRow
from api.telemetry import described
from models.home import PREFIX
from triage.errors import StoreUnavailable

_HEARD_S = 1.0
"""How often the store hears of a job, in seconds."""
_AGAIN_S = 1.0
"""Pause before what the store did not take is tried again, in seconds."""
_TIDY_S = 60.0
_STOPPED = "The service was stopped: begin again, a training goes on where it was."
_KILLED, _ENDED = ", on Linux mostly for want of memory", ""
log = structlog.get_logger(__name__)


def _nothing(result: Mapping[str, Any] | None) -> None:
    """Do nothing with what a job printed."""


@dataclass(frozen=True)
class Task:
    """What a job has to do.

    Attributes:
        kind: The verb.
        title: What it does, in words.
        arguments: Of `triage`, without ``--json``; ``{folder}`` stands for the directory of the files.
        files: Texts by name that the job reads; they are gone after it.
        makes: Folder of the bundle that it makes; it is removed once the registry has a version of it.
        about: Id of the job about whose version this decides; None where it decides about none.
        then: Called with what it printed where it succeeded, and again for as long as the store does not answer.
    """

    kind: str
    title: str
    arguments: Sequence[str]
    files: Mapping[str, str] = field(default_factory=dict)
    makes: Path | None = None
    about: str | None = None
    then: Callable[[Mapping[str, Any] | None], object] = _nothing


class Runner:
    """Runs `triage VERB …` as a process of its own, for what the service itself does not import.

    Args:
        store: Where jobs are kept.
        settings: Of the service: the process has the same home and the same store.
        on_end: Called after each job, such as to look for another model.
    """

    def __init__(self, store: Repository, settings: Settings, on_end: Callable[[], object] = lambda: None) -> None:
        self._store, self._settings, self._on_end = store, settings, on_end
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._starts = threading.Lock()

    def start(self) -> None:
        """Remove the files of jobs that were killed with their service, and old bundles, now and every minute."""
        self._tidy()
        threading.Thread(target=self._tidy_on, name="job-files", daemon=True).start()

    def begin(self, task: Task, asked_by: str) -> JobRow:
        """Begin a job, and return it.

        Args:
            task: What it has to do.
            asked_by: Who wants it.

        Raises:
            Contradiction: Another job is at work, or somebody has decided already what this one is to decide.
        """
        job = self._store.begin_job(task.kind, task.title, asked_by, about=task.about)
        self._store.at_work.add(job.id)
        self._thread = threading.Thread(target=self._run, args=(job, task), name="job", daemon=True)
        self._thread.start()
        return job

    def stop(self) -> None:
        """End what runs, with all processes that it started: a training that is begun again goes on where it was."""
        with self._starts:
            self._stopping.set()
            process = self._process
        if process is not None:
            end_group(process.pid)
        if self._thread is not None:
            self._thread.join(GRACE_S)

    def _tidy_on(self) -> None:
        while not self._stopping.wait(_TIDY_S):  # a process that outlives a killed service does so for a second
            self._tidy()

    def _tidy(self) -> None:
        try:
            home = self._settings.home
            left = remove_left_files(home) + remove_old_bundles(home, self._settings.bundle)
        except OSError as error:
            log.warning("job_files_not_removed", kind=type(error).__name__)
            return
        if left:
            log.info("job_files_removed", jobs=left)

    def _run(self, job: JobRow, task: Task) -> None:
        said: list[str] = []
        ok, result = False, None
        try:
            status, result = self._done(job, task, said)
            if task.makes is not None and result is not None and result.get("version"):
                shutil.rmtree(task.makes, ignore_errors=True)
            if status == 0:
                with suppress(NotFound):  # a restore has taken the job about whose version this decided
                    self._insist(job, said, lambda: task.then(result))
            # 1 is a version that does not hold up: the job did what it was asked to, and says so in its result.
            ok = status in (0, 1) and result is not None
            said += self._why(status, ok)
            log.info("job_ended", kind=job.kind, status=status)
        except Exception as error:  # such as a full disk: the job must end, or no other could begin
            log.error("job_failed", job=job.kind, **described(error))
            said.append(f"This could not be done: {type(error).__name__}; see the service's log.")
        try:
            self._insist(job, said, lambda: self._store.end_job(job, ok=ok, result=result, log=_text(said)))
        except Exception as error:
            log.error("job_not_recorded", job=job.kind, **described(error))
        finally:
            self._store.at_work.discard(job.id)
            self._on_end()

    def _why(self, status: int, ok: bool) -> list[str]:
        """Say why a job ended that could not say so itself."""
        if self._stopping.is_set() and not ok:
            return [_STOPPED]
        if status >= 0:
            return []
        why = _KILLED if status == -signal.SIGKILL else _ENDED
        return [f"The process was ended by signal {-status}{why}: begin again, a training goes on where it was."]

    def _insist(self, job: JobRow, said: Sequence[str], call: Callable[[], object]) -> None:
        """Call what needs the store until the store answers, or the service stops.

        Raises:
            StoreUnavailable: The service stops, and the store has not answered.
        """
        while True:
            try:
                call()
                return
            except StoreUnavailable as error:
                log.warning("job_waits_for_the_store", job=job.kind, problem=error.code)
                if self._stopping.wait(_AGAIN_S):
                    raise
            self._tell(job, said)

    def _done(self, job: JobRow, task: Task, said: list[str]) -> tuple[int, Mapping[str, Any] | None]:
        with job_files(self._settings.home, job.id, task.files) as (folder, lock):
            command = [word.replace("{folder}", str(folder)) for word in task.arguments]
            command = [sys.executable, "-P", "-m", "api.learning.verb", str(os.getpid()), *command, "--json"]
            with tempfile.TemporaryFile("w+", encoding="utf-8") as printed:
                process = self._started(command, printed, lock)
                if process is None:
                    return -signal.SIGTERM, None
                status = self._watched(job, process, said)
                printed.seek(0)
                return status, _document(printed.read())

    def _started(self, command: list[str], printed: IO[str], lock: int) -> subprocess.Popen[bytes] | None:
        """Start a process in a group of its own; None where the service stops."""
        environment = {**os.environ, f"{PREFIX}HOME": str(self._settings.home), "PYTHONUNBUFFERED": "1"}
        if self._settings.store_url_file:  # so that no environment shows what is in it
            environment[f"{PREFIX}STORE_URL_FILE"] = str(self._settings.store_url_file)
        elif self._settings.store_url:
            environment[f"{PREFIX}STORE_URL"] = self._settings.store_url
        with self._starts:
            if self._stopping.is_set():
                return None
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.PIPE,
                pass_fds=(lock,),
                start_new_session=True,
            )
            return self._process

    def _watched(self, job: JobRow, process: subprocess.Popen[bytes], said: list[str]) -> int:
        """Tell the store what a process writes until it has ended with all that it started, and return its status."""
        assert process.stderr is not None
        with io.TextIOWrapper(process.stderr, encoding="utf-8", errors="replace", newline="") as written:
            reader = threading.Thread(target=_collect, args=(written, said), daemon=True)
            reader.start()
            try:
                while process.poll() is None:
                    self._tell(job, said)
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(_HEARD_S)
            finally:
                end_group(process.pid)
                reader.join(GRACE_S)
                self._process = None
        return process.wait()

    def _tell(self, job: JobRow, said: Sequence[str]) -> None:
        """Tell the store what a job has written so far; whatever it makes of that, the job goes on."""
        try:
            self._store.hear_job(job, _text(said))
        except StoreUnavailable:
            pass
        except Exception as error:
            log.error("job_not_told", job=job.kind, **described(error))


def _text(said: Sequence[str]) -> str:
    return "\n".join(said)


def _collect(written: IO[str], lines: list[str]) -> None:
    """Add every line to a list as it comes; of a progress bar, which draws over itself, the last picture alone."""
    is_drawn_over = False
    for drawn in written:
        text = drawn.rstrip("\r\n")
        if not is_drawn_over:
            lines.append(text.strip())
        elif text:
            lines[-1] = text.strip()
        is_drawn_over = not drawn.endswith("\n")


def _document(printed: str) -> Mapping[str, Any] | None:
    try:
        found = json.loads(printed)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
