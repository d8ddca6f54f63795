"""Classify the rows, and write the texts, of concurrent requests with one frozen model."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from typing import TypeAlias

from softcloze.backbone import Backbone
from softcloze.prompt import EncodedRow
from softcloze.registry import Registry
from softcloze.service.answers import RowError
from softcloze.service.batcher import Batcher, DeadlineError, OverloadedError
from softcloze.service.catalogue import Catalogue, Loader
from softcloze.service.explaining import ExplainedOutcome, explain_scored, score_to_explain
from softcloze.service.generator import ServedGenerator
from softcloze.service.metrics import Metrics
from softcloze.service.model_thread import ModelThread
from softcloze.service.observe import type_and_place
from softcloze.service.settings import ServiceSettings
from softcloze.service.version import JsonExample, ServedVersion, encode_rows
from softcloze.service.wire import RowAnswer, RowBody, TextAnswer
from softcloze.service.writing import Draft, Writing

LOG = logging.getLogger("softcloze.service")
MAX_EXPLANATIONS = 8  # that wait for the model

Outcome: TypeAlias = RowAnswer | RowError
Item: TypeAlias = tuple[ServedVersion, EncodedRow]
Job: TypeAlias = tuple[ServedVersion, JsonExample]


class UnavailableError(Exception):
    """The service is shutting down."""


class Service:
    """One backbone, the prompts of a registry, a queue of rows and a queue of texts.

    Encoding has a thread, and the model has one. All methods are called in the event loop.

    Attributes:
        settings: limits.
        backbone: the model.
        metrics: counters.
        catalogue: the versions that are served now; replaced as a whole.
        writing: the texts that generators write.
        draining: True after SIGTERM, when new rows are turned away.
    """

    def __init__(self, registry: Registry, backbone: Backbone, settings: ServiceSettings | None = None):
        """Make a service that has no prompts yet.

        Args:
            registry: of the prompts.
            backbone: the model; prompts of another one are listed and not served.
            settings: limits; None for the defaults.
        """
        settings = settings if settings is not None else ServiceSettings()
        self.settings, self.backbone = settings, backbone
        self.metrics = Metrics()
        self.catalogue = Catalogue()
        self.draining = False
        self._drain_end: float | None = None
        self._loader = Loader(registry, backbone, settings)
        self._encoding = ThreadPoolExecutor(1, "encoding")
        self._model = ModelThread()
        self.writing = Writing(backbone, self._model, self._encoding, settings, self.metrics)
        self._explanations = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._batcher: Batcher[Item, Outcome] = Batcher(
            _score,
            self._model,
            max_tokens=settings.max_batch_tokens or 8 * backbone.token_budget,
            min_tokens=backbone.token_budget,
            max_wait=settings.max_wait,
            observe=self.metrics.count_batch,
        )
        self.metrics.watch("queued_rows", lambda: self._batcher.queued_rows)
        self.metrics.watch("queued_tokens", lambda: self._batcher.queued_tokens)
        self.metrics.watch("versions", lambda: len(self.catalogue.versions))

    @property
    def is_ready(self) -> bool:
        """True while rows are answered."""
        return bool(self._tasks) and not self.draining

    async def start(self) -> None:
        """Load the prompts and begin to answer."""
        await self._reload()
        self._tasks = [asyncio.create_task(job) for job in (self._batcher.run(), self.writing.run(), self._poll())]

    def begin_drain(self) -> None:
        """Turn new rows away; the time for those that wait begins now."""
        self.draining = True
        if self._drain_end is None:
            self._drain_end = time.monotonic() + self.settings.drain_seconds

    async def stop(self) -> None:
        """Answer the rows and write the texts that are queued, and end the threads."""
        self.begin_drain()
        assert self._drain_end is not None
        with suppress(TimeoutError):
            async with asyncio.timeout(self._drain_end - time.monotonic()):
                await self._batcher.drain()
                await self.writing.drain()
        self.writing.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for executor in (self._encoding, self._model):
            executor.shutdown(wait=False, cancel_futures=True)

    async def classify(self, rows: Sequence[RowBody]) -> list[Outcome]:
        """Classify the rows of one request.

        Args:
            rows: each with its prompt.

        Returns:
            The answer to each row, or why it has none.

        Raises:
            UnavailableError: the service is shutting down.
            OverloadedError: too much work is queued.
        """
        if not self.is_ready:
            raise UnavailableError
        loop = asyncio.get_running_loop()
        started = loop.time()
        deadline = started + self.settings.deadline
        jobs = self._jobs(rows)
        with self._batcher.reserve(self._estimate(jobs)):
            results = await self._encode(jobs, deadline)
            items = [result for result in results if not isinstance(result, RowError)]
            queued = self._batcher.submit([(item, item[1].cost) for item in items], deadline)
        try:
            await asyncio.wait([queued.finished], timeout=deadline - loop.time())
        finally:
            queued.finished.cancel()  # the client is gone, or the deadline has passed
        answers = iter(queued.answers)
        outcomes = [result if isinstance(result, RowError) else _outcome(next(answers)) for result in results]
        self._record(outcomes, sum(row.cost for _, row in items), loop.time() - started)
        return outcomes

    async def explain(self, rows: Sequence[RowBody], top: int) -> list[ExplainedOutcome]:
        """Classify the rows of one request in one batch, as `classify` does, and explain each answer.

        Args:
            rows: each with its prompt.
            top: number of the likeliest words of the vocabulary.

        Returns:
            For each row its answer and the explanation, or the error in place of either.

        Raises:
            UnavailableError: the service is shutting down.
            OverloadedError: too many explanations wait.
        """
        if not self.is_ready:
            raise UnavailableError
        if self._explanations >= MAX_EXPLANATIONS:
            raise OverloadedError(1)
        loop = asyncio.get_running_loop()
        started = loop.time()
        jobs = self._jobs(rows)
        self._explanations += 1
        try:
            with self._batcher.reserve(self._estimate(jobs)):
                results = await self._encode(jobs, started + self.settings.deadline)
                items = [result for result in results if not isinstance(result, RowError)]
                explained = []
                for scored in await loop.run_in_executor(self._model, score_to_explain, items):
                    # a job for each, between which batches of rows are scored
                    explained.append(await loop.run_in_executor(self._model, explain_scored, scored, top))
        finally:
            self._explanations -= 1
        answers = iter(explained)
        outcomes = [result if isinstance(result, RowError) else next(answers) for result in results]
        classified = [outcome[0] if isinstance(outcome, tuple) else outcome for outcome in outcomes]
        self._record(classified, sum(row.cost for _, row in items), loop.time() - started)
        return outcomes

    async def begin_text(self, row: RowBody, max_new_tokens: int | None, *, in_pieces: bool = False) -> Draft:
        """Queue the text of a row; `writing` finishes or streams it.

        Raises:
            UnavailableError: the service is shutting down.
            OverloadedError: too much work is queued.
            RowError: there is no such generator, the row does not fit, or its new tokens are too many.
        """
        if not self.is_ready:
            raise UnavailableError
        served = self.generator(str(row.prompt_id))
        return await self.writing.begin(served, row.example, max_new_tokens, in_pieces=in_pieces)

    async def generate(self, row: RowBody, max_new_tokens: int | None) -> TextAnswer:
        """Write the text of a row; raises as `begin_text`, and RowError if it is not written in time."""
        return await self.writing.finish(await self.begin_text(row, max_new_tokens))

    async def generate_rows(self, rows: Sequence[RowBody], max_new_tokens: int | None) -> list[TextAnswer | RowError]:
        """Write the texts of the rows of one request.

        Raises:
            UnavailableError: the service is shutting down.
            OverloadedError: too much work is queued.
            RowError: the request has too many new tokens.
        """
        if not self.is_ready:
            raise UnavailableError
        jobs: list[tuple[ServedGenerator, JsonExample] | RowError] = []
        for row in rows:
            try:
                jobs.append((self.generator(str(row.prompt_id)), row.example))
            except RowError as error:
                jobs.append(error)
        return await self.writing.finish_all(await self.writing.begin_all(jobs, max_new_tokens))

    def classifier(self, reference: str) -> ServedVersion:
        """The version of a prompt that gives labels; raises RowError for a generator, or if there is none."""
        served = self.catalogue.resolve(reference)
        if not isinstance(served, ServedVersion):
            raise RowError(422, "wrong_route", f"{served.name} is a generator, which writes text: POST /generate")
        return served

    def generator(self, reference: str) -> ServedGenerator:
        """The version of a generator; raises RowError for a prompt that gives labels, or if there is none."""
        served = self.catalogue.resolve(reference)
        if not isinstance(served, ServedGenerator):
            raise RowError(422, "wrong_route", f"{served.name} gives labels and writes no text: POST /classify")
        return served

    def validate_capacity(self) -> None:
        """Raise where the rows of a request are turned away before it is read.

        Raises:
            UnavailableError: the service is shutting down.
            OverloadedError: too much work is queued.
        """
        if not self.is_ready:
            raise UnavailableError
        self._batcher.validate_wait()

    def _jobs(self, rows: Sequence[RowBody]) -> list[Job | RowError]:
        """The versions and examples of rows, or why they are not classified."""
        classifier = cache(self.classifier)  # most rows of a request have the same prompt
        jobs: list[Job | RowError] = []
        for row in rows:
            try:
                version, example = classifier(str(row.prompt_id)), row.example
                version.validate_size(example, self.settings.max_field_characters)
                jobs.append((version, example))
            except RowError as error:
                jobs.append(error)
        return jobs

    def _estimate(self, jobs: Sequence[Job | RowError]) -> int:
        """About as many tokens as examples have, before they are encoded."""
        longest = self.backbone.max_length
        return sum(job[0].estimate_tokens(job[1], longest) for job in jobs if not isinstance(job, RowError))

    async def _encode(self, jobs: Sequence[Job | RowError], deadline: float) -> list[Item | RowError]:
        """Encode examples until a deadline, in the thread of the model if a prompt needs it."""
        by_model = any(job[0].prompt.encodes_with_model for job in jobs if not isinstance(job, RowError))
        encoder = self._model if by_model else self._encoding
        return await asyncio.get_running_loop().run_in_executor(encoder, _encode, jobs, deadline)

    async def _poll(self) -> None:
        """Load what changed in the registry, again and again."""
        while True:
            await asyncio.sleep(self.settings.poll_seconds)
            try:
                await self._reload()
            except Exception as error:  # noqa: BLE001 - what is served stays, and the next look may succeed
                LOG.error("the registry could not be loaded: %s", type_and_place(error))

    async def _reload(self) -> None:
        """Replace the catalogue if aliases changed."""
        loop = asyncio.get_running_loop()
        state = await loop.run_in_executor(self._encoding, self._loader.state)
        if state is None or state == self.catalogue.state:
            return
        before = self.catalogue.versions
        self.catalogue = await loop.run_in_executor(self._model, self._loader.load, self.catalogue, state)
        self.metrics.count_loads(len(self.catalogue.versions.keys() - before.keys()), len(self.catalogue.faults))
        LOG.info("serving %s", ", ".join(sorted(self.catalogue.versions)) or "no prompt")

    def _record(self, outcomes: Sequence[Outcome], tokens: int, seconds: float) -> None:
        """Count the rows of a request and log them, by prompts that are served and codes of failures."""
        failed = Counter(outcome.code for outcome in outcomes if isinstance(outcome, RowError))
        answered = Counter((row.prompt_id, row.version) for row in outcomes if isinstance(row, RowAnswer))
        for code, rows in failed.items():
            self.metrics.count_failed_rows(code, rows)
        for (name, number), rows in answered.items():
            self.metrics.count_answered_rows(str(name), int(number or 0), rows)
        LOG.info(
            "rows=%d prompts=%s tokens=%d ms=%.1f failures=%s",
            len(outcomes),
            ",".join(sorted(f"{name}@{number}" for name, number in answered)) or "-",
            tokens,
            1000 * seconds,
            ",".join(sorted(failed)) or "-",
        )


def _encode(jobs: Sequence[Job | RowError], deadline: float) -> list[Item | RowError]:
    """Encode examples, each for its version, unless a time of the monotonic clock has passed; runs in a thread."""
    if time.monotonic() > deadline:
        return [job if isinstance(job, RowError) else _late() for job in jobs]
    rows = [job for job in jobs if not isinstance(job, RowError)]
    encoded = iter(encode_rows(rows))
    results: list[Item | RowError] = []
    for job in jobs:
        if isinstance(job, RowError):
            results.append(job)
        else:
            row = next(encoded)
            results.append(row if isinstance(row, RowError) else (job[0], row))
    return results


def _score(items: Sequence[Item]) -> list[Outcome]:
    """Score encoded rows in shared batches, and make their answers; runs in the thread of the model."""
    predictions = items[0][0].prompts.score_rows([row for _, row in items])
    outcomes: list[Outcome] = []
    for (version, _), prediction in zip(items, predictions, strict=True):
        try:
            outcomes.append(version.answer(prediction))
        except RowError as error:
            outcomes.append(error)
    return outcomes


def _late() -> RowError:
    return RowError(504, "deadline", "the row could not be scored in time")


def _outcome(answer: Outcome | Exception | None) -> Outcome:
    """The outcome of a row that was queued."""
    match answer:
        case None | DeadlineError():
            return _late()
        case RowAnswer() | RowError():
            return answer
    LOG.error("a row could not be scored: %s", type_and_place(answer))
    return RowError(500, "scoring", "the row could not be scored")
