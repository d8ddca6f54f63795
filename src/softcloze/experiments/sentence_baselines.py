"""Baselines on a sentence encoder: embeddings with logistic regression, and SetFit."""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from importlib.util import find_spec
from typing import Any, ClassVar, Self
from typing import Literal as OneOf

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import check_is_fitted

from softcloze.classifiers import seed_of
from softcloze.classifiers.shared_model import SharedModelMixin
from softcloze.classifiers.start import RANDOM_STATE
from softcloze.data.examples import as_texts
from softcloze.embeddings import ENCODER, AnyEncoder, SentenceEncoder, load_encoder, validate_encoder
from softcloze.errors import ParameterError
from softcloze.experiments.baselines import class_targets
from softcloze.parameters import NONE, POSITIVE, TEXT, instance_of, integer, one_of, validate_parameters
from softcloze.starters import STARTER, fetch_model
from softcloze.verbalizer import Label

EMBEDDING_CONSTRAINTS = {
    "C": POSITIVE,
    "class_weight": one_of("balanced") | instance_of("a mapping from labels to weights", Mapping) | NONE,
    "max_length": integer(at_least=1) | NONE,
}
SETFIT_CONSTRAINTS = {
    "encoder": TEXT,
    "epochs": integer(at_least=1),
    "batch_size": integer(at_least=1),
    "random_state": RANDOM_STATE,
}


@dataclass(eq=False, repr=False)
class SentenceEmbeddingClassifier(ClassifierMixin, SharedModelMixin):
    """Logistic regression on sentence embeddings, as a baseline for prompts.

    The encoder is frozen, and each text is encoded once. `embed` and `predict_proba_of` are the two steps of a
    prediction, for callers that keep embeddings.

    Args:
        encoder: "starter:NAME", a folder of sentence-transformers or transformers, a name on a hub, a loaded
            `SentenceEncoder`, or a transformers model and its tokenizer as a tuple.
        C: inverse of the strength of L2 regularization.
        class_weight: None for equal weights, "balanced" for weights inverse to the class sizes, or a weight for each
            label.
        max_length: tokens of a text, if fewer than the encoder takes.

    Attributes:
        classes_: the labels, sorted.
        encoder_: the loaded encoder.
        head_: the fitted `sklearn.linear_model.LogisticRegression`.

    Source:
        Sentence embeddings as features: Reimers and Gurevych, EMNLP 2019, arXiv:1908.10084; the encoder of the
        starter: sentence-transformers/all-MiniLM-L6-v2.

    >>> texts, labels = ["Cancel my order.", "I want my money back.", "A fine film.", "A dull story."], [0, 0, 1, 1]
    >>> clf = SentenceEmbeddingClassifier().fit(texts, labels)
    >>> clf.predict(["Please return the payment.", "The best movie of the year."])
    array([0, 1])
    """

    shared: ClassVar[tuple[str, ...]] = ("encoder",)
    encoder: AnyEncoder = ENCODER
    _: KW_ONLY
    C: float = 1.0
    class_weight: OneOf["balanced"] | Mapping[Label, float] | None = None
    max_length: int | None = None

    def fit(self, X: Iterable[str], y: Iterable[Any], sample_weight: Sequence[float] | None = None) -> Self:
        """Encode the texts and fit the logistic regression.

        Raises:
            ParameterError: a parameter is outside its range.
            DataError: texts and labels that do not fit each other, or fewer than two labels.
            BackboneError: the encoder cannot be loaded.
            StarterError: the encoder cannot be fetched.
        """
        self._validate_parameters()
        texts = as_texts(X)
        classes, targets = class_targets(texts, y)
        weights = self.class_weight
        if isinstance(weights, Mapping):
            weights = {index: weights.get(label, 1.0) for index, label in enumerate(classes.tolist())}
        head = LogisticRegression(C=self.C, class_weight=weights, max_iter=1000)
        encoder = self._load_encoder()
        self.head_ = head.fit(encoder.embed(texts), targets, sample_weight)
        self.classes_, self.encoder_ = classes, encoder
        return self

    def embed(self, X: Iterable[str]) -> NDArray[np.float32]:
        """Embeddings of the texts, shape (texts, width); the classifier need not be fitted."""
        return self._load_encoder().embed(as_texts(X))

    def predict_proba_of(self, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities of the labels, shape (texts, labels), from embeddings of shape (texts, width)."""
        check_is_fitted(self)
        probabilities: NDArray[np.float64] = self.head_.predict_proba(embeddings)
        return probabilities

    def predict_proba(self, X: Iterable[str]) -> NDArray[np.float64]:
        """Probabilities of the labels, shape (texts, labels) in the order of `classes_`."""
        check_is_fitted(self)
        return self.predict_proba_of(self.encoder_.embed(as_texts(X)))

    def predict(self, X: Iterable[str]) -> np.ndarray:
        """The most probable label of each text, shape (texts,)."""
        best = self.predict_proba(X).argmax(1)
        labels: np.ndarray = self.classes_[best]
        return labels

    def _validate_parameters(self) -> None:
        validate_encoder(self.encoder)
        validate_parameters(self.get_params(deep=False), EMBEDDING_CONSTRAINTS)

    def _load_encoder(self) -> SentenceEncoder:
        return load_encoder(self.encoder, max_length=self.max_length)


@dataclass(eq=False, repr=False)
class SetFitClassifier(ClassifierMixin, BaseEstimator):
    """SetFit as a baseline; needs a sentence encoder and the packages `setfit` and `datasets`.

    Training seeds the global random generators, as setfit does.

    Args:
        encoder: "starter:NAME", a folder, or the name of a sentence-transformers model.
        epochs: passes over the pairs of examples.
        batch_size: pairs per step.
        random_state: seed of the pairs, their order and the logistic regression.

    Attributes:
        classes_: the labels, sorted.
        model_: the trained `setfit.SetFitModel`.

    Source:
        Tunstall et al. 2022, arXiv:2209.11055, in the authors' package.
    """

    encoder: str = ENCODER
    _: KW_ONLY
    epochs: int = 1
    batch_size: int = 16
    random_state: int | np.random.RandomState | None = None

    def fit(self, X: Sequence[str], y: Sequence[Label]) -> Self:
        """Train a copy of the encoder, and a logistic regression on its embeddings.

        Raises:
            ParameterError: a parameter is outside its range, or a package is missing.
            DataError: texts and labels that do not fit each other, or fewer than two labels.
        """
        self._validate_parameters()
        texts = as_texts(X)
        from datasets import Dataset
        from setfit import SetFitModel, Trainer, TrainingArguments
        from transformers import ProgressCallback

        self.classes_, targets = class_targets(texts, y)
        seed = seed_of(self.random_state)
        encoder = self.encoder
        if encoder.startswith(STARTER):
            encoder = str(fetch_model(encoder.removeprefix(STARTER)))
        self.model_ = SetFitModel.from_pretrained(encoder, head_params={"random_state": seed})
        with tempfile.TemporaryDirectory() as scratch:
            settings = TrainingArguments(
                output_dir=scratch,
                num_epochs=self.epochs,
                batch_size=self.batch_size,
                seed=seed,
                report_to="none",
                save_strategy="no",
                logging_strategy="no",
                show_progress_bar=False,
            )
            rows = Dataset.from_dict({"text": texts, "label": targets.tolist()})
            trainer = Trainer(model=self.model_, args=settings, train_dataset=rows)
            trainer.remove_callback(ProgressCallback)  # show_progress_bar=False leaves this bar
            trainer.train()
        return self

    def predict_proba(self, X: Sequence[str]) -> np.ndarray:
        """Probabilities of the labels, shape (texts, labels) in the order of `classes_`."""
        check_is_fitted(self)
        probabilities: np.ndarray = self.model_.predict_proba(as_texts(X), as_numpy=True, show_progress_bar=False)
        return probabilities

    def predict(self, X: Sequence[str]) -> np.ndarray:
        """The most probable label of each text, shape (texts,)."""
        best = self.predict_proba(X).argmax(1)
        labels: np.ndarray = self.classes_[best]
        return labels

    def _validate_parameters(self) -> None:
        validate_parameters(self.get_params(deep=False), SETFIT_CONSTRAINTS)
        missing = [name for name in ("setfit", "datasets") if find_spec(name) is None]
        if missing:
            raise ParameterError(
                f"SetFitClassifier needs {' and '.join(missing)}; install with: pip install {' '.join(missing)}"
            )
