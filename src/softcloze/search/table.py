"""Tables and notes of a search for the terminal and for notebooks."""

from collections.abc import Sequence
from dataclasses import dataclass

from softcloze.display import Block, Column, Displayable, Styled, Table
from softcloze.formatting import mean_sd, one_line, percent
from softcloze.search.factors import NOT_APPLICABLE, format_value
from softcloze.search.results import Candidate, Round
from softcloze.search.summary import SearchSummary


@dataclass(frozen=True, slots=True)
class SearchTable(Displayable):
    """The importance of the parameters, the best candidates of each round, and notes on how to read them."""

    summary: SearchSummary
    top: int

    def content(self) -> Sequence[Block]:
        """Tables and notes."""
        rounds = [self._candidates(round_) for round_ in reversed(self.summary.rounds)]
        return [*self._parameters(), *rounds, *notes(self.summary)]

    def _parameters(self) -> list[Block]:
        parameters = self.summary.parameters
        if not parameters:
            return []
        levels = [level for parameter in parameters for level in parameter.levels]
        first = [(parameter if i == 0 else None) for parameter in parameters for i in range(len(parameter.levels))]
        columns = [
            Column("parameter", [parameter.name if parameter else None for parameter in first]),
            Column(
                "share", [percent(parameter.share, 0) if parameter else None for parameter in first], is_number=True
            ),
            Column("value", [level.value for level in levels]),
            Column("mean", [mean_sd(level.mean) for level in levels], is_number=True),
            Column("best", [mean_sd(level.best) for level in levels], is_number=True),
            Column("tried", [f"{len(level.scores)}" for level in levels], is_number=True),
        ]
        ends = {i - 1 for i, parameter in enumerate([*first, parameters[0]]) if parameter is not None}
        return [Table(columns, "Parameter importance", share_note(self.summary), ends)]

    def _candidates(self, round_: Round) -> Table:
        candidates, names = round_.candidates[: self.top], varying_parameters(self.summary)
        scores = [
            Styled(mean_sd(candidate.mean, candidate.sd), "bold green" * (candidate is self.summary.best))
            for candidate in candidates
        ]
        columns = [Column("score", scores, is_number=True)]
        columns += [Column(name, [parameter_value(candidate, name) for candidate in candidates]) for name in names]
        more = len(round_.candidates) - self.top
        left_out = [f"{more} more" * (more > 0), f"{round_.failed} without a score" * (round_.failed > 0)]
        return Table(columns, round_title(self.summary, round_), ", ".join(filter(None, left_out)))


def varying_parameters(summary: SearchSummary) -> list[str]:
    """Names of the parameters in which candidates differ, or of all parameters if they differ in none."""
    candidates = [candidate for round_ in summary.rounds for candidate in round_.candidates]
    names = [*dict.fromkeys(name for candidate in candidates for name in candidate.parameters)]
    return [name for name in names if len({parameter_value(candidate, name) for candidate in candidates}) > 1] or names


def parameter_value(candidate: Candidate, name: str) -> str:
    """A parameter of a candidate as one line."""
    return one_line(format_value(candidate.parameters.get(name, NOT_APPLICABLE)))


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
        lines.append(f"On examples that the search did not use, the winner's score is {mean_sd(summary.held_out)}.")
    elif count > 1:
        lines.append("Measure the winner on examples that the search did not use.")
    if len(summary.rounds) > 1:
        lines.append("Rounds had different resources: compare within a round.")
    return lines
