"""What every page has around it, and the names of labels and groups that several of them show."""

from __future__ import annotations

from typing import Any

from anyio import to_thread
from fastapi.responses import HTMLResponse

from api.deps import Parts
from api.http.schemas import DecisionDetail
from api.pages import render
from api.security.auth import Principal
from api.store.work.queue import Counts
from triage.errors import StoreUnavailable


async def page(parts: Parts, reader: Principal, name: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Render a page with its frame: who is signed in, which model is in use, how many tickets wait.

    Args:
        parts: Of this process.
        reader: Who asks.
        name: Of the template.
        status: Of the answer.
        values: What the template shows.
    """
    triager = parts.service.model.triager
    counts = values.pop("counts", None) or await to_thread.run_sync(counted, parts, reader)
    document = render(
        name,
        csrf=reader.csrf or "",
        agent=reader.agent,
        me=reader.speaks_as,
        may=reader.scopes,
        model_version=triager.model_version,
        policy_version=triager.policy.version,
        counts=counts,
        **values,
    )
    return HTMLResponse(document, status)


def counted(parts: Parts, reader: Principal) -> Counts:
    """Count the tickets of each view; nothing where the store does not answer."""
    try:
        return parts.service.store.counts(reader.speaks_as, reader.groups, blind=parts.service.settings.audit_blind)
    except StoreUnavailable:
        return Counts()


def refusal(error: Exception) -> str:
    """Say as a sentence of a page why nothing was done."""
    if isinstance(error, StoreUnavailable):
        return "The store does not answer: nothing was saved. Please try again in a moment."
    return f"{str(error)[:1].upper()}{str(error)[1:]}."


def label_names(parts: Parts) -> dict[str, dict[str, str]]:
    """Return the labels in use by target, each with what people call it."""
    policy = parts.service.model.triager.policy
    return {
        target: {entry.label: entry.name for entry in policy.entries(target) if entry.label in policy.labels(target)}
        for target in policy.targets
    }


def group_names(parts: Parts) -> list[str]:
    """Return the resolver groups of the policy, and those that were learned."""
    return list(parts.service.model.triager.policy.group_names)


def is_blind(parts: Parts, shown: DecisionDetail) -> bool:
    """Say whether a person is to judge the ticket before seeing what the model says."""
    return parts.service.settings.audit_blind and shown.is_audit and shown.standing is None
