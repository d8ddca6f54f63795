"""The frame of every report: one self-contained HTML file without scripts, fonts or network access."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from markupsafe import Markup

from softcloze.display import html_environment
from softcloze.errors import ReportError
from softcloze.files import write_text


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure with its title and note."""

    title: str
    note: str
    svg: Markup


def require_matplotlib() -> None:
    """Raise ReportError if matplotlib is not installed, before time is spent on a report that cannot be drawn."""
    if find_spec("matplotlib") is None:
        raise ReportError(
            "the plots of a report are drawn with matplotlib, which is not installed; "
            "install it with: pip install 'softcloze[report]'"
        )


def render(
    source: str,
    *,
    filters: Mapping[str, Callable[..., object]] | None = None,
    tests: Mapping[str, Callable[..., bool]] | None = None,
    **values: object,
) -> str:
    """Render a page from a Jinja template that extends `frame.html`; text from outside is escaped.

    Args:
        source: the Jinja template.
        filters: more filters than `one_line` and `visible`.
        tests: more tests.
        values: variables of the template, `facts` and `verdicts` of the frame among them; only `Markup` is not escaped.
    """
    templates = {name: _file(name) for name in ("frame.html", "macros.html")}
    environment = html_environment(filters, tests, templates)
    return environment.from_string(source).render(**values, style=Markup(_file("style.css")))


def write_page(text: str, path: str | Path) -> Path:
    """Write a page to a file atomically; missing folders are created.

    Raises:
        FileError: the file cannot be written.
    """
    target = Path(path).expanduser()
    write_text(target, text)
    return target


def _file(name: str) -> str:
    return files("softcloze.report").joinpath(name).read_text(encoding="utf-8")
