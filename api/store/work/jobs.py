"""Jobs in the background, as rows: one at a time over all workers, with what they wrote and what came of them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.http.exceptions import Contradiction, NotFound
from api.store.idempotency import IdempotencyKeys
from api.store.work.tables import StoredJob

RUNNING, DONE, FAILED = "running", "done", "failed"
PROMOTED, DISCARDED = "promoted", "discarded"
PROMOTE = "promote"
"""The verb that lets a version serve."""
LOST_AFTER = timedelta(seconds=60)
"""A job of which nothing was heard for so long has died with its process: it says something every few seconds."""
_MOST_LOG_CHARS = 20_000


@dataclass(frozen=True)
class JobRow:
    """A job.

    Attributes:
        id: Its id.
        kind: ``retrain``, ``extend``, ``promote`` or ``rollback``.
        title: What it does, in words.
        state: ``running``, ``done`` or ``failed``.
        log: What it wrote, the last of it.
        result: The document that it printed; None while it runs, or where it failed before.
        verdict: ``promoted`` or ``discarded``, once a person has decided about its result.
        asked_by: Who began it.
        created_at: When it began.
        ended_at: When it ended.
    """

    id: str
    kind: str
    title: str
    state: str
    log: str
    result: Mapping[str, Any] | None
    verdict: str | None
    asked_by: str
    created_at: datetime
    ended_at: datetime | None


class Jobs(IdempotencyKeys):
    """The part of the repository that keeps jobs."""

    def begin_job(self, kind: str, title: str, asked_by: str, *, about: str | None = None) -> JobRow:
        """Commit that a job begins.

        Args:
            kind: Its verb.
            title: What it does, in words.
            asked_by: Who wants it.
            about: Id of the job about whose version it decides; None where it decides about none.

        Raises:
            Contradiction: Another one is at work, or somebody has decided about that version already.
            NotFound: There is no job of that id.
        """
        now = datetime.now(UTC)
        with self.database.writing() as session:
            self.database.serialise(session, "jobs")
            _bury(session, now, self.at_work)
            if _running(session):
                raise Contradiction("job-running", "another job is at work: wait until it has ended")
            if about is not None:
                _undecided(session, about)
            row = StoredJob(
                id=str(uuid4()), kind=kind, title=title, state=RUNNING, log="", asked_by=asked_by, created_at=now,
                seen_at=now,
            )  # fmt: skip
            session.add(row)
            session.flush()
            return _job_row(row)

    def hear_job(self, job: JobRow, log: str) -> None:
        """Commit what a job has written so far: it also says that it is alive, where it had been given up for lost.

        One that the store knows no more, since an older backup was restored, is kept anew.
        """
        with self.database.writing() as session:
            self.database.serialise(session, "jobs")
            row = _kept(session, job)
            row.log, row.seen_at = log[-_MOST_LOG_CHARS:], datetime.now(UTC)
            if row.state != RUNNING and not _running(session):
                row.state, row.ended_at = RUNNING, None

    def end_job(self, job: JobRow, *, ok: bool, result: Mapping[str, Any] | None, log: str) -> None:
        """Commit how a job ended, and all that it wrote; one that the store knows no more is kept anew."""
        with self.database.writing() as session:
            self.database.serialise(session, "jobs")
            row = _kept(session, job)
            row.state, row.ended_at = DONE if ok else FAILED, datetime.now(UTC)
            row.log = log[-_MOST_LOG_CHARS:]
            row.result = json.dumps(result) if result is not None else None

    def settle_job(self, job_id: str, verdict: str) -> JobRow:
        """Commit what a person decided about a job's result; to say the same again changes nothing.

        Raises:
            NotFound: There is no such job.
            Contradiction: It runs still, somebody has decided otherwise, or what is to be discarded is being promoted.
        """
        with self.database.writing() as session:
            self.database.serialise(session, "jobs")
            _bury(session, datetime.now(UTC), self.at_work)
            if verdict == DISCARDED and _running(session, PROMOTE):
                raise Contradiction("job-running", "a version is about to serve: wait until that has ended")
            row = _undecided(session, job_id, unless=verdict)
            row.verdict = verdict
            return _job_row(row)

    def jobs(self, limit: int = 10) -> list[JobRow]:
        """Return the latest jobs, newest first; one that died with its process counts as failed."""
        now = datetime.now(UTC)
        with self.database.reading() as session:
            rows = list(session.scalars(select(StoredJob).order_by(StoredJob.created_at.desc()).limit(limit)))
            lost = any(_is_lost(row, now, self.at_work) for row in rows)
        if lost:
            with self.database.writing() as session:
                _bury(session, now, self.at_work)
            return self.jobs(limit)
        return [_job_row(row) for row in rows]


def _kept(session: Session, job: JobRow) -> StoredJob:
    """Return the row of a job; one that is not there is added, as one that has ended: another may be at work."""
    row = session.get(StoredJob, job.id)
    if row is None:
        now = datetime.now(UTC)
        row = StoredJob(
            id=job.id, kind=job.kind, title=job.title, state=FAILED, log="", asked_by=job.asked_by,
            created_at=job.created_at, seen_at=now, ended_at=now,
        )  # fmt: skip
        session.add(row)
        session.flush()
    return row


def _is_lost(row: StoredJob, now: datetime, at_work: Collection[str]) -> bool:
    return row.state == RUNNING and now - row.seen_at > LOST_AFTER and row.id not in at_work


def _bury(session: Session, now: datetime, at_work: Collection[str]) -> None:
    for row in session.scalars(select(StoredJob).where(StoredJob.state == RUNNING)):
        if _is_lost(row, now, at_work):
            row.state, row.ended_at = FAILED, now
            row.log += "\nthe process that ran it has ended; begin again: a training goes on where it was"
    session.flush()


def _running(session: Session, kind: str | None = None) -> bool:
    query = select(StoredJob.id).where(StoredJob.state == RUNNING)
    return session.scalar(query if kind is None else query.where(StoredJob.kind == kind)) is not None


def _undecided(session: Session, job_id: str, unless: str | None = None) -> StoredJob:
    """Return a job about whose result nobody has decided.

    Args:
        session: In a transaction.
        job_id: Of the job.
        unless: What may have been decided all the same.

    Raises:
        NotFound: There is no such job.
        Contradiction: It runs still, or somebody has decided already.
    """
    row = session.get(StoredJob, job_id)
    if row is None:
        raise NotFound("no-such-job", "there is no such job: see /learning for those that there are")
    if row.state == RUNNING or row.verdict not in (None, unless):
        raise Contradiction("job-settled", "the job runs still, or somebody has decided about it already")
    return row


def _job_row(row: StoredJob) -> JobRow:
    return JobRow(
        id=row.id,
        kind=row.kind,
        title=row.title,
        state=row.state,
        log=row.log,
        result=json.loads(row.result) if row.result else None,
        verdict=row.verdict,
        asked_by=row.asked_by,
        created_at=row.created_at,
        ended_at=row.ended_at,
    )
