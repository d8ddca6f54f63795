"""The order of runs: one after the other, or several at a time in processes of their own."""

import pickle
import signal
from collections.abc import Generator, Hashable
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from multiprocessing.connection import Connection, wait
from typing import NamedTuple, cast

import cloudpickle
import torch
from joblib.externals.loky.backend import get_context

from softcloze.backbone import Backbone, load_backbone
from softcloze.errors import BackboneError, ParameterError
from softcloze.experiments.grid import Cell, ExperimentGrid, Finished, failed
from softcloze.experiments.score_cache import shared_reading


@dataclass(frozen=True, slots=True)
class Step:
    """A moment between runs.

    Attributes:
        finished: runs since the moment before.
        doing: cells that are under way from here on; none at the end.
    """

    finished: tuple[Finished, ...]
    doing: tuple[Cell, ...]


def in_turn(bench: ExperimentGrid) -> Generator[Step]:
    """Run the cells one after the other, here."""
    finished: tuple[Finished, ...] = ()
    for cell in bench.cells:
        yield Step(finished, (cell,))
        finished = (bench.run(cell),)
    yield Step(finished, ())


def in_processes(bench: ExperimentGrid, processes: int) -> Generator[Step]:
    """Run cells side by side; when the caller has enough, or an error comes up, all processes end at once.

    Raises:
        ParameterError: what cannot be sent to another process, or be loaded there.
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


def _next_cell(
    bench: ExperimentGrid, waiting: list[Cell], owners: dict[Hashable, "_Worker"], worker: "_Worker"
) -> Cell | None:
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
            ParameterError: the process cannot load what it was sent.
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
        bench = cast("ExperimentGrid", unpacked(content))
        while True:
            cell = connection.recv()
            connection.send(bench.run(cell))
    except EOFError:  # the other process is gone
        return
    except Exception as error:  # noqa: BLE001  it is raised there
        with suppress(OSError):
            connection.send(error)


class _Named(NamedTuple):
    """What `load_backbone` needs for a backbone, and what tells whether it is the same."""

    name: str
    dtype: str
    device: str
    compiled: bool
    fingerprint: dict[str, str]


class _Packer(cloudpickle.Pickler):
    """Pickles functions and classes of scripts and notebooks as well."""

    def persistent_id(self, obj: object) -> _Named | None:
        """What goes by name."""
        if not isinstance(obj, Backbone):
            return None
        dtype = str(obj.model.dtype).removeprefix("torch.")
        return _Named(obj.name, dtype, str(obj.device), obj.compiled, obj.fingerprint)


class _Unpacker(pickle.Unpickler):
    def persistent_load(self, pid: _Named) -> Backbone:
        """What goes by name, found again."""
        try:
            found = load_backbone(pid.name, dtype=pid.dtype, device=pid.device, compile=pid.compiled)
        except BackboneError as error:
            raise ParameterError(_unknown(pid, f"loading it by that name fails: {error}")) from error
        if found.fingerprint != pid.fingerprint:
            raise ParameterError(_unknown(pid, "by that name other weights or another tokenizer are loaded"))
        return found


def packed(value: object) -> bytes:
    """Bytes for a process of our own; never for files, which anybody may have written.

    Raises:
        ParameterError: something that stays in its process, such as an open file.
    """
    buffer = BytesIO()
    try:
        _Packer(buffer).dump(value)
    except Exception as error:
        raise ParameterError(
            f"the methods cannot be sent to other processes: {error}; processes=1 keeps them here"
        ) from error
    return buffer.getvalue()


def unpacked(content: bytes) -> object:
    """What `packed` was given.

    Raises:
        ParameterError: a backbone whose name does not lead to it.
    """
    return _Unpacker(BytesIO(content)).load()


def _unknown(backbone: _Named, reason: str) -> str:
    return (
        f"each process loads the backbone {backbone.name!r} for itself, and {reason}\n"
        "give the methods a model as load_backbone takes it, or compare with processes=1"
    )
