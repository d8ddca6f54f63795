"""How to train soft vectors."""

import re
from dataclasses import dataclass

from softcloze.errors import ParameterError


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """Everything that decides how training goes; the defaults are measured in `docs/defaults.md`.

    Attributes:
        epochs: passes over the training examples, at most.
        batch_size: examples per step.
        learning_rate: highest step of AdamW for soft vectors, in units of the root mean square of the input embeddings.
        head_learning_rate: highest step of AdamW for a head, in nats by which it may move a label's score of the
            average example.
        warmup_fraction: share of all steps in which the rate rises from 0, before it falls to 0 linearly.
        max_grad_norm: length to which a longer gradient is cut.
        target_loss: training ends when an epoch's mean training loss falls below it, in nats; 0 never.
        average_last_epochs: end with the mean of the vectors after each step of this many last epochs instead of
            the vectors after the last step; 0 for the latter.
        early_stopping: hold out examples, stop when their loss no longer falls, and keep the best epoch's vectors.
        validation_fraction: share held out then, of each class.
        patience: epochs without a better held-out loss before stopping.
        seed: decides the order of examples.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    head_learning_rate: float
    warmup_fraction: float
    max_grad_norm: float
    target_loss: float
    average_last_epochs: int
    early_stopping: bool
    validation_fraction: float
    patience: int
    seed: int

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ParameterError: names the parameter, what it is and what it may be.
        """
        checks = {
            "epochs": (self.epochs >= 1, "at least 1"),
            "batch_size": (self.batch_size >= 1, "at least 1"),
            "learning_rate": (self.learning_rate > 0, "above 0"),
            "head_learning_rate": (self.head_learning_rate > 0, "above 0"),
            "warmup_fraction": (0 <= self.warmup_fraction < 1, "from 0 to below 1"),
            "max_grad_norm": (self.max_grad_norm > 0, "above 0"),
            "target_loss": (self.target_loss >= 0, "0 or above"),
            "validation_fraction": (0 < self.validation_fraction < 1, "between 0 and 1"),
            "average_last_epochs": (self.average_last_epochs >= 0, "0 or above"),
            "patience": (self.patience >= 1, "at least 1"),
        }
        for name, (right, expected) in checks.items():
            if not right:
                raise ParameterError(f"{name}={getattr(self, name)!r}, but it has to be {expected}")

    def rate(self, step: int, steps: int) -> float:
        """Share of the learning rate at `step` of `steps`, counted from 0: up during warm-up, then linearly down."""
        warmup = int(self.warmup_fraction * steps)
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return (steps - step) / (steps - warmup)


def bytes_of(size: int | str) -> int:
    """A number of bytes, given as such or with a unit.

    Raises:
        ParameterError: it is neither.

    >>> bytes_of("2GiB"), bytes_of("1.5 MB"), bytes_of(10)
    (2147483648, 1500000, 10)
    """
    if isinstance(size, int):
        return size
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) *(?:([KMGT])iB|([kMGT]?)B)", size.strip())
    if found is None:
        raise ParameterError(f'{size!r} is no size in memory; write for example "2GiB", "500MB" or a number of bytes')
    number, binary, decimal = found.groups()
    power = " KMGT".index((binary or decimal or " ").upper())
    return int(float(number) * (1024 if binary else 1000) ** power)
