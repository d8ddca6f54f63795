"""The HTML page of a comparison."""

from pathlib import Path

from softcloze.display import html_environment
from softcloze.experiments import Comparison
from softcloze.report.html import write_page


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
        ParameterError: `path` is not a path.
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
    return write_page(path, lambda: page(comparison))


def page(comparison: Comparison) -> str:
    """Render the page; text from outside is escaped, and invisible characters are made visible."""
    from softcloze.report.svg import quiet_style
    from softcloze.report.view import page_values

    with quiet_style():
        return html_environment().get_template("report/page.html").render(page_values(comparison))
