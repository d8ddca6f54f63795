"""Labeller: ask for the labels of a few texts, and make a classifier of them."""

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

import numpy as np

from softcloze.automatic import AutoPromptClassifier
from softcloze.backbone import AnyModel, validate_model_options
from softcloze.classifiers import MultiLabelPromptClassifier, PromptClassifier
from softcloze.data import Example, as_examples, as_labels
from softcloze.errors import ParameterError
from softcloze.labelling.answering import ask_event
from softcloze.labelling.answers import Predictions, Question
from softcloze.labelling.assessing import Assessing
from softcloze.labelling.learner import Labelled, Learner
from softcloze.labelling.results import (
    fit_automatic,
    fit_linear,
    fit_several,
    predict_with,
    predict_without_a_pass,
    validate_classifier,
)
from softcloze.labelling.selection import Strategy
from softcloze.labelling.turns import next_texts
from softcloze.labelling.validation import (
    hard_template,
    plain_text,
    validate_first_labels,
    validate_texts,
)
from softcloze.parameters import BOOLEAN, NONE, POSITIVE, instance_of, integer, one_of, validate_parameters
from softcloze.prompt import Prompt
from softcloze.prompt.folder import folder_of
from softcloze.template import Template
from softcloze.verbalizer import Label, Words


class Labeller(Assessing):
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
        learner = Learner(
            model,
            examples,
            self._words,
            template=hard_template(template) if template is not None else None,
            folder=at,
            max_length=max_length,
            model_options=validate_model_options(model, model_options),
            seed=int(random_state),
        )
        super().__init__(
            learner, examples, at, multi_label=bool(multi_label), lease=float(lease), seed=int(random_state)
        )
        self.strategy = strategy
        self._refit_every, self._background, self._max_length = int(refit_every), bool(background), max_length
        self._open(as_labels([*labels]) if labels is not None else None, int(held_out))
        self._after_renaming()

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
