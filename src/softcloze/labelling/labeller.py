"""Labeller: ask for the labels of a few texts, and make a classifier of them."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

import numpy as np

from softcloze.automatic import AutoPromptClassifier
from softcloze.backbone import AnyModel, validate_model_options
from softcloze.classifiers import MultiLabelPromptClassifier, PromptClassifier
from softcloze.data import Example, as_examples, as_labels
from softcloze.errors import ParameterError
from softcloze.labelling import estimate as estimates
from softcloze.labelling.answering import Answering, ask_event
from softcloze.labelling.answers import Doubt, Predictions, Question
from softcloze.labelling.estimate import CurvePoint, Estimate, Forecast
from softcloze.labelling.learner import Labelled, Learner, QuickFit, labelled_of
from softcloze.labelling.record import Answer
from softcloze.labelling.results import (
    find_doubts,
    fit_automatic,
    fit_linear,
    fit_several,
    predict_with,
    predict_without_a_pass,
    present_labels,
    validate_classifier,
)
from softcloze.labelling.selection import Strategy
from softcloze.labelling.states import Progress
from softcloze.labelling.turns import next_texts
from softcloze.labelling.validation import (
    hard_template,
    plain_index,
    plain_text,
    validate_first_labels,
    validate_texts,
)
from softcloze.parameters import BOOLEAN, NONE, POSITIVE, instance_of, integer, one_of, validate_parameters
from softcloze.prompt import Prompt
from softcloze.prompt.folder import folder_of
from softcloze.template import Template
from softcloze.verbalizer import Label, Words

Result = TypeVar("Result")


class Labeller(Answering):
    """Label texts with a frozen language model, which estimates how good it is and finds doubtful labels.

    Any front end can drive it: `ask` for texts, show them, `tell` the answers. Each answer is on disk when `tell`
    returns. A head on the model's states is solved again after every few answers, in a thread of its own, so that
    neither `ask` nor `tell` waits for it. Classes have equal weight in all that is learnt and estimated.

    Several processes, or threads, may use one folder at the same time, each person with a name: a text that one is
    shown is not shown to others until it is answered or its lease ends.

    Args:
        model: as for `PromptClassifier`.
        texts: the texts, or mappings from field names to values, as for `PromptClassifier.fit`.
        labels: the labels, at least two; their names are their label words where they say something. Or a mapping from
            labels to label words. None to continue a labelling with the labels that it has.
        folder: where answers and the features of the texts are kept; None for memory alone. A folder with a labelling
            of the same texts is continued, with its labels and its held-out texts.
        template: a hard template with one mask; None to choose one by labels and language, as `AutoPromptClassifier`
            does first.
        multi_label: a text may have several labels, or none. Typical texts and random ones take turns at first, then
            all are random, and there is no estimate.
        strategy: choice of texts: "uncertain" (first texts that are typical and differ, six for each label, from 8 to
            64 of them; then those of least margin between the two likeliest labels), "random", or "default" (which is
            "random"). docs/measurements/labelling.md compares them. From chosen texts the estimate is less reliable.
        held_out: number of texts that are drawn at random for the estimate alone. They are asked among the others,
            marked "held out", and no classifier learns from them.
        refit_every: number of answers after which the head is solved again.
        lease: time in seconds for which a text is not shown to others.
        background: solve the head in a thread of its own. False to solve it within `ask`; the same answers then lead to
            the same questions.
        max_length: limit of a prompt in tokens; None for the model's own limit.
        model_options: as for `PromptClassifier`.
        random_state: seed of everything random.

    Raises:
        ParameterError: a parameter is unknown or outside its range.
        DataError: fewer than two texts or labels, or labels that differ by case or white space alone.
        ArtifactError: the folder has a labelling of other texts, or is damaged.
        FileError: the folder cannot be written.

    Example:
        >>> texts = ["A delight.", "A bore.", "Wonderful!", "So dull.", "I loved it.", "I left early."]
        >>> labeller = Labeller("starter:bert-tiny", texts, ["negative", "positive"])
        >>> for question in labeller.ask(4):
        ...     labeller.tell(question.index, "positive" if question.index % 2 == 0 else "negative")
        >>> labeller.counts()
        {'negative': 2, 'positive': 2}
        >>> labeller.classifier().predict(["I loved the music."]).shape
        (1,)
        >>> len(labeller.predict_rest())
        2
    """

    def __init__(
        self,
        model: AnyModel,
        texts: Iterable[Example],
        labels: Sequence[Label] | Mapping[Label, Words] | None,
        *,
        folder: str | Path | None = None,
        template: str | Template | None = None,
        multi_label: bool = False,
        strategy: Strategy = "default",
        held_out: int = 0,
        refit_every: int = 4,
        lease: float = 600.0,
        background: bool = True,
        max_length: int | None = None,
        model_options: Mapping[str, Any] | None = None,
        random_state: int = 0,
    ):
        """Open the labelling; the model is loaded by `read`, or by the first `ask`."""
        constraints = {
            "multi_label": BOOLEAN,
            "strategy": one_of("default", "uncertain", "random"),
            "held_out": integer(at_least=0),
            "refit_every": integer(at_least=1),
            "lease": POSITIVE,
            "background": BOOLEAN,
            "max_length": integer(at_least=1) | NONE,
            "model_options": instance_of("a mapping from options of load_backbone to their values", Mapping) | NONE,
            "random_state": integer(at_least=0),
        }
        given = {name: value for name, value in locals().items() if name in constraints}
        validate_parameters(given, constraints)
        examples: list[Example] = as_examples(texts)
        validate_texts(examples, held_out)
        if labels is not None:
            validate_first_labels(labels)
        words = labels.values() if isinstance(labels, Mapping) else ()
        self._words = dict(zip(as_labels([*(labels or ())]), words, strict=True)) if words else {}
        at = folder_of(folder) if folder is not None else None
        super().__init__(examples, at, multi_label=bool(multi_label), lease=float(lease), seed=int(random_state))
        self.strategy = strategy
        self._refit_every, self._background, self._max_length = int(refit_every), bool(background), max_length
        self._learner = Learner(
            model,
            self.texts,
            self._words,
            template=hard_template(template) if template is not None else None,
            folder=self._folder,
            max_length=max_length,
            model_options=validate_model_options(model, model_options),
            seed=self._seed,
        )
        self._once: dict[str, tuple[tuple[int, int], Any]] = {}
        self._open(as_labels([*labels]) if labels is not None else None, int(held_out))
        self._after_renaming()

    def read(self, on_progress: Progress | None = None) -> Self:
        """Load the model and compute the features of all texts, or take them from the folder.

        The first `ask` does so otherwise. Called again after a new label, it computes the scores of its word as well;
        until then classifiers use the states alone.

        Args:
            on_progress: called with the number of texts that are done and the number of all.

        Returns:
            The labeller itself.

        Raises:
            SoftclozeError: as `PromptClassifier.fit`, for the model, the template and the texts.
        """
        self._learner.read(self.labels, on_progress)
        self._once.clear()
        return self

    def ask(self, n: int = 1, *, name: str = "") -> list[Question]:
        """Choose texts to label.

        Texts that were shown to this person and have no answer yet come first, so that a front end that starts anew
        shows the same text again.

        Args:
            n: number of texts; fewer if no more are left.
            name: of the person.

        Raises:
            ParameterError: `n` is below 1.
            SoftclozeError: as `read`, if that was not called.
        """
        validate_parameters({"n": n}, {"n": integer(at_least=1)})
        name = plain_text("name", name)
        if not self._learner.has_read:
            self.read()
        self._learner.raise_failure()
        if self._background:
            self._learner.refit_in_background(self._due)
        elif (labelled := self._due()) is not None:
            self._learner.refit(labelled)
        with self._mutex, self._journal.locked():
            self._sync()
            now = time.time()
            leases = self._record.open_leases(now)
            own = [lease for lease in leases.values() if lease.name == name][:n]
            space, fit = self._learner.space, self._fit_for(tuple(self._record.labels))
            chosen = []
            if space is not None and len(own) < n:
                count, several = n - len(own), self.multi_label
                chosen = next_texts(
                    count, self._record, leases, space, fit, strategy=self.strategy, multi_label=several
                )
            if chosen:
                self._write(*(ask_event(index, how, name, now + self._lease) for index, how in chosen))
        shown = [(lease.index, self._record.how[lease.index]) for lease in own] + chosen
        return [Question(index, self.texts[index], how) for index, how in shown]

    def _after_answer(self) -> None:
        """Solve the head anew in the background, if enough answers are new."""
        if self._background and self._learner.has_read:
            self._learner.refit_in_background(self._due)

    def _after_renaming(self) -> None:
        """Leave label words with the label that they were given for."""
        for old, new in self.renamed.items():
            if old in self._words:
                self._words.setdefault(new, self._words[old])

    def _fit_for(self, labels: tuple[Label, ...]) -> QuickFit | None:
        """The last head, unless a label that it has was renamed since."""
        fit = self._learner.fit
        known = fit.labelled.labels if fit is not None else ()
        return fit if known == labels[: len(known)] else None

    def guess(self, index: int) -> dict[Label, float]:
        """Probabilities of the labels of a text by the last classifier, the likeliest first.

        Before the first answers they are those of the label words alone, or equal. Show them only on request, or after
        the answer: who sees a guess first tends to agree.

        Raises:
            ParameterError: there is no such text, or texts have several labels.
        """
        self._validate_one_label("a guess")
        index, labels = plain_index(index, len(self.texts)), self.labels
        fit = self._fit_for(labels)
        logs = np.zeros(len(labels))
        if fit is not None:
            labels, logs = fit.labelled.labels, fit.log_probabilities[index]
        elif self._learner.has_read and (words := self._learner.features(labels).words) is not None:
            logs = words[index]
        probabilities = np.exp(logs - np.logaddexp.reduce(logs))
        order = np.argsort(-probabilities, kind="stable")
        return {labels[i]: float(probabilities[i]) for i in order}

    def estimate(self) -> Estimate | None:
        """Estimate the balanced accuracy of `classifier` on the other texts; None with too few labelled texts.

        Raises:
            ParameterError: texts have several labels.
        """
        self._validate_one_label("an estimate")
        return self._computed("estimate", self._estimate)

    def learning_curve(self) -> list[CurvePoint]:
        """Balanced accuracy by the number of labelled texts so far; raises as `estimate`."""
        self._validate_one_label("a learning curve")
        return self._computed("curve", self._learning_curve)

    def forecast(self, more: int = 10) -> Forecast | None:
        """Balanced accuracy that so many more labelled texts are expected to add; raises as `estimate`.

        Returns:
            The forecast for `more` texts, or for all that are left, if these are fewer. None with too few labelled
            texts, or if no text is left.
        """
        validate_parameters({"more": more}, {"more": integer(at_least=1)})
        curve = self.learning_curve()
        left = len(self.texts) - len(self._record.given)
        return estimates.forecast(curve, min(more, left), self._seed) if left else None

    def doubts(self, n: int | None = None) -> list[Doubt]:
        """Labelled texts, held-out ones included, the most doubtful label first; before all, where people do not agree.

        Args:
            n: number of texts, at most; None for all.

        Raises:
            ParameterError: texts have several labels.
        """
        self._validate_one_label("a doubt")
        return self._computed("doubts", self._doubts)[:n]

    def classifier(
        self, *, automatic: bool = False, budget: str | float | None = "2min"
    ) -> PromptClassifier | AutoPromptClassifier | MultiLabelPromptClassifier:
        """A classifier that is fitted to the labelled texts without held-out ones, and can be saved.

        It is a linear layer on the states, beside label words where they have scores. Labels that no text has are left
        out.

        Args:
            automatic: choose template, label words and head by cross-validation, as `AutoPromptClassifier` does.
            budget: of that choice, as for `AutoPromptClassifier`.

        Raises:
            DataError: fewer than two labels have texts, or one has a single text.
        """
        labels, answers = self._present()
        given, texts = [answer.labels for answer in answers], [self.texts[answer.index] for answer in answers]
        limits: dict[str, Any] = {"max_length": self._max_length, "seed": self._seed}
        if self.multi_label:
            return fit_several(self._learner, texts, given, labels, **limits)
        if automatic:
            y = [label for (label,) in given]
            return fit_automatic(self._learner, texts, y, labels, words=self._words, budget=budget, **limits)
        _, _, backbone = self._learner.reading_for(labels)
        return PromptClassifier.of_prompt(self._computed("linear", self._linear), backbone)

    def predict_rest(self, classifier: Any | None = None) -> Predictions:  # noqa: ANN401 - any classifier of ours
        """Predict the texts that have no label, skipped ones included.

        Args:
            classifier: a fitted classifier; None for that of `classifier`.

        Raises:
            DataError: as `classifier`.
            ParameterError: `classifier` is something else.
        """
        given = {answer.index for answer in self._answers()}
        rest = np.asarray([index for index in range(len(self.texts)) if index not in given], dtype=int)
        if classifier is None and not self.multi_label:
            labels, _ = self._present()
            return predict_without_a_pass(self._learner, self._computed("linear", self._linear), labels, rest)
        if classifier is not None:
            validate_classifier(classifier, multi_label=self.multi_label)
        fitted = classifier if classifier is not None else self.classifier()
        return predict_with(fitted, self.texts, rest, multi_label=self.multi_label)

    def close(self) -> None:
        """Wait for the thread that solves the head."""
        self._learner.join()

    def __enter__(self) -> Self:
        """The labeller itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def __getstate__(self) -> NoReturn:
        """Raise ParameterError: a labelling has locks and a thread."""
        raise ParameterError(
            "a Labeller cannot be copied or pickled; open another one with the same texts and folder, or save "
            "classifier()"
        )

    def _present(self) -> tuple[tuple[Label, ...], list[Answer]]:
        """The labels that texts to learn from have, and the answers of these."""
        labelled, answers = self._training()
        return present_labels(labelled.labels, [answer.labels for answer in answers]), answers

    def _linear(self) -> Prompt:
        """The prompt of the linear layer for the answers so far."""
        labels, answers = self._present()
        return fit_linear(
            self._learner,
            [self.texts[answer.index] for answer in answers],
            [answer.index for answer in answers],
            [answer.labels[0] for answer in answers],
            labels,
            max_length=self._max_length,
            seed=self._seed,
        )

    def _training(self) -> tuple[Labelled, list[Answer]]:
        """The labelled texts to learn from; of several labels the first stands for all."""
        if not self._learner.has_read:
            self.read()
        with self._mutex:
            self._sync()
            answered, labels = self._record.answered, tuple(self._record.labels)
            answers = [answer for answer in self._record.answers() if answer.index not in self._record.held_out]
        return labelled_of(answered, labels, answers), answers

    def _due(self) -> Labelled | None:
        """The labelled texts, if there are enough new ones for another head."""
        if self.multi_label:
            return None
        labelled, _ = self._training()
        fit = self._learner.fit
        before = fit.labelled.answered if fit is not None else 0
        new_labels = fit is not None and fit.labelled.labels != labelled.labels
        enough = labelled.answered - before >= self._refit_every or new_labels
        return labelled if enough and len(labelled.rows) else None

    def _computed(self, name: str, compute: Callable[[], Result]) -> Result:
        """A result for the answers and labels so far, computed once."""
        with self._mutex:
            self._sync()
            state = self._record.answered, len(self._record.labels)  # renaming counts as an answer
        known = self._once.get(name)
        if known is None or known[0] != state:
            known = self._once[name] = state, compute()
        result: Result = known[1]
        return result

    def _estimate(self) -> Estimate | None:
        labelled, answers = self._training()
        held = [answer for answer in self._answers() if answer.index in self._record.held_out]
        other = labelled_of(0, labelled.labels, held)
        return estimates.estimate(
            self._learner.features(labelled.labels),
            labelled.rows,
            labelled.targets,
            len(labelled.labels),
            held_out=other.rows,
            held_out_targets=other.targets,
            rest=np.setdiff1d(np.arange(len(self.texts)), [*self._record.given]),
            sample=all(answer.how == "random" for answer in answers),
            seed=self._seed,
        )

    def _learning_curve(self) -> list[CurvePoint]:
        labelled, _ = self._training()
        features = self._learner.features(labelled.labels)
        return estimates.learning_curve(features, labelled.rows, labelled.targets, len(labelled.labels), self._seed)

    def _doubts(self) -> list[Doubt]:
        labelled, _ = self._training()
        others = {text.index: text.other for text in self.disputes() if text.other is not None}
        return find_doubts(self._learner, labelled_of(0, labelled.labels, self._answers()), self._seed, others)

    def _validate_one_label(self, what: str) -> None:
        if self.multi_label:
            raise ParameterError(f"{what} is of texts with one label each, and this labelling has multi_label=True")
