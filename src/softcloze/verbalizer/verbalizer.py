"""Label words, and the aggregation of their scores to label scores."""

from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from softcloze.errors import VerbalizerError
from softcloze.parameters import POSITIVE
from softcloze.verbalizer.labels import Label, is_collection, sort_labels

if TYPE_CHECKING:
    from torch import Tensor


def log_mean_prob(scores: "Tensor", weights: "Tensor") -> "Tensor":
    """Log of the mean probability: one likely word suffices, and more words are not an advantage."""
    return log_sum_prob(scores, weights) - weights.sum().log()


def mean_log_prob(scores: "Tensor", weights: "Tensor") -> "Tensor":
    """Mean of the log-probabilities: every word has to be likely."""
    return (scores * weights).sum(-1) / weights.sum()


def max_log_prob(scores: "Tensor", weights: "Tensor") -> "Tensor":
    """Log-probability of the likeliest word."""
    return (scores + weights.log()).amax(-1)


def log_sum_prob(scores: "Tensor", weights: "Tensor") -> "Tensor":
    """Log of the summed probability: more words are an advantage."""
    return (scores + weights.log()).logsumexp(-1)


AGGREGATIONS: "dict[str, Callable[[Tensor, Tensor], Tensor]]" = {
    "log_mean_prob": log_mean_prob,
    "mean_log_prob": mean_log_prob,
    "max_log_prob": max_log_prob,
    "log_sum_prob": log_sum_prob,
}
# the divisor of a log-probability, from the word and its number of tokens; white space around a word does not count
LENGTHS: dict[str, Callable[[str, int], int]] = {
    "none": lambda word, tokens: 1,
    "token": lambda word, tokens: tokens,
    "character": lambda word, tokens: len(word.strip()),
    "byte": lambda word, tokens: len(word.strip().encode()),
}
Words = str | Sequence[str] | Mapping[str, float]
Decoding = Literal["together", "left_to_right", "most_confident"]
MOST_WORDS = 10_000


class Verbalizer:
    """Label words written by hand.

    Attributes:
        labels: the labels in scikit-learn's order (sorted).
        words: the label words of each label, in that order.
        weights: the weight of each word.
        aggregation: name of the function from the word scores of a label to its score.
        length_norm: unit of length that a word's log-probability is divided by.
        decoding: order in which a masked model fills in the tokens of a word.

    Source:
        Schick and Schütze, EACL 2021, arXiv:2001.07676 (PET): several words a label by the mean of their logits,
        which gives the same probabilities as "mean_log_prob". Ding et al., ACL 2022 (OpenPrompt), arXiv:2111.01998,
        normalise over the label words before that mean: the same probabilities again, since the constant cancels
        between the labels. The default here is the log of the mean probability: an unlikely word costs its label
        little. `length_norm="character"` is the `acc_norm` of lm-eval.

        `decoding`: Schick and Schütze, NAACL 2021, arXiv:2009.07118, section 3.3, who train with "together" and
        predict with "most_confident"; "left_to_right" is in their code (pet/task_helpers.py). Here one setting holds
        for both, and a word of k tokens has k masks in training as well; theirs has as many as the longest word.

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
        aggregation: str = "log_mean_prob",
        length_norm: str = "none",
        decoding: Decoding = "together",
    ):
        """Validate and keep the label words.

        Args:
            words: label -> its word, its words, or word -> weight; labels are all str or all int. Twice the weight
                counts like twice the probability, in "mean_log_prob" like the word given twice.
            aggregation: "log_mean_prob", "mean_log_prob", "max_log_prob" or "log_sum_prob".
            length_norm: "none" keeps a word's log-probability; "token", "character" and "byte" divide it by the
                word's length in these units, so that long words can compete with short ones.
            decoding: order in which a masked model fills in the k masks of a word of k tokens. "together": each token
                is scored with the whole word masked, one sequence for all words of k tokens. "left_to_right": each
                token is scored with those before it filled in, up to k sequences a word in one pass.
                "most_confident": k passes of up to one sequence a word, each of which fills in the likeliest token.
                Words of one token score the same in all three; causal and seq2seq models always score from left to
                right.

        Raises:
            VerbalizerError: fewer than two labels, labels of mixed types, a label without words, an empty
                word, a word given twice, a weight that is not above 0, or an unknown setting.
        """
        self.aggregation, self.length_norm, self.decoding = aggregation, length_norm, decoding
        known_values: tuple[Collection[str], ...] = (AGGREGATIONS, LENGTHS, get_args(Decoding))
        for (name, value), known in zip(self._settings.items(), known_values, strict=True):
            if not isinstance(value, str) or value not in known:
                raise VerbalizerError(f"{name}={value!r} is unknown; expected {', '.join(known)}")
        words = sort_labels(words)
        self.labels = tuple(words)
        self.words: tuple[tuple[str, ...], ...] = tuple(validate_words(label, words[label]) for label in self.labels)
        validate_count("label words", sum(map(len, self.words)), MOST_WORDS)
        self.weights: tuple[tuple[float, ...], ...] = tuple(
            _label_weights(label, words[label], texts) for label, texts in zip(self.labels, self.words, strict=True)
        )
        self._validate_distinct([[word.strip() for word in texts] for texts in self.words], "is given for")

    def __repr__(self) -> str:
        """The constructor call."""
        settings = ", ".join(f"{name}={value!r}" for name, value in self._settings.items())
        return f"{type(self).__name__}({self._written}, {settings})"

    def __eq__(self, other: object) -> bool:
        """Equal if words, weights and settings are equal."""
        return self._key == other._key if isinstance(other, Verbalizer) else NotImplemented

    def __hash__(self) -> int:
        """Hash of words, weights and settings."""
        return hash(self._key)

    @property
    def _key(self) -> tuple[Hashable, ...]:
        return self.labels, self.words, self.weights, *self._settings.values()

    @property
    def _settings(self) -> dict[str, str]:
        return {"aggregation": self.aggregation, "length_norm": self.length_norm, "decoding": self.decoding}

    @property
    def _written(self) -> str:
        """The arguments of the constructor before the settings."""
        return repr(self.label_words())

    def label_words(self) -> dict[Label, list[str] | dict[str, float]]:
        """Label -> words, or word -> weight if some weight is not 1."""
        return {
            label: list(words) if set(weights) == {1.0} else dict(zip(words, weights, strict=True))
            for label, words, weights in zip(self.labels, self.words, self.weights, strict=True)
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, which `from_dict` reads."""
        # a list of pairs: as keys of JSON, labels of type int would become strings
        return {"words": [list(item) for item in self.label_words().items()], **self._settings}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build a verbalizer from the data of `to_dict`."""
        return cls(dict(data["words"]), data["aggregation"], data["length_norm"], data["decoding"])

    def relabelled(self, names: Mapping[Label, Label]) -> "Verbalizer":
        """The same words for other labels; `names` has the new label of each."""
        words = {names[label]: words for label, words in self.label_words().items()}
        return Verbalizer(words, self.aggregation, self.length_norm, self.decoding)

    @property
    def all_words(self) -> tuple[str, ...]:
        """The words of all labels, in the order of word scores."""
        return tuple(word for words in self.words for word in words)

    @property
    def scored(self) -> int:
        """Number of word scores of an example."""
        return len(self.all_words)

    @property
    def first_words(self) -> tuple[str, ...]:
        """The first word of each label, which demonstrations and <options> show."""
        return tuple(words[0] for words in self.words)

    @property
    def options(self) -> tuple[str, ...]:
        """Texts that <options> lists: the first word of each label."""
        return self.first_words

    def label_scores(self, word_scores: "Tensor") -> "Tensor":
        """Aggregate word scores to label scores.

        Args:
            word_scores: log-probabilities in nats, up to a constant per example, divided by `lengths` if not None,
                shape (batch, words) in the order of `all_words`.

        Returns:
            Log-scores up to the same constant, shape (batch, labels).
        """
        import torch  # only scores need it

        return torch.stack(self._aggregated(word_scores), -1)

    def _aggregated(self, word_scores: "Tensor") -> "list[Tensor]":
        """The score of each label that has words, shape (batch,)."""
        aggregate = AGGREGATIONS[self.aggregation]
        by_label = zip(word_scores.split([len(words) for words in self.words], -1), self.weights, strict=True)
        return [aggregate(scores, scores.new_tensor(weights)) for scores, weights in by_label if weights]

    def lengths(self, ids: Sequence[tuple[int, ...]]) -> list[int] | None:
        """Divisor of each word's log-probability; None for length_norm="none".

        Args:
            ids: token ids of each word, in the order of `all_words`.

        >>> verbalizer = Verbalizer({"good": "满意", "bad": "not good"}, length_norm="byte")
        >>> verbalizer.lengths([(5, 6), (7,)])  # of "not good" and 满意
        [8, 6]
        """
        if self.length_norm == "none":
            return None
        measure = LENGTHS[self.length_norm]
        return [measure(word, len(tokens)) for word, tokens in zip(self.all_words, ids, strict=True)]

    def validate_tokens(self, ids: Sequence[tuple[int, ...]], *, autoregressive: bool) -> Self:
        """Raise if the tokens of label words cannot tell the labels apart.

        Args:
            ids: token ids of each word, in the order of `all_words`.
            autoregressive: True if words are scored token after token with nothing after them: a word that begins
                with another's tokens is then never the likelier one.

        Raises:
            VerbalizerError: two words have the same tokens, or one label's word begins with another's.
        """
        rest = iter(ids)
        by_label = [[*islice(rest, len(words))] for words in self.words]
        self._validate_distinct(by_label, "has the same tokens in this model's vocabulary for")
        if autoregressive and self.length_norm == "none":
            owners = [label for label, words in zip(self.labels, self.words, strict=True) for _ in words]
            openings = find_openings(ids, owners)
            for longer, short in sorted(openings, key=lambda pair: (owners[pair[1]], owners[pair[0]], pair[::-1])):
                raise VerbalizerError(
                    f"{self.all_words[longer]!r} of label {owners[longer]!r} begins with the tokens of "
                    f"{self.all_words[short]!r} of label {owners[short]!r}, so it is never the likelier one; "
                    "choose words that do not contain each other"
                )
        return self

    def _validate_distinct(self, keys: Sequence[Sequence[Hashable]], problem: str) -> None:
        """Raise if two words have the same key; `keys` has one for each word, by label."""
        seen: dict[Hashable, tuple[Label, str]] = {}
        for label, words, word_keys in zip(self.labels, self.words, keys, strict=True):
            for word, key in zip(words, word_keys, strict=True):
                if key in seen:
                    other, earlier = seen[key]
                    raise VerbalizerError(
                        f"{word!r} {problem} label {label!r} and, as {earlier!r}, for label {other!r}; "
                        "use each word for one label, once"
                    )
                seen[key] = (label, word)


def find_openings(ids: Sequence[tuple[Hashable, ...]], owners: Sequence[Hashable]) -> Iterator[tuple[int, int]]:
    """Find label words that begin with the tokens of another label's word; yields the indices of both.

    Args:
        ids: token ids of each word.
        owners: the label of each word.

    >>> list(find_openings([(5, 6), (5,), (5, 6, 7)], ["good", "bad", "good"]))
    [(0, 1), (2, 1)]
    """
    index: dict[tuple[Hashable, ...], int] = {}
    for word, tokens in enumerate(ids):
        index.setdefault(tokens, word)
    for word, tokens in enumerate(ids):
        for stop in range(1, len(tokens)):
            other = index.get(tokens[:stop])
            if other is not None and owners[other] != owners[word]:
                yield word, other


def validate_count(what: str, count: int, most: int) -> None:
    """Raise VerbalizerError for more than `most` words or labels, each of which takes time for every example."""
    if count > most:
        raise VerbalizerError(f"a verbalizer takes at most {most:,} {what}, found {count:,}")


def validate_words(label: Label, words: object, where: str = "") -> tuple[str, ...]:
    """The words of a label, validated; `where` adds to messages what they are for."""
    if not is_collection(words):
        words = [words]
    if isinstance(words, Iterator):
        raise VerbalizerError(
            f"label {label!r} has a {type(words).__name__} of words{where}, which can be read once; give a list"
        )
    # the order of a set differs between processes
    texts = sorted(words, key=repr) if isinstance(words, set | frozenset) else [*words]
    if not texts:
        raise VerbalizerError(f"label {label!r} has no words{where}")
    for word in texts:
        if not isinstance(word, str) or not word.strip():
            raise VerbalizerError(f"label {label!r} has {word!r} among its words{where}; expected text")
    return tuple(map(str.__str__, texts))


def _label_weights(label: Label, words: Words, texts: Sequence[str]) -> tuple[float, ...]:
    """The weight of each word of a label, validated."""
    if not isinstance(words, Mapping):
        return (1.0,) * len(texts)
    for word, weight in words.items():
        if not POSITIVE.holds(weight):
            raise VerbalizerError(f"{word!r} of label {label!r} has weight {weight!r}; expected a number above 0")
    return tuple(float(words[word]) for word in texts)
