"""What every page of ours is: one file of HTML that needs nothing else, with no script, no font and no network."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from softcloze.errors import ReportError
from softcloze.files import replacing_file
from softcloze.formatting import one_line


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure with what stands above it."""

    title: str
    note: str
    svg: Markup


def check_installed() -> None:
    """Raise a ReportError if matplotlib is not there, before hours are spent on what cannot be drawn."""
    if find_spec("matplotlib") is None:
        raise ReportError(
            "the plots of a report are drawn with matplotlib, which is not installed; "
            "install it with: pip install 'softcloze[report]'"
        )


def render(
    source: str,
    *,
    filters: Mapping[str, Callable[..., str]] | None = None,
    tests: Mapping[str, Callable[..., bool]] | None = None,
    **values: object,
) -> str:
    """The page that a template makes, which extends `frame.html`; all text of users in it is escaped.

    Args:
        source: of the template, in Jinja.
        filters: its own, besides `one_line`, which makes visible what cannot be seen.
        tests: its own.
        values: what it shows, of which the frame takes `report.facts` and `report.verdicts`; text is as users wrote it,
            `Markup` is ours.
    """
    loader = DictLoader({name: _file(name) for name in ("frame.html", "macros.html")})
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, loader=loader)
    environment.filters |= {"one_line": one_line, **(filters or {})}
    environment.tests |= tests or {}
    return environment.from_string(source).render(**values, style=Markup(_file("style.css")))


def write_page(text: str, path: str | Path) -> Path:
    """Write a page to a file, which is there as a whole or not at all; folders are made.

    Raises:
        ReportError: the file cannot be written.
    """
    target = Path(path).expanduser()
    try:
        with replacing_file(target) as draft:
            draft.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise ReportError(f"cannot write the report to {target}: {error.strerror or error}") from error
    return target


def _file(name: str) -> str:
    return files("softcloze.report").joinpath(name).read_text(encoding="utf-8")
