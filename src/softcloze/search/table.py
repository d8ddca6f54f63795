"""A search in the terminal."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from softcloze.formatting import one_line
from softcloze.search.factors import ABSENT, shown
from softcloze.search.importance import Parameter
from softcloze.search.results import Candidate, Round
from softcloze.search.summary import SearchSummary


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


def score(mean: float, sd: float | None = None) -> str:
    """A score for people.

    >>> score(0.84251, 0.0213), score(0.5)
    ('0.843 ± 0.021', '0.500')
    """
    return f"{mean:.3f}" if sd is None else f"{mean:.3f} ± {sd:.3f}"


def share(explained: float) -> str:
    """A share of the variance.

    >>> share(0.4251)
    '43%'
    """
    return f"{100 * explained:.0f}%"


def varying(summary: SearchSummary) -> list[str]:
    """Names of the parameters that candidates differ in; of all of them where they differ in none."""
    candidates = [candidate for each in summary.rounds for candidate in each.candidates]
    names = [*dict.fromkeys(name for candidate in candidates for name in candidate.parameters)]
    texts = {name: {cell for each in candidates for cell in cells(each, [name])} for name in names}
    return [name for name in names if len(texts[name]) > 1] or names


def cells(candidate: Candidate, names: list[str]) -> list[str]:
    """A candidate's parameters, each in one line."""
    return [one_line(shown(candidate.parameters.get(name, ABSENT))) for name in names]


def round_title(summary: SearchSummary, each: Round) -> str:
    """Which round it is, and what its candidates had."""
    if len(summary.rounds) == 1:
        return "Candidates"
    return f"Round {summary.rounds.index(each) + 1} of {len(summary.rounds)}, {one_line(each.resource)}"


def chance(summary: SearchSummary) -> str:
    """How to read the shares."""
    said = "Share: of the variance of the candidates' scores, what this parameter alone explains"
    if len(summary.rounds) > 1:
        said += ", in the first round, which has all candidates"
    said += "; what the shares leave is interplay and chance."
    if summary.noise is not None:
        said += f" Chance in the folds alone would make about {share(summary.noise)} of it."
    return said


def notes(summary: SearchSummary) -> list[str]:
    """What to keep in mind of the winner and of rounds."""
    count = max(len(each.candidates) for each in summary.rounds)
    said = []
    if count > 1:
        said.append(
            f"The winner's {score(summary.best.mean)} is optimistic: it is the best of {count} candidates, and was "
            "chosen for it."
        )
    if summary.held_out is not None:
        said.append(f"On rows that the search did not have, the winner's score is {score(summary.held_out)}.")
    elif count > 1:
        said.append("Measure the winner on rows that the search did not have.")
    if len(summary.rounds) > 1:
        said.append("Scores of different rounds rest on different resources: compare within a round.")
    return said
