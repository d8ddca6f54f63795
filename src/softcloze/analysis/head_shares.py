"""The shares of label words and of a linear layer in the label scores of a head that adds them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from softcloze.analysis.evaluation import FittedClassifier
from softcloze.analysis.explain import parts_of_scores
from softcloze.analysis.explanation import LabelShare
from softcloze.data import Example, as_examples
from softcloze.display import Block, Column, Displayable, Table, fixed, percent
from softcloze.errors import DataError, ParameterError
from softcloze.heads import EXACT, LinearHead, WordsLinearHead
from softcloze.prompt import BoundPrompt


@dataclass(frozen=True, slots=True)
class HeadShares(Displayable):
    """The mean size of each part of the label scores over some examples; `print` and notebooks show a table.

    Attributes:
        examples: number of examples.
        labels: for each label the mean absolute part of its words and of the linear layer, in nats, each part less its
            mean over the labels.

    >>> from rich.console import Console
    >>> shares = HeadShares(2, (LabelShare("bad", 3.0, 1.0), LabelShare("good", 3.0, 1.0)))
    >>> Console(width=72).print(shares)
    mean size of the parts of each label's score over 2 examples, in nats
    <BLANKLINE>
      label   words   linear layer   share of words
     ───────────────────────────────────────────────
      bad      3.00           1.00           75.00%
      good     3.00           1.00           75.00%
    <BLANKLINE>
    """

    examples: int
    labels: tuple[LabelShare, ...]

    def content(self) -> Sequence[Block]:
        """A line and a table with a row for each label."""
        table = Table(
            [
                Column("label", [str(part.label) for part in self.labels]),
                Column("words", [fixed(part.words) for part in self.labels], is_number=True),
                Column("linear layer", [fixed(part.linear) for part in self.labels], is_number=True),
                Column("share of words", [percent(part.share_of_words) for part in self.labels], is_number=True),
            ]
        )
        return [f"mean size of the parts of each label's score over {self.examples:,} examples, in nats", table]


def head_shares(clf: FittedClassifier, X: Iterable[Example]) -> HeadShares:
    """Measure the parts of label words and of the linear layer in the label scores of examples.

    Args:
        clf: a fitted `PromptClassifier` with head="linear" or "words+linear".
        X: examples as for `predict`.

    Raises:
        ParameterError: it has another head.
        DataError: no examples.
        FieldError: an example lacks a field; names the row.
    """
    bound = BoundPrompt(clf.prompt_, clf.backbone_)
    head = bound.parts.head
    if bound.prompt.head not in EXACT or not isinstance(head, LinearHead | WordsLinearHead):
        raise ParameterError(
            f"head={bound.prompt.head!r} adds no linear layer; head_shares is for {' and '.join(EXACT)}"
        )
    examples = as_examples(X, bound.prompt.template.fields)
    if not examples:
        raise DataError("no examples to measure on; give at least one")
    parts = parts_of_scores(bound.prompt.verbalizer, bound.features(bound.encode(examples)), head)
    means = parts.abs().mean(1)
    return HeadShares(len(examples), tuple(map(LabelShare, bound.prompt.verbalizer.labels, *means.tolist())))
