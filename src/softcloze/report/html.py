"""Parts of every report: plots with their titles, and a self-contained HTML file."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from markupsafe import Markup

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


def write_page(text: str, path: str | Path) -> Path:
    """Write a page to a file atomically; missing folders are created.

    Raises:
        FileError: the file cannot be written.
    """
    target = Path(path).expanduser()
    write_text(target, text)
    return target
