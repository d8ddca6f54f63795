"""Gather the rows of concurrent requests into batches, by their tokens."""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Score: TypeAlias = Callable[[Sequence[Item]], Sequence[Answer]]

_KEPT = 0.9  # of the tokens and seconds measured so far, with each batch
_BATCH_SECONDS = 0.5  # for which a row that comes next may wait, if more than `min_tokens` are scored at once
_NEARLY_FULL = 0.9  # of `max_wait`; the rest is for requests that are read already


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


class Queued(Generic[Item, Answer]):
    """The rows of one request in the queue, and their answers.

    Attributes:
        answers: of the rows in their order. None stands for a row that is not scored yet, DeadlineError for one that
            waited too long, and an exception of `score` for itself.
        finished: done when all rows have an answer. Once it is cancelled, rows that still wait are not scored.
        waiting: the rows that wait.
        deadline: time of the event loop after which they are not scored.
    """

    __slots__ = ("_missing", "answers", "deadline", "finished", "waiting")

    def __init__(self, items: Sequence[tuple[Item, int]], deadline: float):
        self.answers: list[Answer | Exception | None] = [None] * len(items)
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting = deque(_Row(self, i, item, tokens) for i, (item, tokens) in enumerate(items))
        self.deadline = deadline
        self._missing = len(items)
        if not items:
            self.finished.set_result(None)

    def answer(self, index: int, answer: Answer | Exception) -> None:
        """Give a row its answer."""
        self.answers[index] = answer
        self._missing -= 1
        if not self._missing and not self.finished.done():
            self.finished.set_result(None)


@dataclass(eq=False, slots=True)
class _Row(Generic[Item, Answer]):
    """A row of a request."""

    request: Queued[Item, Answer]
    index: int
    item: Item
    tokens: int


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
        min_tokens: int | None = None,
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
            min_tokens: a batch may have as many even if they take longer than half a second, and more only if they take
                less by the latest batches. None for `max_tokens`.
            max_wait: seconds of queued work beyond which `reserve` raises.
            observe: is called with each batch.
            group: items with equal values may share a batch.
        """
        self._score, self._executor, self._observe, self._group = score, executor, observe, group
        self._max_tokens, self._max_wait = max_tokens, max_wait
        self._min_tokens = max_tokens if min_tokens is None else min(min_tokens, max_tokens)
        self._requests: deque[Queued[Item, Answer]] = deque()
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._measured_tokens, self._measured_seconds = 0.0, 0.0
        self.queued_tokens = 0  # of rows that are reserved, wait or are being scored
        self.queued_rows = 0

    @property
    def tokens_per_second(self) -> float:
        """Tokens scored in a second, by the latest batches; infinite before the first."""
        return self._measured_tokens / self._measured_seconds if self._measured_seconds else math.inf

    def validate_wait(self) -> None:
        """Raise OverloadedError where a request is turned away before it is read.

        That begins before the queue is full, so that few requests are read and then turned away by `reserve`.
        """
        self._validate(0, _NEARLY_FULL * self._max_wait)

    @contextmanager
    def reserve(self, tokens: int) -> Iterator[None]:
        """Let in a request, and count its tokens, about, as queued until its rows are submitted.

        Rows are encoded meanwhile, so that none is encoded in vain. A queue that is empty takes any number of tokens.

        Raises:
            OverloadedError: too much is queued.
        """
        self._validate(tokens, self._max_wait)
        self.queued_tokens += tokens
        try:
            yield
        finally:
            self.queued_tokens -= tokens

    def submit(self, items: Sequence[tuple[Item, int]], deadline: float) -> Queued[Item, Answer]:
        """Queue the rows of a request that `reserve` let in.

        Args:
            items: with their numbers of tokens.
            deadline: time of the event loop after which they are not scored any more.
        """
        request: Queued[Item, Answer] = Queued(items, deadline)
        if items:
            self.queued_rows += len(items)
            self.queued_tokens += sum(tokens for _, tokens in items)
            self._requests.append(request)
            self._arrived.set()
            self._idle.clear()
        return request

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
            self._forget(batch)
            for row, answer in zip(batch, answers, strict=True):
                row.request.answer(row.index, answer)
            self._observe(record)

    async def drain(self) -> None:
        """Wait until no row is left."""
        await self._idle.wait()

    def _next_batch(self, now: float) -> list[_Row[Item, Answer]]:
        """Take a row of each request in turn, then those of the requests with the earliest deadlines.

        Tokens are the limit; rows that nobody waits for are dropped. Lists that share what is left would all end with
        the same batch, and after it there would be little to score until their clients send the next.
        """
        batch: list[_Row[Item, Answer]] = []
        tokens, full = 0, False
        limit = max(self._min_tokens, min(self._max_tokens, _BATCH_SECONDS * self.tokens_per_second))

        def take(request: Queued[Item, Answer]) -> None:
            nonlocal tokens, full
            row = request.waiting[0]
            full = bool(batch) and tokens + row.tokens > limit
            if not full:
                batch.append(request.waiting.popleft())
                tokens += row.tokens

        def is_of_batch(request: Queued[Item, Answer]) -> bool:
            return not batch or self._group(request.waiting[0].item) == self._group(batch[0].item)

        others: deque[Queued[Item, Answer]] = deque()  # requests whose next row is of another group
        for request in [*self._requests]:
            if full:
                break
            if request.finished.done() or request.deadline < now:
                self._drop(self._requests.popleft())
            elif not is_of_batch(request):
                others.append(self._requests.popleft())
            else:
                take(request)
                self._requests.rotate(0 if full else -1)
        for request in sorted(self._requests, key=lambda request: request.deadline):
            while request.waiting and is_of_batch(request) and not full:
                take(request)
        self._requests = others + deque(request for request in self._requests if request.waiting)
        return batch

    def _drop(self, request: Queued[Item, Answer]) -> None:
        """Answer the rows that wait without scoring them."""
        self._forget(request.waiting)
        for row in request.waiting:
            request.answer(row.index, DeadlineError())

    def _validate(self, tokens: int, max_wait: float) -> None:
        queued = self.queued_tokens
        if queued and (queued + tokens) / self.tokens_per_second > max_wait:
            raise OverloadedError(max(1, math.ceil(queued / self.tokens_per_second)))

    def _forget(self, rows: Collection[_Row[Item, Answer]]) -> None:
        self.queued_rows -= len(rows)
        self.queued_tokens -= sum(row.tokens for row in rows)

    def _answers(self, items: Sequence[Item]) -> Sequence[Answer | Exception]:
        """The answers of a batch, or exceptions; runs in the executor."""
        try:
            return self._score(items)
        except Exception as error:  # noqa: BLE001 - the request has its answer, and the service goes on
            if len(items) == 1:
                return [error]
            return [answer for item in items for answer in self._answers([item])]
