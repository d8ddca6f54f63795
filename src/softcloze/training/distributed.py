"""One fit in several processes: each computes its share of every step, and all take the same step.

No gradient is averaged: those of the parts of a step are gathered and added in the order of the parts, as one process
adds them. Tensors and JSON alone are exchanged, nothing that could run code.
"""

import json
import multiprocessing
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.distributed as dist
from safetensors.torch import load, save
from torch import Tensor, nn

from softcloze.errors import ProcessError
from softcloze.launcher import process_count

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store
    from torch.distributed import ProcessGroup

TIMEOUT = timedelta(minutes=30)  # without an answer of another process, which may load a model meanwhile
ERROR = "error"  # name of the message of an error among the tensors that processes exchange


class Learnt(NamedTuple):
    """Part of a step whose gradients are added.

    Attributes:
        rows: indices of its examples.
        loss: sum of their losses.
        scores: their label scores, shape (examples, labels).
    """

    rows: list[int]
    loss: float
    scores: Tensor


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes of a fit; a single one exchanges nothing.

    Attributes:
        rank: index of this process.
        count: their number.
        group: connects them.
    """

    rank: int = 0
    count: int = 1
    group: "ProcessGroup | None" = None

    @property
    def is_first(self) -> bool:
        """True for the process that writes files and reports progress."""
        return self.rank == 0

    def gather(self, tensors: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        """Tensors of all processes, by rank, bit for bit, on the CPU.

        Raises:
            ProcessError: a process has ended, does not answer, or sends the message of an error.
        """
        if self.count == 1:
            return [dict(tensors)]
        packed = save({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()})
        mine = torch.frombuffer(bytearray(packed), dtype=torch.uint8)
        lengths = [torch.zeros(1, dtype=torch.long) for _ in range(self.count)]
        try:
            dist.all_gather(lengths, torch.tensor([len(mine)]), group=self.group)
            longest = max(int(length) for length in lengths)
            padded = [torch.zeros(longest, dtype=torch.uint8) for _ in range(self.count)]
            dist.all_gather(padded, nn.functional.pad(mine, (0, longest - len(mine))), group=self.group)
        except RuntimeError:  # of gloo, in words about sockets
            raise ProcessError(
                f"another of the {self.count} processes of this fit has ended, or has not answered for "
                f"{TIMEOUT.seconds // 60} minutes; its own message gives the reason. Start all of them again, in any "
                "number: a fit with a checkpoint resumes"
            ) from None
        gathered = [load(data[: int(length)].numpy().tobytes()) for data, length in zip(padded, lengths, strict=True)]
        for rank, received in enumerate(gathered):
            if ERROR in received and rank != self.rank:
                raise ProcessError(f"process {rank} of {self.count} failed: {_from_json(received[ERROR])}")
        return gathered

    def first(self, make: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """The tensors that `make` returns in the first process, which alone calls it; all wait for it.

        Raises:
            ProcessError: as `gather`; in other processes also for an error of `make`.
        """
        with self._reporting_errors():
            made = make() if self.is_first else {}
        return self.gather(made)[0]

    def first_value(self, make: Callable[[], Any]) -> Any:  # noqa: ANN401 - any JSON
        """The JSON value that `make` returns in the first process; waits and raises as `first`."""
        return make() if self.count == 1 else _from_json(self.first(lambda: {"json": _as_json(make())})["json"])

    def share(self, rows: list[int], compute: Callable[[list[int]], Tensor]) -> Tensor:
        """Compute features of the examples `rows`, each process those of its share; shape (rows, features)."""
        if self.count == 1:
            return compute(rows)
        mine = rows[self.rank :: self.count]
        with self._reporting_errors():
            computed = {"features": compute(mine)} if mine else {}
        shares = [received["features"] for received in self.gather(computed) if received]
        features = shares[0].new_empty(len(rows), *shares[0].shape[1:])
        for rank, share in enumerate(shares):
            features[rank :: self.count] = share
        return features

    def learn(
        self,
        parts: Sequence[list[int]],
        parameters: Sequence[nn.Parameter],
        learn: Callable[[Sequence[list[int]]], list[Learnt]],
    ) -> list[Learnt]:
        """Add the gradients of the parts of a step, each computed by one process, in the order of the parts.

        Args:
            parts: indices of the examples of each part.
            parameters: their gradients, None before, are the same in all processes afterwards.
            learn: adds the gradients of some parts.

        Raises:
            ProcessError: as `gather`, and for an error of `learn` in another process.
        """
        if self.count == 1:
            return learn(parts)
        mine: dict[str, Tensor] = {}
        with self._reporting_errors():
            for index in range(self.rank, len(parts), self.count):
                pieces = learn([parts[index]])
                mine[f"{index}/loss"] = torch.tensor(sum(piece.loss for piece in pieces), dtype=torch.float64)
                mine[f"{index}/scores"] = torch.cat([piece.scores for piece in pieces])
                for number, parameter in enumerate(parameters):
                    if parameter.grad is not None:
                        mine[f"{index}/{number}"] = parameter.grad
                    parameter.grad = None
        gathered = {name: tensor for received in self.gather(mine) for name, tensor in received.items()}
        for index in range(len(parts)):
            for number, parameter in enumerate(parameters):
                gradient = gathered.get(f"{index}/{number}")
                if gradient is not None:
                    gradient = gradient.to(parameter.device)
                    parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
        return [
            Learnt(part, float(gathered[f"{index}/loss"]), gathered[f"{index}/scores"])
            for index, part in enumerate(parts)
        ]

    def validate_same(self, value: object, what: str) -> None:
        """Raise ProcessError if `value`, as JSON, is another one in the first process; `what` describes it."""
        first, *others = [_from_json(received["json"]) for received in self.gather({"json": _as_json(value)})]
        if any(other != first for other in others):
            raise ProcessError(
                f"the {self.count} processes of this fit have different {what}; run the same script in all of them, "
                "and give each of them all examples, of which it computes its share"
            )

    @contextmanager
    def _reporting_errors(self) -> Iterator[None]:
        """Send the message of an error to the other processes, which wait."""
        try:
            yield
        except Exception as error:
            with suppress(ProcessError):
                self.gather({ERROR: _as_json(f"{type(error).__name__}: {error}")})
            raise


_current: ContextVar[Processes | None] = ContextVar("processes", default=None)
_fits = count()


def processes() -> Processes:
    """The processes of the fit that runs; a single one outside of `joined_processes`."""
    return _current.get() or Processes()


@contextmanager
def joined_processes() -> Iterator[None]:
    """Connect the processes that a launcher started, for one fit in a `with` block or a decorated function.

    An initialised default group of torch.distributed is used; otherwise one is made from the environment, and destroyed
    at the end. Only the first process gives warnings.

    Raises:
        ProcessError: the processes cannot be connected.
    """
    given = dist.is_available() and dist.is_initialized()
    number = dist.get_world_size() if given else process_count()
    if number == 1 or _current.get() is not None:
        yield
        return
    group = _subgroup() if given else None
    if group is None:
        _start_default_group(number)
    joined = Processes(dist.get_rank(), number, group)
    token = _current.set(joined)
    try:
        with warnings.catch_warnings():
            if not joined.is_first:
                warnings.simplefilter("ignore")
            yield
    finally:
        _current.reset(token)
        dist.destroy_process_group(group)


def _subgroup() -> "ProcessGroup":
    """A group of gloo of all processes of the default group, which may be one of nccl."""
    group: ProcessGroup = dist.new_group(backend="gloo", timeout=TIMEOUT)
    return group


def _start_default_group(number: int) -> None:
    """Make the default group from the environment."""
    if not dist.is_available():
        raise ProcessError(f"this torch cannot connect processes, and WORLD_SIZE is {number}; fit in one process")
    if multiprocessing.parent_process() is not None:
        raise ProcessError(
            f"WORLD_SIZE is {number}, and this process is none of those that a launcher started, but was started by "
            "one of them, as by n_jobs= of scikit-learn: fit in the processes of the launcher, or unset WORLD_SIZE"
        )
    from torch._C._distributed_c10d import PrefixStore  # absent from a torch without torch.distributed

    try:
        store, rank = _store()
        store = PrefixStore(f"softcloze/{next(_fits)}", store)  # another fit of the same processes has new keys
        dist.init_process_group("gloo", store=store, rank=rank, world_size=number, timeout=TIMEOUT)
    except (RuntimeError, ValueError) as error:
        missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
        problem = f"{', '.join(missing)} not set" if missing else str(error).split("\n", 1)[0]
        raise ProcessError(
            f"WORLD_SIZE is {number}, and the processes cannot be connected ({problem}): start them with torchrun or "
            "accelerate launch, or unset WORLD_SIZE to fit in one process"
        ) from error


@cache
def _store() -> "tuple[Store, int]":
    """The store through which processes find each other, and the rank of this one."""
    from torch.distributed.rendezvous import rendezvous

    store, rank, _ = next(rendezvous("env://", timeout=TIMEOUT))
    return store, rank


def _as_json(value: object) -> Tensor:
    return torch.tensor(list(json.dumps(value).encode()), dtype=torch.uint8)


def _from_json(packed: Tensor) -> Any:  # noqa: ANN401 - any JSON
    return json.loads(bytes(packed.tolist()))
