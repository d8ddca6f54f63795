"""The order of runs: one after the other, or several at a time in processes of their own."""

import signal
from collections.abc import Generator, Hashable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import cast

import torch
from joblib.externals.loky.backend import get_context

from softcloze.experiments.bench import Bench, Finished, failed
from softcloze.experiments.progress import Cell
from softcloze.experiments.readings import shared_reading
from softcloze.experiments.sending import packed, unpacked


@dataclass(frozen=True, slots=True)
class Step:
    """A moment between runs.

    Attributes:
        finished: runs since the moment before.
        doing: cells that are under way from here on; none at the end.
    """

    finished: tuple[Finished, ...]
    doing: tuple[Cell, ...]


def in_turn(bench: Bench) -> Generator[Step]:
    """Run the cells one after the other, here."""
    finished: tuple[Finished, ...] = ()
    for cell in bench.cells:
        yield Step(finished, (cell,))
        finished = (bench.run(cell),)
    yield Step(finished, ())


def in_processes(bench: Bench, processes: int) -> Generator[Step]:
    """Run cells side by side; when the caller has enough, or an error comes up, all processes end at once.

    Raises:
        ExperimentError: what cannot be sent to another process, or be loaded there.
        OSError: a run cannot be kept in the folder.
    """
    content, waiting = packed(bench), list(bench.cells)
    # as many threads as one process would use, shared out
    threads = max(1, torch.get_num_threads() // processes)
    workers: list[_Worker] = []
    owners: dict[Hashable, _Worker] = {}  # who reads the held-out texts for all calibrations of a wording
    finished: tuple[Finished, ...] = ()
    try:
        workers += (_Worker(content, threads) for _ in range(min(processes, len(waiting))))
        while True:
            for worker in workers:
                if worker.cell is None:
                    worker.take(_next_cell(bench, waiting, owners, worker))
            yield Step(finished, tuple(worker.cell for worker in workers if worker.cell is not None))
            busy = [worker for worker in workers if worker.cell is not None]
            if not busy:
                return
            ready = wait([worker.connection for worker in busy])
            finished = tuple(worker.give() for worker in busy if worker.connection in ready)
    finally:
        for worker in workers:
            worker.end()


def _next_cell(bench: Bench, waiting: list[Cell], owners: dict[Hashable, "_Worker"], worker: "_Worker") -> Cell | None:
    """The first cell that waits and is no other worker's: what shares a reading is one worker's own."""
    for at, cell in enumerate(waiting):
        reading = shared_reading(bench.method(cell).classifier)
        if reading is None or owners.setdefault(reading, worker) is worker:
            return waiting.pop(at)
    return None


class _Worker:
    """A process that runs one cell at a time; when it dies, the next cell gets a new one.

    Attributes:
        cell: what it does now.
        connection: to be read when there is an answer, or none will come.
    """

    def __init__(self, content: bytes, threads: int):
        self.cell: Cell | None = None
        self._content = content
        self._threads = threads
        self._start()

    def take(self, cell: Cell | None) -> None:
        """Begin with a cell; None is none."""
        self.cell = cell
        if cell is None:
            return
        try:
            self.connection.send(cell)
        except OSError:  # it died while it had nothing to do
            self.end()
            self._start()
            self.connection.send(cell)

    def give(self) -> Finished:
        """What came of the cell.

        Raises:
            ExperimentError: the process cannot load what it was sent.
            OSError: the run cannot be kept in the folder.
        """
        cell, self.cell = self.cell, None
        if cell is None:
            raise ValueError("this worker has nothing to do")
        try:
            answer = self.connection.recv()
        except (EOFError, OSError):
            self.end()
            ended = self._process.exitcode
            self._start()
            return Finished(cell, failed(cell, _epitaph(ended)), measured=False, model=None)
        if isinstance(answer, Exception):
            raise answer
        found: Finished = answer
        return found

    def end(self) -> None:
        """End the process, whatever it does."""
        self._process.terminate()
        self._process.join()
        self.connection.close()

    def _start(self) -> None:
        # a new interpreter, as torch does not survive a fork; unlike "spawn", it does not run the user's script again
        context = get_context("loky")
        self.connection, other = context.Pipe()
        environment = {"OMP_NUM_THREADS": str(self._threads)}
        self._process = context.Process(target=_serve, args=(other, self._content), env=environment)
        self._process.start()
        other.close()


def _epitaph(code: int | None) -> str:
    """Why a process gave no answer.

    >>> _epitaph(-9)
    'WorkerError: the process of this run died of SIGKILL, as happens where memory runs out; fewer processes leave ...'
    """
    how = f"of {signal.Signals(-code).name}" if code is not None and code < 0 else f"with exit code {code}"
    return (
        f"WorkerError: the process of this run died {how}, as happens where memory runs out; "
        "fewer processes leave more to each"
    )


def _serve(connection: Connection, content: bytes) -> None:
    """Run cells for another process, until it is gone."""
    from transformers.utils import logging

    # Ctrl-C goes to all processes of a terminal; the first ends the others
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.disable_progress_bar()  # several at once cannot be read
    try:
        bench = cast("Bench", unpacked(content))
        while True:
            cell = connection.recv()
            connection.send(bench.run(cell))
    except EOFError:  # the other process is gone
        return
    except Exception as error:  # noqa: BLE001  it is raised there
        with suppress(OSError):
            connection.send(error)
