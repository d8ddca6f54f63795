"""Base of the ensemble: its parameters, predictions of fitted members, saving and loading."""

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils import Tags

from softcloze.analysis import MemberShares, member_shares
from softcloze.backbone import AnyModel, RuntimeInfo
from softcloze.classifiers.base import accuracy, answers_of, decision_scores
from softcloze.classifiers.choice_labels import shared_choices
from softcloze.classifiers.ensemble_members import Member, bound_members, is_members, log_probabilities_of
from softcloze.classifiers.probe import Encoder, ProbeClassifier
from softcloze.classifiers.prompt_classifier import PromptClassifier
from softcloze.classifiers.start import RANDOM_STATE
from softcloze.classifiers.tags import text_tags
from softcloze.data import CLASS_WEIGHT, Example, as_examples, as_labels, validate_lengths
from softcloze.errors import ParameterError, SoftclozeError
from softcloze.lint import VerbalizerCheck
from softcloze.parameters import Constraint, integer, one_of, validate_parameters
from softcloze.prompt import BoundEnsemble
from softcloze.prompt.combination import Average, Combination, WeightedMean, equal_weights
from softcloze.prompt.ensemble import EnsembleCard, SavedEnsemble, Weights, validate_same_labels
from softcloze.prompt.probe_card import ProbeCard
from softcloze.verbalizer import FieldVerbalizer, Label


class EnsembleEstimator(ClassifierMixin, BaseEstimator):
    """Base of `PromptEnsemble`, which declares the parameters and implements `fit`."""

    constraints: ClassVar[Mapping[str, Constraint]] = {
        "classifiers": Constraint("a list of one or more PromptClassifier or ProbeClassifier", is_members),
        "weights": one_of("equal", "development", "stacked"),
        "average": one_of("probabilities", "log_probabilities"),
        "class_weight": CLASS_WEIGHT,
        "cv": integer(at_least=2),
        "random_state": RANDOM_STATE,
    }

    classifiers: Sequence[Member]
    weights: Weights
    average: Average

    classifiers_: list[Member]
    combination_: Combination

    def decision_function(self, X: Iterable[Example]) -> np.ndarray:
        """Log-probabilities of the labels in nats, in the order of `classes_`; raises as `predict_log_proba`.

        Returns:
            Shape (batch, labels); with two labels, as in scikit-learn, that of the second less that of the first, shape
            (batch,).
        """
        return decision_scores(self.predict_log_proba(X))

    def predict_log_proba(self, X: Iterable[Example]) -> np.ndarray:
        """Log-probabilities of the labels in nats, shape (batch, labels) in the order of `classes_`.

        Raises:
            NotFittedError: a member or the weights have to be learnt first.
            FieldError: an example lacks a field; names the row.
            EncodingError: an example cannot be encoded.
        """
        members = self._members()
        return self._combination().log_probabilities(log_probabilities_of(members, self._examples(X, members)))

    def predict_proba(self, X: Iterable[Example]) -> np.ndarray:
        """Probabilities of the labels, shape (batch, labels) as of `predict_log_proba`, with the same errors."""
        probabilities: np.ndarray = np.exp(self.predict_log_proba(X))
        return probabilities

    def predict(self, X: Iterable[Example]) -> np.ndarray:
        """The most probable label of each example, shape (batch,); raises as `predict_log_proba`."""
        examples = self._examples(X, self._members())
        return answers_of(self._bound_ensemble(), examples, self.predict_log_proba(examples).argmax(1))

    def score(self, X: Iterable[Example], y: Iterable[Label], sample_weight: Iterable[float] | None = None) -> float:
        """Accuracy on labelled examples; see `PromptClassifier.score`."""
        examples, known = self._examples(X, self._members()), self.classes_.tolist()
        choices = self._choices()
        if choices is None:
            return accuracy(self.predict, examples, y, known, sample_weight)
        labels = as_labels(y)
        validate_lengths(examples, labels)

        def best_choice(rows: list[Example]) -> np.ndarray:
            best: np.ndarray = self.predict_log_proba(rows).argmax(1)
            return best

        return accuracy(best_choice, examples, choices.indices(examples, labels), known, sample_weight)

    @property
    def classes_(self) -> np.ndarray:
        """The labels, sorted, shape (labels,); those of hard prompts are known before `fit`, without a model."""
        return self._members()[0].classes_

    def explain(self, example: Example) -> MemberShares:
        """Explain the decision for one example by the part of each member; `print` shows a table.

        The members explain in turn: `classifiers_[0].explain(example)`, where it is a `PromptClassifier`.

        Raises:
            NotFittedError: as `predict_log_proba`.
            FieldError: the example lacks a field.
        """
        return member_shares(self._bound_ensemble(), self._examples([example], self._members()))

    def check(self) -> tuple[VerbalizerCheck | None, ...]:
        """The label words of each member, as by `PromptClassifier.check`; None for a `ProbeClassifier`.

        Raises:
            NotFittedError: a member has to be fitted first.
        """
        return tuple(member.check() if isinstance(member, PromptClassifier) else None for member in self._members())

    @property
    def engine_(self) -> RuntimeInfo:
        """Facts about the backbone that the prompts share, as of `PromptClassifier.engine_`.

        Raises:
            NotFittedError: the model is not loaded yet.
            ParameterError: no member is a prompt.
        """
        prompts = [member for member in self._members() if isinstance(member, PromptClassifier)]
        if not prompts:
            raise ParameterError("engine_ is about the backbone of prompts, and no member is one")
        return prompts[0].engine_

    def save(self, path: str | PathLike[str]) -> None:
        """Save a folder with a JSON card and a prompt's folder for each member.

        An ensemble that the folder holds is replaced atomically; all other files in it stay.

        Raises:
            NotFittedError: as `predict`.
            ArtifactError: `path` holds other files and no ensemble.
            FileError: the folder cannot be written.
            ParameterError: a transformer selects the demonstrations of a member; only a pickle could hold it.
        """
        members = [bound.saved for bound in bound_members(self._members())]
        SavedEnsemble(members, self._combination(), self.weights).save(path)

    @classmethod
    def load(
        cls,
        path: str | PathLike[str],
        model: AnyModel | None = None,
        *,
        encoder: Encoder | None = None,
        **parameters: Any,  # noqa: ANN401
    ) -> Self:
        """Load a fitted ensemble.

        Args:
            path: folder that `save` wrote, or hf://USER/NAME@REVISION on a hub.
            model: another model to use, as for `PromptClassifier`; None for the one named in the ensemble.
            encoder: another encoder to use, as for `ProbeClassifier`; None for the one named in the ensemble.
            **parameters: other parameters of all prompts, as for `PromptClassifier.load`.

        Raises:
            ArtifactError: damaged files, or a model or an encoder that is not the one the members were trained on.
            BackboneError: the model cannot be loaded.
        """
        card = EnsembleCard.load(path)
        members = [
            ProbeClassifier.load(member.folder, encoder)
            if isinstance(member, ProbeCard)
            else PromptClassifier.load(member.folder, model, **parameters)
            for member in card.members
        ]
        return cls.of_members(members, card.combination, card.weights)

    @classmethod
    def of_members(cls, members: Sequence[Member], combination: Combination, weights: Weights = "equal") -> Self:
        """A fitted ensemble of fitted members.

        Args:
            members: fitted classifiers with the same labels.
            combination: of their log-probabilities; it counts until the next `fit`, which learns one as `weights` says.
            weights: the parameter of the ensemble.
        """
        ensemble = cls(members, weights=weights)
        if isinstance(combination, WeightedMean):
            ensemble.average = combination.average
        ensemble._adopt(members, combination)
        return ensemble

    def _adopt(self, members: Sequence[Member], combination: Combination) -> None:
        self.classifiers_ = list(members)
        self.combination_ = combination

    def _members(self) -> Sequence[Member]:
        """Members to predict with: the fitted ones, or hard prompts that need no `fit`."""
        if hasattr(self, "classifiers_"):
            return self.classifiers_
        validate_parameters(vars(self), self.constraints)
        validate_same_labels([member.classes_.tolist() for member in self.classifiers])
        self._choices()
        return self.classifiers

    def _bound_ensemble(self) -> BoundEnsemble:
        """The members and their combination, to predict with."""
        members = self._members()
        return BoundEnsemble(bound_members(members), self._combination())

    def _combination(self) -> Combination:
        if hasattr(self, "combination_"):
            return self.combination_
        if self.weights != "equal":
            raise NotFittedError(f"weights={self.weights!r} are learnt from labelled examples; call fit first")
        return WeightedMean(equal_weights(len(self.classifiers)), self.average)

    def _examples(self, X: Iterable[Example], members: Sequence[Member]) -> list[Example]:
        """The examples of `X`, each of which every member can read."""
        validate_parameters(vars(self), self.constraints)
        examples = as_examples(X, members[0]._fields())
        for member in members:
            member._read(examples)
        return examples

    def _choices(self) -> FieldVerbalizer | None:
        """As `shared_choices` of the members."""
        return shared_choices(
            [member.verbalizer if isinstance(member, PromptClassifier) else None for member in self.classifiers]
        )

    def __sklearn_is_fitted__(self) -> bool:
        """Return True if `predict` works without a further `fit`."""
        try:
            ready = [member.__sklearn_is_fitted__() for member in self._members()]
            self._combination()
        except (NotFittedError, SoftclozeError):
            return False
        return all(ready)

    def __sklearn_tags__(self) -> Tags:
        """Texts instead of numbers; hard prompts of equal weight require no `fit`."""
        members = [member.__sklearn_tags__() for member in self.classifiers] if is_members(self.classifiers) else []
        learns = self.weights != "equal"  # in folds that `random_state` draws
        requires_fit = not members or learns or any(tags.requires_fit for tags in members)
        varies = (learns and self.random_state is None) or any(tags.non_deterministic for tags in members)
        return text_tags(super().__sklearn_tags__(), requires_fit=requires_fit, varies=varies)
