"""The clients: each method is one call of the HTTP API, and its answer a typed document."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Literal, Self
from uuid import uuid4

import httpx

from models.wire import DecisionDocument
from triage_client.errors import TriageProblem
from triage_client.paths import path_part

Ticket = Mapping[str, Any]
"""A ticket as `POST /v1/predict` takes it: `id`, `text` or `subject` and `body`, and further fields."""
Verdict = Literal["accepted", "corrected", "unsure"]
_TRY_AGAIN = (429, 502, 503, 504)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 20.0
_MOST_SHOWN = 200
"""Characters of a header that are quoted."""


@dataclass(frozen=True)
class _Call:
    """One call; a POST has an idempotency key, so that sending it again does nothing twice."""

    method: str
    path: str
    body: Any = None
    query: Mapping[str, Any] = field(default_factory=dict)

    def request(self, client: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        headers = {"Idempotency-Key": uuid4().hex} if self.method == "POST" else {}
        return client.build_request(
            self.method, self.path, json=self.body, params=dict(self.query) or None, headers=headers
        )


def _predict(ticket: Ticket, explain: bool) -> _Call:
    return _Call("POST", "/v1/predict", dict(ticket), {} if explain else {"explain": "false"})


def _batch(tickets: Sequence[Ticket], explain: bool) -> _Call:
    body = {"tickets": [dict(one) for one in tickets]}
    return _Call("POST", "/v1/predict/batch", body, {} if explain else {"explain": "false"})


def _decision(decision_id: str) -> _Call:
    return _Call("GET", f"/v1/decisions/{path_part(decision_id)}")


def _feedback(decision_id: str, verdict: Verdict, agent: str, stated: Mapping[str, str]) -> _Call:
    body = {"verdict": verdict, "agent": agent, **stated}
    return _Call("POST", f"/v1/decisions/{path_part(decision_id)}/feedback", body)


def _escalation(ticket_id: str, desk: str | None) -> _Call:
    return _Call("POST", f"/v1/tickets/{path_part(ticket_id)}/escalation", {}, _from(desk))


def _event(ticket_id: str, event: Mapping[str, Any], desk: str | None) -> _Call:
    return _Call("POST", f"/v1/tickets/{path_part(ticket_id)}/events", dict(event), _from(desk))


def _from(desk: str | None) -> dict[str, str]:
    return {} if desk is None else {"desk": desk}


def _decided(document: Mapping[str, Any]) -> DecisionDocument | TriageProblem:
    """Read one decision of a batch; a ticket that could not be read has a problem in its place."""
    if "status" in document:
        return TriageProblem(int(document["status"]), document)
    return DecisionDocument.model_validate(document)


def _retry_after_s(answer: httpx.Response) -> float | None:
    """Return the seconds that the service says to wait, as a number or until a date; None where it says nothing."""
    stated = answer.headers.get("retry-after", "").strip()
    if stated.isdecimal():
        return float(stated)
    try:
        return max(0.0, parsedate_to_datetime(stated).timestamp() - time.time())
    except ValueError:
        return None


def _is_final(answer: httpx.Response, attempt: int, tries: int) -> bool:
    """Say whether a call is not sent again: it was taken or refused, was the last, or is to wait for too long."""
    wait_s = _retry_after_s(answer) or 0.0
    return answer.status_code not in _TRY_AGAIN or attempt + 1 == tries or wait_s > _LONGEST_PAUSE_S


def _pause_s(attempt: int, answer: httpx.Response | None) -> float:
    stated = None if answer is None else _retry_after_s(answer)
    return (
        min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0**attempt * random.uniform(0.75, 1.25)) if stated is None else stated
    )


def _read(answer: httpx.Response) -> Any:
    """Return what the service answered.

    Raises:
        TriageProblem: It refused the call, or something else answered in its place.
    """
    try:
        document = answer.json()
    except ValueError:
        document = None
    if answer.is_success and document is not None:
        return document
    if not answer.is_error:
        document = _answered_by_another(answer)
    stated = document if isinstance(document, dict) else {}
    raise TriageProblem(answer.status_code, stated, _retry_after_s(answer))


def _answered_by_another(answer: httpx.Response) -> dict[str, str]:
    """Describe an answer that is none of the service's, as of a proxy that sends callers to its page to sign in."""
    elsewhere = answer.headers.get("location")
    if elsewhere:
        detail = f"the call was sent elsewhere, to {elsewhere[:_MOST_SHOWN]}"
    else:
        kind = answer.headers.get("content-type", "").partition(";")[0].strip()
        detail = f"the answer is no JSON, but {kind[:_MOST_SHOWN] or 'of no stated type'}"
    return {"code": "not-json", "detail": f"{detail}: is this the address of the service, and does a proxy let it by?"}


def _headers(key: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


class TriageClient:
    """A client that blocks.

    Args:
        url: Address of the service.
        key: API key; None for a service that asks for none.
        timeout_s: How long one try may take.
        tries: How often a call is sent at most, where the service is busy or away: each time after the pause that it
            states. Where that is longer than 20 seconds, the call fails at once, with it as `retry_after_s`.

    Example:
        >>> TriageClient("http://127.0.0.1:8000").url
        'http://127.0.0.1:8000'
    """

    def __init__(self, url: str, key: str | None = None, *, timeout_s: float = 20.0, tries: int = 5) -> None:
        self.url, self._tries = url.rstrip("/"), tries
        self._client = httpx.Client(base_url=self.url, headers=_headers(key), timeout=timeout_s)

    def predict(self, ticket: Ticket, *, explain: bool = True) -> DecisionDocument:
        """Decide a ticket.

        Raises:
            TriageProblem: The service refuses it.
            httpx.TransportError: The service cannot be reached.
        """
        return DecisionDocument.model_validate(self._send(_predict(ticket, explain)))

    def predict_batch(
        self, tickets: Sequence[Ticket], *, explain: bool = True
    ) -> list[DecisionDocument | TriageProblem]:
        """Decide up to 64 tickets; one that cannot be read has its problem in its place."""
        return [_decided(one) for one in self._send(_batch(tickets, explain))["decisions"]]

    def decision(self, decision_id: str) -> dict[str, Any]:
        """Return a decision with its ticket and everything that was said about it.

        Raises:
            TriageProblem: There is none with that id, or the key may not read it.
            NotAnId: What is given can be no id.
        """
        return dict(self._send(_decision(decision_id)))

    def feedback(self, decision_id: str, verdict: Verdict, agent: str, **stated: str) -> dict[str, Any]:
        """Say that a decision is right, wrong (with the right `tier`, `category` or `resolver_group`), or doubtful."""
        return dict(self._send(_feedback(decision_id, verdict, agent, stated)))

    def ask_escalation(self, ticket_id: str, *, desk: str | None = None) -> dict[str, Any]:
        """Ask whether a ticket stays at its tier or moves, and by which criterion; nothing is changed.

        Args:
            ticket_id: The helpdesk's own id.
            desk: Name of the helpdesk that the ticket came from; None for tickets that were sent with a key.

        Raises:
            TriageProblem: Nothing was decided about the ticket, or the key may not ask.
            NotAnId: What is given can be no id.
        """
        return dict(self._send(_escalation(ticket_id, desk)))

    def add_event(self, ticket_id: str, event: Mapping[str, Any], *, desk: str | None = None) -> dict[str, Any]:
        """Tell what happened to a ticket: a comment, an attempt, an answer or a status; its route may change.

        Args:
            ticket_id: The helpdesk's own id.
            event: As `POST /v1/tickets/{ticket_id}/events` takes it.
            desk: Name of the helpdesk that the ticket came from; None for tickets that were sent with a key.

        Raises:
            TriageProblem: The event is refused, or nothing was decided about the ticket.
            NotAnId: What is given can be no id.
        """
        return dict(self._send(_event(ticket_id, event, desk)))

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close all connections."""
        self.close()

    def _send(self, call: _Call) -> Any:
        request = call.request(self._client)
        for attempt in range(self._tries):
            answer: httpx.Response | None = None
            try:
                answer = self._client.send(request)
            except httpx.TransportError:
                if attempt + 1 == self._tries:
                    raise
            if answer is not None and _is_final(answer, attempt, self._tries):
                return _read(answer)
            time.sleep(_pause_s(attempt, answer))
        raise AssertionError("not reached")


class AsyncTriageClient:
    """A client for asyncio; see `TriageClient` for its arguments and what its methods do."""

    def __init__(self, url: str, key: str | None = None, *, timeout_s: float = 20.0, tries: int = 5) -> None:
        self.url, self._tries = url.rstrip("/"), tries
        self._client = httpx.AsyncClient(base_url=self.url, headers=_headers(key), timeout=timeout_s)

    async def predict(self, ticket: Ticket, *, explain: bool = True) -> DecisionDocument:
        """Decide a ticket."""
        return DecisionDocument.model_validate(await self._send(_predict(ticket, explain)))

    async def predict_batch(
        self, tickets: Sequence[Ticket], *, explain: bool = True
    ) -> list[DecisionDocument | TriageProblem]:
        """Decide up to 64 tickets; one that cannot be read has its problem in its place."""
        return [_decided(one) for one in (await self._send(_batch(tickets, explain)))["decisions"]]

    async def decision(self, decision_id: str) -> dict[str, Any]:
        """Return a decision with its ticket and everything that was said about it."""
        return dict(await self._send(_decision(decision_id)))

    async def feedback(self, decision_id: str, verdict: Verdict, agent: str, **stated: str) -> dict[str, Any]:
        """Say that a decision is right, wrong, or doubtful."""
        return dict(await self._send(_feedback(decision_id, verdict, agent, stated)))

    async def ask_escalation(self, ticket_id: str, *, desk: str | None = None) -> dict[str, Any]:
        """Ask whether a ticket stays at its tier or moves, and by which criterion; nothing is changed."""
        return dict(await self._send(_escalation(ticket_id, desk)))

    async def add_event(self, ticket_id: str, event: Mapping[str, Any], *, desk: str | None = None) -> dict[str, Any]:
        """Tell what happened to a ticket: a comment, an attempt, an answer or a status; its route may change."""
        return dict(await self._send(_event(ticket_id, event, desk)))

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        """Return the client itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        """Close all connections."""
        await self.close()

    async def _send(self, call: _Call) -> Any:
        request = call.request(self._client)
        for attempt in range(self._tries):
            answer: httpx.Response | None = None
            try:
                answer = await self._client.send(request)
            except httpx.TransportError:
                if attempt + 1 == self._tries:
                    raise
            if answer is not None and _is_final(answer, attempt, self._tries):
                return _read(answer)
            await asyncio.sleep(_pause_s(attempt, answer))
        raise AssertionError("not reached")
