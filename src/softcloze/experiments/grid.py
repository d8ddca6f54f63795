"""The runs of a comparison: which ones there are, and how one is measured."""

import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from sklearn.base import BaseEstimator

from softcloze.backbone import Backbone
from softcloze.classifiers import PromptClassifier
from softcloze.data import Examples, Split, as_labels, normalise, validate_lengths
from softcloze.data.examples import as_texts
from softcloze.errors import DataError, ParameterError
from softcloze.experiments.confident_errors import EXPLAINED, most_confident_errors, top_words
from softcloze.experiments.methods import Method, measure_classifier
from softcloze.experiments.protocol import Protocol
from softcloze.experiments.results import Run, RunId, class_indices
from softcloze.experiments.run_cache import own_backbone, read_run, run_key, write_run
from softcloze.experiments.score_cache import ScoreCache
from softcloze.experiments.sentence_baselines import SentenceEmbeddingClassifier
from softcloze.formatting import quoted_list
from softcloze.library import resolve_mask_template, resolve_verbalizer
from softcloze.verbalizer import Label


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run that has ended, with or without an error."""

    run_id: RunId
    run: Run
    measured: bool  # False if it was read from the folder or failed
    model: tuple[str, int] | None  # name and number of parameters of the method's own backbone


@dataclass
class ExperimentGrid:
    """All runs of a comparison, and the data that they share."""

    methods: Sequence[Method]
    split: Split
    protocol: Protocol
    folder: Path | None

    def __post_init__(self) -> None:
        train = self.train = _plain(self.split.train, "training")
        test = _plain(self.split.test, "held-out")
        self.test = Examples(test.texts[: self.protocol.test_rows], test.labels[: self.protocol.test_rows])
        self.score_cache = ScoreCache(self.test.texts)
        self.classes = tuple(sorted({*train.labels, *self.test.labels}))
        self.truth = class_indices(self.test.labels, self.classes)
        if not len(self.test):
            raise ParameterError(
                "there are no held-out examples to measure on; split_rows holds out three in ten: give more rows"
            )
        if len(self.classes) < 2:
            raise DataError(f"all examples have the label {self.classes[0]!r}; comparing takes at least two labels")
        for part, one, other in (("held-out", train, test), ("training", test, train)):
            if missing := sorted({*one.labels} - {*other.labels}):
                warnings.warn(f"no {part} example has the label {quoted_list(missing)}", stacklevel=4)
        _validate_disjoint(train, self.test)
        for method in self.methods:
            method.validate_parameters()
            if isinstance(method.classifier, PromptClassifier):
                try:
                    _validate_prompt(method.classifier, self.classes)
                except ParameterError as error:
                    raise ParameterError(f"method {method.name!r}: {error}") from error
        self.draws = self.protocol.draws(train.labels) if any(method.learns for method in self.methods) else {}
        self.run_ids = [run_id for method in self.methods for run_id in self._run_ids_of(method)]

    def method_of(self, run_id: RunId) -> Method:
        """The method of a run."""
        (method,) = (method for method in self.methods if method.name == run_id.method)
        return method

    def run(self, run_id: RunId) -> FinishedRun:
        """Measure one run, or read it from the folder; an exception becomes a run with an error."""
        rows = self.draws[run_id.shots, run_id.seed] if run_id.shots else ()
        train = Examples(tuple(self.train.texts[row] for row in rows), tuple(self.train.labels[row] for row in rows))
        model = None
        with PeakMemory() as memory:
            try:
                classifier = self.method_of(run_id).prepared(
                    run_id.seed, lambda: self.protocol.folds(train.labels, run_id.seed)
                )
                model = _load(classifier)
                key = None
                if self.folder is not None:
                    key = run_key(classifier, train, self.test.texts, self.classes)
                    cached = read_run(self.folder, key, run_id)
                    if cached is not None:
                        return FinishedRun(run_id, cached, measured=False, model=model)
                measured = measure_classifier(classifier, train, self.score_cache, self.classes)
                worst = most_confident_errors(measured.probabilities, self.truth, EXPLAINED)
                words = top_words(classifier, self.test.texts, worst)
            except Exception as error:  # noqa: BLE001  the estimator is the user's; the other runs continue
                failed = Run.failed(run_id, f"{type(error).__name__}: {error}")
                return FinishedRun(run_id, failed, measured=False, model=model)
        run = Run(*run_id, peak_memory=memory.peak, top_words=words, **measured._asdict())
        if self.folder is not None and key is not None:
            write_run(self.folder, key, run)
        return FinishedRun(run_id, run, measured=True, model=model)

    def _run_ids_of(self, method: Method) -> list[RunId]:
        if not method.learns:
            return [RunId(method.name, 0, self.protocol.seeds[0])]
        run_ids = [RunId(method.name, shots, seed) for shots, seed in self.draws if shots]
        if not run_ids:
            raise ParameterError(
                f"{method.name!r} needs training examples, but shots={self.protocol.shots} provides none"
            )
        return run_ids


def _load(classifier: BaseEstimator) -> tuple[str, int] | None:
    """Load the backbones and their cached facts now, so that this time is not part of the first run."""
    backbones: list[Backbone] = []
    for part in (classifier, *classifier.get_params().values()):
        backbone = own_backbone(part)
        if backbone is not None:
            _ = backbone.fingerprint, backbone.embedding_rms
            backbones.append(backbone)
        if isinstance(part, SentenceEmbeddingClassifier):
            _ = part._load_encoder().fingerprint
    return (backbones[0].name, backbones[0].parameters) if backbones else None


def _plain(examples: Examples, part: str) -> Examples:
    """Examples with plain texts and labels; raise DataError if they are of other types or numbers."""
    texts = as_texts(examples.texts, f" of the {part} examples")
    labels = as_labels(examples.labels) if len(examples.labels) else []
    validate_lengths(texts, labels)
    return Examples(tuple(texts), tuple(labels))


def _validate_disjoint(train: Examples, test: Examples) -> None:
    """Raise ParameterError if a text is in both the training and the held-out examples (leakage)."""
    both = {normalise(text) for text in train.texts} & {normalise(text) for text in test.texts}
    if both:
        raise ParameterError(
            f"{len(both)} texts are in both the training and the held-out examples, such as {min(both)!r:.80}; "
            "softcloze.experiments.split_rows splits data without such overlap"
        )


def _validate_prompt(classifier: PromptClassifier, classes: Sequence[Label]) -> None:
    """Raise ParameterError before a model is loaded if the template or the label words do not fit the data."""
    template, verbalizer = resolve_mask_template(classifier.template), resolve_verbalizer(classifier.verbalizer)
    template.validate_reads(())
    if len(template.fields) != 1:
        raise ParameterError(
            f"a comparison fills one field with the text, but {str(template)!r} has "
            f"{', '.join(map(repr, template.fields)) or 'none'}"
        )
    unknown = [] if verbalizer is None else sorted({*classes} - {*verbalizer.labels}, key=repr)
    if verbalizer is not None and unknown:
        raise ParameterError(
            f"the data has labels {', '.join(map(repr, unknown))}, which the verbalizer does not name; "
            f"it has {', '.join(map(repr, verbalizer.labels))}"
        )


MEMORY_INTERVAL = 0.05  # seconds between two samples


class PeakMemory:
    """The largest resident set size of this process while the block runs.

    A thread samples it every 50 ms, which works on every system; shorter peaks are missed. `peak`, in bytes, is that
    of the whole process: the model and everything else loaded before count.

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
        self._sample()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._sample()

    def _watch(self) -> None:
        while not self._stop.wait(MEMORY_INTERVAL):
            self._sample()

    def _sample(self) -> None:
        self.peak = max(self.peak, self._process.memory_info().rss)
