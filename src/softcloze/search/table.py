"""Tables and notes of a search for the terminal."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from softcloze.formatting import mean_sd, one_line, percent
from softcloze.search.factors import NOT_APPLICABLE, format_value
from softcloze.search.importance import Parameter
from softcloze.search.results import Candidate, Round
from softcloze.search.summary import SearchSummary


def search_tables(summary: SearchSummary, top: int) -> Group:
    """The importance of the parameters, the best candidates of each round, and notes on how to read them."""
    parts: list[RenderableType] = []
    if summary.parameters:
        parts.append(_parameters(summary))
    names = varying_parameters(summary)
    parts += [_candidates(summary, round_, names, top) for round_ in reversed(summary.rounds)]
    return Group(*parts, *(Text(note) for note in notes(summary)))


def _parameters(summary: SearchSummary) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title="Parameter importance", title_justify="left", caption_justify="left")
    table.caption = Text(share_note(summary))
    table.add_column("parameter", overflow="fold")
    for name in ("share", "value", "mean", "best", "tried"):
        is_text = name == "value"
        table.add_column(name, justify="left" if is_text else "right", no_wrap=not is_text, overflow="fold")
    for parameter in summary.parameters:
        _add_parameter(table, parameter)
    return table


def _add_parameter(table: Table, parameter: Parameter) -> None:
    for index, level in enumerate(parameter.levels):
        first = (Text(one_line(parameter.name)), percent(parameter.share, 0)) if index == 0 else ("", "")
        last = index == len(parameter.levels) - 1
        table.add_row(
            *first,
            Text(one_line(level.value)),
            mean_sd(level.mean),
            mean_sd(level.best),
            f"{len(level.scores)}",
            end_section=last,
        )


def _candidates(summary: SearchSummary, round_: Round, names: list[str], top: int) -> Table:
    title = Text(round_title(summary, round_))
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", caption_justify="left")
    table.add_column("score", justify="right", no_wrap=True)
    for name in names:
        table.add_column(Text(one_line(name)), overflow="fold")
    for candidate in round_.candidates[:top]:
        style = "bold green" if candidate is summary.best else ""
        values = (Text(value) for value in parameter_values(candidate, names))
        table.add_row(Text(mean_sd(candidate.mean, candidate.sd), style), *values)
    more = len(round_.candidates) - top
    left_out = [f"{more} more" * (more > 0), f"{round_.failed} without a score" * (round_.failed > 0)]
    table.caption = Text(", ".join(filter(None, left_out)))
    return table


def varying_parameters(summary: SearchSummary) -> list[str]:
    """Names of the parameters in which candidates differ, or of all parameters if they differ in none."""
    candidates = [candidate for round_ in summary.rounds for candidate in round_.candidates]
    names = [*dict.fromkeys(name for candidate in candidates for name in candidate.parameters)]
    values = {
        name: {value for candidate in candidates for value in parameter_values(candidate, [name])} for name in names
    }
    return [name for name in names if len(values[name]) > 1] or names


def parameter_values(candidate: Candidate, names: list[str]) -> list[str]:
    """The named parameters of a candidate, each as one line."""
    return [one_line(format_value(candidate.parameters.get(name, NOT_APPLICABLE))) for name in names]


def round_title(summary: SearchSummary, round_: Round) -> str:
    """The number of a round, and the resources of its candidates."""
    if len(summary.rounds) == 1:
        return "Candidates"
    return f"Round {summary.rounds.index(round_) + 1} of {len(summary.rounds)}, {one_line(round_.resource)}"


def share_note(summary: SearchSummary) -> str:
    """Explain the shares of the parameters."""
    note = "Share: the part of the variance of the candidates' scores that this parameter explains by itself"
    if len(summary.rounds) > 1:
        note += ", in the first round, which has all candidates"
    note += "; the rest is interaction and chance."
    if summary.noise is not None:
        note += f" Chance in the folds alone would account for about {percent(summary.noise, 0)}."
    return note


def notes(summary: SearchSummary) -> list[str]:
    """Cautions about the winner's score and about comparing rounds."""
    count = max(len(round_.candidates) for round_ in summary.rounds)
    lines = []
    if count > 1:
        lines.append(
            f"The winner's {mean_sd(summary.best.mean)} is optimistic: it is the best of {count} candidates, selected "
            "by this score."
        )
    if summary.held_out is not None:
        lines.append(f"On rows that the search did not use, the winner's score is {mean_sd(summary.held_out)}.")
    elif count > 1:
        lines.append("Measure the winner on rows that the search did not use.")
    if len(summary.rounds) > 1:
        lines.append("Rounds had different resources: compare within a round.")
    return lines
