"""Labeller: ask for the labels of a few texts, and make a classifier of them."""

import json
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np

from softcloze.automatic import AutoPromptClassifier
from softcloze.backbone import AnyModel, validate_model_options
from softcloze.classifiers import MultiLabelPromptClassifier, PromptClassifier
from softcloze.data import Example, as_examples, as_labels
from softcloze.data.labels import check_spellings
from softcloze.errors import ArtifactError, DataError, ParameterError
from softcloze.formatting import did_you_mean, quoted, quoted_list
from softcloze.labelling import estimate as estimates
from softcloze.labelling.answers import Doubt, LabelledText, Predictions, Question
from softcloze.labelling.estimate import CurvePoint, Estimate, Forecast
from softcloze.labelling.journal import Event, Journal
from softcloze.labelling.learner import Labelled, Learner
from softcloze.labelling.record import GIVEN, Answer, Lease, Record, start_event
from softcloze.labelling.results import find_doubts, fit_automatic, fit_linear, fit_several, present_labels
from softcloze.labelling.selection import DEFAULT, Strategy, choose, random_text
from softcloze.labelling.states import Progress
from softcloze.library import resolve_mask_template
from softcloze.parameters import BOOLEAN, NONE, POSITIVE, TEXT, instance_of, integer, one_of, validate_parameters
from softcloze.prompt import BoundPrompt
from softcloze.prompt.folder import folder_of
from softcloze.template import Template
from softcloze.verbalizer import Label, Words, as_label

Result = TypeVar("Result")

HELD_OUT_EVERY = 3  # questions, of which one is about a text that is held out


class Labeller:
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
        self.texts: list[Example] = as_examples(texts)
        _validate(self.texts, held_out)
        if labels is not None:
            _validate_start(labels)
        words = labels.values() if isinstance(labels, Mapping) else ()
        self._words = dict(zip(as_labels([*(labels or ())]), words, strict=True)) if words else {}
        self.multi_label, self.strategy = bool(multi_label), strategy
        self._refit_every, self._lease, self._background = int(refit_every), float(lease), bool(background)
        self._max_length, self._seed = max_length, int(random_state)
        self._folder = folder_of(folder) if folder is not None else None
        self._learner = Learner(
            model,
            self.texts,
            self._words,
            template=_hard(template) if template is not None else None,
            folder=self._folder,
            max_length=max_length,
            model_options=validate_model_options(model, model_options),
            seed=self._seed,
        )
        self._mutex = threading.RLock()  # of the record; never held while a model runs
        self._once: dict[str, tuple[tuple[int, int], Any]] = {}
        self._journal, self._record = Journal(self._folder), Record()
        self._open(as_labels([*labels]) if labels is not None else None, int(held_out))

    def _open(self, labels: list[Label] | None, held_out: int) -> None:
        """Start a labelling, or continue the one in the folder."""
        digest = _digest(self.texts)
        with self._journal.locked():
            self._sync()
            if self._record.started is None:
                if self._record.asked or self._record.labels:
                    raise ArtifactError(f"the first line of {self._journal.path} is missing; restore the file")
                if labels is None:
                    where = f"{self._folder} has no labelling yet" if self._folder is not None else "there is no folder"
                    raise DataError(f"labels is None, and {where}: give the labels, as in ['billing', 'delivery']")
                drawn = np.random.default_rng(self._seed).choice(len(self.texts), held_out, replace=False)
                start = start_event(
                    digest, len(self.texts), labels, sorted(drawn.tolist()), multi_label=self.multi_label
                )
                self._write(start)
                return
            started = self._record.started
            if started["texts"] != digest:
                raise ArtifactError(
                    f"{self._folder} has a labelling of {started['rows']} other texts, found {len(self.texts)}; give "
                    "the same texts in the same order, or another folder"
                )
            if started["multi_label"] != self.multi_label:
                raise ArtifactError(
                    f"{self._folder} has a labelling with multi_label={started['multi_label']}; give the same, or "
                    "another folder"
                )
            new = [label for label in labels or () if label not in self._record.labels]
            _validate_labels([*self._record.labels, *new])
            for label in new:
                self._write({"event": "label", "label": label, "name": "", "time": time.time()})

    @property
    def labels(self) -> tuple[Label, ...]:
        """All labels, in the order in which they came."""
        with self._mutex:
            self._sync()
            return tuple(self._record.labels)

    @property
    def held_out(self) -> tuple[int, ...]:
        """Indices of the texts that are held out."""
        return self._record.held_out

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
        name = _text("name", name)
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
            chosen = self._choose(n - len(own), leases)
            if chosen:
                self._write(*(_ask(index, how, name, now + self._lease) for index, how in chosen))
        shown = [(lease.index, self._record.how[lease.index]) for lease in own] + chosen
        return [Question(index, self.texts[index], how) for index, how in shown]

    def tell(self, index: int, label: Label | Collection[Label], *, name: str = "", note: str | None = None) -> None:
        """Give a text its label; a text that has one gets the new one. The answer is on disk afterwards.

        Args:
            index: of the text, also one that was not asked.
            label: its label; with `multi_label` a collection of labels, which may be empty.
            name: of the person.
            note: a note on the text; None to leave it as it is.

        Raises:
            ParameterError: there is no such text or label.
            FileError: the answer cannot be written.
        """
        name = _text("name", name)
        with self._mutex, self._journal.locked():
            self._sync()
            given = self._labels_of(label)
            events: list[Event] = [
                {"event": "answer", "index": self._index(index), "labels": given, "name": name, "time": time.time()}
            ]
            if note is not None:
                events.append({"event": "note", "index": int(index), "note": _text("note", note), "name": name})
            self._write(*events)
        if self._background and self._learner.has_read:
            self._learner.refit_in_background(self._due)

    def take(self, labels: Mapping[int, Label | Collection[Label]]) -> int:
        """Take labels that some texts had before; `labelled` shows how="given" for them, and `undo` keeps them.

        Args:
            labels: from indices of texts to labels, each as for `tell`. Texts with an answer keep theirs.

        Returns:
            The number of texts that got a label.

        Raises:
            ParameterError: there is no such text or label.
            FileError: the answers cannot be written.
        """
        with self._mutex, self._journal.locked():
            self._sync()
            now = time.time()
            new = {self._index(index): self._labels_of(label) for index, label in labels.items()}
            events: list[Event] = [
                {"event": "answer", "index": index, "labels": given, "name": "", "time": now, "how": GIVEN}
                for index, given in new.items()
                if index not in self._record.given
            ]
            if events:
                self._write(*events)
        return len(events)

    def skip(self, index: int, *, name: str = "") -> None:
        """Leave a text without a label, and do not ask for it again; raises as `tell`."""
        with self._mutex, self._journal.locked():
            self._sync()
            self._write(
                {"event": "skip", "index": self._index(index), "name": _text("name", name), "time": time.time()}
            )

    def undo(self, *, name: str = "") -> Question | None:
        """Take back the last answer or skip of a person; `ask` then returns its text first.

        Returns:
            The text; None if nothing is left to take back.
        """
        name = _text("name", name)
        with self._mutex, self._journal.locked():
            self._sync()
            last = self._record.last_of(name)
            if last is None:
                return None
            events: list[Event] = [{"event": "undo", "name": name, "time": time.time()}]
            self._write(*events)
            if last.index not in self._record.given:
                again = _ask(last.index, last.how, name, time.time() + self._lease)
                self._write({**again, "first": True})
        return Question(last.index, self.texts[last.index], last.how)

    def add_label(self, label: Label, *, name: str = "") -> None:
        """Add a label; nothing happens if there is such a label.

        Raises:
            DataError: it differs from another one by case or white space alone.
        """
        new, name = as_label(label), _text("name", name)
        with self._mutex, self._journal.locked():
            self._sync()
            if new in self._record.labels:
                return
            _validate_labels([*self._record.labels, new])
            self._write({"event": "label", "label": new, "name": name, "time": time.time()})

    def note(self, index: int, note: str, *, name: str = "") -> None:
        """Write a note on a text, in place of an earlier one; raises as `tell`."""
        with self._mutex, self._journal.locked():
            self._sync()
            texts = {"note": _text("note", note), "name": _text("name", name)}
            self._write({"event": "note", "index": self._index(index), **texts})

    def guess(self, index: int) -> dict[Label, float]:
        """Probabilities of the labels of a text by the last classifier, the likeliest first.

        Before the first answers they are those of the label words alone, or equal. Show them only on request, or after
        the answer: who sees a guess first tends to agree.

        Raises:
            ParameterError: there is no such text, or texts have several labels.
        """
        self._validate_one_label("a guess")
        index, labels, fit = self._index(index), self.labels, self._learner.fit
        logs = np.zeros(len(labels))
        if fit is not None:
            labels, logs = fit.labelled.labels, fit.log_probabilities[index]
        elif self._learner.has_read and (words := self._learner.features(labels).words) is not None:
            logs = words[index]
        probabilities = np.exp(logs - np.logaddexp.reduce(logs))
        order = np.argsort(-probabilities, kind="stable")
        return {labels[i]: float(probabilities[i]) for i in order}

    def counts(self) -> dict[Label, int]:
        """Number of texts with each label."""
        answers = self._answers()
        return {label: sum(label in answer.labels for answer in answers) for label in self._record.labels}

    def labelled(self) -> list[LabelledText]:
        """The labelled texts, in the order of their answers."""
        notes = self._record.notes
        return [
            LabelledText(
                answer.index,
                self.texts[answer.index],
                answer.labels,
                answer.name,
                answer.when,
                answer.how,
                notes.get(answer.index, ""),
            )
            for answer in self._answers()
        ]

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
        """Balanced accuracy that so many more labelled texts are expected to add; None with too few; as `estimate`."""
        validate_parameters({"more": more}, {"more": integer(at_least=1)})
        return estimates.forecast(self.learning_curve(), more, self._seed)

    def doubts(self, n: int | None = None) -> list[Doubt]:
        """Labelled texts whose label is doubtful, the most doubtful first, held-out ones included.

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
        labelled, answers = self._training()
        given = [answer.labels for answer in answers]
        labels = present_labels(labelled.labels, given)
        texts = [self.texts[answer.index] for answer in answers]
        limits: dict[str, Any] = {"max_length": self._max_length, "seed": self._seed}
        if self.multi_label:
            return fit_several(self._learner, texts, given, labels, **limits)
        y = [label for (label,) in given]
        if automatic:
            return fit_automatic(self._learner, texts, y, labels, words=self._words, budget=budget, **limits)
        return fit_linear(self._learner, texts, labelled.rows.tolist(), y, labels, **limits)

    def predict_rest(self, classifier: Any | None = None) -> Predictions:  # noqa: ANN401 - any classifier of ours
        """Predict the texts that have no label, skipped ones included.

        Args:
            classifier: a fitted classifier; None for that of `classifier`.

        Raises:
            DataError: as `classifier`.
        """
        fitted = classifier if classifier is not None else self.classifier()
        given = {answer.index for answer in self._answers()}
        rest = np.asarray([index for index in range(len(self.texts)) if index not in given], dtype=int)
        classes = tuple(fitted.classes_.tolist())
        if classifier is None and isinstance(fitted, PromptClassifier):  # the states are there
            reading, _, backbone = self._learner.reading_for(classes)
            bound = BoundPrompt(fitted.prompt_, backbone, reading.compiled)
            probabilities = bound.probabilities(bound.label_scores(reading.texts[rest]))
        else:
            probabilities = fitted.predict_proba([self.texts[index] for index in rest])
        if self.multi_label:
            several = [tuple(classes[i] for i in np.flatnonzero(row > 0.5)) for row in probabilities]
            return Predictions(rest, several, classes, probabilities)
        return Predictions(rest, [classes[i] for i in probabilities.argmax(1)], classes, probabilities)

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

    def _sync(self) -> None:
        """Take what this and other processes have written."""
        events = self._journal.read()
        for number, event in enumerate(events):
            try:
                self._record.apply(event)
            except ArtifactError:
                self._journal.unread(events[number:])  # fail again, rather than go on without this one
                raise

    def _write(self, *events: Event) -> None:
        """Write events and take them, within the lock of the journal."""
        self._journal.append(*events)
        self._sync()

    def _answers(self) -> list[Answer]:
        """Answers in force, without skipped texts."""
        with self._mutex:
            self._sync()
            return self._record.answers()

    def _training(self) -> tuple[Labelled, list[Answer]]:
        """The labelled texts to learn from; of several labels the first stands for all."""
        if not self._learner.has_read:
            self.read()
        with self._mutex:
            self._sync()
            answered, labels = self._record.answered, tuple(self._record.labels)
            answers = [answer for answer in self._record.answers() if answer.index not in self._record.held_out]
        return _labelled(answered, labels, answers), answers

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

    def _choose(self, n: int, leases: Mapping[int, Lease]) -> list[tuple[int, str]]:
        """Choose texts that nobody has and nobody is shown."""
        record, space, fit = self._record, self._learner.space, self._learner.fit
        if space is None or n < 1:
            return []
        taken = [*record.given, *leases]
        open_ = np.ones(len(self.texts), dtype=bool)
        open_[taken] = False
        held_out = np.zeros(len(self.texts), dtype=bool)
        held_out[list(record.held_out)] = True
        learnt = np.asarray([index for index in taken if not held_out[index]], dtype=int)
        known = fit.labelled.rows if fit is not None else np.zeros(0, dtype=int)
        chosen: list[tuple[int, str]] = []
        for turn in range(record.asked, record.asked + min(n, int(open_.sum()))):
            how = "held out" if turn % HELD_OUT_EVERY == HELD_OUT_EVERY - 1 and (open_ & held_out).any() else ""
            if how:
                chosen.append((random_text(space, open_ & held_out), how))
            else:
                near = np.concatenate([learnt, np.asarray([i for i, _ in chosen], dtype=int)])
                chosen += choose(
                    1,
                    strategy=self._strategy_of(turn),
                    space=space,
                    log_probabilities=fit.log_probabilities if fit is not None else None,
                    targets={record.labels.index(label) for answer in record.answers() for label in answer.labels},
                    recent=near[~np.isin(near, known)],
                    open_=open_ & ~held_out,
                    turn=turn,
                )
            if chosen:
                open_[chosen[-1][0]] = False
        return chosen

    def _strategy_of(self, turn: int) -> Strategy:
        """The strategy of the next text; with several labels no classifier takes part in "uncertain"."""
        if self.multi_label and self.strategy != "random":
            return "uncertain" if turn % 2 == 0 else "random"
        return DEFAULT if self.strategy == "default" else self.strategy

    def _computed(self, name: str, compute: Callable[[], Result]) -> Result:
        """A result for the answers and labels so far, computed once."""
        with self._mutex:
            self._sync()
            state = self._record.answered, len(self._record.labels)
        known = self._once.get(name)
        if known is None or known[0] != state:
            known = self._once[name] = state, compute()
        result: Result = known[1]
        return result

    def _estimate(self) -> Estimate | None:
        labelled, answers = self._training()
        held = [answer for answer in self._answers() if answer.index in self._record.held_out]
        other = _labelled(0, labelled.labels, held)
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
        return find_doubts(self._learner, _labelled(0, labelled.labels, self._answers()), self._seed)

    def _index(self, index: int) -> int:
        """The index of a text as a plain number; raises ParameterError for others."""
        validate_parameters({"index": index}, {"index": integer(at_least=0)})
        if index >= len(self.texts):
            raise ParameterError(f"index is {index}; expected one of the {len(self.texts)} texts, counted from 0")
        return int(index)

    def _labels_of(self, label: Label | Collection[Label]) -> list[Label]:
        """The labels of an answer as the journal has them; raises ParameterError for one that there is not."""
        several = not isinstance(label, str | bytes) and isinstance(label, Collection)
        if several != self.multi_label:
            expected = 'a collection of labels, as in ["a", "b"]' if self.multi_label else "one label"
            raise ParameterError(f"label is {quoted(label)}; expected {expected}")
        given: list[Label] = []
        for one in label if isinstance(label, Collection) and several else [label]:
            try:
                plain = as_label(one)
            except DataError as error:
                raise ParameterError(str(error)) from error
            known = self._record.labels
            if plain not in known:
                raise ParameterError(
                    f"there is no label {quoted(plain)}, and the labels are [{quoted_list(known)}]"
                    f"{did_you_mean(str(plain), map(str, known))}; add_label adds one"
                )
            given.append(known[known.index(plain)])
        return [*dict.fromkeys(given)]

    def _validate_one_label(self, what: str) -> None:
        if self.multi_label:
            raise ParameterError(f"{what} is of texts with one label each, and this labelling has multi_label=True")


def _text(parameter: str, value: str) -> str:
    """A name or a note as plain text; raises ParameterError for what is no text."""
    validate_parameters({parameter: value}, {parameter: TEXT})
    return str.__str__(value)


def _ask(index: int, how: str, name: str, until: float) -> Event:
    return {"event": "ask", "index": index, "how": how, "name": name, "until": until}


def _labelled(answered: int, labels: tuple[Label, ...], answers: Sequence[Answer]) -> Labelled:
    """The texts of answers, each with its first label."""
    one = [answer for answer in answers if answer.labels]
    return Labelled(
        answered,
        labels,
        np.asarray([answer.index for answer in one], dtype=int),
        np.asarray([labels.index(answer.labels[0]) for answer in one], dtype=int),
    )


def _validate(texts: Sequence[Example], held_out: int) -> None:
    """Raise for too few texts."""
    if len(texts) < 2:
        raise DataError(f"labelling takes at least two texts, found {len(texts)}")
    if held_out > len(texts) // 2:
        raise ParameterError(f"held_out is {held_out}; expected at most half of the {len(texts)} texts")


def _validate_start(labels: Sequence[Label] | Mapping[Label, Words]) -> None:
    """Raise DataError for too few labels, or one that is given twice, is none, or is like another one."""
    given = [] if isinstance(labels, str) else as_labels([*labels])
    if len({*given}) < 2:
        raise DataError(f"labels is {quoted(labels)}; expected at least two, as in ['billing', 'delivery']")
    if len({*given}) < len(given):
        raise DataError(f"labels is {quoted(labels)}; expected each label once")
    _validate_labels(given)


def _hard(template: str | Template) -> Template:
    """A template without soft slots and demonstrations, with one mask; raises ParameterError for others."""
    resolved = resolve_mask_template(template)
    if resolved.blocks or resolved.demos is not None or len(resolved.masks) != 1:
        raise ParameterError(
            f"template is {str(resolved)!r}; expected a hard template with one mask, without <soft> and <demos>: "
            "nothing is trained but a head"
        )
    return resolved


def _digest(texts: Sequence[Example]) -> str:
    """A checksum of all texts, in their order."""
    try:
        text = json.dumps(texts, sort_keys=True, default=str)
    except TypeError:  # keys of several types, which have no order
        text = json.dumps(texts, default=str)
    return sha256(text.encode()).hexdigest()


def _validate_labels(labels: Sequence[Label]) -> None:
    """Raise DataError for a label that is none, or is like another one."""
    as_labels(labels)
    for _, problem in check_spellings(labels):
        raise DataError(problem.replace(" in another row: write them alike", " already: give it another name"))
