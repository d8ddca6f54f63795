"""The page of a search over prompts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from softcloze.formatting import one_line
from softcloze.report.html import Plot, check_installed, render, write_page
from softcloze.report.svg import FAINT, GROUND, INK, Drawing, method_colour
from softcloze.search import Candidate, Parameter, Round, SearchSummary
from softcloze.search.table import cells, chance, notes, round_title, score, share, varying


@dataclass(frozen=True, slots=True)
class Row:
    """A candidate: its score, and the parameters that vary."""

    score: str
    cells: Sequence[str]
    is_winner: bool


@dataclass(frozen=True, slots=True)
class Group:
    """The candidates of a round."""

    title: str
    rows: Sequence[Row]
    failed: int


@dataclass(frozen=True, slots=True)
class View:
    """Everything on the page, in its order; text is as users wrote it, `Markup` is ours."""

    facts: Mapping[str, str]
    verdicts: Sequence[str]
    shares: Sequence[tuple[str, str]]
    chance: str
    plots: Sequence[Plot]
    columns: Sequence[str]
    groups: Sequence[Group]


def write_search_report(summary: SearchSummary, path: str | Path) -> Path:
    """Write a search as one HTML file, which refers to nothing outside and has no script.

    Raises:
        ReportError: matplotlib is not installed, or the file cannot be written.
    """
    check_installed()
    return write_page(search_page(summary), path)


def search_page(summary: SearchSummary) -> str:
    """The page; all text of users in it is escaped, and what cannot be seen in it is made visible."""
    source = files("softcloze.report").joinpath("search_page.html").read_text(encoding="utf-8")
    return render(source, report=_view(summary))


def _view(summary: SearchSummary) -> View:
    names = varying(summary)
    return View(
        facts=_facts(summary),
        verdicts=[_verdict(summary, names), *notes(summary)],
        shares=[(each.name, share(each.share)) for each in summary.parameters],
        chance=chance(summary),
        plots=_plots(summary),
        columns=names,
        groups=[_group(summary, each, names) for each in reversed(summary.rounds)],
    )


def _facts(summary: SearchSummary) -> dict[str, str]:
    first = summary.rounds[0]
    facts = {"candidates": f"{len(first.candidates) + first.failed:,}"}
    if len(summary.rounds) > 1:
        facts["rounds"] = f"{len(summary.rounds)}"
    if summary.best.folds:
        facts["folds"] = f"{len(summary.best.folds)}"
    facts["the winner's score"] = score(summary.best.mean, summary.best.sd)
    if summary.held_out is not None:
        facts["on held-out rows"] = score(summary.held_out)
    return facts


def _verdict(summary: SearchSummary, names: list[str]) -> Markup:
    chosen = Markup(", ").join(
        Markup("{} <b>{}</b>").format(one_line(name), cell)
        for name, cell in zip(names, cells(summary.best, names), strict=True)
    )
    said = Markup("The winner has {}.").format(chosen)
    if not summary.parameters:
        return said
    first = summary.parameters[0]
    return said + Markup(" Of what differs between scores, <strong>{}</strong> explains most by itself: {}.").format(
        one_line(first.name), share(first.share)
    )


def _plots(summary: SearchSummary) -> list[Plot]:
    from softcloze.report.svg import quiet_style

    scores = [each.mean for each in summary.rounds[0].candidates]
    with quiet_style():
        return [
            Plot(
                one_line(each.name),
                f"Explains {share(each.share)} of the variance by itself.",
                effect(f"effect{number}", each, (min(scores), max(scores))),
            )
            for number, each in enumerate(summary.parameters)
        ]


def _group(summary: SearchSummary, each: Round, names: list[str]) -> Group:
    rows = [_row(candidate, summary, names) for candidate in each.candidates]
    return Group(round_title(summary, each), rows, each.failed)


def _row(candidate: Candidate, summary: SearchSummary, names: list[str]) -> Row:
    return Row(score(candidate.mean, candidate.sd), cells(candidate, names), candidate is summary.best)


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
