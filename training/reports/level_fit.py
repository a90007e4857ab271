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


def level_fit_page(found: LevelFit, source: str, warning: str = "") -> str:
    """Return the page as HTML that loads nothing.

    Args:
        found: What was measured.
        source: What it was measured on, in words.
        warning: What has to be known of these tickets; empty for nothing.
    """
    parts = [
        f"<h1>Level fit</h1><p>{escape(source)}</p>",
        f"<p><strong>{escape(warning)}</strong></p>" if warning else "",
        _table("All tickets", {"all": found.all}),
        f"<h2>Resolved by tier</h2>{_shares(found)}",
        _table("By category", found.by_category),
        _table("By resolver group", found.by_group),
    ]
    if len(found.by_month) > 1:
        parts.append(f"<h2>Over time</h2>{_months(found.by_month)}{_table('By month', found.by_month)}")
        for title, months in (("category", found.months_by_category), ("resolver group", found.months_by_group)):
            if months:
                parts.append(f"<h2>Right at once over time, by {title}</h2>{_lines(months)}")
    head = f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Level fit</title><style>{STYLE}</style>'
    return f"{head}</head><body>{''.join(parts)}</body></html>\n"


def _table(title: str, fits: Mapping[str, Fit]) -> str:
    if not fits:
        return ""
    names = ["tickets", "right at once", "first line", "too low", "too high", "cost low", "cost high"]
    if any(fit.bounces is not None for fit in fits.values()):
        names += ["bounces", "cost of bounces"]
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{fit.tickets}</td>"
        + "".join(f"<td>{_cell(value)}</td>" for value in _values(fit)[: len(names) - 1])
        + "</tr>"
        for name, fit in list(fits.items())[:_MOST_ROWS]
    )
    heads = "".join(f"<th>{name}</th>" for name in names)
    return f"<h2>{title}</h2><table><tr><th></th>{heads}</tr>{rows}</table>"


def _values(fit: Fit) -> tuple[float | None, ...]:
    rates = (fit.right, fit.first_line, fit.too_low, fit.too_high)
    return (*rates, fit.cost_low, fit.cost_high, fit.bounces, fit.cost_bounces)


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _shares(found: LevelFit) -> str:
    def draw(axes: Axes) -> None:
        places = range(len(found.resolved))
        axes.bar(places, list(found.resolved.values()), width=0.5, color="#2563a8", label="resolved")
        axes.plot(places, list(found.sent.values()), "_", markersize=22, color="#1d2733", label="sent")
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


def _lines(parts: Mapping[str, Mapping[str, Fit]]) -> str:
    months = sorted({month for of in parts.values() for month in of})
    colours = ("#2563a8", "#b4441f", "#3f7f5f", "#7a8794", "#8a5fa8", "#c79a2b")

    def draw(axes: Axes) -> None:
        for (name, of), colour in zip(parts.items(), colours, strict=False):
            there = [place for place, month in enumerate(months) if month in of]
            axes.plot(there, [of[months[place]].right for place in there], color=colour, marker=".", label=name)
        axes.set_xticks(range(len(months)), months, rotation=45, ha="right")
        axes.set_ylim(0, 1)
        axes.legend(frameon=False, ncols=2, fontsize=8)

    return svg(draw, (7.0, 3.4))
