"""Results of a comparison: runs, summaries and differences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from softcloze.analysis import TopWord
from softcloze.experiments.protocol import Shots
from softcloze.experiments.statistics import PairedDifference, Spread
from softcloze.verbalizer import Label


class RunId(NamedTuple):
    """The name of a method, and the draw of training examples that it gets."""

    method: str
    shots: Shots
    seed: int


@dataclass(frozen=True, slots=True)
class Run:
    """One method, trained on one draw of training examples and measured on the held-out examples.

    Attributes:
        method: its name.
        shots: examples per class, a share, or "all"; 0 for a method that needs no training examples.
        seed: of the draw and of the method.
        probabilities: of the classes for the held-out examples, shape (rows, classes), float32; None if the run failed.
        trainable: trainable parameters; 0 if the estimator does not report them.
        fit_seconds: wall time of training.
        predict_seconds: wall time of scoring all held-out examples.
        peak_memory: peak resident bytes of the whole process; see `softcloze.experiments.grid.PeakMemory`.
        artifact_bytes: size of the trained method without the model; None if the estimator does not report it.
        error: message of a run that failed, else None.
        top_words: the most probable words at the mask for the most confident errors, by held-out example.
    """

    method: str
    shots: Shots
    seed: int
    probabilities: np.ndarray | None
    trainable: int
    fit_seconds: float
    predict_seconds: float
    peak_memory: int
    artifact_bytes: int | None
    error: str | None = None
    top_words: Mapping[int, tuple[TopWord, ...]] = field(default_factory=dict)

    @classmethod
    def failed(cls, run_id: RunId, error: str) -> "Run":
        """A run that ended with an error."""
        return cls(*run_id, None, 0, 0.0, 0.0, 0, None, error)


@dataclass(frozen=True, slots=True)
class MethodCard:
    """The description of a method in tables and reports.

    Attributes:
        name: unique in a comparison.
        description: one line.
        template: the template as written; None if the method is not a prompt.
        variant_of: name of the group of prompt variants that it belongs to; see `Method`.
    """

    name: str
    description: str
    template: str | None
    variant_of: str | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """All runs of a method with the same number of shots.

    Attributes:
        method: its name.
        shots: examples per class, a share, or "all".
        n: runs that finished.
        errors: runs that failed.
        accuracy: share of held-out examples with the right label.
        balanced_accuracy: recall, averaged over classes.
        macro_f1: F1, averaged over classes.
        log_loss: mean negative log probability of the right class, in nats.
        calibration_error: see `softcloze.calibration.expected_calibration_error`.
        trainable: trainable parameters.
        fit_seconds: mean wall time of training.
        predict_seconds: mean wall time of scoring the held-out examples.
        peak_memory: largest over the runs, bytes.
        artifact_bytes: mean size; None if the method does not report it.
    """

    method: str
    shots: Shots
    n: int
    errors: int
    accuracy: Spread
    balanced_accuracy: Spread
    macro_f1: Spread
    log_loss: Spread
    calibration_error: Spread
    trainable: int
    fit_seconds: float
    predict_seconds: float
    peak_memory: int
    artifact_bytes: int | None


@dataclass(frozen=True, slots=True)
class Difference(PairedDifference):
    """The difference between two methods; see `softcloze.experiments.statistics.PairedDifference`.

    Attributes:
        shots: of the method that learns, or of both.
    """

    shots: Shots


def class_indices(labels: Sequence[Label], classes: Sequence[Label]) -> np.ndarray:
    """Index of each label among the classes, shape (labels,).

    >>> class_indices(["好", "差", "好"], ("差", "好"))
    array([1, 0, 1])
    """
    index = {name: at for at, name in enumerate(classes)}
    return np.array([index[label] for label in labels])
