"""Callers of every kind: the typed client, the Open Inference Protocol, and tools of the Model Context Protocol."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from mcp import Client

from api.cli.mcp import make_server
from models.wire import DecisionDocument
from triage_client import AsyncTriageClient, NotAnId, TriageClient, TriageProblem

from ..local_client import TestClient

Serve = Callable[..., AbstractContextManager[Any]]
TICKET = {"id": "C-1", "subject": "VPN", "body": "the vpn drops every ten minutes"}


def test_the_typed_client_decides_says_and_reads(serve: Serve) -> None:
    with serve("--open-loopback", TRIAGE_RULES_ONLY="1") as service, TriageClient(service.url) as client:
        decided = client.predict(TICKET)
        assert isinstance(decided, DecisionDocument) and decided.ticket_id == "C-1"
        said = client.feedback(decided.decision_id or "", "corrected", "kim", tier="L3", category="network")
        assert said["verdict"] == "corrected"
        assert client.decision(decided.decision_id or "")["tier"] == "L3"
        first, second = client.predict_batch([{"text": "the printer jams"}, {"title": "x"}], explain=False)
        assert isinstance(first, DecisionDocument) and isinstance(second, TriageProblem)
        assert "title is not a field" in second.detail
        with pytest.raises(TriageProblem) as problem:
            client.decision("nothing")
        assert (problem.value.status, problem.value.code) == (404, "no-such-decision")

        async def ask() -> DecisionDocument:
            async with AsyncTriageClient(service.url) as other:
                return await other.predict({"text": "the printer jams"})

        assert asyncio.run(ask()).tier == first.tier


def test_a_call_is_sent_again_under_one_key_until_it_is_taken() -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["idempotency-key"])
        if len(seen) < 3:
            return httpx.Response(503, json={"code": "busy"}, headers={"Retry-After": "0"})
        return httpx.Response(404, json={"code": "no-such-decision", "detail": "none"})

    client = TriageClient("http://127.0.0.1:1", "a-key")
    client._client = httpx.Client(base_url=client.url, transport=httpx.MockTransport(answer))
    with pytest.raises(TriageProblem, match="no-such-decision"):
        client.feedback("x", "accepted", "kim")
    assert len(seen) == 3 and len(set(seen)) == 1
    with pytest.raises(httpx.TransportError):
        TriageClient("http://127.0.0.1:1", tries=2, timeout_s=1).predict(TICKET)


@pytest.mark.parametrize("is_date", [False, True])
def test_a_pause_that_is_too_long_is_told_at_once(is_date: bool) -> None:
    sent: list[httpx.Request] = []
    stated = format_datetime(datetime.now(UTC) + timedelta(seconds=40_000), usegmt=True) if is_date else "40000"

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(429, json={"code": "too-many"}, headers={"Retry-After": stated})

    transport = httpx.MockTransport(answer)
    client = TriageClient("http://127.0.0.1:1")
    client._client = httpx.Client(base_url=client.url, transport=transport)
    with pytest.raises(TriageProblem) as problem:
        client.predict(TICKET)
    assert problem.value.retry_after_s == pytest.approx(40_000, abs=60) and len(sent) == 1

    async def ask() -> DecisionDocument:
        async with AsyncTriageClient("http://127.0.0.1:1") as other:
            other._client = httpx.AsyncClient(base_url=other.url, transport=transport)
            return await other.predict(TICKET)

    with pytest.raises(TriageProblem) as problem:
        asyncio.run(ask())
    assert problem.value.retry_after_s == pytest.approx(40_000, abs=60) and len(sent) == 2


@pytest.mark.parametrize(
    ("status", "headers", "told"),
    [
        (301, {"Location": "https://login.example.org/start"}, "to https://login.example.org/start"),
        (307, {"Location": "/elsewhere", "Content-Type": "application/json"}, "to /elsewhere"),
        (200, {"Content-Type": "text/html; charset=utf-8"}, "no JSON, but text/html"),
        (204, {}, "no JSON, but of no stated type"),
    ],
)
def test_what_answers_in_the_place_of_the_service_is_told_as_such(
    status: int, headers: dict[str, str], told: str
) -> None:
    body = b"{}" if "json" in headers.get("Content-Type", "") else b"<html>Sign in</html>" if status != 204 else b""

    def use(client: Any) -> Any:
        return client.predict(TICKET)

    with pytest.raises(TriageProblem) as problem:
        sent_by_both(lambda request: httpx.Response(status, headers=headers, content=body), use)
    assert (problem.value.status, problem.value.code) == (status, "not-json") and told in problem.value.detail


def public(kind: type) -> dict[str, list[str]]:
    """The methods of a client, each with its parameters."""
    methods = inspect.getmembers(kind, inspect.isfunction)
    return {name: list(inspect.signature(one).parameters) for name, one in methods if not name.startswith("_")}


def test_both_clients_have_the_same_methods() -> None:
    assert public(AsyncTriageClient) == public(TriageClient)


def sent_by_both(answer: Callable[[httpx.Request], httpx.Response], use: Callable[[Any], Any]) -> None:
    """Use a client of each kind whose calls are answered here."""
    blocking = TriageClient("http://127.0.0.1:1")
    blocking._client = httpx.Client(base_url=blocking.url, transport=httpx.MockTransport(answer))
    use(blocking)

    async def use_async() -> None:
        other = AsyncTriageClient("http://127.0.0.1:1")
        other._client = httpx.AsyncClient(base_url=other.url, transport=httpx.MockTransport(answer))
        await use(other)

    asyncio.run(use_async())


def test_an_id_is_one_part_of_the_path_whatever_it_holds() -> None:
    seen: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.raw_path)
        return httpx.Response(200, json={})

    odd, quoted = "a/b?x=1#y%2F ü", b"a%2Fb%3Fx%3D1%23y%252F%20%C3%BC"
    uses: dict[bytes, Callable[[Any], Any]] = {
        b"/v1/decisions/%s": lambda client: client.decision(odd),
        b"/v1/decisions/%s/feedback": lambda client: client.feedback(odd, "accepted", "kim"),
        b"/v1/tickets/%s/escalation": lambda client: client.ask_escalation(odd),
        b"/v1/tickets/%s/escalation?desk=rt": lambda client: client.ask_escalation(odd, desk="rt"),
        b"/v1/tickets/%s/events": lambda client: client.add_event(odd, {}),
        b"/v1/tickets/%s/events?desk=a%%26b": lambda client: client.add_event(odd, {}, desk="a&b"),
    }
    for use in uses.values():
        sent_by_both(answer, use)
    assert seen == [path % quoted for path in uses for _ in range(2)]


@pytest.mark.parametrize("bad", ["", ".", "..", "../model/reload?x=", "a/../b", "\ud800"])
def test_what_can_be_no_id_is_refused_before_anything_is_sent(bad: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise AssertionError(f"sent: {request.url}")

    def refuses(use: Callable[[Any], Any]) -> None:
        with pytest.raises(NotAnId, match="an id"):
            sent_by_both(answer, use)

    refuses(lambda client: client.decision(bad))
    refuses(lambda client: client.feedback(bad, "accepted", "kim"))
    refuses(lambda client: client.ask_escalation(bad))
    refuses(lambda client: client.add_event(bad, {}))


def test_the_open_inference_protocol_is_spoken(client: TestClient) -> None:
    path = "/v2/models/helpdesk-triage"
    assert [one["name"] for one in client.get(path).json()["inputs"]] == ["text", "subject", "id"]
    assert client.get(f"{path}/ready").json() == {"name": "helpdesk-triage", "ready": True}
    texts = ["the printer jams", "I forgot my password and cannot sign in"]
    body = {"id": "r-1", "inputs": [{"name": "text", "shape": [2], "datatype": "BYTES", "data": texts}]}
    answer = client.post(f"{path}/infer", json=body)
    assert answer.status_code == 200, answer.text
    columns = {one["name"]: one["data"] for one in answer.json()["outputs"]}
    assert answer.json()["id"] == "r-1" and columns["category"][1] == "access"
    for place, text in enumerate(texts):
        alone = client.post("/v1/predict", json={"body": text}).json()
        assert [columns[name][place] for name in ("tier", "category")] == [alone["tier"], alone["category"]]
    odd = {"inputs": [{"name": "subject", "shape": [1], "datatype": "BYTES", "data": ["a"]}]}
    assert client.post(f"{path}/infer", json=odd).json()["code"] == "columns"
    ids = {"name": "id", "shape": [2], "datatype": "BYTES", "data": ["x" * 255 + "1", "x" * 255 + "2"]}
    refused = client.post(f"{path}/infer", json={"inputs": [*body["inputs"], ids]})
    assert (refused.status_code, refused.json()["code"]) == (422, "id-too-long")
    assert client.post("/v2/models/other/infer", json=body).status_code == 404


def test_of_the_outputs_those_that_are_asked_for_are_answered(client: TestClient) -> None:
    path = "/v2/models/helpdesk-triage/infer"
    body: dict[str, Any] = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["it jams"]}]}
    names = ["decision_id", "tier", "category", "resolver_group", "automation", "reason"]
    for wanted, told in ((["tier"], ["tier"]), (["reason", "tier", "tier"], ["reason", "tier"]), ([], names)):
        outputs = [{"name": name, "parameters": {"binary_data": False}} for name in wanted]
        answer = client.post(path, json={**body, "outputs": outputs})
        assert [one["name"] for one in answer.json()["outputs"]] == told
    refused = client.post(path, json={**body, "outputs": [{"name": "priority"}]})
    assert refused.status_code == 422 and "one of decision_id, tier" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("shape", "status"), [([2], 200), ([2, 1], 200), ([5], 422), ([1], 422), ([1, 2], 422), ([2, 2], 422)]
)
def test_a_shape_is_that_of_its_data(client: TestClient, shape: list[int], status: int) -> None:
    column = {"name": "text", "shape": shape, "datatype": "BYTES", "data": ["it jams", "the vpn drops"]}
    answer = client.post("/v2/models/helpdesk-triage/infer", json={"inputs": [column]})
    assert answer.status_code == status
    assert status == 200 or (answer.json()["code"], answer.json()["errors"][0]["field"]) == ("shape", "inputs")


def test_assistants_read_by_tools_and_write_only_where_they_may(serve: Serve) -> None:
    with serve("--open-loopback", TRIAGE_RULES_ONLY="1") as service, TriageClient(service.url) as client:

        async def use() -> tuple[set[str], set[str], Any, Any]:
            async with Client(make_server(client, write=False)) as reader:
                names = {tool.name for tool in (await reader.list_tools()).tools}
                predicted = await reader.call_tool("predict", {"text": "I forgot my password"})
                similar = await reader.call_tool("similar_tickets", {"text": "I forgot my password"})
            async with Client(make_server(client, write=True)) as writer:
                more = {tool.name for tool in (await writer.list_tools()).tools}
            return names, more - names, predicted, similar

        names, more, predicted, similar = asyncio.run(use())
    assert names == {"predict", "explain", "similar_tickets", "escalate"} and more == {"tell_event", "correct"}
    assert not predicted.is_error and json.loads(predicted.content[0].text)["category"] == "access"
    assert not similar.is_error


def test_what_an_assistant_asks_about_is_one_ticket_that_waits_for_nobody(serve: Serve) -> None:
    with serve("--open-loopback", TRIAGE_RULES_ONLY="1") as service, TriageClient(service.url) as client:

        async def use() -> list[Any]:
            asked = {"text": "I forgot my password", "subject": "Sign-in"}
            async with Client(make_server(client, write=False)) as reader:
                tools = ("predict", "explain", "similar_tickets", "predict")
                answers = [await reader.call_tool(tool, asked) for tool in tools]
                changes = ({"text": "The printer jams"}, {"channel": "phone"})
                return [*answers, *[await reader.call_tool("predict", asked | one) for one in changes]]

        answers = asyncio.run(use())
        assert not any(one.is_error for one in answers)
        read = [json.loads(answers[number].content[0].text) for number in (0, 1, 3, 4, 5)]
        first, explained, again, other, by_phone = read
        assert by_phone["ticket_id"] != first["ticket_id"]  # of a channel of its own, and no new text of the first
        assert first["ticket_id"] == again["ticket_id"] != other["ticket_id"] and explained["explanation"]
        listed = service.client.get("/v1/decisions").json()["decisions"]
        assert {one["ticket_id"] for one in listed} == {one["ticket_id"] for one in (first, other, by_phone)}
        assert len(listed) == 3
        waiting = service.client.get("/v1/decisions?view=waiting").json()
        assert waiting.get("decisions") == [], waiting


def test_no_id_of_an_assistant_reaches_another_address(serve: Serve) -> None:
    with serve("--open-loopback", TRIAGE_RULES_ONLY="1") as service, TriageClient(service.url) as client:
        decided = client.predict(TICKET)

        async def attack() -> list[Any]:
            paths = (f"../decisions/{decided.decision_id}/claim?agent=mallory&x=", "../model/reload?x=")
            async with Client(make_server(client, write=False)) as reader:
                return [await reader.call_tool("escalate", {"ticket_id": path}) for path in paths]

        told = asyncio.run(attack())
        assert all(one.is_error and "an id cannot" in one.content[0].text for one in told)
        kim = service.client.post(f"/v1/decisions/{decided.decision_id}/claim?agent=kim")
        assert kim.status_code == 204, "somebody has taken the ticket"


def test_assistants_are_told_why(capfd: pytest.CaptureFixture[str]) -> None:
    answers = {
        "escalation": httpx.Response(404, json={"code": "no-such-ticket", "detail": "nothing was decided about it"}),
        "feedback": httpx.Response(422, json={"code": "unknown-label", "detail": "L9 is not listed"}),
        "events": httpx.Response(502, text="<html>"),
        "predict": httpx.Response(200, text="<html>"),
    }

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.query:
            raise httpx.ConnectError("Connection refused")
        if b"an older service" in request.content:
            return httpx.Response(200, json={"tier": "L1"})
        return answers[request.url.path.rpartition("/")[2]]

    client = TriageClient("http://127.0.0.1:1", tries=1)
    client._client = httpx.Client(base_url=client.url, transport=httpx.MockTransport(answer))

    async def use() -> list[str]:
        calls: list[tuple[str, dict[str, Any]]] = [
            ("escalate", {"ticket_id": "T-1"}),
            ("correct", {"decision_id": "d", "agent": "kim", "tier": "L9"}),
            ("tell_event", {"ticket_id": "T-1", "event": {}}),
            ("explain", {"text": "it jams"}),
            ("explain", {"text": "it jams at an older service"}),
            ("escalate", {"ticket_id": "T-1", "desk": "rt"}),
        ]
        async with Client(make_server(client, write=True)) as assistant:
            answered = [await assistant.call_tool(*call) for call in calls]
        assert all(one.is_error for one in answered)
        return [str(one.content[0].model_dump()["text"]).partition(": ")[2] for one in answered]

    assert asyncio.run(use()) == [
        "nothing was decided about it (404 no-such-ticket)",
        "L9 is not listed (422 unknown-label)",
        "the service at http://127.0.0.1:1 answered 502 and did not say why (502 unknown)",
        "the answer is no JSON, but text/plain: is this the address of the service, and does a proxy let it by? "
        "(200 not-json)",
        "what http://127.0.0.1:1 answered cannot be read: it is no triage service, or one of another version",
        "the service at http://127.0.0.1:1 cannot be reached: Connection refused",
    ]
    assert "Traceback" not in capfd.readouterr().err
