"""Initial values of soft vectors."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from softcloze.backbone import Backbone, SoftInputs
from softcloze.encoding import CompiledTemplate, EncodedPrompt
from softcloze.errors import ParameterError
from softcloze.soft.layer_states import mean_slot_states
from softcloze.soft.vectors import SoftVectors
from softcloze.template import EMBEDDING

INITS = ("template", "labels", "vocabulary")


def initial_vectors(
    template: CompiledTemplate,
    backbone: Backbone,
    *,
    init: str,
    prompts: Sequence[EncodedPrompt],
    words: Sequence[tuple[int, ...]],
    generator: np.random.Generator,
) -> SoftVectors:
    """Initialise soft vectors with copies of input embeddings.

    At later layers vectors that are added to the hidden states start from zero. Those that replace them start from what
    they replace: the mean hidden states of their slots over the training examples.

    A block whose tag has `init=` takes the tokens of those words, repeated or truncated to its length. `init` chooses
    the tokens of all other blocks.

    Args:
        template: the template with its soft blocks.
        backbone: model whose input embeddings are copied.
        init: "template": the tokens of the template's first literal, repeated, or of the label words if it has none,
            and those of a full stop for blocks after a field that this literal stands in front of;
            "labels": the tokens of the label words, repeated;
            "vocabulary": different tokens drawn from the most frequent ones of `prompts`.
        prompts: the encoded training examples.
        words: token ids of the label words.
        generator: source of randomness.

    Returns:
        The vectors, float32.

    Raises:
        ParameterError: `init` is unknown, or no tokens are available for it.
        BackboneError: a block enters at later layers, and the model has no layers at which it can.

    Source:
        Lester et al., EMNLP 2021, arXiv:2104.08691, section 3.2, for "labels" and "vocabulary". They draw from the
        5,000 most frequent tokens of the pretraining text, which no tokenizer records; here the tokens come from the
        training examples. "template" is from this project: words of the prompt itself disturb the model least, and
        the first literal does not ask for the answer, as the last one does. After a text it announces another one,
        and a full stop disturbs less; docs/measurements/defaults.md compares.
    """
    stop = template.full_stop if init == "template" else ()
    ended = template.blocks_after_announced_field if stop else frozenset()
    drawn = sum(block.count for block in template.blocks if not block.init and block.key not in ended)
    match init:
        case "template":
            pool = _repeated([template.first_words] if template.first_words else words, drawn)
        case "labels":
            pool = _repeated(words, drawn)
        case "vocabulary":
            pool = _sample(prompts, drawn, generator)
        case _:
            raise ParameterError(f"soft_init={init!r} is unknown; expected one of {', '.join(map(repr, INITS))}")
    ids: list[int] = []
    for block in template.blocks:
        if block.init or block.key in ended:
            ids += _repeated([block.init or stop], block.count)
        else:
            ids += pool[: block.count]
            pool = pool[block.count :]
    weight = backbone.embed(torch.tensor(ids)).float()
    return SoftVectors(template.blocks, weight, _later_layers(template, backbone, weight, prompts))


def _later_layers(
    template: CompiledTemplate, backbone: Backbone, weight: Tensor, prompts: Sequence[EncodedPrompt]
) -> dict[str, Tensor]:
    """Initial vectors at later layers by block key, shape (layers, count, layer width)."""
    deep = [block for block in template.blocks if block.layers != EMBEDDING]
    if not deep:
        return {}
    layers = backbone.layers
    means = None
    if any(block.mode == "replace" for block in deep):
        means = mean_slot_states(backbone, prompts, SoftInputs(weight))
    initial = {}
    for block in deep:
        entered = block.layers.later(layers.count)
        initial[block.key] = (
            means[entered.start : entered.stop, list(block.rows)]
            if means is not None and block.mode == "replace"
            else torch.zeros(len(entered), block.count, layers.width)
        )
    return initial


def _sample(prompts: Sequence[EncodedPrompt], count: int, generator: np.random.Generator) -> list[int]:
    """Draw `count` different tokens from the 10 x `count` ones that occur in most prompts."""
    occurrences = Counter(token for prompt in prompts for token in set().union(*prompt.chunks) if token >= 0)
    # ties are broken by id, so that the order of the examples does not matter
    frequent = sorted(occurrences, key=lambda token: (-occurrences[token], token))[: 10 * count]
    order = generator.permutation(len(frequent))
    return _repeated([[frequent[i] for i in order]], count)


def _repeated(words: Sequence[Sequence[int]], count: int) -> list[int]:
    """The tokens of all words in order, repeated to `count` tokens."""
    tokens = [token for word in words for token in word]
    if count and not tokens:
        raise ParameterError("no words are available to initialise the soft vectors; give some with init=")
    return [tokens[i % len(tokens)] for i in range(count)]
