"""The overview at `/overview`: what came in and what became of it, as charts with their tables and CSV files."""

from __future__ import annotations

import csv
import io

from anyio import to_thread
from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

from api.console import overview
from api.console.overview import Table
from api.deps import Parts, PartsDep, Reader
from api.http.exceptions import NotFound
from api.routes.pages.frame import page
from api.scoring.autonomy import TargetAutonomy
from api.security.page_route import PageRoute

router = APIRouter(include_in_schema=False, route_class=PageRoute)

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


@router.get("/overview/{name}.csv")
async def as_csv(name: str, parts: PartsDep, reader: Reader) -> Response:
    """Send one figure as a CSV file."""
    _, tables = await to_thread.run_sync(_figures, parts)
    table = next((table for table in tables if table.name == name), None)
    if table is None:
        raise NotFound("no-such-figure", "there is no such figure: see /overview for those that there are")
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\r\n")
    writer.writerow(table.columns)
    writer.writerows(table.rows)
    disposition = f'attachment; filename="{name}.csv"'
    return Response(sink.getvalue(), media_type="text/csv", headers={"Content-Disposition": disposition})


def _figures(parts: Parts) -> tuple[dict[str, TargetAutonomy], list[Table]]:
    store, autonomy = parts.service.store, parts.service.autonomy.describe()
    version = parts.service.model.triager.model_version
    cells, spoken = store.cells(), store.spoken_about(_SPOKEN)
    errors = [
        overview.realised_error(target, store.audited_errors(version, target, _AUDITS))
        for target in autonomy
        if version is not None
    ]
    return autonomy, [
        overview.funnel("funnel-tier", "Funnel by tier", cells, lambda cell: cell.tier),
        overview.funnel("funnel-category", "Funnel by category", cells, lambda cell: cell.category),
        overview.days(store.days()),
        overview.reasons(cells),
        *errors,
        overview.reliability(spoken),
        overview.drift(store.signals(version, _WATCHED) if version is not None else []),
        overview.rules(cells),
        overview.agreement(spoken),
    ]
