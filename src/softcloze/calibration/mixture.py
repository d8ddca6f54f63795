"""Prototypical calibration: cluster the scores of unlabelled texts, and assign each cluster to a label."""

from dataclasses import dataclass, field
from reprlib import repr as shortened
from threading import Lock

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_softmax

from softcloze.calibration.scores import Calibration, Scores, as_tuples, label_count, log_probs, validate_numbers
from softcloze.errors import ParameterError

STARTS = 10
ROUNDS = 1000
# added to the variance of every cluster, as a share of that of all examples: without it clusters shrink to single
# examples if these are few
FLOOR = 0.05
# scikit-learn changes the filters of warnings while it checks an array; two threads that do so at once can leave the
# change in place, since all threads share the filters
FITTING = Lock()


@dataclass(frozen=True, slots=True)
class Mixture(Calibration):
    """A Gaussian cluster for each label, in the order of the scores.

    Clusters have `labels - 1` coordinates: the products of the log-scores with the rows of the Helmert matrix, which
    are orthonormal and sum to 0. A constant added to the scores of an example cancels in them, and all labels are
    treated alike.

    Attributes:
        weights: share of the examples, shape (labels,).
        means: nats, shape (labels, labels - 1).
        covariances: squared nats, shape (labels, labels - 1, labels - 1).
    """

    method: str = field(default="prototypical", init=False, repr=False)
    weights: tuple[float, ...]
    means: tuple[tuple[float, ...], ...]
    covariances: tuple[tuple[tuple[float, ...], ...], ...]

    def __post_init__(self) -> None:
        labels = label_count(self.weights)
        validate_numbers("weights", self.weights, (labels,))
        validate_numbers("means", self.means, (labels, labels - 1))
        validate_numbers("covariances", self.covariances, (labels, labels - 1, labels - 1))
        if min(self.weights) <= 0:
            raise ParameterError(f"weights must be above 0, found {shortened(self.weights)}")
        try:
            np.linalg.cholesky(self.covariances)
        except np.linalg.LinAlgError as problem:
            raise ParameterError(
                f"covariances must be positive definite, found {shortened(self.covariances)}"
            ) from problem

    def _apply(self, scores: ArrayLike) -> Scores:
        """Log-probabilities that an example belongs to the cluster of each label.

        >>> mixture = Mixture((0.5, 0.5), ((3.0,), (1.0,)), (((1.0,),), ((1.0,),)))
        >>> np.exp(mixture.apply([[2.0 * np.sqrt(2), 0.0]]))  # half-way
        array([[0.5, 0.5]])
        """
        from scipy.linalg import helmert

        labels = len(self.weights)
        covariances = np.asarray(self.covariances)
        points = log_probs(scores, labels) @ helmert(labels).T
        offsets = (points - np.asarray(self.means)[:, None]).swapaxes(1, 2)  # (labels, labels - 1, batch)
        distances = (offsets * np.linalg.solve(covariances, offsets)).sum(axis=1)
        volumes = np.linalg.slogdet(covariances).logabsdet[:, None]
        result: Scores = log_softmax(np.log(self.weights) - (distances + volumes).T / 2, axis=1)
        return result


def fit_mixture(scores: ArrayLike, random_state: int) -> Mixture:
    """Learn one cluster for each label from unlabelled examples, and assign the clusters to the labels.

    Of ten mixtures the likeliest one is kept. The assignment maximises the sum over clusters of the mean score for the
    label. A hundred examples are enough for a few labels; with few examples, or with a label that hardly occurs,
    clusters may not correspond to labels. A wide cluster also covers examples far beyond a narrow one.

    Args:
        scores: log-scores in nats, up to a constant per example, shape (batch, labels).
        random_state: seed of the starting points.

    Raises:
        ParameterError: fewer than two examples a label, too few different scores, or scores that are not finite.

    Source:
        Han et al., ICLR 2023, arXiv:2205.10183. As in their code, points are log-probabilities and covariances are
        full. Different here: the coordinate that the others determine is left out, since with it clusters are so thin
        that nearly all probabilities are 0 or 1; covariances have a floor; weights are kept, which they set equal; and
        the start is chosen by likelihood, where they choose by the sum of the assignment.

    >>> generator = np.random.default_rng(0)
    >>> right = generator.integers(2, size=200)
    >>> scores = 4 * np.eye(2)[right] + generator.normal(size=(200, 2)) + [5, 0]  # biased towards label 0
    >>> float((scores.argmax(1) == right).mean())
    0.58
    >>> mixture = fit_mixture(scores, random_state=0)
    >>> float((mixture.apply(scores).argmax(1) == right).mean())
    1.0
    """
    from scipy.linalg import helmert
    from scipy.optimize import linear_sum_assignment
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    log_p = log_probs(scores)
    batch, labels = log_p.shape
    if batch < 2 * labels:
        raise ParameterError(
            f"prototypical calibration of {labels} labels needs at least {2 * labels} unlabelled examples, found "
            f"{batch}; give more, or choose another method"
        )
    basis = helmert(labels)
    points = log_p @ basis.T
    distinct = len(np.unique(points.round(6), axis=0))
    if distinct < labels:
        raise ParameterError(
            f"prototypical calibration of {labels} labels needs examples with at least {labels} different scores, "
            f"found {distinct} among {batch} examples; give others, or choose another method"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        variance = points.var(axis=0).mean()
    if not np.isfinite(variance):
        raise ParameterError(f"scores up to {np.abs(log_p).max():.0e} nats apart have no finite variance; give others")
    model = GaussianMixture(
        labels,
        n_init=STARTS,
        max_iter=ROUNDS,
        reg_covar=FLOOR * variance,
        random_state=random_state % 2**32,  # the range of seeds of scikit-learn
    )
    try:
        with FITTING:
            converged = model.fit(points).converged_
    except ConvergenceWarning:  # if warnings are errors; filters are left alone, since all threads share them
        converged = False
    if not converged:
        raise ParameterError(
            f"no clusters found in the scores of {batch} examples within {ROUNDS} rounds; give others, or choose "
            "another method"
        )
    # these mean scores lack a constant for each cluster, which does not change the assignment
    _, order = linear_sum_assignment((model.means_ @ basis).T, maximize=True)
    return Mixture(*(as_tuples(array[order].tolist()) for array in (model.weights_, model.means_, model.covariances_)))
