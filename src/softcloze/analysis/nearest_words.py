"""Nearest words of the vocabulary to vectors, by cosine and by distance."""

from typing import NamedTuple

import torch
from torch import Tensor

from softcloze.backbone import Backbone
from softcloze.encoding.tokens import readable_token

CHUNK = 8192  # words embedded at a time


class Neighbours(NamedTuple):
    """Words with their cosine and distance to each vector, of shape (vectors, words)."""

    ids: Tensor
    cosines: Tensor
    distances: Tensor  # Euclidean, in units of `typical_length`


class Nearest(NamedTuple):
    """The nearest words by either measure, which may differ: a vector far from all words still has a direction."""

    by_cosine: Neighbours
    by_distance: Neighbours


def typical_length(backbone: Backbone) -> float:
    """The root mean square length of an input embedding: `Backbone.embedding_rms` times the root of the width.

    In this unit a training step moves a vector hardly further than the learning rate.
    """
    return float(backbone.embedding_rms * backbone.width**0.5)


def nearest_words(backbone: Backbone, vectors: Tensor, words: Tensor, count: int) -> Nearest:
    """Find the nearest words to each vector, nearest first, in one pass over the embeddings.

    Args:
        backbone: embeds the words; its embedding module may do more than look them up.
        vectors: shape (vectors, width).
        words: token ids of the candidates; of two equally near words the first one is taken.
        count: number of words for each vector.
    """
    unit = typical_length(backbone)
    vectors = vectors.detach().cpu().double()  # doubles: squares are subtracted from each other
    nothing = Neighbours(*(torch.empty(len(vectors), 0) for _ in range(3)))
    by_cosine = by_distance = nothing._replace(ids=nothing.ids.long())
    for ids in words.split(CHUNK):
        measured = _measure(vectors, ids, backbone.embed(ids).cpu().double(), unit)
        nearer, closer = _joined(by_cosine, measured), _joined(by_distance, measured)
        by_cosine = _first(nearer, -nearer.cosines, count)
        by_distance = _first(closer, closer.distances, count)
    return Nearest(by_cosine, by_distance)


def real_words(backbone: Backbone) -> Tensor:
    """Token ids with a word in the tokenizer; models may have more embeddings."""
    size = len(backbone.model.get_input_embeddings().weight)
    names = backbone.tokenizer.convert_ids_to_tokens(list(range(size)))
    return torch.tensor([i for i, name in enumerate(names) if name is not None])


def writable_words(backbone: Backbone) -> Tensor:
    """The `real_words` that text can hold: no special tokens and no parts of a character."""
    prompt_tokenizer = backbone.prompt_tokenizer
    special = {*prompt_tokenizer.special_tokens}
    texts = prompt_tokenizer.texts()
    return torch.tensor(
        [
            i
            for i in real_words(backbone).tolist()
            if i < len(texts) and texts[i] and "\ufffd" not in texts[i] and prompt_tokenizer.token(i) not in special
        ]
    )


def word_of(backbone: Backbone, token_id: int) -> str:
    """A readable word of the vocabulary."""
    token = backbone.tokenizer.convert_ids_to_tokens(token_id)
    return readable_token(token, byte_level=backbone.prompt_tokenizer.byte_level)


def _measure(vectors: Tensor, ids: Tensor, words: Tensor, unit: float) -> Neighbours:
    lengths, word_lengths = vectors.norm(dim=-1, keepdim=True), words.norm(dim=-1)
    products = vectors @ words.T
    cosines = products / (lengths * word_lengths).clamp(min=torch.finfo(torch.double).tiny)
    squares = (lengths.square() + word_lengths.square() - 2 * products).clamp(min=0)
    return Neighbours(ids.expand(len(vectors), -1), cosines, squares.sqrt() / unit)


def _joined(one: Neighbours, other: Neighbours) -> Neighbours:
    return Neighbours(*(torch.cat(both, dim=-1) for both in zip(one, other, strict=True)))


def _first(neighbours: Neighbours, keys: Tensor, count: int) -> Neighbours:
    """The words with the lowest keys."""
    order = keys.sort(dim=-1, stable=True).indices[:, :count]
    return Neighbours(*(values.gather(-1, order) for values in neighbours))
