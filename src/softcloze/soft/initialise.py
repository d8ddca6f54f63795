"""Where soft vectors start."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from softcloze.backbone import Backbone
from softcloze.encoding import CompiledBlock, EncodedPrompt
from softcloze.soft.vectors import SoftSlotError, SoftVectors

INITS = ("vocabulary", "labels")


def initial_vectors(
    blocks: Sequence[CompiledBlock],
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
        blocks: the soft blocks of the template.
        backbone: whose embeddings to copy.
        init: "vocabulary": different tokens drawn from the most frequent ones of `prompts`;
            "labels": the tokens of the label words in turn.
        prompts: the encoded training examples.
        words: token ids of the label words.
        generator: the dice.

    Raises:
        SoftSlotError: `init` is unknown.

    Source:
        Lester et al., EMNLP 2021, arXiv:2104.08691, section 3.2. They draw from the 5,000 most frequent tokens of
        the pretraining text, which no tokenizer records; we draw from the training examples.
    """
    if init not in INITS:
        raise SoftSlotError(f"soft_init={init!r} is unknown; expected {' or '.join(map(repr, INITS))}")
    parts = []
    drawn = sum(block.count for block in blocks if not block.init)
    pool = iter(_sample(prompts, drawn, generator) if init == "vocabulary" else _in_turn(words, drawn))
    for block in blocks:
        ids = _in_turn([block.init], block.count) if block.init else [next(pool) for _ in block.rows]
        parts.append(_embeddings(backbone, ids))
    return SoftVectors(blocks, torch.cat(parts))


def _sample(prompts: Sequence[EncodedPrompt], count: int, generator: np.random.Generator) -> list[int]:
    """`count` different tokens among the ten times as many that occur in most prompts."""
    occurrences = Counter(token for prompt in prompts for token in {*prompt.left, *prompt.right} if token >= 0)
    # by id where counts are equal, so that the order of the examples does not matter
    frequent = sorted(occurrences, key=lambda token: (-occurrences[token], token))[: 10 * count]
    order = generator.permutation(len(frequent))
    return _in_turn([[frequent[i] for i in order]], count)


def _in_turn(words: Sequence[Sequence[int]], count: int) -> list[int]:
    """The tokens of all words from the first to the last, again and again, `count` in all."""
    tokens = [token for word in words for token in word]
    return [tokens[i % len(tokens)] for i in range(count)]


def _embeddings(backbone: Backbone, ids: Sequence[int]) -> Tensor:
    return backbone.embed(torch.tensor(ids, dtype=torch.long)).float()
