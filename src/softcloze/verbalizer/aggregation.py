"""How the scores of several words become the score of one label, and the length of a word."""

from collections.abc import Callable

from torch import Tensor


def log_mean_prob(scores: Tensor, weights: Tensor) -> Tensor:
    """Log of the mean probability: one good word suffices, and more words are no advantage."""
    return log_sum_prob(scores, weights) - weights.sum().log()


def mean_log_prob(scores: Tensor, weights: Tensor) -> Tensor:
    """Mean of the log-probabilities: every word has to fit."""
    return (scores * weights).sum(-1) / weights.sum()


def max_log_prob(scores: Tensor, weights: Tensor) -> Tensor:
    """The best word's log-probability."""
    return (scores + weights.log()).amax(-1)


def log_sum_prob(scores: Tensor, weights: Tensor) -> Tensor:
    """Log of the probability that it is one of the words: more words are an advantage."""
    return (scores + weights.log()).logsumexp(-1)


AGGREGATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "log_mean_prob": log_mean_prob,
    "mean_log_prob": mean_log_prob,
    "max_log_prob": max_log_prob,
    "log_sum_prob": log_sum_prob,
}

# by the word and how many tokens it has; white space around it is not the word's own
LENGTHS: dict[str, Callable[[str, int], int]] = {
    "word": lambda word, tokens: 1,
    "token": lambda word, tokens: tokens,
    "character": lambda word, tokens: len(word.strip()),
    "byte": lambda word, tokens: len(word.strip().encode()),
}
