"""Labels as conjunctions of words at several masks."""

from collections.abc import Hashable, Mapping, Sequence
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from softcloze.errors import VerbalizerError
from softcloze.formatting import did_you_mean, quoted_list
from softcloze.verbalizer.labels import Label, sort_labels
from softcloze.verbalizer.verbalizer import MOST_WORDS, find_openings, log_mean_prob, validate_count, validate_words

if TYPE_CHECKING:
    from torch import Tensor

Rule: TypeAlias = Mapping[str, str | Sequence[str]]


class RuleVerbalizer:
    """Rules: for each label a word at every named mask of the template.

    Labels may share words, as long as no two labels agree at all masks. A label's score is

        log P(label) = sum over masks of log P(its word at that mask)

    A masked model scores each mask with the others masked; normalising a mask's words over its word set would add the
    same constant to all labels. A causal model scores the text from the first mask on with the words filled in, a
    seq2seq model each word given those at the masks before. If a label has several words at a mask, its score is the
    log of the mean probability over all its conjunctions, so that more words are not an advantage.

    Attributes:
        labels: the labels in scikit-learn's order (sorted).
        masks: names of the masks, sorted.
        words: of each label at each mask, in that order.

    Source:
        Han et al., AI Open 2022, arXiv:2105.11259 (PTR). There a masked model is fine-tuned, and each label has one
        word of one token at a mask; causal and seq2seq models and several words are additions.

    Example:
        >>> import torch
        >>> verbalizer = RuleVerbalizer({
        ...     "praise": {"quality": "good", "advice": "recommend"},
        ...     "warning": {"quality": "bad", "advice": "avoid"},
        ...     "guilty pleasure": {"quality": ["bad", "silly"], "advice": "recommend"},
        ... })
        >>> for conjunction in verbalizer.conjunctions:
        ...     print(conjunction)
        {'advice': 'recommend', 'quality': 'bad'}
        {'advice': 'recommend', 'quality': 'silly'}
        {'advice': 'recommend', 'quality': 'good'}
        {'advice': 'avoid', 'quality': 'bad'}
        >>> import torch
        >>> verbalizer.label_scores(torch.tensor([[0.3, 0.1, 0.5, 0.1]]).log()).exp()
        tensor([[0.2000, 0.5000, 0.1000]])
    """

    def __init__(self, rules: Mapping[Label, Rule]):
        """Validate and keep the rules.

        Args:
            rules: label -> mask -> its word, or alternative words; labels are all str or all int.

        Raises:
            VerbalizerError: fewer than two labels, labels of mixed types, a label without a word for some mask, an
                empty word, a word given twice, two labels with the same words, or too many conjunctions.
        """
        rules = sort_labels(rules)
        self.labels = tuple(rules)
        for label in self.labels:
            if not isinstance(rules[label], Mapping) or not rules[label]:
                raise VerbalizerError(
                    f"label {label!r} needs a word for each mask, as in {{'quality': 'good'}}, got {rules[label]!r}"
                )
        names = {name for label in self.labels for name in rules[label]}
        self.masks: tuple[str, ...] = tuple(sorted(map(_mask_name, names)))
        for label, name in product(self.labels, self.masks):
            if name not in rules[label]:
                other = next(label for label in self.labels if name in rules[label])
                raise VerbalizerError(
                    f"label {label!r} has words for {quoted_list(sorted(rules[label]))}, but none for {name!r}, as "
                    f"{other!r} has; every label needs a word for every mask"
                )
        self.words: tuple[tuple[tuple[str, ...], ...], ...] = tuple(
            tuple(_mask_words(label, name, rules[label][name]) for name in self.masks) for label in self.labels
        )
        validate_count("conjunctions of words", sum(self._sizes), MOST_WORDS)
        stripped = [tuple(word.strip() for word in conjunction.values()) for conjunction in self.conjunctions]
        self._validate_distinct(stripped, "the same words")

    def __repr__(self) -> str:
        """The constructor call."""
        return f"RuleVerbalizer({self.label_words()!r})"

    def __eq__(self, other: object) -> bool:
        """Equal if the rules are equal."""
        return self._key == other._key if isinstance(other, RuleVerbalizer) else NotImplemented

    def __hash__(self) -> int:
        """Hash of the rules."""
        return hash(self._key)

    @property
    def _key(self) -> tuple[Hashable, ...]:
        return self.labels, self.masks, self.words

    def label_words(self) -> dict[Label, dict[str, list[str]]]:
        """Label -> mask -> words."""
        return {
            label: {name: list(words) for name, words in zip(self.masks, by_mask, strict=True)}
            for label, by_mask in zip(self.labels, self.words, strict=True)
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, which `from_dict` reads."""
        return {"rules": [list(item) for item in self.label_words().items()]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build a verbalizer from the data of `to_dict`."""
        return cls(dict(data["rules"]))

    @property
    def conjunctions(self) -> tuple[dict[str, str], ...]:
        """Mask -> word for all conjunctions of all labels, in the order of their scores."""
        return tuple(dict(zip(self.masks, words, strict=True)) for by_mask in self.words for words in product(*by_mask))

    @property
    def scored(self) -> int:
        """Number of conjunction scores of an example."""
        return len(self.conjunctions)

    @property
    def first_words(self) -> tuple[dict[str, str], ...]:
        """The first word of each label at each mask, which demonstrations show."""
        return tuple(
            {name: words[0] for name, words in zip(self.masks, by_mask, strict=True)} for by_mask in self.words
        )

    @property
    def options(self) -> tuple[str, ...]:
        """Texts that <options> lists: the labels, since no label has a single word."""
        return tuple(map(str, self.labels))

    def label_scores(self, word_scores: "Tensor") -> "Tensor":
        """Aggregate the scores of conjunctions to label scores.

        Args:
            word_scores: log-probabilities in nats, up to a constant per example, shape (batch, conjunctions) in the
                order of `conjunctions`.

        Returns:
            Log-scores up to the same constant, shape (batch, labels).
        """
        import torch  # only scores need it

        parts = word_scores.split(self._sizes, -1)
        return torch.stack([log_mean_prob(part, part.new_ones(part.shape[-1])) for part in parts], -1)

    def validate_masks(self, names: Sequence[str | None]) -> tuple[str, ...]:
        """Raise if a template's masks are not those of the rules.

        Args:
            names: names of the template's masks; None for one without a name.

        Returns:
            The names.

        Raises:
            VerbalizerError: a mask is missing on either side, or has no name.
        """
        named = tuple(name for name in names if name is not None)
        if len(named) < len(names):
            raise VerbalizerError(
                f"the template's mask has no name, and the rules have words for {quoted_list(self.masks)}: name it, as "
                f"in <mask name={self.masks[0]}>"
            )
        for name in self.masks:
            if name not in named:
                raise VerbalizerError(
                    f"the rules have words for a mask {name!r}, which the template does not have: it has "
                    f"{quoted_list(named)}{did_you_mean(name, named)}"
                )
        for name in named:
            if name not in self.masks:
                raise VerbalizerError(
                    f"no rule has a word for the template's mask {name!r}: "
                    f"they have words for {quoted_list(self.masks)}"
                )
        return named

    def validate_tokens(self, ids: Sequence[tuple[tuple[int, ...], ...]], *, autoregressive: bool) -> Self:
        """Raise if the tokens of words cannot tell the labels apart.

        Args:
            ids: token ids of each conjunction's words in the order of the template's masks; the conjunctions in the
                order of `conjunctions`.
            autoregressive: True if words are scored token after token with nothing after the last mask: a word there
                that begins with another's tokens is then never the likelier one.

        Raises:
            VerbalizerError: two labels have the same tokens at all masks, or the same but for a last word that begins
                with the other's.
        """
        self._validate_distinct(ids, "words of the same tokens in this model's vocabulary")
        if autoregressive:
            keys: list[tuple[Hashable, ...]] = [(*conjunction[:-1], *conjunction[-1]) for conjunction in ids]
            for longer, short in find_openings(keys, self._owners):
                raise VerbalizerError(
                    f"the words of label {self._owners[longer]!r}, {quoted_list(self.conjunctions[longer].values())}, "
                    f"begin with the tokens of those of label {self._owners[short]!r}, "
                    f"{quoted_list(self.conjunctions[short].values())}, so they are never the likelier ones; choose "
                    "words that do not contain each other"
                )
        return self

    @property
    def _sizes(self) -> list[int]:
        """Number of conjunctions of each label."""
        return [prod(map(len, by_mask)) for by_mask in self.words]

    @property
    def _owners(self) -> list[Label]:
        """The label of each conjunction."""
        return [label for label, size in zip(self.labels, self._sizes, strict=True) for _ in range(size)]

    def _validate_distinct(self, keys: Sequence[Hashable], problem: str) -> None:
        """Raise if two conjunctions have the same key."""
        seen: dict[Hashable, Label] = {}
        for label, key, conjunction in zip(self._owners, keys, self.conjunctions, strict=True):
            if key in seen:
                words = ", ".join(f"{name}={word!r}" for name, word in conjunction.items())
                raise VerbalizerError(
                    f"label {label!r} and, before it, label {seen[key]!r} have {problem} at all masks: {words}; "
                    "they must differ at one mask or more"
                )
            seen[key] = label


def _mask_name(name: object) -> str:
    if not isinstance(name, str) or not name.isidentifier():
        raise VerbalizerError(f"{name!r} is not a name of a mask; expected an identifier, as in <mask name=quality>")
    return name


def _mask_words(label: Label, mask: str, words: str | Sequence[str]) -> tuple[str, ...]:
    """The words of a label at a mask, validated."""
    # words at a mask have no weights
    texts = validate_words(label, [words] if isinstance(words, Mapping) else words, f" for the mask {mask!r}")
    seen = set()
    for word in texts:
        if word.strip() in seen:
            raise VerbalizerError(f"label {label!r} has {word!r} twice for the mask {mask!r}")
        seen.add(word.strip())
    return texts
