"""Rows of like length in batches."""

from collections.abc import Callable, Sequence

from torch import OutOfMemoryError

# tokens in a batch without gradient; a processor gains nothing beyond, and an accelerator has room for it
BATCH_TOKENS = 4096
# rows that are shorter than this share of the longest wait for the next batch, once a quarter of this one is full
ALIKE = 0.92
# rows up to which a batch may have any number of them, beyond which only some: of few rows a cut leaves too much behind
EXACT = 16


def in_batches(lengths: Sequence[int], cost: Callable[[int], int], work: Callable[[list[int]], None]) -> None:
    """Do some work on all rows, longest first, as many of like length at a time as `BATCH_TOKENS` allows.

    An accelerator that runs out of memory gets half as many from there on.

    Args:
        lengths: of each row.
        cost: the tokens that a row of this number takes; the longest of a batch speaks for all of them.
        work: takes the numbers of the rows of a batch.

    Raises:
        OutOfMemoryError: there is no room for a single row.

    >>> lengths = [2000, 3000, 2001]
    >>> in_batches(lengths, lambda row: lengths[row], print)
    [1]
    [2, 0]
    """
    waiting = sorted(range(len(lengths)), key=lambda row: lengths[row], reverse=True)
    room = BATCH_TOKENS
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
