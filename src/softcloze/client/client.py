"""The client that waits for its answers."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from types import TracebackType
from typing import Any, Self, TypeVar

from softcloze.client import exchange
from softcloze.client.answers import Answer, Record, Text
from softcloze.client.base import ServiceClient
from softcloze.client.connection import LARGEST_REPLY, closed
from softcloze.client.events import TextEvents
from softcloze.client.exchange import Reply, Request, Steps
from softcloze.client.rows import Example, divide
from softcloze.errors import ServiceError

Result = TypeVar("Result")


class Client(ServiceClient):
    """A client of a service that `softcloze serve` runs.

    It needs httpx2: `pip install 'softcloze[client]'`. Several threads may use one client.

    A request that the service turns away with 429 or 503 is repeated after the pause that the service asks for
    (Retry-After). Where it asks for none, the pauses are 0.5, 1, 2, … seconds, and 30 at most. A request whose
    connection is dropped is sent once more, except `stream`.

    Attributes:
        url: of the service.

    Example:
        >>> with Client("http://127.0.0.1:9") as client:  # where no service listens
        ...     client.is_ready()
        False
    """

    _http_kind = "Client"

    def classify(self, example: Example, prompt: str) -> Answer:
        """Classify one example.

        Args:
            example: a text, or a mapping of the fields of the prompt's template.
            prompt: its name, as in "reviews", "reviews@canary" or "reviews@3".

        Raises:
            DataError: the example is neither, or has a value that JSON has not.
            ParameterError: `prompt` is no name.
            ServiceError: the service has no answer to it, turned it away for too long, or is not reached.
        """
        return self._run(exchange.classify_one(example, prompt, self._connection.patience))

    def classify_many(self, examples: Iterable[Example], prompt: str | Sequence[str]) -> list[Answer]:
        """Classify any number of examples, in as many requests as they need.

        Args:
            examples: texts or mappings of fields.
            prompt: a name for all, or a name for each.

        Returns:
            The answers, in the order of the examples. One that has none has the reason in `error`, and all others have
            their answers.

        Raises:
            DataError: the prompts are not as many as the examples.
            ParameterError: `prompt` is no name.
            ServiceError: a request was turned away for too long, or the service is not reached; `rows` says which.
        """
        return [*self.classify_stream(examples, prompt)]

    def classify_stream(self, examples: Iterable[Example], prompt: str | Sequence[str]) -> Iterator[Answer]:
        """Classify examples as they arrive, in constant memory; as `classify_many`, with a request at a time."""
        for part in divide(examples, prompt, self._connection.limits):
            yield from self._run(exchange.classify_rows(part, self._connection.patience))

    def generate(self, example: Example, prompt: str, max_new_tokens: int | None = None) -> Text:
        """Have a generator write the text of one example.

        Args:
            example: as for `classify`.
            prompt: the name of a generator, as in "summaries" or "summaries@3".
            max_new_tokens: new tokens at most; None for as many as the generator says.

        Raises:
            DataError: the example is neither text nor a mapping, or has a value that JSON has not.
            ParameterError: `prompt` is no name, or `max_new_tokens` no number from 1.
            ServiceError: as `classify`, or the prompt gives labels and writes no text.
        """
        return self._run(exchange.generate(example, prompt, max_new_tokens, self._connection.patience))

    def generate_many(
        self, examples: Iterable[Example], prompt: str | Sequence[str], max_new_tokens: int | None = None
    ) -> list[Text]:
        """Have generators write the texts of any number of examples, in as many requests as they need.

        Args:
            examples: texts or mappings of fields.
            prompt: a name for all, or a name for each.
            max_new_tokens: new tokens of each text at most; None for as many as its generator says.

        Returns:
            The texts, in the order of the examples. One that has none has the reason in `error`. Those that the
            service did not write in time are sent again with fewer others.

        Raises:
            DataError: the prompts are not as many as the examples.
            ParameterError: `prompt` is no name, or `max_new_tokens` no number from 1.
            ServiceError: a request was turned away for too long, or the service is not reached; `rows` says which.
        """
        return [*self.generate_stream(examples, prompt, max_new_tokens)]

    def generate_stream(
        self, examples: Iterable[Example], prompt: str | Sequence[str], max_new_tokens: int | None = None
    ) -> Iterator[Text]:
        """Write texts as examples arrive, in constant memory; as `generate_many`, with a request at a time."""
        most = exchange.validate_new_tokens(max_new_tokens)
        for part in divide(examples, prompt, self._connection.limits):
            yield from self._run(exchange.generate_rows(part, most, self._connection.patience))

    def stream(self, example: Example, prompt: str, max_new_tokens: int | None = None) -> Iterator[str]:
        """Have a generator write the text of one example piece by piece.

        Closing the iterator before its end closes the connection, and the service stops writing.

        Args:
            example: as for `generate`.
            prompt: as for `generate`.
            max_new_tokens: as for `generate`.

        Yields:
            The pieces, which are the text of `generate` together.

        Raises:
            SoftclozeError: as `generate`, at the first piece; and ServiceError if the text ends too early.
        """
        response = self._run(exchange.begin_stream(example, prompt, max_new_tokens, self._connection.patience))
        events = TextEvents(prompt)
        try:
            for content in response.iter_bytes():
                yield from events.read(content)
        except self._connection.exception as error:
            raise ServiceError(self._connection.failure(error).problem, prompt) from error
        finally:
            response.close()
        events.validate_end()

    def explain(self, example: Example, prompt: str, top: int = 10) -> Record:
        """Explain the decision for one example.

        Args:
            example: as for `classify`.
            prompt: as for `classify`.
            top: number of the likeliest words of the vocabulary.

        Returns:
            The answer of `POST /explain`: that of `POST /classify`, and the label words, their shares, and the
            likeliest words at the mask.

        Raises:
            ServiceError: as `classify`, or the prompt has no explanation.
        """
        return self._run(exchange.explain(example, prompt, top, self._connection.patience))

    def prompts(self) -> list[Record]:
        """The prompts of the service, as `GET /prompts` has them; raises ServiceError."""
        return self._run(exchange.list_prompts(self._connection.patience))

    def prompt(self, name: str) -> Record:
        """A prompt of the service with its aliases and versions; raises ServiceError if there is none."""
        return self._run(exchange.describe_prompt(name, self._connection.patience))

    def is_ready(self) -> bool:
        """Return True if the service answers rows now."""
        return self._run(exchange.is_ready())

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, steps: Steps[Result]) -> Result:
        reply: Any = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            if isinstance(step, Request):
                reply = self._send(step)
            else:
                reply = None
                time.sleep(step.seconds)

    def _send(self, request: Request) -> Reply:
        if self._http.is_closed:
            raise closed()
        try:
            response = self._http.send(self._http.build_request(**self._connection.arguments(request)), stream=True)
            if self._connection.is_text(request, response):
                return Reply(response.status_code, response.headers, b"", response=response)
            content = bytearray()
            with closing(response.iter_bytes()) as parts:
                for part in parts:
                    content += part
                    if len(content) > LARGEST_REPLY:
                        break
            response.close()
            return self._connection.reply(response, bytes(content))
        except self._connection.exception as error:
            return self._connection.failure(error)
