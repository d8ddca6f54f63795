"""The HTML page of a comparison of generators."""

from pathlib import Path

from markupsafe import Markup

from softcloze.display import as_html, html_environment
from softcloze.experiments.generation import show_value
from softcloze.experiments.generation_comparison import GenerationComparison, TextDifference, difference_table
from softcloze.report.html import write_page
from softcloze.report.numbers import p_value
from softcloze.report.verdict import is_clear


def write_generation_report(comparison: GenerationComparison, path: str | Path) -> Path:
    """Write a comparison of generators as one HTML file without scripts or references to other files.

    Args:
        comparison: the results to report.
        path: the file, written atomically; missing folders are created.

    Returns:
        The path.

    Raises:
        ParameterError: `path` is not a path.
        FileError: the file cannot be written.
    """
    return write_page(path, lambda: generation_page(comparison), has_plots=False)


def generation_page(comparison: GenerationComparison, rows: int = 20) -> str:
    """Render the page; text from outside is escaped, and invisible characters are made visible."""
    first = comparison.metrics[0]
    differences = {metric: comparison.differences(metric) for metric in comparison.metrics}
    draws = max(map(len, comparison.methods.values()))
    facts = {"generators": str(len(comparison.methods)), "draws": str(draws), "rows": str(_rows(comparison))}
    template = html_environment().get_template("report/generation_page.html")
    tables = [difference_table(pairs) for pairs in differences.values() if pairs]
    return template.render(
        facts=facts,
        verdicts=[_verdict(pair) for pair in differences[first]],
        numbers=Markup(as_html(comparison.content())),  # as_html escapes all text
        differences=Markup(as_html(tables)) if tables else "",
        examples=Markup(as_html(comparison.side_by_side(rows).content())),
    )


def _rows(comparison: GenerationComparison) -> int:
    return len(next(iter(comparison.methods.values()))[0].references)


def _verdict(pair: TextDifference) -> str:
    low, mean, high = (show_value(pair.metric, value) for value in (pair.low, pair.mean, pair.high))
    judgement = "which is larger than chance explains" if is_clear(pair) else "which may be chance"
    interval = f"95% interval {low} to {high}; corrected {p_value(pair.p_corrected)}"
    return f"{pair.metric} of {pair.method} minus {pair.other}: {mean} ({interval}), {judgement}."
