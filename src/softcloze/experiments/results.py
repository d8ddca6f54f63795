"""Results of a comparison: runs, summaries and differences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from softcloze.analysis import TopWord
from softcloze.experiments.protocol import Shots
from softcloze.experiments.statistics import Spread


@dataclass(frozen=True, slots=True)
class Run:
    """One cell that was measured: a method, with one draw of training rows.

    Attributes:
        method: its name.
        shots: rows per class that it was given, a share, or "all"; 0 is none.
        seed: of the draw and of the method.
        probabilities: of the classes for the held-out rows, shape (rows, classes), float32; None where `error`.
        trainable: numbers that were trained; 0 also where a foreign estimator does not tell.
        fit_seconds: wall time of training.
        predict_seconds: wall time of scoring all held-out rows.
        peak_memory: bytes of the whole process at its peak; see `softcloze.experiments.grid.PeakMemory`.
        artifact_bytes: what has to be kept of the trained method, next to the model; None where it does not tell.
        error: what went wrong, if something did.
        top_words: the likeliest words at the mask, for the held-out rows that it is surest of and wrong about; by row.
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


@dataclass(frozen=True, slots=True)
class MethodCard:
    """What a method is, for people.

    Attributes:
        name: unique in a comparison.
        description: one line.
        template: the template as it is written, where it is a prompt.
        wording_of: what it is one of several wordings of; see `Method`.
    """

    name: str
    description: str
    template: str | None
    wording_of: str | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """The runs of a method with the same number of shots, taken together.

    Attributes:
        method: its name.
        shots: rows per class that it was given, a share, or "all".
        n: runs that came to an end.
        errors: runs that failed.
        accuracy: share of held-out rows that are right.
        balanced_accuracy: mean over classes of the share of their rows that are right.
        macro_f1: mean over classes of the harmonic mean of precision and recall.
        log_loss: mean of -log of the right class's probability, in nats.
        calibration_error: see `softcloze.calibration.expected_calibration_error`.
        trainable: numbers that were trained.
        fit_seconds: mean wall time of training.
        predict_seconds: mean wall time of scoring the held-out rows.
        peak_memory: largest of the runs, bytes.
        artifact_bytes: mean; None where a method does not tell.
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
class Difference:
    """How far two methods are apart, and how sure that is.

    Attributes:
        method: the first.
        other: the second.
        shots: what the one or both of them were given that learn.
        mean: metric of the first less that of the second, mean over the draws.
        low: lower end of the 95 % bootstrap interval.
        high: its upper end.
        p: how often chance alone makes a difference as large as this one; see `softcloze.experiments.statistics`.
        p_corrected: the same after Holm's correction for all differences that were asked for together.
    """

    method: str
    other: str
    shots: Shots
    mean: float
    low: float
    high: float
    p: float
    p_corrected: float


def columns_of(labels: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """The number of each label among the classes, shape (labels,).

    >>> columns_of(["好", "差", "好"], ("差", "好"))
    array([1, 0, 1])
    """
    column = {name: at for at, name in enumerate(classes)}
    return np.array([column[label] for label in labels])
