"""Two replicas behind a real proxy with one PostgreSQL: one is killed, the model changes, no decision is lost."""

from __future__ import annotations

import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path
from typing import Any

import limits
import pytest
from sqlalchemy import text

from api.http.exceptions import TooMuch
from api.security.rate_limit import Limiter
from api.store.repository import open_repository
from models.bundle.bundle import load_bundle
from models.local_store import CHAMPION, LocalModelStore
from triage_client import TriageClient

from ...conftest import free_port
from ..started import started

HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
CONFIG = """
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  retries 3
  option redispatch
  retry-on conn-failure empty-response response-timeout 503
  option httpchk GET /readyz
frontend desk
  bind 127.0.0.1:{port}
  default_backend replicas
backend replicas
  balance roundrobin
  server one 127.0.0.1:{one} check inter 200ms fall 2
  server two 127.0.0.1:{two} check inter 200ms fall 2
"""
CLIENTS, TICKETS = 6, 240
pytestmark = pytest.mark.postgres


class Load:
    """Clients that send tickets through the proxy until all are answered."""

    def __init__(self, url: str) -> None:
        self.answers: dict[str, tuple[str | None, str | None]] = {}
        self._numbers, self._url = count(), url
        self._threads = [threading.Thread(target=self._send) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _send(self) -> None:
        with TriageClient(self._url, tries=12) as client:
            while (number := next(self._numbers)) < TICKETS:
                decision = client.predict({"id": f"T-{number}", "text": f"the vpn drops since update {number}"})
                self.answers[f"T-{number}"] = (decision.decision_id, decision.model_version)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(120)
        assert len(self.answers) == TICKETS


@pytest.fixture
def home(tmp_path: Path, make_bundle: Callable[..., Path]) -> Iterator[tuple[Path, dict[str, str]]]:
    """A volume that the replicas share, with two versions of a model on it, the first of which serves."""
    local_store = LocalModelStore(tmp_path / "home")
    for version, name in (("1", "a"), ("2", "b")):
        local_store.add(make_bundle(name), version)
    digests = {version: load_bundle(local_store.path(version)).digest for version in ("1", "2")}
    local_store.point(CHAMPION, "1", digests["1"])
    yield tmp_path / "home", digests


@pytest.mark.slow
@pytest.mark.skipif(HAPROXY is None, reason="HAProxy is not installed (haproxy)")
def test_a_replica_that_dies_and_a_new_model_lose_and_double_no_decision(
    run_service: Callable[..., AbstractContextManager[Any]],
    home: tuple[Path, dict[str, str]],
    postgres_url: str,
    until: Callable[..., float],
    tmp_path: Path,
) -> None:
    place, digests = home
    shared = {"TRIAGE_STORE_URL": postgres_url, "TRIAGE_REQUEST_DEADLINE_S": "10", "TRIAGE_POLL_S": "0.5"}
    with (
        run_service(place, "--open-loopback", ready="/readyz", **shared) as one,
        run_service(place, "--open-loopback", ready="/readyz", **shared) as two,
    ):
        port = free_port()
        (tmp_path / "haproxy.cfg").write_text(CONFIG.format(port=port, one=one.port, two=two.port))
        command = [str(HAPROXY), "-db", "-f", str(tmp_path / "haproxy.cfg")]
        with started(command, tmp_path / "haproxy.log", f"http://127.0.0.1:{port}/livez"):
            load = Load(f"http://127.0.0.1:{port}")
            until(lambda: len(load.answers) > TICKETS // 4, 60)
            LocalModelStore(place).point(CHAMPION, "2", digests["2"])
            until(lambda: all(_version(each) == digests["2"][:12] for each in (one, two)), 30)
            until(lambda: len(load.answers) > TICKETS // 2, 60)
            one.process.send_signal(signal.SIGKILL)
            load.join()
        _autonomy_is_shared(two, run_service, (place, shared), load.answers["T-0"][0])
    assert set(Counter(version for _, version in load.answers.values())) == {one[:12] for one in digests.values()}
    assert _kept(tmp_path, postgres_url) == {ticket: decision for ticket, (decision, _) in load.answers.items()}


def _version(replica: Any) -> str:
    return str(replica.client.get("/v1/model").json()["model_version"])


def _autonomy_is_shared(
    replica: Any, run_service: Callable[..., AbstractContextManager[Any]], place: tuple[Path, dict[str, str]], id: Any
) -> None:
    """A review that one replica takes counts for the one that takes the place of the other."""
    said = {"verdict": "accepted", "agent": "kim"}
    assert replica.client.post(f"/v1/decisions/{id}/feedback", json=said).status_code == 200
    with run_service(place[0], "--open-loopback", ready="/readyz", **place[1]) as newcomer:
        assert newcomer.client.get("/v1/autonomy").json() == replica.client.get("/v1/autonomy").json()
        assert newcomer.client.get(f"/v1/decisions/{id}").json()["standing"]["verdict"] == "accepted"


def _kept(folder: Path, url: str) -> dict[str, str]:
    """Return the decision of each ticket that the store holds; a second one of a ticket would be a fault."""
    repository = open_repository(folder, url)
    query = "SELECT t.ticket_id, d.id FROM decisions d JOIN tickets t ON t.seq = d.ticket_seq"
    with repository.database.reading() as session:
        rows = [(str(ticket), str(decision)) for ticket, decision in session.execute(text(query))]
    repository.close()
    assert len(rows) == len(dict(rows))
    return dict(rows)


def test_replicas_share_the_count_of_a_key_and_count_alone_while_the_store_is_away(
    postgres_url: str, tmp_path: Path
) -> None:
    stores = [open_repository(tmp_path, postgres_url) for _ in range(2)]
    limiters = [Limiter(limits.parse("10/hour"), database=store.database) for store in stores]
    for turn in range(10):
        limiters[turn % 2].count("key")
    for limiter in limiters:
        with pytest.raises(TooMuch) as refused:
            limiter.count("key")
        assert 3500 < refused.value.retry_after_s <= 3600
        limiter.count(f"another {id(limiter)}")
    with stores[0].database.writing() as session:
        session.execute(text("DROP TABLE rate_windows"))
    for _ in range(10):
        limiters[0].count("key")
    with pytest.raises(TooMuch):
        limiters[0].count("key")
    for store in stores:
        store.close()
