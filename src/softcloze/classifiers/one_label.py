"""Predict, score and explain with one label for each example."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError

from softcloze.analysis import Explanation, explain, explain_prompt
from softcloze.calibration import content_free
from softcloze.classifiers.base import (
    PromptEstimator,
    accuracy,
    answers_of,
    check_words,
    decision_scores,
    read_examples,
)
from softcloze.classifiers.calibrate import WITH_LABELS
from softcloze.data import Example, as_labels, label_verbalizer, validate_lengths
from softcloze.library import resolve_mask_template, resolve_verbalizer
from softcloze.lint import VerbalizerCheck, with_priors
from softcloze.prompt import BoundPrompt
from softcloze.template import Template
from softcloze.verbalizer import AnyVerbalizer, FieldVerbalizer, Label, RuleVerbalizer


class OneLabelMixin(PromptEstimator):
    """Predictions of `PromptClassifier`, which gives each example one label, with the fitted or the hard prompt."""

    head: str
    calibration: str | None

    def decision_function(self, X: Iterable[Example]) -> NDArray[np.float64]:
        """Label log-scores in nats before normalisation.

        Args:
            X: examples as for `predict`.

        Returns:
            Shape (batch, labels) in the order of `classes_`, each row up to a constant; with two labels, as in
            scikit-learn, the score of the second less that of the first, shape (batch,).

        Raises:
            NotFittedError: as `predict`.
        """
        return decision_scores(self._scores(X)[1])

    def predict(self, X: Iterable[Example]) -> np.ndarray:
        """The most probable label of each example, shape (batch,).

        Raises:
            NotFittedError: soft slots, a head, demonstrations or a calibration have to be learnt first.
            FieldError: an example lacks a field; names the row.
            EncodingError: an example cannot be encoded; names the row.
        """
        examples = self._examples(X)
        bound, scores = self._scores(examples)
        return answers_of(bound, examples, scores.argmax(1))

    def score(self, X: Iterable[Example], y: Iterable[Label], sample_weight: Iterable[float] | None = None) -> float:
        """Accuracy on labelled examples.

        Args:
            X: examples as for `predict`.
            y: labels as for `fit`.
            sample_weight: weight of each example, shape (batch,); None for equal ones.

        Raises:
            DataError: a missing label, or one that the verbalizer lacks.
            SoftclozeError: as `predict`.
        """
        examples = self._examples(X)
        verbalizer = resolve_verbalizer(self.verbalizer)
        if not isinstance(verbalizer, FieldVerbalizer):
            return accuracy(self.predict, examples, y, self.classes_.tolist(), sample_weight)
        labels = as_labels(y)
        validate_lengths(examples, labels)
        best = np.asarray(self.classes_)

        def predicted(rows: list[Example]) -> np.ndarray:
            labels: np.ndarray = best[self._scores(rows)[1].argmax(1)]
            return labels

        return accuracy(predicted, examples, verbalizer.indices(examples, labels), best.tolist(), sample_weight)

    def explain(self, example: Example, top: int = 10) -> Explanation:
        """Explain the decision for one example: tables in the terminal and in notebooks.

        They show the label words and, with head="linear" or "words+linear", the part of the linear layer in each
        label's score.

        Args:
            example: an example as for `predict`.
            top: number of the likeliest words of the whole vocabulary to name, at most.

        Raises:
            NotFittedError: as `predict`.
            FieldError: the example lacks a field.
            ParameterError: `top` is below 0, or rules or another head decide.
        """
        return explain_prompt(self._bound_prompt(), example, top)

    def check(self) -> VerbalizerCheck:
        """Check the label words with the model: their tokens, and their probabilities on content-free input.

        Returns:
            A table for the terminal and for notebooks, with the findings of `softcloze.lint.lint` and one more: a
            warning where one label wins on content-free input ("N/A", "[MASK]" and the empty text), unless a
            calibration corrects that. The probabilities are those before any calibration; they are left out where a
            finding is an error, rules or a head decide instead of label words, or a field holds a list of choices.

        Raises:
            NotFittedError: soft slots, a head or demonstrations have to be learnt first.
        """
        prompt, backbone = self._prompt(calibrated=False)
        checked = check_words(prompt.template, prompt.verbalizer, prompt.max_length, prompt.chat_options, backbone)
        is_rule = isinstance(prompt.verbalizer, RuleVerbalizer)
        if not checked.works or prompt.head != "words" or is_rule or prompt.template.lists:
            return checked
        bound = self._bound_prompt(calibrated=False)
        prompts = bound.encode(content_free(prompt.template))
        explanations = explain(bound.compiled, prompts, bound.parts.soft, top=0)
        calibrated = prompt.calibration is not None or self._chosen_calibration is not None
        return with_priors(checked, prompt.template, explanations, calibrated=calibrated)

    def _hard_prompt(self, *, calibrated: bool) -> tuple[Template, AnyVerbalizer]:
        self._validate_parameters()
        template = resolve_mask_template(self.template)
        if template.blocks:
            raise NotFittedError(
                f"the soft slots of {str(template)!r} are not trained yet; call fit first, or take them out to "
                "predict with the hard prompt alone"
            )
        if self.head != "words":
            raise NotFittedError(f"head={self.head!r} learns from labelled examples; call fit first")
        if template.demos is not None:
            raise NotFittedError(
                f"the demonstrations of {str(template)!r} are selected among the examples given to fit; call fit "
                "first, or take them out to predict without"
            )
        verbalizer = resolve_verbalizer(self.verbalizer)
        if verbalizer is None:
            raise NotFittedError("without a verbalizer the labels are not known before fit; give one, or call fit")
        if calibrated and self.calibration in WITH_LABELS:
            raise NotFittedError(f"calibration={self.calibration!r} is learnt from labelled examples; call fit first")
        if calibrated and self._chosen_calibration is not None:
            raise NotFittedError(
                f"calibration={self.calibration!r} is not learnt yet; call calibrate with examples, or fit with "
                "labelled ones, first"
            )
        return template, verbalizer

    # as a member of an ensemble

    def _bound_member(self) -> BoundPrompt:
        return self._bound_prompt()

    def _fields(self) -> tuple[str, ...]:
        """The fields of an example."""
        return resolve_mask_template(self.template).fields

    def _read(self, examples: Sequence[Example]) -> list[Example]:
        """The examples, each of which the template can read."""
        return read_examples(examples, resolve_mask_template(self.template))

    def _labels_of(self, labels: Sequence[Label], y: object) -> tuple[Label, ...]:
        """The labels after a fit to these."""
        return tuple(label_verbalizer(resolve_verbalizer(self.verbalizer), labels, y).labels)
