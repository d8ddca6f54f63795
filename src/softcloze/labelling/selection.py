"""Choose the next text to label: typical texts that differ at first, later those of which the classifier is unsure."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from softcloze.heads.logistic import Array
from softcloze.labelling.head import Features, Indices

Strategy = Literal["default", "uncertain", "random"]
Chosen = tuple[int, str]  # index of a text and the reason

COMPONENTS = 32  # of the states, for the similarity of texts
ROUND = 8  # typical texts, before clusters are sought anew for more of them
FOR_EACH_LABEL, MOST = 6, 64  # typical texts, before the classifier takes part: for each label, and at most
NEAREST = 20  # texts of a cluster whose similarity makes one of them typical
CANDIDATES = 40  # least sure texts among which similar ones are passed over
LIKENESS = 0.5  # what a text loses for a cosine of 1 with one that the classifier does not know yet
DEFAULT: Strategy = "random"  # docs/measurements/labelling.md: no other is above it on all tasks
MOST_CLUSTERED = 5_000  # texts among which clusters are sought


@dataclass(frozen=True, eq=False)
class Space:
    """Directions of the texts' standardised states, in which cosines compare them.

    Attributes:
        vectors: of length 1, shape (texts, components).
        first: indices of typical texts that differ, those of large clusters first.
        shuffled: all indices in random order.
    """

    vectors: Array
    first: tuple[int, ...]
    shuffled: Indices


def space_of(features: Features, labels: int, seed: int) -> Space:
    """Compute the directions of texts, and cluster them for the first ones to label.

    Args:
        features: of the texts.
        labels: number of labels.
        seed: of the clusters and the random order.
    """
    from sklearn.utils.extmath import randomized_svd  # slow to import

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
    sample = sample[np.unique(vectors[sample].round(4), axis=0, return_index=True)[1]]  # like ones count once
    count = min(max(ROUND, FOR_EACH_LABEL * labels), MOST, len(sample))
    first = tuple(sample[typical_texts(vectors[sample], count, seed)].tolist())
    return Space(vectors, first, shuffled)


def typical_texts(vectors: Array, count: int, seed: int) -> list[int]:
    """Texts that are typical of clusters, as many clusters as texts.

    Clusters are sought anew for each eight texts. The largest ones without a text come first, and of each the text that
    is most similar to its nearest ones.

    Args:
        vectors: of length 1, shape (texts, components).
        count: number of texts, at most.
        seed: of the clusters.

    Source:
        TypiClust: Hacohen, Dekel and Weinshall, ICML 2022, arXiv:2202.02794.

    >>> angles = np.array([0.0, 0.1, 0.2, 1.4, 1.5, 1.6, 1.7, 1.55])
    >>> sorted(typical_texts(np.stack([np.cos(angles), np.sin(angles)], axis=1), 8, seed=0))
    [0, 1, 2, 3, 4, 5, 6, 7]
    """
    from sklearn.cluster import KMeans  # slow to import

    found: list[int] = []
    while len(found) < count:
        clusters = min(len(found) + ROUND, len(vectors))
        cluster_of = KMeans(clusters, n_init=1, random_state=seed % 2**32).fit(vectors).labels_
        sizes = np.bincount(cluster_of, minlength=clusters)
        covered = np.bincount(cluster_of[found], minlength=clusters)
        taken = np.zeros(len(vectors), dtype=bool)
        taken[found] = True
        before = len(found)
        for cluster in np.lexsort([-sizes, covered])[:ROUND]:
            members = np.flatnonzero((cluster_of == cluster) & ~taken)
            if len(members) and len(found) < count:
                cosines = np.sort(cosines_of(vectors[members], vectors[members]), axis=1)[:, -NEAREST:]
                found.append(int(members[cosines.mean(1).argmax()]))
        if len(found) == before:  # texts that are alike make fewer clusters
            break
    return found


def cosines_of(some: Array, others: Array) -> Array:
    """Cosines of finite vectors of length 1, shape (some, others)."""
    with np.errstate(invalid="ignore"):  # of small matrices, a BLAS may set the flag for numbers beside them
        cosines: Array = some @ others.T
    return cosines


def choose(
    count: int,
    *,
    strategy: Strategy,
    space: Space,
    log_probabilities: Array | None,
    margins: Array | None,
    targets: Collection[int],
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
        margins: `margins_of` these, shape (texts,).
        targets: indices of the labels that some text has already.
        recent: indices of the texts that are labelled, leased or skipped and that the classifier does not know, which
            uncertain ones should not resemble.
        open_: True for each text that may be chosen, shape (texts,).
        turn: number of texts that were chosen before.
    """
    open_ = open_.copy()
    chosen: list[Chosen] = []
    new = recent.tolist()
    known = log_probabilities.shape[1] if log_probabilities is not None else 0
    missing = [label for label in range(known) if label not in targets]
    for later in range(min(count, int(open_.sum()))):
        index, how = _next(turn + later, strategy, space, log_probabilities, margins, missing, new, open_)
        chosen.append((index, how))
        new.append(index)
        open_[index] = False
    return chosen


def _next(
    turn: int,
    strategy: Strategy,
    space: Space,
    log_probabilities: Array | None,
    margins: Array | None,
    missing: list[int],
    new: list[int],
    open_: NDArray[np.bool_],
) -> Chosen:
    if strategy == "random":
        return random_text(space, open_), "random"
    first = next((index for index in space.first if open_[index]), None)
    if first is not None:
        return first, "different"
    if log_probabilities is None or margins is None:
        return random_text(space, open_), "random"
    candidates = np.flatnonzero(open_)
    if missing and turn % 2 == 0:
        label = missing[turn // 2 % len(missing)]
        return int(candidates[log_probabilities[candidates, label].argmax()]), "sought"
    return _uncertain(space, margins, new, candidates), "uncertain"


def random_text(space: Space, open_: NDArray[np.bool_]) -> int:
    """The next text in random order."""
    return int(space.shuffled[open_[space.shuffled].argmax()])


def _uncertain(space: Space, margins: Array, new: list[int], candidates: Indices) -> int:
    """Among the texts of least margin, the one of least margin and likeness to those that the classifier lacks."""
    margins = margins[candidates]
    least = np.argsort(margins, kind="stable")[:CANDIDATES]
    like = cosines_of(space.vectors[candidates[least]], space.vectors[new]) if new else np.zeros((len(least), 1))
    return int(candidates[least[(margins[least] + LIKENESS * like.max(1).clip(0)).argmin()]])


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
