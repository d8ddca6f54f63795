"""An extension of griffe: examples in docstrings become blocks of code, for Markdown takes them for prose."""

import re
from typing import Any

import griffe

SECTION = re.compile(r"^Example:$", re.MULTILINE)  # griffe knows the plural alone
EXAMPLE = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)


class DoctestFences(griffe.Extension):
    """Put a fence around each example that stands outside a section, and name the sections as griffe does."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:  # noqa: ANN401
        """Rewrite the docstring of an object that was loaded."""
        if obj.docstring is not None:
            text = SECTION.sub("Examples:", obj.docstring.value)
            obj.docstring.value = EXAMPLE.sub(r"```pycon\n\g<0>\n```", text)
