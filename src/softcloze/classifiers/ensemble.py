"""PromptEnsemble: several prompts of one backbone as one classifier."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import NotFittedError

from softcloze.backbone import Backbone
from softcloze.classifiers.base import seed_of
from softcloze.classifiers.combination import (
    Average,
    Combination,
    Stacked,
    WeightedMean,
    Weights,
    by_accuracy,
    equal,
    read_ensemble,
    write_ensemble,
)
from softcloze.classifiers.prompt_classifier import PromptClassifier, bound_prompts
from softcloze.data import Example, as_examples, as_labels, label_indices
from softcloze.errors import DataError, ParameterError
from softcloze.formatting import did_you_mean
from softcloze.prompt import score_prompts
from softcloze.template import Template
from softcloze.training import TrainingSettings
from softcloze.verbalizer import Label

WEIGHTS = ("equal", "development", "stacked")
AVERAGES = ("probabilities", "log_probabilities")


class PromptEnsemble(ClassifierMixin, BaseEstimator):
    """Several classifiers of one backbone that decide together.

    Their templates and label words may differ, the labels are the same. All are scored by way of `PromptSet`: where
    templates begin with the text, a causal model reads it once for all of them.

    Args:
        classifiers: the members; `fit` trains copies of them.
        weights: how much each member counts: "equal", "development" (in proportion to its accuracy in
            cross-validation on the examples of `fit`), or "stacked" (logistic regression on the log-probabilities that
            members give, again in cross-validation).
        average: what "equal" and "development" take the mean of: "probabilities", or "log_probabilities" as PET does.
        cv: folds of the cross-validation.
        random_state: seed of the folds, and of what `self_train` draws.

    Attributes:
        classes_: the labels, sorted.
        classifiers_: the fitted members.
        combination_: what was learnt about combining them.

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
        on the training examples before training; here it is that in cross-validation, which for a hard prompt is
        the same and counts what training does for a soft one.
    """

    def __init__(
        self,
        classifiers: Sequence[PromptClassifier],
        *,
        weights: Weights = "equal",
        average: Average = "probabilities",
        cv: int = 4,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.classifiers = classifiers
        self.weights = weights
        self.average = average
        self.cv = cv
        self.random_state = random_state

    def fit(self, X: Iterable[Example], y: Iterable[Label]) -> Self:
        """Fit every member, and learn how much each counts.

        Args:
            X: as for `PromptClassifier.fit`.
            y: the label of each example.

        Returns:
            The ensemble itself.

        Raises:
            ParameterError: a parameter is unknown, or there are too few examples of a label to learn weights from.
            DataError: the members have different labels or backbones.
            SoftclozeError: whatever `PromptClassifier.fit` raises.
        """
        self._check()
        examples, labels = as_examples(X), as_labels(y)
        members = [clone(member).fit(examples, labels) for member in self.classifiers]
        _check_labels(members)
        combination: Combination = WeightedMean(equal(len(members)), self.average)
        if self.weights != "equal":
            answers = self._held_out(examples, labels)
            targets = label_indices(labels, members[0].prompt_.verbalizer)
            if self.weights == "development":
                combination = WeightedMean(by_accuracy(answers, targets), self.average)
            else:
                combination = Stacked.learn(answers, targets)
        self._adopt(members, combination)
        return self

    def predict_log_proba(self, X: Iterable[Example]) -> np.ndarray:
        """Log-probabilities of the labels in nats, shape (batch, labels) in the order of `classes_`.

        Raises:
            NotFittedError: a member learns something, or weights are learnt, and there was no `fit`.
            FieldError: an example lacks a field; names the row.
        """
        return self._combination().log_probabilities(_answers(self._members(), X))

    def predict_proba(self, X: Iterable[Example]) -> np.ndarray:
        """Probabilities of the labels, shape (batch, labels) in the order of `classes_`; rows sum to 1."""
        probabilities: np.ndarray = np.exp(self.predict_log_proba(X))
        return probabilities

    def predict(self, X: Iterable[Example]) -> np.ndarray:
        """The most probable label of each example, shape (batch,)."""
        best = self.predict_log_proba(X).argmax(1)
        labels: np.ndarray = np.asarray(bound_prompts(self._members())[0].prompt.verbalizer.labels)[best]
        return labels

    def distil(
        self, X: Iterable[Example], template: str | Template, *, temperature: float = 2.0, **parameters: object
    ) -> PromptClassifier:
        """One classifier that has learnt to answer as the ensemble does: as accurate, at the cost of one prompt.

        The ensemble says how probable each label of each example is, and the student's soft vectors are trained on
        that. Before `distil`, `self_train` makes better teachers.

        Args:
            X: examples of what is to be classified; they need no labels.
            template: the student's, with soft slots.
            temperature: what the ensemble's log-probabilities are divided by; above 1 the student sees more of
                how sure the teachers are.
            **parameters: others of the student's `PromptClassifier`; by default its label words are those of the
                first member, and training goes through all epochs.

        Returns:
            The student, fitted.

        Raises:
            ParameterError: `temperature` is not above 0.
            NotFittedError: as `predict`.
            SoftclozeError: whatever `PromptClassifier.fit_probabilities` raises.

        Source:
            PET, section 3.3, with temperature 2 as there; the student there is the whole model with a linear layer.
        """
        if not 0 < temperature < np.inf:
            raise ParameterError(f"temperature={temperature!r} has to be a number above 0")
        examples = as_examples(X)
        first = bound_prompts(self._members())[0]
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
        """Fit the ensemble on `X` and `y`, then again and again on more and more examples that it labels itself (iPET).

        In generation g every label has `growth` ** g as many examples as in `y`, as far as there are any. Each member
        learns from those that some of the other members label together, drawn the likelier the surer these are.

        Args:
            X: labelled examples.
            y: their labels.
            unlabelled: examples to label.
            generations: how often, after the first fit.
            growth: how much larger each generation's set is than the one before.
            teachers: share of the other members that label for a member, at least one.

        Returns:
            The ensemble itself, with the members of the last generation and the weights learnt from `X` and `y`.

        Raises:
            ParameterError: fewer than two members, or a parameter out of range.
            SoftclozeError: whatever `fit` raises.

        Source:
            iPET: Schick and Schütze, EACL 2021, arXiv:2001.07676, section 3.4, with the growth and share of teachers
            given there. Where there are too few examples of a label, all are taken.
        """
        if len(self.classifiers) < 2:
            raise ParameterError("members label for each other in self_train, which takes at least two of them")
        if generations < 1 or not growth > 1 or not 0 < teachers <= 1:
            raise ParameterError(
                f"generations={generations!r}, growth={growth!r}, teachers={teachers!r}: expected at least 1, above 1, "
                "and above 0 to 1"
            )
        examples, labels, pool = as_examples(X), as_labels(y), as_examples(unlabelled)
        self.fit(examples, labels)
        dice = np.random.default_rng(seed_of(self.random_state))
        for generation in range(1, generations + 1):
            answers = _answers(self.classifiers_, pool)
            wanted = {label: round((growth**generation - 1) * labels.count(label)) for label in self.classes_.tolist()}
            members = []
            for number, member in enumerate(self.classifiers):
                others = np.delete(answers, number, axis=0)
                chosen = dice.choice(len(others), max(1, round(teachers * len(others))), replace=False)
                mean = WeightedMean(equal(len(chosen)), self.average).log_probabilities(others[chosen])
                rows, more = draw_pseudo_labels(mean, wanted, dice)
                members.append(clone(member).fit(examples + [pool[row] for row in rows], labels + more))
            self._adopt(members, self.combination_)
        return self

    def save(self, path: str | Path) -> None:
        """Save a folder with a JSON card and a prompt's folder for each member, all at once.

        Raises:
            NotFittedError: as `predict`.
            ArtifactError: something else is at `path`.
        """
        prompts = [bound.prompt for bound in bound_prompts(self._members())]
        write_ensemble(Path(path).expanduser(), prompts, self._combination(), self.weights)

    @classmethod
    def load(cls, path: str | Path, model: str | Backbone | None = None, **parameters: object) -> Self:
        """A fitted ensemble from what `save` wrote.

        Args:
            path: the folder.
            model: where the model is now, if not where it was when the ensemble was saved.
            **parameters: other parameters of all members, as for `PromptClassifier.load`.

        Raises:
            ArtifactError: damaged files, or a model that is not the one the prompts were trained on.
            BackboneError: the model cannot be loaded.
        """
        folders, combination, weights = read_ensemble(Path(path).expanduser())
        members = [PromptClassifier.load(folder, model, **parameters) for folder in folders]
        ensemble = cls(members, weights=weights)
        if isinstance(combination, WeightedMean):
            ensemble.average = combination.average
        ensemble._adopt(members, combination)
        return ensemble

    def _adopt(self, members: list[PromptClassifier], combination: Combination) -> None:
        self.classifiers_ = members
        self.classes_ = members[0].classes_
        self.combination_ = combination

    def _members(self) -> Sequence[PromptClassifier]:
        """Those to predict with: the fitted ones, or hard prompts that need no fit."""
        if hasattr(self, "classifiers_"):
            return self.classifiers_
        self._check()
        _check_labels(self.classifiers)
        return self.classifiers

    def _combination(self) -> Combination:
        if hasattr(self, "combination_"):
            return self.combination_
        if self.weights != "equal":
            raise NotFittedError(f"weights={self.weights!r} are learnt from labelled examples; call fit first")
        return WeightedMean(equal(len(self.classifiers)), self.average)

    def _held_out(self, examples: Sequence[Example], labels: Sequence[Label]) -> NDArray[np.float64]:
        """Log-probabilities by members that were fitted without the example, shape (members, examples, labels)."""
        from sklearn.model_selection import StratifiedKFold

        fewest = min(sorted(set(labels)), key=labels.count)
        if labels.count(fewest) < self.cv:
            raise ParameterError(
                f"weights={self.weights!r} are learnt in {self.cv} folds, and {fewest!r} has {labels.count(fewest)} "
                'examples; give at least one of each label for each fold, lower cv, or take weights="equal"'
            )
        folds = StratifiedKFold(self.cv, shuffle=True, random_state=seed_of(self.random_state))
        found, places = list[NDArray[np.float64]](), list[NDArray[np.int_]]()
        for rows, aside in folds.split(np.zeros(len(labels)), labels):
            own = [examples[i] for i in rows], [labels[i] for i in rows]
            members = [clone(member).fit(*own) for member in self.classifiers]
            found.append(_answers(members, [examples[i] for i in aside]))
            places.append(aside)
        return np.concatenate(found, axis=1)[:, np.argsort(np.concatenate(places))]

    def _check(self) -> None:
        if not self.classifiers:
            raise ParameterError("an ensemble takes at least one classifier")
        for name, value, known in (("weights", self.weights, WEIGHTS), ("average", self.average, AVERAGES)):
            if value not in known:
                raise ParameterError(
                    f"{name}={value!r} is unknown; expected {', '.join(map(repr, known))}"
                    f"{did_you_mean(str(value), known)}"
                )
        if self.cv < 2:
            raise ParameterError(f"cv={self.cv!r}, but it has to be at least 2")

    def __sklearn_is_fitted__(self) -> bool:
        """Whether `predict` works as it stands."""
        try:
            bound_prompts(self._members())
            self._combination()
        except NotFittedError:
            return False
        return True


def _answers(members: Sequence[PromptClassifier], X: Iterable[Example]) -> NDArray[np.float64]:
    """Log-probabilities by each member, shape (members, batch, labels)."""
    answers: NDArray[np.float64] = log_softmax(score_prompts(bound_prompts(members), X), axis=2)
    return answers


def _check_labels(members: Sequence[PromptClassifier]) -> None:
    """Refuse members of different labels; raises DataError."""
    first, *others = [bound.prompt for bound in bound_prompts(members)]
    for number, other in enumerate(others, start=1):
        if other.verbalizer.labels != first.verbalizer.labels:
            raise DataError(
                f"member {number} has the labels {list(other.verbalizer.labels)}, and member 0 has "
                f"{list(first.verbalizer.labels)}; members of an ensemble have the same"
            )


def draw_pseudo_labels(
    log_probabilities: NDArray[np.float64], wanted: Mapping[Label, int], dice: np.random.Generator
) -> tuple[list[int], list[Label]]:
    """Examples with the label that is most probable for them, drawn in proportion to how probable it is.

    Args:
        log_probabilities: shape (examples, labels), labels in the order of `wanted`.
        wanted: how many to draw of each label; where there are fewer, all are taken.
        dice: the dice.

    Returns:
        The numbers of the drawn examples, and the label of each.

    >>> probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    >>> draw_pseudo_labels(np.log(probabilities), {"消极": 1, "积极": 5}, np.random.default_rng(0))
    ([1, 2], ['消极', '积极'])
    """
    best, drawn, labels = log_probabilities.argmax(1), list[int](), list[Label]()
    for column, (label, count) in enumerate(wanted.items()):
        rows = np.flatnonzero(best == column)
        if len(rows):
            sure = np.exp(log_probabilities[rows, column])
            chosen = dice.choice(rows, min(count, len(rows)), replace=False, p=sure / sure.sum())
            drawn += chosen.tolist()
            labels += [label] * len(chosen)
    return drawn, labels
