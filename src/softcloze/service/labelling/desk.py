"""Actions of the page for labelling: answers, guesses, doubtful labels, and the end."""

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from softcloze.errors import SoftclozeError
from softcloze.formatting import visible
from softcloze.labelling import Doubt, Labeller, Renamed
from softcloze.service.labelling.reading import Reading
from softcloze.service.labelling.sent import Sent
from softcloze.service.labelling.view import (
    FOLDED_NEIGHBOUR,
    DoubtShown,
    NeighbourShown,
    Quality,
    View,
    passages_of,
)
from softcloze.verbalizer import Label

Finish = Callable[[], Mapping[str, object]]
Words = Mapping[str, str]

MEASURE_EVERY = 8  # labelled texts, after which the estimate is computed anew
MOST_DOUBTS = 50  # that are looked through at once
DOUBTED_SHARE = 5  # a fifth of the labelled texts is shown as doubtful at least
LIKELIEST = 5  # labels of a guess


class Desk:
    """A labelling as the page uses it. Its methods run in threads, several at once.

    Attributes:
        labeller: the labelling.
        reading: of the texts.
        quality: the last estimate; None before the first.
        results: what `finish` returned; None before the end.
    """

    def __init__(self, labeller: Labeller, finish: Finish | None):
        self.labeller, self.reading = labeller, Reading(labeller)
        self.quality: Quality | None = None
        self.results: Mapping[str, object] | None = None
        self._finish = finish
        self._long = threading.Lock()  # one long computation at a time, so that answers stay quick
        self._doubts: dict[int, Doubt] = {}

    @property
    def is_due(self) -> bool:
        """Whether there are enough new labels for another estimate."""
        known = self.quality.texts if self.quality is not None else 0
        return not self.labeller.multi_label and len(self.labeller.labelled()) >= known + MEASURE_EVERY

    def do(self, sent: Sent, words: Words) -> View:
        """Do what a form says, and return what the page shows then."""
        if self.results is not None:
            return View("results", words["ended"], results=self.results)
        if sent.name is None:
            return View("start")
        if not self.reading.is_done:
            return View("reading", error=self.reading.error)
        try:
            return self._do(sent, words)
        except SoftclozeError as error:
            return self._failed(sent, sent.name, words, error)

    def _do(self, sent: Sent, words: Words) -> View:
        name = sent.name or ""
        if (sent.labels or sent.action == "rename") and sent.renamings not in (None, self.labeller.renamings):
            return replace(self._next(replace(sent, labels=()), name, words["renamed_meanwhile"]), clears=True)
        match sent.action:
            case "label" | "save" if sent.index is not None:
                message = self._answer(sent, sent.index, name, words)
                return self._next(sent, name, message, after=True)
            case "skip" if sent.index is not None:
                note = self._changed_note(sent, sent.index)
                if note is not None:
                    self.labeller.note(sent.index, note, name=name)
                if not sent.queue:
                    self.labeller.skip(sent.index, name=name)
                return self._next(sent, name, words["left" if sent.queue else "skipped"], after=True)
            case "undo":
                return self._undo(sent, name, words)
            case "guess" if sent.index is not None:
                return self._guess(sent, sent.index, name, words)
            case "add" if sent.new_label:
                self.labeller.add_label(self._new_label(sent.new_label), name=name)
                return self._next(sent, name, words["added"].format(label=visible(sent.new_label)))
            case "rename" if sent.new_label and sent.old_label is not None:
                old, new = self._label(sent.old_label), self._new_label(sent.new_label)
                self.labeller.rename(old, new, name=name)
                message = words["renamed"].format(old=visible(str(old)), new=visible(str(new)))
                return replace(self._next(sent, name, message), clears=True)
            case "quality":
                self._measure()
                return self._next(sent, name, words["measured"])
            case "doubts":
                return self._begin_doubts(name, words)
            case "finish":
                return self._end(words)
            case "back":
                return self._question(name)
            case _:
                return self._next(sent, name)

    def _failed(self, sent: Sent, name: str, words: Words, error: SoftclozeError) -> View:
        """Say why something was not done, and show the same text: another one cannot be asked for on a full disk."""
        texts = self.labeller.texts
        if sent.index is not None and sent.index < len(texts) and not sent.queue:
            view = View("question", index=sent.index, passages=passages_of(texts[sent.index]))
        else:
            view = self._next(sent, name)
        return replace(view, message=words["failed"], error=str(error), status=422)

    def _answer(self, sent: Sent, index: int, name: str, words: Words) -> str:
        """Save an answer, and say what it is and what the model's guess was."""
        guess = self._likeliest(index)
        labels = [self._label(i) for i in sent.labels]
        given = labels if self.labeller.multi_label or len(labels) != 1 else labels[0]
        other = self.labeller.tell(
            index, given, name=name, note=self._changed_note(sent, index), corrects=bool(sent.queue)
        )
        said = _listed(labels, words)
        if not guess or sent.queue:
            saved = words["saved"].format(labels=said)
        else:
            label, chance = guess[0]
            saved = words["saved_guess"].format(labels=said, guess=visible(str(label)), probability=f"{chance:.0%}")
        if other is None:
            return saved
        who = visible(other.name) or words["somebody"]
        return f"{saved} " + words["disputed"].format(name=who, labels=_listed(other.labels, words))

    def _changed_note(self, sent: Sent, index: int) -> str | None:
        """The note of a form; None if it is the one that the text has."""
        known = next((row.note for row in self.labeller.labelled() if row.index == index), "")
        return sent.note if sent.note != known else None

    def _label(self, number: int) -> Label:
        """The label of a button; a number that none has becomes a label that there is not, which `tell` reports."""
        labels = self.labeller.labels
        return labels[number] if number < len(labels) else f"#{number}"

    def _new_label(self, text: str) -> Label:
        """The name of a label as a number, if those of the others are numbers."""
        if isinstance(self.labeller.labels[0], int) and re.fullmatch(r"-?[0-9]{1,18}", text):
            return int(text)
        return text

    def _likeliest(self, index: int) -> list[tuple[Label, float]]:
        """The model's guess; nothing as long as all labels are alike to it."""
        if self.labeller.multi_label:
            return []
        guess = [*self.labeller.guess(index).items()]
        return guess[:LIKELIEST] if guess[0][1] - guess[-1][1] > 1e-6 else []

    def _guess(self, sent: Sent, index: int, name: str, words: Words) -> View:
        guess = self._likeliest(index)
        view = self._next(sent, name)
        if view.index != index:  # somebody else has labelled it
            return view
        message = words["no_guess"]
        if guess:
            label, probability = guess[0]
            message = words["guess_is"].format(guess=visible(str(label)), probability=f"{probability:.0%}")
        return View(view.stage, message, "", index, view.passages, guess, view.doubt)

    def _undo(self, sent: Sent, name: str, words: Words) -> View:
        question = self.labeller.undo(name=name)
        if question is None:
            return self._next(sent, name, words["nothing_to_undo"])
        if isinstance(question, Renamed):
            return replace(
                self._next(sent, name, words["name_undone"].format(old=visible(str(question.old)))), clears=True
            )
        if sent.queue and (question.index in self._doubts or self.labeller.multi_label):
            queue = (question.index, *(index for index in sent.queue if index != question.index))
            return self._doubt(queue, words["undone"]) or self._question(name, words["undone"])
        return self._question(name, words["undone"])

    def _next(self, sent: Sent, name: str, message: str = "", *, after: bool = False) -> View:
        """The next text: of the doubtful ones while they are looked through, else one to label.

        Args:
            sent: the form.
            name: of the person.
            message: what was done.
            after: the text that was shown is done.
        """
        if not sent.queue:
            return self._question(name, message)
        doubt = self._doubt(sent.queue[after:], message)
        return doubt if doubt is not None else self._question(name, message)

    def _question(self, name: str, message: str = "") -> View:
        """The text that the person is to label."""
        questions = self.labeller.ask(name=name)
        if not questions:
            return View("empty", message)
        return View("question", message, index=questions[0].index, passages=passages_of(questions[0].text))

    def _measure(self) -> None:
        with self._long:
            made = self.labeller
            texts = len(made.labelled())
            self.quality = Quality(texts, made.estimate(), made.learning_curve(), made.forecast())

    def _begin_doubts(self, name: str, words: Words) -> View:
        if self.labeller.multi_label:
            disputes = self.labeller.disputes()
            message = words["doubts_found"].format(count=len(disputes))
            queue = tuple(text.index for text in disputes)
            return self._doubt(queue, message) or self._question(name, words["no_disputes"])
        with self._long:
            doubts = self.labeller.doubts()
        least = -(-len(doubts) // DOUBTED_SHARE)
        shown = [doubt for i, doubt in enumerate(doubts) if i < least or doubt.is_doubtful][:MOST_DOUBTS]
        self._doubts |= {doubt.index: doubt for doubt in shown}
        message = words["doubts_found"].format(count=len(shown))
        return self._doubt(tuple(doubt.index for doubt in shown), message) or self._question(name, words["no_doubts"])

    def _doubt(self, queue: tuple[int, ...], message: str) -> View | None:
        """The first doubtful text of a queue that still has a label; None if there is none."""
        rows = {row.index: row for row in self.labeller.labelled()}
        several = self.labeller.multi_label
        queue = tuple(index for index in queue if index in rows and (several or index in self._doubts))
        if not queue:
            return None
        row = rows[queue[0]]
        passages = passages_of(row.text)
        if several:
            shown = DoubtShown(row.labels, row.name, row.note, queue, row.other)
            return View("doubt", message, index=row.index, passages=passages, doubt=shown)
        doubt, names = self._doubts[queue[0]], self.labeller.renamed
        neighbours = [
            NeighbourShown(
                rows[near.index].labels[0],
                near.similarity,
                passages_of(self.labeller.texts[near.index], FOLDED_NEIGHBOUR),
            )
            for near in doubt.neighbours
            if near.index in rows and rows[near.index].labels
        ]
        shown = DoubtShown(
            row.labels,
            row.name,
            row.note,
            queue,
            row.other,
            names.get(doubt.suggested, doubt.suggested),
            doubt.probabilities[doubt.suggested],
            neighbours,
        )
        return View("doubt", message, index=row.index, passages=passages, doubt=shown)

    def _end(self, words: Words) -> View:
        """Write the results; the labelling goes on if they cannot be written."""
        with self._long:
            if self.results is None:
                self.results = dict(self._finish()) if self._finish is not None else {}
        return View("results", words["ended"], results=self.results)


def _listed(labels: Sequence[Label], words: Words) -> str:
    """Labels for a message."""
    return words["separator"].join(visible(str(label)) for label in labels) or words["no_label"]
