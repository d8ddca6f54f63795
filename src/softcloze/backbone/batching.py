"""Rows of like length in batches."""

from collections.abc import Callable, Sequence

from torch import OutOfMemoryError

# tokens in a batch without gradient: a processor gains nothing beyond, and an accelerator has room for it
BATCH_TOKENS = 4096
# a processor reads the model's weights anew for each batch, which so many tokens have to be worth
FEWEST_TOKENS = 1024
# what a processor's layer gives for the tokens of a batch takes so many bytes at most
LAYER_BYTES = 6 << 20
# rows that are shorter than this share of the longest wait for the next batch, once a quarter of this one is full
ALIKE = 0.92
# rows up to which a batch may have any number of them, beyond which only some: of few rows a cut leaves too much behind
EXACT = 16


def tokens_per_batch(width: int, itemsize: int) -> int:
    """How many tokens a batch without gradient holds on a processor.

    Memory for long answers of wide layers is given back to the system and asked for again: SmolLM2 in bfloat16 scored
    960 reviews 1.10 times as fast (slots in front; after the text 1.07) with 2,048 tokens as with 4,096, each in
    processes of its own, and alike where the C library was kept from giving memory back. BERT-tiny, with a third of its
    width, was 1.04 times as fast with 4,096.

    Args:
        width: numbers that the widest layer gives for a token.
        itemsize: bytes of a number.

    >>> [tokens_per_batch(*layer) for layer in ((512, 2), (1536, 2), (1536, 4), (3072, 4))]
    [4096, 2048, 1024, 1024]
    """
    return min(BATCH_TOKENS, max(FEWEST_TOKENS, LAYER_BYTES // (width * itemsize)))


def run_length_bucketed(
    lengths: Sequence[int], cost: Callable[[int], int], work: Callable[[list[int]], None], room: int
) -> None:
    """Do some work on all rows, longest first, as many of like length at a time as there is room for.

    An accelerator that runs out of memory gets half as many from there on.

    Args:
        lengths: of each row.
        cost: the tokens that a row of this number takes; the longest of a batch speaks for all of them.
        work: takes the numbers of the rows of a batch.
        room: tokens in a batch.

    Raises:
        OutOfMemoryError: there is no room for a single row.

    >>> lengths = [2000, 3000, 2001]
    >>> run_length_bucketed(lengths, lambda row: lengths[row], print, room=4096)
    [1]
    [2, 0]
    """
    waiting = sorted(range(len(lengths)), key=lambda row: lengths[row], reverse=True)
    while waiting:
        size = max(1, room // max(1, cost(waiting[0])))
        alike = [lengths[row] >= ALIKE * lengths[waiting[0]] for row in waiting[:size]]
        size = _of_few(max(size // 4, sum(alike), 1))
        batch, waiting = waiting[:size], waiting[size:]
        try:
            work(batch)
        except OutOfMemoryError:
            if len(batch) == 1:
                raise
            waiting = batch + waiting
            room = (len(batch) // 2) * max(1, cost(batch[0]))


def _of_few(size: int) -> int:
    """The next lower of few sizes, each at most a quarter more than the one before.

    For every number of tokens that comes, the processor's library makes a routine of its own for half precision, and
    keeps a thousand of them: a million short rows in batches of any size took 1,352 MB, and of these sizes 868.

    >>> [_of_few(size) for size in (1, 7, 15, 17, 19, 23, 100, 127, 128)]
    [1, 7, 15, 16, 16, 20, 96, 112, 128]
    """
    return size - size % (1 << (size.bit_length() - 3)) if size > EXACT else size
