"""Labels as conjunctions: a word at each of several masks."""

from collections.abc import Hashable, Mapping, Sequence
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from softcloze.errors import VerbalizerError
from softcloze.formatting import did_you_mean, listed
from softcloze.verbalizer.verbalizer import Label, find_openings, log_mean_prob, sorted_labels

if TYPE_CHECKING:
    from torch import Tensor

Rule: TypeAlias = Mapping[str, str | Sequence[str]]


class RuleVerbalizer:
    """Rules: a label holds where the right word stands at every named mask of the template.

    Labels may share words, as long as no two of them agree at all masks. A label's score is

        log P(label) = sum over masks of log P(its word at that mask)

    for a masked model, each mask read with the others masked; what normalises a mask's words over its word set is the
    same for all labels, and drops out where label scores become probabilities. A causal model scores the words filled
    in, with all text from the first mask on; a seq2seq model each word given those at the masks before. Where a label
    has several words at a mask, any of them will do: of all conjunctions that they make, the score is the log of the
    mean probability, so that more words are no advantage.

    Attributes:
        labels: the labels in scikit-learn's order (sorted).
        masks: names of the masks, sorted.
        words: of each label at each mask, in that order.

    Source:
        Han et al., AI Open 2022, arXiv:2105.11259 (PTR). There the model is fine-tuned, each label has one word of one
        token at a mask, and the model is a masked one; all else here is ours.

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
        """Check and keep the rules.

        Args:
            rules: label -> mask -> its word, or words of which any will do; labels are all str or all int.

        Raises:
            VerbalizerError: fewer than two labels, labels of mixed types, a label without a word for some mask, an
                empty word, a word given twice, or two labels that the same words stand for.
        """
        self.labels = sorted_labels(rules)
        for label in self.labels:
            if not isinstance(rules[label], Mapping) or not rules[label]:
                raise VerbalizerError(
                    f"label {label!r} needs a word for each mask, as in {{'quality': 'good'}}, got {rules[label]!r}"
                )
        names = {name for label in self.labels for name in rules[label]}
        self.masks: tuple[str, ...] = tuple(sorted(map(_mask_name, names)))
        for label in self.labels:
            for name in self.masks:
                if name not in rules[label]:
                    other = next(label for label in self.labels if name in rules[label])
                    raise VerbalizerError(
                        f"label {label!r} has words for {listed(sorted(rules[label]))}, but none for {name!r}, as "
                        f"{other!r} has; every label needs a word for every mask"
                    )
        self.words: tuple[tuple[tuple[str, ...], ...], ...] = tuple(
            tuple(_own_words(label, name, rules[label][name]) for name in self.masks) for label in self.labels
        )
        spelt = [tuple(word.strip() for word in conjunction.values()) for conjunction in self.conjunctions]
        self._check_distinct(spelt, "the same words")

    def __repr__(self) -> str:
        """The rules as they could be written."""
        return f"RuleVerbalizer({self.label_words()!r})"

    def __eq__(self, other: object) -> bool:
        """Whether both have the same rules."""
        return self._key == other._key if isinstance(other, RuleVerbalizer) else NotImplemented

    def __hash__(self) -> int:
        """Hash of all that decides whether two are the same."""
        return hash(self._key)

    @property
    def _key(self) -> tuple[Hashable, ...]:
        return self.labels, self.masks, self.words

    def label_words(self) -> dict[Label, dict[str, list[str]]]:
        """Label -> mask -> words."""
        return {
            label: {name: list(words) for name, words in zip(self.masks, own, strict=True)}
            for label, own in zip(self.labels, self.words, strict=True)
        }

    def to_dict(self) -> dict[str, Any]:
        """All that `from_dict` needs, as something that JSON takes."""
        return {"rules": [list(item) for item in self.label_words().items()]}

    @classmethod
    def from_dict(cls, card: Mapping[str, Any]) -> Self:
        """The verbalizer that `to_dict` was taken of."""
        return cls(dict(card["rules"]))

    @property
    def conjunctions(self) -> tuple[dict[str, str], ...]:
        """The words that stand for labels together, by mask: of all labels in one row, as their scores are ordered."""
        return tuple(dict(zip(self.masks, words, strict=True)) for own in self.words for words in product(*own))

    @property
    def scored(self) -> int:
        """How many scores `label_scores` takes of each example."""
        return len(self.conjunctions)

    @property
    def first_words(self) -> tuple[dict[str, str], ...]:
        """The first word of each label at each mask, which is shown in demonstrations."""
        return tuple({name: words[0] for name, words in zip(self.masks, own, strict=True)} for own in self.words)

    @property
    def options(self) -> tuple[str, ...]:
        """What <options> lists: the labels themselves, for which no one word stands."""
        return tuple(map(str, self.labels))

    def label_scores(self, word_scores: "Tensor") -> "Tensor":
        """Scores of labels from scores of conjunctions.

        Args:
            word_scores: log-probabilities, up to a constant per row; shape (batch, conjunctions) in the order of
                `conjunctions`.

        Returns:
            Log-scores up to the same constant, shape (batch, labels).
        """
        import torch  # rules themselves need it not

        parts = word_scores.split(self._sizes, -1)
        return torch.stack([log_mean_prob(part, part.new_ones(part.shape[-1])) for part in parts], -1)

    def check_masks(self, names: Sequence[str | None]) -> tuple[str, ...]:
        """Refuse a template whose masks are not those of the rules.

        Args:
            names: of its masks; None for one without a name.

        Returns:
            The names.

        Raises:
            VerbalizerError: a mask is missing on either side, or has no name; says which.
        """
        named = tuple(name for name in names if name is not None)
        if len(named) < len(names):
            raise VerbalizerError(
                f"the template's mask has no name, and the rules have words for {listed(self.masks)}: name it, as in "
                f"<mask name={self.masks[0]}>"
            )
        for name in self.masks:
            if name not in named:
                raise VerbalizerError(
                    f"the rules have words for a mask {name!r}, which the template does not have: it has "
                    f"{listed(named)}{did_you_mean(name, named)}"
                )
        for name in named:
            if name not in self.masks:
                raise VerbalizerError(
                    f"no rule has a word for the template's mask {name!r}: they have words for {listed(self.masks)}"
                )
        return named

    def check_tokens(self, ids: Sequence[tuple[tuple[int, ...], ...]], *, autoregressive: bool) -> Self:
        """Refuse words whose tokens cannot tell the labels apart.

        Args:
            ids: token ids of each conjunction's words in the order of the template's masks; the conjunctions in the
                order of `conjunctions`.
            autoregressive: whether words are scored token after token with nothing after the last mask, so that a word
                that begins with another's tokens can never be the likelier one.

        Raises:
            VerbalizerError: two labels have the same tokens at all masks, or the same but for a last word that begins
                with the other's.
        """
        self._check_distinct(ids, "words of the same tokens in this model's vocabulary")
        if autoregressive:
            rows: list[tuple[Hashable, ...]] = [(*conjunction[:-1], *conjunction[-1]) for conjunction in ids]
            for longer, short in find_openings(rows, self._owners):
                raise VerbalizerError(
                    f"the words of label {self._owners[longer]!r}, {listed(self.conjunctions[longer].values())}, begin "
                    f"with the tokens of those of label {self._owners[short]!r}, "
                    f"{listed(self.conjunctions[short].values())}, so they can never be the likelier ones; choose "
                    "words that do not contain each other"
                )
        return self

    @property
    def _sizes(self) -> list[int]:
        """Conjunctions of each label."""
        return [prod(map(len, own)) for own in self.words]

    @property
    def _owners(self) -> list[Label]:
        """The label of each conjunction."""
        return [label for label, size in zip(self.labels, self._sizes, strict=True) for _ in range(size)]

    def _check_distinct(self, keys: Sequence[Hashable], problem: str) -> None:
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
        raise VerbalizerError(f"{name!r} is no name of a mask; expected an identifier, as in <mask name=quality>")
    return name


def _own_words(label: Label, mask: str, words: str | Sequence[str]) -> tuple[str, ...]:
    own = (words,) if isinstance(words, str) or not isinstance(words, Sequence) else tuple(words)
    if not own:
        raise VerbalizerError(f"label {label!r} has no words for the mask {mask!r}")
    for i, word in enumerate(own):
        if not isinstance(word, str) or not word.strip():
            raise VerbalizerError(f"label {label!r} has {word!r} among its words for the mask {mask!r}; expected text")
        if word.strip() in (other.strip() for other in own[:i]):
            raise VerbalizerError(f"label {label!r} has {word!r} twice for the mask {mask!r}")
    return own
