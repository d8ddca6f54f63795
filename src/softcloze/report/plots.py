"""The plots of reports on comparisons, searches and evaluations."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from softcloze.calibration.metrics import ConfidenceBin
from softcloze.experiments import Difference
from softcloze.formatting import NONE, counted, mean_sd, percent, quantity
from softcloze.report.numbers import MINUS, points, power_of_ten
from softcloze.report.svg import FAINT, GROUND, INK, MARKERS, Drawing, method_colour
from softcloze.report.verdict import is_clear
from softcloze.search import Parameter

_ROW = 19  # height of a legend line
_NAME_CELLS = 40  # width of a name beside its marker
_PLOT_HEIGHT = 230
_LIST_ROW, _LIST_TOP, _LIST_BOTTOM = 40, 4, 46  # of a plot with a row for each name
_LIST_CELLS = 44  # width of a name beside its number
_LEFT, _RIGHT, _TOP, _BOTTOM = 42, 12, 24, 44  # margins of a plot


@dataclass(frozen=True, slots=True)
class Point:
    """The result of a method with one number of training examples; `values` are of its runs."""

    x: float  # index of the number of training examples, or the cost
    mean: float
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Series:
    """The points of one method, in the order of training examples."""

    index: int  # of the method in the comparison: determines colour and marker
    method: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Measure:
    """The metric on the vertical axis, and the format of its values."""

    label: str  # name and unit
    text: Callable[[float], str]


ACCURACY = Measure("accuracy, %", lambda share: f"{100 * share:.3g}")
LOG_LOSS = Measure("log loss, nats", lambda loss: f"{loss:.3g}")


def learning_curves(name: str, title: str, measure: Measure, series: Sequence[Series], shots: Sequence[str]) -> Markup:
    """Plot a metric over training examples: a line through the means, a dot for each run.

    Args:
        name: of the drawing.
        title: of the plot.
        measure: the metric.
        series: with indices into `shots` as `x`.
        shots: the numbers of training examples, formatted by `shots_name`.
    """
    drawing, axes = _plot(name, measure, series)
    for line in series:
        colour, marker = _colour_and_marker(line)
        offset = 0.09 + 0.035 * (line.index % 4)  # dots of similar methods do not overlap
        for point in line.points:
            if len(point.values) > 1:
                xs = [point.x + offset] * len(point.values)
                axes.plot(xs, point.values, "o", color=colour, alpha=0.6, ms=3, mew=0)
        xs, means = [point.x for point in line.points], [point.mean for point in line.points]
        if xs == [0] and shots[0] == NONE:  # a method without training: the same at every number of examples
            axes.axhline(means[0], color=colour, lw=1, ls=(0, (2, 3)))
        axes.plot(xs, means, color=colour, marker=marker, ms=6.5, mec=GROUND, mew=0.75, lw=1.6)
    axes.set_xlim(-0.3, len(shots) - 0.7)
    axes.set_xticks(range(len(shots)), labels=[drawing.placeholder(label, 12) for label in shots])
    axes.set_xlabel("training examples per class")
    values = "; ".join(
        f"{line.method}: " + ", ".join(f"{measure.text(point.mean)} at {shots[int(point.x)]}" for point in line.points)
        for line in series
    )
    return drawing.svg(title, f"Mean {measure.label} of each method. {values}.")


def cost(name: str, title: str, series: Sequence[Series], label: str) -> Markup:
    """Plot accuracy against cost, with its name and unit as `label`, on a logarithmic scale with a position for 0."""
    drawing, axes = _plot(name, ACCURACY, series)
    costs = [point.x for line in series for point in line.points]
    position, ticks = _log_scale(costs)
    for line in series:
        colour, marker = _colour_and_marker(line)
        xs, means = [position(point.x) for point in line.points], [point.mean for point in line.points]
        axes.plot(xs, means, color=colour, lw=1, alpha=0.5)
        sizes = [5.0 + 4.0 * i / max(len(xs) - 1, 1) for i in range(len(xs))] if len(xs) > 1 else [7.5]
        for x, mean, size in zip(xs, means, sizes, strict=True):
            axes.plot([x], [mean], color=colour, marker=marker, ms=size, mec=GROUND, mew=0.75, ls="")
    axes.set_xlim(min(ticks) - 0.25, max(ticks) + 0.25)
    axes.set_xticks(list(ticks), labels=list(ticks.values()))
    axes.set_xlabel(label)
    values = "; ".join(
        f"{line.method}: " + ", ".join(f"{percent(point.mean)} for {quantity(point.x)}" for point in line.points)
        for line in series
    )
    return drawing.svg(title, f"Mean accuracy of each method against {label}. {values}.")


def forest(name: str, title: str, leads: Sequence[Difference]) -> Markup:
    """Plot the lead of one method over each of the others, with intervals."""
    limits = 100 * min(0, *(lead.low for lead in leads)), 100 * max(0, *(lead.high for lead in leads))
    drawing, axes = _list_plot(name, len(leads), limits, "lead in accuracy, percentage points", margin=1)
    for i, lead in enumerate(leads):
        y, baseline = i + 0.72, _LIST_TOP + _LIST_ROW * i + 18
        axes.plot([0, 0], [i + 0.56, i + 0.9], color=FAINT, lw=1)
        axes.plot([100 * lead.low, 100 * lead.high], [y, y], color=INK, lw=1.4, marker="|", ms=7, mew=1.4)
        axes.plot([100 * lead.mean], [y], color=INK, marker="o", ms=7, mfc=INK if is_clear(lead) else GROUND, mew=1.4)
        drawing.text(0, baseline, drawing.placeholder(lead.other, _LIST_CELLS))
        weight = "bold" if is_clear(lead) else "normal"
        drawing.text(Drawing.WIDTH, baseline, points(lead.mean), ha="right", weight=weight)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+g}".replace("-", MINUS) if value else "0"))
    values = "; ".join(
        f"{lead.other}: {points(lead.mean)}, from {points(lead.low)} to {points(lead.high)}" for lead in leads
    )
    return drawing.svg(title, f"Mean lead with its 95% interval, in percentage points, over {values}.")


def scores_by_value(name: str, parameter: Parameter, limits: tuple[float, float]) -> Markup:
    """Plot a row for each value: a small dot for the score of each candidate, a diamond for their mean.

    All plots of a page have one scale: `limits` are the lowest and the highest score of all candidates.
    """
    drawing, axes = _list_plot(name, len(parameter.levels), limits, "score", margin=0.01, inset=8)
    for row, level in enumerate(parameter.levels):
        y, baseline = row + 0.72, _LIST_TOP + _LIST_ROW * row + 18
        axes.plot(limits, [y, y], color=FAINT, lw=0.5, zorder=0)
        axes.plot(level.scores, [y] * len(level.scores), "o", color=method_colour(0), alpha=0.5, ms=4, mew=0)
        axes.plot([level.mean], [y], "D", color=INK, ms=6.5, mec=GROUND, mew=0.75)
        drawing.text(0, baseline, drawing.placeholder(level.value, _LIST_CELLS))
        drawing.text(Drawing.WIDTH, baseline, mean_sd(level.mean), ha="right")
    values = "; ".join(
        f"{level.value}: mean {mean_sd(level.mean)}, best {mean_sd(level.best)}" for level in parameter.levels
    )
    return drawing.svg(parameter.name, f"Scores by value. {values}.")


def reliability_curve(name: str, title: str, bins: Sequence[ConfidenceBin]) -> Markup:
    """Plot accuracy over confidence: a marker for each bin, and the diagonal on which the two are equal.

    Source: Niculescu-Mizil and Caruana, ICML 2005, with bins of the predicted label's probability as in Guo et al.,
    ICML 2017, arXiv:1706.04599, figure 1.
    """
    line = Series(0, "rows of similar confidence", tuple(Point(part.confidence, part.accuracy, ()) for part in bins))
    drawing, axes = _plot(name, ACCURACY, [line])
    colour, marker = _colour_and_marker(line)
    axes.plot([0, 1], [0, 1], color=FAINT, lw=1, ls=(0, (2, 3)))
    axes.plot([point.x for point in line.points], [point.mean for point in line.points], color=colour, lw=1.6)
    rows = sum(part.rows for part in bins)
    for part in bins:
        size = 4 + 8 * (part.rows / rows) ** 0.5
        axes.plot([part.confidence], [part.accuracy], color=colour, marker=marker, ms=size, mec=GROUND, mew=0.75)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.05, 1.05), xlabel="confidence, %")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: ACCURACY.text(value)))
    values = "; ".join(
        f"{percent(part.accuracy)} at {percent(part.confidence)}, {counted(part.rows, 'row')}" for part in bins
    )
    return drawing.svg(title, f"Accuracy by mean confidence. {values}.")


def loss_curve(name: str, title: str, losses: Mapping[str, Sequence[float]]) -> Markup:
    """Plot losses, in nats, over the epochs of a training: a line for each name."""
    series = [
        Series(index, label, tuple(Point(epoch, loss, ()) for epoch, loss in enumerate(values, 1)))
        for index, (label, values) in enumerate(losses.items())
    ]
    drawing, axes = _plot(name, LOG_LOSS, series)
    for line in series:
        colour, marker = _colour_and_marker(line)
        xs, ys = [point.x for point in line.points], [point.mean for point in line.points]
        axes.plot(xs, ys, color=colour, marker=marker, ms=5, mec=GROUND, mew=0.75, lw=1.6)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel("epoch")
    values = "; ".join(
        f"{line.method}: {LOG_LOSS.text(line.points[0].mean)} in the first epoch, "
        f"{LOG_LOSS.text(line.points[-1].mean)} in the last of {len(line.points)}"
        for line in series
    )
    return drawing.svg(title, f"Loss by epoch. {values}.")


def accuracy_by_texts(
    name: str,
    title: str,
    points: Sequence[tuple[int, float, float]],
    interval: tuple[float, float] | None,
) -> Markup:
    """Plot balanced accuracy over the number of labelled texts, on a logarithmic scale.

    Args:
        name: of the drawing.
        title: of the plot.
        points: number of texts, mean and standard deviation.
        interval: of the last value, as a band; None for none.
    """
    line = Series(0, "cross-validation", tuple(Point(texts, mean, ()) for texts, mean, _ in points))
    measure = Measure("balanced accuracy, %", ACCURACY.text)
    drawing, axes = _plot(name, measure, [line])
    colour, marker = _colour_and_marker(line)
    counts, means, spreads = zip(*points, strict=True)
    positions = [math.log2(count) for count in counts]
    if interval is not None:
        axes.axhspan(*interval, color=FAINT, alpha=0.15, lw=0)
    axes.errorbar(positions, means, yerr=spreads, color=colour, marker=marker, ms=6.5, mec=GROUND, mew=0.75, lw=1.6)
    axes.set_xticks(positions, labels=[f"{count:,}" for count in counts])
    axes.set_xlabel("labelled texts")
    values = ", ".join(f"{measure.text(mean)} with {count:,} texts" for count, mean in zip(counts, means, strict=True))
    return drawing.svg(title, f"{measure.label} by cross-validation: {values}.")


def _list_plot(
    name: str, rows: int, limits: tuple[float, float], label: str, margin: float, inset: float = 0
) -> tuple[Drawing, Axes]:
    """Make an empty plot with a row for each name; `margin` is left beside limits that are equal."""
    drawing = Drawing(name, _LIST_TOP + _LIST_ROW * rows + _LIST_BOTTOM)
    axes = drawing.axes(inset, _LIST_TOP, inset, _LIST_BOTTOM)
    margin = 0.04 * (limits[1] - limits[0]) or margin
    axes.set(ylim=(rows, 0), xlim=(limits[0] - margin, limits[1] + margin), yticks=[], xlabel=label)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    return drawing, axes


def _plot(name: str, measure: Measure, series: Sequence[Series]) -> tuple[Drawing, Axes]:
    """Make an empty plot with a legend below it, one line for each method."""
    drawing = Drawing(name, _PLOT_HEIGHT + _ROW * len(series))
    axes = drawing.axes(_LEFT, _TOP, _RIGHT, _BOTTOM + _ROW * len(series))
    axes.grid(axis="y")
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: measure.text(value)))
    axes.margins(y=0.08)
    drawing.text(0, 12, measure.label, color=FAINT)
    legend = drawing.axes(0, _PLOT_HEIGHT, 0, 0)
    legend.set_axis_off()
    legend.set(xlim=(0, Drawing.WIDTH), ylim=(_ROW * len(series), 0))
    for i, line in enumerate(series):
        colour, marker = _colour_and_marker(line)
        y = _ROW * (i + 0.5)
        legend.plot([_LEFT, _LEFT + 22], [y, y], color=colour, lw=1.6)
        legend.plot([_LEFT + 11], [y], color=colour, marker=marker, ms=6.5)
        legend.text(_LEFT + 30, y, drawing.placeholder(line.method, _NAME_CELLS), va="center_baseline")
    return drawing, axes


def _colour_and_marker(series: Series) -> tuple[str, str]:
    return method_colour(series.index), MARKERS[series.index % len(MARKERS)]


def _log_scale(costs: Sequence[float]) -> tuple[Callable[[float], float], dict[float, str]]:
    """The position of a cost on the axis, and the ticks; 0 is left of the smallest power of ten."""
    positive = [cost for cost in costs if cost > 0]
    low = math.floor(math.log10(min(positive))) if positive else 1
    high = max(math.ceil(math.log10(max(positive))), low + 1) if positive else 0
    step = 1 + (high - low) // 6
    ticks = {float(power): power_of_ten(power) for power in range(low, high + 1, step)}
    if len(positive) < len(costs):
        ticks = {low - 1.0: "0"} | ticks
    return lambda cost: math.log10(cost) if cost > 0 else low - 1.0, ticks
