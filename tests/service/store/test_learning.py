"""The service learns from reviews at once, in every worker, and forgets what is taken back; on either store."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., AbstractContextManager[Any]]
TEXT = "I forgot my password and cannot sign in to the portal any more"
_NUMBERS = count()


@pytest.fixture
def start(serve: Run, make_bundle: Callable[..., Path], store_url: str, tmp_path: Path) -> Run:
    """Run the service with the bundle of the tests on either store."""
    (tmp_path / "home").mkdir(exist_ok=True)

    def run(workers: int = 1, **environment: str) -> AbstractContextManager[Any]:
        environment = {"TRIAGE_STORE_URL": store_url, "TRIAGE_POLL_S": "0.5", **environment}
        arguments = ("--bundle", make_bundle(), "--open-loopback", "--workers", workers)
        return serve(*arguments, home=tmp_path / "home", ready="/readyz", **environment)

    return run


def ask(serving: Any) -> dict[str, Any]:
    decided: dict[str, Any] = serving.predict(id=f"L-{next(_NUMBERS)}", text=TEXT).json()
    return decided


def top(decision: dict[str, Any]) -> str:
    return str(decision["targets"]["category"]["alternatives"][0]["label"])


def correct(serving: Any, decision: dict[str, Any], category: str) -> str:
    said = {"verdict": "corrected", "agent": "kim", "category": category}
    answer = serving.client.post(f"/v1/decisions/{decision['decision_id']}/feedback", json=said)
    assert answer.status_code == 200, answer.text
    return f"/v1/decisions/{decision['decision_id']}/feedback/{answer.json()['feedback_id']}"


def test_a_correction_teaches_every_worker_and_an_undo_takes_it_out(start: Run, until: Callable[..., float]) -> None:
    with start(workers=2) as serving:
        before = ask(serving)
        assert before["explanation"]["reviews"] == []
        other = before["targets"]["category"]["alternatives"][1]["label"]
        paths = [correct(serving, ask(serving), other) for _ in range(3)]
        until(lambda: all(top(ask(serving)) == other for _ in range(8)), 20, serving.log)
        after = ask(serving)
        [vote] = [one for one in after["explanation"]["reviews"] if one["target"] == "category"]
        assert vote == {"target": "category", "label": other, "agree": 3, "reviews": 3}
        page = serving.client.get(f"/decisions/{after['decision_id']}").text
        assert f"3 of 3 reviews of similar tickets say {other}" in page
        for path in paths:
            assert serving.client.delete(path, params={"agent": "kim"}).status_code == 200
        until(lambda: all(not ask(serving)["explanation"]["reviews"] for _ in range(8)), 20, serving.log)
        back = ask(serving)
        assert back["targets"]["category"]["alternatives"] == before["targets"]["category"]["alternatives"]
        assert back["explanation"]["reviews"] == []


def test_what_was_learned_survives_a_restart_and_can_be_switched_off(start: Run) -> None:
    with start() as serving:
        before = ask(serving)
        other = before["targets"]["category"]["alternatives"][1]["label"]
        for _ in range(3):
            correct(serving, ask(serving), other)
    with start() as serving:
        assert top(ask(serving)) == other  # learned before the service says that it is ready
    with start(TRIAGE_LEARN_FROM_REVIEWS="0") as serving:
        assert ask(serving)["targets"]["category"]["alternatives"] == before["targets"]["category"]["alternatives"]
