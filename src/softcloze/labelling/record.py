"""The state of a labelling, replayed from its journal: answers, skipped texts, leases and labels."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from softcloze.errors import ArtifactError
from softcloze.labelling.events import VERSION, find_problem
from softcloze.labelling.journal import Event
from softcloze.verbalizer import Label

GIVEN = "given"  # how a text was chosen whose label came with it


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one question, or the decision to skip it.

    Attributes:
        index: of the text.
        labels: the labels that the text was given; one, if each text has one. Empty for a skipped text, and for a text
            with none of several labels.
        skipped: the person gave no answer.
        name: of the person; "" if it was not given.
        time: of the answer, in seconds since 1970 (UTC).
        how: reason for which the text was chosen, as in `Question.how`.
        came_along: the text had the label before, so that nobody takes it back.
        other: the answer of another person that the text had already, if this person was shown the text before that,
            and gives other labels.
    """

    index: int
    labels: tuple[Label, ...]
    skipped: bool
    name: str
    time: float
    how: str
    came_along: bool = False
    other: "Answer | None" = None

    @property
    def when(self) -> str:
        """The time as ISO 8601 in UTC, to the second.

        >>> Answer(0, ("a",), False, "", 0.0, "random").when
        '1970-01-01T00:00:00Z'
        """
        return datetime.fromtimestamp(self.time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True, eq=False)
class Renaming:
    """A label that has another name since.

    Attributes:
        old: name of the label before.
        new: name since; another label may have had it already, and the two are one since.
        name: of the person.
        came_along: always False, as of an answer that a person gave.
        event: of the journal.
    """

    old: Label
    new: Label
    name: str
    event: Event
    came_along: bool = False

    def labels(self, before: Sequence[Label]) -> list[Label]:
        """Labels with the new name, each once."""
        return [*dict.fromkeys(self.new if label == self.old else label for label in before)]

    def answer(self, before: Answer) -> Answer:
        """An answer with the new name; two people who agree since are no longer of two minds."""
        labels, other = tuple(self.labels(before.labels)), before.other
        if other is not None:
            other = replace(other, labels=tuple(self.labels(other.labels)))
            other = other if {*other.labels} != {*labels} else None
        return replace(before, labels=labels, other=other)


@dataclass(frozen=True, slots=True)
class Lease:
    """A text that a person was shown, and that others are not shown until the lease ends.

    Attributes:
        index: of the text.
        name: of the person.
        until: end of the lease, in seconds since 1970 (UTC).
        how: reason for which the text was chosen.
    """

    index: int
    name: str
    until: float
    how: str


@dataclass
class Record:
    """The state after the events so far; `apply` takes the next.

    Attributes:
        labels: all labels in the order in which they came.
        held_out: indices of the texts that are for the estimate alone.
        given: answers that are in force, the last one of each text.
        notes: the last note on each text.
        leases: the last lease of each text that has no answer.
        how: reason for which each text was chosen, as far as one was.
        asked: number of texts that were ever chosen.
        answered: number of answers and renamings, those taken back included; grows with each one.
        shown: indices of the texts that each person was shown and has not answered.
        rows: number of texts; None before the start.
        renamed: from former names of labels to those that they have now.
        renamings: number of renamings, those taken back included, and of these; grows with each one.
    """

    labels: list[Label] = field(default_factory=list)
    held_out: tuple[int, ...] = ()
    given: dict[int, Answer] = field(default_factory=dict)
    notes: dict[int, str] = field(default_factory=dict)
    leases: dict[int, Lease] = field(default_factory=dict)
    how: dict[int, str] = field(default_factory=dict)
    started: Event | None = None
    answered: int = 0
    shown: dict[str, set[int]] = field(default_factory=dict)
    rows: int | None = None
    renamed: dict[Label, Label] = field(default_factory=dict)
    renamings: int = 0
    _stack: list[Answer | Renaming] = field(default_factory=list)
    _events: list[Event] = field(default_factory=list)

    @property
    def multi_label(self) -> bool:
        """True if a text may have several labels."""
        return self.started is not None and bool(self.started["multi_label"])

    @property
    def asked(self) -> int:
        """Number of texts that were ever chosen."""
        return len(self.how)

    def apply(self, event: Event) -> None:
        """Take the next event of a journal.

        Raises:
            ArtifactError: it is of an unknown kind, lacks something, or is about a text that there is not.
        """
        if (problem := find_problem(event, self.rows, multi_label=self.multi_label)) is not None:
            raise ArtifactError(
                f"the journal has an event that is damaged or of another version: {problem}; mend or remove its line, "
                "label with the version that wrote it, or into a new folder"
            )
        self._apply(event)

    def _apply(self, event: Event) -> None:
        self._events.append(event)
        match event["event"]:
            case "start":
                if self.started is None:
                    self.started = event
                    self.rows = int(event["rows"])
                    self.labels = [*event["labels"]]
                    self.held_out = tuple(map(int, event["held_out"]))
            case "label":
                self._add(event["label"])
            case "ask":
                index = int(event["index"])
                lease = Lease(index, str(event["name"]), float(event["until"]), str(event["how"]))
                self.leases = {index: lease, **self.leases} if event.get("first") else {**self.leases, index: lease}
                self.how.setdefault(index, str(event["how"]))
                self.shown.setdefault(lease.name, set()).add(index)
            case "answer" | "skip" as kind:
                self._answer(event, skipped=kind == "skip")
            case "note":
                self.notes[int(event["index"])] = str(event["note"])
            case "undo":
                self._undo(str(event["name"]))
            case "rename":
                self._rename(Renaming(event["old"], event["new"], str(event["name"]), event))
            case "more texts" if self.started is not None:
                self.started = {**self.started, "texts": event["texts"]}
                self.rows = int(event["rows"])

    def _add(self, label: Label) -> None:
        if label not in self.labels:
            self.labels.append(label)
            self.renamed.pop(label, None)

    def _rename(self, renaming: Renaming) -> None:
        old, new = renaming.old, renaming.new
        if old not in self.labels or old == new:
            return
        self.labels = renaming.labels(self.labels)
        self.given = {index: renaming.answer(answer) for index, answer in self.given.items()}
        self._stack = [renaming.answer(one) if isinstance(one, Answer) else one for one in self._stack]
        self._stack.append(renaming)
        self.renamed = {**{before: new if now == old else now for before, now in self.renamed.items()}, old: new}
        self.renamed.pop(new, None)
        self.answered += 1
        self.renamings += 1

    def without(self, renaming: Renaming) -> "Record":
        """The state as if a label had kept its name."""
        other = Record()
        for event in self._events:
            if event is not renaming.event:
                other._apply(event)
        return other

    def _answer(self, event: Event, *, skipped: bool) -> None:
        index, name = int(event["index"]), str(event["name"])
        labels = () if skipped else tuple(event["labels"])
        for label in labels:
            self._add(label)
        came_along = event.get("how") == GIVEN
        how = self.how.setdefault(index, GIVEN if came_along else "own")
        earlier = self._earlier_of_another(index, name) if not event.get("corrects") else None
        other = earlier if earlier is not None and {*earlier.labels} != {*labels} else None
        answer = Answer(index, labels, skipped, name, float(event["time"]), how, came_along, other)
        self._stack.append(answer)
        if not (skipped and earlier is not None):
            self.given[index] = answer
        self.leases.pop(index, None)
        self.shown.get(name, set()).discard(index)
        self.answered += 1

    def _earlier_of_another(self, index: int, name: str) -> Answer | None:
        """The answer of another person to a text that this one was shown before, and has not answered until now."""
        earlier = self.given.get(index)
        if earlier is None or earlier.skipped or earlier.came_along or earlier.name == name:
            return None
        return earlier if index in self.shown.get(name, ()) else None

    def last_of(self, name: str) -> Answer | Renaming | None:
        """The last answer of a person, or label that this person renamed, that is not taken back."""
        mine = (one for one in reversed(self._stack) if one.name == name and not one.came_along)
        return next(mine, None)

    def _undo(self, name: str) -> None:
        """Take the last answer of a person back, so that the text has the one from before, or none; or a renaming."""
        last = self.last_of(name)
        if last is None:
            return
        if isinstance(last, Renaming):
            answered, renamings = self.answered + 1, self.renamings + 1
            self._events.pop()  # the undo itself
            vars(self).update(vars(self.without(last)))
            self.answered, self.renamings = answered, renamings
            return
        self._stack = [one for one in self._stack if one is not last]
        before = [one for one in self._stack if isinstance(one, Answer) and one.index == last.index]
        if before:
            self.given[last.index] = before[-1]
        else:
            self.given.pop(last.index, None)
        self.answered += 1

    def answers(self) -> list[Answer]:
        """The labelled texts in the order of their first answers, without skipped ones."""
        return [answer for answer in self.given.values() if not answer.skipped]

    def open_leases(self, now: float) -> dict[int, Lease]:
        """Leases that have not ended, of texts without an answer."""
        return {index: lease for index, lease in self.leases.items() if lease.until > now}


def start_event(texts: str, rows: int, labels: Sequence[Label], held_out: Sequence[int], *, multi_label: bool) -> Event:
    """The first event of a journal.

    Args:
        texts: digest of all texts.
        rows: number of texts.
        labels: the first labels.
        held_out: indices of the texts that are for the estimate alone.
        multi_label: a text may have several labels, or none.
    """
    return {
        "event": "start",
        "version": VERSION,
        "texts": texts,
        "rows": rows,
        "labels": list(labels),
        "multi_label": multi_label,
        "held_out": list(held_out),
    }
