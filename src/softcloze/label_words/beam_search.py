"""Choose the words of all labels together: a beam search, with cross-validation of its depth."""

from collections.abc import Sequence

import numpy as np
from sklearn.model_selection import RepeatedStratifiedKFold

from softcloze.label_words.candidates import Ranking

Choice = tuple[tuple[int, ...], ...]  # for each label the indices of its words, the first found first
WIDTH = 30  # beam width
FOLDS, REPEATS = 4, 3


def choose_words(
    log_probs: np.ndarray, targets: np.ndarray, ranking: Ranking, words: int, seed: int, start: Choice | None = None
) -> Choice:
    """Choose the words of each label.

    Each label considers its likeliest words. If the ranking allows several depths, repeated stratified
    cross-validation selects one: words chosen on the other folds are scored on the one left out. The examples on which
    words were chosen cannot select it: among thousands of words, some separate any 32 examples without an error.

    Args:
        log_probs: of each word in each example, nats, shape (examples, words).
        targets: index of each example's label.
        ranking: of the words of a label.
        words: number of words for each label.
        seed: of the folds.
        start: words that each label has already, equally many for each; None for none.

    Returns:
        For each label the indices of its words.
    """
    depths = sorted({min(depth, log_probs.shape[1]) for depth in ranking.depths})
    best = depths[0]
    if len(depths) > 1:
        metrics = [cross_validate(log_probs, targets, ranking, words, depth, seed, start) for depth in depths]
        best = depths[_best_first(*np.array(metrics).T)[0]]
    return beam_search(log_probs, targets, ranking, words, best, start)


def cross_validate(
    log_probs: np.ndarray,
    targets: np.ndarray,
    ranking: Ranking,
    words: int,
    depth: int,
    seed: int,
    start: Choice | None = None,
) -> tuple[float, float]:
    """Balanced accuracy and loss in nats, on examples of which the beam search has seen none."""
    folds = RepeatedStratifiedKFold(
        n_splits=min(FOLDS, int(np.bincount(targets).min())), n_repeats=REPEATS, random_state=seed % 2**32
    )
    scores, true = [], []
    for others, fold in folds.split(log_probs, targets):
        choice = beam_search(log_probs[others], targets[others], ranking, words, depth, start)
        scores.append(np.stack([_log_mean_prob(log_probs[np.ix_(fold, chosen)]) for chosen in choice], -1))
        true.append(targets[fold])
    accuracy, loss = balanced_metrics(np.concatenate(scores), np.concatenate(true))
    return float(accuracy), float(loss)


def beam_search(
    log_probs: np.ndarray, targets: np.ndarray, ranking: Ranking, words: int, depth: int, start: Choice | None = None
) -> Choice:
    """Find the best choice among the words that rank first for each label.

    Label after label gets one word, then one more, until all have `words`; each step keeps the `WIDTH` best choices.
    """
    labels = int(targets.max()) + 1
    # enough for every label, whatever words the others get
    lists = shortlists(log_probs, targets, ranking, depth, at_least=words * labels)
    choices: list[Choice] = [start or ((),) * labels]
    # log of the words' summed probabilities
    sums = np.stack([np.logaddexp.reduce(log_probs[:, chosen], axis=-1) for chosen in choices[0]], -1)[None]
    for _ in range(len(choices[0][0]), words):
        for label, shortlist in enumerate(lists):
            choices, sums = _extend(choices, sums, label, shortlist, log_probs, targets)
    return choices[0]


def shortlists(
    log_probs: np.ndarray, targets: np.ndarray, ranking: Ranking, depth: int, at_least: int = 1
) -> list[np.ndarray]:
    """For each label the best of its `depth` likeliest words by `ranking`, the best first."""
    lists = []
    for label in range(int(targets.max()) + 1):
        has_label = targets == label
        likeliest = np.argsort(-log_probs[has_label].mean(0), kind="stable")[: max(depth, at_least)]
        order = np.argsort(-ranking.score(log_probs[:, likeliest], has_label), kind="stable")
        lists.append(likeliest[order[: max(ranking.keep, at_least)]])
    return lists


def balanced_metrics(scores: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Balanced accuracy and balanced log loss: every label counts the same, however many examples it has.

    Args:
        scores: label log-scores in nats, up to a constant per example, shape (..., examples, labels).
        targets: index of each example's label; every label has an example.

    Returns:
        Both of shape (...): the means over labels of their accuracy, where a tie is wrong, and of their negative
        log-probability in nats.

    >>> accuracy, loss = balanced_metrics(np.log([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), np.array([0, 0, 1]))
    >>> accuracy, loss.round(3)
    (np.float64(0.25), np.float64(0.887))
    """
    counts = np.bincount(targets)
    weights = 1 / (len(counts) * counts[targets])
    of_target = scores[..., np.arange(len(targets)), targets]
    right = (scores >= of_target[..., None]).sum(-1) == 1
    return (right * weights).sum(-1), ((np.logaddexp.reduce(scores, axis=-1) - of_target) * weights).sum(-1)


def _extend(
    choices: Sequence[Choice],
    sums: np.ndarray,
    label: int,
    shortlist: np.ndarray,
    log_probs: np.ndarray,
    targets: np.ndarray,
) -> tuple[list[Choice], np.ndarray]:
    """Give `label` one more word of its shortlist in each choice, and keep the best choices."""
    extended: dict[tuple[frozenset[int], ...], tuple[int, int, Choice]] = {}  # sets: the order of words is no matter
    for i, choice in enumerate(choices):
        for word in map(int, shortlist):
            if not any(word in chosen for chosen in choice):
                longer = (*choice[:label], (*choice[label], word), *choice[label + 1 :])
                extended.setdefault(tuple(map(frozenset, longer)), (i, word, longer))
    indices, words, longer_choices = zip(*extended.values(), strict=True)
    new_sums = sums[list(indices)]
    new_sums[..., label] = np.logaddexp(new_sums[..., label], log_probs[:, list(words)].T)
    # in the first round only the labels up to this one have words
    known = label + 1 if not choices[0][-1] else len(choices[0])
    examples = targets < known
    counts = [len(chosen) for chosen in longer_choices[0][:known]]
    best = _best_first(*balanced_metrics(new_sums[:, examples, :known] - np.log(counts), targets[examples]))
    if known > 1:  # with one label, all its words are equally good
        best = best[:WIDTH]
    return [longer_choices[i] for i in best], new_sums[best]


def _best_first(accuracy: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """Indices by descending accuracy, and by ascending loss at equal accuracy."""
    return np.lexsort((loss, -accuracy.round(12)))


def _log_mean_prob(log_probs: np.ndarray) -> np.ndarray:
    """Log of the mean probability over the last axis, as a verbalizer aggregates the words of a label."""
    aggregated: np.ndarray = np.logaddexp.reduce(log_probs, axis=-1) - np.log(log_probs.shape[-1])
    return aggregated
