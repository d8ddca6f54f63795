"""Draw a few training examples of each class."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from softcloze.experiments.errors import ExperimentError
from softcloze.verbalizer import Label


def few_shot(labels: Sequence[Label], shots: int, random_state: int) -> list[int]:
    """Draw rows without replacement, as many of each class.

    Args:
        labels: the label of each row.
        shots: rows to draw of each class.
        random_state: seed of a generator of its own; the same one gives the same rows.

    Returns:
        Indices of the drawn rows, ascending.

    Raises:
        ExperimentError: a class has fewer rows, or `shots` is less than 1.

    >>> few_shot(["good", "bad", "good", "bad", "good"], shots=1, random_state=0)
    [2, 3]
    """
    if shots < 1:
        raise ExperimentError(f"shots={shots}, but it has to be at least 1")
    rows_of: dict[Label, list[int]] = defaultdict(list)
    for row, label in enumerate(labels):
        rows_of[label].append(row)
    short = {label: len(rows) for label, rows in sorted(rows_of.items()) if len(rows) < shots}
    if short:
        found = ", ".join(f"{label!r} has {count}" for label, count in short.items())
        raise ExperimentError(f"{shots} rows of each class are wanted, but {found}; ask for fewer or bring more")
    generator = np.random.default_rng(random_state)
    drawn = [row for _, rows in sorted(rows_of.items()) for row in generator.choice(rows, shots, replace=False)]
    return sorted(map(int, drawn))
