"""A search in the terminal."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from softcloze.explanation.spelling import one_line
from softcloze.tuning.effects import Parameter
from softcloze.tuning.rounds import Candidate, Round
from softcloze.tuning.summary import SearchSummary
from softcloze.tuning.wording import cells, chance, notes, round_title, score, share, varying


def search_tables(summary: SearchSummary, top: int) -> Group:
    """What mattered, the best candidates of each round, and what to keep in mind."""
    parts: list[RenderableType] = []
    if summary.parameters:
        parts.append(_parameters(summary))
    names = varying(summary)
    parts += [_round(summary, each, names, top) for each in reversed(summary.rounds)]
    return Group(*parts, *(Text(note) for note in notes(summary)))


def _parameters(summary: SearchSummary) -> Table:
    shown = Table(box=box.SIMPLE_HEAD, title="What mattered", title_justify="left", caption_justify="left")
    shown.caption = Text(chance(summary))
    shown.add_column("parameter", overflow="fold")
    for name in ("share", "value", "mean", "best", "tried"):
        is_text = name == "value"
        shown.add_column(name, justify="left" if is_text else "right", no_wrap=not is_text, overflow="fold")
    for parameter in summary.parameters:
        _add_parameter(shown, parameter)
    return shown


def _add_parameter(shown: Table, parameter: Parameter) -> None:
    for number, level in enumerate(parameter.levels):
        first = (Text(one_line(parameter.name)), share(parameter.share)) if number == 0 else ("", "")
        last = number == len(parameter.levels) - 1
        shown.add_row(
            *first,
            Text(one_line(level.value)),
            score(level.mean),
            score(level.best),
            f"{len(level.scores)}",
            end_section=last,
        )


def _round(summary: SearchSummary, each: Round, names: list[str], top: int) -> Table:
    title = round_title(summary, each)
    shown = Table(box=box.SIMPLE_HEAD, title=Text(title), title_justify="left", caption_justify="left")
    shown.add_column("score", justify="right", no_wrap=True)
    for name in names:
        shown.add_column(Text(one_line(name)), overflow="fold")
    for candidate in each.candidates[:top]:
        shown.add_row(_score(candidate, summary), *(Text(cell) for cell in cells(candidate, names)))
    left = len(each.candidates) - top
    said = [f"{left} more" * (left > 0), f"{each.failed} without a score" * (each.failed > 0)]
    shown.caption = Text(", ".join(filter(None, said)))
    return shown


def _score(candidate: Candidate, summary: SearchSummary) -> Text:
    return Text(score(candidate.mean, candidate.sd), "bold green" if candidate is summary.best else "")
