"""Plots with their titles, which need matplotlib."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from markupsafe import Markup

from softcloze.errors import ReportError
from softcloze.files import expand_user, write_text
from softcloze.parameters import PATH, validate_parameters


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


def write_page(path: str | Path, render: Callable[[], str], *, has_plots: bool = True) -> Path:
    """Write an HTML page, after the arguments are validated; raises as `write_report`."""
    validate_parameters({"path": path}, {"path": PATH})
    if has_plots:
        require_matplotlib()
    target = expand_user(path)
    write_text(target, render())
    return target
