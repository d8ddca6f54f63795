"""The vectors that a soft prompt started from, made again."""

from collections.abc import Iterable

import numpy as np
from torch import Tensor

from softcloze.data import as_examples
from softcloze.encoding import Example
from softcloze.inspection.errors import InspectionError
from softcloze.inspection.fitted import Opened
from softcloze.soft import INITS, initial_vectors


def starting_vectors(opened: Opened, examples: Iterable[Example] | None) -> Tensor | None:
    """The vectors before any training, shape (soft, width), on the CPU.

    Vectors that started from words of the template or from label words are made again from these alone; those of
    `soft_init="vocabulary"` from the training examples and the seed. After a fit with `warm_start=True` they are those
    of the first fit.

    Args:
        opened: the soft prompt.
        examples: what it was trained on, in any order, for "vocabulary"; not needed otherwise.

    Returns:
        None where they are not known: they came from another prompt, or there are no `examples` to draw from.

    Raises:
        InspectionError: other than the training examples, by their number.
    """
    training, bound = opened.prompt.training, opened.bound
    init = training.get("soft_init")
    if init not in INITS:
        return None
    drawn = init == "vocabulary" and any(not block.init for block in bound.compiled.blocks)
    prompts = []
    if drawn:
        if examples is None or opened.prompt.demonstrations is not None:  # whose choice used the same dice before
            return None
        known = as_examples(examples)
        if len(known) != training["examples"]:
            raise InspectionError(
                f"the vectors started from words of {training['examples']} training examples, found {len(known)}; "
                "give those that fit trained on, or none"
            )
        prompts = bound.encode(known)
    soft = initial_vectors(
        bound.compiled,
        opened.backbone,
        init=init,
        prompts=prompts,
        words=bound.words,
        generator=np.random.default_rng(training["seed"]),
    )
    return soft.weight.detach().cpu()
