"""Weights of examples: given one by one, and by class."""

from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from softcloze.data.examples import iterate_column, row_name, validate_collection
from softcloze.errors import DataError, ParameterError
from softcloze.formatting import did_you_mean, quoted, quoted_list
from softcloze.parameters import NONE, NOT_NEGATIVE, POSITIVE, Constraint, one_of
from softcloze.verbalizer import Label

ClassWeight: TypeAlias = str | Mapping[Label, float]
CLASS_WEIGHT = (
    one_of("balanced")
    | Constraint(
        "a mapping from labels to weights above 0",
        lambda value: isinstance(value, Mapping) and all(map(POSITIVE.holds, value.values())),
    )
    | NONE
)


def as_sample_weight(sample_weight: Iterable[float] | None, examples: Sized) -> NDArray[np.float64]:
    """Convert the weights of examples to an array, shape (examples,); ones for None.

    Args:
        sample_weight: a list, an array or a column, as for `as_labels`; None for equal weights.
        examples: the examples.

    Raises:
        DataError: a weight is no finite number or below 0, none is above 0, or there is not one for each example.

    >>> as_sample_weight([1, 0.5], ["good", "bad"]), as_sample_weight(None, ["good"])
    (array([1. , 0.5]), array([1.]))
    """
    if sample_weight is None:
        return np.ones(len(examples))
    validate_collection(sample_weight, "sample_weight", "a list with the weight of each example")
    weights = list(iterate_column(sample_weight, "sample_weight", "weight"))
    for row, weight in enumerate(weights):
        if not NOT_NEGATIVE.holds(weight):
            raise DataError(
                f"{row_name(sample_weight, row)} of sample_weight is {quoted(weight)}; expected a number of at least 0"
            )
    if len(weights) != len(examples):
        raise DataError(f"X has {len(examples)} examples but sample_weight has {len(weights)} weights")
    if weights and not any(weights):
        raise DataError("sample_weight is zero for every example; some have to be above 0")
    return np.array(weights, dtype=np.float64)


def weighted_rows(sample_weight: Iterable[float] | None, examples: Sized) -> tuple[list[int], NDArray[np.float64]]:
    """The indices of the examples with a weight above 0, and their weights; raises as `as_sample_weight`.

    >>> weighted_rows([1, 0, 2], ["good", "bad", "fine"])
    ([0, 2], array([1., 2.]))
    """
    weights = as_sample_weight(sample_weight, examples)
    rows = np.flatnonzero(weights)
    return rows.tolist(), weights[rows]


def example_weights(
    class_weight: ClassWeight | None, labels: Sequence[Label], goals: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Weight of each example by its own weight and that of its class.

    Args:
        class_weight: "balanced" for classes of equal weight, label -> weight (1 for labels that it lacks), or None.
        labels: the labels.
        goals: probability of each label in each example, shape (examples, labels); 1.0 for the right one.
        weights: weights of the examples themselves, above 0, shape (examples,).

    Returns:
        Weights with mean 1, shape (examples,); None if all are equal.

    Raises:
        ParameterError: `class_weight` has another label.

    Source:
        King and Zeng, Political Analysis 9(2), 2001: "balanced", as in scikit-learn's `compute_class_weight`.

    >>> example_weights("balanced", ["bad", "good"], np.eye(2)[[0, 1, 1, 1]], np.ones(4)).round(2)
    array([2.  , 0.67, 0.67, 0.67])
    """
    if class_weight == "balanced":
        masses = weights @ goals
        present = masses > 0
        of_class = np.where(present, masses.sum() / present.sum() / np.where(present, masses, 1), 0)
    else:
        of_class = _of_labels(class_weight, labels)
    return mean_one(weights * (goals @ of_class))


def indicator_weights(
    class_weight: ClassWeight | None,
    labels: Sequence[Label],
    present: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> NDArray[np.float64] | None:
    """Weight of each label in each example, where an example may have several labels.

    Args:
        class_weight: "balanced" if the examples with a label weigh as much as those without it; label -> weight of the
            examples with it, where those without weigh 1; or None.
        labels: the labels.
        present: 1.0 for each label that an example has, shape (examples, labels).
        weights: weights of the examples themselves, above 0, shape (examples,).

    Returns:
        Weights with mean 1, shape (examples, labels); None if all are equal.

    Raises:
        ParameterError: `class_weight` has another label.
    """
    shares = weights / weights.sum()
    if class_weight == "balanced":
        with_label = shares @ present
        factors = np.where(present > 0, 0.5 / with_label, 0.5 / (1 - with_label))
    else:
        factors = np.where(present > 0, _of_labels(class_weight, labels), 1.0)
    return mean_one(weights[:, None] * factors)


def mean_one(weights: NDArray[np.float64], sizes: NDArray[np.int_] | None = None) -> NDArray[np.float64] | None:
    """Weights divided by their mean; None if all are equal.

    Args:
        weights: weights above 0.
        sizes: the parts, such as tokens, of which each weight is that of all; None for one each.

    >>> mean_one(np.array([1.0, 3.0])), mean_one(np.array([1.0, 3.0]), np.array([3, 1]))
    (array([0.5, 1.5]), array([0.66666667, 2.        ]))
    """
    if np.ptp(weights) <= 1e-12 * weights.max(initial=0):
        return None
    normalised: NDArray[np.float64] = weights / np.average(weights, weights=sizes)
    return normalised


def _of_labels(class_weight: ClassWeight | None, labels: Sequence[Label]) -> NDArray[np.float64]:
    """The weight of each label, of a mapping or None."""
    given = class_weight if isinstance(class_weight, Mapping) else {}
    unknown = [label for label in given if label not in labels]
    if unknown:
        raise ParameterError(
            f"class_weight has {quoted_list(unknown)}, and the labels are [{quoted_list(labels)}]"
            f"{did_you_mean(str(unknown[0]), map(str, labels))}"
        )
    return np.array([float(given.get(label, 1.0)) for label in labels])
