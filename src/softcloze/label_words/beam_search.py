"""Which words for which label: a beam over the product of the choices, and cross-validation."""

from collections.abc import Sequence

import numpy as np
from sklearn.model_selection import RepeatedStratifiedKFold

from softcloze.label_words.candidates import Method

Choice = tuple[tuple[int, ...], ...]  # the columns that stand for each label, the first found first
WIDTH = 30  # choices that the beam keeps
FOLDS, REPEATS = 4, 3


def select(
    log_probs: np.ndarray, targets: np.ndarray, method: Method, words: int, seed: int, start: Choice | None = None
) -> Choice:
    """The words that stand for each label.

    Each label looks at its likeliest words. At how many is settled by repeated stratified cross-validation where the
    method leaves it open: the search goes through the other folds and its words are judged on the one left out.
    Examples on which words were chosen would not do, since among thousands of words some part any 32 examples without
    a mistake.

    Args:
        log_probs: of each word in each example, nats, shape (examples, words).
        targets: the number of each example's label, from 0.
        method: one of `softcloze.label_words.candidates.METHODS`.
        words: words for each label.
        seed: of the folds.
        start: words that each label has already, as many for each; none if None.

    Returns:
        For each label the numbers of its words.
    """
    depths = sorted({min(depth, log_probs.shape[1]) for depth in method.depths})
    best = depths[0]
    if len(depths) > 1:
        judged = [held_out(log_probs, targets, method, words, depth, seed, start) for depth in depths]
        best = depths[_order(*np.array(judged).T)[0]]
    return search(log_probs, targets, method, words, best, start)


def held_out(
    log_probs: np.ndarray,
    targets: np.ndarray,
    method: Method,
    words: int,
    depth: int,
    seed: int,
    start: Choice | None = None,
) -> tuple[float, float]:
    """Balanced accuracy and loss, in nats, of searches that did not see the examples they are judged on."""
    folds = RepeatedStratifiedKFold(
        n_splits=min(FOLDS, int(np.bincount(targets).min())), n_repeats=REPEATS, random_state=seed % 2**32
    )
    scores, true = [], []
    for others, fold in folds.split(log_probs, targets):
        choice = search(log_probs[others], targets[others], method, words, depth, start)
        scores.append(np.stack([_mean(log_probs[np.ix_(fold, own)]) for own in choice], -1))
        true.append(targets[fold])
    accuracy, loss = judge(np.concatenate(scores), np.concatenate(true))
    return float(accuracy), float(loss)


def search(
    log_probs: np.ndarray, targets: np.ndarray, method: Method, words: int, depth: int, start: Choice | None = None
) -> Choice:
    """The best choice that a beam finds among the words that rank first for each label.

    Label after label is given one word, then one word more, until all have `words`; after each step the `WIDTH` best
    choices go on.
    """
    labels = int(targets.max()) + 1
    # enough for every label whatever the others take
    lists = shortlists(log_probs, targets, method, depth, at_least=words * labels)
    choices: list[Choice] = [start or ((),) * labels]
    # log of the words' summed probabilities
    sums = np.stack([np.logaddexp.reduce(log_probs[:, own], axis=-1) for own in choices[0]], -1)[None]
    for _ in range(len(choices[0][0]), words):
        for label, listed in enumerate(lists):
            choices, sums = _grow(choices, sums, label, listed, log_probs, targets)
    return choices[0]


def shortlists(
    log_probs: np.ndarray, targets: np.ndarray, method: Method, depth: int, at_least: int = 1
) -> list[np.ndarray]:
    """The words that each label suggests: of its `depth` likeliest the first by `method`, the best at the front."""
    found = []
    for label in range(int(targets.max()) + 1):
        own = targets == label
        likeliest = np.argsort(-log_probs[own].mean(0), kind="stable")[: max(depth, at_least)]
        order = np.argsort(-method.rank(log_probs[:, likeliest], own), kind="stable")
        found.append(likeliest[order[: max(method.first, at_least)]])
    return found


def judge(scores: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Balanced accuracy and balanced log loss: every label counts the same, however many examples it has.

    Args:
        scores: label log-scores, up to a constant for each example, shape (..., examples, labels).
        targets: the number of each example's label; every label has one.

    Returns:
        Both of shape (...): the mean over labels of the share of their examples that are right, where a tie is wrong,
        and of their mean negative log-probability in nats.

    >>> accuracy, loss = judge(np.log([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), np.array([0, 0, 1]))
    >>> accuracy, loss.round(3)
    (np.float64(0.25), np.float64(0.887))
    """
    counts = np.bincount(targets)
    shares = 1 / (len(counts) * counts[targets])
    own = scores[..., np.arange(len(targets)), targets]
    right = (scores >= own[..., None]).sum(-1) == 1
    return (right * shares).sum(-1), ((np.logaddexp.reduce(scores, axis=-1) - own) * shares).sum(-1)


def _grow(
    choices: Sequence[Choice],
    sums: np.ndarray,
    label: int,
    listed: np.ndarray,
    log_probs: np.ndarray,
    targets: np.ndarray,
) -> tuple[list[Choice], np.ndarray]:
    """Give `label` one more word in every way that there is, and keep the best choices."""
    grown: dict[tuple[frozenset[int], ...], tuple[int, int, Choice]] = {}  # the same words in another order count once
    for number, choice in enumerate(choices):
        for word in map(int, listed):
            if not any(word in own for own in choice):
                longer = (*choice[:label], (*choice[label], word), *choice[label + 1 :])
                grown.setdefault(tuple(map(frozenset, longer)), (number, word, longer))
    numbers, words, longer_choices = zip(*grown.values(), strict=True)
    new_sums = sums[list(numbers)]
    new_sums[..., label] = np.logaddexp(new_sums[..., label], log_probs[:, list(words)].T)
    # in the first round only the labels up to this one have words, which all have in the next
    known = label + 1 if not choices[0][-1] else len(choices[0])
    rows = targets < known
    counts = [len(own) for own in longer_choices[0][:known]]
    best = _order(*judge(new_sums[:, rows, :known] - np.log(counts), targets[rows]))
    if known > 1:  # as long as one label is alone, all its words are equally good
        best = best[:WIDTH]
    return [longer_choices[i] for i in best], new_sums[best]


def _order(accuracy: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """Numbers of what was judged, the best first: by accuracy, and by loss where that is the same."""
    return np.lexsort((loss, -accuracy.round(12)))


def _mean(log_probs: np.ndarray) -> np.ndarray:
    """The log of the mean probability over the last axis: how a verbalizer joins the words of a label."""
    joined: np.ndarray = np.logaddexp.reduce(log_probs, axis=-1) - np.log(log_probs.shape[-1])
    return joined
