"""The plots of a report: quality over training rows, accuracy against cost, how far the best is ahead."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from softcloze.formatting import NONE, percent, quantity
from softcloze.report.numbers import MINUS, points, power_of_ten
from softcloze.report.svg import FAINT, GROUND, INK, MARKERS, Drawing, method_colour

_ROW = 19  # height of a line of a legend
_NAME_CELLS = 40  # that fit beside the marker
_PLOT_HEIGHT = 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 42, 12, 24, 44  # room around a plot


@dataclass(frozen=True, slots=True)
class Point:
    """What a method reached with so many training rows.

    Attributes:
        x: where it stands: which number of training rows it is, or what it cost.
        mean: of accuracy or whatever it is that is plotted.
        each: of each run.
    """

    x: float
    mean: float
    each: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Series:
    """The points of one method.

    Attributes:
        number: which method of the comparison it is; gives the colour and the marker.
        method: its name.
        points: in the order of training rows.
    """

    number: int
    method: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Measure:
    """What is plotted upwards.

    Attributes:
        label: its name and unit.
        write: a number of it for people.
    """

    label: str
    write: Callable[[float], str]


ACCURACY = Measure("accuracy, %", lambda share: f"{100 * share:.3g}")
LOG_LOSS = Measure("log loss, nats", lambda loss: f"{loss:.3g}")


@dataclass(frozen=True, slots=True)
class Interval:
    """How far a method is ahead of another, on the same rows.

    Attributes:
        other: the method that is behind, or may be ahead.
        mean: of the difference.
        low: where the interval begins.
        high: where it ends.
        clear: whether it is more than luck.
    """

    other: str
    mean: float
    low: float
    high: float
    clear: bool


def learning_curves(name: str, title: str, measure: Measure, series: Sequence[Series], shots: Sequence[str]) -> Markup:
    """Quality over training rows: a line through the means, a dot for each run.

    Args:
        name: of the drawing.
        title: what the plot shows.
        measure: what quality is.
        series: each `x` is an index in `shots`.
        shots: the numbers of training rows, as `shots_name` writes them.
    """
    drawing, axes = _plot(name, measure, series)
    for each in series:
        colour, marker = _look(each)
        beside = 0.09 + 0.035 * (each.number % 4)  # dots of methods that are alike stand side by side
        for point in each.points:
            if len(point.each) > 1:
                axes.plot([point.x + beside] * len(point.each), point.each, "o", color=colour, alpha=0.6, ms=3, mew=0)
        xs, means = [point.x for point in each.points], [point.mean for point in each.points]
        if xs == [0] and shots[0] == NONE:  # it learns nothing, so that it stands where it is
            axes.axhline(means[0], color=colour, lw=1, ls=(0, (2, 3)))
        axes.plot(xs, means, color=colour, marker=marker, ms=6.5, mec=GROUND, mew=0.75, lw=1.6)
    axes.set_xlim(-0.3, len(shots) - 0.7)
    axes.set_xticks(range(len(shots)), labels=[drawing.stand_in(label, 12) for label in shots])
    axes.set_xlabel("training rows per class")
    said = "; ".join(
        f"{each.method}: " + ", ".join(f"{measure.write(point.mean)} at {shots[int(point.x)]}" for point in each.points)
        for each in series
    )
    return drawing.svg(title, f"Mean {measure.label} of each method. {said}.")


def cost(name: str, title: str, series: Sequence[Series], label: str) -> Markup:
    """Accuracy against what it cost, on a scale of powers of ten that has a place for nothing at all.

    Args:
        name: of the drawing.
        title: what the plot shows.
        series: `x` is the cost, at least 0.
        label: what the cost is, with its unit.
    """
    drawing, axes = _plot(name, ACCURACY, series)
    costs = [point.x for each in series for point in each.points]
    place, ticks = _powers(costs)
    for each in series:
        colour, marker = _look(each)
        xs, means = [place(point.x) for point in each.points], [point.mean for point in each.points]
        axes.plot(xs, means, color=colour, lw=1, alpha=0.5)
        sizes = [5.0 + 4.0 * i / max(len(xs) - 1, 1) for i in range(len(xs))] if len(xs) > 1 else [7.5]
        for x, mean, size in zip(xs, means, sizes, strict=True):
            axes.plot([x], [mean], color=colour, marker=marker, ms=size, mec=GROUND, mew=0.75, ls="")
    axes.set_xlim(min(ticks) - 0.25, max(ticks) + 0.25)
    axes.set_xticks(list(ticks), labels=list(ticks.values()))
    axes.set_xlabel(label)
    said = "; ".join(
        f"{each.method}: " + ", ".join(f"{percent(point.mean)} for {quantity(point.x)}" for point in each.points)
        for each in series
    )
    return drawing.svg(title, f"Mean accuracy of each method against {label}. {said}.")


def forest(name: str, title: str, intervals: Sequence[Interval]) -> Markup:
    """How far one method is ahead of each of the others, with intervals, one below the other."""
    row, top, bottom = 40, 4, 46
    drawing = Drawing(name, top + row * len(intervals) + bottom)
    axes = drawing.axes(0, top, 0, bottom)
    axes.set_ylim(len(intervals), 0)
    for i, each in enumerate(intervals):
        y = i + 0.72
        axes.plot([0, 0], [i + 0.56, i + 0.9], color=FAINT, lw=1)
        axes.plot([100 * each.low, 100 * each.high], [y, y], color=INK, lw=1.4, marker="|", ms=7, mew=1.4)
        axes.plot([100 * each.mean], [y], color=INK, marker="o", ms=7, mfc=INK if each.clear else GROUND, mew=1.4)
        baseline = top + row * i + 18
        drawing.text(0, baseline, drawing.stand_in(each.other, 44))
        weight = "bold" if each.clear else "normal"
        drawing.text(Drawing.WIDTH, baseline, points(each.mean), ha="right", weight=weight)
    low, high = min(0, *(each.low for each in intervals)), max(0, *(each.high for each in intervals))
    room = 0.04 * (high - low) or 0.01
    axes.set_xlim(100 * (low - room), 100 * (high + room))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+g}".replace("-", MINUS) if value else "0"))
    axes.set_yticks([])
    axes.set_xlabel("lead in accuracy, percentage points")
    said = "; ".join(
        f"{each.other}: {points(each.mean)}, from {points(each.low)} to {points(each.high)}" for each in intervals
    )
    return drawing.svg(title, f"Mean lead with its 95% interval, in percentage points, over {said}.")


def _plot(name: str, measure: Measure, series: Sequence[Series]) -> tuple[Drawing, Axes]:
    """A plot with a legend below, one line for each method."""
    drawing = Drawing(name, _PLOT_HEIGHT + _ROW * len(series))
    axes = drawing.axes(_LEFT, _TOP, _RIGHT, _BOTTOM + _ROW * len(series))
    axes.grid(axis="y")
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: measure.write(value)))
    axes.margins(y=0.08)
    drawing.text(0, 12, measure.label, color=FAINT)
    legend = drawing.axes(0, _PLOT_HEIGHT, 0, 0)
    legend.set_axis_off()
    legend.set(xlim=(0, Drawing.WIDTH), ylim=(_ROW * len(series), 0))
    for i, each in enumerate(series):
        colour, marker = _look(each)
        y = _ROW * (i + 0.5)
        legend.plot([_LEFT, _LEFT + 22], [y, y], color=colour, lw=1.6)
        legend.plot([_LEFT + 11], [y], color=colour, marker=marker, ms=6.5)
        legend.text(_LEFT + 30, y, drawing.stand_in(each.method, _NAME_CELLS), va="center_baseline")
    return drawing, axes


def _look(series: Series) -> tuple[str, str]:
    return method_colour(series.number), MARKERS[series.number % len(MARKERS)]


def _powers(costs: Sequence[float]) -> tuple[Callable[[float], float], dict[float, str]]:
    """Where a cost stands on the axis, and the ticks; nothing at all stands left of the smallest power of ten."""
    positive = [cost for cost in costs if cost > 0]
    low = math.floor(math.log10(min(positive))) if positive else 1
    high = max(math.ceil(math.log10(max(positive))), low + 1) if positive else 0
    step = 1 + (high - low) // 6
    ticks = {float(power): power_of_ten(power) for power in range(low, high + 1, step)}
    if len(positive) < len(costs):
        ticks = {low - 1.0: "0"} | ticks
    return lambda cost: math.log10(cost) if cost > 0 else low - 1.0, ticks
