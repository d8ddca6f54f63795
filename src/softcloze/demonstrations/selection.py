"""Selection of the demonstrations of each input: fixed ones drawn at random, or the nearest examples of a pool."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
from torch import Tensor

from softcloze.backbone import Backbone
from softcloze.demonstrations.mean_states import mean_states
from softcloze.demonstrations.pool import Pool, Values, allocate, alternate_labels, text_for_similarity
from softcloze.encoding import Demonstration
from softcloze.errors import ParameterError
from softcloze.parameters import Constraint, one_of, validate_parameters
from softcloze.template import Template
from softcloze.verbalizer import AnyVerbalizer, Label

Matrix: TypeAlias = Any  # one vector per row: a numpy array, or a sparse matrix of scipy
Transformer: TypeAlias = Any  # anything with transform(texts), and fit(texts, labels) if it has to learn
CHUNK = 256  # inputs compared with the pool at a time
DECIMALS = 5  # of a cosine; padding changes later ones, which must not decide between equally near examples


@dataclass(frozen=True)
class FixedDemonstrations:
    """The same demonstrations for every input; a model with a prefix cache computes them once.

    Attributes:
        pool: the demonstrations alone, in the order of the prompt.
    """

    method: ClassVar[str] = "random"
    uses_model: ClassVar[bool] = False

    pool: Pool

    def select(self, values: Sequence[Values], backbone: Backbone) -> list[list[Demonstration]]:
        """Demonstrations of each input: one list, shared by all."""
        return [self.pool.demonstrations(range(len(self.pool)))] * len(values)

    def to_dict(self, labels: Sequence[Label]) -> dict[str, Any]:
        """Data that JSON holds, without the rest of the pool; `labels` by the indices that the pool uses."""
        return {"method": self.method, "examples": self.pool.labelled_values(labels)}


@dataclass(frozen=True, eq=False)
class NearestDemonstrations:
    """Examples of the pool with the highest cosine similarity to the input, never the input itself.

    Attributes:
        pool: examples to select from.
        count: demonstrations of each input.
        vectors: vector of each example of the pool, shape (examples, width), dense or sparse.
        transformer: fitted; computes the vector of a text. None where the backbone does.

    Source:
        Liu et al., DeeLIO 2022, arXiv:2101.06804; here with equally many of each label.
    """

    method: ClassVar[str] = "nearest"

    pool: Pool
    count: int
    vectors: Matrix
    transformer: Transformer = None

    @property
    def uses_model(self) -> bool:
        """True if the backbone computes the vector of each input."""
        return self.transformer is None

    def select(self, values: Sequence[Values], backbone: Backbone) -> list[list[Demonstration]]:
        """Demonstrations of each input, the nearest one last."""
        if not values:
            return []
        return self._nearest(_vectors(values, self.transformer, backbone), values, self.pool.label_counts)

    def select_for_pool(self) -> list[list[Demonstration]]:
        """Demonstrations of each example of the pool."""
        return self._nearest(self.vectors, self.pool.values, self.pool.label_counts_without_self)

    def to_dict(self, labels: Sequence[Label]) -> dict[str, Any]:
        """Data that JSON holds, without the vectors; `labels` by the indices that the pool uses.

        Raises:
            ParameterError: a transformer makes the vectors; only a pickle could hold it.
        """
        if self.transformer is not None:
            raise ParameterError(
                f"demonstrations selected by {self.transformer!r} cannot be saved: only a pickle could hold "
                'a transformer, and a pickle runs code when it is loaded. Fit with demonstrations="nearest", which '
                'compares the hidden states of the model, or "random"'
            )
        return {"method": self.method, "count": self.count, "examples": self.pool.labelled_values(labels)}

    def _nearest(
        self, vectors: Matrix, values: Sequence[Values], available: Sequence[int]
    ) -> list[list[Demonstration]]:
        from sklearn.metrics.pairwise import cosine_similarity

        if vectors.shape[1] != self.vectors.shape[1]:
            raise ParameterError(
                f"the vectors of the demonstrations have width {self.vectors.shape[1]}, those of new texts "
                f"{vectors.shape[1]}; fit again"
            )
        labels = self.pool.labels
        selected = []
        for start in range(0, len(values), CHUNK):
            similarities = cosine_similarity(vectors[start : start + CHUNK], self.vectors)
            # equally near examples stay in the order of the pool
            ranked = np.argsort(-similarities.round(DECIMALS), axis=1, kind="stable")
            for of_input, rows in zip(values[start : start + CHUNK], ranked.tolist(), strict=True):
                duplicates = self.pool.duplicates(of_input)
                others = [row for row in rows if row not in duplicates] if duplicates else rows
                # labels in the order in which they first occur, then those that do not
                order = list(dict.fromkeys((*(labels[row] for row in others), *range(len(available)))))
                shares = allocate(self.count, [available[label] for label in order])
                selected.append(self.pool.demonstrations(alternate_labels(others, labels, order, shares)))
        return selected


Demonstrations: TypeAlias = FixedDemonstrations | NearestDemonstrations
METHODS = (FixedDemonstrations.method, NearestDemonstrations.method)
SELECTION = one_of(*METHODS) | Constraint(
    "a transformer such as scikit-learn's TfidfVectorizer()",
    lambda value: hasattr(value, "transform") and not isinstance(value, type),  # a class has no parameters yet
)


def demonstrations_from_dict(
    saved: Mapping[str, Any] | None, vectors: Tensor | None, template: Template, verbalizer: AnyVerbalizer
) -> Demonstrations | None:
    """Make demonstrations from what their `to_dict` returned, and the vectors of "nearest" ones; None from None.

    Raises:
        ParameterError: the verbalizer lacks a label, or vectors are missing.
        FieldError: an example lacks a field of the template.
    """
    if saved is None:
        return None
    index = {label: i for i, label in enumerate(verbalizer.labels)}
    for row, example in enumerate(saved["examples"]):
        if example["label"] not in index:
            raise ParameterError(f"example {row} has label {example['label']!r}, which the verbalizer does not name")
        template.read_fields(example["values"], row)
    pool = Pool(
        tuple(example["values"] for example in saved["examples"]),
        tuple(index[example["label"]] for example in saved["examples"]),
        tuple(verbalizer.first_words),
    )
    return _of_pool(saved, pool, vectors)


def answer_demonstrations_from_dict(
    saved: Mapping[str, Any] | None, vectors: Tensor | None, template: Template
) -> Demonstrations | None:
    """Make demonstrations with answers from what their `to_dict` returned; otherwise as `demonstrations_from_dict`."""
    if saved is None:
        return None
    values = [example["values"] for example in saved["examples"]]
    pool = Pool.from_answers(template, values, [example["answer"] for example in saved["examples"]])
    return _of_pool(saved, pool, vectors)


def _of_pool(saved: Mapping[str, Any], pool: Pool, vectors: Tensor | None) -> Demonstrations:
    if saved["method"] == FixedDemonstrations.method:
        return FixedDemonstrations(pool)
    if vectors is None:
        raise ParameterError("the vectors of the examples are missing")
    return NearestDemonstrations(pool, saved["count"], vectors.numpy())


def select_demonstrations(
    method: str | Transformer, pool: Pool, count: int | None, backbone: Backbone, generator: np.random.Generator
) -> tuple[Demonstrations, list[list[Demonstration]]]:
    """Select demonstrations from labelled examples: equally many of each label, with alternating labels.

    Args:
        method: "random": drawn once, the same for all inputs; "nearest": those most similar to the input by the mean of
            the backbone's last hidden states, the nearest one last; or an object with `transform`, whose vectors are
            compared instead, and with `fit` if it has to learn from the pool first.
        pool: the examples.
        count: demonstrations of each input; None for one of each label.
        backbone: the model.
        generator: source of randomness.

    Returns:
        The selector for new inputs, and the demonstrations of each example of the pool, which contain neither the
        example itself nor a duplicate of it.

    Raises:
        ParameterError: `method` is none of these, or computes another number of vectors than of texts.
    """
    validate_parameters({"demonstrations": method}, {"demonstrations": SELECTION})
    if count is None:
        count = pool.label_count
    _warn_if_few(pool, count)
    if isinstance(method, str) and method == FixedDemonstrations.method:
        return _draw_fixed(pool, count, generator)
    return _prepare_nearest(pool, count, None if isinstance(method, str) else method, backbone)


def _warn_if_few(pool: Pool, count: int) -> None:
    available = sum(allocate(count, pool.label_counts))
    if available < count and pool.answers is not None:
        warnings.warn(
            f"the template asks for {count} demonstrations, and only {available} examples are available, which are "
            "shown",
            UserWarning,
            stacklevel=4,
        )
    elif available < count:
        counts = ", ".join(f"{word!r} has {size}" for word, size in zip(pool.words, pool.label_counts, strict=True))
        warnings.warn(
            f"the template asks for {count} demonstrations, equally many of each label, but only {available} are "
            f"available: {counts} examples; these are shown",
            UserWarning,
            stacklevel=4,
        )


def _draw_fixed(
    pool: Pool, count: int, generator: np.random.Generator
) -> tuple[FixedDemonstrations, list[list[Demonstration]]]:
    """Draw fixed demonstrations; examples of the pool share one list, except where it would contain them."""
    order = generator.permutation(pool.label_count).tolist()
    ranked = generator.permutation(len(pool)).tolist()

    def draw(available: Sequence[int], excluded: Sequence[int] = ()) -> list[int]:
        others = [row for row in ranked if row not in excluded]
        return alternate_labels(others, pool.labels, order, allocate(count, [available[label] for label in order]))

    rows = draw(pool.label_counts)
    fixed = pool.chosen(rows)
    usual_rows = draw(pool.label_counts_without_self)
    usual = pool.demonstrations(usual_rows)
    for_pool = []
    for values in pool.values:
        duplicates = pool.duplicates(values)
        if set(duplicates).isdisjoint(usual_rows):
            for_pool.append(usual)
        else:
            for_pool.append(pool.demonstrations(draw(pool.label_counts_without_self, excluded=duplicates)))
    return FixedDemonstrations(fixed), for_pool


def _prepare_nearest(
    pool: Pool, count: int, transformer: Transformer, backbone: Backbone
) -> tuple[NearestDemonstrations, list[list[Demonstration]]]:
    """Compute the vectors of the pool; a copy of `transformer` is fitted first where it has `fit`."""
    if hasattr(transformer, "fit"):
        from sklearn.base import clone

        transformer = clone(transformer, safe=False)
        transformer.fit([text_for_similarity(values) for values in pool.values], list(pool.labels))
    nearest = NearestDemonstrations(pool, count, _vectors(pool.values, transformer, backbone), transformer)
    return nearest, nearest.select_for_pool()


def _vectors(values: Sequence[Values], transformer: Transformer, backbone: Backbone) -> Matrix:
    """Vectors of examples, shape (examples, width)."""
    from sklearn.utils import check_array

    texts = [text_for_similarity(of_example) for of_example in values]
    if transformer is None:
        return mean_states(backbone, texts).numpy()
    vectors = check_array(transformer.transform(texts), accept_sparse="csr")
    if vectors.shape[0] != len(texts):
        raise ParameterError(
            f"demonstrations={transformer!r} gave {vectors.shape[0]} vectors for {len(texts)} texts; "
            "its transform has to give one vector for each"
        )
    return vectors
