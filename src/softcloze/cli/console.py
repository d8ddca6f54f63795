"""Where commands print, and how text from outside is made fit for a terminal."""

import warnings
from functools import cache
from typing import TextIO
from unicodedata import category

from rich.console import Console
from rich.text import Text

_UNSEEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))  # a terminal obeys these, or fails on them
_JOINERS = "\u200c\u200d"  # letters of several scripts and emoji need them
_SIGNS = {"\n": "↵", "\t": "⇥"}


def results() -> Console:
    """The console for what was asked for."""
    return Console(highlight=False)


@cache
def errors() -> Console:
    """The console for progress, warnings and errors: always the same one, so that a line goes above a bar."""
    return Console(stderr=True, highlight=False)


def plain(value: object, style: str = "") -> Text:
    r"""Text from outside in one line, for printing as it is: nothing in it is markup or an order to the terminal.

    >>> print(plain("[bold]a[/bold]\tb\x1b[31m\n"))
    [bold]a[/bold]⇥b�[31m↵
    """
    return Text("".join(_SIGNS.get(c, "\ufffd" if _is_unseen(c) else c) for c in str(value)), style)


def say(console: Console, *parts: str | Text) -> None:
    """Print one line, never wrapped: `str` parts are ours, `Text` parts from outside."""
    console.print(Text.assemble(*parts), soft_wrap=True)


def warn(message: object) -> None:
    """Print one warning line."""
    say(errors(), Text("warning: ", "yellow"), plain(message))


def quiet() -> None:
    """Hide the progress bars of transformers in this process, and show warnings as one line each."""
    from transformers.utils import logging

    logging.disable_progress_bar()

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        warn(message)

    warnings.showwarning = show


def _is_unseen(char: str) -> bool:
    return category(char) in _UNSEEN and char not in _JOINERS
