"""SetFit: a sentence encoder that is trained on pairs of few examples, with a logistic regression on top."""

import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from softcloze.estimator import seed_of
from softcloze.experiments.errors import ExperimentError
from softcloze.verbalizer import Label


class SetFitClassifier(ClassifierMixin, BaseEstimator):
    """A baseline that needs an encoder of sentences, and the packages `setfit` and `datasets`.

    setfit seeds the global generators of random numbers while it trains.

    Args:
        encoder: a folder or the name of a model for sentence-transformers.
        epochs: passes over the pairs of examples.
        batch_size: pairs per step.
        random_state: seed of the pairs, their order and the regression.

    Attributes:
        classes_: the labels, sorted.
        model_: the trained `setfit.SetFitModel`.

    Source:
        Tunstall et al. 2022, arXiv:2209.11055, by their own package.
    """

    def __init__(self, encoder: str, *, epochs: int = 1, batch_size: int = 16, random_state: int | None = None):
        self.encoder = encoder
        self.epochs = epochs
        self.batch_size = batch_size
        self.random_state = random_state

    def fit(self, X: Sequence[str], y: Sequence[Label]) -> Self:
        """Train a copy of the encoder, and the regression on what it gives.

        Raises:
            ExperimentError: a package is missing.
        """
        missing = [name for name in ("setfit", "datasets") if find_spec(name) is None]
        if missing:
            raise ExperimentError(
                f"SetFitClassifier needs {' and '.join(missing)}; install with: pip install {' '.join(missing)}"
            )
        from datasets import Dataset
        from setfit import SetFitModel, Trainer, TrainingArguments
        from transformers import ProgressCallback

        self.classes_, numbers = np.unique(np.asarray(y), return_inverse=True)
        seed = seed_of(self.random_state)
        self.model_ = SetFitModel.from_pretrained(self.encoder, head_params={"random_state": seed})
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
            rows = Dataset.from_dict({"text": list(X), "label": numbers.tolist()})
            trainer = Trainer(model=self.model_, args=settings, train_dataset=rows)
            trainer.remove_callback(ProgressCallback)  # a bar that its own setting leaves
            trainer.train()
        return self

    def predict_proba(self, X: Sequence[str]) -> np.ndarray:
        """Probabilities of the labels, shape (texts, labels) in the order of `classes_`."""
        check_is_fitted(self)
        found: np.ndarray = self.model_.predict_proba(list(X), as_numpy=True, show_progress_bar=False)
        return found

    def predict(self, X: Sequence[str]) -> np.ndarray:
        """The most probable label of each text, shape (texts,)."""
        labels: np.ndarray = self.classes_[self.predict_proba(X).argmax(1)]
        return labels
