"""The pieces of a text, read from server-sent events."""

from softcloze.client.answers import Text, read_json, read_text
from softcloze.errors import ServiceError
from softcloze.formatting import one_line

_LONGEST_MESSAGE = 500


class TextEvents:
    """Reads the events of a text line by line.

    Attributes:
        end: the whole answer, once it has come.
    """

    def __init__(self, prompt: str):
        """Take the reference of the generator."""
        self._prompt = prompt
        self._event, self._data = "", ""
        self.end: Text | None = None

    def read(self, line: str) -> str:
        """Read a line; return the piece that it completes, or "".

        Raises:
            ServiceError: the text could not be written, or the event is not one of the service.
        """
        name, _, value = line.partition(": ")
        if name == "event":
            self._event = value
        elif name == "data":
            self._data = value
        elif not line and self._data:
            event, data = self._event, read_json(self._data.encode("utf-8", "surrogatepass"))
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
