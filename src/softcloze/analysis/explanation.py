"""An explanation of one decision: probabilities of the label words, and the likeliest words of the vocabulary."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from softcloze.display import Block, Cell, Column, Displayable, Styled, Table, fixed, percent
from softcloze.verbalizer import Label


@dataclass(frozen=True, slots=True)
class TopWord:
    """A word of the model's vocabulary, fit to be read.

    Attributes:
        token: the word; a space is shown as ␣, half a character by its bytes (<0xE4>).
        probability: of this word at the mask, among all words of the vocabulary.
        label: the label that it is a label word of, if any.
    """

    token: str
    probability: float
    label: Label | None = None


@dataclass(frozen=True, slots=True)
class WordShare:
    """A label word, and what it does for its label.

    Attributes:
        label: the label that it stands for.
        word: the word.
        tokens: its tokens in the mask's place, written as in `TopWord`.
        log_probability: of the whole word at the mask, in nats. A masked model sees the text behind the mask, and one
            mask for each token of the word, filled in as the verbalizer says; a causal model sees only what stands
            before; a seq2seq model sees both sides, and writes the word's tokens one after the other.
        score: what its label's score is made from, in nats, less that of the best word of all: the log-probability, in
            a causal model with that of the text behind the mask added, and divided by the word's length where the
            verbalizer measures words per token, character or byte.
        share: its part in its label's score, from 0 to 1; those of a label add up to 1. It is the rate at which the
            label's score rises with that of the word: where labels are as likely as the mean or the sum of their
            words, the word's part of that sum; where the best word counts, 1 for the best; where log-probabilities
            are averaged, the same for all words of equal weight, however likely they are.
    """

    label: Label
    word: str
    tokens: tuple[str, ...]
    log_probability: float
    score: float
    share: float

    @property
    def probability(self) -> float:
        """Of the whole word at the mask, from 0 to 1."""
        return math.exp(self.log_probability)


@dataclass(frozen=True, slots=True)
class Explanation(Displayable):
    """How one input is classified; `dataclasses.asdict` makes JSON of it.

    `rich.print` shows it as tables, and so do notebooks.

    Attributes:
        labels: the labels, sorted.
        probabilities: of the labels, in that order.
        words: all label words, in the order of the labels.
        top: the likeliest words of the whole vocabulary at the mask, the likeliest first.
        mass: the probability that some label word stands at the mask. A word that begins with another's tokens is
            part of the other's probability and is not added to it. To a masked model words of one number of tokens
            compete with each other alone; where there are several such numbers it is the mass at the best of them.
            With decoding="most_confident" words of several tokens do not share one distribution, and it may pass 1.

    >>> words = (
    ...     WordShare("bad", "dull", ("dull",), log_probability=-3.0, score=-1.0, share=1.0),
    ...     WordShare("good", "fun", ("fun",), log_probability=-2.0, score=0.0, share=1.0),
    ... )
    >>> top = (TopWord("a", 0.2), TopWord("fun", 0.1353, "good"))
    >>> explanation = Explanation(("bad", "good"), (0.27, 0.73), words, top, mass=0.1851)
    >>> explanation.predicted
    'good'
    >>> from rich.console import Console
    >>> Console(width=72).print(explanation)
    good 73.00%; the label words have 18.51% of the probability at the mask
    <BLANKLINE>
      label         word   tokens   probability   score   share
     ─────────────────────────────────────────────────────────────
      bad 27.00%    dull   dull           4.98%   -1.00   100.00%
      good 73.00%   fun    fun           13.53%    0.00   100.00%
    <BLANKLINE>
    <BLANKLINE>
      top words   probability   label
     ─────────────────────────────────
      a                20.00%
      fun              13.53%   good
    <BLANKLINE>
    """

    labels: tuple[Label, ...]
    probabilities: tuple[float, ...]
    words: tuple[WordShare, ...]
    top: tuple[TopWord, ...]
    mass: float

    @property
    def predicted(self) -> Label:
        """The most probable label."""
        return self.labels[self.probabilities.index(max(self.probabilities))]

    def content(self) -> Sequence[Block]:
        """The prediction in a line, a table of the label words, and one of the likeliest words."""
        headline = (
            Styled(self.predicted, "bold"),
            f" {percent(max(self.probabilities))}; the label words have {percent(self.mass)} of the probability at the "
            "mask",
        )
        return [headline, self._word_table(), self._top_table()]

    def _word_table(self) -> Table:
        labels: list[Cell] = []
        words: list[WordShare | None] = []
        for label, probability in zip(self.labels, self.probabilities, strict=True):
            own: list[WordShare | None] = [word for word in self.words if word.label == label]
            words += own or [None]
            labels += [(Styled(label, "bold"), f" {percent(probability)}"), *[None] * (len(own) - 1)]
        return Table(
            [
                Column("label", labels),
                Column("word", [word.word if word is not None else "" for word in words]),
                Column("tokens", [" ".join(word.tokens) if word is not None else "" for word in words]),
                Column("probability", [percent(word.probability) if word else "" for word in words], is_number=True),
                Column("score", [fixed(word.score) if word else "" for word in words], is_number=True),
                Column("share", [percent(word.share) if word else "" for word in words], is_number=True),
            ]
        )

    def _top_table(self) -> Table:
        labels = [Styled(word.label, "bold") if word.label is not None else "" for word in self.top]
        return Table(
            [
                Column("top words", [word.token for word in self.top]),
                Column("probability", [percent(word.probability) for word in self.top], is_number=True),
                Column("label", labels),
            ]
        )
