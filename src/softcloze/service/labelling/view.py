"""What the page for labelling shows, as plain data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log2
from typing import Literal

from softcloze.data import Example
from softcloze.formatting import replace_surrogates
from softcloze.labelling import CurvePoint, Estimate, Forecast, OtherAnswer
from softcloze.verbalizer import Label

MANY_LABELS = 12  # more of them are found by their names as well
FOLDED = 1200  # characters of a text that are shown; the others are folded
FOLDED_NEIGHBOUR = 300

Stage = Literal["start", "reading", "question", "empty", "doubt", "results"]


@dataclass(frozen=True, slots=True)
class Passage:
    """A field of a text, whose end is folded if it is long.

    Attributes:
        name: of the field; "" for a text without fields.
        text: the text, or its beginning.
        rest: what is folded.
    """

    name: str
    text: str
    rest: str


@dataclass(frozen=True, slots=True)
class NeighbourShown:
    """A labelled text that is similar to the one in doubt."""

    label: Label
    similarity: float
    passages: Sequence[Passage]


@dataclass(frozen=True, slots=True)
class DoubtShown:
    """A text whose label is in doubt.

    Attributes:
        labels: that it has.
        name: of the person who gave it.
        note: on the text.
        queue: indices of the doubtful texts from this one on.
        other: answer of another person that this one does not agree with; None without one.
        suggested: the label that the classifier would give it; None where texts have several labels.
        probability: of that label.
        neighbours: the most similar first.
    """

    labels: Sequence[Label]
    name: str
    note: str
    queue: Sequence[int]
    other: OtherAnswer | None
    suggested: Label | None = None
    probability: float = 0.0
    neighbours: Sequence[NeighbourShown] = ()


@dataclass(frozen=True, slots=True)
class Quality:
    """How good the classifier is after so many labelled texts, and what more of them would bring."""

    texts: int
    estimate: Estimate | None
    curve: Sequence[CurvePoint]
    forecast: Forecast | None


@dataclass(frozen=True, slots=True)
class View:
    """What the page shows.

    Attributes:
        stage: of the labelling.
        message: what was done, in one line.
        error: why something was not done.
        index: of the text that is shown.
        passages: its fields.
        guess: labels and their probabilities, the likeliest first, if they were asked for.
        doubt: of the text that is shown.
        results: what `finish` returned.
        clears: labels that were marked, by their places, are marked no longer, since labels were renamed.
        status: of the response.
    """

    stage: Stage
    message: str = ""
    error: str = ""
    index: int | None = None
    passages: Sequence[Passage] = ()
    guess: Sequence[tuple[Label, float]] = ()
    doubt: DoubtShown | None = None
    results: Mapping[str, object] = field(default_factory=dict)
    clears: bool = False
    status: int = 200


def passages_of(text: Example, most: int = FOLDED) -> list[Passage]:
    r"""The fields of a text.

    >>> passages_of({"title": "Late", "items": ["a", "b"]})
    [Passage(name='title', text='Late', rest=''), Passage(name='items', text='a\nb', rest='')]
    >>> passages_of("one two three", most=8)
    [Passage(name='', text='one two', rest='three')]
    """
    fields = {"": text} if isinstance(text, str) else text
    return [_fold(name, _plain(value), most) for name, value in fields.items()]


def _plain(value: object) -> str:
    whole = "\n".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return replace_surrogates(whole)


def _fold(name: str, text: str, most: int) -> Passage:
    """Cut at the last white space before the limit, or at the limit."""
    if len(text) <= most * 5 // 4:
        return Passage(name, text, "")
    cut = next((i for i in range(most, most * 3 // 4, -1) if text[i].isspace()), most)
    return Passage(name, text[:cut], text[cut:].lstrip())


def curve_points(curve: Sequence[CurvePoint], width: float, height: float) -> list[tuple[float, float]]:
    """Places of the points of a learning curve in a drawing: logarithms of the numbers of texts, accuracy from 0 to 1.

    Args:
        curve: the points.
        width: of the drawing.
        height: of the drawing.
    """
    places = [log2(point.texts) for point in curve]
    first, span = places[0], max(places[-1] - places[0], 1e-9)
    return [
        (round((place - first) / span * width, 1), round(height * (1 - point.balanced_accuracy), 1))
        for place, point in zip(places, curve, strict=True)
    ]
