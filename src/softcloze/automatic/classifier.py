"""AutoPromptClassifier: choose template, label words and head by cross-validation within a budget."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils import Tags

from softcloze.automatic.budget import DURATION, Budget, parse_duration
from softcloze.automatic.cost import measure_cost
from softcloze.automatic.feature_store import FeatureStore
from softcloze.automatic.members import Choice, choose_members
from softcloze.automatic.probe_trial import probe_trial
from softcloze.automatic.proposals import propose
from softcloze.automatic.race import Race, best_of
from softcloze.automatic.rows import is_templates, read_rows
from softcloze.automatic.trials import Task, Trial
from softcloze.automatic.trials_table import TrialRecord, Trials
from softcloze.backbone import AnyModel, load_backbone, validate_model_options
from softcloze.calibration import dominant_label
from softcloze.classifiers import ProbeClassifier, PromptClassifier, PromptEnsemble
from softcloze.classifiers.probe import NAMED_ENCODER, Encoder, label_words_of
from softcloze.classifiers.shared_model import SharedModelMixin
from softcloze.classifiers.start import RANDOM_STATE, seed_of
from softcloze.classifiers.tags import text_tags
from softcloze.data import (
    CLASS_WEIGHT,
    ClassWeight,
    Example,
    are_words,
    class_names,
)
from softcloze.embeddings import load_encoder
from softcloze.errors import OneSidedWarning, ParameterError
from softcloze.files import expand_user, validate_writable
from softcloze.label_words.unnamed import unnamed_order
from softcloze.launcher import validate_one_process
from softcloze.library import resolve_mask_template
from softcloze.parameters import NONE, PATH, Constraint, instance_of, integer, plain, validate_parameters
from softcloze.prompt import Probe, Prompt
from softcloze.template import CHAT_OPTIONS, ChatOptions, Template
from softcloze.verbalizer import AnyVerbalizer, FieldVerbalizer, Label, Words


@dataclass(eq=False, repr=False)
class AutoPromptClassifier(ClassifierMixin, SharedModelMixin):
    r"""Choose template, label words and head by cross-validation, without a choice by the user.

    `fit` proposes templates: those of the library whose labels have like names, and general wordings in the language
    of the texts, in chat turns too where the tokenizer has a chat template. The frozen model computes each template's
    features once. From these, label words alone, and the mean of a linear layer beside them and one without them, are
    judged by cross-validated log loss. With many examples, successive halving judges all templates on some and the
    best half on twice as many. Then a soft prompt is trained for the best template. The result averages the best ways,
    as `softcloze.automatic.selection.choose_trials` chooses them; with an encoder see `softcloze.automatic.members`.

    Args:
        model: as for `PromptClassifier`.
        verbalizer: label words as for `PromptClassifier`; None to propose them from the names of the labels, or of the
            classes that a column of `datasets` names.
        templates: templates to try first, as for `PromptClassifier`; without soft slots and demonstrations.
        budget: longest duration of `fit` after the model is loaded, in seconds or with a unit, such as "2min"; None
            for none. Examples are read a few at a time, and a template is given up once the time does not suffice to
            finish it, even on a machine that gets half as fast. The first template is judged in any case, by the
            examples of the first round, 96, or eight of each label if that is more; or by fewer, at least two of each
            label, if these would take two thirds of the budget. Time that suffices for no further template or round
            goes to further examples of the best ones.
        candidates: number of templates to try, at most; None for all. Results are the same on every run for a seed, a
            number of candidates, and budget=None or one that suffices.
        members: number of ways whose log-probabilities the result averages, at most; 1 for a single prompt.
        soft_prompts: number of soft prompts to train, for the best templates with label words; 0 for none. Each takes
            the time of four trainings, and is left out if the budget does not allow it.
        class_weight: weights of the classes as for `PromptClassifier`, for all that is learnt and judged. Equal ones
            by default, since few labelled examples are seldom drawn as the classes occur; None if they are.
        max_length: limit of a prompt in tokens; None for the model's own limit.
        encoder: a sentence encoder, as for `ProbeClassifier`; None for none. A linear layer on its embeddings joins the
            candidates, and may be the result or a member of it.
        chat_options: values of variables of the tokenizer's chat template, as for `PromptClassifier`.
        checkpoint: folder that keeps the features of each template, so that an interrupted `fit` resumes, and one with
            other parameters need not compute them again; None for none. `fit` leaves the files there.
        model_options: as for `PromptClassifier`.
        on_trial: called with the `TrialRecord` of the best trial so far after each template.
        random_state: seed of the order of examples and of the folds.

    Attributes:
        classes_: the labels, sorted.
        backbone_: the frozen `Backbone`.
        best_estimator_: the result, a fitted `PromptClassifier` or `ProbeClassifier`, or a `PromptEnsemble` of such.
        trials_: all trials; `print` shows their table.

    Example:
        >>> texts = ["A delight.", "A bore.", "Wonderful!", "So dull.", "I loved it.", "I left early."]
        >>> labels = ["positive", "negative"] * 3
        >>> clf = AutoPromptClassifier("starter:bert-tiny", candidates=2, soft_prompts=0, random_state=0)
        >>> clf.fit(texts, labels).predict_proba(["Not bad at all."]).shape
        (1, 2)

    Source:
        Successive halving: Jamieson and Talwalkar, AISTATS 2016, arXiv:1502.07943. The choice within one standard
        error: `softcloze.automatic.selection.choose_trials`.
    """

    model: AnyModel
    _: KW_ONLY
    verbalizer: Mapping[Label, Words] | str | AnyVerbalizer | None = None
    templates: Sequence[str | Template] = ()
    budget: str | float | None = "2min"
    candidates: int | None = None
    members: int = 4
    soft_prompts: int = 1
    class_weight: ClassWeight | None = "balanced"
    max_length: int | None = None
    encoder: Encoder | None = None
    chat_options: ChatOptions | None = None
    checkpoint: str | Path | None = None
    model_options: Mapping[str, Any] | None = None
    on_trial: Callable[[TrialRecord], object] | None = None
    random_state: int | np.random.RandomState | None = None

    constraints: ClassVar[Mapping[str, Constraint]] = {
        "templates": Constraint("a list of templates", is_templates),
        "budget": Constraint(DURATION, lambda value: parse_duration(value) is not None) | NONE,
        "candidates": integer(at_least=1) | NONE,
        "members": integer(at_least=1),
        "soft_prompts": integer(at_least=0),
        "class_weight": CLASS_WEIGHT,
        "max_length": integer(at_least=1) | NONE,
        "encoder": NAMED_ENCODER | NONE,
        "chat_options": CHAT_OPTIONS | NONE,
        "checkpoint": PATH | NONE,
        "model_options": instance_of("a mapping from options of load_backbone to their values", Mapping) | NONE,
        "on_trial": Constraint("a function", callable) | NONE,
        "random_state": RANDOM_STATE,
    }

    def fit(self, X: Iterable[Example], y: Iterable[Label], sample_weight: Iterable[float] | None = None) -> Self:
        """Choose and fit; every weight of the model stays as it is.

        Args:
            X: texts, or mappings from field names to values, all of which the general wordings show.
            y: the label of each example, as for `PromptClassifier.fit`.
            sample_weight: weight of each example, as for `PromptClassifier.fit`.

        Returns:
            The classifier itself.

        Raises:
            ProcessError: a launcher such as torchrun started several processes.
            ParameterError: a parameter has a wrong type or is outside its range, or a template does not fit.
            DataError: examples and labels that do not fit each other, or a label with a single example.
            SoftclozeError: as `PromptClassifier.fit`.

        Warns:
            OneSidedWarning: the result gives nearly all examples one label in cross-validation.
        """
        validate_one_process("fit")
        validate_parameters(vars(self), self.constraints)
        if isinstance(self.verbalizer, FieldVerbalizer):
            raise ParameterError(
                "AutoPromptClassifier chooses words that all examples share, and a FieldVerbalizer has others for "
                "each; take PromptClassifier"
            )
        if self.checkpoint is not None:
            validate_writable(expand_user(self.checkpoint), folder=True)
        templates = [resolve_mask_template(template) for template in self.templates]
        rows = read_rows(
            X, y, sample_weight, templates=templates, verbalizer=self.verbalizer, class_weight=self.class_weight
        )
        classes, examples, given = rows.classes, rows.examples, rows.verbalizer
        seed = seed_of(self.random_state)

        encoder = load_encoder(self.encoder) if self.encoder is not None else None
        backbone = load_backbone(self.model, **validate_model_options(self.model, self.model_options))
        budget = Budget(parse_duration(self.budget))
        limit = plain(self.max_length)
        options, named = self.chat_options, class_names(y)
        proposals = propose(
            classes,
            examples,
            backbone,
            verbalizer=given,
            templates=templates,
            max_length=limit,
            chat_options=options,
            class_names=named,
        )
        # at the end each member of the result is compiled once more
        budget.reserve(self.members * budget.elapsed / len(proposals))
        task = Task(backbone, examples, rows.targets, rows.weights, limit, seed, options)
        probe: Trial | None = None

        def report(best: Trial) -> None:
            if self.on_trial is not None:
                self.on_trial(TrialRecord.of(best_of([best, probe] if probe is not None else [best]), is_chosen=False))

        race = Race(task, budget, report, FeatureStore(self.checkpoint))
        if encoder is not None:
            words = label_words_of(classes, named) if given is None else given.first_words
            names = [word for word in words if isinstance(word, str)]
            says_nothing = given is None and unnamed_order(classes, named) is not None
            names = names if len(names) == len(classes) and are_words(names) and not says_nothing else []
            probe = probe_trial(race.task, classes, names, encoder, budget)
            if probe is not None:
                report(probe)
        prompts = race.run(proposals[: self.candidates], self.soft_prompts, self.members)
        if probe is not None:
            probe = probe.first(len(prompts[0].targets))
        choice = choose_members(prompts, probe, self.members)
        _warn_if_one_sided(choice, classes)

        def fitted(member: Prompt | Probe) -> PromptClassifier | ProbeClassifier:
            if isinstance(member, Prompt):
                return PromptClassifier.of_prompt(member, backbone)
            return ProbeClassifier.of_probe(member, member.load_encoder(encoder))

        members = [fitted(trial.prompt) for trial in choice.trials]
        self.best_estimator_: PromptClassifier | ProbeClassifier | PromptEnsemble = members[0]
        if len(members) > 1:
            self.best_estimator_ = PromptEnsemble.of_members(members, choice.combination)
        self.backbone_ = backbone
        trials = [*([probe] if probe is not None else []), *chain.from_iterable(race.trials.values())]
        chosen = {id(trial) for trial in choice.trials}
        records = [TrialRecord.of(trial, is_chosen=id(trial) in chosen) for trial in trials]
        records.sort(key=lambda record: (not record.is_chosen, -record.examples, record.log_loss))
        cost = measure_cost(self.best_estimator_, race.task.examples, budget)
        self.trials_ = Trials(tuple(records), budget.elapsed, race.left_out, tuple(classes), cost)
        return self

    @property
    def classes_(self) -> np.ndarray:
        """The labels, sorted, shape (labels,)."""
        return self._fitted().classes_

    def predict(self, X: Iterable[Example]) -> np.ndarray:
        """The most probable label of each example, shape (batch,).

        Raises:
            NotFittedError: `fit` has not been called.
            FieldError: an example lacks a field; names the row.
            EncodingError: an example cannot be encoded; names the row.
        """
        return self._fitted().predict(X)

    def predict_proba(self, X: Iterable[Example]) -> NDArray[np.float64]:
        """Probabilities of the labels, shape (batch, labels) in the order of `classes_`; raises as `predict`."""
        return self._fitted().predict_proba(X)

    def decision_function(self, X: Iterable[Example]) -> NDArray[np.float64]:
        """Label scores in nats of the result; shape as of `PromptClassifier.decision_function`, errors as `predict`."""
        return self._fitted().decision_function(X)

    def predict_log_proba(self, X: Iterable[Example]) -> NDArray[np.float64]:
        """Natural logarithms of the probabilities of the labels, shape and errors as of `predict_proba`."""
        return self._fitted().predict_log_proba(X)

    def score(self, X: Iterable[Example], y: Iterable[Label], sample_weight: Iterable[float] | None = None) -> float:
        """Accuracy on labelled examples; raises as `predict`, and DataError for labels that are not known."""
        return self._fitted().score(X, y, sample_weight)

    def save(self, path: str | PathLike[str]) -> None:
        """Save the result, as the `save` of its class does, whose `load` reads it."""
        self._fitted().save(path)

    def __sklearn_is_fitted__(self) -> bool:
        """Return True after `fit`."""
        return hasattr(self, "best_estimator_")

    def __sklearn_tags__(self) -> Tags:
        """Texts instead of numbers; within a budget of time the choice depends on the machine."""
        varies = self.random_state is None or self.budget is not None
        return text_tags(super().__sklearn_tags__(), requires_fit=True, varies=varies)

    def _fitted(self) -> PromptClassifier | ProbeClassifier | PromptEnsemble:
        if not hasattr(self, "best_estimator_"):
            raise NotFittedError("call fit with labelled examples first")
        return self.best_estimator_


def _warn_if_one_sided(choice: Choice, labels: Sequence[Label]) -> None:
    """Warn if a choice gives nearly all examples one label in cross-validation."""
    predicted, targets = choice.log_probabilities.argmax(1), choice.trials[0].targets
    dominant = dominant_label(predicted, targets)
    if dominant is None:
        return
    label, _ = dominant
    given, have = (int((values == label).sum()) for values in (predicted, targets))
    warnings.warn(
        f"the best choice gives {labels[label]!r} to {given} of {len(targets)} examples that it did not learn from, "
        f"and {have} have it: they say too little about the other labels; give more examples of those, or a template "
        "and words for the task, as in templates=['<text> In short, the film is <mask>'] and verbalizer={...}",
        OneSidedWarning,
        stacklevel=3,
    )
