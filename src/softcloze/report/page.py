"""The report of a comparison as one page of HTML that needs nothing else: no script, no font, no network."""

from collections.abc import Callable
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from softcloze.atomic import replacing_file
from softcloze.experiments.comparison import Comparison
from softcloze.explanation.spelling import one_line
from softcloze.report import numbers
from softcloze.report.errors import ReportError
from softcloze.report.findings import clear
from softcloze.report.mistakes import excerpt
from softcloze.template.drawing import visible


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
    text = page(comparison)
    target = Path(path).expanduser()
    try:
        with replacing_file(target) as draft:
            draft.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise ReportError(f"cannot write the report to {target}: {error.strerror or error}") from error
    return target


def check_installed() -> None:
    """Raise a ReportError if matplotlib is not there, before hours are spent on what cannot be drawn."""
    if find_spec("matplotlib") is None:
        raise ReportError(
            "the plots of a report are drawn with matplotlib, which is not installed; "
            "install it with: pip install 'softcloze[report]'"
        )


def page(comparison: Comparison) -> str:
    """The page; all text of users in it is escaped, and what cannot be seen in it is made visible."""
    from softcloze.report.svg import quiet_style
    from softcloze.report.view import view

    with quiet_style():
        report = view(comparison)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    filters: dict[str, Callable[..., str]] = {
        "one_line": one_line,
        "visible": visible,
        "lines": _lines,
        "excerpt": excerpt,
        "shots_phrase": numbers.shots_phrase,
        "percent": numbers.percent,
        "points": numbers.points,
        "count": numbers.count,
        "p": numbers.p_number,
    }
    environment.filters |= filters
    environment.tests["clear"] = clear
    return environment.from_string(_file("page.html")).render(report=report, style=Markup(_file("style.css")))


def _lines(text: str) -> str:
    """A message of several lines, without what indents them."""
    return "\n".join(one_line(line.strip()) for line in text.splitlines())


def _file(name: str) -> str:
    return files("softcloze.report").joinpath(name).read_text(encoding="utf-8")
