"""Where the methods are wrong: what they take for what, and the mistakes that they are surest of."""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import confusion_matrix

from softcloze.experiments.comparison import Comparison, Run
from softcloze.experiments.mistakes import surest_mistakes
from softcloze.experiments.protocol import Shots
from softcloze.explanation import TopWord
from softcloze.report.findings import Findings, Standing
from softcloze.template.drawing import visible

WORST = 10
EXCERPT = 600  # characters of a text that are shown


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often a method took one label for another.

    Attributes:
        method: its name.
        shots: training rows that it had.
        runs: runs that are added up.
        rows: each true label with how often each label was given, both in the order of the classes.
    """

    method: str
    shots: Shots
    runs: int
    rows: tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class Mistake:
    """A held-out row that is taken for something else.

    Attributes:
        text: of the row.
        label: the true one.
        label_probability: what it is given.
        given: the likeliest label.
        given_probability: its probability.
        top_words: the likeliest words at the mask, in the first run that tells.
    """

    text: str
    label: str
    label_probability: float
    given: str
    given_probability: float
    top_words: tuple[TopWord, ...]


@dataclass(frozen=True, slots=True)
class Mistakes:
    """The mistakes that one method is surest of.

    Attributes:
        method: its name.
        shots: training rows that it had.
        runs: runs whose probabilities are averaged.
        worst: the surest first.
    """

    method: str
    shots: Shots
    runs: int
    worst: tuple[Mistake, ...]


def confusions(findings: Findings) -> list[Confusion]:
    """The confusion matrix of each method with the most training rows that it had."""
    comparison, found = findings.comparison, []
    for card in comparison.methods:
        if not (summaries := findings.of(card.name)):
            continue
        runs = comparison.of(card.name, summaries[-1].shots)
        given = np.concatenate([_probabilities(run).argmax(1) for run in runs])
        counts = confusion_matrix(np.tile(comparison.truth, len(runs)), given, labels=range(len(comparison.classes)))
        rows = tuple(zip(comparison.classes, map(tuple, counts.tolist()), strict=True))
        found.append(Confusion(card.name, summaries[-1].shots, len(runs), rows))
    return found


def worst_mistakes(comparison: Comparison, standing: Standing) -> Mistakes:
    """The rows that the best method of a standing is surest of and wrong about.

    Args:
        comparison: what was measured.
        standing: at one number of training rows.
    """
    best = standing.best
    runs = comparison.of(best.method, best.shots)
    mean = np.stack([_probabilities(run) for run in runs]).mean(0, dtype=np.float64)
    truth, given = comparison.truth, mean.argmax(1)
    worst = (
        Mistake(
            comparison.texts[row],
            comparison.labels[row],
            float(mean[row, truth[row]]),
            comparison.classes[given[row]],
            float(mean[row].max()),
            next((run.top_words[row] for run in runs if row in run.top_words), ()),
        )
        for row in surest_mistakes(mean, truth, WORST)
    )
    return Mistakes(best.method, best.shots, len(runs), tuple(worst))


def excerpt(text: str) -> str:
    """The beginning of a text, made visible, and how much is left out.

    >>> excerpt("好" * 608)[-25:]
    '好好好 … (8 more characters)'
    """
    left_out = len(text) - EXCERPT
    return visible(text[:EXCERPT]) + (f" … ({left_out:,} more characters)" if left_out > 0 else "")


def _probabilities(run: Run) -> np.ndarray:
    if run.probabilities is None:
        raise ValueError(f"the run of {run.method!r} with seed {run.seed} has neither probabilities nor an error")
    return run.probabilities
