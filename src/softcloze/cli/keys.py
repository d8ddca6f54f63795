"""Keys of a person at a terminal, each without Enter where the terminal allows it; else lines."""

import codecs
import os
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from unicodedata import normalize

try:
    import termios
    import tty
except ModuleNotFoundError:  # on Windows
    termios = None  # type: ignore[assignment]

ENTER, ESCAPE, BACKSPACE = "\n", "\x1b", "\x7f"
LEFT, RIGHT = "left", "right"
ESCAPE_SECONDS = 0.03  # within which the rest of the code of a special key arrives


class Keys(ABC):
    """Keys or lines that a person types.

    Attributes:
        are_single: keys come without Enter, one character each; else lines come.
    """

    are_single: bool

    @abstractmethod
    def read(self) -> str | None:
        """The next key, or a line without its end; None at the end of the input."""

    @abstractmethod
    def line(self, prompt: str) -> str | None:
        """A line that answers a prompt; None at the end of the input."""


class LineKeys(Keys):
    """Lines of standard input: for pipes, tests, and terminals without single keys."""

    are_single = False

    def read(self) -> str | None:
        """The next line."""
        return self.line("> " if sys.stdin.isatty() else "")

    def line(self, prompt: str) -> str | None:
        """A line that answers a prompt."""
        try:
            return input(prompt).strip()
        except EOFError:
            return None


class SingleKeys(Keys):
    """Single keys of a POSIX terminal, within `with`; Ctrl+C and Ctrl+Z stay what they are."""

    are_single = True

    def __init__(self) -> None:
        self._file = sys.stdin.fileno()
        self._before = termios.tcgetattr(self._file)

    def __enter__(self) -> "SingleKeys":
        """Have the terminal pass on each key at once, without showing it."""
        tty.setcbreak(self._file, termios.TCSADRAIN)
        self._handlers = {
            signal.SIGCONT: signal.signal(signal.SIGCONT, lambda *_: tty.setcbreak(self._file, termios.TCSADRAIN)),
            signal.SIGTERM: signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number)),
        }
        return self

    def __exit__(self, *_: object) -> None:
        """Give the terminal back as it was."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        termios.tcsetattr(self._file, termios.TCSADRAIN, self._before)

    def read(self) -> str | None:
        """The next key, in lower case and without the width of Chinese keyboards.

        `LEFT` and `RIGHT` are the arrows, and `ESCAPE` all other special keys.
        """
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        key = ""
        while not key:
            byte = self._byte()
            if byte in (b"", b"\x04"):
                return None
            key = decoder.decode(byte)
        if key == ESCAPE:
            return {b"C": RIGHT, b"D": LEFT}.get(self._last_of_code(), ESCAPE)
        return normalize("NFKC", key).lower().replace("\r", ENTER)

    def line(self, prompt: str) -> str | None:
        """A line that answers a prompt, with the terminal's editing."""
        termios.tcsetattr(self._file, termios.TCSADRAIN, self._before)
        try:
            return LineKeys().line(prompt)
        finally:
            tty.setcbreak(self._file, termios.TCSADRAIN)

    def _byte(self) -> bytes:
        try:
            return os.read(self._file, 1)
        except OSError:  # the terminal is gone
            return b""

    def _last_of_code(self) -> bytes:
        """Read what follows Escape in the code of an arrow or another special key; its last byte, or nothing."""
        import select

        if not select.select([self._file], [], [], ESCAPE_SECONDS)[0]:
            return b""  # Escape alone
        byte = self._byte()
        if byte == b"[":
            while (byte := self._byte()) and not b"@" <= byte <= b"~":
                pass
            return byte
        return self._byte() if byte == b"O" else b""


@contextmanager
def open_keys() -> Iterator[Keys]:
    """Single keys if standard input is a terminal that has them, else lines."""
    with suppress(ImportError):
        import readline  # noqa: F401 - editing of lines
    if termios is not None and sys.stdin.isatty() and sys.stdout.isatty():
        with SingleKeys() as keys:
            yield keys
    else:
        yield LineKeys()
