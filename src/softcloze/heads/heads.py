"""Heads by name: their inputs, their initial values, and loading them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from softcloze.backbone import Backbone
from softcloze.heads.basic import Head, LinearHead, ThresholdHead, WordHead, WordsLinearHead, warp_head
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
    "words+linear": HeadInput(words=True, normalised=False, state=True),
    "prototypes": HeadInput(words=True, normalised=False, state=True),
    "thresholds": HeadInput(words=True, normalised=True, state=False),
}
EXCLUSIVE = tuple(name for name in HEADS if name != "thresholds")  # one label an example
EXACT = ("linear", "words+linear")  # a linear layer, found by `fit_exact`


def initial_head(
    name: str, verbalizer: AnyVerbalizer, words: Sequence[tuple[int, ...]], backbone: Backbone
) -> WordHead | LinearHead:
    """Make a head from the label words: prototypes and exact heads are learnt later, until then label words decide.

    Args:
        name: one of `HEADS`.
        verbalizer: labels and their words.
        words: token ids of each word, in the order of `verbalizer.all_words`.
        backbone: the model.
    """
    if name == "warp" and isinstance(verbalizer, Verbalizer):
        return warp_head(verbalizer, list(words), backbone)
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
        case "words+linear":
            return WordsLinearHead(verbalizer, **tensors)
        case _:
            return LinearHead(tensors["weight"], tensors.get("bias"))
