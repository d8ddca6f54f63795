"""Demonstrations to and from plain data, to be saved with a prompt."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from softcloze.demonstrations.pool import Pool
from softcloze.demonstrations.selection import Demonstrations, FixedDemonstrations, NearestDemonstrations
from softcloze.encoding import Answer
from softcloze.errors import ParameterError


def demonstrations_to_dict(
    demonstrations: Demonstrations, labels: Sequence[str | int]
) -> tuple[dict[str, Any], Tensor | None]:
    """Convert demonstrations to data that JSON holds, and the vectors of the pool, shape (examples, width), or None.

    Args:
        demonstrations: demonstrations to save; fixed ones are saved without the rest of the pool.
        labels: labels by the indices that the pool uses.

    Raises:
        ParameterError: a transformer makes the vectors; only a pickle could hold it.
    """
    saved: dict[str, Any]
    match demonstrations:
        case FixedDemonstrations(pool):
            saved, vectors = {}, None
        case NearestDemonstrations(pool, count, matrix, None):
            saved, vectors = {"count": count}, torch.from_numpy(matrix)
        case _:
            raise ParameterError(
                f"demonstrations selected by {demonstrations.transformer!r} cannot be saved: only a pickle could hold "
                'a transformer, and a pickle runs code when it is loaded. Fit with demonstrations="nearest", which '
                'compares the hidden states of the model, or "random"'
            )
    examples = [
        {"label": labels[label], "values": dict(values)} for label, values in zip(pool.labels, pool.values, strict=True)
    ]
    return {"method": demonstrations.method, **saved, "examples": examples}, vectors


def demonstrations_from_dict(
    saved: Mapping[str, Any], vectors: Tensor | None, labels: Sequence[str | int], words: Sequence[Answer]
) -> Demonstrations:
    """Make demonstrations from what `demonstrations_to_dict` returned; `words` are the label words to show."""
    index = {label: i for i, label in enumerate(labels)}
    examples = saved["examples"]
    pool = Pool(
        tuple(example["values"] for example in examples),
        tuple(index[example["label"]] for example in examples),
        tuple(words),
    )
    if vectors is None:
        return FixedDemonstrations(pool)
    return NearestDemonstrations(pool, saved["count"], vectors.numpy())
