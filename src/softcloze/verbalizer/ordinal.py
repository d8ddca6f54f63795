"""Labels in an order, told apart by words for the two ends of it."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from softcloze.errors import VerbalizerError
from softcloze.verbalizer.verbalizer import Fill, Label, Verbalizer, Words

if TYPE_CHECKING:
    from torch import Tensor


class OrdinalVerbalizer(Verbalizer):
    """Ordered labels between two poles, such as one to five stars: words for the lowest and the highest label suffice.

    How much likelier the high pole is than the low one says where on the scale an input lies. Of K labels the one at
    place k, from 0, gets `log C(K - 1, k) + k * (high - low)`, where high and low are the scores of the poles: the
    binomial distribution of K - 1 tosses of a coin that falls on the high side as often as the model says so. It has
    one peak: neighbours of the likeliest label are likelier than labels further away.

    It is a `Verbalizer` in which only the ends have words. What takes a word for each label is refused: templates with
    <options> or <demos>, head="warp", and several labels for one example.

    Attributes:
        order: the labels from the lowest to the highest; `labels` has them sorted, as everywhere.

    Source:
        Pinto da Costa, Alonso and Cardoso, Neural Networks 21, 2008, "The unimodal model for the classification of
        ordinal data": the binomial model, whose parameter there is a trained network's output. Here it is
        P(high) / (P(high) + P(low)) of the label words, which works without training.

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
        aggregate: str = "log_mean_prob",
        per: str = "word",
        fill: Fill = "together",
    ):
        """Check and keep the labels and the words of the poles.

        Args:
            labels: the labels from the lowest to the highest, all str or all int.
            low: what stands for the lowest label: its word, its words, or word -> weight.
            high: the same for the highest label.
            aggregate: how the words of a pole become one score: see `Verbalizer`.
            per: the unit of a word's score: see `Verbalizer`.
            fill: how a masked model fills in words of several tokens: see `Verbalizer`.

        Raises:
            VerbalizerError: fewer than two labels, one that comes twice, labels of mixed types, or whatever
                `Verbalizer` refuses.
        """
        order = tuple(labels) if isinstance(labels, Sequence) and not isinstance(labels, str) else ()
        if len(order) < 2 or len(set(order)) < len(order):
            raise VerbalizerError(f"expected two or more different labels in their order, got {labels!r}")
        if not any(all(isinstance(label, kind) for label in order) for kind in (str, int)):
            raise VerbalizerError(f"labels must all be str or all be int, got {labels!r}")
        super().__init__({order[0]: low, order[-1]: high}, aggregate, per, fill)
        words, weights = (
            dict(zip(self.labels, self.words, strict=True)),
            dict(zip(self.labels, self.weights, strict=True)),
        )
        self.order: tuple[Label, ...] = order
        self.labels = tuple(sorted(order))
        self.words = tuple(words.get(label, ()) for label in self.labels)
        self.weights = tuple(weights.get(label, ()) for label in self.labels)

    def __repr__(self) -> str:
        """As it could be written."""
        low, high = self._poles
        return (
            f"OrdinalVerbalizer({list(self.order)!r}, low={low!r}, high={high!r}, "
            f"aggregate={self.aggregate!r}, per={self.per!r}, fill={self.fill!r})"
        )

    @property
    def _key(self) -> tuple[Hashable, ...]:
        return self.order, *super()._key

    @property
    def _poles(self) -> tuple[list[str] | dict[str, float], list[str] | dict[str, float]]:
        """The words of the lowest label and of the highest."""
        words = self.label_words()
        return words[self.order[0]], words[self.order[-1]]

    def label_words(self) -> dict[Label, list[str] | dict[str, float]]:
        """The lowest and the highest label with their words, or word -> weight where some weight is not 1."""
        return {label: words for label, words in super().label_words().items() if words}

    @property
    def first_words(self) -> tuple[str, ...]:
        """None: not every label has a word that could be shown."""
        return ()

    def to_dict(self) -> dict[str, Any]:
        """All that `from_dict` needs, as something that JSON takes."""
        low, high = self._poles
        scoring = {"aggregate": self.aggregate, "per": self.per, "fill": self.fill}
        return {"labels": list(self.order), "low": low, "high": high, **scoring}

    @classmethod
    def from_dict(cls, card: Mapping[str, Any]) -> Self:
        """The verbalizer that `to_dict` was taken of."""
        return cls(card["labels"], card["low"], card["high"], card["aggregate"], card["per"], card["fill"])

    def label_scores(self, word_scores: "Tensor") -> "Tensor":
        """Scores of labels from scores of words.

        Args:
            word_scores: log-probabilities, up to a constant per row, or means by `lengths`; shape (batch, words) in
                the order of `all_words`.

        Returns:
            Log-scores in nats up to a constant per row, shape (batch, labels), in the order of `labels`.
        """
        low, high = self._aggregated(word_scores)
        if self.labels.index(self.order[0]) > self.labels.index(self.order[-1]):
            low, high = high, low
        tosses = len(self.order) - 1
        places = [self.order.index(label) for label in self.labels]
        ways = word_scores.new_tensor([math.log(math.comb(tosses, place)) for place in places])
        return ways + word_scores.new_tensor(places) * (high - low).unsqueeze(-1)
