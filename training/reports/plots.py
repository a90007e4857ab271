"""Plots of an evaluation, as SVG text: self-contained, the same bytes for the same figures."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.evaluation import metrics
from training.evaluation.record import Outcome

_INK, _LINE, _SOFT, _WARN = "#1d2733", "#2563a8", "#dbe7f3", "#b4441f"
_MOST_LABELS = 24
_LEAST_IN_BIN = 5
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.edgecolor": "#9aa7b4",
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "text.parse_math": False,  # a label may hold a dollar sign
    "svg.fonttype": "path",
    "svg.hashsalt": "triage",
    "figure.facecolor": "white",
}


def confusion_matrix(outcome: Outcome) -> str:
    """Draw how often each true label (row) was named as each label (column), as shares of the row.

    With many labels only those with the most confusion are shown, the others together.
    """
    true, top, labels = _few(outcome)
    place = {label: number for number, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    np.add.at(counts, ([place[label] for label in true.tolist()], [place[label] for label in top.tolist()]), 1)
    rows = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, rows, out=np.zeros(counts.shape), where=rows > 0)
    side = max(3.6, 0.42 * len(labels) + 1.8)

    def draw(axes: Axes) -> None:
        axes.imshow(shares, cmap=_blues(), vmin=0, vmax=1, aspect="equal")
        axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(
            range(len(labels)), [f"{label} ({int(n)})" for label, n in zip(labels, rows[:, 0], strict=True)]
        )
        axes.set_xlabel("named by the model")
        axes.set_ylabel("true (tickets)")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        for row, column in zip(*np.nonzero(counts), strict=True):
            share = shares[row, column]
            colour = "white" if share > 0.55 else _INK
            axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", color=colour, fontsize=8)

    return svg(draw, (side, side - 0.4))


def reliability(outcome: Outcome) -> str:
    """Draw the share of right answers against the confidence stated, with the number of tickets in each bin."""
    bins = metrics.calibration_bins(outcome.correct, outcome.confidence)

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color="#9aa7b4", linewidth=1, linestyle=(0, (4, 3)))
        most = max((row["rows"] for row in bins), default=1)
        sizes = [18 + 260 * row["rows"] / most for row in bins]
        stated, found = [row["confidence"] for row in bins], [row["accuracy"] for row in bins]
        solid = [row for row in bins if row["rows"] >= _LEAST_IN_BIN]
        line = [row["confidence"] for row in solid], [row["accuracy"] for row in solid]
        axes.plot(*line, color=_LINE, linewidth=1.2, alpha=0.5)
        axes.scatter(stated, found, s=sizes, color=_LINE, alpha=0.75, linewidths=0)
        axes.set(xlim=(0, 1.02), ylim=(0, 1.05), xlabel="confidence stated", ylabel="share right")
        gap = metrics.ece(outcome.correct, outcome.confidence)
        axes.text(0.03, 0.97, f"ECE {gap:.3f}\narea: tickets", va="top")

    return svg(draw, (4.2, 3.6))


def risk_coverage(outcome: Outcome, target_risk: float | None = None) -> str:
    """Draw the error rate among the most confident tickets against their share, and where the gate stands."""
    risks = metrics.risk_coverage(outcome.correct, outcome.confidence)
    shares = np.arange(1, len(risks) + 1) / max(1, len(risks))
    kept = float(np.mean(outcome.kept)) if len(outcome.kept) else 0.0
    risk = metrics.selective_risk(outcome.correct, outcome.kept)

    def draw(axes: Axes) -> None:
        axes.plot(shares, risks, color=_LINE, linewidth=1.6)
        if target_risk is not None:
            axes.axhline(target_risk, color=_WARN, linewidth=1, linestyle=(0, (4, 3)))
            axes.text(0.01, target_risk, "asked for", color=_WARN, va="bottom", fontsize=8.5)
        if kept:
            axes.scatter(
                [kept], [risk], color=_INK, zorder=3, s=32, label=f"the gate: {kept:.2f} kept, {risk:.3f} wrong"
            )
            axes.legend(frameon=False, loc="upper left", fontsize=8.5, handletextpad=0.2)
        top = max([*risks.tolist(), target_risk or 0.0, risk, 0.02]) * 1.25
        axes.set(xlim=(0, 1.01), ylim=(0, top), xlabel="share decided by the model", ylabel="share of them wrong")

    return svg(draw, (4.6, 3.6))


def right_wrong_none(table: Sequence[dict[str, Any]]) -> str:
    """Draw the table of tickets right, wrong and undecided over thresholds as stacked bars."""
    names = [f"{row['threshold']:g}" for row in table]
    total = [max(1, row["right"] + row["wrong"] + row["none"]) for row in table]

    def draw(axes: Axes) -> None:
        base = np.zeros(len(table))
        for key, colour in (("right", "#3f7f5f"), ("wrong", _WARN), ("none", "#d6dbe1")):
            share = np.array([row[key] / whole for row, whole in zip(table, total, strict=True)])
            axes.bar(names, share, bottom=base, color=colour, label=key, width=0.78)
            base = base + share
        axes.set(xlabel="threshold of confidence", ylabel="share of tickets", ylim=(0, 1))
        axes.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=8.5)

    return svg(draw, (4.8, 3.6))


def curve(
    points: Sequence[tuple[float, float]], xlabel: str, ylabel: str, others: Sequence[tuple[str, float]] = ()
) -> str:
    """Draw a curve through points, with horizontal lines to compare it with."""

    def draw(axes: Axes) -> None:
        axes.plot([x for x, _ in points], [y for _, y in points], color=_LINE, marker="o", linewidth=1.5, markersize=4)
        for name, value in others:
            axes.axhline(value, color="#9aa7b4", linewidth=1, linestyle=(0, (4, 3)))
            axes.text(points[0][0], value, f" {name}", va="bottom", fontsize=8.5)
        axes.set(xlabel=xlabel, ylabel=ylabel)

    return svg(draw, (4.6, 3.4))


def _few(outcome: Outcome) -> tuple[NDArray[np.object_], NDArray[np.object_], list[str]]:
    labels = sorted({*outcome.true.tolist(), *outcome.top.tolist()})
    if len(labels) <= _MOST_LABELS:
        return outcome.true, outcome.top, labels
    wrong = ~outcome.correct
    weight = {label: int(np.sum(wrong & ((outcome.true == label) | (outcome.top == label)))) for label in labels}
    shown = sorted(sorted(labels, key=lambda label: -weight[label])[: _MOST_LABELS - 1])
    other = f"{len(labels) - len(shown)} others"
    keep = set(shown)

    def folded(values: NDArray[np.object_]) -> NDArray[np.object_]:
        return np.array([value if value in keep else other for value in values], dtype=np.object_)

    return folded(outcome.true), folded(outcome.top), [*shown, other]


def _blues() -> Colormap:
    return LinearSegmentedColormap.from_list("triage", ["#ffffff", _SOFT, "#7fa8d1", _LINE, "#123e6b"])


def svg(draw: Callable[[Axes], None], size: tuple[float, float]) -> str:
    """Draw on fresh axes and return the SVG element, without the XML header and the date."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    return text[text.index("<svg") :]
