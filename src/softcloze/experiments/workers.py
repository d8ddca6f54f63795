"""Schedule runs: in turn in this process, or several at a time in worker processes."""

import pickle
import signal
from collections.abc import Generator, Hashable
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

import cloudpickle
import torch
from joblib.externals.loky.backend import get_context

from softcloze.errors import BackboneError, ParameterError
from softcloze.experiments.grid import ExperimentGrid, FinishedRun
from softcloze.experiments.results import Run, RunId
from softcloze.experiments.score_cache import shared_scores_key


class Step(NamedTuple):
    """A moment between runs: those that ended since the previous step, and those in progress, none at the end."""

    finished: tuple[FinishedRun, ...]
    doing: tuple[RunId, ...]


def run_in_turn(grid: ExperimentGrid) -> Generator[Step]:
    """Do one run after the other in this process."""
    finished: tuple[FinishedRun, ...] = ()
    for run_id in grid.run_ids:
        yield Step(finished, (run_id,))
        finished = (grid.run(run_id),)
    yield Step(finished, ())


def run_in_processes(grid: ExperimentGrid, processes: int) -> Generator[Step]:
    """Do several runs at a time; closing the generator or an error ends all processes at once.

    Raises:
        ParameterError: a method cannot be pickled, or a backbone cannot be loaded in another process.
        OSError: a run cannot be written to the folder.
    """
    pickled, waiting = pickle_methods(grid), list(grid.run_ids)
    # share the threads that one process would use
    threads = max(1, torch.get_num_threads() // processes)
    workers: list[_Worker] = []
    owners: dict[Hashable, _Worker] = {}  # the worker that scores the held-out texts for all calibrations of a prompt
    finished: tuple[FinishedRun, ...] = ()
    try:
        workers += (_Worker(pickled, threads) for _ in range(min(processes, len(waiting))))
        while True:
            for worker in workers:
                if worker.run_id is None:
                    worker.start_run(_next_run(grid, waiting, owners, worker))
            yield Step(finished, tuple(worker.run_id for worker in workers if worker.run_id is not None))
            busy = [worker for worker in workers if worker.run_id is not None]
            if not busy:
                return
            ready = wait([worker.connection for worker in busy])
            finished = tuple(worker.finish_run() for worker in busy if worker.connection in ready)
    finally:
        for worker in workers:
            worker.end()


def _next_run(
    grid: ExperimentGrid, waiting: list[RunId], owners: dict[Hashable, "_Worker"], worker: "_Worker"
) -> RunId | None:
    """Pop the first waiting run for this worker: runs that share cached scores belong to one worker."""
    for at, run_id in enumerate(waiting):
        key = shared_scores_key(grid.method_of(run_id).classifier)
        if key is None or owners.setdefault(key, worker) is worker:
            return waiting.pop(at)
    return None


class _Worker:
    """A process that does one run at a time; if it dies, a new process takes its place.

    `connection` is readable when the run has ended or the process has died.
    """

    def __init__(self, pickled: bytes, threads: int):
        self.run_id: RunId | None = None
        self._pickled = pickled
        self._threads = threads
        self._start()

    def start_run(self, run_id: RunId | None) -> None:
        """Send a run to the process; None leaves it idle."""
        self.run_id = run_id
        if run_id is None:
            return
        try:
            self.connection.send(run_id)
        except OSError:  # it died while idle
            self.end()
            self._start()
            self.connection.send(run_id)

    def finish_run(self) -> FinishedRun:
        """Receive the finished run.

        Raises:
            ParameterError: the process cannot unpickle the methods.
            OSError: the run cannot be written to the folder.
        """
        run_id, self.run_id = self.run_id, None
        if run_id is None:
            raise ValueError("this worker has no run in progress")
        try:
            answer = self.connection.recv()
        except (EOFError, OSError):
            self.end()
            exit_code = self._process.exitcode
            self._start()
            return FinishedRun(run_id, Run.failed(run_id, _death_message(exit_code)), measured=False, model=None)
        if isinstance(answer, Exception):
            raise answer
        finished: FinishedRun = answer
        return finished

    def end(self) -> None:
        """End the process at once."""
        self._process.terminate()
        self._process.join()
        self.connection.close()

    def _start(self) -> None:
        # a new interpreter, as torch does not survive a fork; unlike "spawn", it does not run the user's script again
        context = get_context("loky")
        self.connection, other = context.Pipe()
        environment = {"OMP_NUM_THREADS": str(self._threads)}
        self._process = context.Process(target=_serve, args=(other, self._pickled), env=environment)
        self._process.start()
        other.close()


def _death_message(code: int | None) -> str:
    """Error of a run whose process died.

    >>> _death_message(-9)
    'WorkerError: the process of this run died of SIGKILL, as happens when memory runs out; use fewer processes'
    """
    how = f"of {signal.Signals(-code).name}" if code is not None and code < 0 else f"with exit code {code}"
    return f"WorkerError: the process of this run died {how}, as happens when memory runs out; use fewer processes"


def _serve(connection: Connection, pickled: bytes) -> None:
    """Do runs for the main process until it is gone."""
    from transformers.utils import logging

    # Ctrl-C reaches all processes of a terminal; the main process ends its workers
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.disable_progress_bar()  # bars of several processes overwrite each other
    try:
        grid: ExperimentGrid = unpickle_methods(pickled)
        while True:
            run_id = connection.recv()
            connection.send(grid.run(run_id))
    except EOFError:  # the main process is gone
        return
    except Exception as error:  # noqa: BLE001  it is raised in the main process
        with suppress(OSError):
            connection.send(error)


def unpickle_methods(pickled: bytes) -> Any:  # noqa: ANN401
    """Undo `pickle_methods`.

    Raises:
        ParameterError: a model cannot be loaded, or is not the one that was pickled.
    """
    try:
        return pickle.loads(pickled)
    except BackboneError as error:
        raise ParameterError(
            f"each process loads models by name: {error}\n"
            "give the methods a model that load_backbone accepts, or use processes=1"
        ) from error


def pickle_methods(value: object) -> bytes:
    """Pickle methods for a worker process, with functions and classes of scripts and notebooks, and models by name.

    Raises:
        ParameterError: the value cannot be pickled, such as an open file or a model in memory without a name.
    """
    try:
        pickled: bytes = cloudpickle.dumps(value)
    except Exception as error:
        raise ParameterError(f"the methods cannot be pickled for other processes: {error}; use processes=1") from error
    return pickled
