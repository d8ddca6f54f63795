"""Give a text piece by piece while the model writes it."""

from collections.abc import Generator, Iterator, Sequence
from queue import SimpleQueue
from threading import Event, Thread

from softcloze.backbone import SoftInputs
from softcloze.encoding import EncodedPrompt
from softcloze.errors import ParameterError
from softcloze.generation.pieces import TextPieces
from softcloze.generation.writer import Writer


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


def _pieces(writer: Writer, prompt: EncodedPrompt, soft: SoftInputs | None, seed: int) -> Generator[str]:
    queue: SimpleQueue[Sequence[int] | str | BaseException] = SimpleQueue()
    closed = Event()

    def follow(_: int, ids: Sequence[int]) -> bool:
        queue.put(ids)
        return closed.is_set()

    def run() -> None:
        try:
            (written,) = writer.write([prompt], soft, seed, follow)
            queue.put(written.text)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that reads
            queue.put(error)

    thread = Thread(target=run, name="softcloze-stream", daemon=True)
    thread.start()
    pieces, ended = TextPieces(writer), False
    try:
        while not ended:
            item = queue.get()
            if isinstance(item, BaseException):
                raise item
            ended = isinstance(item, str)
            if piece := pieces.rest(item) if isinstance(item, str) else pieces.add(item):
                yield piece
    finally:
        closed.set()
        thread.join()
