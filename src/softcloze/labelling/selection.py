"""Choose the next text to label: texts that differ at first, later those that the classifier is least sure of."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from softcloze.heads.logistic import Array
from softcloze.labelling.head import Features, Indices

Strategy = Literal["default", "different", "uncertain", "random"]
Chosen = tuple[int, str]  # index of a text and the reason

COMPONENTS = 32  # of the states, for the similarity of texts
NEAREST = 20  # texts around one whose similarity is its density
FIRST = 8  # texts that differ, before the classifier takes part; or one for each label, if that is more
CANDIDATES = 40  # least sure texts among which similar ones are passed over
LIKENESS = 0.5  # what a text loses for a cosine of 1 with one that the classifier does not know yet
DEFAULT: Strategy = "random"  # docs/measurements/labelling.md: no other is above it on all tasks
AT_ONCE = 64  # texts that are compared with all others at once
MOST_CLUSTERED = 20_000  # texts among which clusters are sought


class Likeness:
    """For each text the cosine with the most similar one of a growing set of texts.

    >>> likeness = Likeness(np.eye(3, dtype=np.float32))
    >>> likeness.to([0]).tolist(), likeness.to([0, 2]).tolist(), likeness.to([2]).tolist()
    ([1.0, 0.0, 0.0], [1.0, 0.0, 1.0], [0.0, 0.0, 1.0])
    """

    def __init__(self, vectors: Array):
        """Take directions of length 1, shape (texts, components)."""
        self._vectors = vectors
        self._known: set[int] = set()
        self._cosines = np.full(len(vectors), -np.inf, dtype=vectors.dtype)

    def to(self, indices: Collection[int]) -> Array:
        """The cosines, shape (texts,); only texts that were not there in the last call cost time."""
        if not self._known <= {*indices}:  # a lease ended, or an answer was taken back
            self._known, self._cosines = set(), np.full_like(self._cosines, -np.inf)
        new = sorted({*indices} - self._known)
        for start in range(0, len(new), AT_ONCE):
            cosines = self._vectors @ self._vectors[new[start : start + AT_ONCE]].T
            np.maximum(self._cosines, cosines.max(1), out=self._cosines)
        self._known.update(new)
        return self._cosines


@dataclass(frozen=True, eq=False)
class Space:
    """Directions of the texts' standardised states, in which cosines compare them.

    Attributes:
        vectors: of length 1, shape (texts, components).
        first: indices of texts that differ, each in the middle of a cluster.
        shuffled: all indices in random order.
        likeness: of all texts to those that new ones should not resemble.
    """

    vectors: Array
    first: tuple[int, ...]
    shuffled: Indices
    likeness: Likeness


def space_of(features: Features, labels: int, seed: int) -> Space:
    """Compute the directions of texts, and cluster them for the first ones to label.

    Args:
        features: of the texts.
        labels: number of labels.
        seed: of the clusters and the random order.
    """
    from sklearn.cluster import KMeans  # slow to import
    from sklearn.utils.extmath import randomized_svd

    generator = np.random.default_rng(seed)
    states = np.asarray(features.states, dtype=np.float32)
    spread = states.std(0)
    states = (states - states.mean(0)) / np.where(spread > 0, spread, 1)
    count = min(COMPONENTS, *states.shape)
    left, values, _ = randomized_svd(states, count, random_state=seed % 2**32)
    vectors = left * values
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = vectors / np.where(lengths > 0, lengths, 1)
    shuffled = generator.permutation(len(vectors))
    sample = shuffled[:MOST_CLUSTERED]
    clusters = min(max(FIRST, labels), len(np.unique(vectors[sample].round(4), axis=0)))  # texts may be alike
    fitted = KMeans(clusters, n_init=3, random_state=seed % 2**32).fit(vectors[sample])
    middles = sample[fitted.transform(vectors[sample]).argmin(0)]
    sizes = np.bincount(fitted.labels_, minlength=clusters)
    first = tuple(dict.fromkeys(middles[np.argsort(-sizes, kind="stable")].tolist()))
    return Space(vectors, first, shuffled, Likeness(vectors))


def choose(
    count: int,
    *,
    strategy: Strategy,
    space: Space,
    log_probabilities: Array | None,
    targets: Collection[int],
    labelled: Indices,
    recent: Indices,
    open_: NDArray[np.bool_],
    turn: int,
) -> list[Chosen]:
    """Choose texts by a strategy, the best first; fewer than `count` if no more are open.

    Args:
        count: number of texts.
        strategy: as for `Labeller`.
        space: of all texts.
        log_probabilities: of the labels of all texts by the last classifier, in nats, shape (texts, labels); None as
            long as none is fitted.
        targets: indices of the labels that some text has already.
        labelled: indices of the texts that are labelled, leased or skipped, which different ones should not resemble.
        recent: those of them that the classifier does not know, which uncertain ones should not resemble.
        open_: True for each text that may be chosen, shape (texts,).
        turn: number of texts that were chosen before.
    """
    open_ = open_.copy()
    chosen: list[Chosen] = []
    near, new = labelled.tolist(), recent.tolist()
    known = log_probabilities.shape[1] if log_probabilities is not None else 0
    missing = [label for label in range(known) if label not in targets]
    for later in range(min(count, int(open_.sum()))):
        index, how = _next(turn + later, strategy, space, log_probabilities, missing, near, new, open_)
        chosen.append((index, how))
        near.append(index)
        new.append(index)
        open_[index] = False
    return chosen


def _next(
    turn: int,
    strategy: Strategy,
    space: Space,
    log_probabilities: Array | None,
    missing: list[int],
    near: list[int],
    new: list[int],
    open_: NDArray[np.bool_],
) -> Chosen:
    if strategy == "random":
        return random_text(space, open_), "random"
    first = next((index for index in space.first if open_[index]), None)
    if first is not None:
        return first, "different"
    if strategy == "different" or log_probabilities is None:
        return _different(space, near, open_), "different"
    candidates = np.flatnonzero(open_)
    if missing and turn % 2 == 0:
        label = missing[turn // 2 % len(missing)]
        return int(candidates[log_probabilities[candidates, label].argmax()]), "sought"
    return _uncertain(space, log_probabilities, new, candidates), "uncertain"


def random_text(space: Space, open_: NDArray[np.bool_]) -> int:
    """The next text in random order."""
    return int(space.shuffled[open_[space.shuffled].argmax()])


def _different(space: Space, near: list[int], open_: NDArray[np.bool_]) -> int:
    """The text that is least similar to the most similar one of those labelled (k-centre greedy)."""
    candidates = np.flatnonzero(open_)
    if not near:
        return random_text(space, open_)
    return int(candidates[space.likeness.to(near)[candidates].argmin()])


def _uncertain(space: Space, log_probabilities: Array, new: list[int], candidates: Indices) -> int:
    """Among the texts of least margin, the one of least margin and likeness to those that the classifier lacks."""
    margins = margins_of(log_probabilities[candidates])
    least = np.argsort(margins, kind="stable")[:CANDIDATES]
    cosines = space.vectors[candidates[least]] @ space.vectors[new].T if new else np.zeros((len(least), 1))
    return int(candidates[least[(margins[least] + LIKENESS * cosines.max(1).clip(0)).argmin()]])


def margins_of(log_probabilities: Array) -> Array:
    """Probability of the likeliest label less that of the next, shape (texts,).

    >>> margins_of(np.log([[0.2, 0.7, 0.1], [0.5, 0.5, 0.0001]])).round(2).tolist()
    [0.5, 0.0]
    """
    rows, likeliest = np.arange(len(log_probabilities)), log_probabilities.argmax(1)
    others = log_probabilities.copy()
    others[rows, likeliest] = -np.inf
    margins: Array = np.exp(log_probabilities[rows, likeliest]) - np.exp(others.max(1))
    return margins
