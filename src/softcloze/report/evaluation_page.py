"""The HTML page of an evaluation."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from markupsafe import Markup

from softcloze.calibration.metrics import ConfidenceBin
from softcloze.display import Table, as_html, html_environment
from softcloze.formatting import percent
from softcloze.prompt.card import PromptCard
from softcloze.report.html import Plot, write_page


def write_evaluation_report(
    path: Path,
    cards: Sequence[PromptCard],
    facts: Mapping[str, str],
    tables: Sequence[Table],
    bins: Sequence[ConfidenceBin],
    slots: Sequence[Table] = (),
) -> None:
    """Write an evaluation as one HTML file without scripts or references to other files.

    Args:
        path: the file.
        cards: the prompt, or those of an ensemble.
        facts: names and values for the head of the page.
        tables: the results.
        bins: predictions by confidence; one bin or more.
        slots: the soft slots of the prompts, and their lengths at later layers.

    Raises:
        FileError: the file cannot be written.
        ReportError: matplotlib is not installed.
    """
    write_page(path, lambda: evaluation_page(cards, facts, tables, bins, slots))


def evaluation_page(
    cards: Sequence[PromptCard],
    facts: Mapping[str, str],
    tables: Sequence[Table],
    bins: Sequence[ConfidenceBin],
    slots: Sequence[Table] = (),
) -> str:
    """Render the page; text from outside is escaped, and invisible characters are made visible."""
    from softcloze.report.svg import quiet_style
    from softcloze.report.view import draw_template

    rows = sum(part.rows for part in bins)
    accuracy = sum(part.rows * part.accuracy for part in bins) / rows
    confidence = sum(part.rows * part.confidence for part in bins) / rows
    with quiet_style():
        return (
            html_environment()
            .get_template("report/evaluation_page.html")
            .render(
                facts=facts,
                verdicts=[f"The accuracy is {percent(accuracy)}, the mean confidence {percent(confidence)}."],
                plots=_plots(bins, [card.entries["training"].get("history", []) for card in cards]),
                tables=Markup(as_html(tables)),  # as_html escapes all text
                slots=Markup(as_html(slots)) if slots else "",
                templates=[draw_template(source) for source in dict.fromkeys(str(card.template) for card in cards)],
            )
        )


def _plots(bins: Sequence[ConfidenceBin], histories: Sequence[Sequence[Mapping[str, float]]]) -> list[Plot]:
    from softcloze.report.plots import loss_curve, reliability_curve

    title, note = "Reliability", "Below the dotted line, the prompt is too confident. Larger markers hold more rows."
    plots = [Plot(title, note, reliability_curve("reliability", title, bins))]
    keys = {"training loss": "loss", "validation loss": "validation_loss"}
    for number, history in enumerate(histories, start=1):
        losses = {name: [record[key] for record in history if key in record] for name, key in keys.items()}
        if losses := {name: values for name, values in losses.items() if values}:
            title = "Training" if len(histories) == 1 else f"Training of prompt {number}"
            note = "Mean loss of each epoch."
            plots.append(Plot(title, note, loss_curve(f"loss-{number}", title, losses)))
    return plots
