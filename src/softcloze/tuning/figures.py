"""The plot of a parameter: the scores of candidates with each of its values."""

from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from softcloze.report.svg import FAINT, GROUND, INK, Drawing, method_colour
from softcloze.tuning.effects import Parameter
from softcloze.tuning.wording import score

_ROW, _TOP, _BOTTOM = 40, 4, 46
_CELLS = 44  # of a value's name that fit beside its mean


def effect(name: str, parameter: Parameter, limits: tuple[float, float]) -> Markup:
    """A row for each value: a small dot for every candidate that has it, and a large one for its mean.

    Args:
        name: of the drawing.
        parameter: what is drawn.
        limits: the lowest and the highest score of all candidates, so that all plots of a page have one scale.
    """
    drawing = Drawing(name, _TOP + _ROW * len(parameter.levels) + _BOTTOM)
    axes = drawing.axes(8, _TOP, 8, _BOTTOM)
    axes.set_ylim(len(parameter.levels), 0)
    for row, level in enumerate(parameter.levels):
        y, baseline = row + 0.72, _TOP + _ROW * row + 18
        axes.plot(limits, [y, y], color=FAINT, lw=0.5, zorder=0)
        axes.plot(level.scores, [y] * len(level.scores), "o", color=method_colour(0), alpha=0.5, ms=4, mew=0)
        axes.plot([level.mean], [y], "D", color=INK, ms=6.5, mec=GROUND, mew=0.75)
        drawing.text(0, baseline, drawing.stand_in(level.value, _CELLS))
        drawing.text(Drawing.WIDTH, baseline, score(level.mean), ha="right")
    room = 0.04 * (limits[1] - limits[0]) or 0.01
    axes.set_xlim(limits[0] - room, limits[1] + room)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_yticks([])
    axes.set_xlabel("score")
    said = "; ".join(f"{each.value}: mean {score(each.mean)}, best {score(each.best)}" for each in parameter.levels)
    return drawing.svg(parameter.name, f"Scores by value. {said}.")
