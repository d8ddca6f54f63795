"""The model's side of a labelling: its reading of all texts, and the head that is solved again and again."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from softcloze.automatic.proposals import propose
from softcloze.backbone import AnyModel, Backbone, load_backbone
from softcloze.data import Example
from softcloze.heads.logistic import Array
from softcloze.labelling.head import Features, Indices, choose_strength, fit_quick
from softcloze.labelling.record import Answer
from softcloze.labelling.selection import Space, margins_of, space_of
from softcloze.labelling.states import Progress, Reading, Wording, read_texts, words_of
from softcloze.template import Template
from softcloze.verbalizer import Label, Verbalizer, Words

STATES = "states"  # folder of the features beside the journal
STRENGTH_EVERY = 1.5  # times as many labelled texts, until the L2 strength is chosen anew
STRENGTH = 0.1  # with fewer than FEWEST labelled texts
FEWEST = 8
SHOWN = 50  # texts whose language and fields choose a template


class Labelled(NamedTuple):
    """The labelled texts that a head learns from.

    Attributes:
        answered: number of answers that it knows, to tell a new state from an old one.
        labels: all labels.
        rows: indices of the texts, shape (examples,).
        targets: index of the label of each, shape (examples,).
    """

    answered: int
    labels: tuple[Label, ...]
    rows: Indices
    targets: Indices


def labelled_of(answered: int, labels: tuple[Label, ...], answers: Sequence[Answer]) -> Labelled:
    """The texts of answers, each with its first label."""
    one = [answer for answer in answers if answer.labels]
    return Labelled(
        answered,
        labels,
        np.asarray([answer.index for answer in one], dtype=int),
        np.asarray([labels.index(answer.labels[0]) for answer in one], dtype=int),
    )


@dataclass(frozen=True, eq=False)
class QuickFit:
    """The classifier while a person labels.

    Attributes:
        labelled: what it learnt from.
        log_probabilities: of the labels of all texts, in nats, shape (texts, labels).
        margins: of all texts, as `margins_of`, shape (texts,).
        strength: L2 strength.
        chosen_at: number of texts from which the strength was chosen; 0 for none.
    """

    labelled: Labelled
    log_probabilities: Array
    margins: Array
    strength: float
    chosen_at: int


class Learner:
    """A frozen model with its reading of all texts, and the last head.

    Attributes:
        space: directions of the texts; None before the reading.
        fit: the last head; None before there is one.
    """

    def __init__(
        self,
        model: AnyModel,
        texts: Sequence[Example],
        words: Mapping[Label, Words],
        *,
        template: Template | None,
        folder: Path | None,
        max_length: int | None,
        model_options: Mapping[str, Any],
        seed: int,
    ):
        """Keep the parameters; `read` loads the model."""
        self._model, self._texts, self._words, self._template = model, texts, words, template
        self._folder = folder / STATES if folder is not None else None
        self._max_length, self._model_options, self._seed = max_length, model_options, seed
        self._mutex = threading.RLock()  # of the reading
        self._reading: Reading | None = None
        self._wording: Wording | None = None
        self._others: dict[tuple[Label, ...], Reading] = {}
        self._features: tuple[Reading, tuple[Label, ...], Features] | None = None
        self._backbone: Backbone | None = None
        self._thread: threading.Thread | None = None
        self._failure: Exception | None = None
        self.space: Space | None = None
        self.fit: QuickFit | None = None

    @property
    def folder(self) -> Path | None:
        """Folder of the features; None to keep none."""
        return self._folder

    @property
    def has_read(self) -> bool:
        """True once the features of all texts are computed or loaded."""
        return self._reading is not None

    def read(self, labels: tuple[Label, ...], on_progress: Progress | None = None) -> None:
        """Load the model, and compute the features of all texts for these labels, if it is not done already."""
        with self._mutex:
            if self._reading is not None and {*labels} <= {*self._reading.verbalizer.labels}:
                return
            if self._backbone is None:
                self._backbone = load_backbone(self._model, **self._model_options)
            wording, verbalizer, words = self._wording_for(labels, self._backbone)
            compiled = wording.compile(verbalizer, self._backbone, words=words)
            reading = read_texts(
                compiled, verbalizer, self._texts, words=words, folder=self._folder, on_progress=on_progress
            )
            if self.space is None:
                self.space = space_of(reading.features(labels), len(labels), self._seed)
            self._wording, self._reading, self._others = wording, reading, {}

    def _wording_for(self, labels: tuple[Label, ...], backbone: Backbone) -> tuple[Wording, Verbalizer, bool]:
        """The wording, the labels with their words, and whether these say something."""
        verbalizer, words = words_of(labels)
        if self._words:
            named = dict(zip(verbalizer.labels, verbalizer.words, strict=True))
            verbalizer, words = Verbalizer({label: self._words.get(label, named[label]) for label in labels}), True
        if self._wording is not None:
            return self._wording, verbalizer, words
        template = self._template
        if template is None:
            given = verbalizer if self._words else None
            first = propose(labels, self._texts[:SHOWN], backbone, verbalizer=given, max_length=self._max_length)[0]
            template = first.template
            if first.has_words and not first.orders and isinstance(first.verbalizer, Verbalizer):
                verbalizer = first.verbalizer
        return Wording(template, "mean", self._max_length), verbalizer, words

    def reading_for(self, labels: tuple[Label, ...]) -> tuple[Reading, Wording, Backbone]:
        """The reading with these labels, the wording and the model."""
        with self._mutex:
            if self._reading is None or self._wording is None or self._backbone is None:
                raise RuntimeError("call read first")
            if labels not in self._others:
                self._others[labels] = self._reading.with_labels(labels, self._wording)
            return self._others[labels], self._wording, self._backbone

    def features(self, labels: tuple[Label, ...]) -> Features:
        """Features for quick heads with these labels."""
        with self._mutex:
            reading, _, _ = self.reading_for(labels)
            if self._features is None or self._features[0] is not reading or self._features[1] != labels:
                self._features = reading, labels, reading.features(labels)
            return self._features[2]

    def refit(self, labelled: Labelled) -> None:
        """Solve the head anew."""
        before = self.fit
        features, labels = self.features(labelled.labels), len(labelled.labels)
        strength = before.strength if before is not None else STRENGTH
        chosen_at = before.chosen_at if before is not None else 0
        count = len(labelled.rows)
        if count >= max(FEWEST, STRENGTH_EVERY * chosen_at):
            strength, _ = choose_strength(features, labelled.rows, labelled.targets, labels, self._seed)
            chosen_at = count
        head = fit_quick(features, labelled.rows, labelled.targets, labels, strength)
        logs = head.log_probabilities(features)
        self.fit = QuickFit(labelled, logs, margins_of(logs), strength, chosen_at)

    def refit_in_background(self, labelled: Callable[[], Labelled | None]) -> None:
        """Solve the head in a thread as long as `labelled` returns something new, unless one does so already."""
        thread = self._thread
        if thread is not None and thread.is_alive():
            return

        def work() -> None:
            try:
                while (new := labelled()) is not None:
                    self.refit(new)
            except Exception as error:  # noqa: BLE001 - `raise_failure` raises it where somebody sees it
                self._failure = error

        self._thread = threading.Thread(target=work, name="softcloze-labelling", daemon=True)
        self._thread.start()

    def raise_failure(self) -> None:
        """Raise the error that ended the thread, once."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def join(self) -> None:
        """Wait for the thread."""
        if self._thread is not None:
            self._thread.join()
