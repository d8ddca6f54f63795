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
from softcloze.heads.logistic import PRECISION, Array, Problem, Solution
from softcloze.verbalizer import AnyVerbalizer

# strengths per component of the state, from hardly any weight to hardly any penalty
STRENGTHS = np.logspace(0, -4, 9)
FOLDS, FITS = 5, 15
SEVERAL = 500  # examples from which on the folds are drawn once
HELD_OUT_PRECISION = 1e-6  # of the solutions that the folds judge
LABEL_WEIGHT = 2.0  # of a label's word as an example, in units of the average example


@dataclass(frozen=True, eq=False)
class ExactFit:
    """A head at the minimum of its loss, and the cross-validation that chose its L2 strength.

    Attributes:
        head: the head, fitted to all examples.
        strength: the chosen L2 strength: the factor of half the squared weights on standardised states, beside the mean
            log loss in nats. It is 1 / (C * examples) for the C of scikit-learn's `LogisticRegression`.
        strengths: all strengths that were tried, from the strongest to the weakest, shape (strengths,).
        log_losses: mean log loss of examples left out, in nats, shape (strengths,).
        log_probabilities: of the labels of each example by heads that were fitted without it at the chosen strength, in
            nats, shape (examples, labels): logarithms of the mean probability over the repeats.
    """

    head: LinearHead | WordsLinearHead
    strength: float
    strengths: Array
    log_losses: Array
    log_probabilities: Array


def fit_exact(
    name: str,
    verbalizer: AnyVerbalizer,
    features: Tensor,
    targets: Sequence[int] | Tensor,
    *,
    weights: ArrayLike | None = None,
    label_features: Tensor | None = None,
    seed: int = 0,
) -> ExactFit:
    """Fit the head "linear" or "words+linear" to features of training examples.

    The loss is the weighted mean log loss and, as a penalty, `strength` times half the squared weights on standardised
    states. Repeated stratified cross-validation chooses the penalty of least log loss. It has as many folds as the
    rarest label has examples, five at most. `label_features` are further examples: all folds learn from them, none is
    judged by them, and they do not count in the standardisation.

    Args:
        name: "linear", or "words+linear", to which the scores of the label words belong as well.
        verbalizer: labels and their words.
        features: what the head takes, shape (examples, features): states, for "words+linear" after the scores of the
            label words.
        targets: index of the label of each example, or probabilities of the labels, shape (examples, labels).
        weights: weight of each example, above 0, shape (examples,); only their ratios count. None for equal ones.
        label_features: features of a text for each label that says no more than the label does, such as its word, shape
            (labels, features). Each weighs as much as two average examples. None or shape (0, features) to learn from
            the examples alone.
        seed: seed of the folds.

    Raises:
        DataError: a label has fewer than two examples.
        NonFiniteError: features are NaN or infinite.

    Example:
        >>> from softcloze import Verbalizer
        >>> states = torch.tensor([[0.0, 1.0], [1.0, 1.0], [4.0, 1.0], [5.0, 1.0]])
        >>> fit = fit_exact("linear", Verbalizer({"a": "low", "b": "high"}), states, [0, 0, 1, 1])
        >>> fit.head.label_scores(states).argmax(-1).tolist()
        [0, 0, 1, 1]
    """
    labels, examples = len(verbalizer.labels), len(features)
    if label_features is not None:
        features = torch.cat([features, label_features])
    count = verbalizer.scored if name == "words+linear" else 0
    states = features[:, count:].detach().cpu().double().numpy()
    words = WordHead(verbalizer).label_scores(features.detach().cpu().double()).numpy() if count else None
    _validate_finite(states, words)
    goals = _goals(targets, labels)
    nearest = goals.argmax(1)
    counts = np.bincount(nearest, minlength=labels)
    if counts.min() < 2:
        _raise_sparse(name, verbalizer, counts)
    shares = np.full(examples, 1 / examples)
    if weights is not None and np.ptp(weights) > 0:
        shares = np.asarray(weights, dtype=np.float64) / np.sum(weights)
    # all that is learnt from: the examples, and after them label words, which do not count in the standardisation
    further = np.arange(examples, len(states))
    all_goals = np.concatenate([goals, np.eye(labels)])[: len(states)]
    all_weights = np.concatenate([shares, np.full(len(further), LABEL_WEIGHT / examples)])
    standard = np.concatenate([shares, np.zeros(len(further))])
    strengths = STRENGTHS * states.shape[1]

    def problem_of(train: NDArray[np.int_], precision: float = PRECISION) -> Problem:
        rows = np.concatenate([train, further])
        of_words = words[rows] if words is not None else None
        return Problem(states[rows], all_goals[rows], all_weights[rows], of_words, standard[rows], precision)

    folds = [*_folds(nearest, int(counts.min()), seed)]
    held_out = np.full((len(strengths), len(folds), *goals.shape), np.nan)
    for fold, (train, test) in enumerate(folds):
        problem = problem_of(train, HELD_OUT_PRECISION)
        for i, solution in enumerate(_path(problem, strengths)):
            of_words = words[test] if words is not None else None
            held_out[i, fold, test] = problem.log_probabilities(solution, states[test], of_words)
    # each example is left out once in each repeat
    repeats = np.isfinite(held_out[0, :, :, 0]).sum(0)[:, None]
    log_probabilities = logsumexp(np.nan_to_num(held_out, nan=-np.inf), axis=1) - np.log(repeats)
    log_losses = -(goals * np.nanmean(held_out, axis=1)).sum(2) @ shares
    chosen = int(log_losses.argmin())

    problem = problem_of(np.arange(examples))
    *_, solution = _path(problem, strengths[: chosen + 1])
    weight, bias = problem.unrotated(solution)
    scale, *linear = (torch.tensor(value).float() for value in (solution.scale, weight, bias))
    return ExactFit(
        head=WordsLinearHead(verbalizer, scale, *linear) if words is not None else LinearHead(*linear),
        strength=float(strengths[chosen]),
        strengths=strengths,
        log_losses=log_losses,
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
