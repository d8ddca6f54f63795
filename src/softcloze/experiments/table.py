"""Tables of a comparison for the terminal and for notebooks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from softcloze.display import Block, Cell, Column, Displayable, Line, Styled, Table
from softcloze.experiments.comparison import Comparison
from softcloze.experiments.protocol import Shots
from softcloze.experiments.results import Difference, Summary
from softcloze.experiments.variants import VariantSpread, spread_over_variants
from softcloze.formatting import mean_sd, percent, seconds, shots_name, size

FEW_DRAWS = 5  # below it, Student's t distribution of the draws has long tails


@dataclass(frozen=True, slots=True)
class ComparisonTable(Displayable):
    """A line for each method and number of shots: mean ± standard deviation of its metrics, and its costs."""

    comparison: Comparison

    def content(self) -> Sequence[Block]:
        """The table, and a line for each group of prompt variants."""
        comparison = self.comparison
        groups = list(dict.fromkeys((run.method, run.shots) for run in comparison.runs))
        by_group = {(summary.method, summary.shots): summary for summary in comparison.summary()}
        best = max(by_group.values(), key=lambda summary: summary.accuracy.mean, default=None)
        summaries = [by_group.get(group) for group in groups]
        columns = [
            Column("method", self._titles(groups), min_width=20),
            Column("shots", [shots_name(shots) for _, shots in groups], is_number=True),
            _column("accuracy", summaries, lambda summary: _accuracy(summary, summary is best)),
            _column(["log loss", "cal. error"], summaries, _losses),
            _column(["trained", "in"], summaries, _training),
            _column(["scoring", "memory"], summaries, _scoring),
        ]
        return [Table(columns, caption=self._caption()), *self._variants()]

    def _titles(self, groups: Sequence[tuple[str, Shots]]) -> list[Cell]:
        """The name of each method; its description only in its first line, and errors."""
        comparison = self.comparison
        cards = {card.name: card for card in comparison.methods}
        titles: list[Cell] = []
        for method, shots in groups:
            lines: list[Line] = [method]
            card = cards.pop(method, None)
            if card is not None:
                lines.append(Styled(card.template or card.description, "dim"))
            errors = [run.error for run in comparison.runs if (run.method, run.shots) == (method, shots) and run.error]
            if errors:
                lines.append(Styled(f"{len(errors)} failed: {errors[0]}", "red"))
            if comparison.of(method, shots) and (dominant := comparison.dominant_label(method, shots)):
                label, share = dominant
                lines.append(Styled(f"gives {label!r} to {percent(share, 0)} of the held-out examples", "yellow"))
            titles.append(lines)
        return titles

    def _caption(self) -> str:
        comparison, protocol, parts = self.comparison, self.comparison.protocol, []
        if comparison.model is not None:
            parts.append(f"{comparison.model}, {comparison.parameters:,} parameters")
        parts.append(f"{comparison.task}: {len(comparison.texts):,} held-out examples")
        draws = f"{len(protocol.seeds)} {'draw' if len(protocol.seeds) == 1 else 'draws'}"
        unit = "per class" if protocol.balanced else "times the number of classes"
        if any(run.shots for run in comparison.runs):
            parts.append(f"mean ± standard deviation of {draws} of training examples, shots {unit}")
        parts.append("time is per run, memory is the peak of the whole process")
        return "; ".join(parts)

    def _variants(self) -> list[Block]:
        return [block for spread in spread_over_variants(self.comparison) for block in ("", _variants_line(spread))]


@dataclass(frozen=True, slots=True)
class DifferencesTable(Displayable):
    """A line for each difference between two methods, with its interval and corrected p-value.

    With few draws of the training examples, and differences that may be chance, a hint to draw more follows.
    """

    differences: tuple[Difference, ...]
    metric: str
    draws: int

    def content(self) -> Sequence[Block]:
        """The table, and the hint."""
        differences = self.differences
        count = f"{len(differences)} {'comparison' if len(differences) == 1 else 'comparisons'}"
        caption = (
            f"{self.metric} of the first method minus that of the second, with its 95% interval; p: how often chance "
            f"alone makes as large a difference, corrected for {count} (Holm)"
        )
        intervals = [f"{pair.low:+.3f} to {pair.high:+.3f}" for pair in differences]
        p_values = [Styled(f"{pair.p_corrected:.3f}", "bold" * (pair.p_corrected < 0.05)) for pair in differences]
        columns = [
            Column("method", [pair.method for pair in differences]),
            Column("other", [pair.other for pair in differences]),
            Column("shots", [shots_name(pair.shots) for pair in differences], is_number=True),
            Column("difference", [f"{pair.mean:+.3f}" for pair in differences], is_number=True),
            Column("95% interval", intervals, is_number=True),
            Column("p", p_values, is_number=True),
        ]
        blocks: list[Block] = [Table(columns, caption=caption)]
        if self.draws < FEW_DRAWS and any(pair.shots and pair.p_corrected >= 0.05 for pair in differences):
            drawn = "one draw" if self.draws == 1 else f"{self.draws} draws"
            blocks += ["", f"with {drawn} of training examples only large differences are clear; --seeds adds draws"]
        return blocks


def _column(name: Cell, summaries: Sequence[Summary | None], cell: Callable[[Summary], Cell]) -> Column:
    """A column of numbers, with empty cells where all runs failed."""
    return Column(name, ["" if summary is None else cell(summary) for summary in summaries], is_number=True)


def _accuracy(summary: Summary, is_best: bool) -> Cell:
    return Styled(mean_sd(summary.accuracy.mean, summary.accuracy.sd), "bold green" * is_best)


def _losses(summary: Summary) -> Cell:
    return [mean_sd(summary.log_loss.mean), mean_sd(summary.calibration_error.mean)]


def _training(summary: Summary) -> Cell:
    if not summary.fit_seconds:
        return ""
    return [f"{summary.trainable:,}" if summary.trainable else "", seconds(summary.fit_seconds)]


def _scoring(summary: Summary) -> Cell:
    return [seconds(summary.predict_seconds), size(summary.peak_memory)]


def _variants_line(spread: VariantSpread) -> str:
    given = f" with {shots_name(spread.shots)} shots" if spread.shots else ""
    return (
        f"{spread.count} prompt variants of {spread.variant_of}{given}: worst {spread.worst.accuracy.mean:.3f} "
        f"({spread.worst.method}), median {spread.median:.3f}, best {spread.best.accuracy.mean:.3f} "
        f"({spread.best.method})"
    )
