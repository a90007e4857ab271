"""Jobs: a verb of the command line run beside the service, one at a time, with its progress in the store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import structlog

from api.settings import PREFIX, Settings
from api.store.repository import Repository
from api.store.work.jobs import JobRow
from api.telemetry import described
from triage.errors import StoreUnavailable

_HEARD_S = 1.0
"""How often the store hears of a job, in seconds."""
_GRACE_S = 10.0
log = structlog.get_logger(__name__)


class Runner:
    """Runs `triage VERB …` as a process of its own, for what the service itself does not import.

    Args:
        store: Where jobs are kept.
        settings: Of the service: the process has the same home and the same store.
        on_end: Called after each job, such as to look for another model.
    """

    def __init__(self, store: Repository, settings: Settings, on_end: Callable[[], object] = lambda: None) -> None:
        self._store, self._settings, self._on_end = store, settings, on_end
        self._process: subprocess.Popen[str] | None = None
        self._said: list[str] = []
        self._thread: threading.Thread | None = None

    def begin(
        self,
        kind: str,
        title: str,
        arguments: Sequence[str],
        *,
        asked_by: str,
        files: Mapping[str, str] | None = None,
        then: Callable[[Mapping[str, Any] | None], object] = lambda result: None,
    ) -> JobRow:
        """Begin a job, and return it.

        Args:
            kind: The verb.
            title: What it does, in words.
            arguments: Of `triage`, without ``--json``; ``{folder}`` stands for the directory of the files.
            asked_by: Who wants it.
            files: Texts by name that the job reads; they are gone after it.
            then: Called with what it printed where it succeeded.

        Raises:
            Contradiction: Another job is at work.
        """
        job = self._store.begin_job(kind, title, asked_by)
        work = (job, list(arguments), dict(files or {}), then)
        self._thread = threading.Thread(target=self._run, args=work, name="job", daemon=True)
        self._thread.start()
        return job

    def stop(self) -> None:
        """End what runs: a training that is begun again goes on where it was."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        if self._thread is not None:
            self._thread.join(_GRACE_S)

    def _run(
        self,
        job: JobRow,
        arguments: list[str],
        files: dict[str, str],
        then: Callable[[Mapping[str, Any] | None], object],
    ) -> None:
        self._said = []
        # 1 is a version that does not hold up: the job did what it was asked to, and says so in its result.
        ok, result = False, None
        try:
            status, result = self._done(job, arguments, files)
            if status == 0:
                then(result)
            ok = status in (0, 1) and result is not None
            log.info("job_ended", kind=job.kind, status=status)
        except Exception as error:  # such as a full disk: the job must end, or no other could begin
            log.error("job_failed", job=job.kind, **described(error))
            self._tell(job, [*self._said, f"This could not be done: {type(error).__name__}; see the service's log."])
        try:
            self._store.end_job(job.id, ok=ok, result=result)
        except StoreUnavailable:
            log.warning("job_not_recorded", kind=job.kind)
        self._on_end()

    def _done(
        self, job: JobRow, arguments: list[str], files: Mapping[str, str]
    ) -> tuple[int, Mapping[str, Any] | None]:
        with tempfile.TemporaryDirectory(prefix="triage-job-") as folder:
            for name, text in files.items():
                Path(folder, name).write_text(text, "utf-8")
            command = [word.replace("{folder}", folder) for word in arguments]
            return self._watched(job, [sys.executable, "-P", "-m", "triage", *command, "--json"])

    def _watched(self, job: JobRow, command: list[str]) -> tuple[int, Mapping[str, Any] | None]:
        """Run a command, tell the store what it writes, and return its status and the document that it printed."""
        environment = {**os.environ, f"{PREFIX}HOME": str(self._settings.home), "PYTHONUNBUFFERED": "1"}
        if self._settings.store_url:
            environment[f"{PREFIX}STORE_URL"] = self._settings.store_url
        with tempfile.TemporaryFile("w+", encoding="utf-8") as printed:
            with subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.PIPE, text=True
            ) as process:
                self._process = process
                assert process.stderr is not None
                self._listen(job, process, process.stderr)
                status = process.wait()
            printed.seek(0)
            return status, _document(printed.read())

    def _listen(self, job: JobRow, process: subprocess.Popen[str], said: IO[str]) -> None:
        reader = threading.Thread(target=_collect, args=(said, self._said), daemon=True)
        reader.start()
        while process.poll() is None:
            self._tell(job, self._said)
            time.sleep(_HEARD_S)
        reader.join(_GRACE_S)
        self._tell(job, self._said)

    def _tell(self, job: JobRow, lines: Sequence[str]) -> None:
        try:
            self._store.hear_job(job.id, "\n".join(lines))
        except StoreUnavailable:
            return


def _collect(said: IO[str], lines: list[str]) -> None:
    """Add every line to a list as it comes; of a progress bar, which draws over itself, the last picture alone."""
    for line in said:
        lines.append(line.rstrip("\n").rsplit("\r", 1)[-1].strip())


def _document(printed: str) -> Mapping[str, Any] | None:
    try:
        found = json.loads(printed)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
