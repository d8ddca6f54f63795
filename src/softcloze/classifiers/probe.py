"""ProbeClassifier: a linear layer on sentence embeddings as a scikit-learn classifier that saves."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils import Tags

from softcloze.classifiers.base import accuracy, class_weight_record, decision_scores, read_examples
from softcloze.classifiers.start import RANDOM_STATE, seed_of
from softcloze.classifiers.tags import text_tags
from softcloze.data import (
    CLASS_WEIGHT,
    ClassWeight,
    Example,
    as_examples,
    as_labels,
    class_names,
    example_weights,
    label_indices,
    shown_fields,
    validate_lengths,
    validate_several,
    weighted_rows,
)
from softcloze.embeddings import ENCODER, SentenceEncoder, load_encoder
from softcloze.errors import DataError
from softcloze.heads import ExactFit, fit_exact
from softcloze.launcher import validate_one_process
from softcloze.parameters import NONE, Constraint, instance_of, integer, plain, validate_parameters
from softcloze.prompt import BoundProbe, Probe
from softcloze.prompt.probe import field_texts
from softcloze.template import template_of_fields
from softcloze.verbalizer import Label, Verbalizer

Encoder: TypeAlias = str | PathLike[str] | SentenceEncoder
NAMED_ENCODER = instance_of(
    "the name or folder of a sentence encoder, or a SentenceEncoder", str, Path, SentenceEncoder
)


@dataclass(eq=False, repr=False)
class ProbeClassifier(ClassifierMixin, BaseEstimator):
    """Classify text by a linear layer on sentence embeddings.

    It has no prompt and no language model: an encoder maps each text to a vector, and `fit` solves a linear layer on
    the standardised vectors exactly, with an L2 penalty from cross-validation (`softcloze.heads.fit_exact`). It learns
    from the examples and, as further examples, the name of each label as a text, unless names are numbers. It saves and
    loads, and may be a member of a `PromptEnsemble` beside prompts.

    Args:
        encoder: "starter:NAME", a folder of sentence-transformers or transformers, a name on a hub, or a loaded
            `SentenceEncoder`.
        class_weight: weights of the classes as for `PromptClassifier`.
        max_length: tokens of a text, if fewer than the encoder takes.
        random_state: seed of the folds.

    Attributes:
        classes_: the labels, sorted.
        probe_: the fitted `Probe`.
        encoder_: the loaded encoder.
        exact_: the solution and its cross-validation, a `softcloze.heads.ExactFit`; only after a fit.

    Example:
        >>> texts, labels = ["Cancel my order.", "I want my money back.", "A fine film.", "A dull story."], [0, 0, 1, 1]
        >>> clf = ProbeClassifier(random_state=0).fit(texts, labels)
        >>> clf.predict(["Please return the payment.", "The best movie of the year."])
        array([0, 1])

    Source:
        Sentence embeddings as features: Reimers and Gurevych, EMNLP 2019, arXiv:1908.10084.
    """

    encoder: Encoder = ENCODER
    _: KW_ONLY
    class_weight: ClassWeight | None = "balanced"
    max_length: int | None = None
    random_state: int | np.random.RandomState | None = None

    constraints: ClassVar[Mapping[str, Constraint]] = {
        "encoder": NAMED_ENCODER,
        "class_weight": CLASS_WEIGHT,
        "max_length": integer(at_least=1) | NONE,
        "random_state": RANDOM_STATE,
    }

    def fit(self, X: Iterable[Example], y: Iterable[Label], sample_weight: Iterable[float] | None = None) -> Self:
        """Embed the examples and solve the linear layer.

        Args:
            X: texts, or mappings from field names to values, which are embedded as one text, a line for each.
            y: the label of each example, as for `PromptClassifier.fit`.
            sample_weight: weight of each example, as for `PromptClassifier.fit`.

        Raises:
            ProcessError: a launcher such as torchrun started several processes.
            ParameterError: a parameter is outside its range.
            DataError: examples and labels that do not fit each other, or a label with fewer than two examples.
            FieldError: an example lacks a field; names the row.
            BackboneError: the encoder cannot be loaded.
            StarterError: the encoder cannot be fetched.
        """
        validate_one_process("fit")
        validate_parameters(vars(self), self.constraints)
        examples = as_examples(X, ["text"])
        if not examples:
            raise DataError("fit needs at least one example, found none")
        fields = shown_fields(examples)
        examples = read_examples(examples, template_of_fields(fields))
        labels = as_labels(y)
        validate_lengths(examples, labels)
        used, given = weighted_rows(sample_weight, examples)
        examples, labels = [examples[i] for i in used], [labels[i] for i in used]
        validate_several(labels)
        classes = tuple(sorted({*labels}))
        targets = np.array(label_indices(labels, classes))
        weights = example_weights(self.class_weight, classes, np.eye(len(classes))[targets], given)
        encoder = load_encoder(self.encoder, max_length=plain(self.max_length))
        embeddings = encoder.embed(field_texts(fields, examples))
        seed = seed_of(self.random_state)
        record = class_weight_record(self.class_weight)
        probe, self.exact_ = fit_probe(
            encoder,
            fields,
            classes,
            embeddings,
            targets,
            names=label_words_of(classes, class_names(y)),
            weights=weights,
            seed=seed,
            record=record,
        )
        self._adopt(BoundProbe(probe, encoder))
        return self

    @property
    def classes_(self) -> np.ndarray:
        """The labels, sorted, shape (labels,)."""
        return np.asarray(self._bound_member().labels)

    def decision_function(self, X: Iterable[Example]) -> NDArray[np.float64]:
        """Label scores in nats; arguments, shape and errors as of `PromptClassifier.decision_function`."""
        return decision_scores(self._scores(X))

    def predict_log_proba(self, X: Iterable[Example]) -> NDArray[np.float64]:
        """Log-probabilities of the labels in nats, shape (batch, labels) in the order of `classes_`.

        Raises:
            NotFittedError: `fit` has not been called.
            FieldError: an example lacks a field; names the row.
        """
        logs: NDArray[np.float64] = log_softmax(self._scores(X), axis=1)
        return logs

    def predict_proba(self, X: Iterable[Example]) -> NDArray[np.float64]:
        """Probabilities of the labels, shape (batch, labels); raises as `predict_log_proba`."""
        return np.exp(self.predict_log_proba(X))

    def predict(self, X: Iterable[Example]) -> np.ndarray:
        """The most probable label of each example, shape (batch,); raises as `predict_log_proba`."""
        labels: np.ndarray = self.classes_[self._scores(X).argmax(1)]
        return labels

    def score(self, X: Iterable[Example], y: Iterable[Label], sample_weight: Iterable[float] | None = None) -> float:
        """Accuracy on labelled examples; see `PromptClassifier.score`."""
        examples = self._read(as_examples(X, self._bound_member().fields))
        return accuracy(self.predict, examples, y, self.classes_.tolist(), sample_weight)

    def save(self, path: str | PathLike[str]) -> None:
        """Save the probe as a folder of a few kilobytes, which names the encoder and does not hold it.

        Raises:
            NotFittedError: `fit` has not been called.
            ArtifactError: `path` holds other files and no probe.
            FileError: the folder cannot be written.
        """
        self._bound_member().saved.save(path)

    @classmethod
    def load(cls, path: str | PathLike[str], encoder: Encoder | None = None) -> Self:
        """Load a fitted classifier from a saved probe.

        Args:
            path: folder that `save` wrote, or hf://USER/NAME@REVISION on a hub.
            encoder: name or path of the encoder now, if not as it was when the probe was saved.

        Raises:
            ArtifactError: damaged files, an encoder that cannot be loaded, or one that is not that of the probe.
        """
        probe = Probe.load(path)
        return cls.of_probe(probe, probe.load_encoder(encoder))

    @classmethod
    def of_probe(cls, probe: Probe, encoder: SentenceEncoder) -> Self:
        """A fitted classifier of a probe in memory, with the encoder that it was fitted on."""
        weight = probe.training.get("class_weight")
        classifier = cls(
            encoder,
            class_weight=dict(weight) if isinstance(weight, list) else weight,
            max_length=probe.max_length,
            random_state=probe.training.get("seed"),
        )
        classifier._adopt(BoundProbe(probe, encoder))
        return classifier

    def __sklearn_is_fitted__(self) -> bool:
        """Return True after `fit`."""
        return hasattr(self, "probe_")

    def __sklearn_tags__(self) -> Tags:
        """Texts instead of numbers."""
        return text_tags(super().__sklearn_tags__(), requires_fit=True, varies=self.random_state is None)

    def _adopt(self, bound: BoundProbe) -> None:
        self.probe_, self.encoder_ = bound.saved, bound.encoder

    def _bound_member(self) -> BoundProbe:
        if not hasattr(self, "probe_"):
            raise NotFittedError("call fit with labelled examples first")
        return BoundProbe(self.probe_, self.encoder_)

    def _fields(self) -> tuple[str, ...]:
        """The fields of an example; "text" before a fit to others."""
        return self.probe_.fields if hasattr(self, "probe_") else ("text",)

    def _read(self, examples: Sequence[Example]) -> list[Example]:
        """The examples, each of which the classifier can read."""
        if not examples:
            return []
        fields = self.probe_.fields if hasattr(self, "probe_") else shown_fields(examples)
        return read_examples(examples, template_of_fields(fields))

    def _labels_of(self, labels: Sequence[Label], y: object) -> tuple[Label, ...]:
        """The labels after a fit to these."""
        return tuple(sorted({*labels}))

    def _scores(self, X: Iterable[Example]) -> NDArray[np.float64]:
        bound = self._bound_member()
        return bound.score_encoded(bound.encode(self._read(as_examples(X, bound.fields))))


def label_words_of(labels: Sequence[Label], named: Mapping[Label, str]) -> tuple[str, ...]:
    """The names of labels as texts, in their order; none where they say nothing, such as numbers.

    >>> label_words_of(["cardLost", "fees"], {}), label_words_of([0, 1], {})
    (('card lost', 'fees'), ())
    >>> label_words_of([0, 1], {0: "no", 1: "yes"})
    ('no', 'yes')
    """
    from softcloze.label_words.label_names import name_verbalizer  # its package is slow to import

    words = name_verbalizer(labels, named)
    return words.first_words if words is not None else ()


def fit_probe(
    encoder: SentenceEncoder,
    fields: Sequence[str],
    labels: Sequence[Label],
    embeddings: NDArray[np.float32],
    targets: NDArray[np.int_],
    *,
    names: Sequence[str],
    weights: NDArray[np.float64] | None,
    seed: int,
    record: Mapping[str, Any],
) -> tuple[Probe, ExactFit]:
    """Fit a probe to embeddings of labelled examples.

    Args:
        encoder: the encoder.
        fields: the fields that were embedded, as by `field_texts`.
        labels: the labels.
        embeddings: shape (examples, width).
        targets: index of the label of each example, shape (examples,).
        names: a text for each label, as a further example; or none.
        weights: of the examples, shape (examples,); None for equal ones.
        seed: seed of the folds.
        record: further settings for the record of the fit.

    Raises:
        DataError: a label has fewer than two examples.
        NonFiniteError: embeddings are NaN or infinite.
    """
    fit = fit_exact(
        "linear",
        Verbalizer({label: str(label) for label in labels}),
        torch.from_numpy(embeddings),
        targets.tolist(),
        weights=weights,
        label_features=torch.from_numpy(encoder.embed(names)),
        seed=seed,
    )
    probe = Probe(
        labels=tuple(labels),
        fields=tuple(fields),
        encoder=encoder.name,
        fingerprint=encoder.fingerprint,
        max_length=encoder.max_length,
        training={"examples": len(targets), "seed": seed, "strength": fit.strength, **record},
        **fit.head.state_dict(),
    )
    return probe, fit
