"""PromptEnsemble: several prompts on one backbone, and probes on sentence embeddings, as one classifier."""

from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.base import clone

from softcloze.classifiers.choice_labels import classes_of, labels_of
from softcloze.classifiers.ensemble_base import EnsembleEstimator
from softcloze.classifiers.ensemble_members import Member, bound_members, log_probabilities_of
from softcloze.classifiers.prompt_classifier import PromptClassifier
from softcloze.classifiers.pseudo_labels import draw_pseudo_labels
from softcloze.classifiers.start import seed_of
from softcloze.data import (
    ClassWeight,
    Example,
    as_labels,
    example_weights,
    label_indices,
    validate_lengths,
    weighted_rows,
)
from softcloze.errors import ParameterError
from softcloze.launcher import validate_one_process
from softcloze.parameters import POSITIVE, integer, number, validate_parameters
from softcloze.prompt.combination import Average, Combination, Stacked, WeightedMean, accuracy_weights, equal_weights
from softcloze.prompt.ensemble import Weights, validate_same_labels
from softcloze.prompt.members import prompts_of
from softcloze.template import Template
from softcloze.training import TrainingSettings
from softcloze.verbalizer import Label


@dataclass(eq=False, repr=False)
class PromptEnsemble(EnsembleEstimator):
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
        self._adopt(members, self._learn_combination(members, examples, labels, truth, given))
        return self

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
            by_member = log_probabilities_of(self.classifiers_, pool)
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

    def _learn_combination(
        self,
        members: Sequence[Member],
        examples: Sequence[Example],
        labels: Sequence[Label],
        truth: Sequence[Label],
        given: NDArray[np.float64],
    ) -> Combination:
        """The combination of fitted members, as `weights` says."""
        if self.weights == "equal":
            return WeightedMean(equal_weights(len(members)), self.average)
        held_out = self._held_out_log_probabilities(examples, labels, truth, given)
        classes = members[0].classes_.tolist()
        targets = label_indices(truth, classes)
        weights = example_weights(self.class_weight, classes, np.eye(len(classes))[targets], given)
        if self.weights == "development":
            return WeightedMean(accuracy_weights(held_out, targets, weights), self.average)
        return Stacked.learn(held_out, targets, weights)

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
            by_fold.append(log_probabilities_of(members, [examples[i] for i in test_rows]))
            rows.append(test_rows)
        return np.concatenate(by_fold, axis=1)[:, np.argsort(np.concatenate(rows))]

    def _validate_members(self, labels: Sequence[Label], y: object) -> None:
        """Raise if members do not fit the labels of the examples or each other, before one is trained."""
        by_member = [member._labels_of(labels, y) for member in self.classifiers]
        validate_same_labels(by_member)
        label_indices(labels, by_member[0])
