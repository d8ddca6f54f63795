"""The shape of the events of a journal, which a person may have edited or another version written."""

from typing import Annotated, Any, Literal, TypedDict

from softcloze.labelling.journal import Event
from softcloze.parameters import Constraint, integer
from softcloze.prompt.shape import check_shape

VERSION = 1
LATEST = 253_402_300_799  # the last second of the year 9999

Index = Annotated[int, integer(at_least=0)]
Name = str
AnyLabel = str | int | bool


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LATEST


Time = Annotated[float, Constraint("seconds since 1970", _is_time)]


class Start(TypedDict):
    """A labelling starts."""

    event: str
    version: Literal[1]
    texts: str
    rows: Index
    labels: list[AnyLabel]
    multi_label: bool
    held_out: list[Index]


class NewLabel(TypedDict):
    """There is another label."""

    event: str
    label: AnyLabel
    name: Name
    time: Time


class _Ask(TypedDict):
    event: str
    index: Index
    how: str
    name: Name
    until: float


class Ask(_Ask, total=False):
    """A text is shown to a person."""

    first: bool


class _Answer(TypedDict):
    event: str
    index: Index
    labels: list[AnyLabel]
    name: Name
    time: Time


class Answer(_Answer, total=False):
    """A text has an answer."""

    how: str
    corrects: bool


class Skip(TypedDict):
    """A person leaves a text without a label."""

    event: str
    index: Index
    name: Name
    time: Time


class Note(TypedDict):
    """A text has a note."""

    event: str
    index: Index
    note: str
    name: Name


class Undo(TypedDict):
    """A person takes the last answer back."""

    event: str
    name: Name
    time: Time


class Rename(TypedDict):
    """A label has another name, or becomes one with another label."""

    event: str
    old: AnyLabel
    new: AnyLabel
    name: Name
    time: Time


class MoreTexts(TypedDict):
    """The texts are continued by others."""

    event: str
    texts: str
    rows: Index


SHAPES = {
    "start": Start,
    "label": NewLabel,
    "ask": Ask,
    "answer": Answer,
    "skip": Skip,
    "note": Note,
    "undo": Undo,
    "rename": Rename,
    "more texts": MoreTexts,
}


def find_problem(event: Event, rows: int | None = None, *, multi_label: bool = False) -> str | None:
    """The first problem of an event; None without one.

    Args:
        event: the event, an entry `event` of which is text.
        rows: number of texts so far; None before the first event.
        multi_label: a text may have several labels, or none.

    >>> find_problem({"event": "undo", "name": "", "time": "now"})
    "undo.time is 'now'; expected seconds since 1970"
    >>> find_problem({"event": "dance"})
    "'dance' is not an event that this version knows"
    """
    kind = event["event"]
    shape: Any = SHAPES.get(kind)
    if shape is None:
        return f"{kind[:40]!r} is not an event that this version knows"
    problem = check_shape(event, shape, kind)
    if problem is not None:
        return problem
    if rows is None:
        if kind != "start":
            return None
        rows, multi_label = event["rows"], event["multi_label"]
    indices = [*event.get("held_out", []), *([event["index"]] if "index" in event else [])]
    if outside := [index for index in indices if index >= rows]:
        return f"{kind} is about text {outside[0]}, and the texts are {rows}, counted from 0"
    if kind == "more texts" and event["rows"] <= rows:
        return f"more texts are {event['rows']}, and the texts are {rows} already"
    if kind == "answer" and not multi_label and len(event["labels"]) != 1:
        return f"answer.labels has {len(event['labels'])} items; expected one label"
    return None
