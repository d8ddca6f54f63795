"""The report of a comparison as one page of HTML."""

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from softcloze.experiments import Comparison
from softcloze.formatting import one_line, percent, visible
from softcloze.report import numbers
from softcloze.report.html import check_installed, render, write_page
from softcloze.report.tables import excerpt
from softcloze.report.verdict import clear


def write_report(comparison: Comparison, path: str | Path) -> Path:
    """Write what a comparison found as one HTML file, for browsers, telephones and paper.

    The file holds its style and its plots and refers to nothing outside; it has no script. The same comparison gives
    the same bytes.

    Args:
        comparison: what was measured.
        path: the file, which is there as a whole or not at all; folders are made.

    Returns:
        The path.

    Raises:
        ReportError: matplotlib is not installed, or the file cannot be written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from softcloze.experiments import Protocol, compare, tfidf
        >>> methods = {"words": tfidf(), "characters": tfidf("char")}
        >>> found = compare(methods, "movie-reviews", Protocol(shots=4, seeds=2, test_rows=20))
        >>> with TemporaryDirectory() as folder:
        ...     write_report(found, Path(folder) / "report.html").name
        'report.html'
    """
    check_installed()
    return write_page(page(comparison), path)


def page(comparison: Comparison) -> str:
    """The page; all text of users in it is escaped, and what cannot be seen in it is made visible."""
    from softcloze.report.svg import quiet_style
    from softcloze.report.view import view

    with quiet_style():
        report = view(comparison)
    filters: dict[str, Callable[..., str]] = {
        "visible": visible,
        "lines": _lines,
        "excerpt": excerpt,
        "shots_phrase": numbers.shots_phrase,
        "percent": percent,
        "points": numbers.points,
        "count": numbers.count,
        "p": numbers.p_number,
    }
    source = files("softcloze.report").joinpath("page.html").read_text(encoding="utf-8")
    return render(source, filters=filters, tests={"clear": clear}, report=report)


def _lines(text: str) -> str:
    """A message of several lines, without what indents them."""
    return "\n".join(one_line(line.strip()) for line in text.splitlines())
