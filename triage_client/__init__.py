"""A typed client of the service: sync and async, with retries that never decide or say a thing twice."""

from __future__ import annotations

from triage_client.client import AsyncTriageClient, TriageClient
from triage_client.errors import NotAnId, TriageProblem

__all__ = ["AsyncTriageClient", "NotAnId", "TriageClient", "TriageProblem"]
