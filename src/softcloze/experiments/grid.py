"""The cells of a comparison, and how each is measured."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from types import TracebackType
from typing import Self, TypeAlias

import psutil
from sklearn.base import BaseEstimator

from softcloze.backbone import Backbone
from softcloze.classifiers import PromptClassifier
from softcloze.data import Examples, Split, normalise
from softcloze.errors import ParameterError
from softcloze.experiments.comparison import Comparison
from softcloze.experiments.confident_errors import EXPLAINED, most_confident_errors, top_words
from softcloze.experiments.methods import Method, measure_classifier
from softcloze.experiments.protocol import Protocol, Shots
from softcloze.experiments.results import Run, columns_of
from softcloze.experiments.run_cache import own_backbone, read_run, run_key, write_run
from softcloze.experiments.score_cache import ScoreCache
from softcloze.library import resolve_template, resolve_verbalizer

Cell: TypeAlias = tuple[str, Shots, int]  # name of a method, shots, seed


@dataclass(frozen=True, slots=True)
class Finished:
    """A cell that is behind.

    Attributes:
        cell: which one.
        run: what was found.
        measured: now, and not in an earlier session.
        model: name and parameters of the backbone that the method runs on itself, if it does.
    """

    cell: Cell
    run: Run
    measured: bool
    model: tuple[str, int] | None


@dataclass
class ExperimentGrid:
    """What all runs of a comparison share."""

    methods: Sequence[Method]
    split: Split
    protocol: Protocol
    folder: Path | None

    def __post_init__(self) -> None:
        train, test = self.split.train, self.split.test
        self.test = Examples(test.texts[: self.protocol.test_rows], test.labels[: self.protocol.test_rows])
        self.readings = ScoreCache(self.test.texts)
        self.classes = tuple(sorted({*train.labels, *self.test.labels}))
        self.truth = columns_of(self.test.labels, self.classes)
        if not len(self.test):
            raise ParameterError("there are no held-out rows to measure on")
        _check_apart(train, self.test)
        for method in self.methods:
            if isinstance(method.classifier, PromptClassifier):
                _check_prompt(method.classifier, self.classes)
        self.draws = self.protocol.draws(train.labels) if any(method.learns for method in self.methods) else {}
        self.cells = [cell for method in self.methods for cell in self._cells_of(method)]

    def method(self, cell: Cell) -> Method:
        """The method of a cell."""
        (found,) = (method for method in self.methods if method.name == cell[0])
        return found

    def run(self, cell: Cell) -> Finished:
        """Measure one cell, or read what is kept of it; an error is a run as well."""
        name, shots, seed = cell
        rows = self.draws[shots, seed] if shots else ()
        train = Examples(
            tuple(self.split.train.texts[row] for row in rows), tuple(self.split.train.labels[row] for row in rows)
        )
        model = None
        with PeakMemory() as memory:
            try:
                classifier = self.method(cell).prepared(seed, lambda: self.protocol.folds(train.labels, seed))
                model = _load(classifier)
                key = None
                if self.folder is not None:
                    key = run_key(classifier, train, self.test.texts, self.classes)
                    kept = read_run(self.folder, key, name, shots, seed)
                    if kept is not None:
                        return Finished(cell, kept, measured=False, model=model)
                found = measure_classifier(classifier, train, self.readings, self.classes)
                worst = most_confident_errors(found.probabilities, self.truth, EXPLAINED)
                words = top_words(classifier, self.test.texts, worst)
            except Exception as error:  # noqa: BLE001  a method may be anybody's, and the others go on
                return Finished(cell, failed(cell, f"{type(error).__name__}: {error}"), measured=False, model=model)
        run = Run(name, shots, seed, peak_memory=memory.peak, top_words=words, **found._asdict())
        if self.folder is not None and key is not None:
            write_run(self.folder, key, run)
        return Finished(cell, run, measured=True, model=model)

    def _cells_of(self, method: Method) -> list[Cell]:
        if not method.learns:
            return [(method.name, 0, self.protocol.seeds[0])]
        cells: list[Cell] = [(method.name, *draw) for draw in self.draws if draw[0]]
        if not cells:
            raise ParameterError(f"{method.name!r} learns from rows, but shots={self.protocol.shots} gives it none")
        return cells


def failed(cell: Cell, error: str) -> Run:
    """The run of a cell that came to no end."""
    return Run(*cell, None, 0, 0.0, 0.0, 0, None, error)


def _load(classifier: BaseEstimator) -> tuple[str, int] | None:
    """Load the model, and what is computed of it once: the first run should not pay for all."""
    backbones: list[Backbone] = []
    for part in (classifier, *classifier.get_params().values()):
        backbone = own_backbone(part)
        if backbone is not None:
            _ = backbone.fingerprint, backbone.embedding_rms
            backbones.append(backbone)
    return (backbones[0].name, backbones[0].parameters) if backbones else None


def _check_apart(train: Examples, test: Examples) -> None:
    """Refuse texts that are on both sides: who has learnt a row by heart would look good."""
    both = {normalise(text) for text in train.texts} & {normalise(text) for text in test.texts}
    if both:
        raise ParameterError(
            f"{len(both)} texts are among the training rows and the held-out rows, such as {min(both)!r:.80}; "
            "softcloze.data.split_rows parts rows so that none is"
        )


def _check_prompt(classifier: PromptClassifier, classes: Sequence[str]) -> None:
    """Refuse what no run could mend, before a model is loaded."""
    template, verbalizer = resolve_template(classifier.template), resolve_verbalizer(classifier.verbalizer)
    if len(template.fields) != 1:
        raise ParameterError(
            f"a comparison fills one field with the text, but {str(template)!r} has "
            f"{', '.join(map(repr, template.fields)) or 'none'}"
        )
    unknown = [] if verbalizer is None else sorted({*classes} - {*verbalizer.labels})
    if verbalizer is not None and unknown:
        raise ParameterError(
            f"the data has labels {', '.join(map(repr, unknown))}, which the verbalizer does not name; "
            f"it has {', '.join(map(repr, verbalizer.labels))}"
        )


MEMORY_INTERVAL = 0.05  # seconds between two looks


class PeakMemory:
    """The largest resident set of this process while the block runs.

    A thread looks every 50 ms, which works on every system; what comes and goes in between is missed.
    The number is that of the whole process: the model and everything else that was loaded before count.

    Attributes:
        peak: bytes.

    >>> with PeakMemory() as memory:
    ...     block = bytearray(1_000_000)
    >>> memory.peak > 1_000_000
    True
    """

    def __init__(self) -> None:
        self.peak = 0
        self._process = psutil.Process()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak-memory", daemon=True)

    def __enter__(self) -> Self:
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._stop.wait(MEMORY_INTERVAL):
            self._look()

    def _look(self) -> None:
        self.peak = max(self.peak, self._process.memory_info().rss)


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of a comparison, before each run and after the last.

    Attributes:
        comparison: what there is so far.
        done: runs that are behind.
        total: all runs.
        doing: the runs that are under way: method, shots and seed of each; none after the last.
        seconds_left: an estimate from the runs so far; None before the first.
    """

    comparison: Comparison
    done: int
    total: int
    doing: tuple[Cell, ...]
    seconds_left: float | None


def seconds_left(measured: list[Run], cells: list[Cell], processes: int) -> float | None:
    """How long the cells may take: as long as others of the same method and shots, or the same method, or any.

    Args:
        measured: runs of this very session.
        cells: what is to be done.
        processes: how many are done at a time.
    """
    if not measured:
        return None

    def expected(cell: Cell) -> float:
        for like in (cell[:2], cell[:1], ()):
            known = [
                run.fit_seconds + run.predict_seconds
                for run in measured
                if (run.method, run.shots)[: len(like)] == like
            ]
            if known:
                return fmean(known)
        return 0.0

    return sum(map(expected, cells)) / processes
