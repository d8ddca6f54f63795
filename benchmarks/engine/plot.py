"""Ratios by text length, and curves of growth, as one picture."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from benchmarks.engine.case import Record


def draw(records: Sequence[Record], path: Path) -> None:
    """Write an SVG with a panel for each kind of curve that there are records for."""
    curves: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for record in records:
        if record["kind"] in ("training", "scoring"):
            curve, panel = f"{record['model']}, {record['method']}", f"{record['kind']}: times PEFT by tokens of a text"
            # the stricter padding where there are two
            ratio = min(statistics.median(own) for own in record["ratios"].values())
            curves.setdefault(panel, {}).setdefault(curve, []).append((record["tokens"], ratio))
        elif record["kind"] == "growth":
            by, _, place = record["by"].partition(", ")
            for name, value in record["found"].items():
                what, _, unit = name.partition(", ")
                curve = ", ".join(filter(None, [record["model"], place, what]))
                curves.setdefault(f"{unit} by {by}", {}).setdefault(curve, []).append((record["count"], value))
    if not curves:
        return
    columns = 3
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(6 * columns, 4 * rows), layout="constrained")
    for place, (panel, own) in enumerate(curves.items()):
        _panel(figure.add_subplot(rows, columns, place + 1), panel, own)
    FigureCanvasSVG(figure).print_svg(path)


def _panel(axes: Axes, title: str, curves: dict[str, list[tuple[float, float]]]) -> None:
    for name, points in curves.items():
        axes.plot(*zip(*sorted(points), strict=True), marker="o", label=name)
    axes.set(title=title, xscale="log", yscale="log")
    ticks = sorted({count for points in curves.values() for count, _ in points})
    axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks], rotation=30)
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
