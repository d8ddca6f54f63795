"""A comparison in the terminal."""

from rich import box
from rich.table import Table
from rich.text import Text

from softcloze.experiments.comparison import Comparison
from softcloze.experiments.prompt_variants import VariantSpread, spread_over_variants
from softcloze.experiments.protocol import Shots
from softcloze.experiments.results import Difference, Summary
from softcloze.experiments.statistics import Spread
from softcloze.formatting import one_line

NUMBERS = ("shots", "accuracy", "log loss\ncal. error", "trained\nin", "scoring\nmemory")


def comparison_table(comparison: Comparison) -> Table:
    """A line for each method and number of shots: what it achieved, mean ± standard deviation, and what it took."""
    shown = Table(box=box.SIMPLE_HEAD, caption=_caption(comparison), caption_justify="left")
    shown.add_column("method", overflow="fold", min_width=20)
    for name in NUMBERS:
        shown.add_column(name, justify="right", no_wrap=True)
    summaries = {(summary.method, summary.shots): summary for summary in comparison.summary()}
    best = max(summaries.values(), key=lambda summary: summary.accuracy.mean, default=None)
    cards = {card.name: card for card in comparison.methods}
    for method, shots in dict.fromkeys((run.method, run.shots) for run in comparison.runs):
        title = Text(one_line(method))
        card = cards.pop(method, None)
        if card is not None:  # what it is stands beside its first line alone
            title.append(f"\n{one_line(card.template or card.description)}", "dim")
        errors = [run.error for run in comparison.runs if (run.method, run.shots) == (method, shots) and run.error]
        if errors:
            title.append(f"\n{len(errors)} failed: {one_line(errors[0])}", "red")
        summary = summaries.get((method, shots))
        shown.add_row(title, shots_name(shots), *([] if summary is None else _numbers(summary, summary is best)))
    return shown


def differences_table(differences: tuple[Difference, ...], metric: str) -> Table:
    """A line for each difference: its interval, and how often chance alone makes as much."""
    caption = (
        f"{metric} of the first less that of the second, with its 95 % interval; p: how often chance alone makes as "
        f"much, corrected for {len(differences)} {'comparison' if len(differences) == 1 else 'comparisons'} (Holm)"
    )
    shown = Table(box=box.SIMPLE_HEAD, caption=caption, caption_justify="left")
    shown.add_column("method", overflow="fold")
    shown.add_column("other", overflow="fold")
    for name in ("shots", "difference", "95 % interval", "p"):
        shown.add_column(name, justify="right", no_wrap=True)
    for found in differences:
        shown.add_row(
            Text(one_line(found.method)),
            Text(one_line(found.other)),
            shots_name(found.shots),
            f"{found.mean:+.3f}",
            f"{found.low:+.3f} to {found.high:+.3f}",
            Text(f"{found.p_corrected:.3f}", "bold" if found.p_corrected < 0.05 else ""),
        )
    return shown


def shots_name(shots: Shots) -> str:
    """Shots for people.

    >>> shots_name(16), shots_name(0.25), shots_name("all")
    ('16', '0.25 of all', 'all')
    """
    return f"{shots:.3g} of all" if isinstance(shots, float) else f"{shots}"


def _numbers(summary: Summary, is_best: bool) -> list[str | Text]:
    return [
        Text(_spread(summary.accuracy), "bold green" if is_best else ""),
        f"{summary.log_loss.mean:.3f}\n{summary.calibration_error.mean:.3f}",
        f"{_count(summary.trainable)}\n{summary.fit_seconds:,.1f} s" if summary.fit_seconds else "",
        f"{summary.predict_seconds:,.1f} s\n{summary.peak_memory / 1e6:,.0f} MB",
    ]


def _count(numbers: int) -> str:
    return f"{numbers:,}" if numbers else ""


def _spread(spread: Spread) -> str:
    return f"{spread.mean:.3f}" if spread.sd is None else f"{spread.mean:.3f} ± {spread.sd:.3f}"


def _caption(comparison: Comparison) -> Text:
    protocol, parts = comparison.protocol, []
    if comparison.model is not None:
        parts.append(f"{one_line(comparison.model)}, {comparison.parameters:,} parameters")
    parts.append(f"{one_line(comparison.task)}: {len(comparison.texts):,} held-out rows")
    draws = len(protocol.seeds)
    each = "per class" if protocol.balanced else "times the number of classes"
    if any(run.shots for run in comparison.runs):
        parts.append(
            f"mean ± standard deviation of {draws} {'draw' if draws == 1 else 'draws'} of training rows, shots {each}"
        )
    parts.append("time is per run, memory the whole process at its peak")
    return Text("\n\n".join(["; ".join(parts), *map(_wordings, spread_over_variants(comparison))]))


def _wordings(spread: VariantSpread) -> str:
    given = f" with {shots_name(spread.shots)} shots" if spread.shots else ""
    return (
        f"{spread.count} wordings of {one_line(spread.wording_of)}{given}: worst {spread.worst.accuracy.mean:.3f} "
        f"({one_line(spread.worst.method)}), median {spread.median:.3f}, best {spread.best.accuracy.mean:.3f} "
        f"({one_line(spread.best.method)})"
    )
