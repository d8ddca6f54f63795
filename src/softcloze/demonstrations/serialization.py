"""Demonstrations as plain data, to be saved with a prompt."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from softcloze.demonstrations.pool import Pool
from softcloze.demonstrations.selection import Demonstrations, FixedDemonstrations, NearestDemonstrations
from softcloze.encoding import Answer
from softcloze.errors import ParameterError


def pack(demonstrations: Demonstrations, labels: Sequence[str | int]) -> tuple[dict[str, Any], Tensor | None]:
    """Demonstrations as something that JSON takes, and the vectors of the pool where there are any.

    Args:
        demonstrations: what to save; drawn ones without the pool they were drawn from.
        labels: the labels that the pool's numbers stand for.

    Raises:
        ParameterError: a transformer makes the vectors, which could only be saved by pickling it.
    """
    card: dict[str, Any]
    match demonstrations:
        case FixedDemonstrations(pool):
            card, vectors = {}, None
        case NearestDemonstrations(pool, count, matrix, None):
            card, vectors = {"count": count}, torch.from_numpy(matrix)
        case _:
            raise ParameterError(
                f"demonstrations chosen by {demonstrations.transformer!r} cannot be saved: a transformer can only be "
                'kept as a pickle, which runs code when it is loaded. Fit with demonstrations="nearest", which '
                'compares by the model itself, or "random"'
            )
    examples = [
        {"label": labels[label], "values": dict(values)} for label, values in zip(pool.labels, pool.values, strict=True)
    ]
    return {"choice": demonstrations.choice, **card, "examples": examples}, vectors


def unpack(
    card: Mapping[str, Any], vectors: Tensor | None, labels: Sequence[str | int], words: Sequence[Answer]
) -> Demonstrations:
    """What `pack` was given; `words` are the label words to show."""
    number = {label: i for i, label in enumerate(labels)}
    examples = card["examples"]
    pool = Pool(
        tuple(example["values"] for example in examples),
        tuple(number[example["label"]] for example in examples),
        tuple(words),
    )
    if vectors is None:
        return FixedDemonstrations(pool)
    return NearestDemonstrations(pool, card["count"], vectors.numpy())
