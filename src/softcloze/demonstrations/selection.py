"""From what the caller asks for to the demonstrations of each input."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from softcloze.backbone import Backbone, run_length_bucketed
from softcloze.demonstrations.pool import Pool, Values, alternate, divide, text_of
from softcloze.encoding import Demonstration
from softcloze.errors import ParameterError
from softcloze.formatting import did_you_mean


@dataclass(frozen=True)
class FixedDemonstrations:
    """Drawn once; a model that can, reads them once for all inputs.

    Attributes:
        chosen: the demonstrations, in the order of the prompt.
    """

    choice: ClassVar[str] = "random"

    chosen: Pool

    def of_inputs(self, values: Sequence[Values], backbone: Backbone) -> list[list[Demonstration]]:
        """The demonstrations of each input: all of them, one list for all."""
        return [self.chosen.demonstrations(range(len(self.chosen)))] * len(values)


def draw(
    pool: Pool, count: int, generator: np.random.Generator
) -> tuple[FixedDemonstrations, list[list[Demonstration]]]:
    """Draw demonstrations from `pool` at random.

    Returns:
        Those of new inputs, and those of each example of the pool: the same as far as may be, but never itself.
    """
    order = generator.permutation(len(pool.words)).tolist()
    ranked = generator.permutation(len(pool)).tolist()

    def choose(sizes: Sequence[int], without: Sequence[int] = ()) -> list[int]:
        others = (row for row in ranked if row not in without)
        return alternate(others, pool.labels, order, divide(count, [sizes[label] for label in order]))

    rows = choose(pool.sizes)
    chosen = Pool(tuple(pool.values[row] for row in rows), tuple(pool.labels[row] for row in rows), pool.words)
    usual_rows = choose(pool.sizes_for_own)
    usual = pool.demonstrations(usual_rows)
    own = []
    for values in pool.values:
        twins = pool.twins(values)
        if set(twins).isdisjoint(usual_rows):
            own.append(usual)
        else:
            own.append(pool.demonstrations(choose(pool.sizes_for_own, without=twins)))
    return FixedDemonstrations(chosen), own


Matrix: TypeAlias = Any  # one row for each text: a numpy array, or a sparse matrix of scipy
Transformer: TypeAlias = Any  # anything with transform(texts), and fit(texts, labels) if it has to learn
CHUNK = 256  # inputs compared with the pool at a time
# what a batch of other lengths changes in a vector must not decide between examples that are equally near
DECIMALS = 5


@dataclass(frozen=True, eq=False)
class NearestDemonstrations:
    """Chosen for each input by the cosine of vectors, never the input itself.

    Attributes:
        pool: the examples to choose from.
        count: demonstrations of each input.
        vectors: one for each example of the pool, shape (examples, width), dense or sparse.
        transformer: makes a vector of a text, fitted; None where the backbone does.

    Source:
        Liu et al., DeeLIO 2022, arXiv:2101.06804, but with as many of each label.
    """

    choice: ClassVar[str] = "nearest"

    pool: Pool
    count: int
    vectors: Matrix
    transformer: Transformer = None

    def of_inputs(self, values: Sequence[Values], backbone: Backbone) -> list[list[Demonstration]]:
        """The demonstrations of each input, the nearest one last."""
        if not values:
            return []
        return self._nearest(_vectors(values, self.transformer, backbone), values, self.pool.sizes)

    def of_pool(self) -> list[list[Demonstration]]:
        """The demonstrations of each example of the pool itself."""
        return self._nearest(self.vectors, self.pool.values, self.pool.sizes_for_own)

    def _nearest(self, vectors: Matrix, values: Sequence[Values], sizes: Sequence[int]) -> list[list[Demonstration]]:
        from sklearn.metrics.pairwise import cosine_similarity

        found = []
        for start in range(0, len(values), CHUNK):
            alike = cosine_similarity(vectors[start : start + CHUNK], self.vectors)
            # equally near ones in the order of the pool
            ranked = np.argsort(-alike.round(DECIMALS), axis=1, kind="stable")
            for own, rows in zip(values[start : start + CHUNK], ranked.tolist(), strict=True):
                twins = self.pool.twins(own)
                others = [row for row in rows if row not in twins] if twins else rows
                order = self._labels_by_first(others)
                shares = divide(self.count, [sizes[label] for label in order])
                found.append(self.pool.demonstrations(alternate(others, self.pool.labels, order, shares)))
        return found

    def _labels_by_first(self, rows: Sequence[int]) -> list[int]:
        """Labels, that of the first row first; those that no row has come last."""
        order: dict[int, None] = {}
        for row in rows:
            order.setdefault(self.pool.labels[row])
            if len(order) == len(self.pool.words):
                break
        return list(dict.fromkeys((*order, *range(len(self.pool.words)))))


def find_nearest(
    pool: Pool, count: int, transformer: Transformer, backbone: Backbone
) -> tuple[NearestDemonstrations, list[list[Demonstration]]]:
    """Get ready to choose from `pool`; a copy of `transformer` is fitted to it where that can be fitted.

    Returns:
        Those of new inputs, and those of each example of the pool.
    """
    if hasattr(transformer, "fit"):
        from sklearn.base import clone

        transformer = clone(transformer, safe=False)
        transformer.fit([text_of(values) for values in pool.values], list(pool.labels))
    nearest = NearestDemonstrations(pool, count, _vectors(pool.values, transformer, backbone), transformer)
    return nearest, nearest.of_pool()


def _vectors(values: Sequence[Values], transformer: Transformer, backbone: Backbone) -> Matrix:
    """One vector for each example, as rows of a matrix."""
    from sklearn.utils import check_array

    texts = [text_of(own) for own in values]
    if transformer is None:
        return mean_states(backbone, texts).numpy()
    vectors = check_array(transformer.transform(texts), accept_sparse="csr")
    if vectors.shape[0] != len(texts):
        raise ParameterError(
            f"demonstrations={transformer!r} gave {vectors.shape[0]} vectors for {len(texts)} texts; "
            "its transform has to give one row for each"
        )
    return vectors


Demonstrations: TypeAlias = FixedDemonstrations | NearestDemonstrations
CHOICES = (FixedDemonstrations.choice, NearestDemonstrations.choice)


def choose(
    how: str | Transformer, pool: Pool, count: int | None, backbone: Backbone, generator: np.random.Generator
) -> tuple[Demonstrations, list[list[Demonstration]]]:
    """Choose demonstrations from labelled examples, as many of each label, with labels in turn.

    Args:
        how: "random": drawn once, the same for all inputs; "nearest": those most like the input by the mean of the
            backbone's last hidden states, the nearest one last; or something with `transform`, which makes
            the vectors to compare, and with `fit` if it has to learn from the pool first.
        pool: the examples.
        count: demonstrations of each input; None for one of each label.
        backbone: the model.
        generator: the dice.

    Returns:
        What chooses for new inputs, and the demonstrations of each example of the pool, of which none is the example
        itself or another one with the same words.

    Raises:
        ParameterError: `how` is none of these, or makes no vector for each text.
    """
    if count is None:
        count = len(pool.words)
    _warn_if_few(pool, count)
    if isinstance(how, str) and how == FixedDemonstrations.choice:
        return draw(pool, count, generator)
    if isinstance(how, str) and how == NearestDemonstrations.choice:
        return find_nearest(pool, count, None, backbone)
    if hasattr(how, "transform") and not isinstance(how, type):  # a class would lack its parameters
        return find_nearest(pool, count, how, backbone)
    hint = did_you_mean(how, CHOICES) if isinstance(how, str) else ""
    raise ParameterError(
        f"demonstrations={how!r} is unknown; expected {' or '.join(map(repr, CHOICES))}, or a transformer "
        f"such as scikit-learn's TfidfVectorizer(){hint}"
    )


def _warn_if_few(pool: Pool, count: int) -> None:
    available = sum(divide(count, pool.sizes))
    if available < count:
        sizes = ", ".join(f"{word!r} has {size}" for word, size in zip(pool.words, pool.sizes, strict=True))
        warnings.warn(
            f"the template asks for {count} demonstrations, as many of each label, but there are only {available}: "
            f"{sizes} examples; these are shown",
            UserWarning,
            stacklevel=4,
        )


def mean_states(backbone: Backbone, texts: Sequence[str]) -> Tensor:
    """The mean of the last hidden states of each text's tokens.

    The tokens are those of the tokenizer, with the special ones that it adds itself, up to the model's limit.

    Args:
        backbone: the model; of a seq2seq model the encoder.
        texts: each is read by itself.

    Returns:
        Shape (texts, width of the hidden states), float32, on the CPU; zeros for a text without any tokens.
    """
    rows = [encoding.ids[: backbone.max_length] for encoding in backbone.prompt_tokenizer.encode(texts)]
    if not rows:
        return torch.empty(0, backbone.width)
    means: list[Tensor] = []
    order: list[int] = []
    lengths = [len(row) for row in rows]

    def read(chosen: list[int]) -> None:
        means.append(_mean_states(backbone, [rows[i] for i in chosen]))
        order.extend(chosen)

    with backbone.frozen(), torch.inference_mode():
        run_length_bucketed(lengths, lambda i: lengths[i], read, backbone.token_budget)
    return torch.cat(means)[torch.tensor(order).argsort()]


def _mean_states(backbone: Backbone, rows: Sequence[Sequence[int]]) -> Tensor:
    """The means of one batch."""
    # padding stands on the right, where a causal model's tokens do not see it and positions do not shift
    ids = pad_sequence([torch.tensor(row or [0]) for row in rows], batch_first=True)
    lengths = torch.tensor([len(row) for row in rows])
    real = torch.arange(ids.shape[1]) < lengths[:, None]
    real[:, 0] = True  # an attention over nothing is no number
    inputs = {"input_ids": ids.to(backbone.device), "attention_mask": real.to(backbone.device, torch.long)}
    # the model without its head: a product with the whole vocabulary at each token would cost the most by far
    reader = backbone.model.get_encoder() if backbone.family == "seq2seq" else backbone.model.base_model
    states = reader(**inputs).last_hidden_state.float().cpu()
    counted = real & (lengths[:, None] > 0)
    means: Tensor = (states * counted[..., None]).sum(1) / lengths.clamp(min=1)[:, None]
    return means
