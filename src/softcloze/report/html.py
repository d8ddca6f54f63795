"""Plots with their titles, which need matplotlib."""

from dataclasses import dataclass
from importlib.util import find_spec

from markupsafe import Markup

from softcloze.errors import ReportError


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
