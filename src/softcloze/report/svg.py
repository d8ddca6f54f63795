"""Figures of matplotlib as inline SVG with the colours and fonts of the page and with unique ids.

Text from outside never passes through matplotlib, which would parse formulas in it and lacks Chinese glyphs to measure:
figures are drawn with placeholders, which are replaced in the SVG.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal
from xml.etree import ElementTree

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.cells import set_cell_size

from softcloze.formatting import one_line

# Colours in the figure, and their replacements in the page: each role has a unique colour.
INK, FAINT, LINE, GROUND = "#000001", "#000002", "#000003", "#000004"
_ROLES = {INK: "currentColor", FAINT: "var(--faint)", LINE: "var(--line)", GROUND: "var(--ground)"}
METHOD_COLOURS = 8  # --method-0 and so on in the style sheet
MARKERS = "os^Dv<>"  # fewer than colours, so that two methods with one colour have different markers
TEXT_SIZE = 11.5  # in units of the figure, which are pixels on a phone
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "softcloze",
    "font.size": TEXT_SIZE,
    "text.color": INK,
    "text.parse_math": False,
    "axes.facecolor": "none",
    "axes.edgecolor": LINE,
    "axes.labelcolor": FAINT,
    "axes.linewidth": 1,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "figure.facecolor": "none",
    "grid.color": LINE,
    "grid.linewidth": 0.75,
    "xtick.color": LINE,
    "xtick.labelcolor": INK,
    "xtick.major.size": 4,
    "ytick.color": LINE,
    "ytick.labelcolor": INK,
    "ytick.major.size": 0,
}
_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_OURS = re.compile("#0000[0-9a-f]{2}")
_FAMILY = re.compile(r"font-family:[^;]*;?\s*")
_REFERENCE = re.compile(r"(?<=#)[\w.-]+(?=\)|$)")


@contextmanager
def quiet_style() -> Iterator[None]:
    """Use our matplotlib settings inside the block, and restore the user's settings after it."""
    defaults: dict[str, Any] = {
        key: value for key, value in matplotlib.rcParamsDefault.items() if not key.startswith(("backend", "date."))
    }
    settings: Any = defaults | _STYLE  # rc_context types the names of all settings
    with matplotlib.rc_context(settings):
        yield


def method_colour(i: int) -> str:
    """The colour of the method with index `i`."""
    return f"#0000{0x10 + i % METHOD_COLOURS:02x}"


class Drawing:
    """One figure of a page.

    Args:
        name: prefix of its ids; unique on the page.
        height: in units that are pixels on a phone, where figures are `WIDTH` wide.
    """

    WIDTH = 360

    def __init__(self, name: str, height: float):
        self.name = name
        self.height = height
        self.figure = Figure(figsize=(self.WIDTH / 72, height / 72))
        self._texts: dict[str, str] = {}

    def axes(self, left: float, top: float, right: float, bottom: float) -> Axes:
        """Add a plot with these margins."""
        width, height = self.WIDTH - left - right, self.height - top - bottom
        return self.figure.add_axes((left / self.WIDTH, bottom / self.height, width / self.WIDTH, height / self.height))

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        color: str = INK,
        ha: Literal["left", "right"] = "left",
        weight: str = "normal",
    ) -> None:
        """Write our own text or a placeholder, at a distance from the left and the top."""
        self.figure.text(x / self.WIDTH, 1 - y / self.height, text, color=color, ha=ha, fontweight=weight)

    def placeholder(self, text: object, cells: int) -> str:
        """A placeholder to draw for text from outside, which is cut to a width in terminal cells."""
        line = one_line(text)
        fitting = set_cell_size(line, cells).rstrip()
        key = f"#{len(self._texts)}"
        self._texts[key] = line if fitting == line else set_cell_size(line, cells - 1).rstrip() + "…"
        return key

    def svg(self, title: str, description: str) -> Markup:
        """The figure as SVG with a title and a description for screen readers."""
        written = io.StringIO()
        self.figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
        root = ElementTree.fromstring(written.getvalue())
        for unwanted in ("metadata", "defs"):  # the style in defs would apply to the whole page
            for child in root.findall(f"{{{_SVG}}}{unwanted}"):
                if unwanted == "metadata" or child.find(f"{{{_SVG}}}style") is not None:
                    root.remove(child)
        for element in root.iter():
            self._adapt(element)
        self._describe(root, title, description)
        return Markup(ElementTree.tostring(root, encoding="unicode"))

    def _adapt(self, element: ElementTree.Element) -> None:
        """Replace colours, fonts, ids and placeholders of an element."""
        element.tag = element.tag.removeprefix(f"{{{_SVG}}}")
        element.text, element.tail = (element.text or "").strip(), None
        element.text = self._texts.get(element.text, element.text)
        if href := element.attrib.pop(f"{{{_XLINK}}}href", None):
            element.set("href", href)
        if element.tag == "g":
            element.attrib.pop("id", None)  # groups are never referenced
        for key, value in element.attrib.items():
            if key == "id":
                element.set(key, f"{self.name}-{value}")
            elif key in ("href", "clip-path"):
                element.set(key, _REFERENCE.sub(lambda match: f"{self.name}-{match[0]}", value))
            elif key == "style":
                element.set(key, _OURS.sub(lambda match: _role(match[0]), _FAMILY.sub("", value)))
            elif key == "d":
                element.set(key, " ".join(value.split()))

    def _describe(self, root: ElementTree.Element, title: str, description: str) -> None:
        for size in ("width", "height", "version"):
            root.attrib.pop(size, None)
        root.set("role", "img")
        root.set("aria-labelledby", f"{self.name}-title {self.name}-desc")
        for i, (tag, text) in enumerate((("title", title), ("desc", description))):
            element = ElementTree.Element(tag, {"id": f"{self.name}-{tag}"})
            element.text = one_line(text)
            root.insert(i, element)


def _role(colour: str) -> str:
    return _ROLES.get(colour) or f"var(--method-{int(colour[1:], 16) - 0x10})"
