"""Write the texts of concurrent requests with the model that classifies, and send their pieces."""

import asyncio
import logging
from collections.abc import AsyncIterator, Hashable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from softcloze.backbone import Backbone
from softcloze.encoding import EncodedPrompt
from softcloze.generation import Written
from softcloze.service.answers import RowError
from softcloze.service.batcher import Batcher, DeadlineError, Queued
from softcloze.service.generator import ServedGenerator
from softcloze.service.metrics import Metrics
from softcloze.service.model_thread import ModelThread
from softcloze.service.observe import type_and_place
from softcloze.service.settings import ServiceSettings
from softcloze.service.version import JsonExample
from softcloze.service.wire import TextAnswer

LOG = logging.getLogger("softcloze.service")


@dataclass(eq=False, slots=True)
class Draft:
    """A text that waits to be written, or is being written.

    Attributes:
        served: its generator.
        prompt: the encoded example.
        max_new_tokens: its new tokens at most.
        started: time of the event loop when its request came.
        deadline: time of the event loop at which it has to be written.
        pieces: takes its pieces, in the event loop, and None at the end; None for a text that is sent as a whole.
        is_needed: False once nobody waits for it.
    """

    served: ServedGenerator
    prompt: EncodedPrompt
    max_new_tokens: int
    started: float
    deadline: float
    pieces: asyncio.Queue[str | None] | None
    is_needed: bool = True
    queued: Queued["Draft", Written] = field(init=False)
    _loop: asyncio.AbstractEventLoop = field(init=False, default_factory=asyncio.get_running_loop)

    @property
    def group(self) -> Hashable:
        """Equal for texts that may be written in one batch."""
        return id(self) if self.served.draws else (id(self.served), self.max_new_tokens)

    def send(self, piece: str) -> None:
        """Send a piece unless it is empty; runs in the thread of the model."""
        if self.pieces is not None and piece:
            self._loop.call_soon_threadsafe(self.pieces.put_nowait, piece)

    def close(self) -> None:
        """Have the model stop if it still writes this text."""
        self.is_needed = False
        self.queued.finished.cancel()


class Writing:
    """A queue of texts, of which those of one version and one number of new tokens are written together.

    One batch is written at a time, in the thread of the model. After each token the rows to be classified that wait are
    scored, so that they wait for one token of the batch at most. All methods are called in the event loop.
    """

    def __init__(
        self, backbone: Backbone, model: ModelThread, encoding: Executor, settings: ServiceSettings, metrics: Metrics
    ):
        """Make an empty queue; `run` writes what comes in."""
        self._model, self._encoding, self._settings, self._metrics = model, encoding, settings, metrics
        self._longest = backbone.max_length
        self._is_stopped = False
        self._batcher: Batcher[Draft, Written] = Batcher(
            self._write,
            model,
            max_tokens=backbone.token_budget,
            max_wait=settings.max_wait,
            observe=metrics.count_text_batch,
            group=_group,
        )
        metrics.watch("queued_texts", lambda: self._batcher.queued_rows)

    async def run(self) -> None:
        """Write batches until cancelled."""
        await self._batcher.run()

    async def drain(self) -> None:
        """Wait until no text is left."""
        await self._batcher.drain()

    def stop(self) -> None:
        """Have the model stop after the current token."""
        self._is_stopped = True

    def validate_capacity(self) -> None:
        """Raise OverloadedError where a request is turned away before it is read."""
        self._batcher.validate_wait()

    async def begin(
        self, served: ServedGenerator, example: JsonExample, max_new_tokens: int | None, *, in_pieces: bool
    ) -> Draft:
        """Queue a text, which has to be closed in the end.

        Args:
            served: the generator.
            example: the example.
            max_new_tokens: new tokens at most; None for as many as the generator says.
            in_pieces: whether `stream` sends it.

        Raises:
            OverloadedError: too much is queued.
            RowError: the example does not fit, or the new tokens are more than the service writes.
        """
        most = served.limit(max_new_tokens)
        served.validate_size(example, self._settings.max_field_characters)
        with self._batcher.reserve(self._estimate(served, example, most)):
            return self._submit(await self._encode(served, example, most, in_pieces=in_pieces))

    async def begin_all(
        self, rows: Sequence[tuple[ServedGenerator, JsonExample] | RowError], max_new_tokens: int | None
    ) -> list[Draft | RowError]:
        """Queue the texts of one request, all or none; each has to be closed in the end.

        Args:
            rows: generators and examples; errors stay where they are.
            max_new_tokens: of each text, as for `begin`.

        Raises:
            OverloadedError: too much is queued.
            RowError: the texts have more new tokens together than the service writes for a request.
        """
        most = self._settings.max_request_new_tokens
        limits = [row[0].limit(max_new_tokens) for row in rows if not isinstance(row, RowError)]
        if len(limits) > 1 and sum(limits) > most:
            message = f"the rows have {sum(limits):,} new tokens, and this service writes {most:,} at most in a request"
            raise RowError(413, "too_many_tokens", message)
        tokens = sum(
            self._estimate(*row, row[0].limit(max_new_tokens)) for row in rows if not isinstance(row, RowError)
        )
        drafts: list[Draft | RowError] = []
        with self._batcher.reserve(tokens):
            for row in rows:
                try:
                    if isinstance(row, RowError):
                        raise row
                    served, example = row
                    served.validate_size(example, self._settings.max_field_characters)
                    drafts.append(await self._encode(served, example, served.limit(max_new_tokens), in_pieces=False))
                except RowError as error:
                    drafts.append(error)
            return [self._submit(draft) if isinstance(draft, Draft) else draft for draft in drafts]

    def _estimate(self, served: ServedGenerator, example: JsonExample, most: int) -> int:
        """About the tokens of a text with its prompt."""
        return served.estimate_tokens(example, self._longest) + most

    async def _encode(self, served: ServedGenerator, example: JsonExample, most: int, *, in_pieces: bool) -> Draft:
        """Encode an example for a text that is not queued yet; raises RowError if it does not fit."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        encoder = self._model if served.prompt.encodes_with_model else self._encoding
        prompt = await loop.run_in_executor(encoder, served.encode, example, most)
        pieces: asyncio.Queue[str | None] | None = asyncio.Queue() if in_pieces else None
        return Draft(served, prompt, most, started, started + self._settings.deadline, pieces)

    def _submit(self, draft: Draft) -> Draft:
        """Queue a text that is let in."""
        draft.queued = self._batcher.submit([(draft, len(draft.prompt) + draft.max_new_tokens)], draft.deadline)
        if (pieces := draft.pieces) is not None:
            draft.queued.finished.add_done_callback(lambda _: pieces.put_nowait(None))
        return draft

    async def finish(self, draft: Draft) -> TextAnswer:
        """Wait for a text.

        Raises:
            RowError: it could not be written, or not in time.
        """
        with self._closing(draft):
            await asyncio.wait([draft.queued.finished], timeout=draft.deadline - asyncio.get_running_loop().time())
            return self._recorded(draft, _answer(draft))

    async def finish_all(self, drafts: Sequence[Draft | RowError]) -> list[TextAnswer | RowError]:
        """Wait for the texts of a request; each has its answer or its error."""
        outcomes: list[TextAnswer | RowError] = []
        try:
            for draft in drafts:
                try:
                    outcomes.append(draft if isinstance(draft, RowError) else await self.finish(draft))
                except RowError as error:
                    outcomes.append(error)
        finally:
            for draft in drafts:  # also those that come after one whose client is gone
                if isinstance(draft, Draft):
                    draft.close()
        return outcomes

    async def stream(self, draft: Draft) -> AsyncIterator[str | TextAnswer]:
        """Give the pieces of a text as they are written, and then its answer; raises as `finish`."""
        assert draft.pieces is not None
        loop = asyncio.get_running_loop()
        with self._closing(draft):
            with suppress(TimeoutError):
                while piece := await asyncio.wait_for(draft.pieces.get(), draft.deadline - loop.time()):
                    yield piece
            answer = _answer(draft)
        yield self._recorded(draft, answer)

    def _write(self, drafts: Sequence[Draft]) -> list[Written]:
        """Write texts that may be written together; runs in the thread of the model."""
        served, most = drafts[0].served, drafts[0].max_new_tokens
        pieces = [served.pieces() for _ in drafts]

        def follow(row: int, ids: Sequence[int]) -> bool:
            self._model.run_waiting()
            draft = drafts[row]
            if draft.pieces is not None and draft.is_needed:
                draft.send(pieces[row].add(ids))
            return self._is_stopped or not draft.is_needed

        texts = served.write([draft.prompt for draft in drafts], most, follow)
        for draft, written, of_draft in zip(drafts, texts, pieces, strict=True):
            draft.send(of_draft.rest(written.text))
        return texts

    @contextmanager
    def _closing(self, draft: Draft) -> Iterator[None]:
        """Close a text at the end, and count and log one that has no answer."""
        try:
            yield
        except BaseException as error:
            code = error.code if isinstance(error, RowError) else "gone"  # the client is
            self._metrics.count_failed_rows(code)
            LOG.info("text prompt=%s tokens=%d failure=%s", draft.served.name, len(draft.prompt), code)
            raise
        finally:
            draft.close()

    def _recorded(self, draft: Draft, answer: TextAnswer) -> TextAnswer:
        """Return an answer after it is counted and logged, without anything of the text."""
        self._metrics.count_text(answer.prompt_id, answer.version, answer.finish, answer.new_tokens)
        seconds = asyncio.get_running_loop().time() - draft.started
        LOG.info(
            "text prompt=%s tokens=%d new_tokens=%d ms=%.1f finish=%s",
            draft.served.name,
            answer.tokens,
            answer.new_tokens,
            1000 * seconds,
            answer.finish,
        )
        return answer


def _group(draft: Draft) -> Hashable:
    return draft.group


def _answer(draft: Draft) -> TextAnswer:
    """The answer about a text; raises RowError if it was not written."""
    (written,) = draft.queued.answers
    if written is None or isinstance(written, DeadlineError):
        raise RowError(504, "deadline", "the text could not be written in time")
    if isinstance(written, Exception):
        LOG.error("a text could not be written: %s", type_and_place(written))
        raise RowError(500, "writing", "the text could not be written")
    return TextAnswer(
        text=written.text,
        prompt_id=draft.served.version.name,
        version=draft.served.version.number,
        tokens=len(draft.prompt),
        new_tokens=len(written.ids),
        finish=written.finish,
        cut=dict(draft.prompt.cut),
    )
