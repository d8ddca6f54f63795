"""The order of tasks and examples in an epoch."""

from collections.abc import Sequence

import numpy as np


def draw_batches(
    chosen: Sequence[Sequence[int]], batch_size: int, seed: int, epoch: int
) -> list[tuple[int, list[int]]]:
    """Draw the batches of an epoch, each of examples of one task.

    An epoch has as many batches as one pass over all examples. A task of n examples has a share of them in proportion
    to the square root of n, so that large tasks do not crowd out small ones; its examples are used up before one of
    them comes again.

    Args:
        chosen: indices of the training examples of each task.
        batch_size: examples of a batch, at most.
        seed: seed of the order.
        epoch: index of the epoch.

    Returns:
        The index of the task, and the indices of its examples, of each batch.

    >>> draw_batches([[0, 1, 2], [0]], batch_size=1, seed=0, epoch=0)
    [(0, [2]), (1, [0]), (0, [0]), (0, [1])]
    """
    generator = np.random.default_rng([seed, epoch])

    def one_pass(rows: Sequence[int]) -> list[list[int]]:
        order = generator.permutation(rows).tolist()
        return [order[first : first + batch_size] for first in range(0, len(order), batch_size)]

    queues = [one_pass(rows) for rows in chosen]
    count = sum(map(len, queues))
    shares = np.sqrt([len(rows) for rows in chosen])
    # evenly spaced points instead of independent draws: no task is left out by chance
    points = (np.arange(count) + generator.random()) / count * shares.sum()
    numbers = np.searchsorted(shares.cumsum()[:-1], points, side="right")
    batches = []
    for number in generator.permutation(numbers).tolist():
        if not queues[number]:
            queues[number] = one_pass(chosen[number])
        batches.append((number, queues[number].pop(0)))
    return batches
