"""A job that cannot be done ends, says so, and another one may begin."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from api.learning.jobs import Runner
from api.settings import load_settings
from api.store.repository import Repository, open_repository
from api.store.work.jobs import DONE, FAILED, RUNNING
from triage.errors import StoreUnavailable

VERB = ("models", "nobody")


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    opened = open_repository(tmp_path)
    yield opened
    opened.close()


def ended(repository: Repository, until: Callable[..., float]) -> tuple[str, str]:
    """Wait for the newest job, and return how it ended and what it wrote."""
    until(lambda: repository.jobs()[0].state != RUNNING, 60)
    newest = repository.jobs()[0]
    return newest.state, newest.log


def test_a_job_that_cannot_be_done_makes_room_for_another(
    repository: Repository, tmp_path: Path, until: Callable[..., float]
) -> None:
    ends: list[str] = []
    runner = Runner(repository, load_settings(home=tmp_path), lambda: ends.append("end"))

    def cannot(result: Mapping[str, Any] | None) -> None:
        raise StoreUnavailable("locked", "the store is locked")

    runner.begin("models", "no such folder", VERB, asked_by="kim", files={"away/of.jsonl": "{}"})
    state, log = ended(repository, until)
    assert state == FAILED and "FileNotFoundError" in log
    runner.begin("models", "what comes then fails", VERB, asked_by="kim", then=cannot)
    state, log = ended(repository, until)
    assert state == FAILED and "StoreUnavailable" in log
    runner.begin("models", "nothing in the way", VERB, asked_by="kim")
    assert ended(repository, until)[0] == DONE
    until(lambda: len(ends) == 3, 5)
