"""Where soft vectors start."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch

from softcloze.backbone import Backbone
from softcloze.encoding import CompiledTemplate, EncodedPrompt
from softcloze.errors import ParameterError
from softcloze.soft.vectors import SoftVectors

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
    """Vectors to start training from.

    A block whose tag has `init=` starts from the embeddings of those words, repeated or cut to its length.
    The others start as `init` says.

    Args:
        template: the template with its soft blocks.
        backbone: whose embeddings to copy.
        init: "template": the words of the template's first literal in turn, or the label words where it has none;
            "labels": the label words in turn;
            "vocabulary": different tokens drawn from the most frequent ones of `prompts`.
        prompts: the encoded training examples.
        words: token ids of the label words.
        generator: the dice.

    Raises:
        ParameterError: `init` is unknown.

    Source:
        Lester et al., EMNLP 2021, arXiv:2104.08691, section 3.2, for "labels" and "vocabulary". They draw from the
        5,000 most frequent tokens of the pretraining text, which no tokenizer records; we draw from the training
        examples. "template" is ours: words of the prompt itself disturb the model least, and the first literal does
        not ask for the answer, as the last one does; docs/measurements/defaults.md compares.
    """
    drawn = sum(block.count for block in template.blocks if not block.init)
    match init:
        case "template":
            pool = _in_turn([template.first_words] if template.first_words else words, drawn)
        case "labels":
            pool = _in_turn(words, drawn)
        case "vocabulary":
            pool = _sample(prompts, drawn, generator)
        case _:
            raise ParameterError(f"soft_init={init!r} is unknown; expected one of {', '.join(map(repr, INITS))}")
    ids: list[int] = []
    for block in template.blocks:
        if block.init:
            ids += _in_turn([block.init], block.count)
        else:
            ids += pool[: block.count]
            pool = pool[block.count :]
    return SoftVectors(template.blocks, backbone.embed(torch.tensor(ids)).float())


def _sample(prompts: Sequence[EncodedPrompt], count: int, generator: np.random.Generator) -> list[int]:
    """`count` different tokens among the ten times as many that occur in most prompts."""
    occurrences = Counter(token for prompt in prompts for token in set().union(*prompt.chunks) if token >= 0)
    # by id where counts are equal, so that the order of the examples does not matter
    frequent = sorted(occurrences, key=lambda token: (-occurrences[token], token))[: 10 * count]
    order = generator.permutation(len(frequent))
    return _in_turn([[frequent[i] for i in order]], count)


def _in_turn(words: Sequence[Sequence[int]], count: int) -> list[int]:
    """The tokens of all words from the first to the last, again and again, `count` in all."""
    tokens = [token for word in words for token in word]
    if count and not tokens:
        raise ParameterError("there are no words to start the soft vectors from; name some with init=")
    return [tokens[i % len(tokens)] for i in range(count)]
