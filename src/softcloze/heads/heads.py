"""The kinds of heads by name."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from softcloze.backbone import Backbone
from softcloze.errors import ParameterError
from softcloze.formatting import did_you_mean
from softcloze.heads.basic import RowHead, ThresholdHead, WordHead, random_rows, word_rows
from softcloze.heads.prototypes import PrototypeHead
from softcloze.verbalizer import AnyVerbalizer, Verbalizer

Head = WordHead | RowHead | PrototypeHead | ThresholdHead


class Reads(NamedTuple):
    """What a head reads: scores of the label words, as probabilities over the vocabulary, the state at the mask."""

    words: bool
    normalised: bool
    state: bool


HEADS = {
    "words": Reads(words=True, normalised=False, state=False),
    "warp": Reads(words=False, normalised=False, state=True),
    "linear": Reads(words=False, normalised=False, state=True),
    "prototypes": Reads(words=True, normalised=False, state=True),
    "thresholds": Reads(words=True, normalised=True, state=False),
}
EXCLUSIVE = tuple(name for name in HEADS if name != "thresholds")  # one label an example


def check_head(name: str) -> None:
    """Refuse a head that there is not for one label an example.

    Raises:
        ParameterError: names those that there are.
    """
    if name not in EXCLUSIVE:
        raise ParameterError(
            f"head={name!r} is unknown; expected {', '.join(map(repr, EXCLUSIVE))}{did_you_mean(str(name), EXCLUSIVE)}"
        )


def initial_head(
    name: str,
    verbalizer: AnyVerbalizer,
    words: Sequence[tuple[int, ...]],
    backbone: Backbone,
    generator: np.random.Generator,
) -> WordHead | RowHead:
    """The head to start training with; prototypes are learnt when it has ended, with the label words till then.

    Args:
        name: one of `HEADS`.
        verbalizer: labels and their words.
        words: token ids of each word, in the order of `verbalizer.all_words`.
        backbone: the model.
        generator: the dice.
    """
    match name:
        case "warp" if isinstance(verbalizer, Verbalizer):
            return word_rows(verbalizer, list(words), backbone)
        case "linear":
            return random_rows(len(verbalizer.labels), backbone, generator)
        case _:
            return WordHead(verbalizer)


def load_head(name: str, verbalizer: AnyVerbalizer, tensors: Mapping[str, Tensor]) -> Head:
    """The head that a saved prompt holds: `state_dict` turned back."""
    match name:
        case "words":
            return WordHead(verbalizer)
        case "prototypes":
            return PrototypeHead(verbalizer, **tensors)
        case "thresholds":
            return ThresholdHead(verbalizer, **tensors)
        case _:
            return RowHead(tensors["weight"], tensors.get("bias"))
