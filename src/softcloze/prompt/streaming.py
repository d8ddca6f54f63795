"""Score rows, or write text for them, as they arrive, in constant memory."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from softcloze.data import Example
from softcloze.errors import NonFiniteError, SoftclozeError
from softcloze.prompt.rows import encode_each
from softcloze.verbalizer import Label

if TYPE_CHECKING:
    from softcloze.generation import Written
    from softcloze.prompt.bound_generator import BoundGenerator

# rows sorted by length and scored together: enough to fill batches with rows of similar length, few enough that a
# large model on a small machine answers every few seconds
WINDOW = 256
# the same for rows that get a text, each of which takes many steps of the model
WRITING_WINDOW = 32


class EncodedExample(Protocol):
    """An encoded example, as an `EncodedPrompt`."""

    @property
    def cut(self) -> Mapping[str, int]:
        """Tokens that truncation removed, by field."""

    @property
    def dropped(self) -> int:
        """Number of demonstrations left out."""


Encoded = TypeVar("Encoded", bound=EncodedExample)


class RowPredictor(Protocol[Encoded]):
    """A classifier of rows for one label an example, as a `BoundPrompt` or a `BoundEnsemble`."""

    @property
    def labels(self) -> tuple[Label, ...]:
        """The labels, in the order of the probabilities."""

    def answer(self, example: Example, index: int) -> Label:
        """The label of an example by its index, as `predict` gives it."""

    def encode(self, examples: Sequence[Example]) -> list[Encoded]:
        """Encode examples; raises FieldError, EncodingError or TemplateLogicError, which name the row."""

    def predict_encoded(self, encoded: Sequence[Encoded]) -> NDArray[np.float64]:
        """Probabilities of the labels, shape (batch, labels); raises NonFiniteError, which names the rows."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """Prediction for one row.

    Attributes:
        row: index of the row, from 0.
        example: the row itself.
        label: the most probable label; None for a row that could not be encoded or has no finite scores.
        probabilities: of each label, in the order of the prompt's labels; None for such a row.
        error: why the row has no label; None for all others.
        cut: tokens that truncation removed from it, by field; only fields that lost some.
        dropped: number of demonstrations left out for it.
    """

    row: int
    example: Example
    label: Label | None
    probabilities: tuple[float, ...] | None
    error: str | None = None
    cut: Mapping[str, int] = field(default_factory=dict)
    dropped: int = 0


def predict_rows(bound: RowPredictor[Encoded], rows: Iterator[Example], window: int = WINDOW) -> Iterator[Prediction]:
    """Predict rows one window after the other.

    Args:
        bound: a prompt for one label an example or an ensemble of such, ready to score.
        rows: examples; any other value becomes a prediction with an error.
        window: rows that are sorted by length and scored together.
    """
    for first, examples, encoded in _windows(bound.encode, rows, window):
        probabilities = iter(_probabilities(bound, [item for item in encoded if not isinstance(item, SoftclozeError)]))
        for row, (example, item) in enumerate(zip(examples, encoded, strict=True), start=first):
            result = str(item) if isinstance(item, SoftclozeError) else next(probabilities)
            if isinstance(item, SoftclozeError) or isinstance(result, str):
                yield Prediction(row, example, None, None, str(result))
            else:
                label = bound.answer(example, int(result.argmax()))
                yield Prediction(row, example, label, tuple(result.tolist()), cut=item.cut, dropped=item.dropped)


@dataclass(frozen=True, slots=True)
class WrittenRow:
    """The text that a model wrote for one row.

    Attributes:
        row: index of the row, from 0.
        example: the row itself.
        text: the text; None for a row that could not be encoded.
        error: why the row has no text; None for all others.
        cut: as of `Prediction`, like the next one.
        dropped: number of demonstrations left out for it.
    """

    row: int
    example: Example
    text: str | None
    error: str | None = None
    cut: Mapping[str, int] = field(default_factory=dict)
    dropped: int = 0


def write_rows(
    bound: "BoundGenerator",
    rows: Iterator[Example],
    options: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    first: int = 0,
    window: int = WRITING_WINDOW,
    kept: Mapping[int, str] = MappingProxyType({}),
    keep: "Callable[[Mapping[int, str]], None]" = lambda texts: None,
) -> Iterator[WrittenRow]:
    """Write a text for rows, one window after the other.

    Args:
        bound: a prompt that writes, bound to its model.
        rows: examples; any other value becomes a row with an error.
        options: changes of the options of writing of the prompt.
        seed: with `do_sample`, the seed of a window is the sum of this and the index of its first row.
        first: index of the first row; from the start of a window on, texts are those of a run over all rows.
        window: rows that are sorted by length and written together.
        kept: texts that `keep` got for the first window in an interrupted run, by row.
        keep: takes the texts of each batch by row, which may be long before the window ends.

    Raises:
        ParameterError: an option is unknown or has a wrong value.
    """
    checked = bound.options(options)
    for start, examples, encoded in _windows(lambda batch: bound.encode(batch, checked), rows, window, first):
        good = {row: item for row, item in enumerate(encoded, start) if not isinstance(item, SoftclozeError)}
        texts = _KeptTexts([*good], kept, keep)
        bound.write_batches([*good.values()], texts.receive, checked, seed + start, texts.done)
        for row, (example, item) in enumerate(zip(examples, encoded, strict=True), start=start):
            if isinstance(item, SoftclozeError):
                yield WrittenRow(row, example, None, str(item))
            else:
                yield WrittenRow(row, example, texts.by_row[row], cut=item.cut, dropped=item.dropped)


class _KeptTexts:
    """The texts of a window by row, of which some are known from an interrupted run."""

    def __init__(self, rows: Sequence[int], kept: Mapping[int, str], keep: Callable[[Mapping[int, str]], None]):
        self._rows, self._keep = rows, keep
        self.by_row = {row: kept[row] for row in rows if row in kept}
        self.done = {i for i, row in enumerate(rows) if row in kept}

    def receive(self, batch: Mapping[int, "Written"]) -> None:
        new = {self._rows[i]: written.text for i, written in batch.items()}
        self.by_row |= new
        self._keep(new)


def _windows(
    encode: Callable[[Sequence[Example]], Sequence[Encoded]], rows: Iterator[Example], window: int, first: int = 0
) -> Iterator[tuple[int, list[Example], list[Encoded | SoftclozeError]]]:
    """The index of the first row of each window, its rows, and those rows encoded, or the error of each."""
    while examples := list(islice(rows, window)):
        yield first, examples, encode_each(encode, examples)
        first += len(examples)


def _probabilities(bound: RowPredictor[Encoded], encoded: Sequence[Encoded]) -> list[NDArray[np.float64] | str]:
    """Probabilities of the labels of each example; the reason in place of those that are not finite."""
    try:
        return [*bound.predict_encoded(encoded)]
    except NonFiniteError as error:
        if len(encoded) == 1:
            return [error.problem]
        broken = {*error.rows}
    others = iter(_probabilities(bound, [item for i, item in enumerate(encoded) if i not in broken]))
    return [_probabilities(bound, [item])[0] if i in broken else next(others) for i, item in enumerate(encoded)]
