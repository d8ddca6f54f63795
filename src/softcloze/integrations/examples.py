"""Examples from what chains and graphs pass on, and the prediction for each or the reason why it has none."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from softcloze.classifiers import (
    Prediction,
    ProbeClassifier,
    PromptClassifier,
    PromptEnsemble,
    PromptGenerator,
    WrittenRow,
    predict_stream,
    write_stream,
)
from softcloze.data import Example
from softcloze.errors import DataError
from softcloze.parameters import instance_of, one_of

Classifier = PromptClassifier | ProbeClassifier | PromptEnsemble
CLASSIFIERS = (PromptClassifier, ProbeClassifier, PromptEnsemble)
CLASSIFIER = instance_of(
    "a PromptClassifier, a ProbeClassifier or a PromptEnsemble (of an AutoPromptClassifier its best_estimator_)",
    *CLASSIFIERS,
)
Row = TypeVar("Row", Prediction, WrittenRow)
OUTPUT = one_of("label", "probabilities")
HUMAN = ("human", "HumanMessageChunk")  # types of messages of LangChain


def as_example(value: Any) -> Example:  # noqa: ANN401 - any value may come
    """The example in a value of a chain or a state.

    Args:
        value: a text, a mapping of fields, a message of LangChain, a list of messages, or the value of a prompt
            template. Of several messages, the last one of a human counts. A message counts with its text alone.

    Raises:
        DataError: another value, or messages without one of a human.

    >>> as_example("A delight."), as_example({"title": "Film", "text": "A delight."})
    ('A delight.', {'title': 'Film', 'text': 'A delight.'})
    """
    if isinstance(value, str | Mapping):
        return value
    if hasattr(value, "to_messages"):
        value = value.to_messages()
    if _is_message(value):
        return str(value.text)
    if not isinstance(value, Sequence) or not value or not all(map(_is_message, value)):
        raise DataError(
            "expected a text, a mapping of fields, a message or a list of messages of LangChain, or the value of a "
            f"prompt template, found {type(value).__name__}"
        )
    text = next((str(message.text) for message in reversed(value) if message.type in HUMAN), None)
    if text is None:
        raise DataError(f"none of the {len(value)} messages is of a human; give the text itself, or one message")
    return text


def predict_each(classifier: Classifier, values: Sequence[Any]) -> list[Prediction | DataError]:
    """Predict values of a chain in one batch; for one that has no prediction, return the error."""

    def predict(examples: list[Example]) -> list[Prediction]:
        return [*predict_stream(classifier, examples, window=len(examples))]

    return _for_each(values, predict)


def write_each(generator: PromptGenerator, values: Sequence[Any], **options: object) -> list[WrittenRow | DataError]:
    """Write a text for values of a chain in one batch; for one that has none, return the error."""

    def write(examples: list[Example]) -> list[WrittenRow]:
        return [*write_stream(generator, examples, window=len(examples), **options)]

    return _for_each(values, write)


def _for_each(values: Sequence[Any], run: Callable[[list[Example]], list[Row]]) -> list[Row | DataError]:
    """The results of `run` for the examples in the values, in order, each error in its place."""
    examples = [_example_or_error(value) for value in values]
    good = [example for example in examples if not isinstance(example, DataError)]
    rows = iter(run(good) if good else [])
    results: list[Row | DataError] = []
    for example in examples:
        row = example if isinstance(example, DataError) else next(rows)
        results.append(row if isinstance(row, DataError) or row.error is None else DataError(row.error))
    return results


def _example_or_error(value: Any) -> Example | DataError:  # noqa: ANN401
    try:
        return as_example(value)
    except DataError as error:
        return error


def _is_message(value: Any) -> bool:  # noqa: ANN401
    return isinstance(getattr(value, "type", None), str) and isinstance(getattr(value, "text", None), str)
