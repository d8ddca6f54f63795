"""Batches of sequences of similar length, sized by a budget of tokens or of activation bytes."""

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate

import numpy as np
from torch import OutOfMemoryError

# The constants below were measured: docs/measurements/engine.md

# tokens in a batch without gradient: a CPU gains nothing beyond
MAX_BATCH_TOKENS = 4096
# a CPU loads the model's weights again for each batch, which fewer tokens would not repay
MIN_BATCH_TOKENS = 1024
# outputs of the widest layer for the tokens of a batch on a CPU
LAYER_BYTES = 6 << 20
# activation bytes kept for the backward pass on a CPU, unless one sequence needs more; larger steps are not faster
ACTIVATION_BYTES = 320 << 20
# sequences shorter than this share of the longest wait for the next batch, once a quarter of this one is full
SIMILAR_LENGTH = 0.92
# batches of up to this many sequences have any size, larger ones only some: cutting a small batch wastes too much
MAX_EXACT_SIZE = 16


def tokens_per_batch(width: int, itemsize: int) -> int:
    """Tokens in a batch without gradient on a CPU, from the output size of the widest layer.

    Args:
        width: outputs of the widest layer for a token.
        itemsize: bytes of an output.

    >>> [tokens_per_batch(*layer) for layer in ((512, 2), (1536, 2), (1536, 4), (3072, 4))]
    [4096, 2048, 1024, 1024]
    """
    return min(MAX_BATCH_TOKENS, max(MIN_BATCH_TOKENS, LAYER_BYTES // (width * itemsize)))


def run_length_bucketed(
    lengths: Sequence[int],
    cost: Callable[[int], int],
    run: Callable[[list[int]], None],
    budget: int,
    padding: int | None = None,
) -> None:
    """Run a function on all sequences, longest first, in batches of similar length within a budget.

    An accelerator that runs out of memory gets half the budget from there on.

    Args:
        lengths: the length of each sequence.
        cost: tokens of the sequence with an index; the longest of a batch counts for all of them.
        run: takes the indices of a batch.
        budget: tokens in a batch.
        padding: padding that a batch may have, in tokens, where one batch more costs as much; None where batches cost
            little beside their tokens.

    Raises:
        OutOfMemoryError: a single sequence does not fit into memory.

    >>> lengths = [2000, 3000, 2001]
    >>> run_length_bucketed(lengths, lambda i: lengths[i], print, budget=4096)
    [1]
    [2, 0]
    >>> run_length_bucketed(lengths, lambda i: lengths[i], print, budget=9000, padding=2000)
    [1, 2, 0]
    """
    waiting = sorted(range(len(lengths)), key=lambda i: lengths[i], reverse=True)
    while waiting:
        size = max(1, budget // max(1, cost(waiting[0])))
        longest = lengths[waiting[0]]
        if padding is None:
            similar = [lengths[i] >= SIMILAR_LENGTH * longest for i in waiting[:size]]
            size = max(size // 4, sum(similar), 1)
        else:
            size = sum(padded <= padding for padded in accumulate(longest - lengths[i] for i in waiting[:size]))
        size = _rounded_size(size)
        batch, waiting = waiting[:size], waiting[size:]
        try:
            run(batch)
        except OutOfMemoryError:
            if len(batch) == 1:
                raise
            waiting = batch + waiting
            budget = (len(batch) // 2) * max(1, cost(batch[0]))


def micro_batches(costs: Mapping[int, int], shared: int, bytes_per_token: int, at_least: int = 1) -> list[list[int]]:
    """Split a training batch into parts of similar cost, so that each keeps about `ACTIVATION_BYTES`.

    Args:
        costs: for the index of each example its tokens.
        shared: tokens at the start that all examples have in common and that are computed once.
        bytes_per_token: activation bytes that a token keeps for the backward pass; 0 where memory does not matter.
        at_least: parts at least, as far as there are examples.

    >>> micro_batches({4: 30, 7: 10, 9: 20}, shared=5, bytes_per_token=12 << 20)
    [[7, 9], [4]]
    """
    tokens = sum(costs.values()) - shared * (len(costs) - 1)
    parts = max(-(-tokens * bytes_per_token // ACTIVATION_BYTES), at_least)
    by_cost = sorted(costs, key=costs.__getitem__)
    return [part.tolist() for part in np.array_split(by_cost, min(parts, len(costs)))]


def _rounded_size(size: int) -> int:
    """The next lower of a few batch sizes, each at most a quarter larger than the one before.

    A CPU library compiles and keeps a routine for each number of tokens, so that few sizes save memory.

    >>> [_rounded_size(size) for size in (1, 7, 15, 17, 19, 23, 100, 127, 128)]
    [1, 7, 15, 16, 16, 20, 96, 112, 128]
    """
    return size - size % (1 << (size.bit_length() - 3)) if size > MAX_EXACT_SIZE else size
