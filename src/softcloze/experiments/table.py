"""A comparison in the terminal."""

from rich import box
from rich.table import Table
from rich.text import Text

from softcloze.experiments.comparison import Comparison, Difference, Summary
from softcloze.experiments.protocol import Shots
from softcloze.experiments.statistics import Spread
from softcloze.explanation.spelling import one_line

NUMBERS = ("shots", "accuracy", "log loss", "calib. error", "trained", "training", "scoring", "memory")


def comparison_table(comparison: Comparison) -> Table:
    """A line for each method and number of shots: what it achieved, mean ± standard deviation, and what it took."""
    shown = Table(box=box.SIMPLE_HEAD, caption=_caption(comparison), caption_justify="left")
    shown.add_column("method", overflow="fold")
    for name in NUMBERS:
        shown.add_column(name, justify="right", no_wrap=True)
    summaries = {(summary.method, summary.shots): summary for summary in comparison.summary()}
    best = max(summaries.values(), key=lambda summary: summary.accuracy.mean, default=None)
    cards = {card.name: card for card in comparison.methods}
    for method, shots in dict.fromkeys((run.method, run.shots) for run in comparison.runs):
        card = cards[method]
        name = Text.assemble(one_line(method), "\n", (one_line(card.template or card.description), "dim"))
        summary = summaries.get((method, shots))
        if summary is None:
            errors = (run for run in comparison.runs if (run.method, run.shots) == (method, shots))
            name.append(f"\n{one_line(next(errors).error)}", "red")
            shown.add_row(name, shots_name(shots), Text("failed", "red"))
        else:
            shown.add_row(name, shots_name(shots), *_numbers(summary, summary is best))
    return shown


def differences_table(differences: tuple[Difference, ...], metric: str) -> Table:
    """A line for each difference: its interval, and how often chance alone makes as much."""
    caption = (
        f"{metric} of the first less that of the second, with its 95 % interval; p: how often chance alone makes as much, "
        f"corrected for {len(differences)} {'comparison' if len(differences) == 1 else 'comparisons'} (Holm)"
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
    runs = f" ({summary.errors} failed)" if summary.errors else ""
    return [
        Text(_spread(summary.accuracy) + runs, "bold green" if is_best else ""),
        f"{summary.log_loss.mean:.3f}",
        f"{summary.calibration_error.mean:.3f}",
        f"{summary.trainable:,}" if summary.trainable else "",
        f"{summary.fit_seconds:,.1f} s" if summary.fit_seconds else "",
        f"{summary.predict_seconds:,.1f} s",
        f"{summary.peak_memory / 1e6:,.0f} MB",
    ]


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
    return Text("; ".join(parts))
