"""Predict a stream of rows in constant memory."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from softcloze.classifiers.prompt_classifier import PromptClassifier
from softcloze.data import Example, iterate_examples
from softcloze.encoding import EncodedPrompt
from softcloze.errors import DataError, EncodingError, FieldError
from softcloze.prompt import BoundPrompt
from softcloze.verbalizer import Label

# rows sorted by length and scored together: enough to fill batches with rows of similar length, few enough that a
# large model on a small machine answers every few seconds
WINDOW = 256


@dataclass(frozen=True, slots=True)
class Prediction:
    """Prediction for one row.

    Attributes:
        row: index of the row, from 0.
        example: the row itself.
        label: the most probable label; None for a row that could not be encoded.
        probabilities: of each label, in the order of the classifier's `classes_`; None for such a row.
        error: why the row could not be encoded; None for all others.
    """

    row: int
    example: Example
    label: Label | None
    probabilities: tuple[float, ...] | None
    error: str | None = None


def predict_stream(
    classifier: PromptClassifier, rows: Iterable[Example], *, window: int = WINDOW
) -> Iterator[Prediction]:
    """Predict any number of rows, in their order, as they arrive.

    At most `window` rows are held at a time, and rows are consumed no sooner than their labels are. A row that cannot
    be encoded becomes a prediction with an error, and all others are labelled.

    Args:
        classifier: ready to predict.
        rows: as for `PromptClassifier.predict`; a generator, a `datasets.IterableDataset` or a file of lines as well.
        window: rows that are sorted by length and scored together. Rows in one window share padding, so another
            window changes probabilities in the last digits.

    Returns:
        One prediction for each row; probabilities as `PromptClassifier.predict_proba` gives them.

    Raises:
        DataError: `rows` is one text or a matrix of numbers, or `window` is below 1.
        NotFittedError: as `PromptClassifier.predict`.

    Example:
        >>> from softcloze import PromptClassifier
        >>> clf = PromptClassifier("starter:bert-tiny", "<text> It was <mask>.", {"pos": "good", "neg": "bad"})
        >>> for prediction in predict_stream(clf, (text for text in ["A delight.", None, "好看"])):
        ...     print(prediction.row, prediction.error)
        0 None
        1 expected a string or a mapping of fields, found NoneType
        2 None
    """
    if window < 1:
        raise DataError(f"window={window}, but it has to be at least 1")
    return _windows(classifier._bound_prompt(), iterate_examples(rows), window)


def _windows(bound: BoundPrompt, rows: Iterator[Example], window: int) -> Iterator[Prediction]:
    """Predictions for one window after the other."""
    labels = bound.prompt.verbalizer.labels
    first = 0
    while examples := list(islice(rows, window)):
        encoded = _encode(bound, examples)
        prompts = [prompt for prompt in encoded if not isinstance(prompt, str)]
        scores = bound.label_scores(bound.features(prompts))
        probabilities = iter(bound.probabilities(scores))
        for row, (example, prompt) in enumerate(zip(examples, encoded, strict=True), start=first):
            if isinstance(prompt, str):
                yield Prediction(row, example, None, None, prompt)
            else:
                of_labels = next(probabilities)
                yield Prediction(row, example, labels[of_labels.argmax()], tuple(of_labels.tolist()))
        first += len(examples)


def _encode(bound: BoundPrompt, examples: Sequence[Example]) -> list[EncodedPrompt | str]:
    """Encode each example, or give the reason why it cannot be encoded."""
    try:
        return [*bound.encode(examples)]
    except (FieldError, EncodingError) as error:
        if len(examples) == 1:
            return [str(error).removeprefix("row 0: ")]  # counted from the example that was given
    middle = len(examples) // 2  # halves, until the bad example is alone
    return _encode(bound, examples[:middle]) + _encode(bound, examples[middle:])
