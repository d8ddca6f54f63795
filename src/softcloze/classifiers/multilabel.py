"""MultiLabelPromptClassifier: any number of labels for an example, each decided on its own."""

from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError
from sklearn.utils import Tags

from softcloze.analysis import Explanation, explain_prompt
from softcloze.backbone import AnyModel
from softcloze.classifiers.base import PromptEstimator, check_words, read_examples, training_task
from softcloze.classifiers.start import start_of
from softcloze.data import (
    ClassWeight,
    Example,
    as_indicators,
    indicator_weights,
    validate_lengths,
    weighted_rows,
)
from softcloze.encoding import summarise_cuts
from softcloze.errors import DataError
from softcloze.heads import learn_thresholds
from softcloze.library import resolve_mask_template, resolve_verbalizer
from softcloze.lint import VerbalizerCheck
from softcloze.parameters import Constraint, one_of, plain
from softcloze.prompt import BoundPrompt, CompiledPrompt, TrainedParts
from softcloze.soft import INITS, initial_vectors
from softcloze.template import ChatOptions, Template
from softcloze.training import TrainingSettings, joined_processes
from softcloze.verbalizer import AnyVerbalizer, FieldVerbalizer, Label, Words

HEAD = "thresholds"
NO_LABELS = "a verbalizer has to name the labels, with words that all examples share"


@dataclass(eq=False, repr=False)
class MultiLabelPromptClassifier(PromptEstimator):
    r"""Give examples any number of labels, with a frozen language model, a prompt template and label words.

    The score of a label is the log-probability of its words over the whole vocabulary, so that labels do not compete.
    `fit` learns a threshold for each label, and trains the soft slots of the template for all labels together.

    Args:
        model: as for `PromptClassifier`.
        template: a template string, the name of one in the library, or a `Template`; without `<demos>`.
        verbalizer: label -> word, words or word -> weight, the name of a table in the library, or a `Verbalizer`.
        soft_init: initial values of soft slots without `init=`: "template", "labels" or "vocabulary".
        epochs: passes over the training examples, at most.
        batch_size: examples per step.
        learning_rate: in units of the root mean square of the model's input embeddings: the highest step of AdamW.
        class_weight: None, "balanced" so that the examples with a label weigh as much as those without it, or label ->
            weight of the examples with it, where those without weigh 1.
        max_length: limit of a prompt in tokens; None for the model's own limit.
        chat_options: values of variables of the tokenizer's chat template, as for `PromptClassifier`.
        training: other options of training, a `TrainingSettings`; None for the defaults.
        model_options: options of `load_backbone` for a model given by name: dtype, device, compile.
        random_state: seed of the initial vectors and of the order of examples.

    Attributes:
        classes_: the labels, sorted.
        prompt_: the trained `Prompt`.
        backbone_: the frozen `Backbone`.
        history_: one dict per epoch; see `softcloze.training.train`.
        truncation_: summary of what `fit` truncated.

    Example:
        >>> clf = MultiLabelPromptClassifier(
        ...     model="starter:smollm2-135m",
        ...     template="Text: <text>\nTopic: <mask>",
        ...     verbalizer={"food": ["food", "cooking"], "travel": "travel", "money": ["money", "prices"]},
        ... )
        >>> clf.fit(texts, [["food", "travel"], ["money"], []]).predict(["Cheap noodles."])  # doctest: +SKIP
        array([[1, 1, 0]])

    Source:
        A threshold for each label by a logistic curve: Platt 1999. The label scores are those of the verbalizer of
        Schick and Schütze, EACL 2021, arXiv:2001.07676, without its softmax over labels.
    """

    heads = (HEAD,)
    constraints: ClassVar[Mapping[str, Constraint]] = {**PromptEstimator.constraints, "soft_init": one_of(*INITS)}
    training_defaults: ClassVar[Mapping[str, float]] = {"target_loss": 0.0}

    model: AnyModel
    template: str | Template
    verbalizer: Mapping[Label, Words] | str | AnyVerbalizer
    _: KW_ONLY
    soft_init: str = "template"
    epochs: int = 3
    batch_size: int = 4
    learning_rate: float = 0.04
    class_weight: ClassWeight | None = None
    max_length: int | None = None
    chat_options: ChatOptions | None = None
    training: TrainingSettings | None = None
    model_options: Mapping[str, Any] | None = None
    random_state: int | np.random.RandomState | None = None

    @joined_processes()
    def fit(self, X: Iterable[Example], y: Iterable[object], sample_weight: Iterable[float] | None = None) -> Self:
        """Learn the thresholds, and train the soft slots; every weight of the model stays as it is.

        Args:
            X: as for `PromptClassifier`.
            y: a collection of labels for each example, or scikit-learn's indicator matrix with a column for each label
                in sorted order (an array, a sparse matrix, or a pandas frame whose columns are the labels).
            sample_weight: weight of each example as for `PromptClassifier.fit`.

        Returns:
            The classifier itself.

        Raises:
            DataError: examples and labels that do not fit each other or the verbalizer, a label that no example or
                every example has, or a template with demonstrations.
            SoftclozeError: as `PromptClassifier.fit`.
        """
        self._validate_parameters()
        template, verbalizer = resolve_mask_template(self.template), resolve_verbalizer(self.verbalizer)
        if verbalizer is None or isinstance(verbalizer, FieldVerbalizer):
            raise DataError(NO_LABELS)
        if template.demos is not None:
            raise DataError("<demos> shows one label word for each example; take it out to predict several labels")
        examples, present = read_examples(X, template), as_indicators(y, verbalizer)
        template.validate_varied(examples)
        validate_lengths(examples, present)
        if not examples:
            raise DataError("fit needs at least one example, found none")
        used, given = weighted_rows(sample_weight, examples)
        examples, present = [examples[i] for i in used], present[used]
        for label, share in zip(verbalizer.labels, present.mean(0), strict=True):
            if share in (0, 1):
                which = "every" if share else "no"
                raise DataError(f"{which} example has label {label!r}; fitting takes examples with it and without")
        targets = torch.tensor(present, dtype=torch.float32)
        weights = indicator_weights(self.class_weight, verbalizer.labels, present, given)
        described = self._describe(template, verbalizer, examples, targets, weights)
        start = start_of(described, self._settings(), self.random_state)
        compiled = CompiledPrompt(template, verbalizer, self._load_backbone(), self.max_length, HEAD, self.chat_options)
        prompts = compiled.encode(examples)
        self.truncation_ = summarise_cuts(prompts)

        soft, training = None, dict[str, Any](examples=len(examples))
        self._cached = None
        if compiled.template.blocks:
            soft = initial_vectors(
                compiled.template,
                compiled.backbone,
                init=self.soft_init,
                prompts=prompts,
                words=compiled.words,
                generator=np.random.default_rng(start.seed),
            )
        if soft is not None and template.trains:
            # the vectors are trained against the thresholds of the scores that they start with
            head = learn_thresholds(verbalizer, compiled.features(prompts, soft), targets, weights)
            parts = TrainedParts(soft, head)
            task = training_task(compiled, parts, prompts, targets, weights)
            training = self._train(compiled, task, start, soft_init=self.soft_init)
        head = learn_thresholds(verbalizer, compiled.features(prompts, soft), targets, weights)
        prompt = self._make_prompt(compiled, TrainedParts(soft, head), HEAD, training)
        return self._finish(BoundPrompt(prompt, compiled.backbone, compiled), start)

    def predict(self, X: Iterable[Example]) -> NDArray[np.int_]:
        """Indicators of the labels more probable than not, shape (batch, labels) in the order of `classes_`.

        Raises:
            NotFittedError: `fit` was not called.
            FieldError: an example lacks a field; names the row.
            EncodingError: an example cannot be encoded; names the row.
        """
        return (self.decision_function(X) > 0).astype(int)

    def score(self, X: Iterable[Example], y: Iterable[object], sample_weight: Iterable[float] | None = None) -> float:
        """Share of examples with exactly the right labels; `y` as for `fit`, errors as of `fit` and `predict`."""
        from sklearn.metrics import accuracy_score  # takes a second

        examples, present = self._examples(X), as_indicators(y, self._bound_prompt().prompt.verbalizer)
        validate_lengths(examples, present)
        return float(accuracy_score(present, self.predict(examples), sample_weight=sample_weight))

    def explain(self, example: Example, top: int = 10) -> Explanation:
        """Explain the decision about each label for one example: tables in the terminal and in notebooks.

        Args:
            example: an example as for `predict`.
            top: number of the likeliest words of the whole vocabulary to name, at most.

        Raises:
            NotFittedError: `fit` was not called.
            FieldError: the example lacks a field.
            ParameterError: `top` is below 0, or labels are rules about several masks.
        """
        return explain_prompt(self._bound_prompt(), example, top)

    def check(self) -> VerbalizerCheck:
        """Check the label words with the model: their tokens, and the findings of `softcloze.lint.lint`.

        It needs no `fit`. Content-free inputs are not scored, since the threshold of a label is learnt from examples.
        """
        if hasattr(self, "prompt_"):
            prompt = self.prompt_
            return check_words(
                prompt.template, prompt.verbalizer, prompt.max_length, prompt.chat_options, self.backbone_
            )
        self._validate_parameters()
        template, verbalizer = resolve_mask_template(self.template), resolve_verbalizer(self.verbalizer)
        if verbalizer is None:
            raise DataError(NO_LABELS)
        return check_words(template, verbalizer, plain(self.max_length), self.chat_options, self._load_backbone())

    @property
    def thresholds_(self) -> NDArray[np.float32]:
        """Log-probability in nats above which an example has each label, shape (labels,)."""
        thresholds: NDArray[np.float32] = self._bound_prompt().prompt.head_tensors["thresholds"].numpy()
        return thresholds

    def _hard_prompt(self, *, calibrated: bool) -> tuple[Template, AnyVerbalizer]:
        raise NotFittedError("the thresholds of the labels are not learnt yet; call fit first")

    def __sklearn_tags__(self) -> Tags:
        """Several labels an example, and texts instead of numbers."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = False
        return tags
