"""Labels for rows that come one after the other, in memory that does not grow with their number."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from scipy.special import softmax

from softcloze.classifiers.prompt_classifier import PromptClassifier
from softcloze.data import Example, iterate_examples
from softcloze.encoding import EncodedPrompt
from softcloze.errors import DataError, EncodingError, FieldError, ParameterError
from softcloze.prompt import BoundPrompt, Prompt, TrainedParts
from softcloze.verbalizer import Label

# rows sorted by length and scored together: enough to fill batches with rows of like length, few enough that a large
# model on a small machine answers every few seconds
WINDOW = 256


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a classifier made of one row.

    Attributes:
        row: the number of the row, from 0.
        example: the row as it came.
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
    """Label any number of rows, in their order, while they come.

    Never more than `window` rows are held, and they are asked for no sooner than their labels. A row that cannot be
    encoded is an error of its own, and all others are labelled.

    Args:
        classifier: ready to predict.
        rows: as for `PromptClassifier.predict`; a generator, a `datasets.IterableDataset` or a file of lines as well.
        window: rows that are read, sorted by length and scored together. Rows in one window are padded to each other,
            so that another window changes probabilities in the last digits.

    Returns:
        One prediction for each row; probabilities as `PromptClassifier.predict_proba` gives them.

    Raises:
        DataError: `rows` is one text or a matrix of numbers, or `window` is below 1.
        NotFittedError: soft slots that were not trained.
        ParameterError: a calibration that was not learnt; without `fit` it takes all rows together.

    Example:
        >>> from softcloze import PromptClassifier
        >>> clf = PromptClassifier("starter:bert-tiny", "<text> It was <mask>.", {"pos": "good", "neg": "bad"})
        >>> for found in predict_stream(clf, (text for text in ["A delight.", None, "好看"])):
        ...     print(found.row, found.error)
        0 None
        1 expected a string or a mapping of fields, found NoneType
        2 None
    """
    if window < 1:
        raise DataError(f"window={window}: at least one row has to be read at a time")
    prompt, backbone = classifier._ready()
    if classifier.calibration is not None and not hasattr(classifier, "prompt_"):
        raise ParameterError(
            f"calibration={classifier.calibration!r} without fit is learnt from all rows together, which a stream "
            "never holds; call fit first"
        )
    return _windows(prompt, prompt.bind(backbone), iterate_examples(rows), window)


def _windows(prompt: Prompt, bound: BoundPrompt, rows: Iterator[Example], window: int) -> Iterator[Prediction]:
    """Predictions for one window after the other."""
    parts, labels = prompt.parts(bound), prompt.verbalizer.labels
    first = 0
    while examples := list(islice(rows, window)):
        encoded = _encode(prompt, bound, examples)
        prompts = [found for found in encoded if not isinstance(found, str)]
        probabilities = iter(_probabilities(prompt, bound, parts, prompts))
        for row, (example, found) in enumerate(zip(examples, encoded, strict=True), start=first):
            if isinstance(found, str):
                yield Prediction(row, example, None, None, found)
            else:
                own = next(probabilities)
                yield Prediction(row, example, labels[own.argmax()], tuple(own.tolist()))
        first += len(examples)


def _encode(prompt: Prompt, bound: BoundPrompt, examples: Sequence[Example]) -> list[EncodedPrompt | str]:
    """Each example as the model sees it, or why that cannot be."""
    try:
        return [*bound.encode(examples, prompt.demonstrations_for(examples, bound.scorer.backbone))]
    except (FieldError, EncodingError) as error:
        if len(examples) == 1:
            return [str(error).removeprefix("row 0: ")]  # counted from the example that was given
    middle = len(examples) // 2  # halves, until the bad example is alone
    return _encode(prompt, bound, examples[:middle]) + _encode(prompt, bound, examples[middle:])


def _probabilities(
    prompt: Prompt, bound: BoundPrompt, parts: TrainedParts, prompts: Sequence[EncodedPrompt]
) -> np.ndarray:
    """Probabilities of the labels, shape (batch, labels)."""
    scores = prompt.calibrated(bound.label_scores(prompts, [parts])[0].double().numpy())
    probabilities: np.ndarray = softmax(scores, axis=1)
    return probabilities
