"""What can go wrong while a starter is looked up, fetched or built."""

from collections.abc import Iterable
from difflib import get_close_matches

from softcloze.errors import SoftclozeError


class StarterError(SoftclozeError, OSError):
    """A starter could not be fetched, checked, converted or stored; the message says how to mend it."""


class StarterNameError(SoftclozeError, LookupError):
    """No starter has this name.

    >>> raise StarterNameError("model", "bert-tny", ["bert-tiny", "gemma3-270m"])
    Traceback (most recent call last):
    softcloze.starters.errors.StarterNameError: no starter model is called 'bert-tny', did you mean 'bert-tiny'?
      there are: bert-tiny, gemma3-270m
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]):
        self.kind, self.name, self.known = kind, name, tuple(known)
        super().__init__(kind, name, self.known)  # all of them, so it pickles

    def __str__(self) -> str:
        near = get_close_matches(self.name, self.known, n=1)
        guess = f", did you mean {near[0]!r}?" if near else ""
        return f"no starter {self.kind} is called {self.name!r}{guess}\n  there are: {', '.join(self.known)}"
