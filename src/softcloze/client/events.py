"""The pieces of a text, read from server-sent events."""

from collections.abc import Iterator

from softcloze.client.answers import Text, read_json, read_text
from softcloze.errors import ServiceError
from softcloze.formatting import one_line

LONGEST_LINE = 8 * 2**20  # bytes; the last event has the whole text
_LONGEST_MESSAGE = 500


class TextEvents:
    """Reads the events of a text as their bytes arrive.

    Attributes:
        end: the whole answer, once it has come.
    """

    def __init__(self, prompt: str):
        """Take the reference of the generator."""
        self._prompt = prompt
        self._event, self._data = "", ""
        self._line = bytearray()
        self.end: Text | None = None

    def read(self, content: bytes) -> Iterator[str]:
        """Read bytes; yield the pieces that they complete.

        Raises:
            ServiceError: the text could not be written, a line is too long, or the event is not one of the service.
        """
        *lines, rest = content.split(b"\n")
        for line in lines:
            whole = bytes(self._line + line)
            self._line.clear()
            if piece := self._read_line(whole):
                yield piece
        self._line += rest
        self._validate_length(self._line)

    def _validate_length(self, line: bytes | bytearray) -> None:
        if len(line) > LONGEST_LINE:
            problem = f"a line of the events has more than {LONGEST_LINE >> 20} MiB; does the URL name a service?"
            raise ServiceError(problem, self._prompt)

    def _read_line(self, content: bytes) -> str:
        """Read a line; return the piece that it completes, or ""."""
        self._validate_length(content)
        line = content.removesuffix(b"\r").decode("utf-8", "replace")
        name, _, value = line.partition(": ")
        if name == "event":
            self._event = value
        elif name == "data":
            self._data = value
        elif not line and self._data:
            event, data = self._event, read_json(self._data.encode())
            self._event = self._data = ""
            match event, data:
                case "", {"text": str(piece)}:
                    return piece
                case "error", {"error": str(message), "code": str(code)}:
                    raise ServiceError(one_line(message[:_LONGEST_MESSAGE]), self._prompt, None, 200, code)
                case "end", dict() if (text := read_text(data)) is not None:
                    self.end = text
                case _:
                    raise ServiceError("an event is not one of a softcloze service", self._prompt)
        return ""

    def validate_end(self) -> None:
        """Raise ServiceError if the events ended before the text did."""
        if self.end is None:
            raise ServiceError("the events ended before the text; the service may have been ended", self._prompt)
