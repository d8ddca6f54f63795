"""Labels of examples: plain values, their indices, indicators and probabilities."""

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from typing import TYPE_CHECKING, Any

import numpy as np

from softcloze.data.examples import column_names, iterate_column, normalise, row_name, validate_collection
from softcloze.errors import DataError
from softcloze.formatting import did_you_mean, quoted_list
from softcloze.verbalizer import AnyVerbalizer, Label, Verbalizer, as_label, validate_one_kind
from softcloze.verbalizer.labels import is_collection

if TYPE_CHECKING:
    from torch import Tensor

_WORD = r"[^\W\d_\u3400-\u9fff]{2,}|[\u3400-\u9fff]"  # two letters in a row or more, or a Chinese one


def as_labels(y: Iterable[Label]) -> list[Label]:
    """Convert labels to plain strings, integers or truth values, each as `softcloze.verbalizer.labels.as_label`.

    Args:
        y: a list, an array of shape (examples,) or (examples, 1), or a column or a frame of one column of pandas,
            polars, pyarrow or datasets.

    Raises:
        DataError: a label is missing or of another type, or labels are of mixed types; names the row.

    >>> as_labels(np.array([1, 0])), as_labels([1.0, 0.0])
    ([1, 0], [1, 0])
    """
    validate_collection(y, "y", "a list with the label of each example")
    labels = [as_label(value, row_name(y, row)) for row, value in enumerate(iterate_column(y, "y", "label"))]
    validate_one_kind(labels, "y")
    return labels


def are_words(names: Sequence[str]) -> bool:
    """Return True if names of labels may mean something.

    Each then has two letters in a row, or a Chinese one, and not all have the same such words, as "class 1" and
    "class 2" have.

    >>> are_words(["fees", "card lost"]), are_words(["差", "好"]), are_words(["3", "B2"])
    (True, True, False)
    >>> are_words(["LABEL_0", "LABEL_1"]), are_words(["1 star", "2 stars"]), are_words(["good", "very good"])
    (False, False, True)
    """
    words = [{word.rstrip("s") for word in re.findall(_WORD, name.casefold())} for name in names]
    return all(words) and (len(words) < 2 or any(of_name != words[0] for of_name in words))


def validate_lengths(X: Sized, y: Sized) -> None:
    """Raise DataError if `X` and `y` differ in length.

    >>> validate_lengths(["good", "bad"], [1, 0])
    """
    if len(X) != len(y):
        raise DataError(f"X has {len(X)} examples but y has {len(y)} labels")


def label_verbalizer(verbalizer: AnyVerbalizer | None, labels: Sequence[Label], y: object) -> AnyVerbalizer:
    """The verbalizer for the labels of examples.

    Without one, every label is its own word. scikit-learn's meta-estimators number labels from 0 in sorted order before
    they fit, and a `datasets` column of classes holds the numbers of its names. If a verbalizer for text is given such
    numbers, the result has the same words for the numbers.

    Args:
        verbalizer: as given, or None.
        labels: labels of the examples, as of `as_labels`.
        y: the labels before, whose column may name its classes.

    Raises:
        DataError: without a verbalizer, all labels are the same, or two differ by case or white space alone.

    Warns:
        UserWarning: numbers are taken for text labels in sorted order, or for label words.

    >>> label_verbalizer(None, ["好", "差"], None).words
    (('好',), ('差',))
    """
    if verbalizer is None:
        validate_several(labels)
        validate_spellings(labels, y)
    names = class_names(y)
    numbered = {type(label) for label in labels} == {int} and {*labels} == {*range(len({*labels}))}
    if verbalizer is None:
        if numbered and not names:
            warnings.warn(
                f"without a verbalizer every label is its own word, here the numbers {quoted_list(sorted({*labels}))}; "
                "name words for them in a verbalizer, as in {0: 'bad', 1: 'good'}",
                stacklevel=3,
            )
        return Verbalizer({label: names.get(label, str(label)) for label in labels})
    if not isinstance(verbalizer, Verbalizer) or not all(isinstance(label, str) for label in verbalizer.labels):
        return verbalizer
    if {*names.values()} == {*verbalizer.labels}:
        return verbalizer.relabelled({name: number for number, name in names.items()})
    if not numbered or {*labels} != {*range(len(verbalizer.labels))} or any(map(_is_number, verbalizer.labels)):
        return verbalizer
    meaning = ", ".join(f"{number} as {label!r}" for number, label in enumerate(verbalizer.labels))
    warnings.warn(
        f"y holds numbers and the verbalizer text: they are taken in sorted order, as scikit-learn numbers labels, "
        f"{meaning}. If they mean something else, give the verbalizer the numbers, as in {{0: 'bad', 1: 'good'}}",
        stacklevel=3,
    )
    return verbalizer.relabelled({label: number for number, label in enumerate(verbalizer.labels)})


def check_spellings(labels: Iterable[Label]) -> Iterator[tuple[int, str]]:
    """Find labels that differ from an earlier one by case, white space or Unicode form alone: index and problem.

    >>> list(check_spellings(["good", "bad", "Good "]))
    [(2, "label 'Good ' is 'good' in another row: write them alike")]
    """
    spellings: dict[str, Label] = {}
    for i, label in enumerate(labels):
        other = spellings.setdefault(normalise(str(label)), label)
        if other != label:
            yield i, f"label {label!r} is {other!r} in another row: write them alike"


def validate_spellings(labels: Sequence[Label], y: object) -> None:
    """Raise DataError as `check_spellings` finds; names the row of `y`, from which the labels are."""
    for row, problem in check_spellings(labels):
        raise DataError(f"{row_name(y, row)}: {problem}")


def class_names(y: Any) -> dict[Label, str]:  # noqa: ANN401
    """Number -> name of the classes of a `datasets` column; empty for other labels."""
    feature = getattr(y, "features", None)
    return dict(enumerate(getattr(feature, "names", None) or ())) if hasattr(y, "column_name") else {}


def _is_number(label: Label) -> bool:
    try:
        float(label)
    except ValueError:
        return False
    return True


def label_indices(labels: Sequence[Label], known: Sequence[Label]) -> list[int]:
    """The index of each label among those of a verbalizer.

    Raises:
        DataError: the verbalizer lacks a label; names the row.
    """
    index = {label: i for i, label in enumerate(known)}
    return [_index_of(label, index, row) for row, label in enumerate(labels)]


def target_indices(examples: Sized, y: Iterable[Label], known: Sequence[Label]) -> list[int]:
    """The index of the right label of each example to measure on; raise DataError if they do not fit each other."""
    labels = as_labels(y)
    validate_lengths(examples, labels)
    if not labels:
        raise DataError("no examples to measure on; give at least one")
    return label_indices(labels, known)


def validate_several(labels: Sequence[Label]) -> None:
    """Raise DataError if there are fewer than two different labels."""
    if len(set(labels)) < 2:
        kinds = f"only the label {labels[0]!r}" if labels else "no label"
        raise DataError(f"y holds {kinds}; fitting takes examples of at least two labels")


def _index_of(label: Label, index: Mapping[Label, int], row: int) -> int:
    if label not in index:
        if isinstance(label, str) is not isinstance(next(iter(index)), str):
            hint = (
                "; numbers and text are different labels: give both one type, numbers for estimators of scikit-learn "
            )
            hint += "that number labels"
            if len(index) > 2:
                hint += "; one that splits labels into two groups, such as OneVsRestClassifier, has no words for them"
        elif label == 0 and type(label) is int:
            hint = (
                "; estimators of scikit-learn that number labels begin with 0: number them so in y and the verbalizer"
            )
        else:
            hint = did_you_mean(str(label), map(str, index))
        raise DataError(
            f"row {row} has label {label!r}, which the verbalizer does not name; it has [{quoted_list(index)}]{hint}"
        )
    return index[label]


def as_probabilities(probabilities: np.ndarray, examples: int, verbalizer: AnyVerbalizer) -> "Tensor":
    """Validate label probabilities for training and convert them to float32, shape (examples, labels).

    Raises:
        DataError: `examples` is 0, or the probabilities have another shape, are negative or do not sum to 1.

    >>> from softcloze import Verbalizer
    >>> as_probabilities(np.array([[0.25, 0.75]]), 1, Verbalizer({"积极": "好", "消极": "差"}))
    tensor([[0.2500, 0.7500]])
    """
    import torch

    expected = (examples, len(verbalizer.labels))
    try:
        values = np.asarray(_in_order(probabilities, verbalizer.labels), dtype=float)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"the probabilities have to be numbers, shape {expected}: {error}") from error
    if values.shape != expected or not examples:
        raise DataError(
            f"the probabilities have shape {values.shape}; expected {expected}: a row for each of one or more examples "
            f"and a column for each of {list(verbalizer.labels)}, in this order"
        )
    if wrong := improper_rows(values):
        raise DataError(f"row {wrong[0]} of the probabilities is {values[wrong[0]].tolist()}, which do not sum to 1")
    return torch.tensor(values, dtype=torch.float32)


def improper_rows(probabilities: np.ndarray, tolerance: float = 1e-4) -> list[int]:
    """Rows with NaN, a negative number, or a sum that differs from 1 by more than `tolerance`.

    >>> improper_rows(np.array([[0.5, 0.5], [0.5, 0.6], [1.5, -0.5], [np.nan, 1.0]]))
    [1, 2, 3]
    """
    proper = (probabilities >= 0).all(1) & (np.abs(probabilities.sum(1) - 1) <= tolerance)
    return [int(row) for row in np.flatnonzero(~proper)]


def as_indicators(y: Iterable[object], verbalizer: AnyVerbalizer) -> np.ndarray:
    """Convert several labels an example to an indicator matrix of 1.0 and 0.0, shape (examples, labels).

    Args:
        y: a collection of labels for each example, or scikit-learn's indicator matrix (an array, a sparse matrix, or
            a frame whose columns are the labels).
        verbalizer: its labels are the columns, in order.

    Raises:
        DataError: the verbalizer lacks a label, or the matrix has another shape or values other than 0 and 1.

    >>> from softcloze import Verbalizer
    >>> as_indicators([{"cars", "space"}, []], Verbalizer({"space": "space", "cars": "cars"}))
    array([[1., 1.],
           [0., 0.]])
    """
    labels = verbalizer.labels
    validate_collection(y, "y", "a list with the labels of each example, or a matrix of 0 and 1")
    matrix: Any = y.toarray() if hasattr(y, "toarray") else y
    columns = column_names(matrix, "y")
    if columns is not None:
        if len(columns) == 1 and all(map(is_collection, iterate_column(matrix, "y", "label"))):
            matrix = [*iterate_column(matrix, "y", "label")]
        elif sorted(map(str, columns)) != sorted(map(str, labels)):
            raise DataError(f"y has the columns {list(columns)}, the verbalizer the labels {list(labels)}")
        else:
            matrix = _in_order(matrix, labels)
    if len(getattr(matrix, "shape", ())) > 1:
        return _indicators(matrix, labels)
    index = {label: i for i, label in enumerate(labels)}
    rows = list(iterate_column(matrix, "y", "collection of labels"))
    indicators = np.zeros((len(rows), len(labels)))
    for row, labels_of_row in enumerate(rows):
        if isinstance(labels_of_row, Mapping) or not is_collection(labels_of_row):
            raise DataError(
                f"row {row} of y is {labels_of_row!r}; expected a collection of labels, as in ['space', 'cars']"
            )
        for label in labels_of_row:
            indicators[row, _index_of(as_label(label, f"row {row}"), index, row)] = 1
    return indicators


def _in_order(frame: Any, labels: Sequence[Label]) -> Any:  # noqa: ANN401 - many libraries have frames
    """The columns of a frame in the order of `labels`, which are their names; anything else as it is."""
    columns = column_names(frame, "the frame")
    index_of = {str(column): i for i, column in enumerate(columns or ())}  # most libraries have text for names
    if sorted(index_of) != sorted(map(str, labels)):
        return frame
    values = np.asarray(frame.to_pandas() if hasattr(frame, "features") else frame)
    return values[:, [index_of[str(label)] for label in labels]]


def _indicators(matrix: Any, labels: Sequence[Label]) -> np.ndarray:  # noqa: ANN401 - any array
    expected = f"a column of 0 and 1 for each of {list(labels)}, in this order"
    if tuple(matrix.shape[1:]) != (len(labels),):
        raise DataError(f"y has shape {tuple(matrix.shape)}; expected {expected}")
    try:
        values = np.asarray(matrix).astype(float)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"y is a matrix of other values than numbers ({error}); expected {expected}") from error
    wrong = np.argwhere(~np.isin(values, (0, 1)))
    if len(wrong):
        row, column = wrong[0]
        raise DataError(f"y has {values[row, column]:g} in row {row}, column {column}; expected {expected}")
    return values
