"""An explanation as plain data; the terminal and HTML are two ways of showing it."""

import math
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from jinja2 import Environment, StrictUndefined, Template
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from softcloze.formatting import one_line
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
class Explanation:
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
            With fill="most_confident" words of several tokens do not share one distribution, and it may pass 1.

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

    def __rich__(self) -> "RenderableType":

        return explanation_rich(self)

    def _repr_html_(self) -> str:

        return explanation_html(self)


class LabelView(NamedTuple):
    """A label with what belongs to it."""

    label: Label
    probability: float
    words: list[WordShare]


def explanation_rich(explanation: Explanation) -> RenderableType:
    """The prediction in a line, the label words in a table, and the likeliest words in another."""
    headline = Text.assemble((one_line(explanation.predicted), "bold"), f" {summary(explanation)}")
    return Group(headline, _word_table(explanation), _top_table(explanation))


def explanation_html(explanation: Explanation) -> str:
    """The same as a piece of HTML that needs nothing else; all text in it is escaped."""
    return _template().render(
        predicted=explanation.predicted, summary=summary(explanation), labels=by_label(explanation), top=explanation.top
    )


def by_label(explanation: Explanation) -> list[LabelView]:
    """The labels, each with its words."""
    return [
        LabelView(label, probability, [word for word in explanation.words if word.label == label])
        for label, probability in zip(explanation.labels, explanation.probabilities, strict=True)
    ]


def summary(explanation: Explanation) -> str:
    """What there is to say behind the predicted label: its probability, and the mass on the label words."""
    return (
        f"{percent(max(explanation.probabilities))}; the label words have {percent(explanation.mass)} of the "
        "probability at the mask"
    )


def percent(probability: float) -> str:
    """A probability for people.

    >>> percent(0.1234), percent(0.00001), percent(0)
    ('12.34%', '<0.01%', '0.00%')
    """
    return "<0.01%" if 0 < probability < 0.00005 else f"{probability:.2%}"


def nats(score: float) -> str:
    """A log-score for people, without -0.00.

    >>> nats(-1.5), nats(-0.001)
    ('-1.50', '0.00')
    """
    return f"{score:z.2f}"


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {"one_line": one_line, "percent": percent, "nats": nats}
    return environment.from_string(files("softcloze.analysis").joinpath("explanation.html").read_text(encoding="utf-8"))


def _word_table(explanation: Explanation) -> Table:
    shown = Table(box=box.SIMPLE_HEAD)
    for name in ("label", "word", "tokens"):
        shown.add_column(name, overflow="fold")
    for name in ("probability", "score", "share"):
        shown.add_column(name, justify="right", no_wrap=True)
    for label, probability, words in by_label(explanation):
        heading = Text.assemble((one_line(label), "bold"), f" {percent(probability)}")
        if not words:
            shown.add_row(heading)
        for word in words:
            texts = (heading, Text(one_line(word.word)), Text(one_line(" ".join(word.tokens))))
            shown.add_row(*texts, percent(word.probability), nats(word.score), percent(word.share))
            heading = Text()  # a label stands beside the first of its words only
    return shown


def _top_table(explanation: Explanation) -> Table:
    shown = Table(box=box.SIMPLE_HEAD)
    shown.add_column("top words", overflow="fold")
    shown.add_column("probability", justify="right", no_wrap=True)
    shown.add_column("label", overflow="fold")
    for word in explanation.top:
        label = one_line(word.label) if word.label is not None else ""
        shown.add_row(Text(one_line(word.token)), percent(word.probability), Text(label, "bold"))
    return shown
