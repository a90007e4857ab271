"""Rate limits per key: counted over all workers, told with the time to wait, nobody else's business."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import limits
import pytest

from api.app import create_app
from api.http.exceptions import TooMuch
from api.security import rate_limit
from api.security.api_keys import create_key
from api.security.rate_limit import Limiter, SQLiteStorage
from api.settings import load_settings
from api.store.repository import open_repository
from triage.errors import InvalidRequest

from ..local_client import TestClient


def test_the_call_after_the_last_is_told_how_long_to_wait(tmp_path: Path) -> None:
    store = open_repository(tmp_path)
    one, other = (create_key(store, name, ["predict"])[0] for name in ("one", "other"))
    settings = load_settings(home=tmp_path, rules_only=True, rate_limit="3/2 seconds")
    with TestClient(create_app(settings, store)) as client:

        def ask(key: str) -> Any:
            return client.post("/v1/predict", json={"text": "printer"}, headers={"Authorization": f"Bearer {key}"})

        assert [ask(one).status_code for _ in range(4)] == [200, 200, 200, 429]
        refused = ask(one)
        assert refused.json()["code"] == "rate-limit" and 1 <= int(refused.headers["retry-after"]) <= 2
        assert ask(other).status_code == 200
        assert client.get("/livez").status_code == 200
        time.sleep(int(refused.headers["retry-after"]))
        assert ask(one).status_code == 200
    store.close()


def test_two_workers_share_a_count(tmp_path: Path) -> None:
    one, two = (Limiter(limits.parse("5/minute"), tmp_path / "rates") for _ in range(2))
    for turn in range(5):
        (one, two)[turn % 2].count("key")
    for limiter in (one, two):
        with pytest.raises(TooMuch):
            limiter.count("key")
        limiter.count(f"another {id(limiter)}")
        limiter.close()


def test_processes_that_count_at_once_let_exactly_the_limit_through(tmp_path: Path) -> None:
    code = (
        "import limits, sys; from pathlib import Path; from api.http.exceptions import TooMuch; "
        "from api.security.rate_limit import Limiter\n"
        "limiter, passed = Limiter(limits.parse('500/hour'), Path(sys.argv[1])), 0\n"
        "for _ in range(300):\n"
        "    try: limiter.count('key'); passed += 1\n"
        "    except TooMuch: pass\n"
        "print(passed)"
    )
    command = [sys.executable, "-P", "-c", code, str(tmp_path / "rates")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert sum(int(process.communicate(timeout=60)[0]) for process in running) == 500


def test_a_thousand_keys_do_not_disturb_each_other() -> None:
    limiter = Limiter(limits.parse("2/minute"))
    for _ in range(2):
        for number in range(1000):
            limiter.count(f"key {number}")
    with pytest.raises(TooMuch):
        limiter.count("key 500")
    limiter.close()


def test_windows_that_have_ended_are_cleared_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(rate_limit, "_CLEAR_S", 0)
    storage = SQLiteStorage(tmp_path / "names")
    for number in range(100):
        storage.incr(f"a name that somebody tries {number}", 0)
    assert [storage.incr("kim", 60) for _ in range(3)] == [1, 2, 3]
    assert storage.reset() == 1
    storage.close()


@pytest.mark.parametrize(
    ("setting", "value", "path", "document", "status"),
    [
        ("max_body_bytes", 1024, "/v1/predict", {"text": "x" * 2000}, 413),
        ("max_body_bytes", 20_480, "/v1/predict/batch", {"tickets": [{"text": "x" * 19_000}] * 20}, 413),
    ],
)
def test_limits_of_size_are_settings(
    setting: str, value: int, path: str, document: object, status: int, tmp_path: Path
) -> None:
    for stated, expected in (({}, 200), ({setting: value}, status)):
        with TestClient(create_app(load_settings(home=tmp_path, open_loopback=True, **stated))) as client:
            assert client.post(path, json=document).status_code == expected


def test_the_longest_text_that_is_read_is_a_setting(tmp_path: Path) -> None:
    for stated, left_out in (({}, []), ({"max_text_chars": 100}, ["over_long"])):
        with TestClient(create_app(load_settings(home=tmp_path, open_loopback=True, **stated))) as client:
            answer = client.post("/v1/predict", json={"text": "the printer jams " * 10})
            assert answer.status_code == 200
            assert [one["what"] for one in answer.json()["left_out"]] == left_out


def test_a_batch_holds_at_most_64_tickets(client: TestClient) -> None:
    for tickets, status in ((64, 200), (65, 422)):
        answer = client.post("/v1/predict/batch", json={"tickets": [{"text": "a b"}] * tickets})
        assert answer.status_code == status
    assert answer.json()["errors"] == [{"field": "tickets", "code": "too-long"}]


@pytest.mark.parametrize("rate", ["lots", "0/minute", "5", "5/fortnight", "-1/second"])
def test_what_is_no_rate_is_refused_at_the_start(rate: str) -> None:
    with pytest.raises(InvalidRequest, match="TRIAGE_RATE_LIMIT"):
        load_settings(rate_limit=rate)


def test_rates_are_read(tmp_path: Path) -> None:
    def read(text: str) -> tuple[int, int] | None:
        rate = load_settings(home=tmp_path, rate_limit=text).rate
        return (rate.amount, rate.get_expiry()) if rate else None

    assert (read("100/minute"), read("5 per 10 seconds"), read("")) == ((100, 60), (5, 10), None)
