"""Tables of a comparison for the terminal."""

from rich import box
from rich.table import Table
from rich.text import Text

from softcloze.experiments.comparison import Comparison
from softcloze.experiments.results import Difference, Summary
from softcloze.experiments.variants import VariantSpread, spread_over_variants
from softcloze.formatting import mean_sd, one_line, seconds, shots_name, size

NUMBERS = ("shots", "accuracy", "log loss\ncal. error", "trained\nin", "scoring\nmemory")


def comparison_table(comparison: Comparison) -> Table:
    """A line for each method and number of shots: mean ± standard deviation of its metrics, and its costs."""
    table = Table(box=box.SIMPLE_HEAD, caption=_caption(comparison), caption_justify="left")
    table.add_column("method", overflow="fold", min_width=20)
    for name in NUMBERS:
        table.add_column(name, justify="right", no_wrap=True)
    summaries = {(summary.method, summary.shots): summary for summary in comparison.summary()}
    best = max(summaries.values(), key=lambda summary: summary.accuracy.mean, default=None)
    cards = {card.name: card for card in comparison.methods}
    for method, shots in dict.fromkeys((run.method, run.shots) for run in comparison.runs):
        title = Text(one_line(method))
        card = cards.pop(method, None)
        if card is not None:  # the description is shown only in the first line of a method
            title.append(f"\n{one_line(card.template or card.description)}", "dim")
        errors = [run.error for run in comparison.runs if (run.method, run.shots) == (method, shots) and run.error]
        if errors:
            title.append(f"\n{len(errors)} failed: {one_line(errors[0])}", "red")
        summary = summaries.get((method, shots))
        table.add_row(title, shots_name(shots), *([] if summary is None else _numbers(summary, summary is best)))
    return table


def differences_table(differences: tuple[Difference, ...], metric: str) -> Table:
    """A line for each difference, with its interval and corrected p-value."""
    count = f"{len(differences)} {'comparison' if len(differences) == 1 else 'comparisons'}"
    caption = (
        f"{metric} of the first method minus that of the second, with its 95% interval; p: how often chance alone "
        f"makes as large a difference, corrected for {count} (Holm)"
    )
    table = Table(box=box.SIMPLE_HEAD, caption=caption, caption_justify="left")
    table.add_column("method", overflow="fold")
    table.add_column("other", overflow="fold")
    for name in ("shots", "difference", "95% interval", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    for difference in differences:
        table.add_row(
            Text(one_line(difference.method)),
            Text(one_line(difference.other)),
            shots_name(difference.shots),
            f"{difference.mean:+.3f}",
            f"{difference.low:+.3f} to {difference.high:+.3f}",
            Text(f"{difference.p_corrected:.3f}", "bold" if difference.p_corrected < 0.05 else ""),
        )
    return table


def _numbers(summary: Summary, is_best: bool) -> list[str | Text]:
    trained = f"{summary.trainable:,}" if summary.trainable else ""
    return [
        Text(mean_sd(summary.accuracy.mean, summary.accuracy.sd), "bold green" if is_best else ""),
        f"{summary.log_loss.mean:.3f}\n{summary.calibration_error.mean:.3f}",
        f"{trained}\n{seconds(summary.fit_seconds)}" if summary.fit_seconds else "",
        f"{seconds(summary.predict_seconds)}\n{size(summary.peak_memory)}",
    ]


def _caption(comparison: Comparison) -> Text:
    protocol, parts = comparison.protocol, []
    if comparison.model is not None:
        parts.append(f"{one_line(comparison.model)}, {comparison.parameters:,} parameters")
    parts.append(f"{one_line(comparison.task)}: {len(comparison.texts):,} held-out rows")
    draws = len(protocol.seeds)
    unit = "per class" if protocol.balanced else "times the number of classes"
    if any(run.shots for run in comparison.runs):
        parts.append(
            f"mean ± standard deviation of {draws} {'draw' if draws == 1 else 'draws'} of training rows, shots {unit}"
        )
    parts.append("time is per run, memory is the peak of the whole process")
    return Text("\n\n".join(["; ".join(parts), *map(_variants, spread_over_variants(comparison))]))


def _variants(spread: VariantSpread) -> str:
    given = f" with {shots_name(spread.shots)} shots" if spread.shots else ""
    return (
        f"{spread.count} prompt variants of {one_line(spread.variant_of)}{given}: worst "
        f"{spread.worst.accuracy.mean:.3f} ({one_line(spread.worst.method)}), median {spread.median:.3f}, best "
        f"{spread.best.accuracy.mean:.3f} ({one_line(spread.best.method)})"
    )
