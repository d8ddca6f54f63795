"""Run a comparison: every method on the same examples, with finished runs kept in a folder."""

import json
import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import fmean

from sklearn.base import BaseEstimator

from softcloze.data import Split
from softcloze.errors import FileError, ParameterError
from softcloze.experiments.comparison import Comparison
from softcloze.experiments.grid import ExperimentGrid, FinishedRun
from softcloze.experiments.methods import Method
from softcloze.experiments.protocol import Protocol
from softcloze.experiments.results import Run, RunId
from softcloze.experiments.workers import run_in_processes, run_in_turn
from softcloze.files import expand_user, validate_writable, write_text
from softcloze.formatting import quoted
from softcloze.launcher import validate_one_process
from softcloze.parameters import FUNCTION, NONE, PATH, TEXT, instance_of, integer, validate_parameters
from softcloze.starters import load_data

CONSTRAINTS = {
    "data": instance_of("the name of a starter data set or a Split, as split_rows returns it", str, Split),
    "protocol": instance_of("a Protocol", Protocol) | NONE,
    "folder": PATH | NONE,
    "processes": integer(at_least=1),
    "on_progress": FUNCTION | NONE,
    "task": TEXT | NONE,
    "command": TEXT | NONE,
}


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of a comparison before each run and after the last.

    Attributes:
        comparison: the finished runs.
        done: number of finished runs.
        total: number of all runs.
        doing: the runs in progress: method, shots and seed of each; empty after the last.
        seconds_left: estimated from the finished runs; None before the first.
    """

    comparison: Comparison
    done: int
    total: int
    doing: tuple[RunId, ...]
    seconds_left: float | None


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
    """Measure text classifiers on the same examples, each with every draw of training examples in the protocol.

    A method that needs no training is run once. If a run fails, it is recorded with its error and the others continue.

    Args:
        methods: classifiers by name, or `Method`s; `standard_methods` returns the usual ones.
        data: name of a starter data set, or training and held-out examples; `split_rows` splits your own data so that
            no text is in both parts.
        protocol: selection of the examples; `Protocol()` if None.
        folder: where finished runs are kept: an interrupted comparison resumes, and a changed one runs only what is
            new. Failed runs are tried again. None keeps nothing.
        processes: runs at a time, each in a process that loads the model and gets its share of the cores;
            docs/how-to/compare.md says when that pays. If a process dies, its run fails and the others continue.
        on_progress: called before each run and after the last.
        task: name of the data in tables; by default that of the starter data set.
        command: the command that repeats the comparison, shown in reports.

    Raises:
        ParameterError: no methods or two with one name, too few examples, a text in both parts, no training examples
            for a method that needs them, a template with several fields, labels without words, or methods that cannot
            be pickled for other processes.
        DataError: `data` has an item that is not a text or a label.
        FileError: the folder cannot be written, or holds a `protocol.json` of something else.
        StarterError: the data cannot be downloaded.
        ProcessError: a launcher such as torchrun started several processes.

    Example:
        >>> from softcloze import PromptClassifier
        >>> from softcloze.experiments import tfidf
        >>> words = {"positive": "good", "negative": "bad"}
        >>> hard = PromptClassifier("starter:bert-tiny", "It was <mask>. <text>", words)
        >>> protocol = Protocol(shots=4, seeds=2, test_rows=20)
        >>> comparison = compare({"words": hard, "TF-IDF": tfidf()}, "movie-reviews", protocol)
        >>> [(summary.method, summary.shots, summary.n) for summary in comparison.summary()]
        [('words', 0, 1), ('TF-IDF', 4, 2)]
    """
    validate_one_process("compare")
    options = {"folder": folder, "processes": processes, "on_progress": on_progress, "task": task, "command": command}
    validate_parameters({"data": data, "protocol": protocol, **options}, CONSTRAINTS)
    protocol = protocol if protocol is not None else Protocol()
    split = load_data(data) if isinstance(data, str) else data
    grid = ExperimentGrid(_as_methods(methods), split, protocol, None if folder is None else expand_user(folder))
    if grid.folder is not None:
        _write_protocol(protocol, grid.folder / "protocol.json")
    name = task if task is not None else data if isinstance(data, str) else "data"
    state = _State(grid, name, command, processes)
    with closing(run_in_turn(grid) if processes == 1 else run_in_processes(grid, processes)) as steps:
        for step in steps:
            state.finished |= {done.run_id: done for done in step.finished}
            if on_progress is not None:
                on_progress(state.progress(step.doing))
    return state.comparison()


@dataclass
class _State:
    """The finished runs of a comparison."""

    grid: ExperimentGrid
    task: str
    command: str | None
    processes: int
    finished: dict[RunId, FinishedRun] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=lambda: _environment())

    def comparison(self) -> Comparison:
        grid = self.grid
        finished = [self.finished[run_id] for run_id in grid.run_ids if run_id in self.finished]
        models = [done.model for done in finished if done.model is not None]
        model, parameters = models[0] if models else (None, None)
        return Comparison(
            task=self.task,
            model=model,
            parameters=parameters,
            classes=grid.classes,
            texts=grid.test.texts,
            labels=grid.test.labels,
            methods=tuple(method.card for method in grid.methods),
            runs=tuple(done.run for done in finished),
            protocol=grid.protocol,
            environment=self.environment,
            command=self.command,
        )

    def progress(self, doing: tuple[RunId, ...]) -> Progress:
        run_ids = self.grid.run_ids
        measured = [done.run for done in self.finished.values() if done.measured]
        waiting = [run_id for run_id in run_ids if run_id not in self.finished]
        left = _seconds_left(measured, waiting, self.processes)
        return Progress(self.comparison(), len(self.finished), len(run_ids), doing, left)


def _seconds_left(measured: Sequence[Run], waiting: Sequence[RunId], processes: int) -> float | None:
    """Estimate from the runs measured now of the same method and shots, else of the same method, else of all."""
    if not measured:
        return None

    def expected(run_id: RunId) -> float:
        for like in (run_id[:2], run_id[:1], ()):
            known = [
                run.fit_seconds + run.predict_seconds
                for run in measured
                if (run.method, run.shots)[: len(like)] == like
            ]
            if known:
                return fmean(known)
        return 0.0

    return sum(map(expected, waiting)) / processes


def _as_methods(methods: Mapping[str, BaseEstimator] | Iterable[Method]) -> list[Method]:
    if isinstance(methods, Mapping):
        methods = [Method(name, classifier) for name, classifier in methods.items()]
    methods = list(methods) if isinstance(methods, Iterable) else [methods]
    for method in methods:
        if not isinstance(method, Method):
            raise ParameterError(
                f"one of the methods is {quoted(method, 80)}; expected a mapping from names to classifiers, or Methods"
            )
    names = [method.name for method in methods]
    if not methods or len(set(names)) < len(names):
        raise ParameterError(f"expected one or more methods with distinct names, found {names}")
    return methods


def _write_protocol(protocol: Protocol, path: Path) -> None:
    """Write the protocol over that of an older comparison; raise FileError if the file holds something else."""
    validate_writable(path)
    try:
        if path.exists():
            Protocol.from_dict(json.loads(path.read_bytes()))
    except ValueError as error:
        raise FileError(f"{path} exists and is not the protocol of a comparison; choose another folder") from error
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from error
    write_text(path, json.dumps(protocol.to_dict(), indent=2) + "\n")


def _environment() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers", "softcloze")},
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "date": date.today().isoformat(),
    }


def _processor() -> str:
    """Name of the processor; on Linux read from /proc/cpuinfo, which `platform` does not use."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
