"""Learning at `/learning`: what to label next, themes without a category, and training with its comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Form, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, Field

from api.deps import Parts, PartsDep, Reader, Trainer
from api.http.exceptions import Contradiction, NotAcceptable, NotFound
from api.http.schemas import MAX_NAME_CHARS, Text
from api.learning.job_files import new_bundle
from api.learning.jobs import Task
from api.learning.worth_asking import CATEGORY, LOOKED_AT
from api.pages import render
from api.routes.pages.frame import page, refusal
from api.security.auth import Principal
from api.security.clearance import may_read
from api.security.page_route import PageRoute
from api.store.rows import dump
from api.store.work.jobs import DISCARDED, PROMOTE, PROMOTED, RUNNING, JobRow
from models.local_store import LocalModelStore, parse_reference
from models.toml_files import dump_policy
from triage.errors import BundleNotFound, InvalidPolicy, TriageError
from triage.policy import Category

router = APIRouter(include_in_schema=False, route_class=PageRoute)

LEAST_EXAMPLES = 8


class NewCategory(BaseModel):
    """A category that a theme becomes, and the tickets that are examples of it.

    Attributes:
        label: Its label.
        name: What people call it; empty where the label does.
        description: What belongs to it.
        decision: Ids of the decisions about its examples.
        theme: Id of a decision of the theme, by which the page finds the theme again where nothing was made of it.
    """

    label: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{1,39}$")]
    name: Text = Field("", max_length=100)
    description: Text = Field("", max_length=1000)
    decision: list[Text] = Field([], max_length=LOOKED_AT)
    theme: Text = Field("", max_length=64)


@router.get("/learning")
async def show(
    parts: PartsDep, reader: Reader, target: Annotated[str, Query(max_length=MAX_NAME_CHARS)] = CATEGORY
) -> HTMLResponse:
    """Show everything that can be taught, and the jobs.

    Args:
        parts: Of this process.
        reader: Who asks.
        target: What the tickets worth labelling are to teach; one that is not there gives way to the category.
    """
    return await _page(parts, reader, target=target)


@router.get("/learning/job")
async def job(parts: PartsDep, reader: Reader) -> HTMLResponse:
    """Show how the jobs stand, as a part of the page that is asked for again while one runs."""
    jobs = await to_thread.run_sync(parts.service.store.jobs)
    return HTMLResponse(render("jobs.html", csrf=reader.csrf or "", **_shown(reader, jobs)))


@router.post("/learning/retrain")
async def retrain(parts: PartsDep, reader: Reader, trainer: Trainer) -> Response:
    """Train again as the champion was trained, with what people said since, and compare."""
    words = ["retrain", *parts.service.settings.history_words, "--name", _name(parts)]
    return await _begun(parts, trainer, Task("retrain", "Training on the history and what people said since", words))


@router.post("/learning/rollback")
async def roll_back(parts: PartsDep, reader: Reader, trainer: Trainer) -> Response:
    """Let the version before serve again."""
    words = ["rollback", _name(parts)]
    return await _begun(parts, trainer, Task("rollback", "Going back to the version before", words))


@router.post("/learning/category")
async def make_category(
    parts: PartsDep, reader: Reader, trainer: Trainer, new: Annotated[NewCategory, Form()]
) -> Response:
    """Give the champion a category more, from its description and eight examples or more."""
    try:
        bundle = await to_thread.run_sync(_champion, parts)
        files = await to_thread.run_sync(_files, parts, trainer, new)
    except (NotAcceptable, BundleNotFound, InvalidPolicy) as error:
        return await _page(parts, reader, problem=refusal(error), status=422, draft=new)
    out = await to_thread.run_sync(new_bundle, parts.service.settings.home)
    words = ["extend", bundle, "{folder}/examples.jsonl", "--policy", "{folder}/policy.toml", "--out", str(out)]
    title = f"A new category, {new.label}, from {len(new.decision)} tickets"
    task = Task("extend", title, [*words, "--name", _name(parts)], files, makes=out)
    return await _begun(parts, trainer, task, draft=new)


@router.post("/learning/{job_id}/promote")
async def promote(job_id: str, parts: PartsDep, reader: Reader, trainer: Trainer) -> Response:
    """Let the version of a job serve, if it holds up and the service would take it."""

    def let_serve() -> None:
        version = str((_made(parts, job_id).result or {})["version"])
        _check_served(parts, version)
        words = ["promote", _name(parts), version]
        task = Task(PROMOTE, f"Letting version {version} serve", words, about=job_id, then=settle)
        parts.jobs.begin(task, trainer.speaks_as)

    def settle(result: Mapping[str, Any] | None) -> None:
        parts.service.store.settle_job(job_id, PROMOTED)

    return await _done(parts, trainer, let_serve)


@router.post("/learning/{job_id}/discard")
async def discard(job_id: str, parts: PartsDep, reader: Reader, trainer: Trainer) -> Response:
    """Leave the version of a job unused."""
    return await _done(parts, trainer, lambda: _discard(parts, job_id))


async def _begun(parts: Parts, trainer: Principal, task: Task, *, draft: NewCategory | None = None) -> Response:
    return await _done(parts, trainer, lambda: parts.jobs.begin(task, trainer.speaks_as), draft=draft)


async def _done(
    parts: Parts, trainer: Principal, change: Callable[[], object], *, draft: NewCategory | None = None
) -> Response:
    """Change something, and show the page with it, or with the reason why that cannot be."""
    try:
        await to_thread.run_sync(change)
    except Contradiction as error:
        return await _page(parts, trainer, problem=refusal(error), status=409, draft=draft)
    return RedirectResponse("/learning", 303)


async def _page(
    parts: Parts,
    reader: Principal,
    *,
    problem: str = "",
    status: int = 200,
    target: str = CATEGORY,
    draft: NewCategory | None = None,
) -> HTMLResponse:
    """Show the page.

    Args:
        parts: Of this process.
        reader: Who asks.
        problem: Why something could not be done, in a sentence.
        status: HTTP status of the page.
        target: What the tickets worth labelling are to teach.
        draft: A category that could not be made: its theme stands open, with what was written.
    """
    learning = await to_thread.run_sync(parts.worth_asking.look, reader.clearance, target)
    jobs = await to_thread.run_sync(parts.service.store.jobs)
    return await page(
        parts,
        reader,
        "learning.html",
        status=status,
        here="learning",
        learning=learning,
        least_examples=LEAST_EXAMPLES,
        problem=problem,
        refused=parts.service.model.last_error,
        own_policy=parts.service.settings.policy is not None,
        draft=draft,
        history=bool(parts.service.settings.history_words),
        by_alias=parts.service.settings.bundle is None,
        **_shown(reader, jobs),
    )


def _shown(reader: Principal, jobs: list[JobRow]) -> dict[str, Any]:
    return {
        "jobs": jobs,
        "running": any(one.state == RUNNING for one in jobs),
        "trains": "train" in reader.scopes,
    }


def _name(parts: Parts) -> str:
    return parse_reference(parts.service.settings.model)[0]


def _champion(parts: Parts) -> str:
    """Return the folder of the bundle in use.

    Raises:
        BundleNotFound: Rules alone are in use.
    """
    settings = parts.service.settings
    if settings.bundle is not None:
        return str(settings.bundle)
    name, alias = parse_reference(settings.model)
    return str(LocalModelStore(settings.home, name).resolve(alias))


def _made(parts: Parts, job_id: str) -> JobRow:
    """Return a job that has made a version.

    Raises:
        NotFound: There is none.
    """
    found = next((one for one in parts.service.store.jobs() if one.id == job_id), None)
    if found is None or not (found.result or {}).get("version"):
        raise NotFound("no-such-version", "this job has made no version: see /learning")
    return found


def _check_served(parts: Parts, version: str) -> None:
    """Make sure that this service takes a version, where it has a policy of its own that may lack labels of it.

    Raises:
        Contradiction: It would refuse the version.
    """
    settings = parts.service.settings
    if settings.policy is None or settings.bundle is not None:
        return
    try:
        parts.service.model.check(LocalModelStore(settings.home, _name(parts)).path(version))
    except TriageError as error:
        cure = "The file of TRIAGE_POLICY is read anew at a start of the service and by POST /v1/model/reload"
        raise Contradiction(
            "version-refused", f"this service would refuse version {version}: {error}. {cure}"
        ) from error


def _discard(parts: Parts, job_id: str) -> None:
    """Leave the version of a job unused.

    Raises:
        NotFound: The job has made none.
        Contradiction: It serves, is about to serve, or somebody has decided about it already.
    """
    version = str((_made(parts, job_id).result or {})["version"])
    with suppress(BundleNotFound):
        if parts.service.settings.bundle is None and Path(_champion(parts)).name == version:
            raise Contradiction("version-serves", f"version {version} serves already: go back to the version before")
    parts.service.store.settle_job(job_id, DISCARDED)


def _files(parts: Parts, trainer: Principal, new: NewCategory) -> dict[str, str]:
    """Return the policy with the new category, and the examples, as the files that the job reads.

    Raises:
        NotAcceptable: The label is there already, or there are too few examples that the person may read.
    """
    policy = parts.service.model.triager.policy
    if any(entry.label == new.label for entry in policy.categories):
        raise NotAcceptable("label-taken", "there is a category with that label already: choose another one", "label")
    rows = [parts.reviews.decision(decision) for decision in dict.fromkeys(new.decision)]
    rows = [row for row in rows if may_read(policy, row, trainer.clearance) and not row.forgotten]
    if len(rows) < LEAST_EXAMPLES:
        raise NotAcceptable(
            "few-examples", f"a category needs {LEAST_EXAMPLES} examples: {len(rows)} were chosen", "decision"
        )
    added = Category(new.label, new.name or new.label, description=new.description)
    grown = replace(policy, version=f"{policy.version}+{new.label}", categories=(*policy.categories, added))
    examples = [
        {"id": row.ticket_id or row.id, "subject": row.subject, "body": row.body, "category": new.label,
         "label_source": "person"}
        for row in rows
    ]  # fmt: skip
    return {"policy.toml": dump_policy(grown), "examples.jsonl": "".join(f"{dump(one)}\n" for one in examples)}
