"""Methods to compare: any text classifier with a name, and the standard ones."""

import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline
from torch import Tensor, nn

from softcloze.backbone import AnyModel
from softcloze.classifiers import ProbeClassifier, PromptClassifier
from softcloze.classifiers.calibrate import WITHOUT_EXAMPLES
from softcloze.data import Examples, as_labels
from softcloze.data.labels import improper_rows
from softcloze.embeddings import ENCODER, AnyEncoder
from softcloze.errors import DataError, ParameterError
from softcloze.experiments.baselines import FineTunedClassifier, Trained, tfidf
from softcloze.experiments.protocol import Fold
from softcloze.experiments.results import MethodCard
from softcloze.experiments.score_cache import ScoreCache
from softcloze.experiments.sentence_baselines import SentenceEmbeddingClassifier, SetFitClassifier
from softcloze.library import resolve_mask_template
from softcloze.parameters import TEXT, Constraint, integer, validate_parameters
from softcloze.soft.encoder import Encoder
from softcloze.template import Field, Template, Via, with_demos, with_slots
from softcloze.verbalizer import AnyVerbalizer, Label, Words

# the estimators of this package
OWN = (PromptClassifier, FineTunedClassifier, SentenceEmbeddingClassifier, SetFitClassifier)
ROUNDING = 1e-3  # allowed deviation of a sum of probabilities from 1


METHOD_CONSTRAINTS = {
    "name": TEXT,
    "classifier": Constraint(
        "an estimator of scikit-learn, not its class", lambda value: isinstance(value, BaseEstimator)
    ),
}


class Measured(NamedTuple):
    """Probabilities and costs of a trained method; see `softcloze.experiments.results.Run`."""

    probabilities: np.ndarray
    trainable: int
    fit_seconds: float
    predict_seconds: float
    artifact_bytes: int | None


@dataclass(frozen=True, slots=True)
class Method:
    """A text classifier with a name.

    Attributes:
        name: unique in a comparison.
        classifier: any scikit-learn estimator that takes texts: a `PromptClassifier`, a pipeline that starts with a
            vectorizer, a search over settings. It is cloned for each run, and every `random_state` in it is set to the
            run's seed. A search with `cv=None` uses the splits of `Protocol.folds`. Without `predict_proba` the
            predicted label gets probability 1. Trained numbers are those of its `coef_` and `intercept_`, and of its
            torch modules the weights that require a gradient.
        description: one line for tables and reports; by default the name of the class.
        variant_of: name of a group of methods that differ only in their prompt; tables and reports show the spread
            of each group.
    """

    name: str
    classifier: BaseEstimator
    description: str = ""
    variant_of: str | None = None

    def __post_init__(self) -> None:
        """Validate the name and the classifier.

        Raises:
            ParameterError: the name is not text, or the classifier is not an estimator of scikit-learn.
        """
        validate_parameters({"name": self.name, "classifier": self.classifier}, METHOD_CONSTRAINTS)

    @property
    def card(self) -> MethodCard:
        """The description of the method in tables and reports."""
        prompt = isinstance(self.classifier, PromptClassifier)
        template = str(resolve_mask_template(self.classifier.template)) if prompt else None
        steps = (
            [step for _, step in self.classifier.steps] if isinstance(self.classifier, Pipeline) else [self.classifier]
        )
        classes = ", ".join(type(step).__name__ for step in steps)
        return MethodCard(self.name, self.description or classes, template, self.variant_of)

    @property
    def learns(self) -> bool:
        """True if it needs training examples: all but hard prompts without demonstrations or a learnt calibration."""
        classifier = self.classifier
        if not isinstance(classifier, PromptClassifier):
            return True
        template = resolve_mask_template(classifier.template)
        return bool(
            template.blocks
            or template.demos is not None
            or classifier.head != "words"
            or classifier.verbalizer is None
            or classifier.calibration not in (None, "auto", *WITHOUT_EXAMPLES)
        )

    def validate_parameters(self) -> None:
        """Validate the parameters of a classifier of ours, and the packages that it needs.

        Raises:
            ParameterError: a value is wrong or a package is missing; names the method.
        """
        if isinstance(self.classifier, OWN):
            try:
                self.classifier._validate_parameters()
            except ParameterError as error:
                raise ParameterError(f"method {self.name!r}: {error}") from error

    def prepared(self, seed: int, folds: Callable[[], list[Fold]]) -> BaseEstimator:
        """A clone of the classifier for one run, with its seed and splits."""
        classifier = clone(self.classifier)
        parameters = classifier.get_params()
        seeds = {name: seed for name in parameters if name.rpartition("__")[2] == "random_state"}
        searches = [name for name, value in parameters.items() if name.rpartition("__")[2] == "cv" and value is None]
        classifier.set_params(**seeds, **{name: folds() for name in searches})
        return classifier


def measure_classifier(
    classifier: BaseEstimator, train: Examples, score_cache: ScoreCache, classes: Sequence[Label]
) -> Measured:
    """Train a new classifier if there are training examples, and score the held-out texts of `score_cache`.

    Raises:
        DataError: the classifier has labels that are not in `classes`, or its output is not a distribution.
    """
    started = time.perf_counter()
    if len(train):
        classifier.fit(list(train.texts), list(train.labels))
    elif isinstance(classifier, PromptClassifier) and classifier.calibration in WITHOUT_EXAMPLES:
        classifier.calibrate()
    fitted = time.perf_counter()
    cached = score_cache.predict_proba(classifier)
    probabilities, seconds = cached if cached is not None else _predict_proba(classifier, score_cache.texts)
    labels, expected = as_labels(classifier.classes_), len(score_cache.texts)
    if probabilities.shape != (expected, len(labels)):
        raise DataError(
            f"the classifier's probabilities have shape {probabilities.shape}; expected {(expected, len(labels))}: "
            "a row for each text and a column for each label"
        )
    return Measured(
        probabilities=_in_order(probabilities, labels, classes),
        trainable=_trainable(classifier),
        fit_seconds=fitted - started if len(train) else 0.0,
        predict_seconds=seconds,
        artifact_bytes=_artifact_bytes(classifier),
    )


def standard_methods(
    model: AnyModel,
    template: str | Template,
    verbalizer: Mapping[Label, Words] | str | AnyVerbalizer,
    *,
    calibrations: Iterable[str] = ("contextual", "pmi", "domain", "batch"),
    demonstrations: int = 4,
    soft: int = 10,
    analyzer: str = "word",
    encoder: AnyEncoder | None = ENCODER,
    fine_tuning: Iterable[Trained] = ("head", "all"),
) -> tuple[Method, ...]:
    """One template as a hard prompt, as soft prompts and with other heads, and the standard baselines.

    Args:
        model: as for `PromptClassifier`.
        template: with one field as a tag, without soft slots or demonstrations.
        verbalizer: label words.
        calibrations: one more hard prompt with each.
        demonstrations: labelled examples in the context of the method "demonstrations".
        soft: vectors of each soft prompt.
        analyzer: "word" or "char"; see `tfidf`.
        encoder: of the method "embeddings"; see `SentenceEmbeddingClassifier`. None leaves the method out.
        fine_tuning: values of `trained` for `FineTunedClassifier`: "head", "all" and "lora", which needs peft.

    Raises:
        ParameterError: the template has no field tag, or already has soft slots or demonstrations; or a number is
            outside its range. `compare` checks the names of calibrations and of kinds of fine-tuning.

    >>> [method.name for method in standard_methods("starter:bert-tiny", "sentiment/en-cloze", "sentiment/en-cloze")]
    ['hard', 'hard, contextual', 'hard, pmi', 'hard, domain', 'hard, batch', 'demonstrations', 'soft in front',
     'soft after the text', 'soft in both places', 'soft head', 'linear head', 'TF-IDF', 'embeddings',
     'fine-tuning, head', 'fine-tuning, all']
    """
    numbers, lists = {"demonstrations": demonstrations, "soft": soft}, (calibrations, fine_tuning)
    validate_parameters(numbers, dict.fromkeys(numbers, integer(at_least=1)))
    if any(isinstance(names, str) or not isinstance(names, Iterable) for names in lists):
        raise ParameterError(f"calibrations={lists[0]!r} and fine_tuning={lists[1]!r} have to be lists of names")
    hard = resolve_mask_template(template)
    if hard.blocks or hard.demos is not None or not any(isinstance(node, Field) for node in hard.nodes):
        raise ParameterError(
            f"{str(hard)!r}: the standard methods add soft slots and demonstrations themselves; expected a template "
            "with a field tag and without soft slots or demonstrations"
        )

    def prompt(template: Template, **settings: Any) -> PromptClassifier:  # noqa: ANN401
        return PromptClassifier(model, template, verbalizer, **settings)

    return (
        Method("hard", prompt(hard), "the words alone"),
        *(
            Method(f"hard, {name}", prompt(hard, calibration=name), f"the words alone, with {name} calibration")
            for name in calibrations
        ),
        Method("demonstrations", prompt(with_demos(hard, demonstrations)), "labelled examples in the context"),
        Method("soft in front", prompt(with_slots(hard, front=soft)), "trained vectors in front"),
        Method("soft after the text", prompt(with_slots(hard, after=soft)), "trained vectors after the text"),
        Method(
            "soft in both places",
            prompt(with_slots(hard, front=-(-soft // 2), after=soft // 2)),
            "half of the trained vectors in each position",
        ),
        Method(
            "soft head",
            prompt(hard, head="warp", epochs=20),
            "a trained weight vector for each label, initialised from its words",
        ),
        Method("linear head", prompt(hard, head="linear"), "a linear layer on the hidden state at the mask"),
        Method("TF-IDF", tfidf(analyzer), "logistic regression on word or character n-grams"),
        *(
            [Method("embeddings", SentenceEmbeddingClassifier(encoder), "logistic regression on sentence embeddings")]
            if encoder is not None
            else []
        ),
        *(
            Method(
                f"fine-tuning, {name}",
                FineTunedClassifier(model, trained=name),
                "a new classification head on the model",
            )
            for name in fine_tuning
        ),
    )


def _predict_proba(classifier: BaseEstimator, texts: Sequence[str]) -> tuple[np.ndarray, float]:
    """Probabilities from the classifier itself, and the seconds it takes."""
    started = time.perf_counter()
    if hasattr(classifier, "predict_proba"):
        probabilities = np.asarray(classifier.predict_proba(texts), np.float32)
    else:
        best = np.asarray(classifier.predict(texts))
        probabilities = np.asarray(best[:, None] == classifier.classes_, np.float32)
    return probabilities, time.perf_counter() - started


def _in_order(probabilities: np.ndarray, labels: Sequence[Label], classes: Sequence[Label]) -> np.ndarray:
    """Probabilities in the order of `classes`; 0 for classes that the classifier does not know."""
    unknown = sorted({*labels} - {*classes}, key=repr)
    if unknown:
        raise DataError(
            f"the classifier has labels {', '.join(map(repr, unknown))}, and the data {', '.join(map(repr, classes))}"
        )
    if improper_rows(probabilities, ROUNDING):
        raise DataError("the classifier's probabilities are negative, not finite or do not sum to 1")
    ordered = np.zeros((len(probabilities), len(classes)), np.float32)
    ordered[:, [classes.index(label) for label in labels]] = probabilities
    return ordered


def _trainable(classifier: BaseEstimator) -> int:
    fitted = getattr(classifier, "best_estimator_", classifier)
    fitted = fitted[-1] if isinstance(fitted, Pipeline) else fitted
    match fitted:
        case PromptClassifier():
            return sum(tensor.numel() for tensor in _trained_tensors(fitted)) if hasattr(fitted, "prompt_") else 0
        case ProbeClassifier():
            return fitted.probe_.weight.numel() + fitted.probe_.bias.numel()
        case SentenceEmbeddingClassifier():
            return int(fitted.head_.coef_.size + fitted.head_.intercept_.size)
        case SetFitClassifier():
            return sum(weight.numel() for weight in _trained_weights(fitted)) + _trainable(fitted.model_.model_head)
        case _:
            weights = sum(weight.numel() for weight in _trained_weights(fitted))
            return weights + sum(np.size(getattr(fitted, name, ())) for name in ("coef_", "intercept_"))


def _trained_weights(fitted: BaseEstimator) -> set[nn.Parameter]:
    """The weights that require a gradient in the torch modules of an estimator, such as a fine-tuned network."""
    owner = fitted.model_ if isinstance(fitted, SetFitClassifier) else fitted
    modules = [value for value in vars(owner).values() if isinstance(value, nn.Module)]
    return {weight for module in modules for weight in module.parameters() if weight.requires_grad}


def _trained_tensors(fitted: PromptClassifier) -> list[Tensor]:
    """The tensors that the fit of a prompt trains: those that are saved, and the networks of slots with via=."""
    prompt = fitted.prompt_
    trained = {block.key: block for block in prompt.template.blocks if block.train}
    # input embeddings of a block that enters at later layers alone stay as they started
    embeddings = [tensor for key, tensor in prompt.vectors.items() if key in trained and not trained[key].layers.first]
    deep = [tensor for key, tensor in prompt.deep.items() if key in trained]
    encoders = [
        weight
        for key, block in trained.items()
        if block.via is not None and not block.layers.first
        for weight in _encoder(block.via, prompt.vectors[key].shape[1], fitted._settings().via_width).parameters()
    ]
    return [*embeddings, *deep, *encoders, *prompt.networks.values(), *prompt.head_tensors.values()]


def _encoder(via: Via, vector_width: int, width: int) -> Encoder:
    """A network of the sizes of the one that a fit trains and does not keep."""
    return Encoder(via, vector_width, width, unit=1.0, generator=torch.Generator())


def _artifact_bytes(classifier: BaseEstimator) -> int | None:
    """Size of the saved prompt or the trained weights; None for estimators that could only be pickled."""
    fitted = getattr(classifier, "best_estimator_", classifier)
    if not isinstance(fitted, PromptClassifier):
        return sum(weight.nbytes for weight in _trained_weights(fitted)) or None
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "prompt"
        try:
            fitted.save(folder)
        except ParameterError:  # demonstrations chosen by an estimator cannot be saved
            return None
        return sum(file.stat().st_size for file in folder.iterdir())
