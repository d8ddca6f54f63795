"""Base of the classifiers with one prompt: the fitted prompt, saving and loading."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils import Tags
from torch import Tensor

from softcloze.backbone import AnyModel, Backbone
from softcloze.classifiers.start import Start
from softcloze.classifiers.tags import text_tags
from softcloze.classifiers.trained import TrainedEstimator
from softcloze.data import CLASS_WEIGHT, ClassWeight, Example, as_examples, label_indices, row_name
from softcloze.data.labels import target_indices
from softcloze.encoding import EncodedPrompt
from softcloze.errors import ArtifactError, FieldError, SoftclozeError
from softcloze.heads import EXCLUSIVE
from softcloze.lint import VerbalizerCheck, check_verbalizer
from softcloze.parameters import Constraint, plain
from softcloze.prompt import BoundEnsemble, BoundPrompt, CompiledPrompt, Prompt, TrainedParts
from softcloze.template import ChatOptions, Template
from softcloze.training import TrainingTask
from softcloze.verbalizer import AnyVerbalizer, Label, Words


class PromptEstimator(ClassifierMixin, TrainedEstimator):
    """Base of the classifiers with one prompt; a subclass declares the parameters and implements `fit`.

    Attributes:
        heads: heads of the saved prompts that this classifier can load.
    """

    heads: ClassVar[tuple[str, ...]]
    prompt_type = Prompt
    bound_type = BoundPrompt
    fixed = (*TrainedEstimator.fixed, "verbalizer", "head", "features")
    constraints: ClassVar[Mapping[str, Constraint]] = {**TrainedEstimator.constraints, "class_weight": CLASS_WEIGHT}

    verbalizer: Mapping[Label, Words] | str | AnyVerbalizer | None
    class_weight: ClassWeight | None

    prompt_: Prompt

    _bound: BoundPrompt | None = None

    def decision_function(self, X: Iterable[Example]) -> NDArray[np.float64]:
        """Label scores in nats, shape (batch, labels) in the order of `classes_`.

        Raises:
            NotFittedError: something has to be learnt first.
            FieldError: an example lacks a field; names the row.
            EncodingError: an example cannot be encoded; names the row.
        """
        return self._scores(X)[1]

    def predict_proba(self, X: Iterable[Example]) -> NDArray[np.float64]:
        """Probabilities of the labels, shape (batch, labels) in the order of `classes_`; raises as `predict`."""
        bound, scores = self._scores(X)
        return bound.probabilities(scores)

    def predict_log_proba(self, X: Iterable[Example]) -> NDArray[np.float64]:
        """Natural logarithms of the probabilities of the labels, shape and errors as of `predict_proba`."""
        with np.errstate(divide="ignore"):  # the logarithm of 0 is minus infinity
            return np.log(self.predict_proba(X))

    @classmethod
    def of_prompt(cls, prompt: Prompt, backbone: Backbone) -> Self:
        """A fitted classifier of a prompt in memory.

        Args:
            prompt: a prompt of this kind of classifier, with its trained parts.
            backbone: the model that it belongs to.

        Raises:
            ParameterError: a part of the prompt is missing.
            SoftclozeError: the prompt does not fit the model, as for `BoundPrompt`.
        """
        classifier = cls._with_parameters_of(prompt, backbone)
        classifier._adopt(BoundPrompt(prompt, backbone))
        return classifier

    @classmethod
    def _validate_saved(cls, prompt: Prompt, path: str | PathLike[str]) -> None:
        """Raise ArtifactError if this classifier cannot load a prompt with this head."""
        if prompt.head not in cls.heads:
            kind, other = (
                ("gives each example one label", "PromptClassifier")
                if prompt.head in EXCLUSIVE
                else ("gives examples several labels", "MultiLabelPromptClassifier")
            )
            raise ArtifactError(f"{path} {kind}; load it with {other}")

    @classmethod
    def _with_parameters_of(cls, prompt: Prompt, model: AnyModel) -> Self:
        """A classifier with the parameters that the prompt was trained with."""
        saved = cls._trained_parameters(prompt)
        if prompt.calibration is not None:
            saved["calibration"] = prompt.calibration.method
        if "head" in cls._get_param_names():
            saved["head"], saved["features"] = prompt.head, prompt.features
        if "class_weight" in prompt.training:
            weight = prompt.training["class_weight"]
            saved["class_weight"] = dict(weight) if isinstance(weight, list) else weight
        classifier = cls(model, str(prompt.template), prompt.verbalizer, **saved)
        classifier._validate_parameters()
        return classifier

    @property
    def classes_(self) -> np.ndarray:
        """The labels, sorted, shape (labels,); those of a hard prompt are known before `fit`, without its model."""
        if hasattr(self, "prompt_"):
            return np.asarray(self.prompt_.verbalizer.labels)
        return np.asarray(self._hard_prompt(calibrated=False)[1].labels)

    def __sklearn_is_fitted__(self) -> bool:
        """Return True if `predict` works without a further `fit`; loads no model, so that a notebook may ask."""
        return hasattr(self, "prompt_") or self._needs_no_fit()

    def __sklearn_tags__(self) -> Tags:
        """Texts instead of numbers; a hard prompt with all it needs requires no `fit`."""
        tags = super().__sklearn_tags__()
        return text_tags(tags, requires_fit=not self._needs_no_fit(), varies=self.random_state is None)

    def _needs_no_fit(self) -> bool:
        """Return True if `predict` works with the parameters alone."""
        try:
            self._hard_prompt(calibrated=True)
        except (NotFittedError, SoftclozeError):
            return False
        return True

    @abstractmethod
    def _hard_prompt(self, *, calibrated: bool) -> tuple[Template, AnyVerbalizer]:
        """Template and verbalizer of a classifier that predicts without `fit`; `calibrated` as for `_prompt`.

        Raises:
            NotFittedError: something has to be learnt first.
        """

    def _prompt(self, *, calibrated: bool = True) -> tuple[Prompt, Backbone]:
        """The prompt to predict with and its backbone: the fitted prompt, or a hard one that needs no `fit`.

        `calibrated`: also raise NotFittedError if only the calibration has to be learnt.
        """
        if hasattr(self, "prompt_"):
            return self.prompt_, self.backbone_
        return self._unfitted_prompt(*self._hard_prompt(calibrated=calibrated))

    def _unfitted_prompt(self, template: Template, verbalizer: AnyVerbalizer) -> tuple[Prompt, Backbone]:
        """The prompt of `_hard_prompt`, and its backbone."""
        backbone = self._load_backbone()
        limits = {"max_length": plain(self.max_length), "chat_options": self.chat_options}
        prompt = Prompt(template, verbalizer, backbone.name, backbone.fingerprint, **limits)
        # the same object as long as no parameter changes, so that it is compiled once
        bound = self._bound
        return (bound.prompt if bound is not None and bound.prompt == prompt else prompt), backbone

    def _bound_prompt(self, *, calibrated: bool = True) -> BoundPrompt:
        """The prompt of `_prompt`, compiled once for all calls."""
        return self._bind(*self._prompt(calibrated=calibrated))

    def _bind(self, prompt: Prompt, backbone: Backbone) -> BoundPrompt:
        bound = self._bound  # read once, since a fit in another thread may replace it
        if bound is None or bound.prompt is not prompt or bound.backbone is not backbone:
            bound = self._bound = BoundPrompt(prompt, backbone)
        return bound

    def _examples(self, X: Iterable[Example]) -> list[Example]:
        """The examples of `X` for the template; one that does not read them raises before a model is loaded."""
        fitted = hasattr(self, "prompt_")
        return read_examples(X, self.prompt_.template if fitted else self._hard_prompt(calibrated=True)[0])

    def _scores(self, X: Iterable[Example]) -> tuple[BoundPrompt, NDArray[np.float64]]:
        """The prompt, and its label log-scores of examples, which are read before a model is loaded."""
        hard = self._hard_prompt(calibrated=True) if not hasattr(self, "prompt_") else None
        examples = read_examples(X, hard[0] if hard is not None else self.prompt_.template)
        bound = self._bind(*(self._unfitted_prompt(*hard) if hard is not None else (self.prompt_, self.backbone_)))
        return bound, bound.scores(examples)

    def _describe(
        self,
        template: Template,
        verbalizer: AnyVerbalizer,
        examples: Sequence[Example],
        targets: Sequence[int] | Tensor,
        weights: NDArray[np.float64] | None,
    ) -> tuple[object, ...]:
        """All that makes a fit what it is, before the model is loaded; its `repr` goes into the key of a checkpoint."""
        factors = weights.tolist() if weights is not None else None
        labelled = (verbalizer, list(examples), torch.as_tensor(targets).tolist(), factors)
        return (*self._describe_parameters(template), *labelled)

    def _train(self, compiled: CompiledPrompt, task: TrainingTask, start: Start, **record: object) -> dict[str, Any]:
        """Train the parts in place; return the record for the saved prompt: settings, `record` and history."""
        return self._train_task(task, start, compiled.verbalizer, **record)

    def _training_record(self, task: TrainingTask, start: Start, **record: object) -> dict[str, Any]:
        """The facts of a training that are known before it begins, with the weights of the classes."""
        return super()._training_record(task, start, **record, **class_weight_record(self.class_weight))

    def _make_prompt(
        self, compiled: CompiledPrompt, parts: TrainedParts, head: str, training: Mapping[str, Any]
    ) -> Prompt:
        """A prompt of trained parts, without demonstrations or calibration."""
        return Prompt(
            template=compiled.template.template,
            verbalizer=compiled.verbalizer,
            model=compiled.backbone.name,
            fingerprint=compiled.backbone.fingerprint,
            vectors=parts.soft.by_block() if parts.soft is not None else {},
            deep=parts.soft.deep_by_block() if parts.soft is not None else {},
            networks=parts.soft.field_networks() if parts.soft is not None else {},
            head=head,
            head_tensors=parts.head.state_dict(),
            max_length=plain(self.max_length),
            chat_options=self.chat_options,
            training=training,
        )


def read_examples(X: Iterable[Example], template: Template) -> list[Example]:
    """The examples of `X`, each of which `template` can read; any other raises before a model is loaded.

    Raises:
        DataError: as `as_examples`.
        FieldError: an example lacks a field or has no value for it; names the row.
        TemplateSyntaxError: the template reads no field of an example, or leaves one as a placeholder.
    """
    examples = as_examples(X, template.fields)
    template.validate_examples(examples)
    template.warn_of_placeholders()
    for row, example in enumerate(examples):
        try:
            template.read_fields(example, row)
        except FieldError as error:
            raise FieldError(str(error).replace(f"row {row}:", f"{row_name(X, row)}:", 1)) from error
    return examples


def check_words(
    template: Template,
    verbalizer: AnyVerbalizer,
    max_length: int | None,
    chat_options: ChatOptions | None,
    backbone: Backbone,
) -> VerbalizerCheck:
    """Check label words for a model: their tokens, and the findings of `softcloze.lint.lint`."""
    limit = min(max_length or backbone.max_length, backbone.max_length)
    return check_verbalizer(verbalizer, backbone.prompt_tokenizer, template, limit, chat_options)


def decision_scores(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Label scores in the shape of scikit-learn's `decision_function`.

    Args:
        scores: label scores in nats, shape (batch, labels).

    Returns:
        The scores; with two labels the score of the second less that of the first, shape (batch,).

    >>> decision_scores(np.array([[-1.0, -3.0]])), decision_scores(np.zeros((1, 3))).shape
    (array([-2.]), (1, 3))
    """
    return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores


def answers_of(bound: BoundPrompt | BoundEnsemble, examples: Sequence[Example], best: NDArray[np.int_]) -> np.ndarray:
    """The label of each example by its index, shape (batch,)."""
    if not len(best):
        return np.asarray(bound.labels)[best]
    return np.asarray([bound.answer(example, index) for example, index in zip(examples, best.tolist(), strict=True)])


def accuracy(
    predict: Callable[[list[Example]], np.ndarray],
    examples: list[Example],
    y: Iterable[Label],
    known: Sequence[Label],
    sample_weight: Iterable[float] | None,
) -> float:
    """Share of examples for which `predict` has the right label; raises DataError for labels that are not `known`."""
    from sklearn.metrics import accuracy_score  # takes a second

    right = target_indices(examples, y, known)
    predicted = label_indices(predict(examples).tolist(), known)
    return float(accuracy_score(right, predicted, sample_weight=sample_weight))


def class_weight_record(class_weight: ClassWeight | None) -> dict[str, Any]:
    """Weights of the classes as data that JSON holds, for the record of a training.

    >>> class_weight_record("balanced"), class_weight_record({"rare": 5})
    ({'class_weight': 'balanced'}, {'class_weight': [['rare', 5]]})
    """
    if isinstance(class_weight, Mapping):
        return {"class_weight": [[label, plain(weight)] for label, weight in class_weight.items()]}
    return {"class_weight": class_weight}


def training_task(
    compiled: CompiledPrompt,
    parts: TrainedParts,
    prompts: Sequence[EncodedPrompt],
    targets: Sequence[int] | Tensor,
    weights: NDArray[np.float64] | None,
) -> TrainingTask:
    """The training task, from the parts of a prompt and the weight of each example."""
    factors = torch.tensor(weights).float() if weights is not None else None
    return TrainingTask(*parts, compiled.scorer, prompts, torch.as_tensor(targets), factors)
