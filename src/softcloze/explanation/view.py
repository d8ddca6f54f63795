"""An explanation in the terminal and as HTML."""

from functools import cache
from importlib.resources import files
from typing import NamedTuple

from jinja2 import Environment, StrictUndefined, Template
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from softcloze.explanation.explanation import Explanation, WordShare
from softcloze.explanation.spelling import one_line
from softcloze.verbalizer import Label


class LabelView(NamedTuple):
    """A label with what belongs to it."""

    label: Label
    probability: float
    words: list[WordShare]


def as_rich(explanation: Explanation) -> RenderableType:
    """The prediction in a line, the label words in a table, and the likeliest words in another."""
    headline = Text.assemble((one_line(explanation.predicted), "bold"), f" {summary(explanation)}")
    return Group(headline, _word_table(explanation), _top_table(explanation))


def as_html(explanation: Explanation) -> str:
    """The same as a piece of HTML that needs nothing else; all text in it is escaped."""
    return _fragment().render(
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
def _fragment() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {"one_line": one_line, "percent": percent, "nats": nats}
    return environment.from_string(files("softcloze.explanation").joinpath("fragment.html").read_text(encoding="utf-8"))


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
