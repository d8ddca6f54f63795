"""Consoles of the commands, and text from outside made safe for a terminal."""

from functools import cache
from unicodedata import category

from rich.console import Console
from rich.text import Text

from softcloze.formatting import INVISIBLE, JOINERS

_SIGNS = {"\n": "↵", "\t": "⇥"}


def results() -> Console:
    """The console for results."""
    return Console(highlight=False)


@cache
def errors() -> Console:
    """The one console for progress, warnings and errors, so that lines appear above a progress bar."""
    return Console(stderr=True, highlight=False)


def plain(value: object, style: str = "") -> Text:
    r"""Put text from outside on one line, without markup and without control characters.

    >>> print(plain("[bold]a[/bold]\tb\x1b[31m\n"))
    [bold]a[/bold]⇥b�[31m↵
    """
    return Text("".join(_SIGNS.get(c, "\ufffd" if _is_unseen(c) else c) for c in str(value)), style)


def visible(text: str) -> str:
    r"""Text from outside for a terminal: its lines and tabs stay, other control characters do not.

    >>> visible("a\n\tb\x1b[31m")
    'a\n\tb�[31m'
    """
    return "".join("\ufffd" if _is_unseen(c) and c not in _SIGNS else c for c in text)


def say(console: Console, *parts: str | Text) -> None:
    """Print one line, never wrapped; text from outside comes as `Text` parts from `plain`."""
    console.print(Text.assemble(*parts), soft_wrap=True)


def warn(message: object) -> None:
    """Print one warning line."""
    say(errors(), Text("warning: ", "yellow"), plain(message))


def quiet() -> None:
    """Hide the progress bars of transformers in this process."""
    from transformers.utils import logging

    logging.disable_progress_bar()


def _is_unseen(char: str) -> bool:
    return category(char) in INVISIBLE and char not in JOINERS
