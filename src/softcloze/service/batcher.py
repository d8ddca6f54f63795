"""Gather the rows of concurrent requests into batches, by their tokens."""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Score: TypeAlias = Callable[[Sequence[Item]], Sequence[Answer]]

_KEPT = 0.9  # of the tokens and seconds measured so far, with each batch


class OverloadedError(Exception):
    """More work is queued than the service may take on.

    Attributes:
        retry_after: seconds after which the queue is expected to be empty.
    """

    def __init__(self, retry_after: int):
        super().__init__(retry_after)
        self.retry_after = retry_after


class DeadlineError(Exception):
    """A row waited longer than its deadline."""


@dataclass(eq=False, slots=True)
class _Row(Generic[Item, Answer]):
    """A row that waits to be scored."""

    item: Item
    tokens: int
    deadline: float
    answer: asyncio.Future[Answer]


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """A batch that was scored: its rows, their tokens, and the seconds that it took."""

    rows: int
    tokens: int
    seconds: float


class Batcher(Generic[Item, Answer]):
    """One queue of rows and one batch at a time.

    While a batch is scored the next rows gather; nothing waits for a batch to fill. Requests take turns, so that a
    request of many rows does not hold up a single one. All methods run in the event loop; `score` runs in `executor`.
    """

    def __init__(
        self,
        score: Score[Item, Answer],
        executor: Executor,
        *,
        max_tokens: int,
        max_wait: float,
        observe: Callable[[BatchRecord], None] = lambda record: None,
        group: Callable[[Item], Hashable] = lambda item: None,
    ):
        """Make an empty queue; `run` scores what comes in.

        Args:
            score: gives the answers of items in their order. If it raises, the items are scored one by one, so that
                only those that raise again have an exception for an answer.
            executor: of one thread.
            max_tokens: of a batch; a single row may have more.
            max_wait: seconds of queued work beyond which `submit` raises.
            observe: is called with each batch.
            group: items with equal values may share a batch.
        """
        self._score, self._executor, self._observe, self._group = score, executor, observe, group
        self._max_tokens, self._max_wait = max_tokens, max_wait
        self._requests: deque[deque[_Row[Item, Answer]]] = deque()
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._measured_tokens, self._measured_seconds = 0.0, 0.0
        self.queued_tokens = 0  # of rows that wait or are being scored
        self.queued_rows = 0

    @property
    def tokens_per_second(self) -> float:
        """Tokens scored in a second, by the latest batches; infinite before the first."""
        return self._measured_tokens / self._measured_seconds if self._measured_seconds else math.inf

    def validate_wait(self, tokens: int = 0) -> None:
        """Raise OverloadedError if `tokens` more are too many; a queue that is empty takes any number."""
        queued = self.queued_tokens
        if queued and (queued + tokens) / self.tokens_per_second > self._max_wait:
            raise OverloadedError(max(1, math.ceil(queued / self.tokens_per_second)))

    def submit(self, items: Sequence[tuple[Item, int]], deadline: float) -> list[asyncio.Future[Answer]]:
        """Queue the rows of one request, all or none.

        Args:
            items: with their numbers of tokens.
            deadline: time of the event loop after which they are not scored any more.

        Returns:
            The futures of their answers. One that is cancelled is not scored; one has DeadlineError if its deadline
            passes while it waits, and the exception that `score` raised for it.

        Raises:
            OverloadedError: too much is queued.
        """
        self.validate_wait(sum(tokens for _, tokens in items))
        loop = asyncio.get_running_loop()
        rows = deque(_Row(item, tokens, deadline, loop.create_future()) for item, tokens in items)
        answers = [row.answer for row in rows]
        if rows:
            self.queued_rows += len(rows)
            self.queued_tokens += sum(row.tokens for row in rows)
            self._requests.append(rows)
            self._arrived.set()
            self._idle.clear()
        return answers

    @contextmanager
    def reserve(self, tokens: int) -> Iterator[None]:
        """Count tokens as queued while `executor` works on rows that cannot be submitted yet.

        Raises:
            OverloadedError: too much is queued.
        """
        self.validate_wait(tokens)
        self.queued_tokens += tokens
        try:
            yield
        finally:
            self.queued_tokens -= tokens

    async def run(self) -> None:
        """Score batches until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            batch = self._next_batch(loop.time())
            if not batch:
                self._arrived.clear()
                self._idle.set()
                continue
            started = loop.time()
            answers = await loop.run_in_executor(self._executor, self._answers, [row.item for row in batch])
            record = BatchRecord(len(batch), sum(row.tokens for row in batch), loop.time() - started)
            self._measured_tokens = _KEPT * self._measured_tokens + record.tokens
            self._measured_seconds = _KEPT * self._measured_seconds + record.seconds
            for row, answer in zip(batch, answers, strict=True):
                self._forget(row)
                if not row.answer.done():
                    if isinstance(answer, Exception):
                        row.answer.set_exception(answer)
                    else:
                        row.answer.set_result(answer)
            self._observe(record)

    async def drain(self) -> None:
        """Wait until no row is left."""
        await self._idle.wait()

    def _next_batch(self, now: float) -> list[_Row[Item, Answer]]:
        """Take rows from the requests in turn, up to the tokens of a batch; drop those that nobody waits for."""
        batch: list[_Row[Item, Answer]] = []
        tokens = 0
        others: deque[deque[_Row[Item, Answer]]] = deque()  # requests whose next row is of another group
        while self._requests:
            rows = self._requests[0]
            row = rows[0]
            late = row.deadline < now
            wanted = not row.answer.done() and not late
            if wanted and batch and self._group(row.item) != self._group(batch[0].item):
                others.append(self._requests.popleft())
                continue
            if wanted and batch and tokens + row.tokens > self._max_tokens:
                break
            rows.popleft()
            self._requests.rotate(-1)
            if not rows:
                self._requests.pop()
            if wanted:
                batch.append(row)
                tokens += row.tokens
                continue
            self._forget(row)
            if late and not row.answer.done():
                row.answer.set_exception(DeadlineError())
        self._requests.extendleft(reversed(others))
        return batch

    def _forget(self, row: _Row[Item, Answer]) -> None:
        self.queued_rows -= 1
        self.queued_tokens -= row.tokens

    def _answers(self, items: Sequence[Item]) -> Sequence[Answer | Exception]:
        """The answers of a batch, or exceptions; runs in the executor."""
        try:
            return self._score(items)
        except Exception as error:  # noqa: BLE001 - the request has its answer, and the service goes on
            if len(items) == 1:
                return [error]
            return [answer for item in items for answer in self._answers([item])]
