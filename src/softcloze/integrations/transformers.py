"""transformers: a fitted classifier as a callable that answers as a pipeline for text classification."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

from softcloze.automatic import AutoPromptClassifier
from softcloze.classifiers import ProbeClassifier, PromptClassifier, PromptEnsemble, predict_stream
from softcloze.data import Example, iterate_examples
from softcloze.errors import DataError, ParameterError
from softcloze.formatting import counted, quoted, quoted_list
from softcloze.parameters import NONE, instance_of, integer, validate_parameters
from softcloze.prompt.streaming import WINDOW, Prediction

if TYPE_CHECKING:
    from transformers import PretrainedConfig

Classifier: TypeAlias = PromptClassifier | ProbeClassifier | PromptEnsemble | AutoPromptClassifier
Answer: TypeAlias = dict[str, Any]
PAIR = ("text", "text_pair")
_CONSTRAINTS = {
    "classifier": instance_of("a classifier for one label an example", *Classifier.__args__),
    "top_k": integer(at_least=1) | NONE,
    "batch_size": integer(at_least=1) | NONE,
}
_FIRST: Any = object()  # top_k that is not given: the answer is the label itself and no list


def as_pipeline(classifier: Classifier, *, batch_size: int | None = None) -> "TextClassification":
    """Let a fitted classifier answer as a `transformers.pipeline("text-classification")`.

    Args:
        classifier: a classifier for one label an example that is ready to predict.
        batch_size: rows that are scored together; None for all rows of a list, and 256 of a stream. The model's batches
            are made of them by their tokens.

    Raises:
        ParameterError: another kind of classifier, or a wrong number.

    Example:
        >>> from softcloze import PromptClassifier
        >>> words = {"positive": "good", "negative": "bad"}
        >>> pipe = as_pipeline(PromptClassifier("starter:bert-tiny", "<text> It was <mask>.", words))
        >>> [answer] = pipe("A delight.")
        >>> [*answer], pipe.task, pipe.model.config.label2id
        (['label', 'score'], 'text-classification', {'negative': 0, 'positive': 1})
    """
    validate_parameters({"classifier": classifier, "batch_size": batch_size}, _CONSTRAINTS)
    fitted = classifier.best_estimator_ if isinstance(classifier, AutoPromptClassifier) else classifier
    return TextClassification(fitted, batch_size)


class TextClassification:
    """A callable with the inputs and answers of the pipeline of transformers of this name.

    Attributes:
        task: "text-classification".
        classifier: the fitted classifier.
        batch_size: as for `as_pipeline`.
        model: has `config` alone, a configuration of transformers with `id2label` and `label2id`, in the order of
            `classes_`, and labels as text.
    """

    task = "text-classification"

    def __init__(self, classifier: PromptClassifier | ProbeClassifier | PromptEnsemble, batch_size: int | None = None):
        """Take a fitted classifier; `as_pipeline` checks it."""
        self.classifier = classifier
        self.batch_size = batch_size
        self._labels = [str(label) for label in classifier.classes_]
        self.model = SimpleNamespace(config=_config(self._labels))

    def __call__(
        self,
        inputs: Example | Iterable[Example],
        *,
        top_k: int | None = _FIRST,
        batch_size: int | None = None,
        truncation: bool = True,
    ) -> "list[Any] | Answer | Iterator[Any]":
        """Classify texts.

        Args:
            inputs: a text, the values of an example by field, or a pair as {"text": ..., "text_pair": ...} for the
                two fields of a template; a list of these, or a generator, a dataset or another iterable of them.
            top_k: number of labels of each example, the likeliest first; None for all.
            batch_size: as for `as_pipeline`, for this call.
            truncation: True, as for tokenizers: a template says what is cut from texts that are too long.

        Returns:
            Of a text a list with its answer, {"label": ..., "score": ...}; of one example by field the answer; of a
            list a list of answers; of any other iterable an iterator over them, which holds `batch_size` rows at a
            time. With `top_k` a list takes the place of each answer, and of a text it is the whole result. Scores are
            those of `predict_proba` for the rows that are scored together.

        Raises:
            DataError: a row cannot be scored; names its index.
            ParameterError: a parameter is wrong.
        """
        values = {"batch_size": batch_size} | ({"top_k": top_k} if top_k is not _FIRST else {})
        validate_parameters(values, _CONSTRAINTS)
        if truncation is not True:
            raise ParameterError(
                f"truncation={quoted(truncation)}, but it has to be True: a prompt keeps its mask, and the template "
                "says what is cut, as in <text keep=tail>"
            )
        window = batch_size if batch_size is not None else self.batch_size
        if isinstance(inputs, str | Mapping):
            [answer] = self._answers(iter([inputs]), 1, top_k)
            return [answer] if isinstance(inputs, str) and top_k is _FIRST else answer
        if isinstance(inputs, list):
            return [*self._answers(iter(inputs), window if window is not None else max(1, len(inputs)), top_k)]
        return self._answers(_rows(inputs, self._fields()), window if window is not None else WINDOW, top_k)

    def _answers(self, rows: Iterator[Example], window: int, top_k: int | None) -> Iterator[Any]:
        examples = (self._example(row, index) for index, row in enumerate(rows))
        for prediction in predict_stream(self.classifier, examples, window=window):
            yield self._answer(prediction, top_k)

    def _answer(self, prediction: Prediction, top_k: int | None) -> "Answer | list[Answer]":
        if prediction.probabilities is None:
            raise DataError(f"row {prediction.row}: {prediction.error}")
        scores = prediction.probabilities
        best = sorted(range(len(scores)), key=lambda index: -scores[index])
        if top_k is _FIRST:
            return {"label": self._labels[best[0]], "score": scores[best[0]]}
        return [{"label": self._labels[index], "score": scores[index]} for index in best[:top_k]]

    def _example(self, row: Example, index: int) -> Example:
        """A row with the names of the template's fields, if it has those of tokenizers."""
        if not isinstance(row, Mapping) or {*row} - {*PAIR} or "text" not in row:
            return row
        fields = self._fields()
        if {*row} <= {*fields}:
            return row
        if len(fields) != len(row):
            raise DataError(
                f"row {index} has {quoted_list(row)}, and the template has {counted(len(fields), 'field')}: "
                f"{quoted_list(fields)}; give the values by these names"
            )
        return {field: row[name] for field, name in zip(fields, PAIR, strict=False)}

    def _fields(self) -> tuple[str, ...]:
        if isinstance(self.classifier, PromptEnsemble):
            return self.classifier._bound_ensemble().fields
        return self.classifier._fields()

    def __repr__(self) -> str:
        return f"as_pipeline({self.classifier!r})"


def _config(labels: list[str]) -> "PretrainedConfig":
    from transformers import PretrainedConfig

    return PretrainedConfig(
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
        problem_type="single_label_classification",
    )


def _rows(inputs: Any, fields: Sequence[str]) -> Iterator[Any]:  # noqa: ANN401 - many libraries have datasets
    """Iterate over rows, also of a frame; a dataset of torch has a length and items alone."""
    if hasattr(inputs, "__iter__") or hasattr(inputs, "to_pylist"):
        return iterate_examples(inputs, fields)
    if not hasattr(inputs, "__len__") or not hasattr(inputs, "__getitem__"):
        raise DataError(f"expected a text, a list or an iterable of texts or examples, found {quoted(inputs, 60)}")
    return (inputs[index] for index in range(len(inputs)))
