"""A frozen sentence encoder: texts in, one vector for each out."""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from softcloze.backbone import run_length_bucketed
from softcloze.backbone.batching import MAX_BATCH_TOKENS, MIN_BATCH_TOKENS
from softcloze.backbone.family import first_position, longest_prompt
from softcloze.backbone.fingerprint import weights_fingerprint
from softcloze.backbone.sharing import SharedByCopies
from softcloze.data.examples import as_texts
from softcloze.encoding import PretrainedTokenizer
from softcloze.errors import ParameterError
from softcloze.formatting import replace_surrogates
from softcloze.parameters import BOOLEAN, NONE, integer, one_of, validate_parameters

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def _mean(states: Tensor, mask: Tensor) -> Tensor:
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1)


def _first(states: Tensor, mask: Tensor) -> Tensor:
    return states[:, 0]


def _last(states: Tensor, mask: Tensor) -> Tensor:
    return states[torch.arange(len(states), device=states.device), mask.sum(1) - 1]


# from the last hidden states, shape (batch, length, width), and the attention mask, to one vector for each text; the
# names are those of sentence-transformers
POOLINGS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {"mean": _mean, "cls": _first, "lasttoken": _last}
POOLER = "pooler."  # weights for some heads, which take no part here and are random where the files lack them
CONSTRAINTS = {
    "pooling": one_of(*POOLINGS),
    "normalise": BOOLEAN,
    "max_length": integer(at_least=1) | NONE,
}


class SentenceEncoder(SharedByCopies):
    """A pretrained encoder that maps each text to one vector; `load_encoder` loads it by name.

    Texts of similar length share a batch, and equal texts are computed once. The vector of a text does not depend on
    the other texts of a call beyond rounding, so that callers may keep it. Text is data: the special tokens of the
    tokenizer, written in a text, are characters.

    Args:
        network: a transformers model in evaluation mode whose output has `last_hidden_state`. It is not changed.
        tokenizer: its tokenizer, backed by the tokenizers library. A copy is used.
        name: its name in messages.
        pooling: "mean" of the states of a text, that of the first token ("cls") or of the last one ("lasttoken").
        normalise: scale each vector to length 1.
        max_length: tokens of a text, special tokens included; what follows is cut. None for the model's own limit,
            which no other value exceeds.

    Raises:
        ParameterError: an argument has a wrong value.

    Source:
        Mean pooling over the attention mask: Reimers and Gurevych, EMNLP 2019, arXiv:1908.10084.

    >>> from softcloze.embeddings import load_encoder
    >>> encoder = load_encoder("starter:minilm-l6")
    >>> vectors = encoder.embed(["A fine film.", "A good movie.", "Cancel my order."])
    >>> vectors.shape, bool(vectors[0] @ vectors[1] > vectors[0] @ vectors[2])
    ((3, 384), True)
    """

    def __init__(
        self,
        network: "PreTrainedModel",
        tokenizer: PretrainedTokenizer,
        name: str,
        *,
        pooling: str = "mean",
        normalise: bool = False,
        max_length: int | None = None,
    ):
        validate_parameters({"pooling": pooling, "normalise": normalise, "max_length": max_length}, CONSTRAINTS)
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise ParameterError(
                f"the tokenizer of {name!r} is a {type(tokenizer).__name__}, which is not backed by the tokenizers "
                "library; load the fast version of this tokenizer"
            )
        self.name = name
        self.network = network
        self.pooling = pooling
        self.normalise = normalise
        limit = longest_prompt(network.config, tokenizer, first_position(network))
        self.max_length = limit if max_length is None else min(max_length, limit)
        self._pad_id = next((i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id) if i is not None), 0)
        # encoding with a tokenizer of our own changes no setting of it, so that threads can share it
        self._tokenizer = copy.deepcopy(backend)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.max_length)
        self._tokenizer.encode_special_tokens = True

    def __repr__(self) -> str:
        return f"SentenceEncoder({self.name!r}, width={self.width}, max_length={self.max_length})"

    def shortened(self, max_length: int) -> Self:
        """The same encoder for texts of at most `max_length` tokens, which shares the weights."""
        validate_parameters({"max_length": max_length}, CONSTRAINTS)
        other = type(self).__new__(type(self))
        vars(other).update(vars(self))
        other.__dict__.pop("fingerprint", None)
        other.max_length = min(max_length, self.max_length)
        other._tokenizer = copy.deepcopy(self._tokenizer)
        other._tokenizer.enable_truncation(other.max_length)
        return other

    @property
    def width(self) -> int:
        """Components of a vector."""
        return int(self.network.config.get_text_config().hidden_size)

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return int(self.network.num_parameters())

    @cached_property
    def fingerprint(self) -> dict[str, Any]:
        """All that determines the vectors: SHA-256 of the weights and of the tokenizer with its limit, and pooling."""
        return {
            "model": weights_fingerprint(self.network, without=POOLER),
            "dtype": str(self.network.dtype),
            "tokenizer": sha256(self._tokenizer.to_str().encode()).hexdigest(),
            "pooling": self.pooling,
            "normalise": self.normalise,
        }

    def embed(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """One vector for each text, shape (texts, width), float32.

        Raises:
            DataError: something is not a text; names the row.
            ParameterError: the network is in training mode, in which dropout makes vectors random.
        """
        if any(module.training for module in self.network.modules()):
            raise ParameterError(f"the network of {self.name!r} is in training mode; call network.eval()")
        rows = [replace_surrogates(text) for text in as_texts(texts)]
        index = {text: at for at, text in enumerate(dict.fromkeys(rows))}
        encoded = [encoding.ids for encoding in self._tokenizer.encode_batch([*index])]
        vectors = np.empty((len(encoded), self.width), np.float32)
        # a text without tokens becomes one token of padding
        lengths = [max(1, len(ids)) for ids in encoded]

        def run(batch: list[int]) -> None:
            vectors[batch] = self._vectors([encoded[at] for at in batch]).cpu().numpy()

        budget = MIN_BATCH_TOKENS if self.network.device.type == "cpu" else MAX_BATCH_TOKENS
        run_length_bucketed(lengths, lengths.__getitem__, run, budget)
        return vectors[[index[text] for text in rows]]

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Number of tokens of each text that `embed` reads, special tokens included."""
        return [len(encoding) for encoding in self._tokenizer.encode_batch([*map(replace_surrogates, texts)])]

    def count_cut(self, texts: Sequence[str]) -> list[int]:
        """Number of tokens beyond the limit, which `embed` cuts from each text."""
        encodings = self._tokenizer.encode_batch([replace_surrogates(text) for text in texts])
        return [sum(part.special_tokens_mask.count(0) for part in encoding.overflowing) for encoding in encodings]

    def _vectors(self, encoded: list[list[int]]) -> Tensor:
        """Vectors of a batch of token ids, shape (batch, width)."""
        length = max(1, *map(len, encoded))
        ids = torch.full((len(encoded), length), self._pad_id)
        mask = torch.zeros_like(ids)
        for row, tokens in enumerate(encoded):
            ids[row, : len(tokens)] = torch.tensor(tokens, dtype=ids.dtype)
            mask[row, : max(1, len(tokens))] = 1
        device = self.network.device
        ids, mask = ids.to(device), mask.to(device)
        with torch.inference_mode():
            states = self.network(input_ids=ids, attention_mask=mask).last_hidden_state
            vectors = POOLINGS[self.pooling](states.float(), mask)
            return torch.nn.functional.normalize(vectors) if self.normalise else vectors
