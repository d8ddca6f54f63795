"""Heads by name: their inputs, their initial values, and loading them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from softcloze.backbone import Backbone
from softcloze.heads.basic import Head, LinearHead, ThresholdHead, WordHead, random_linear_head, warp_head
from softcloze.heads.prototypes import PrototypeHead
from softcloze.verbalizer import AnyVerbalizer, Verbalizer


class HeadInput(NamedTuple):
    """Features that a head takes.

    Attributes:
        words: scores of the label words.
        normalised: these scores are log-probabilities over the whole vocabulary.
        state: the hidden state at the mask.
    """

    words: bool
    normalised: bool
    state: bool


HEADS = {
    "words": HeadInput(words=True, normalised=False, state=False),
    "warp": HeadInput(words=False, normalised=False, state=True),
    "linear": HeadInput(words=False, normalised=False, state=True),
    "prototypes": HeadInput(words=True, normalised=False, state=True),
    "thresholds": HeadInput(words=True, normalised=True, state=False),
}
EXCLUSIVE = tuple(name for name in HEADS if name != "thresholds")  # one label an example


def initial_head(
    name: str,
    verbalizer: AnyVerbalizer,
    words: Sequence[tuple[int, ...]],
    backbone: Backbone,
    generator: np.random.Generator,
) -> WordHead | LinearHead:
    """Make the head that training starts with; prototypes are learnt afterwards, until then label words decide.

    Args:
        name: one of `HEADS`.
        verbalizer: labels and their words.
        words: token ids of each word, in the order of `verbalizer.all_words`.
        backbone: the model.
        generator: source of randomness.
    """
    match name:
        case "warp" if isinstance(verbalizer, Verbalizer):
            return warp_head(verbalizer, list(words), backbone)
        case "linear":
            return random_linear_head(len(verbalizer.labels), backbone, generator)
        case _:
            return WordHead(verbalizer)


def load_head(name: str, verbalizer: AnyVerbalizer, tensors: Mapping[str, Tensor]) -> Head:
    """Make the head of a saved prompt from its `state_dict`."""
    match name:
        case "words":
            return WordHead(verbalizer)
        case "prototypes":
            return PrototypeHead(verbalizer, **tensors)
        case "thresholds":
            return ThresholdHead(verbalizer, **tensors)
        case _:
            return LinearHead(tensors["weight"], tensors.get("bias"))
