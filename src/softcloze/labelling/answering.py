"""Answers to a labelling: given, skipped, taken back and kept."""

import threading
import time
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from softcloze.data import Example
from softcloze.errors import ArtifactError, DataError, ParameterError
from softcloze.formatting import quoted
from softcloze.labelling.answers import LabelledText, OtherAnswer, Question, Renamed
from softcloze.labelling.journal import Event, Journal
from softcloze.labelling.record import GIVEN, Answer, Record, Renaming, start_event
from softcloze.labelling.validation import (
    digest_of,
    labels_of_answer,
    plain_index,
    plain_label,
    plain_text,
    validate_labels,
)
from softcloze.parameters import BOOLEAN, validate_parameters
from softcloze.verbalizer import Label, as_label


class Answering:
    """Texts with their answers in a journal, which several people may write. It needs no model.

    Args:
        texts: the texts.
        folder: of the journal; None for memory alone.
        multi_label: a text may have several labels, or none.
        lease: time in seconds for which a text is not shown to others.
        seed: of the texts that are held out.
    """

    def __init__(self, texts: list[Example], folder: Path | None, *, multi_label: bool, lease: float, seed: int):
        """Keep the parameters; `_open` reads the journal."""
        self.texts, self.multi_label = texts, multi_label
        self._folder, self._lease, self._seed = folder, lease, seed
        self._mutex = threading.RLock()  # of the record; never held while a model runs
        self._journal, self._record = Journal(folder), Record()

    def _open(self, labels: list[Label] | None, held_out: int) -> None:
        """Start a labelling, or continue the one in the folder."""
        with self._journal.locked():
            self._apply_new()
            if self._record.started is None:
                self._start(labels, held_out)
                return
            if self._record.multi_label != self.multi_label:
                raise ArtifactError(
                    f"{self._folder} has a labelling with multi_label={self._record.multi_label}; give the same, or "
                    "another folder"
                )
            self._validate_same_texts()
            known = {*self._record.labels, *self._record.renamed}
            new = [label for label in labels or () if label not in known]
            validate_labels([*self._record.labels, *new])
            for label in new:
                self._write({"event": "label", "label": label, "name": "", "time": time.time()})

    def _start(self, labels: list[Label] | None, held_out: int) -> None:
        if self._record.asked or self._record.labels:
            raise ArtifactError(f"the first line of {self._journal.path} is missing; restore the file")
        if labels is None:
            where = f"{self._folder} has no labelling yet" if self._folder is not None else "there is no folder"
            raise DataError(f"labels is None, and {where}: give the labels, as in ['billing', 'delivery']")
        drawn = np.random.default_rng(self._seed).choice(len(self.texts), held_out, replace=False)
        count, digest = len(self.texts), digest_of(self.texts)
        self._write(start_event(digest, count, labels, sorted(drawn.tolist()), multi_label=self.multi_label))

    def _validate_same_texts(self) -> None:
        """Raise ArtifactError if the texts are not those of the journal, or these and others after them."""
        record, found = self._record, len(self.texts)
        rows, known = record.rows or 0, record.started["texts"] if record.started is not None else ""
        digest = digest_of(self.texts)
        if digest == known:
            return
        if found <= rows or digest_of(self.texts[:rows]) != known:
            raise ArtifactError(
                f"{self._folder} has a labelling of {rows} other texts, found {found}: some were changed, removed or "
                "moved, or come before those that it knows; give the same texts in the same order (others may follow "
                "them), or another folder"
            )
        self._write({"event": "more texts", "texts": digest, "rows": found})

    @property
    def labels(self) -> tuple[Label, ...]:
        """All labels, in the order in which they came."""
        with self._mutex:
            self._sync()
            return tuple(self._record.labels)

    @property
    def renamed(self) -> dict[Label, Label]:
        """Former names of labels, and the names that these have now."""
        with self._mutex:
            self._sync()
            return dict(self._record.renamed)

    @property
    def renamings(self) -> int:
        """Number that grows whenever a label is renamed: a list of labels from before may be out of date."""
        with self._mutex:
            self._sync()
            return self._record.renamings

    @property
    def held_out(self) -> tuple[int, ...]:
        """Indices of the texts that are held out."""
        return self._record.held_out

    def tell(
        self,
        index: int,
        label: Label | Collection[Label],
        *,
        name: str = "",
        note: str | None = None,
        corrects: bool = False,
    ) -> OtherAnswer | None:
        """Give a text its label; a text that has one gets the new one. The answer is on disk afterwards.

        Args:
            index: of the text, also one that was not asked.
            label: its label; with `multi_label` a collection of labels, which may be empty.
            name: of the person.
            note: a note on the text; None to leave it as it is.
            corrects: the person has seen the answer that the text has, as among `doubts`, and decides: the new one
                counts alone, even if this person was shown the text before the other answer came.

        Returns:
            The answer of another person, if that came while this person was shown the text, and gave other labels:
            after a lease has ended, a text is shown to others. Both answers are in the journal, the new one counts,
            and `doubts` begins with such texts until one of them is told again; `disputes` has them alone.

        Raises:
            ParameterError: there is no such text or label.
            FileError: the answer cannot be written.
        """
        name = plain_text("name", name)
        validate_parameters({"corrects": corrects}, {"corrects": BOOLEAN})
        with self._mutex, self._journal.locked():
            self._sync()
            index, given = plain_index(index, len(self.texts)), self._labels_of(label)
            answer: Event = {"event": "answer", "index": index, "labels": given, "name": name, "time": time.time()}
            events = [{**answer, "corrects": True} if corrects else answer]
            if note is not None:
                events.append({"event": "note", "index": index, "note": plain_text("note", note), "name": name})
            self._write(*events)
            other = self._record.given[index].other
        self._after_answer()
        return _other(other)

    def _after_answer(self) -> None:
        """Called after each answer, outside the locks."""

    def take(self, labels: Mapping[int, Label | Collection[Label]]) -> int:
        """Take labels that some texts had before; `labelled` shows how="given" for them, and `undo` keeps them.

        Args:
            labels: from indices of texts to labels, each as for `tell`. Texts with an answer keep theirs.

        Returns:
            The number of texts that got a label.

        Raises:
            ParameterError: there is no such text or label.
            FileError: the answers cannot be written.
        """
        with self._mutex, self._journal.locked():
            self._sync()
            now, count = time.time(), len(self.texts)
            new = {plain_index(index, count): self._labels_of(label) for index, label in labels.items()}
            events: list[Event] = [
                {"event": "answer", "index": index, "labels": given, "name": "", "time": now, "how": GIVEN}
                for index, given in new.items()
                if index not in self._record.given
            ]
            if events:
                self._write(*events)
        return len(events)

    def skip(self, index: int, *, name: str = "") -> None:
        """Leave a text without a label, and do not ask for it again; raises as `tell`."""
        name = plain_text("name", name)
        with self._mutex, self._journal.locked():
            self._sync()
            index = plain_index(index, len(self.texts))
            self._write({"event": "skip", "index": index, "name": name, "time": time.time()})

    def undo(self, *, name: str = "") -> Question | Renamed | None:
        """Take back the last answer, skip or renaming of a person; `ask` then returns the text of an answer first.

        Returns:
            The text, or the renaming; None if nothing is left to take back.

        Raises:
            DataError: a label whose renaming is taken back differs from another one by case or white space alone.
        """
        name = plain_text("name", name)
        with self._mutex, self._journal.locked():
            self._sync()
            last = self._record.last_of(name)
            if last is None:
                return None
            event: Event = {"event": "undo", "name": name, "time": time.time()}
            if isinstance(last, Renaming):
                validate_labels(self._record.without(last).labels)
                self._write(event)
                return Renamed(last.old, last.new)
            self._write(event)
            if last.index not in self._record.given:
                again = ask_event(last.index, last.how, name, time.time() + self._lease)
                self._write({**again, "first": True})
        return Question(last.index, self.texts[last.index], last.how)

    def add_label(self, label: Label, *, name: str = "") -> None:
        """Add a label; nothing happens if there is such a label.

        Raises:
            DataError: it differs from another one by case or white space alone.
        """
        new, name = as_label(label), plain_text("name", name)
        with self._mutex, self._journal.locked():
            self._sync()
            if new in self._record.labels:
                return
            validate_labels([*self._record.labels, new])
            self._write({"event": "label", "label": new, "name": name, "time": time.time()})

    def rename(self, old: Label, new: Label, *, name: str = "") -> None:
        """Give a label another name, in all answers so far; one that there is makes the two labels one.

        `undo` takes it back, except in answers that others gave by the new name since. The former name is free for a
        new label, but opening the labelling with it, as one of `labels`, does not bring it back. Label words that a
        label was given stay with it.

        Raises:
            ParameterError: there is no label `old`, it is `new`, or it is one of two labels that would become one.
            DataError: `new` is none, or differs from another label by case or white space alone.

        >>> from softcloze import Labeller
        >>> labeller = Labeller("starter:bert-tiny", ["Where is it?", "Too late."], ["billing", "delivery"])
        >>> labeller.tell(0, "delivery")
        >>> labeller.rename("delivery", "shipping")
        >>> labeller.counts()
        {'billing': 0, 'shipping': 1}
        >>> labeller.undo()
        Renamed(old='delivery', new='shipping')
        """
        after, name = as_label(new), plain_text("name", name)
        with self._mutex, self._journal.locked():
            self._sync()
            labels = self._record.labels
            before = plain_label(old, labels)
            others = [label for label in labels if label != before]
            if after == before:
                raise ParameterError(f"the label {quoted(before)} has this name already; expected another one")
            if others == [after]:
                raise ParameterError(
                    f"{quoted(before)} and {quoted(after)} are the only labels, and a labelling has two at least; add "
                    "another one first"
                )
            validate_labels(others if after in others else [*others, after])
            self._write({"event": "rename", "old": before, "new": after, "name": name, "time": time.time()})
        self._after_renaming()

    def _after_renaming(self) -> None:
        """Called after a label was renamed, outside the locks."""

    def note(self, index: int, note: str, *, name: str = "") -> None:
        """Write a note on a text, in place of an earlier one; raises as `tell`."""
        texts = {"note": plain_text("note", note), "name": plain_text("name", name)}
        with self._mutex, self._journal.locked():
            self._sync()
            self._write({"event": "note", "index": plain_index(index, len(self.texts)), **texts})

    def counts(self) -> dict[Label, int]:
        """Number of texts with each label."""
        answers = self._answers()
        return {label: sum(label in answer.labels for answer in answers) for label in self._record.labels}

    def labelled(self) -> list[LabelledText]:
        """The labelled texts, in the order of their answers."""
        notes = self._record.notes
        return [
            LabelledText(
                answer.index,
                self.texts[answer.index],
                answer.labels,
                answer.name,
                answer.when,
                answer.how,
                notes.get(answer.index, ""),
                _other(answer.other),
            )
            for answer in self._answers()
        ]

    def disputes(self) -> list[LabelledText]:
        """The labelled texts on which two people do not agree, and nobody has decided; `tell` with `corrects` does."""
        return [text for text in self.labelled() if text.other is not None]

    def _labels_of(self, label: Label | Collection[Label]) -> list[Label]:
        return labels_of_answer(label, self._record.labels, multi_label=self.multi_label)

    def _apply_new(self) -> None:
        """Take what this and other processes have written."""
        events = self._journal.read()
        for number, event in enumerate(events):
            try:
                self._record.apply(event)
            except ArtifactError:
                self._journal.unread(events[number:])  # fail again, rather than go on without this one
                raise

    def _sync(self) -> None:
        """The same; raises ArtifactError if another process added texts, which this one does not have."""
        self._apply_new()
        if (rows := self._record.rows or 0) > len(self.texts):
            raise ArtifactError(
                f"{self._folder} has a labelling of {rows} texts, found {len(self.texts)}: texts were added after "
                "these; open it again with all of them"
            )

    def _write(self, *events: Event) -> None:
        """Write events and take them, within the lock of the journal."""
        self._journal.append(*events)
        self._sync()

    def _answers(self) -> list[Answer]:
        """Answers in force, without skipped texts."""
        with self._mutex:
            self._sync()
            return self._record.answers()


def ask_event(index: int, how: str, name: str, until: float) -> Event:
    """The event of a text that is shown.

    Args:
        index: of the text.
        how: reason for which it was chosen.
        name: of the person.
        until: end of the lease, in seconds since 1970.
    """
    return {"event": "ask", "index": index, "how": how, "name": name, "until": until}


def _other(answer: Answer | None) -> OtherAnswer | None:
    return OtherAnswer(answer.labels, answer.name, answer.when) if answer is not None else None
