"""A generator of a service, in place of a saved one: the service writes the texts, and no model is loaded here."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from softcloze.cli.served import find_version, rows_of_file, validate_row_error, with_answers
from softcloze.client import Client
from softcloze.template import Template

if TYPE_CHECKING:
    from softcloze.prompt.streaming import WrittenRow


@dataclass(frozen=True, slots=True)
class ServedGenerator:
    """A version of a generator that a service writes with.

    Attributes:
        client: of the service.
        name: of the version, as in `summaries@3`: rows stay with it when an alias moves.
        fields: the fields of an example.
        template: the template.
        checksum: of its card.
    """

    client: Client
    name: str
    fields: tuple[str, ...]
    template: Template
    checksum: str

    @classmethod
    def find(cls, url: str, reference: str, token: str | None) -> Self:
        """Find the version that a reference names; raises as `find_version`."""
        from softcloze.prompt.streaming import WRITING_WINDOW

        name, version = find_version(url, reference, token, "generator")
        client = Client(url, token, max_rows=WRITING_WINDOW)  # a request is saved when its texts have come
        return cls(client, name, tuple(version["fields"]), Template(version["template"]), version["sha256"])

    @property
    def templates(self) -> list[Template]:
        """The template, in a list as of a saved prompt."""
        return [self.template]

    def write_rows(self, rows: Iterator[Any], max_new_tokens: int | None, first: int) -> "Iterator[WrittenRow]":
        """Have the service write the texts of rows; it gets the fields of the template and no others.

        Args:
            rows: examples; any other value becomes a row with an error.
            max_new_tokens: new tokens of each text at most; None for as many as the generator says.
            first: index of the first row, for messages.

        Raises:
            ServiceError: the service turned rows away, did not answer in time or is not reached.
        """
        from softcloze.prompt.streaming import WrittenRow

        write = partial(self.client.generate_stream, prompt=self.name, max_new_tokens=max_new_tokens)
        with rows_of_file(first), self.client:
            for index, (row, text) in enumerate(with_answers(rows, self.fields, write)):
                validate_row_error(text.code, self.name, index)
                yield WrittenRow(index, row, text.text, text.error, text.cut)
