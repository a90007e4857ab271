"""The overview at `/overview`: what came in and what became of it, as charts with their tables and CSV files."""

from __future__ import annotations

import csv
import io
from typing import Any

from anyio import to_thread
from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from api.console import overview
from api.console.overview import Table
from api.console.untold import untold
from api.console.versions import FIGURES, ModelVersion, models, versions
from api.deps import Parts, PartsDep, Reader
from api.http.exceptions import NotFound
from api.routes.pages.frame import page
from api.scoring.autonomy import TargetAutonomy
from api.security.page_route import PageRoute
from triage.files.csv_cells import inert

router = APIRouter(include_in_schema=False, route_class=PageRoute)

_ENOUGH = 30
"""Audits from which on their error rate is told instead of the stated one."""
_AUDITS, _SPOKEN, _WATCHED = 20_000, 2_000, 5_000
"""Most audits, reviewed tickets and decisions watched for drift that are read: a few tenths of a second."""


@router.get("/overview")
async def show(parts: PartsDep, reader: Reader) -> HTMLResponse:
    """Show all figures."""
    autonomy, tables = await to_thread.run_sync(_figures, parts)
    return await page(
        parts,
        reader,
        "overview.html",
        here="overview",
        autonomy=autonomy,
        tables={table.name: table for table in tables},
    )


@router.get("/overview/models/{version}")
async def model(version: str, parts: PartsDep, reader: Reader) -> HTMLResponse:
    """Show the report of one model version, and how it compared with the one before."""
    known = await to_thread.run_sync(versions, parts.service.settings)
    found = next((one for one in known if one.version == version), None)
    if found is None:
        raise NotFound("no-such-version", "this machine has no such version: see /overview for those that there are")
    others = [one for one in known if one.version != version]
    return await page(
        parts,
        reader,
        "model.html",
        here="overview",
        version=found,
        others=others,
        figures=FIGURES,
        targets=_targets(found),
        refused=parts.service.model.last_error,
    )


def _targets(found: ModelVersion) -> dict[str, dict[str, Any]]:
    return dict(found.measured.get("targets", {}))


@router.get("/overview/{name}.csv")
async def as_csv(name: str, parts: PartsDep, reader: Reader) -> Response:
    """Send one figure as a CSV file."""
    _, tables = await to_thread.run_sync(_figures, parts)
    table = next((table for table in tables if table.name == name), None)
    if table is None:
        raise NotFound("no-such-figure", "there is no such figure: see /overview for those that there are")
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\r\n")
    writer.writerows([inert(cell) for cell in row] for row in (table.columns, *table.rows))
    disposition = f'attachment; filename="{name}.csv"'
    return Response(sink.getvalue(), media_type="text/csv", headers={"Content-Disposition": disposition})


def _figures(parts: Parts) -> tuple[dict[str, TargetAutonomy], list[Table]]:
    store, autonomy = parts.service.store, parts.service.autonomy.describe()
    triager = parts.service.model.triager
    version, days = triager.model_version, store.days()
    cells, spoken = store.cells(), store.spoken_about(_SPOKEN)
    errors = {target: store.audited_errors(version, target, _AUDITS) if version else [] for target in autonomy}
    return autonomy, [
        overview.minutes(cells, triager.policy.effort, _taken_to_be_wrong(autonomy, errors)),
        overview.funnel("funnel-tier", "Funnel by tier", cells, lambda cell: cell.tier),
        overview.funnel("funnel-category", "Funnel by category", cells, lambda cell: cell.category),
        overview.days(days),
        overview.reasons(cells),
        overview.reasons_by_day(days),
        *(overview.realised_error(target, found) for target, found in errors.items()),
        overview.reliability(spoken),
        overview.drift(store.signals(version, _WATCHED) if version is not None else []),
        models(versions(parts.service.settings), store.served(), triager.policy.targets),
        untold(store.given_up()),
        overview.rules(cells),
        overview.agreement(spoken),
    ]


def _taken_to_be_wrong(autonomy: dict[str, TargetAutonomy], errors: dict[str, list[bool]]) -> float:
    """Return the error rate of automatic decisions: the worst target's, as audited, else as stated."""
    rates = [
        sum(found) / len(found) if len(found) >= _ENOUGH else autonomy[target].target_risk or 0.0
        for target, found in errors.items()
    ]
    return max(rates, default=0.0)
