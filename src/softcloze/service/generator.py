"""A version of a generator that is served: from the fields of a row to its text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from softcloze.encoding import EncodedPrompt
from softcloze.errors import FieldError, SoftclozeError
from softcloze.generation import TextPieces, Written
from softcloze.prompt import BoundGenerator, GeneratorPrompt
from softcloze.service.answers import RowError
from softcloze.service.version import JsonExample, Served


@dataclass(frozen=True, eq=False, slots=True)
class ServedGenerator(Served):
    """A version of a generator, bound to the model.

    Attributes:
        bound: the generator with its model.
        most: new tokens that the service writes at most.
    """

    bound: BoundGenerator
    most: int

    @property
    def prompt(self) -> GeneratorPrompt:
        """The generator."""
        return self.bound.prompt

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of an example."""
        return self.bound.fields

    @property
    def max_new_tokens(self) -> int:
        """New tokens of a text at most, where a request does not say."""
        return min(self.bound.writer.limit, self.most)

    def limit(self, max_new_tokens: int | None) -> int:
        """New tokens of a text at most, where a request asks for `max_new_tokens`, or for none in particular.

        Raises:
            RowError: the service writes fewer.
        """
        if max_new_tokens is not None and max_new_tokens > self.most:
            raise RowError(422, "too_many_tokens", f"this service writes {self.most} new tokens at most")
        return max_new_tokens if max_new_tokens is not None else self.max_new_tokens

    @property
    def draws(self) -> bool:
        """True if texts are drawn: those of one batch share their random numbers, so that each is written alone."""
        return bool(self.prompt.options.get("do_sample"))

    def encode(self, example: JsonExample, max_new_tokens: int) -> EncodedPrompt:
        """Encode an example with space for new tokens.

        Raises:
            RowError: the example does not fit.
        """
        try:
            (prompt,) = self.bound.encode([example], {"max_new_tokens": max_new_tokens})
        except FieldError as error:
            raise RowError(422, "row", self.about_row(example)) from error
        except SoftclozeError as error:
            message = f"{self.about_row(example)}, with {max_new_tokens} new tokens"
            raise RowError(422, "row", message) from error
        return prompt

    def write(
        self, prompts: Sequence[EncodedPrompt], max_new_tokens: int, follow: Callable[[int, Sequence[int]], bool]
    ) -> list[Written]:
        """Write texts in one batch; see `Writer.write`. A text that is drawn is the same each time."""
        return self.bound.written(prompts, {"max_new_tokens": max_new_tokens}, follow=follow)

    def pieces(self) -> TextPieces:
        """Decodes one text while it is written."""
        return TextPieces(self.bound.writer)
