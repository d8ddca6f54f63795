"""Predict a stream of rows in constant memory."""

from collections.abc import Iterable, Iterator

from softcloze.classifiers.prompt_classifier import PromptClassifier
from softcloze.data import Example, iterate_examples
from softcloze.errors import DataError, ParameterError
from softcloze.prompt.streaming import WINDOW, Prediction, predict_rows


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
        ParameterError: another kind of classifier.
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
    if not isinstance(classifier, PromptClassifier):
        raise ParameterError(
            f"predict_stream takes a PromptClassifier, found {type(classifier).__name__}; call its predict on parts "
            "of the rows"
        )
    if window < 1:
        raise DataError(f"window={window}, but it has to be at least 1")
    return predict_rows(classifier._bound_prompt(), iterate_examples(rows), window)
