"""Predict a stream of rows, or write a text for each, in constant memory."""

from collections.abc import Iterable, Iterator

from softcloze.classifiers.ensemble import PromptEnsemble
from softcloze.classifiers.generator import PromptGenerator
from softcloze.classifiers.probe import ProbeClassifier
from softcloze.classifiers.prompt_classifier import PromptClassifier
from softcloze.classifiers.start import seed_of
from softcloze.data import Example, iterate_examples
from softcloze.errors import ParameterError
from softcloze.generation import with_changes
from softcloze.parameters import instance_of, integer, validate_parameters
from softcloze.prompt.streaming import WINDOW, WRITING_WINDOW, Prediction, WrittenRow, predict_rows, write_rows


def predict_stream(
    classifier: PromptClassifier | ProbeClassifier | PromptEnsemble, rows: Iterable[Example], *, window: int = WINDOW
) -> Iterator[Prediction]:
    """Predict any number of rows, in their order, as they arrive.

    At most `window` rows are held at a time, and rows are consumed no sooner than their labels are. A row that cannot
    be encoded becomes a prediction with an error, and all others are labelled.

    Args:
        classifier: ready to predict; of an `AutoPromptClassifier` its `best_estimator_`.
        rows: as for `PromptClassifier.predict`; a generator, a `datasets.IterableDataset` or a file of lines as well.
        window: rows that are sorted by length and scored together. Rows in one window share padding, so another
            window changes probabilities in the last digits.

    Returns:
        One prediction for each row; probabilities as `predict_proba` of the classifier gives them.

    Raises:
        ParameterError: another kind of classifier, or `window` is not an integer of at least 1.
        DataError: `rows` is one text or a matrix of several columns.
        NotFittedError: as `PromptClassifier.predict`.

    Example:
        >>> from softcloze import PromptClassifier
        >>> clf = PromptClassifier("starter:bert-tiny", "<text> It was <mask>.", {"pos": "good", "neg": "bad"})
        >>> for prediction in predict_stream(clf, (text for text in ["A delight.", None, "好看"])):
        ...     print(prediction.row, prediction.error)
        0 None
        1 field 'text' is None: drop the row or give it a text, if only an empty one
        2 None
    """
    validate_parameters({"window": window}, {"window": integer(at_least=1)})
    match classifier:
        case PromptClassifier():
            prompt = classifier._bound_prompt()
            return predict_rows(prompt, iterate_examples(rows, prompt.fields), window)
        case ProbeClassifier():
            probe = classifier._bound_member()
            return predict_rows(probe, iterate_examples(rows, probe.fields), window)
        case PromptEnsemble():
            ensemble = classifier._bound_ensemble()
            return predict_rows(ensemble, iterate_examples(rows, ensemble.fields), window)
    raise ParameterError(
        "predict_stream takes a PromptClassifier, a ProbeClassifier or a PromptEnsemble, found "
        f"{type(classifier).__name__}; call its predict on parts of the rows"
    )


def write_stream(
    generator: PromptGenerator, rows: Iterable[Example], *, window: int = WRITING_WINDOW, **options: object
) -> Iterator[WrittenRow]:
    r"""Write a text for each of any number of rows, in their order, as they arrive.

    A row that cannot be encoded becomes a row with an error, and all others have their texts.

    Args:
        generator: ready to write.
        rows: as for `PromptGenerator.predict`; a generator of rows as well.
        window: rows that are sorted by length and written together.
        options: changes of the options of writing, as in `write_stream(gen, rows, max_new_tokens=20)`.

    Returns:
        One written row for each row.

    Raises:
        ParameterError: another kind of estimator, or an option or `window` has a wrong value.
        DataError: `rows` is one text or a matrix of several columns.
        NotFittedError: as `PromptGenerator.predict`.

    Example:
        >>> from softcloze import PromptGenerator
        >>> gen = PromptGenerator("starter:smollm2-135m", "<text> In short: <answer max=20>\n")
        >>> for row in write_stream(gen, ["A long text.", None]):  # doctest: +SKIP
        ...     print(row.text, row.error)
    """
    kind = instance_of("a PromptGenerator", PromptGenerator)
    validate_parameters({"generator": generator, "window": window}, {"generator": kind, "window": integer(at_least=1)})
    bound = generator._bound_prompt()
    changed = bound.options(with_changes(generator._options(), options))
    examples = iterate_examples(rows, bound.fields)
    return write_rows(bound, examples, changed, seed=seed_of(generator.random_state), window=window)
