"""The page on a simulated desk: arms beside each other, with intervals, and what each is against the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from matplotlib.axes import Axes

from training.reports.level_fit import STYLE
from training.reports.plots import svg
from training.simulation.compare import FIGURES, Interval, Simulated

_COLOURS = ("#2563a8", "#b4441f", "#3f7f5f", "#7a8794", "#8a5fa8")
_DRAWN = ("saved_h_per_100", "misrouted", "first_wait_min", "resolved_h")


def simulation_page(found: Simulated, source: str, assumed: Sequence[str]) -> str:
    """Return the page as HTML that loads nothing.

    Args:
        found: What was simulated.
        source: On what, in words.
        assumed: What is assumed, one sentence each.
    """
    against = []
    if found.against:
        first = escape(next(iter(found.arms)))
        against = [f"<h2>Against {first}</h2><p>Paired differences on the same tickets.</p>", _table(found.against)]
    parts = [
        f"<h1>Helpdesk simulation</h1><p>{escape(source)}</p>",
        f"<ul>{''.join(f'<li>{escape(one)}</li>' for one in assumed)}</ul>",
        *(f"<p><strong>{escape(one)}</strong></p>" for one in found.overruns),
        "<h2>Arms</h2><p>Means over replications with 95 % intervals.</p>",
        _table(found.arms),
        *against,
        *(f"<h3>{escape(FIGURES[name])}</h3>{_bars(name, found.arms)}" for name in _DRAWN),
        f"<h2>Hours of work by tier, per 100 tickets</h2>{_tiers(found)}{_by_tier(found)}",
    ]
    head = '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Helpdesk simulation</title>'
    return f"{head}<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n"


def _table(arms: Mapping[str, Mapping[str, Interval]]) -> str:
    heads = "".join(f"<th>{escape(name)}</th>" for name in arms)
    rows = "".join(
        f"<tr><td>{escape(text)}</td>"
        + "".join(f"<td>{cell(figures.get(name))}</td>" for figures in arms.values())
        + "</tr>"
        for name, text in FIGURES.items()
    )
    return f"<table><tr><th></th>{heads}</tr>{rows}</table>"


def cell(value: Interval | None) -> str:
    """Return a mean with its interval, as people read it; a dash where there is none.

    Example:
        >>> cell(Interval(12.34, 12.0, 12.7)), cell(Interval(0.0123, 0.01, 0.015))
        ('12.3 (12.0 to 12.7)', '0.012 (0.010 to 0.015)')
    """
    if value is None:
        return "–"
    digits = 1 if max(abs(value.low), abs(value.high)) >= 3 else 3
    return f"{value.mean:.{digits}f} ({value.low:.{digits}f} to {value.high:.{digits}f})"


def _bars(name: str, arms: Mapping[str, Mapping[str, Interval]]) -> str:
    measured = {arm: figures for arm, figures in arms.items() if name in figures}
    if not measured:
        return "<p>No arm has it.</p>"

    def draw(axes: Axes) -> None:
        values = [figures[name] for figures in measured.values()]
        places = list(range(len(values)))
        errors = [[one.mean - one.low for one in values], [one.high - one.mean for one in values]]
        axes.barh(places, [one.mean for one in values], xerr=errors, color=_COLOURS[0], ecolor="#1d2733", height=0.6)
        axes.set_yticks(places, list(measured))
        axes.invert_yaxis()

    return svg(draw, (6.5, 0.8 + 0.4 * len(measured)))


def _by_tier(found: Simulated) -> str:
    def draw(axes: Axes) -> None:
        places = list(range(len(found.work_h)))
        tiers = list(dict.fromkeys(tier for work in found.work_h.values() for tier in work))
        base = [0.0] * len(places)
        for number, tier in enumerate(tiers):
            hours = [work.get(tier, 0.0) for work in found.work_h.values()]
            axes.barh(places, hours, left=base, color=_COLOURS[number % len(_COLOURS)], label=tier, height=0.6)
            base = [low + more for low, more in zip(base, hours, strict=True)]
        axes.set_yticks(places, list(found.work_h))
        axes.invert_yaxis()
        axes.set_xlabel("hours of work per 100 tickets")
        axes.legend(frameon=False, ncols=len(tiers), loc="lower center", bbox_to_anchor=(0.5, 1.0))

    return svg(draw, (6.5, 1.4 + 0.4 * len(found.work_h)))


def _tiers(found: Simulated) -> str:
    tiers = list(dict.fromkeys(tier for work in found.work_h.values() for tier in work))
    heads = "".join(f"<th>{escape(tier)}</th>" for tier in tiers)
    rows = "".join(
        f"<tr><td>{escape(arm)}</td>"
        + "".join(f"<td>{work.get(t, 0.0):.1f} h, {found.staff[arm].get(t, 0)} people</td>" for t in tiers)
        + "</tr>"
        for arm, work in found.work_h.items()
    )
    return f"<table><tr><th></th>{heads}</tr>{rows}</table>"
