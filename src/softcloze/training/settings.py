"""Options of training, each declared once with its default and its range."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from numbers import Integral
from pathlib import Path
from typing import Any, Self

from sklearn.base import BaseEstimator

from softcloze.errors import ParameterError
from softcloze.parameters import (
    BOOLEAN,
    FRACTION,
    FUNCTION,
    NONE,
    NOT_NEGATIVE,
    POSITIVE,
    Constraint,
    instance_of,
    integer,
    number,
    plain,
    validate_parameters,
)
from softcloze.training.checkpoint import Record

SIZE = 'a size in memory, such as "2GiB" or "500MB", or a number of bytes'
# beyond, weights leave single precision; useful rates are below 1
LEARNING_RATE = number("above 0, and 1e6 at most", lambda value: 0 < value <= 1e6)
# options of training that are parameters of the classifiers themselves
FIT_PARAMETERS = {"epochs": integer(at_least=1), "batch_size": integer(at_least=1), "learning_rate": LEARNING_RATE}


def _option(default: object, constraint: Constraint) -> Any:  # noqa: ANN401 - dataclasses type a field by its default
    return field(default=default, metadata={"constraint": constraint})


@dataclass
class TrainingSettings(BaseEstimator):
    """Options of training other than epochs, batch size and learning rate.

    Estimators take them as `training=`; a search sets an option as `training__NAME`, for example
    `GridSearchCV(clf, {"training__warmup_fraction": [0.0, 0.1]})`. The defaults were chosen by measurements:
    docs/measurements/defaults.md. Two of them depend on the estimator, which takes its own where an option is None;
    its prompt and checkpoints have the values that were taken.

    Attributes:
        deep_learning_rate: highest step of AdamW for soft vectors that enter at later layers, in units of the root mean
            square of the hidden states in front of each layer; divided by the number of these layers, for their changes
            add up. None for 0.03, in `PromptGenerator` for 0.3.
        via_learning_rate: highest step of AdamW for the weights of the networks of soft slots with via=.
        via_width: width of the hidden layers of these networks.
        from_learning_rate: highest step of AdamW for the weights of the networks of soft slots with from=: of the first
            layer in units of 1 / the root mean square of the input embeddings, with from_by=states of the mean states,
            or with layers= of 1; of the second one in units of that of the input embeddings, or with layers= of the
            hidden states in front of the layer.
        from_width: width of the bottleneck of these networks.
        head_learning_rate: highest step of AdamW for a "warp" or "linear" head, in nats by which it may move a label's
            score of the average example.
        warmup_fraction: share of the steps with a linear rise of the learning rate; afterwards it falls linearly to 0.
        max_grad_norm: L2 norm to which a longer gradient is clipped.
        target_loss: training stops after an epoch whose mean training loss, in nats, is below this; 0 for never. None
            for 0.2, in `PromptGenerator` and `MultiLabelPromptClassifier` for 0.
        average_last_epochs: number of last epochs over whose steps the final weights are averaged; 0 for the weights
            after the last step, which favour one label more. A fit that `target_loss` stops before these epochs keeps
            the weights after its last step.
        early_stopping: hold out examples, stop when their loss no longer falls, and keep the weights of the best epoch
            instead of a mean.
        validation_fraction: share of each class held out for `early_stopping`, or for calibration="temperature".
        n_iter_no_change: epochs without a lower held-out loss before stopping.
        part_size: examples in a forward and backward pass, at most; their gradients add up to those of a step. None for
            as many as memory suits. With 1 and one thread, vectors are the same bit for bit however many processes
            fit: docs/how-to/processes.md.
        checkpoint: folder for the progress of a `fit`, from which the same fit resumes after an interruption, with
            `random_state=None` as well; None for no checkpoints.
        cache_memory: memory for what is computed once: the keys and values of a causal model before the first soft
            slot, or the hidden states of another model in front of the first layer at which soft vectors enter, if that
            is a later one. A size such as "500MB" or "2GiB", or a number of bytes. Larger keys and values are kept in
            a file in the cache folder during `fit`; larger hidden states are computed at each step.
        on_epoch: called with the record of each epoch; see `train`.
        on_step: called after each step with the number of steps that are done and of all steps.

    Example:
        >>> settings = TrainingSettings(warmup_fraction=0.2)
        >>> settings.get_params()["warmup_fraction"], settings.target_loss, settings.resolved().target_loss
        (0.2, None, 0.2)
    """

    deep_learning_rate: float | None = _option(None, LEARNING_RATE | NONE)
    via_learning_rate: float = _option(0.001, LEARNING_RATE)
    via_width: int = _option(64, integer(at_least=1))
    from_learning_rate: float = _option(0.003, LEARNING_RATE)
    from_width: int = _option(16, integer(at_least=1))
    head_learning_rate: float = _option(0.1, LEARNING_RATE)
    warmup_fraction: float = _option(0.1, number("from 0 to below 1", lambda value: 0 <= value < 1))
    max_grad_norm: float = _option(1.0, POSITIVE)
    target_loss: float | None = _option(None, NOT_NEGATIVE | NONE)
    average_last_epochs: int = _option(3, integer(at_least=0))
    early_stopping: bool = _option(False, BOOLEAN)
    validation_fraction: float = _option(0.2, FRACTION)
    n_iter_no_change: int = _option(3, integer(at_least=1))
    part_size: int | None = _option(None, integer(at_least=1) | NONE)
    checkpoint: str | Path | None = _option(None, instance_of("a folder", str, Path) | NONE)  # noqa: RUF009 - it makes a field
    cache_memory: int | str = _option("2GiB", Constraint(SIZE, lambda size: _bytes(size) is not None))
    on_epoch: Callable[[Record], None] | None = _option(None, FUNCTION | NONE)  # noqa: RUF009 - it makes a field
    on_step: Callable[[int, int], None] | None = _option(None, FUNCTION | NONE)  # noqa: RUF009 - it makes a field

    def resolved(self, **defaults: float) -> "ResolvedSettings":
        """These settings with the defaults of an estimator in place of None; those of classifiers where it has none."""
        values = {option.name: getattr(self, option.name) for option in fields(self)}
        optional = [option.name for option in fields(TrainingSettings) if option.default is None]
        given = {name: value for name, value in values.items() if value is not None or name not in optional}
        return ResolvedSettings(**{**defaults, **given})

    def validate(self) -> None:
        """Raise ParameterError if an option has a wrong type or is outside its range; names it and its value."""
        values = {option.name: getattr(self, option.name) for option in fields(self)}
        validate_parameters(values, {option.name: option.metadata["constraint"] for option in fields(self)})

    def to_dict(self) -> dict[str, Any]:
        """Options that affect the result, by name, as data that JSON holds."""
        without_effect = ("checkpoint", "cache_memory", "on_epoch", "on_step")
        options = {option.name: getattr(self, option.name) for option in fields(self)}
        return {name: plain(value) for name, value in options.items() if name not in without_effect}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """Make settings from a mapping with the entries of `to_dict`; others are ignored."""
        return cls(**{option.name: saved[option.name] for option in fields(cls) if option.name in saved})


@dataclass
class ResolvedSettings(TrainingSettings):
    """Options of training of an estimator, with a value for each, which its prompt and checkpoints have.

    The defaults are those of classifiers with one label for each example.
    """

    deep_learning_rate: float = _option(0.03, LEARNING_RATE | NONE)
    target_loss: float = _option(0.2, NOT_NEGATIVE | NONE)


def parse_size(size: int | str) -> int:
    """Convert a size in memory to bytes.

    Raises:
        ParameterError: `size` is neither a number of bytes nor a size with a unit.

    >>> parse_size("2GiB"), parse_size("1.5 MB"), parse_size(10)
    (2147483648, 1500000, 10)
    """
    count = _bytes(size)
    if count is None:
        raise ParameterError(f"{size!r} is not {SIZE}")
    return count


def _bytes(size: object) -> int | None:
    """The bytes of a size in memory; None for any other value."""
    if isinstance(size, Integral) and integer(at_least=0).holds(size):
        return int(size)
    pattern = r"([0-9]+(?:\.[0-9]+)?) *(?:([KMGT])iB|([kMGT]?)B)"
    match = re.fullmatch(pattern, size.strip(), re.ASCII) if isinstance(size, str) else None
    if match is None:
        return None
    number, binary, decimal = match.groups()
    power = " KMGT".index((binary or decimal or " ").upper())
    return int(Decimal(number) * (1024 if binary else 1000) ** power)


def learning_rate_share(step: int, steps: int, warmup_fraction: float) -> float:
    """Share of the highest learning rate at `step` of `steps`, from 0: linear warm-up, then linear decay."""
    warmup = int(warmup_fraction * steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return (steps - step) / (steps - warmup)
