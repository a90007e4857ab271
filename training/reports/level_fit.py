"""The page on how well levels fit: shares by tier, misses by category and group, and months."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from matplotlib.axes import Axes

from training.reports.plots import svg
from triage.escalation.level_fit import Fit, LevelFit

_MOST_ROWS = 30
STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1d2733}"
    "table{border-collapse:collapse;width:100%}"
    "td,th{text-align:right;padding:.2rem .5rem;border-bottom:1px solid #dbe7f3}"
    "td:first-child,th:first-child{text-align:left}svg{max-width:100%;height:auto}"
)


def level_fit_page(found: LevelFit, source: str) -> str:
    """Return the page as HTML that loads nothing.

    Args:
        found: What was measured.
        source: What it was measured on, in words.
    """
    parts = [
        f"<h1>Level fit</h1><p>{escape(source)}</p>",
        _table("All tickets", {"all": found.all}),
        f"<h2>Resolved by tier</h2>{_shares(found)}",
        _table("By category", found.by_category),
        _table("By resolver group", found.by_group),
    ]
    if len(found.by_month) > 1:
        parts.append(f"<h2>Over time</h2>{_months(found.by_month)}")
    head = f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Level fit</title><style>{STYLE}</style>'
    return f"{head}</head><body>{''.join(parts)}</body></html>\n"


def _table(title: str, fits: Mapping[str, Fit]) -> str:
    if not fits:
        return ""
    names = ("tickets", "right at once", "first line", "too low", "too high", "cost low", "cost high")
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{fit.tickets}</td>"
        + "".join(
            f"<td>{value:.3f}</td>"
            for value in (fit.right, fit.first_line, fit.too_low, fit.too_high, fit.cost_low, fit.cost_high)
        )
        + "</tr>"
        for name, fit in list(fits.items())[:_MOST_ROWS]
    )
    heads = "".join(f"<th>{name}</th>" for name in names)
    return f"<h2>{title}</h2><table><tr><th></th>{heads}</tr>{rows}</table>"


def _shares(found: LevelFit) -> str:
    def draw(axes: Axes) -> None:
        places = range(len(found.resolved))
        axes.bar(places, list(found.resolved.values()), width=0.5, color="#2563a8", label="resolved")
        if found.expected:
            expected = [found.expected.get(tier, 0.0) for tier in found.resolved]
            axes.plot(places, expected, "o", color="#b4441f", label="expected by the policy")
        axes.set_xticks(list(places), list(found.resolved))
        axes.set_ylabel("share of tickets")
        axes.legend(frameon=False)

    return svg(draw, (6.0, 3.0))


def _months(months: Mapping[str, Fit]) -> str:
    def draw(axes: Axes) -> None:
        places = range(len(months))
        axes.plot(places, [fit.right for fit in months.values()], color="#2563a8", label="right at once")
        axes.plot(places, [fit.too_low for fit in months.values()], color="#b4441f", label="too low")
        axes.plot(places, [fit.too_high for fit in months.values()], color="#7a8794", label="too high")
        axes.set_xticks(list(places), list(months), rotation=45, ha="right")
        axes.set_ylim(0, 1)
        axes.legend(frameon=False)

    return svg(draw, (7.0, 3.0))
