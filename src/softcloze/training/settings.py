"""Options of training, each declared once with its default and its range."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NamedTuple, Self

from sklearn.base import BaseEstimator

from softcloze.errors import ParameterError
from softcloze.training.checkpoint import Record


class Range(NamedTuple):
    """Range of a numeric option.

    Attributes:
        expected: description of the range, which follows "it has to be" in messages.
        holds: returns True for a number within the range.
        integral: whether only integers lie in it.
    """

    expected: str
    holds: Callable[[float], bool]
    integral: bool = False


POSITIVE = Range("above 0", lambda value: 0 < value < math.inf)
NOT_NEGATIVE = Range("0 or above", lambda value: 0 <= value < math.inf)
AT_LEAST_ONE = Range("at least 1", lambda value: value >= 1, integral=True)
FRACTION = Range("between 0 and 1", lambda value: 0 < value < 1)

# options of training that are parameters of the classifiers themselves
RANGES = {"epochs": AT_LEAST_ONE, "batch_size": AT_LEAST_ONE, "learning_rate": POSITIVE}


def _option(default: float, within: Range) -> Any:  # noqa: ANN401 - dataclasses type a field by its default
    return field(default=default, metadata={"range": within})


@dataclass
class TrainingSettings(BaseEstimator):
    """Options of training other than epochs, batch size and learning rate.

    Classifiers take them as `training=`; a search sets an option as `training__NAME`, for example
    `GridSearchCV(clf, {"training__warmup_fraction": [0.0, 0.1]})`. The defaults were chosen by measurements:
    docs/measurements/defaults.md.

    Attributes:
        head_learning_rate: highest step of AdamW for a "warp" or "linear" head, in nats by which it may move a label's
            score of the average example.
        warmup_fraction: share of the steps with a linear rise of the learning rate; afterwards it falls linearly to 0.
        max_grad_norm: L2 norm to which a longer gradient is clipped.
        target_loss: training stops after an epoch whose mean training loss, in nats, is below this; 0 for never.
        average_last_epochs: number of last epochs over whose steps the final weights are averaged; 0 for the weights
            after the last step, which favour one label more. A fit that `target_loss` stops before these epochs keeps
            the weights after its last step.
        early_stopping: hold out examples, stop when their loss no longer falls, and keep the weights of the best epoch
            instead of a mean.
        validation_fraction: share of each class held out for `early_stopping`, or for calibration="temperature".
        n_iter_no_change: epochs without a lower held-out loss before stopping.
        checkpoint: folder for the progress of a `fit`, from which an interrupted one resumes; None for no checkpoints.
        cache_memory: memory for the keys and values of everything before the first soft slot, which a causal model
            computes once: a size such as "500MB" or "2GiB", or a number of bytes. A larger cache is kept in a file in
            the cache folder during `fit`.
        on_epoch: called with the record of each epoch; see `train`.

    Example:
        >>> settings = TrainingSettings(warmup_fraction=0.2)
        >>> settings.get_params()["warmup_fraction"], settings.target_loss
        (0.2, 0.2)
    """

    head_learning_rate: float = _option(0.1, POSITIVE)
    warmup_fraction: float = _option(0.1, Range("from 0 to below 1", lambda value: 0 <= value < 1))
    max_grad_norm: float = _option(1.0, POSITIVE)
    target_loss: float = _option(0.2, NOT_NEGATIVE)
    average_last_epochs: int = _option(3, Range("0 or above", lambda value: value >= 0, integral=True))
    early_stopping: bool = False
    validation_fraction: float = _option(0.2, FRACTION)
    n_iter_no_change: int = _option(3, AT_LEAST_ONE)
    checkpoint: str | Path | None = None
    cache_memory: int | str = "2GiB"
    on_epoch: Callable[[Record], None] | None = None

    def validate(self) -> None:
        """Raise ParameterError if an option is outside its range; names the option, its value and the range."""
        ranges = {option.name: option.metadata["range"] for option in fields(self) if "range" in option.metadata}
        validate_ranges({name: getattr(self, name) for name in ranges}, ranges)
        parse_size(self.cache_memory)

    def to_dict(self) -> dict[str, Any]:
        """Options that affect the result, by name, as data that JSON holds."""
        without_effect = ("checkpoint", "cache_memory", "on_epoch")
        return {option.name: getattr(self, option.name) for option in fields(self) if option.name not in without_effect}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """Make settings from a mapping with the entries of `to_dict`; others are ignored."""
        return cls(**{option.name: saved[option.name] for option in fields(cls) if option.name in saved})


def validate_ranges(values: Mapping[str, float], ranges: Mapping[str, Range]) -> None:
    """Raise ParameterError if a value is outside its range; names the parameter, its value and the range.

    >>> validate_ranges({"epochs": 0}, RANGES)
    Traceback (most recent call last):
    softcloze.errors.ParameterError: epochs=0, but it has to be at least 1
    """
    for name, value in values.items():
        within = ranges[name]
        if not isinstance(value, Integral if within.integral else Real) or isinstance(value, bool):
            kind = "an integer" if within.integral else "a number"
            raise ParameterError(f"{name}={value!r}, but it has to be {kind}, {within.expected}")
        if not within.holds(value):
            raise ParameterError(f"{name}={value!r}, but it has to be {within.expected}")


def parse_size(size: int | str) -> int:
    """Convert a size in memory to bytes.

    Raises:
        ParameterError: `size` is neither a number of bytes nor a size with a unit.

    >>> parse_size("2GiB"), parse_size("1.5 MB"), parse_size(10)
    (2147483648, 1500000, 10)
    """
    if isinstance(size, int) and size >= 0:
        return size
    pattern = r"([0-9]+(?:\.[0-9]+)?) *(?:([KMGT])iB|([kMGT]?)B)"
    match = re.fullmatch(pattern, size.strip()) if isinstance(size, str) else None
    if match is None:
        raise ParameterError(
            f'{size!r} is not a size in memory; write for example "2GiB", "500MB" or a number of bytes'
        )
    number, binary, decimal = match.groups()
    power = " KMGT".index((binary or decimal or " ").upper())
    return int(float(number) * (1024 if binary else 1000) ** power)


def learning_rate_share(step: int, steps: int, warmup_fraction: float) -> float:
    """Share of the highest learning rate at `step` of `steps`, from 0: linear warm-up, then linear decay."""
    warmup = int(warmup_fraction * steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return (steps - step) / (steps - warmup)
