"""An explanation of one decision: probabilities of the label words, and the likeliest words of the vocabulary."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from softcloze.display import Block, Cell, Column, Displayable, Styled, Table, fixed, percent
from softcloze.verbalizer import Label


@dataclass(frozen=True, slots=True)
class TopWord:
    """A readable word of the model's vocabulary.

    Attributes:
        token: the word; a space is shown as ␣, half a character by its bytes (<0xE4>).
        probability: its probability at the mask, among all words of the vocabulary.
        label: its label, if it is a label word.
    """

    token: str
    probability: float
    label: Label | None = None


@dataclass(frozen=True, slots=True)
class WordShare:
    """A label word and its part in the score of its label.

    Attributes:
        label: its label.
        word: the word.
        tokens: its tokens at the mask, written as in `TopWord`.
        log_probability: of the whole word at the mask, in nats. A masked model sees the text after the mask too, and
            one mask for each token of the word, which it decodes as the verbalizer says; a causal model sees the text
            before the mask alone; a seq2seq model sees both sides, and its decoder writes the tokens one by one.
        score: its score minus the score of the best word, in nats. A score is the log-probability, with a causal model
            plus that of the text after the mask; it is divided by the word's length if the verbalizer normalises words
            by tokens, characters or bytes.
        share: its part in its label's score, from 0 to 1; the shares of a label add up to 1. It is the gradient of the
            label's score: with a mean or sum of probabilities, the word's part of that sum; with the maximum, 1 for the
            best word; with a mean of log-probabilities, the same for all words of equal weight.
    """

    label: Label
    word: str
    tokens: tuple[str, ...]
    log_probability: float
    score: float
    share: float

    @property
    def probability(self) -> float:
        """Probability of the whole word at the mask."""
        return math.exp(self.log_probability)


@dataclass(frozen=True, slots=True)
class LabelShare:
    """The parts of a label's score where a linear layer takes part, in nats less their mean over the labels.

    Attributes:
        label: the label.
        words: the part of its label words, scaled as the head scales them; 0 where it takes none.
        linear: the part of the linear layer on the state, its bias included.
    """

    label: Label
    words: float
    linear: float

    @property
    def share_of_words(self) -> float:
        """Absolute part of the words beside that of the linear layer, from 0 to 1."""
        total = abs(self.words) + abs(self.linear)
        return abs(self.words) / total if total else 0.0


@dataclass(frozen=True, slots=True)
class Explanation(Displayable):
    """An explanation of one decision; `print`, `rich.print` and notebooks show it as tables.

    `dataclasses.asdict` gives plain data for JSON.

    Attributes:
        labels: the labels, sorted.
        probabilities: probabilities of the labels, in that order.
        words: all label words, in the order of the labels; empty where a linear layer decides alone.
        top: the likeliest words of the whole vocabulary at the mask, the likeliest first.
        mass: the probability of any label word at the mask. A word that begins with another word's tokens is part of
            the other's probability and is not added to it. With a masked model, words compete only with words of as
            many tokens; the mass is that of the best number of tokens.
            With decoding="most_confident" words of several tokens do not share one distribution, and it may pass 1.
        parts: the parts of each label's score, in the order of the labels; empty where label words decide alone.
        several: the labels that are more probable than not, of a prompt of several labels an example, whose
            probabilities are of each label on its own; None where an example has one label.

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
    parts: tuple[LabelShare, ...] = ()
    several: tuple[Label, ...] | None = None

    @property
    def predicted(self) -> Label | tuple[Label, ...]:
        """The most probable label; the labels of `several` where an example may have any number."""
        if self.several is not None:
            return self.several
        return self.labels[self.probabilities.index(max(self.probabilities))]

    def content(self) -> Sequence[Block]:
        """The prediction in a line, and tables of the parts of a head, the label words and the likeliest words."""
        mass = f"the label words have {percent(self.mass)} of the probability at the mask"
        said = mass if self.words else "a linear layer on the state decides"
        label, more = self.predicted, f" {percent(max(self.probabilities))}"
        if self.several is not None:
            label, more = ", ".join(map(str, self.several)) or "no label", ""
        headline = (Styled(label, "bold"), f"{more}; {said}")
        tables = [self._part_table()] if self.parts else []
        tables += [self._word_table()] if self.words else []
        return [headline, *tables, self._top_table()]

    def _part_table(self) -> Table:
        rows = zip(self.parts, self.probabilities, strict=True)
        return Table(
            [
                Column(
                    "label", [(Styled(part.label, "bold"), f" {percent(probability)}") for part, probability in rows]
                ),
                Column("words", [fixed(part.words) for part in self.parts], is_number=True),
                Column("linear layer", [fixed(part.linear) for part in self.parts], is_number=True),
                Column("share of words", [percent(part.share_of_words) for part in self.parts], is_number=True),
            ]
        )

    def _word_table(self) -> Table:
        labels: list[Cell] = []
        words: list[WordShare | None] = []
        for label, probability in zip(self.labels, self.probabilities, strict=True):
            of_label: list[WordShare | None] = [word for word in self.words if word.label == label]
            words += of_label or [None]
            labels += [(Styled(label, "bold"), f" {percent(probability)}"), *[None] * (len(of_label) - 1)]
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
