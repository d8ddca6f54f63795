"""The client that awaits its answers."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing
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


class AsyncClient(ServiceClient):
    """A client of a service for asyncio: as `Client`, with methods that are awaited.

    Attributes:
        url: of the service.

    Example:
        >>> import asyncio
        >>> async def check():
        ...     async with AsyncClient("http://127.0.0.1:9") as client:  # where no service listens
        ...         return await client.is_ready()
        >>> asyncio.run(check())
        False
    """

    _http_kind = "AsyncClient"

    async def classify(self, example: Example, prompt: str) -> Answer:
        """Classify one example, as `Client.classify`."""
        return await self._run(exchange.classify_one(example, prompt, self._connection.patience))

    async def classify_many(self, examples: Iterable[Example], prompt: str | Sequence[str]) -> list[Answer]:
        """Classify any number of examples, as `Client.classify_many`."""
        return [answer async for answer in self.classify_stream(examples, prompt)]

    async def classify_stream(self, examples: Iterable[Example], prompt: str | Sequence[str]) -> AsyncIterator[Answer]:
        """Classify examples as they arrive, as `Client.classify_stream`."""
        for part in divide(examples, prompt, self._connection.limits):
            for answer in await self._run(exchange.classify_rows(part, self._connection.patience)):
                yield answer

    async def generate(self, example: Example, prompt: str, max_new_tokens: int | None = None) -> Text:
        """Have a generator write the text of one example, as `Client.generate`."""
        return await self._run(exchange.generate(example, prompt, max_new_tokens, self._connection.patience))

    async def generate_many(
        self, examples: Iterable[Example], prompt: str | Sequence[str], max_new_tokens: int | None = None
    ) -> list[Text]:
        """Have generators write the texts of any number of examples, as `Client.generate_many`."""
        return [text async for text in self.generate_stream(examples, prompt, max_new_tokens)]

    async def generate_stream(
        self, examples: Iterable[Example], prompt: str | Sequence[str], max_new_tokens: int | None = None
    ) -> AsyncIterator[Text]:
        """Write texts as examples arrive, as `Client.generate_stream`."""
        most = exchange.validate_new_tokens(max_new_tokens)
        for part in divide(examples, prompt, self._connection.limits):
            for text in await self._run(exchange.generate_rows(part, most, self._connection.patience)):
                yield text

    async def stream(self, example: Example, prompt: str, max_new_tokens: int | None = None) -> AsyncIterator[str]:
        """Have a generator write the text of one example piece by piece, as `Client.stream`.

        Cancelling the task that reads, or `aclose` of the iterator, closes the connection.
        """
        response = await self._run(exchange.begin_stream(example, prompt, max_new_tokens, self._connection.patience))
        events = TextEvents(prompt)
        try:
            async for content in response.aiter_bytes():
                for piece in events.read(content):
                    yield piece
        except self._connection.exception as error:
            raise ServiceError(self._connection.failure(error).problem, prompt) from error
        finally:
            await response.aclose()
        events.validate_end()

    async def explain(self, example: Example, prompt: str, top: int = 10) -> Record:
        """Explain the decision for one example, as `Client.explain`."""
        return await self._run(exchange.explain(example, prompt, top, self._connection.patience))

    async def prompts(self) -> list[Record]:
        """The prompts of the service, as `Client.prompts`."""
        return await self._run(exchange.list_prompts(self._connection.patience))

    async def prompt(self, name: str) -> Record:
        """A prompt of the service, as `Client.prompt`."""
        return await self._run(exchange.describe_prompt(name, self._connection.patience))

    async def is_ready(self) -> bool:
        """Return True if the service answers rows now."""
        return await self._run(exchange.is_ready())

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, steps: Steps[Result]) -> Result:
        reply: Any = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            if isinstance(step, Request):
                reply = await self._send(step)
            else:
                reply = None
                await asyncio.sleep(step.seconds)

    async def _send(self, request: Request) -> Reply:
        if self._http.is_closed:
            raise closed()
        try:
            response = await self._http.send(
                self._http.build_request(**self._connection.arguments(request)), stream=True
            )
            if self._connection.is_text(request, response):
                return Reply(response.status_code, response.headers, b"", response=response)
            content = bytearray()
            async with aclosing(response.aiter_bytes()) as parts:
                async for part in parts:
                    content += part
                    if len(content) > LARGEST_REPLY:
                        break
            await response.aclose()
            return self._connection.reply(response, bytes(content))
        except self._connection.exception as error:
            return self._connection.failure(error)
