"""PromptEnsemble: several prompts on one backbone, and probes on sentence embeddings, as one classifier."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from os import PathLike
from typing import Any, ClassVar, Self, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import Tags

from softcloze.analysis import MemberShares, member_shares
from softcloze.backbone import AnyModel, RuntimeInfo
from softcloze.classifiers.base import accuracy, answers_of
from softcloze.classifiers.choice_labels import classes_of, labels_of, shared_choices
from softcloze.classifiers.probe import Encoder, ProbeClassifier
from softcloze.classifiers.prompt_classifier import PromptClassifier, validate_one_backbone
from softcloze.classifiers.tags import text_tags
from softcloze.classifiers.trained import RANDOM_STATE, seed_of
from softcloze.data import (
    CLASS_WEIGHT,
    ClassWeight,
    Example,
    as_examples,
    as_labels,
    example_weights,
    label_indices,
    validate_lengths,
    weighted_rows,
)
from softcloze.errors import ParameterError, SoftclozeError
from softcloze.launcher import validate_one_process
from softcloze.lint import VerbalizerCheck
from softcloze.parameters import POSITIVE, Constraint, integer, number, one_of, validate_parameters
from softcloze.prompt import BoundEnsemble, BoundMember
from softcloze.prompt.combination import (
    Average,
    Combination,
    Stacked,
    WeightedMean,
    accuracy_weights,
    equal_weights,
)
from softcloze.prompt.ensemble import EnsembleCard, SavedEnsemble, Weights, validate_same_labels
from softcloze.prompt.members import encode_for_members, prompts_of, score_members
from softcloze.prompt.probe_card import ProbeCard
from softcloze.template import Template
from softcloze.training import TrainingSettings
from softcloze.verbalizer import FieldVerbalizer, Label

Member: TypeAlias = PromptClassifier | ProbeClassifier


@dataclass(eq=False, repr=False)
class PromptEnsemble(ClassifierMixin, BaseEstimator):
    """An ensemble of prompt classifiers on one backbone, and of linear layers on sentence embeddings.

    Members have the same labels; their templates and label words may differ. Prompts are scored together as in
    `PromptSet`: where templates begin with the text, a causal model computes it once for all of them.

    Args:
        classifiers: the members, `PromptClassifier` or `ProbeClassifier`; `fit` trains copies of them.
        weights: weights of the members: "equal", "development" (in proportion to their accuracy in cross-validation on
            the examples of `fit`), or "stacked" (logistic regression on their log-probabilities, also in
            cross-validation).
        average: quantity that "equal" and "development" average: "probabilities", or "log_probabilities" as PET does.
        class_weight: weights of the classes as for `PromptClassifier`, for what "development" and "stacked" learn;
            each member has its own.
        cv: folds of the cross-validation.
        random_state: seed of the folds, and of the examples that `self_train` draws.

    Attributes:
        classes_: the labels, sorted.
        classifiers_: the fitted members.
        combination_: the learnt combination of their log-probabilities.

    Example:
        >>> words = {"positive": "good", "negative": "bad"}
        >>> members = [
        ...     PromptClassifier("starter:bert-tiny", template, words)
        ...     for template in ("<text> It was <mask>.", "In all, a <mask> film: <text>")
        ... ]
        >>> PromptEnsemble(members).predict(["A delight.", "A bore."]).shape  # hard prompts need no fit
        (2,)

    Source:
        PET: Schick and Schütze, EACL 2021, arXiv:2001.07676, section 3.3. There a member's weight is its accuracy
        on the training examples before training; here it is the accuracy in cross-validation, which is the same for a
        hard prompt and includes the effect of training for a soft one.
    """

    classifiers: Sequence[Member]
    _: KW_ONLY
    weights: Weights = "equal"
    average: Average = "probabilities"
    class_weight: ClassWeight | None = None
    cv: int = 4
    random_state: int | np.random.RandomState | None = None

    constraints: ClassVar[Mapping[str, Constraint]] = {
        "classifiers": Constraint(
            "a list of one or more PromptClassifier or ProbeClassifier", lambda value: _is_members(value)
        ),
        "weights": one_of("equal", "development", "stacked"),
        "average": one_of("probabilities", "log_probabilities"),
        "class_weight": CLASS_WEIGHT,
        "cv": integer(at_least=2),
        "random_state": RANDOM_STATE,
    }

    def fit(self, X: Iterable[Example], y: Iterable[Label], sample_weight: Iterable[float] | None = None) -> Self:
        """Fit every member, and learn their weights.

        Args:
            X: as for `PromptClassifier.fit`.
            y: the label of each example.
            sample_weight: weight of each example as for `PromptClassifier.fit`.

        Returns:
            The ensemble itself.

        Raises:
            ParameterError: a parameter is unknown or outside its range, or a label has fewer examples than `cv` folds.
            ProcessError: a launcher such as torchrun started several processes.
            DataError: the members have different labels or backbones.
            SoftclozeError: as `PromptClassifier.fit`.
        """
        validate_one_process("fit")
        examples, labels = self._examples(X, self.classifiers), as_labels(y)
        validate_lengths(examples, labels)
        truth = classes_of(self._choices(), examples, labels)
        self._validate_members(truth, y)
        used, given = weighted_rows(sample_weight, examples)
        examples, labels = [examples[i] for i in used], [labels[i] for i in used]
        truth = [truth[i] for i in used]
        members = [clone(member).fit(examples, labels, given) for member in self.classifiers]
        combination: Combination = WeightedMean(equal_weights(len(members)), self.average)
        if self.weights != "equal":
            held_out = self._held_out_log_probabilities(examples, labels, truth, given)
            classes = members[0].classes_.tolist()
            targets = label_indices(truth, classes)
            weights = example_weights(self.class_weight, classes, np.eye(len(classes))[targets], given)
            if self.weights == "development":
                combination = WeightedMean(accuracy_weights(held_out, targets, weights), self.average)
            else:
                combination = Stacked.learn(held_out, targets, weights)
        self._adopt(members, combination)
        return self

    def predict_log_proba(self, X: Iterable[Example]) -> np.ndarray:
        """Log-probabilities of the labels in nats, shape (batch, labels) in the order of `classes_`.

        Raises:
            NotFittedError: a member or the weights have to be learnt first.
            FieldError: an example lacks a field; names the row.
            EncodingError: an example cannot be encoded.
        """
        members = self._members()
        return self._combination().log_probabilities(_log_probabilities(members, self._examples(X, members)))

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

    def distil(
        self, X: Iterable[Example], template: str | Template, *, temperature: float = 2.0, **parameters: object
    ) -> PromptClassifier:
        """Train one classifier, the student, on the ensemble's probabilities, so that prediction costs one prompt.

        The student's soft vectors are trained on the probabilities of the labels of each example. `self_train` can
        train the ensemble further before.

        Args:
            X: examples like those to be classified; they need no labels.
            template: template of the student, with soft slots.
            temperature: divisor of the ensemble's log-probabilities; above 1 the differences between unlikely labels
                count for more.
            **parameters: other parameters of the student's `PromptClassifier`; by default it has the label words of the
                first prompt among the members, and training runs for all epochs.

        Returns:
            The student, fitted.

        Raises:
            ParameterError: `temperature` is not above 0, or no member is a prompt.
            NotFittedError: as `predict`.
            SoftclozeError: as `PromptClassifier.fit_probabilities`.

        Source:
            PET, section 3.3, with its temperature of 2; its student is the whole model with a linear layer.
        """
        validate_parameters({"temperature": temperature}, {"temperature": POSITIVE})
        examples = self._examples(X, self._members())
        prompts = prompts_of(bound_members(self._members()))
        if not prompts:
            raise ParameterError("distil takes model and label words from a prompt, and no member is one")
        first = prompts[0]
        soft_labels = np.exp(log_softmax(self.predict_log_proba(examples) / temperature, axis=1))
        training = TrainingSettings(target_loss=0.0)
        student = PromptClassifier(first.backbone, template, first.prompt.verbalizer, training=training)
        student.set_params(**parameters)
        student.fit_probabilities(examples, soft_labels)
        return student

    def self_train(
        self,
        X: Iterable[Example],
        y: Iterable[Label],
        unlabelled: Iterable[Example],
        *,
        generations: int = 3,
        growth: float = 5.0,
        teachers: float = 0.25,
    ) -> Self:
        """Fit the ensemble on `X` and `y`, then repeatedly on growing sets of examples that it labels itself (iPET).

        In generation g every label has `growth` ** g times as many examples as in `y`, if enough are available. Each
        member is trained on examples labelled by a random selection of the other members together, drawn in proportion
        to the probability of their label.

        Args:
            X: labelled examples.
            y: their labels.
            unlabelled: examples to label.
            generations: number of fits after the first one.
            growth: ratio of the sizes of each generation's training set and the one before.
            teachers: share of the other members that label examples for a member; at least one does.

        Returns:
            The ensemble itself, with the members of the last generation and the weights learnt from `X` and `y`.

        Raises:
            ParameterError: fewer than two members, or a parameter out of range.
            SoftclozeError: as `fit`.

        Source:
            iPET: Schick and Schütze, EACL 2021, arXiv:2001.07676, section 3.4, with its growth and share of
            teachers. Where a label has too few examples, all of them are taken.
        """
        validate_parameters(vars(self), self.constraints)
        if len(self.classifiers) < 2:
            raise ParameterError("self_train needs at least two members, which label examples for each other")
        validate_parameters(
            {"generations": generations, "growth": growth, "teachers": teachers},
            {
                "generations": integer(at_least=1),
                "growth": number("above 1", lambda value: value > 1),
                "teachers": number("above 0, at most 1", lambda value: 0 < value <= 1),
            },
        )
        examples, pool = (self._examples(rows, self.classifiers) for rows in (X, unlabelled))
        labels = as_labels(y)
        self.fit(examples, labels)
        choices = self._choices()
        truth = classes_of(choices, examples, labels)
        generator = np.random.default_rng(seed_of(self.random_state))
        for generation in range(1, generations + 1):
            by_member = _log_probabilities(self.classifiers_, pool)
            more = growth**generation - 1
            wanted = {label: round(more * truth.count(label)) for label in self.classes_.tolist()}
            members = []
            for index, member in enumerate(self.classifiers):
                others = np.delete(by_member, index, axis=0)
                chosen = generator.choice(len(others), max(1, round(teachers * len(others))), replace=False)
                mean = WeightedMean(equal_weights(len(chosen)), self.average).log_probabilities(others[chosen])
                rows, drawn = draw_pseudo_labels(mean, wanted, generator)
                added = [pool[row] for row in rows]
                members.append(clone(member).fit(examples + added, labels + labels_of(choices, added, drawn)))
            self._adopt(members, self.combination_)
        return self

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
            path: folder that `save` wrote.
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

    def _held_out_log_probabilities(
        self,
        examples: Sequence[Example],
        labels: Sequence[Label],
        truth: Sequence[Label],
        given: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Log-probabilities by members fitted without the example, shape (members, examples, labels), in nats."""
        from sklearn.model_selection import StratifiedKFold

        fewest = min(sorted(set(truth)), key=truth.count)
        if (count := truth.count(fewest)) < self.cv:
            raise ParameterError(
                f"weights={self.weights!r} are learnt in {self.cv} folds, and {fewest!r} has {count} "
                'examples; give at least one of each label for each fold, lower cv, or choose weights="equal"'
            )
        folds = StratifiedKFold(self.cv, shuffle=True, random_state=seed_of(self.random_state))
        by_fold, rows = list[NDArray[np.float64]](), list[NDArray[np.int_]]()
        for train_rows, test_rows in folds.split(np.zeros(len(labels)), truth):
            train_set = [examples[i] for i in train_rows], [labels[i] for i in train_rows], given[train_rows]
            members = [clone(member).fit(*train_set) for member in self.classifiers]
            by_fold.append(_log_probabilities(members, [examples[i] for i in test_rows]))
            rows.append(test_rows)
        return np.concatenate(by_fold, axis=1)[:, np.argsort(np.concatenate(rows))]

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

    def _validate_members(self, labels: Sequence[Label], y: object) -> None:
        """Raise if members do not fit the labels of the examples or each other, before one is trained."""
        by_member = [member._labels_of(labels, y) for member in self.classifiers]
        validate_same_labels(by_member)
        label_indices(labels, by_member[0])

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
        members = [member.__sklearn_tags__() for member in self.classifiers] if _is_members(self.classifiers) else []
        learns = self.weights != "equal"  # in folds that `random_state` draws
        requires_fit = not members or learns or any(tags.requires_fit for tags in members)
        varies = (learns and self.random_state is None) or any(tags.non_deterministic for tags in members)
        return text_tags(super().__sklearn_tags__(), requires_fit=requires_fit, varies=varies)


def bound_members(classifiers: Sequence[Member]) -> list[BoundMember]:
    """The prompts and probes of classifiers, as they predict with them.

    Raises:
        NotFittedError: a classifier has to learn something first, such as its calibration.
        DataError: prompts have different backbones.
    """
    bound = [classifier._bound_member() for classifier in classifiers]
    validate_one_backbone(prompts_of(bound))
    return bound


def _log_probabilities(members: Sequence[Member], examples: Sequence[Example]) -> NDArray[np.float64]:
    """Log-probabilities by each member in nats, shape (members, batch, labels)."""
    bound = bound_members(members)
    by_member: NDArray[np.float64] = log_softmax(score_members(bound, encode_for_members(bound, examples)), axis=2)
    return by_member


def _is_members(value: object) -> bool:
    is_list = isinstance(value, Sequence) and len(value) > 0
    return is_list and all(
        isinstance(member, PromptClassifier | ProbeClassifier) for member in cast(Sequence[object], value)
    )


def draw_pseudo_labels(
    log_probabilities: NDArray[np.float64], wanted: Mapping[Label, int], generator: np.random.Generator
) -> tuple[list[int], list[Label]]:
    """Draw examples to train on, each with its most probable label, in proportion to the probability of that label.

    Args:
        log_probabilities: in nats, shape (examples, labels), labels in the order of `wanted`.
        wanted: number of examples to draw of each label; where fewer have it, all are taken.
        generator: source of randomness.

    Returns:
        The indices of the drawn examples, and the label of each.

    >>> probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    >>> draw_pseudo_labels(np.log(probabilities), {"消极": 1, "积极": 5}, np.random.default_rng(0))
    ([1, 2], ['消极', '积极'])
    """
    best, drawn, labels = log_probabilities.argmax(1), list[int](), list[Label]()
    for column, (label, count) in enumerate(wanted.items()):
        rows = np.flatnonzero(best == column)
        if len(rows):
            confidence = np.exp(log_probabilities[rows, column])
            chosen = generator.choice(rows, min(count, len(rows)), replace=False, p=confidence / confidence.sum())
            drawn += chosen.tolist()
            labels += [label] * len(chosen)
    return drawn, labels
