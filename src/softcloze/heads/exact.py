"""Exact heads: the minimum of a convex loss on states, alone or beside label words, chosen by cross-validation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp
from torch import Tensor

from softcloze.errors import DataError, NonFiniteError
from softcloze.heads.basic import LinearHead, WordHead, WordsLinearHead
from softcloze.heads.logistic import Array, Problem, Solution
from softcloze.verbalizer import AnyVerbalizer

# strengths per component of the state, from hardly any weight to hardly any penalty
STRENGTHS = np.logspace(1, -5, 13)
FOLDS, FITS = 5, 15
SEVERAL = 500  # examples from which on the folds are drawn once


@dataclass(frozen=True, eq=False)
class ExactFit:
    """A head at the minimum of its loss, and the cross-validation that chose its L2 strength.

    Attributes:
        head: the head, fitted to all examples.
        strength: the chosen L2 strength: the factor of half the squared weights on standardised states, beside the mean
            log loss in nats. It is 1 / (C * examples) for the C of scikit-learn's `LogisticRegression`.
        strengths: all strengths that were tried, from the strongest to the weakest, shape (strengths,).
        log_losses: mean log loss of examples left out, in nats, shape (strengths,).
        standard_errors: of the difference of each of them to the least, over the examples, shape (strengths,).
        log_probabilities: of the labels of each example by heads that were fitted without it at the chosen strength, in
            nats, shape (examples, labels): logarithms of the mean probability over the repeats.
    """

    head: LinearHead | WordsLinearHead
    strength: float
    strengths: Array
    log_losses: Array
    standard_errors: Array
    log_probabilities: Array


def fit_exact(
    name: str,
    verbalizer: AnyVerbalizer,
    features: Tensor,
    targets: Sequence[int] | Tensor,
    *,
    weights: ArrayLike | None = None,
    seed: int = 0,
) -> ExactFit:
    """Fit the head "linear" or "words+linear" to features of training examples.

    The loss is the weighted mean log loss and, as a penalty, `strength` times half the squared weights on standardised
    states. Repeated stratified cross-validation chooses the strongest penalty whose log loss exceeds the least by at
    most one standard error of this difference. It has as many folds as the rarest label has examples, five at most.

    Args:
        name: "linear", or "words+linear", to which the scores of the label words belong as well.
        verbalizer: labels and their words.
        features: what the head takes, shape (examples, features): states, for "words+linear" after the scores of the
            label words.
        targets: index of the label of each example, or probabilities of the labels, shape (examples, labels).
        weights: weight of each example, above 0, shape (examples,); only their ratios count. None for equal ones.
        seed: seed of the folds.

    Raises:
        DataError: a label has fewer than two examples.
        NonFiniteError: features are NaN or infinite.

    Source:
        Breiman, Friedman, Olshen and Stone, Classification and Regression Trees, 1984, section 3.4.3: the rule of one
        standard error, there of the least loss itself.

    Example:
        >>> from softcloze import Verbalizer
        >>> states = torch.tensor([[0.0, 1.0], [1.0, 1.0], [4.0, 1.0], [5.0, 1.0]])
        >>> fit = fit_exact("linear", Verbalizer({"a": "low", "b": "high"}), states, [0, 0, 1, 1])
        >>> fit.head.label_scores(states).argmax(-1).tolist()
        [0, 0, 1, 1]
    """
    labels = len(verbalizer.labels)
    count = verbalizer.scored if name == "words+linear" else 0
    states = features[:, count:].detach().cpu().double().numpy()
    words = WordHead(verbalizer).label_scores(features.detach().cpu().double()).numpy() if count else None
    _validate_finite(states, words)
    goals = _goals(targets, labels)
    nearest = goals.argmax(1)
    counts = np.bincount(nearest, minlength=labels)
    if counts.min() < 2:
        _raise_sparse(name, verbalizer, counts)
    shares = np.full(len(goals), 1 / len(goals))
    if weights is not None and np.ptp(weights) > 0:
        shares = np.asarray(weights, dtype=np.float64) / np.sum(weights)
    strengths = STRENGTHS * states.shape[1]

    folds = [*_folds(nearest, int(counts.min()), seed)]
    held_out = np.full((len(strengths), len(folds), *goals.shape), np.nan)
    for fold, (train, test) in enumerate(folds):
        problem = Problem(states[train], goals[train], shares[train], words[train] if words is not None else None)
        for i, solution in enumerate(_path(problem, strengths)):
            of_words = words[test] if words is not None else None
            held_out[i, fold, test] = problem.log_probabilities(solution, states[test], of_words)
    # each example is left out once in each repeat
    repeats = np.isfinite(held_out[0, :, :, 0]).sum(0)[:, None]
    log_probabilities = logsumexp(np.nan_to_num(held_out, nan=-np.inf), axis=1) - np.log(repeats)
    losses = -(goals * np.nanmean(held_out, axis=1)).sum(2)
    mean = losses @ shares
    # of the same examples, whose losses differ far more among themselves than from one strength to the next
    excess = losses - losses[mean.argmin()]
    errors = np.sqrt(((shares * (excess - (excess @ shares)[:, None])) ** 2).sum(1))
    chosen = int(np.flatnonzero(excess @ shares <= errors)[0])

    problem = Problem(states, goals, shares, words)
    *_, solution = _path(problem, strengths[: chosen + 1])
    weight, bias = problem.unrotated(solution)
    scale, *linear = (torch.tensor(value).float() for value in (solution.scale, weight, bias))
    return ExactFit(
        head=WordsLinearHead(verbalizer, scale, *linear) if words is not None else LinearHead(*linear),
        strength=float(strengths[chosen]),
        strengths=strengths,
        log_losses=mean,
        standard_errors=errors,
        log_probabilities=log_probabilities[chosen],
    )


def _path(problem: Problem, strengths: Array) -> Iterator[Solution]:
    """The minimum at each strength, from the strongest to the weakest, each from the one before."""
    solution = None
    for strength in strengths.tolist():
        solution = problem.solve(strength, solution)
        yield solution


def _folds(nearest: NDArray[np.int_], fewest: int, seed: int) -> Iterator[tuple[NDArray[np.int_], NDArray[np.int_]]]:
    """Indices to fit to and indices to leave out, in repeated stratified folds."""
    from sklearn.model_selection import RepeatedStratifiedKFold  # slow to import, and only `fit` needs it

    folds = min(FOLDS, fewest)
    repeats = round(FITS / folds) if len(nearest) < SEVERAL else 1
    yield from RepeatedStratifiedKFold(n_splits=folds, n_repeats=repeats, random_state=seed % 2**32).split(
        np.zeros(len(nearest)), nearest
    )


def _goals(targets: Sequence[int] | Tensor, labels: int) -> Array:
    """Probabilities of the labels, shape (examples, labels)."""
    given = torch.as_tensor(targets)
    if given.dim() == 1:
        given = torch.nn.functional.one_hot(given, labels)
    goals: Array = given.double().numpy()
    return goals


def _validate_finite(states: Array, words: Array | None) -> None:
    """Raise NonFiniteError for states or label scores that are not finite."""
    for what, values in (("states", states), ("scores of its label words", words)):
        if values is not None and (rows := np.flatnonzero(~np.isfinite(values).all(1)).tolist()):
            raise NonFiniteError(
                f"the {what} are NaN or infinite, and a linear head takes finite ones; load the model with "
                'dtype="bfloat16" or "float32"',
                rows,
                len(values),
            )


def _raise_sparse(name: str, verbalizer: AnyVerbalizer, counts: NDArray[np.int_]) -> None:
    sparse = {label: count for label, count in zip(verbalizer.labels, counts.tolist(), strict=True) if count < 2}
    described = ", ".join(f"{label!r} has {count}" for label, count in sparse.items())
    raise DataError(
        f"head={name!r} needs two examples of each label, of which one is left out to choose its strength, and "
        f'{described}; give more, take such labels out, or use head="words" or "warp"'
    )
