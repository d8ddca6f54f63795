"""How the scores of several words become the score of one label, and the length of a word."""

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from softcloze.errors import VerbalizerError

if TYPE_CHECKING:
    from torch import Tensor


def log_mean_prob(scores: "Tensor", weights: "Tensor") -> "Tensor":
    """Log of the mean probability: one good word suffices, and more words are no advantage."""
    return log_sum_prob(scores, weights) - weights.sum().log()


def mean_log_prob(scores: "Tensor", weights: "Tensor") -> "Tensor":
    """Mean of the log-probabilities: every word has to fit."""
    return (scores * weights).sum(-1) / weights.sum()


def max_log_prob(scores: "Tensor", weights: "Tensor") -> "Tensor":
    """The best word's log-probability."""
    return (scores + weights.log()).amax(-1)


def log_sum_prob(scores: "Tensor", weights: "Tensor") -> "Tensor":
    """Log of the probability that it is one of the words: more words are an advantage."""
    return (scores + weights.log()).logsumexp(-1)


AGGREGATIONS: "dict[str, Callable[[Tensor, Tensor], Tensor]]" = {
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
Label = str | int
Words = str | Sequence[str] | Mapping[str, float]
Fill = Literal["together", "left_to_right", "most_confident"]


class Verbalizer:
    """Words that stand for labels, written by hand.

    Attributes:
        labels: the labels in scikit-learn's order (sorted).
        words: the label words of each label, in that order.
        weights: the weight of each word.
        aggregate: how the words of one label become one score.
        per: what a word's score is divided by.
        fill: how a masked model fills in the tokens of a word that has several.

    Source:
        Schick and Schütze, EACL 2021, arXiv:2001.07676 (PET): several words a label by the mean of their logits,
        which gives the same probabilities as "mean_log_prob". Ding et al., ACL 2022 (OpenPrompt), arXiv:2111.01998,
        normalise over the label words first and then take that mean: the same probabilities again, since what is
        taken from all words alike cancels between the labels. Ours is the log of the mean probability, so that a
        word which never fits costs a label little. Per character as in lm-eval's `acc_norm`.

        `fill`: Schick and Schütze, NAACL 2021, arXiv:2009.07118, section 3.3, who train together and predict by the
        most confident; left to right is in their code (pet/task_helpers.py). Here one choice holds for both, so that
        what is trained is what predicts, and a word of k tokens has k masks in training as well, where theirs gives
        every word as many as the longest one has.

    Example:
        >>> import torch
        >>> verbalizer = Verbalizer({"good": ["great", "fine"], "bad": ["awful"]})
        >>> verbalizer.labels
        ('bad', 'good')
        >>> scores = torch.tensor([[0.9, 0.05, 0.05]]).log()  # awful, great, fine
        >>> verbalizer.label_scores(scores).exp()
        tensor([[0.9000, 0.0500]])
    """

    def __init__(
        self,
        words: Mapping[Label, Words],
        aggregate: str = "log_mean_prob",
        per: str = "word",
        fill: Fill = "together",
    ):
        """Check and keep the label words.

        Args:
            words: label -> its word, its words, or word -> weight, where twice the weight counts as if the word were
                twice as likely (in "mean_log_prob": as if it were there twice); labels are all str or all int.
            aggregate: "log_mean_prob", "mean_log_prob", "max_log_prob" or "log_sum_prob".
            per: the unit of a word's score: "word" for its log-probability as it is, "token", "character" or "byte"
                for its mean over these, which lets long words keep up with short ones.
            fill: how a masked model fills in the k masks of a word of k tokens. "together": each token is scored with
                the whole word masked, which takes one row for all words of k tokens. "left_to_right": each token is
                scored with those before it filled in, up to k rows a word in one pass. "most_confident": in k passes
                of up to one row a word, each of which fills in the token that is likeliest where it stands. It makes
                no difference to words of one token, and none to causal and seq2seq models, which always go from left
                to right.

        Raises:
            VerbalizerError: fewer than two labels, labels of mixed types, a label without words, an empty
                word, a word given twice, a weight that is not above 0, or an unknown aggregation, unit or filling.
        """
        if aggregate not in AGGREGATIONS:
            raise VerbalizerError(f"aggregate={aggregate!r} is unknown; expected {', '.join(AGGREGATIONS)}")
        if per not in LENGTHS:
            raise VerbalizerError(f"per={per!r} is unknown; expected {', '.join(LENGTHS)}")
        if fill not in get_args(Fill):
            raise VerbalizerError(f"fill={fill!r} is unknown; expected {', '.join(get_args(Fill))}")
        self.aggregate, self.per, self.fill = aggregate, per, fill
        self.labels = sorted_labels(words)
        self.words: tuple[tuple[str, ...], ...] = tuple(_own_words(label, words[label]) for label in self.labels)
        self.weights: tuple[tuple[float, ...], ...] = tuple(
            _own_weights(label, words[label], own) for label, own in zip(self.labels, self.words, strict=True)
        )
        _check_distinct(self, [[w.strip() for w in own] for own in self.words], "stands for")

    def __repr__(self) -> str:
        """The table as it could be written."""
        return f"Verbalizer({self.label_words()!r}, aggregate={self.aggregate!r}, per={self.per!r}, fill={self.fill!r})"

    def __eq__(self, other: object) -> bool:
        """Whether both have the same words, weights, aggregation, unit and filling."""
        return self._key == other._key if isinstance(other, Verbalizer) else NotImplemented

    def __hash__(self) -> int:
        """Hash of all that decides whether two are the same."""
        return hash(self._key)

    @property
    def _key(self) -> tuple[Hashable, ...]:
        return self.labels, self.words, self.weights, self.aggregate, self.per, self.fill

    def label_words(self) -> dict[Label, list[str] | dict[str, float]]:
        """Label -> words, or word -> weight where some weight is not 1."""
        return {
            label: list(own) if set(weights) == {1.0} else dict(zip(own, weights, strict=True))
            for label, own, weights in zip(self.labels, self.words, self.weights, strict=True)
        }

    def to_dict(self) -> dict[str, Any]:
        """All that `from_dict` needs, as something that JSON takes."""
        # a list keeps int labels int, which JSON's keys would not
        words = [list(item) for item in self.label_words().items()]
        return {"words": words, "aggregate": self.aggregate, "per": self.per, "fill": self.fill}

    @classmethod
    def from_dict(cls, card: Mapping[str, Any]) -> Self:
        """The verbalizer that `to_dict` was taken of."""
        return cls(dict(card["words"]), card["aggregate"], card["per"], card["fill"])

    @property
    def all_words(self) -> tuple[str, ...]:
        """The label words of all labels in one row, as word scores are ordered."""
        return tuple(word for own in self.words for word in own)

    @property
    def scored(self) -> int:
        """How many scores `label_scores` takes of each example."""
        return len(self.all_words)

    @property
    def first_words(self) -> tuple[str, ...]:
        """The first word of each label, which stands for it where only one is shown."""
        return tuple(own[0] for own in self.words)

    @property
    def options(self) -> tuple[str, ...]:
        """What <options> lists: the first word of each label."""
        return self.first_words

    def label_scores(self, word_scores: "Tensor") -> "Tensor":
        """Scores of labels from scores of words.

        Args:
            word_scores: log-probabilities, up to a constant per row, or means by `lengths`; shape (batch, words) in
                the order of `all_words`.

        Returns:
            Log-scores up to the same constant, shape (batch, labels).
        """
        import torch  # label words themselves need it not

        return torch.stack(self._aggregated(word_scores), -1)

    def _aggregated(self, word_scores: "Tensor") -> "list[Tensor]":
        """The score of each label that has words, shape (batch,)."""
        combine = AGGREGATIONS[self.aggregate]
        parts = word_scores.split([len(own) for own in self.words], -1)
        weighted = [(part, own) for part, own in zip(parts, self.weights, strict=True) if own]
        return [combine(part, part.new_tensor(own)) for part, own in weighted]

    def lengths(self, ids: Sequence[tuple[int, ...]]) -> list[int] | None:
        """What each word's log-probability is to be divided by; None where it stays as it is.

        Args:
            ids: token ids of each word, in the order of `all_words`.

        >>> verbalizer = Verbalizer({"good": "满意", "bad": "not good"}, per="byte")
        >>> verbalizer.lengths([(5, 6), (7,)])  # of "not good" and 满意
        [8, 6]
        """
        if self.per == "word":
            return None
        measure = LENGTHS[self.per]
        return [measure(word, len(tokens)) for word, tokens in zip(self.all_words, ids, strict=True)]

    def check_tokens(self, ids: Sequence[tuple[int, ...]], *, autoregressive: bool) -> Self:
        """Refuse label words whose tokens cannot tell the labels apart.

        Args:
            ids: token ids of each word, in the order of `all_words`.
            autoregressive: whether words are scored token after token with nothing behind them, so that a word that
                begins with another's tokens can never be the likelier one.

        Raises:
            VerbalizerError: two words have the same tokens, or one label's word begins with another's.
        """
        sizes = [len(own) for own in self.words]
        by_label: list[list[tuple[int, ...]]] = []
        rest = list(ids)
        for size in sizes:
            by_label.append(rest[:size])
            rest = rest[size:]
        _check_distinct(self, by_label, "has the same tokens in this model's vocabulary for")
        if autoregressive and self.per == "word":
            owners = [label for label, own in zip(self.labels, self.words, strict=True) for _ in own]
            openings = find_openings(ids, owners)
            for longer, short in sorted(openings, key=lambda pair: (owners[pair[1]], owners[pair[0]], pair[::-1])):
                raise VerbalizerError(
                    f"{self.all_words[longer]!r} of label {owners[longer]!r} begins with the tokens of "
                    f"{self.all_words[short]!r} of label {owners[short]!r}, so it can never be the likelier one; "
                    "choose words that do not contain each other"
                )
        return self


def find_openings(ids: Sequence[tuple[Hashable, ...]], owners: Sequence[Hashable]) -> Iterator[tuple[int, int]]:
    """Label words that begin with the tokens of another label's word: the number of the word, and of the other.

    Args:
        ids: token ids of each word.
        owners: the label of each word.

    >>> list(find_openings([(5, 6), (5,), (5, 6, 7)], ["good", "bad", "good"]))
    [(0, 1), (2, 1)]
    """
    numbers: dict[tuple[Hashable, ...], int] = {}
    for word, own in enumerate(ids):
        numbers.setdefault(own, word)
    for word, own in enumerate(ids):
        for stop in range(1, len(own)):
            other = numbers.get(own[:stop])
            if other is not None and owners[other] != owners[word]:
                yield word, other


def sorted_labels(table: Mapping[Label, object]) -> tuple[Label, ...]:
    """The labels of a table, in scikit-learn's order.

    Raises:
        VerbalizerError: there are fewer than two, or they are of mixed types.
    """
    if not isinstance(table, Mapping) or len(table) < 2:
        raise VerbalizerError(f"a verbalizer maps at least two labels to words, got {table!r}")
    if not any(all(isinstance(label, kind) for label in table) for kind in (str, int)):
        raise VerbalizerError(f"labels must all be str or all be int, got {list(table)!r}")
    return tuple(sorted(table))


def _own_words(label: Label, words: Words) -> tuple[str, ...]:
    own = (words,) if isinstance(words, str) else tuple(words) if isinstance(words, Iterable) else (words,)
    if not own:
        raise VerbalizerError(f"label {label!r} has no words")
    for word in own:
        if not isinstance(word, str) or not word.strip():
            raise VerbalizerError(f"label {label!r} has {word!r} among its words; expected text")
    return own


def _own_weights(label: Label, words: Words, own: Sequence[str]) -> tuple[float, ...]:
    if not isinstance(words, Mapping):
        return (1.0,) * len(own)
    for word, weight in words.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < math.inf:
            raise VerbalizerError(f"{word!r} of label {label!r} has weight {weight!r}; expected a number above 0")
    return tuple(float(words[word]) for word in own)


def _check_distinct(verbalizer: Verbalizer, table: Sequence[Sequence[Hashable]], problem: str) -> None:
    seen: dict[Hashable, tuple[Label, str]] = {}
    for label, words, keys in zip(verbalizer.labels, verbalizer.words, table, strict=True):
        for word, key in zip(words, keys, strict=True):
            if key in seen:
                other, earlier = seen[key]
                raise VerbalizerError(
                    f"{word!r} {problem} label {label!r} and, as {earlier!r}, for label {other!r}; "
                    "each word may stand for one label once"
                )
            seen[key] = (label, word)
