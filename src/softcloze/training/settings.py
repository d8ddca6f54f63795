"""Options of training, each declared once with its default and its range."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple, Self

from sklearn.base import BaseEstimator

from softcloze.errors import ParameterError
from softcloze.training.checkpoint import Record


class Range(NamedTuple):
    """Values that a number may have.

    Attributes:
        expected: the range in words, to follow "it has to be".
        holds: whether a value lies in it.
    """

    expected: str
    holds: Callable[[float], bool]


POSITIVE = Range("above 0", lambda value: 0 < value < math.inf)
NOT_NEGATIVE = Range("0 or above", lambda value: 0 <= value < math.inf)
AT_LEAST_ONE = Range("at least 1", lambda value: 1 <= value < math.inf)
FRACTION = Range("between 0 and 1", lambda value: 0 < value < 1)

# the parameters of training that a classifier has itself
RANGES = {"epochs": AT_LEAST_ONE, "batch_size": AT_LEAST_ONE, "learning_rate": POSITIVE}


def _option(default: float, within: Range) -> Any:  # noqa: ANN401 - dataclasses type a field by its default
    return field(default=default, metadata={"range": within})


@dataclass
class TrainingSettings(BaseEstimator):
    """Options of training beside epochs, batch size and learning rate.

    A classifier takes them as `training=`; a search reaches each of them as `training__NAME`, for example
    `GridSearchCV(clf, {"training__warmup_fraction": [0.0, 0.1]})`. The defaults were measured:
    docs/explanation/defaults.md.

    Attributes:
        head_learning_rate: highest step of AdamW for a "warp" or "linear" head, in nats by which it may move a label's
            score of the average example.
        warmup_fraction: share of the steps in which the learning rate rises, before it falls to 0 linearly.
        max_grad_norm: length to which a longer gradient is clipped.
        target_loss: training ends after an epoch whose mean training loss, in nats, is below it; 0 for never.
        average_last_epochs: end with the mean of the weights after each step of this many last epochs; 0 for the
            weights after the last step, which lean more to one label. A fit that `target_loss` ends before these
            epochs ends with the latter too.
        early_stopping: hold out examples, stop when their loss no longer falls, and end with the weights of the best
            epoch instead of a mean.
        validation_fraction: share of each class held out for `early_stopping`, or for calibration="temperature".
        n_iter_no_change: epochs without a lower held-out loss before stopping.
        checkpoint: folder in which an interrupted `fit` finds its progress and resumes; None keeps none.
        cache_memory: memory for keys and values of everything before the first soft slot, which a causal model computes
            once: a size such as "500MB" or "2GiB", or bytes. A larger cache is kept in a file of the cache folder
            while `fit` runs.
        on_epoch: called with each epoch's record during training.

    Example:
        >>> settings = TrainingSettings(warmup_fraction=0.2)
        >>> settings.get_params()["warmup_fraction"], settings.target_loss
        (0.2, 0.2)
    """

    head_learning_rate: float = _option(0.1, POSITIVE)
    warmup_fraction: float = _option(0.1, Range("from 0 to below 1", lambda value: 0 <= value < 1))
    max_grad_norm: float = _option(1.0, POSITIVE)
    target_loss: float = _option(0.2, NOT_NEGATIVE)
    average_last_epochs: int = _option(3, NOT_NEGATIVE)
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
        """Options that change what is learnt, by name; JSON holds them."""
        without_effect = ("checkpoint", "cache_memory", "on_epoch")
        return {option.name: getattr(self, option.name) for option in fields(self) if option.name not in without_effect}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """Make settings from a mapping that holds what `to_dict` gave, among other entries."""
        return cls(**{option.name: saved[option.name] for option in fields(cls) if option.name in saved})


def validate_ranges(values: Mapping[str, float], ranges: Mapping[str, Range]) -> None:
    """Raise ParameterError if a value is outside its range.

    >>> validate_ranges({"epochs": 0}, RANGES)
    Traceback (most recent call last):
    softcloze.errors.ParameterError: epochs=0, but it has to be at least 1
    """
    for name, value in values.items():
        if not ranges[name].holds(value):
            raise ParameterError(f"{name}={value!r}, but it has to be {ranges[name].expected}")


def parse_size(size: int | str) -> int:
    """Convert a size in memory to bytes.

    Raises:
        ParameterError: neither a number of bytes nor a size with a unit.

    >>> parse_size("2GiB"), parse_size("1.5 MB"), parse_size(10)
    (2147483648, 1500000, 10)
    """
    if isinstance(size, int):
        return size
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) *(?:([KMGT])iB|([kMGT]?)B)", size.strip())
    if match is None:
        raise ParameterError(
            f'{size!r} is not a size in memory; write for example "2GiB", "500MB" or a number of bytes'
        )
    number, binary, decimal = match.groups()
    power = " KMGT".index((binary or decimal or " ").upper())
    return int(float(number) * (1024 if binary else 1000) ** power)


def learning_rate_share(step: int, steps: int, warmup_fraction: float) -> float:
    """Share of the learning rate at `step` of `steps`, counted from 0: up during warm-up, then linearly down."""
    warmup = int(warmup_fraction * steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return (steps - step) / (steps - warmup)
