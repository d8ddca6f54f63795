"""Run methods on the same rows, cell by cell, and keep what is done."""

import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path

from sklearn.base import BaseEstimator

from softcloze.atomic import replacing_file
from softcloze.backbone import Backbone
from softcloze.estimator import PromptClassifier, resolve_verbalizer
from softcloze.experiments.cells import cell_key, read_cell, write_cell
from softcloze.experiments.comparison import Comparison, Run
from softcloze.experiments.errors import ExperimentError
from softcloze.experiments.identity import own_backbone
from softcloze.experiments.memory import PeakMemory
from softcloze.experiments.methods import Method, measure_classifier
from softcloze.experiments.progress import Cell, Progress, seconds_left
from softcloze.experiments.protocol import Protocol, Shots
from softcloze.experiments.readings import Readings
from softcloze.library import resolve_template
from softcloze.starters import Examples, Split, load_data
from softcloze.starters.splits import normalise


def compare(
    methods: Mapping[str, BaseEstimator] | Iterable[Method],
    data: str | Split,
    protocol: Protocol | None = None,
    *,
    folder: str | Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    task: str | None = None,
    command: str | None = None,
) -> Comparison:
    """Measure classifiers of texts on the same rows: each with every draw of training rows that the protocol names.

    A method that learns nothing from rows is run once. One that fails becomes a run with its error; the others go on.

    Args:
        methods: what to compare: classifiers by name, as of `Method`, or several of those; `standard_methods` gives the
            usual ones.
        data: name of a starter data set, or training and held-out rows. `softcloze.starters.split_rows` parts rows
            so that no text stands on both sides.
        protocol: which rows, and how often; `Protocol()` if None.
        folder: where finished runs are kept, so that the same comparison goes on where it was and new ones run only
            what is new. None keeps nothing. Runs that failed are tried again.
        on_progress: called before each run and after the last.
        task: name of the data for people; by default that of the starter data set.
        command: what repeats the comparison, for people.

    Raises:
        ExperimentError: no methods or two of one name, too few rows, a text on both sides, nothing to learn from, a
            template with several fields, or labels without words.
        StarterError: the data cannot be fetched.

    Example:
        >>> from softcloze import PromptClassifier
        >>> from softcloze.experiments import tfidf
        >>> words = {"positive": "good", "negative": "bad"}
        >>> hard = PromptClassifier("starter:bert-tiny", "It was <mask>. <text>", words)
        >>> protocol = Protocol(shots=4, seeds=2, test_rows=20)
        >>> found = compare({"words": hard, "TF-IDF": tfidf()}, "movie-reviews", protocol)
        >>> [(summary.method, summary.shots, summary.n) for summary in found.summary()]
        [('words', 0, 1), ('TF-IDF', 4, 2)]
    """
    protocol = protocol if protocol is not None else Protocol()
    chosen = _methods(methods)
    split = load_data(data) if isinstance(data, str) else data
    bench = _Bench(chosen, split, protocol, None if folder is None else Path(folder).expanduser())
    if bench.folder is not None:
        with replacing_file(bench.folder / "protocol.json") as draft:
            draft.write_text(protocol.to_json() + "\n", encoding="utf-8")
    name = task if task is not None else data if isinstance(data, str) else "data"
    cells = list(bench.cells)
    runs: list[Run] = []
    environment = _environment()

    def so_far() -> Comparison:
        return Comparison(
            task=name,
            model=None if bench.backbone is None else bench.backbone.name,
            parameters=None if bench.backbone is None else bench.backbone.parameters,
            classes=bench.classes,
            texts=bench.test.texts,
            labels=bench.test.labels,
            methods=tuple(method.card for method in chosen),
            runs=tuple(runs),
            protocol=protocol,
            environment=environment,
            command=command,
        )

    def tell(cell: Cell | None) -> None:
        if on_progress is not None:
            left = seconds_left(bench.measured, cells[len(runs) :])
            on_progress(Progress(so_far(), len(runs), len(cells), cell, left))

    for cell in cells:
        tell(cell)
        runs.append(bench.run(*cell))
    tell(None)
    return so_far()


@dataclass
class _Bench:
    """What all runs of a comparison share."""

    methods: Sequence[Method]
    split: Split
    protocol: Protocol
    folder: Path | None
    backbone: Backbone | None = None  # the first that a method ran on
    measured: list[Run] = field(default_factory=list)  # now, and not in an earlier session

    def __post_init__(self) -> None:
        train, test = self.split.train, self.split.test
        self.test = Examples(test.texts[: self.protocol.test_rows], test.labels[: self.protocol.test_rows])
        self.readings = Readings(self.test.texts)
        self.classes = tuple(sorted({*train.labels, *self.test.labels}))
        if not len(self.test):
            raise ExperimentError("there are no held-out rows to measure on")
        _check_apart(train, self.test)
        for method in self.methods:
            if isinstance(method.classifier, PromptClassifier):
                _check_prompt(method.classifier, self.classes)
        self.draws = self.protocol.draws(train.labels) if any(method.learns for method in self.methods) else {}
        self.cells = [cell for method in self.methods for cell in self._cells_of(method)]

    def run(self, name: str, shots: Shots, seed: int) -> Run:
        """Measure one cell, or read what is kept of it."""
        (method,) = (method for method in self.methods if method.name == name)
        rows = self.draws[shots, seed] if shots else ()
        train = Examples(
            tuple(self.split.train.texts[row] for row in rows), tuple(self.split.train.labels[row] for row in rows)
        )
        with PeakMemory() as memory:
            try:
                classifier = method.prepared(seed, lambda: self.protocol.folds(train.labels, seed))
                self._load(classifier)
                key = None
                if self.folder is not None:
                    key = cell_key(classifier, train, self.test.texts, self.classes)
                    kept = read_cell(self.folder, key, name, shots, seed)
                    if kept is not None:
                        return kept
                found = measure_classifier(classifier, train, self.readings, self.classes)
            except Exception as error:  # noqa: BLE001  a method may be anybody's, and the others go on
                return Run(name, shots, seed, None, 0, 0.0, 0.0, 0, None, f"{type(error).__name__}: {error}")
        run = Run(name, shots, seed, peak_memory=memory.peak, **found._asdict())
        if self.folder is not None and key is not None:
            write_cell(self.folder, key, run)
        self.measured.append(run)
        return run

    def _cells_of(self, method: Method) -> list[Cell]:
        if not method.learns:
            return [(method.name, 0, self.protocol.seeds[0])]
        cells: list[Cell] = [(method.name, *draw) for draw in self.draws if draw[0]]
        if not cells:
            raise ExperimentError(f"{method.name!r} learns from rows, but shots={self.protocol.shots} gives it none")
        return cells

    def _load(self, classifier: BaseEstimator) -> None:
        """Load the model, and what is computed of it once: the first run should not pay for all."""
        for part in (classifier, *classifier.get_params().values()):
            backbone = own_backbone(part)
            if backbone is not None:
                _ = backbone.fingerprint, backbone.embedding_rms
                self.backbone = self.backbone if self.backbone is not None else backbone


def _methods(methods: Mapping[str, BaseEstimator] | Iterable[Method]) -> list[Method]:
    listed = [Method(name, found) for name, found in methods.items()] if isinstance(methods, Mapping) else list(methods)
    names = [method.name for method in listed]
    if not listed or len(set(names)) < len(names):
        raise ExperimentError(f"a comparison needs one or more methods, each with a name of its own, found {names}")
    return listed


def _check_apart(train: Examples, test: Examples) -> None:
    """Refuse texts that are on both sides: who has learnt a row by heart would look good."""
    both = {normalise(text) for text in train.texts} & {normalise(text) for text in test.texts}
    if both:
        raise ExperimentError(
            f"{len(both)} texts are among the training rows and the held-out rows, such as {min(both)!r:.80}; "
            "softcloze.starters.split_rows parts rows so that none is"
        )


def _check_prompt(classifier: PromptClassifier, classes: Sequence[str]) -> None:
    """Refuse what no run could mend, before a model is loaded."""
    template, verbalizer = resolve_template(classifier.template), resolve_verbalizer(classifier.verbalizer)
    if len(template.fields) != 1:
        raise ExperimentError(
            f"a comparison fills one field with the text, but {str(template)!r} has "
            f"{', '.join(map(repr, template.fields)) or 'none'}"
        )
    unknown = [] if verbalizer is None else sorted({*classes} - {*verbalizer.labels})
    if verbalizer is not None and unknown:
        raise ExperimentError(
            f"the data has labels {', '.join(map(repr, unknown))}, which the verbalizer does not name; "
            f"it has {', '.join(map(repr, verbalizer.labels))}"
        )


def _environment() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers", "softcloze")},
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "date": date.today().isoformat(),
    }


def _processor() -> str:
    """The processor's name; Linux has it in a file, where Python does not look."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
