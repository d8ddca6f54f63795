"""Give a text piece by piece while the model writes it."""

import re
from collections.abc import Iterator
from contextlib import closing
from queue import SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING

from torch import Tensor

from softcloze.backbone import SoftInputs
from softcloze.encoding import EncodedPrompt
from softcloze.errors import ParameterError
from softcloze.generation.stops import before_stop, certain_length
from softcloze.generation.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Generator

_BYTE = re.compile("<0x[0-9A-F]{2}>")  # a token of one byte, as tokenizers of SentencePiece name it


def stream_text(writer: Writer, prompt: EncodedPrompt, soft: SoftInputs | None = None, seed: int = 0) -> Iterator[str]:
    """Write a text, and give each piece as soon as it cannot change any more.

    The pieces together are the text of `Writer.write`. A stop string is in none of them, also when it is written in
    several steps. The model runs in a thread of its own, from the first `next` on; it stops after the current token
    when the iterator is closed or abandoned.

    Args:
        writer: the writer; with beams a text is known at the end only.
        prompt: an encoded prompt.
        soft: the soft vectors.
        seed: seed of the drawing with `do_sample`.

    Returns:
        An iterator of texts that are not empty.

    Raises:
        ParameterError: the options ask for several beams.
    """
    if writer.options.get("num_beams", 1) > 1:
        raise ParameterError("num_beams above 1 finds a text as a whole, which cannot be streamed; set num_beams=1")
    return _pieces(writer, prompt, soft, seed)


def _pieces(writer: Writer, prompt: EncodedPrompt, soft: SoftInputs | None, seed: int) -> "Generator[str]":
    stops, ends = writer.all_stops, writer.end_ids
    ids: list[int] = []
    shown = 0
    with closing(_tokens(writer, prompt, soft, seed)) as tokens:
        for token in tokens:
            if token in ends:
                break
            ids.append(token)
            if _BYTE.fullmatch(writer.backbone.prompt_tokenizer.token(token)):
                continue  # the bytes of a run decode together, and may change those before
            text = writer.text(ids)
            cut = before_stop(text, stops)
            if len(cut) < len(text):
                break
            certain = certain_length(text, stops)
            if certain > shown:
                yield text[shown:certain]
                shown = certain
    rest = before_stop(writer.text(ids), stops)[shown:]
    if rest:
        yield rest


def _tokens(writer: Writer, prompt: EncodedPrompt, soft: SoftInputs | None, seed: int) -> "Generator[int]":
    """The new ids one by one; closing the generator stops the model."""
    queue: SimpleQueue[int | BaseException | None] = SimpleQueue()
    cancelled = Event()

    def run() -> None:
        try:
            writer.write_one(prompt, soft, seed, _Streamer(queue), cancelled)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that reads
            queue.put(error)
        else:
            queue.put(None)

    thread = Thread(target=run, name="softcloze-stream", daemon=True)
    thread.start()
    try:
        while (item := queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        cancelled.set()
        thread.join()


class _Streamer:
    """Put new ids in a queue; `generate` gives the ids of the prompt first."""

    def __init__(self, queue: "SimpleQueue[int | BaseException | None]"):
        self._queue = queue
        self._first = True

    def put(self, ids: Tensor) -> None:
        if not self._first:
            for token in ids.flatten().tolist():
                self._queue.put(token)
        self._first = False

    def end(self) -> None:
        pass
