"""Ordered labels, scored by words for the two ends of their scale."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from softcloze.errors import VerbalizerError
from softcloze.verbalizer.labels import Label, is_collection, validate_labels
from softcloze.verbalizer.verbalizer import Decoding, Verbalizer, Words, validate_count

if TYPE_CHECKING:
    from torch import Tensor

MOST_LABELS = 1_000


class OrdinalVerbalizer(Verbalizer):
    """Ordered labels between two poles, such as one to five stars; only the lowest and the highest label have words.

    Of K labels the one at position k, from 0, scores `log C(K - 1, k) + k * (high - low)`, where high and low are the
    scores of the poles. That is the binomial distribution of K - 1 trials whose success probability is P(high) /
    (P(high) + P(low)). It has one peak: neighbours of the likeliest label are likelier than labels further away.

    Templates with <options> or <demos>, head="warp" and several labels for one example need a word for each label, so
    they raise an error with this verbalizer.

    Attributes:
        order: the labels from the lowest to the highest; `labels` has them sorted, as in every verbalizer.

    Source:
        Pinto da Costa, Alonso and Cardoso, Neural Networks 21, 2008, "The unimodal model for the classification of
        ordinal data": the binomial model. Its parameter there is the output of a trained network; here it comes from
        the label words, without training.

    Example:
        >>> import torch
        >>> stars = OrdinalVerbalizer([1, 2, 3, 4, 5], low="terrible", high=["great", "wonderful"])
        >>> stars.all_words
        ('terrible', 'great', 'wonderful')
        >>> scores = torch.tensor([[0.3, 0.7, 0.7], [0.98, 0.01, 0.03]]).log()
        >>> stars.label_scores(scores).softmax(-1).round(decimals=2)
        tensor([[0.0100, 0.0800, 0.2600, 0.4100, 0.2400],
                [0.9200, 0.0800, 0.0000, 0.0000, 0.0000]])
        >>> OrdinalVerbalizer(["很差", "一般", "很好"], low="差", high="好").labels
        ('一般', '很好', '很差')
    """

    def __init__(
        self,
        labels: Sequence[Label],
        low: Words,
        high: Words,
        aggregation: str = "log_mean_prob",
        length_norm: str = "none",
        decoding: Decoding = "together",
    ):
        """Validate and keep the labels and the words of the poles.

        Args:
            labels: the labels from the lowest to the highest, all str or all int.
            low: for the lowest label its word, its words, or word -> weight.
            high: the same for the highest label.
            aggregation: see `Verbalizer`, as for `length_norm` and `decoding`.
            length_norm: see `Verbalizer`.
            decoding: see `Verbalizer`.

        Raises:
            VerbalizerError: fewer than two labels, a label given twice, labels of mixed types, or an argument that
                `Verbalizer` rejects.
        """
        ordered = is_collection(labels) and not isinstance(labels, Mapping | set | frozenset)
        order = tuple(validate_labels(labels)) if ordered else ()
        if len(order) < 2 or len(set(order)) < len(order):
            raise VerbalizerError(f"expected two or more different labels in their order, got {labels!r}")
        validate_count("ordered labels", len(order), MOST_LABELS)
        super().__init__({order[0]: low, order[-1]: high}, aggregation, length_norm, decoding)
        words = dict(zip(self.labels, self.words, strict=True))
        weights = dict(zip(self.labels, self.weights, strict=True))
        self.order: tuple[Label, ...] = order
        self.labels = tuple(sorted(order))
        self.words = tuple(words.get(label, ()) for label in self.labels)
        self.weights = tuple(weights.get(label, ()) for label in self.labels)

    @property
    def _key(self) -> tuple[Hashable, ...]:
        return self.order, *super()._key

    @property
    def _written(self) -> str:
        low, high = self._poles
        return f"{list(self.order)!r}, low={low!r}, high={high!r}"

    @property
    def _poles(self) -> tuple[list[str] | dict[str, float], list[str] | dict[str, float]]:
        """The words of the lowest label and of the highest."""
        words = self.label_words()
        return words[self.order[0]], words[self.order[-1]]

    def relabelled(self, names: Mapping[Label, Label]) -> "OrdinalVerbalizer":
        """The same words for other labels; `names` has the new label of each."""
        order = [names[label] for label in self.order]
        return OrdinalVerbalizer(order, *self._poles, self.aggregation, self.length_norm, self.decoding)

    def label_words(self) -> dict[Label, list[str] | dict[str, float]]:
        """The lowest and the highest label -> words, or word -> weight if some weight is not 1."""
        return {label: words for label, words in super().label_words().items() if words}

    @property
    def first_words(self) -> tuple[str, ...]:
        """Empty: not every label has a word."""
        return ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, which `from_dict` reads."""
        low, high = self._poles
        return {"labels": list(self.order), "low": low, "high": high, **self._settings}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build a verbalizer from the data of `to_dict`."""
        return cls(
            data["labels"], data["low"], data["high"], data["aggregation"], data["length_norm"], data["decoding"]
        )

    def label_scores(self, word_scores: "Tensor") -> "Tensor":
        """Aggregate the word scores of the poles, and spread them over the labels.

        Args:
            word_scores: see `Verbalizer.label_scores`.

        Returns:
            Log-scores in nats up to a constant per example, shape (batch, labels), in the order of `labels`.
        """
        low, high = self._aggregated(word_scores)
        if self.labels.index(self.order[0]) > self.labels.index(self.order[-1]):
            low, high = high, low
        trials = len(self.order) - 1
        position_of = {label: position for position, label in enumerate(self.order)}
        positions = [position_of[label] for label in self.labels]
        log_combinations = word_scores.new_tensor([math.log(math.comb(trials, k)) for k in positions])
        return log_combinations + word_scores.new_tensor(positions) * (high - low).unsqueeze(-1)
