"""Odd tickets are decided as far as they can be read, and what could not be is said; problems say what is allowed."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from textwrap import wrap
from typing import Any
from urllib.parse import urlencode

import pytest
from fastapi import FastAPI
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute

from api.http.reception import InlineImages, InlineImagesOfForm, readable
from api.settings import Settings
from api.store.rows import made_at, new_id

from ..local_client import TestClient

IMAGE = f"<img src='data:image/png;base64,{base64.b64encode(bytes(range(256)) * 1200).decode()}'>"


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("opened_at", "yesterday", "datetime-parsing"),
        ("opened_at", 12, "datetime-type"),
        ("opened_at", "0001-01-01T00:00:00Z", "out-of-range"),
        ("language", "klingon", "unknown-language"),
        ("language", ["en"], "string-type"),
    ],
)
def test_an_optional_field_that_cannot_be_read_is_left_out_and_said(
    client: TestClient, field: str, value: Any, code: str
) -> None:
    answer = client.post("/v1/predict", json={"text": "the printer jams", field: value})
    assert (answer.status_code, answer.json()["ignored"]) == (200, [{"field": field, "code": code}])
    assert answer.json()["tier"] == client.post("/v1/predict", json={"text": "the printer jams"}).json()["tier"]


@pytest.mark.parametrize("stated", ["de", "DEU", "de_AT", "Deutsch", "German (Austria)", "1031"])
def test_a_language_is_taken_by_code_locale_or_name(client: TestClient, stated: str) -> None:
    decided = client.post("/v1/predict", json={"text": "the printer jams", "language": stated}).json()
    assert (decided["language"], decided["ignored"]) == ("de", [])


def test_a_text_that_is_too_long_is_cut_to_its_head_and_tail_and_said(client: TestClient) -> None:
    text = "the printer jams. " + "x" * 30_000 + " kind regards, Kim"
    decided = client.post("/v1/predict", json={"id": "L-1", "text": text}).json()
    kept = client.get(f"/v1/decisions/{decided['decision_id']}").json()["ticket"]["body"]
    assert len(kept) == 20_000 and kept.startswith("the printer jams.") and kept.endswith("Kim")
    [cut] = [one for one in decided["left_out"] if one["what"] == "over_long"]
    assert decided["truncated"] and cut["chars"] == len(text) - (20_000 - len("\n[…]\n"))


def test_images_in_the_text_count_for_nothing(client: TestClient) -> None:
    body = f"<p>the printer jams</p>{IMAGE}<p>please help</p>"
    assert len(body) > 256 * 1024
    answer = client.post("/v1/predict", json={"id": "I-1", "body": body})
    assert answer.status_code == 200 and answer.json()["left_out"][0]["what"] == "inline_image"
    kept = client.get(f"/v1/decisions/{answer.json()['decision_id']}").json()["ticket"]["body"]
    assert kept == "<p>the printer jams</p><img src=''><p>please help</p>"
    assert client.post("/predict", json={"id": "I-2", "body": body}).status_code == 200  # by the short path too
    long = "no image " * 40_000
    assert client.post("/v1/predict", json={"body": IMAGE + long}).status_code == 413


FOLDED = "\r\n".join(wrap(base64.b64encode(bytes(range(256)) * 3).decode(), 76))  # the last line is no full one


@pytest.mark.parametrize(
    ("before", "image", "behind"),
    [
        ("", "data:image/png;base64,iVBORw0KGgoAAAA==", "\n\nThe VPN drops every ten minutes on my laptop"),
        ("See ", "data:image/png;base64,iVBORw0KGgoAAAAC", " The VPN drops"),
        ("See ", "data:image/png;base64,iVBORw0KGgoAAAAC", "\r\nHelp\r\nI gave my password away"),
        ("", f"data:image/png;base64,{FOLDED}", "\r\n\r\nPrinter jams"),
        ("", f"data:image/png;base64,{FOLDED[:97]}=", " Printer jams"),
        ("", "data:image/png;base64,\n    " + FOLDED.replace("\r", "   "), "\nserver01\nis down"),
        ("", f"data:image/jpeg;name=a.jpg;base64,{'Ab12' * 19}\n{'Cd34' * 19}\nQu8x", "\nScanner"),
        ("", f"data:image/jpeg;base64,{'Ab12' * 250}", "\nAb12Cd34"),
        ("<img src='", f"data:image/png;base64,{FOLDED[:154]}\n    Word", "'>Printer jams"),
        ('<img src="', f"data:image/png;base64,{'Ab12' * 250}", '">\nPrinter jams'),
        ("background: url(", f"data:image/png;base64,{'Ab12' * 10}\r\n QUJD", ") The VPN drops"),
    ],
)
def test_the_words_behind_an_image_stay(client: TestClient, before: str, image: str, behind: str) -> None:
    text = f"{before}{image}{behind}"
    assert readable(text * 3, 20_000)[0] == f"{before}{behind}" * 3
    assert sum(map(len, (before, behind))) <= InlineImages().counted(json.dumps(text + " " * 300).encode()) - 300
    decided = client.post("/v1/predict", json={"text": f"{text} and nobody can work"}).json()
    assert decided["automation"] != "blank"
    kept = client.get(f"/v1/decisions/{decided['decision_id']}").json()["ticket"]["body"]
    assert kept == f"{before}{behind} and nobody can work"


def test_images_and_long_texts_are_taken_alike_on_every_way_in(client: TestClient) -> None:
    opened = client.post("/v1/predict", json={"id": "T-1", "body": "the printer jams"}).json()
    while client.get(f"/v1/decisions/{opened['decision_id']}").status_code == 503:  # not kept yet
        pass
    at = {"at": datetime.now(UTC).isoformat()}
    for number, (written, kept, what) in enumerate(
        [
            (f"{IMAGE}please help", "<img src=''>please help", "inline_image"),
            (IMAGE, "<img src=''>", "inline_image"),
            ("It jams. " + "x" * 36_000 + " Kim", "Kim", "over_long"),
        ]
    ):
        comment = {"id": f"c{number}", "kind": "comment", **at, "text": written}
        replies = {"id": f"a{number}", **at, "answers": [{"question": "Since when?", "text": written}]}
        column = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [written]}
        for path, body in (("/v1/tickets/T-1/events", comment), ("/v1/tickets/T-1/answers", replies)):
            answer = client.post(path, json=body)
            assert answer.status_code == 200, answer.text
            assert answer.json()["decision"]["left_out"][0]["what"] == what
            words = client.get("/v1/tickets/T-1").json()["timeline"][-1]["words"]
            assert words.endswith(kept) and len(words) <= 20_000
        assert client.post("/v2/models/helpdesk-triage/infer", json={"inputs": [column]}).status_code == 200
    bare = {"id": "c9", "kind": "comment", **at, "text": IMAGE.split("'")[1]}
    assert client.post("/v1/tickets/T-1/events", json=bare).status_code == 200


def test_words_behind_an_image_count_against_the_size_of_a_request(client: TestClient) -> None:
    plain_words = {"body": "data:image/png;base64,QUJD" + "\nno image at all" * 20_000}
    assert client.post("/v1/predict", json=plain_words).status_code == 413
    assert client.post("/try/preview", data=plain_words).status_code == 413
    folded = {"body": "It drops\n" + "\r\n".join(wrap(IMAGE.partition("'")[2], 76))}
    assert client.post("/v1/predict", json=folded).json()["left_out"][0]["what"] == "inline_image"
    assert client.post("/try/preview", data=folded).status_code == 200


def test_a_mail_with_images_is_tried_on_the_page_and_shown_without_them(client: TestClient) -> None:
    mail = {"subject": "I-2", "body": f"<p>the printer jams</p>{IMAGE}<p>please help</p>"}
    tried = client.post("/try/preview", data=mail)
    assert tried.status_code == 200 and "Not read: inline image" in tried.text and "please help" in tried.text
    assert "base64" not in tried.text
    kept = client.post("/try", data=mail, headers={"Accept": "text/html"})
    assert kept.status_code == 200 and "please help" in kept.text and "base64" not in kept.text
    assert client.post("/try/preview", data={"body": IMAGE + "no image " * 40_000}).status_code == 413


@pytest.mark.parametrize("size", [1, 2, 3, 11, 12, 13, 4096])
def test_images_in_a_form_are_counted_alike_in_parts_of_any_size(size: int) -> None:
    images_in_text = f"{IMAGE} and{IMAGE}&nbsp;data:image/png;base64,{FOLDED}"
    body = urlencode({"subject": "50 % & more", "body": images_in_text, "channel": "chat"}).encode()
    images = InlineImagesOfForm()
    counted = sum(images.counted(body[at : at + size]) for at in range(0, len(body), size))
    assert counted == InlineImagesOfForm().counted(body) < 250


@pytest.mark.parametrize("size", [1, 7, 8, 9, 4096])
def test_images_are_counted_alike_in_parts_of_any_size(size: int) -> None:
    escaped = json.dumps(f"data:image/png;base64,{FOLDED}").replace("/", "\\/").replace("+", "\\u002B")
    body = f'{{"a": "{IMAGE}", "b": "text", "c": "{IMAGE}", "d": {escaped}, "e": "{"words " * 12}"}}'.encode()
    images = InlineImages()
    counted = sum(images.counted(body[at : at + size]) for at in range(0, len(body), size))
    assert counted == InlineImages().counted(body) < 200


def test_one_bad_ticket_of_a_batch_is_one_problem_in_its_place(client: TestClient) -> None:
    tickets = [
        {"text": "the printer jams"},
        {"title": "VPN"},
        7,
        {"text": "VPN drops", "channel": "c" * 65},
        {"text": "x"},
    ]
    answer = client.post("/v1/predict/batch", json={"tickets": tickets})
    assert answer.status_code == 200
    first, second, third, fourth, last = answer.json()["decisions"]
    assert first["decision_id"] and last["decision_id"] and first["tier"]
    assert [one["status"] for one in (second, third, fourth)] == [422] * 3
    assert second["detail"].startswith("title is not a field; fields: id, text, subject, body,")
    assert fourth["errors"] == [{"field": "tickets[3].channel", "code": "too-long"}]


def test_an_empty_mail_is_blank(client: TestClient) -> None:
    for ticket in ({"subject": "", "body": ""}, {"text": " \n\u200b"}, {"subject": "(no subject)", "body": ""}):
        decided = client.post("/v1/predict", json=ticket).json()
        assert (decided["automation"], decided["kind"]) == ("blank", "empty")


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("POST", "/v1/predict", {"title": "VPN"}, "title is not a field; fields: id, text, subject, body, channel"),
        ("GET", "/v1/decisions?limit=9999", None, "limit is too large: at most 200"),
        ("GET", "/v1/decisions?foo=1", None, "foo is not a parameter; parameters: view, tier, category"),
        ("GET", "/v1/tickets/T/packet?tier=L4", None, "tier is not a parameter; parameters: to, desk"),
        ("GET", "/v1/tickets/T?dsk=acme", None, "dsk is not a parameter; parameters: desk"),
        ("POST", "/v1/tickets/T/escalation?dsk=acme", None, "dsk is not a parameter; parameters: desk"),
        ("GET", "/v1/policy?version=1", None, "version is not a parameter; see /docs"),
        (
            "POST",
            "/v1/decisions/x/feedback",
            {"verdict": "yes", "agent": "kim"},
            "verdict: one of accepted, corrected, unsure",
        ),
        ("POST", "/v1/predict/batch", {"tickets": []}, "tickets is empty: at least 1"),
        ("POST", "/v1/predict", {"text": "a", "channel": "c" * 65}, "channel is too long: at most 64"),
        (
            "POST",
            "/v1/tickets/T/answers",
            {"id": "a", "at": "2026-11-27T09:00:00Z", "answers": [{"reply": "yes"}]},
            "reply is not a field; fields: question, answer, text",
        ),
        (
            "POST",
            "/v2/models/helpdesk-triage/infer",
            {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "columns": ["a"], "data": ["a"]}]},
            "columns is not a field; fields: name, shape, datatype, parameters, data",
        ),
        (
            "POST",
            "/v2/models/helpdesk-triage/infer",
            {"inputs": [{"name": "body", "shape": [1], "datatype": "BYTES", "data": ["a"]}]},
            "inputs[0].name: one of text, subject, id",
        ),
        (
            "POST",
            "/v2/models/helpdesk-triage/infer",
            {"inputs": [{"name": "id", "shape": [1], "datatype": "BYTES", "data": ["a"]}]},
            "inputs: text is needed, the others of text, subject, id may be left out",
        ),
    ],
)
def test_a_problem_names_the_field_and_what_is_allowed(
    client: TestClient, method: str, path: str, body: Any, said: str
) -> None:
    answer = client.request(method, path, json=body)
    assert answer.status_code == 422 and said in answer.json()["detail"]
    assert "'" not in answer.json()["detail"]


def query_parameters(app: FastAPI) -> Iterator[tuple[str, str, str]]:
    """Method and path of every route with each of its parameters that stands in the query."""
    for route in app.routes:
        if isinstance(route, APIRoute):
            taken = {field.alias for field in get_flat_params(route.dependant)} - set(route.param_convertors)
            for method in sorted(route.methods or ()):
                yield from ((method, route.path, name) for name in sorted(taken) if "-" not in name)


def test_a_parameter_of_the_query_that_is_at_fault_is_named(client: TestClient) -> None:
    named, unnamed = set(), []
    for method, path, name in query_parameters(client.app):  # type: ignore[arg-type]
        address = re.sub(r"\{\w+\}", "x", path)
        without = client.request(method, address).json().get("errors") if method == "POST" else None
        for value in ("maybe", "", "x" * 5000, "\x00"):
            answer = client.request(method, address, params={name: value})
            if answer.status_code == 422 and answer.json()["errors"] != without:  # the missing body is another fault
                fields = [error["field"] for error in answer.json()["errors"]]
                named.add((path, name))
                unnamed += [(method, path, name, value[:9])] if name not in fields or "*" in fields else []
    assert unnamed == []
    assert named >= {
        ("/v1/predict", "explain"),
        ("/v1/predict/batch", "explain"),
        ("/v1/decisions", "sort"),
        ("/v1/tickets/{ticket_id}/packet", "to"),
        ("/v1/tickets/{ticket_id}/events", "desk"),
        ("/v1/knowledge/entries/{entry_id}", "version"),
        ("/", "view"),
    }


def test_no_route_of_the_api_that_reads_takes_a_parameter_that_it_does_not_know(client: TestClient) -> None:
    taken = []
    for route in client.app.routes:  # type: ignore[attr-defined]
        if isinstance(route, APIRoute) and "GET" in (route.methods or ()) and route.path.startswith("/v1/"):
            answer = client.get(re.sub(r"\{\w+\}", "x", route.path), params={"foo": "1"})
            if answer.status_code != 422 or "foo is not a parameter" not in answer.json()["detail"]:
                taken.append((route.path, answer.text[:80]))
    assert taken == []


def test_a_page_names_it_too(client: TestClient) -> None:
    answer = client.get("/knowledge?start=soon", headers={"Accept": "text/html"})
    assert answer.status_code == 422 and "start is not a whole number" in answer.text and "soon" not in answer.text


def test_a_decision_that_waits_for_the_store_is_no_missing_one(
    client: TestClient, settings: Settings, until: Callable[..., float]
) -> None:
    store = client.app.state.parts.service.store  # type: ignore[attr-defined]
    release, held = threading.Event(), threading.Event()

    def hold() -> None:
        with store.database.writing():
            held.set()
            release.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    decided = client.post("/v1/predict", json={"text": "the printer jams"}).json()
    path = f"/v1/decisions/{decided['decision_id']}"
    said = {"verdict": "accepted", "agent": "kim"}
    for answer in (client.get(path), client.post(f"{path}/feedback", json=said)):
        assert (decided["stored"], answer.status_code) == (False, 503)
        assert answer.headers["retry-after"]
    release.set()
    thread.join()
    until(lambda: client.get(path).status_code == 200, 20)
    assert client.post(f"{path}/feedback", json=said).status_code == 200
    assert client.get("/v1/decisions/11111111-1111-4111-8111-111111111111").status_code == 404


def test_an_id_tells_when_it_was_made_so_that_another_worker_knows_it(client: TestClient) -> None:
    fresh = new_id()
    assert client.get(f"/v1/decisions/{fresh}").status_code == 503
    old = f"018{fresh[3:]}"
    assert made_at(old) is not None and client.get(f"/v1/decisions/{old}").status_code == 404
