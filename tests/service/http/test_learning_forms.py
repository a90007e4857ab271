"""The forms of the learning page over HTTP: a theme becomes a category, and nothing that was typed is lost."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest

from api.learning.themes import Theme
from api.learning.worth_asking import LOOKED_AT, Learning
from api.routes.pages import learning

from ..local_client import TestClient

TYPED = {"label": "badges", "name": "Badge readers", "description": "gates & doors"}


@pytest.fixture
def theme(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """As many tickets about one thing as are looked at; the ids of the decisions about them."""
    names = [f"B-{number}" for number in range(LOOKED_AT)]
    tickets = [{"id": name, "subject": name, "body": f"the badge reader of gate {name} stays red"} for name in names]
    batches = [tickets[start : start + 64] for start in range(0, len(tickets), 64)]
    answers = [client.post("/v1/predict/batch", json={"tickets": batch}).json()["decisions"] for batch in batches]
    ids = [one["decision_id"] for answer in answers for one in answer]
    found = Learning([], [Theme(("badge",), tuple(zip(ids, names, strict=True)))], len(ids))
    monkeypatch.setattr(client.app.state.parts.worth_asking, "look", lambda *asked: found)  # type: ignore[attr-defined]
    monkeypatch.setattr(learning, "_champion", lambda parts: "a folder")
    client.headers["Accept"] = "text/html"
    return ids


def sent(page: str) -> dict[str, Any]:
    """Return what a browser sends of the form that makes a category."""
    [form] = re.findall(r'<form[^>]*action="/learning/category".*?</form>', page, re.DOTALL)
    values = dict(re.findall(r'<input[^>]*name="(label|name|description|theme)"[^>]*value="([^"]*)"', form))
    picks = re.findall(r'name="decision" value="([^"]+)"[^>]* checked', form)
    return {name: unescape(value) for name, value in values.items()} | {"decision": picks}


def test_the_largest_theme_becomes_a_category(
    client: TestClient, theme: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Any] = []
    jobs = client.app.state.parts.jobs  # type: ignore[attr-defined]
    monkeypatch.setattr(jobs, "begin", lambda task, asked_by: begun.append(task))
    form = sent(client.get("/learning").text)
    assert form["decision"] == theme
    made = client.post("/learning/category", data={**form, **TYPED}, follow_redirects=False)
    assert made.status_code == 303, made.text
    assert begun[0].files["examples.jsonl"].count("\n") == LOOKED_AT


@pytest.mark.parametrize(
    ("changed", "status", "why"),
    [
        ({"picked": 7}, 422, "A category needs 8 examples: 7 were chosen."),
        ({"picked": 0}, 422, "A category needs 8 examples: 0 were chosen."),
        ({"label": "network"}, 422, "There is a category with that label already: choose another one."),
        ({}, 409, "Another job is at work"),
    ],
)
def test_what_was_typed_stands_in_the_form_where_no_category_was_made(
    client: TestClient, theme: list[str], changed: dict[str, Any], status: int, why: str
) -> None:
    store = client.app.state.parts.service.store  # type: ignore[attr-defined]
    store.begin_job("retrain", "a training", "kim")
    form = {**sent(client.get("/learning").text), **TYPED}
    form |= {"decision": theme[: changed.get("picked", 9)], "label": changed.get("label", TYPED["label"])}
    refused = client.post("/learning/category", data=form)
    assert refused.status_code == status and why.lower() in unescape(refused.text).lower()
    assert sent(refused.text) == form and '<details class="theme" open>' in refused.text
