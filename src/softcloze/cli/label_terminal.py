"""Labelling in the terminal: one text at a time, its label on a key."""

from collections.abc import Callable, Mapping
from threading import Thread
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from softcloze.cli.console import plain, say
from softcloze.cli.keys import BACKSPACE, ENTER, ESCAPE, LEFT, RIGHT, Keys
from softcloze.cli.label_results import say_results
from softcloze.cli.label_view import (
    guess_line,
    other_answer,
    show_commands,
    show_dispute,
    show_doubt,
    show_keys,
    show_question,
    show_text,
)
from softcloze.errors import SoftclozeError
from softcloze.formatting import counted, did_you_mean, one_line, percent
from softcloze.labelling.keys import COMMANDS, LABEL_KEYS

if TYPE_CHECKING:
    from softcloze.labelling import Estimate, Labeller, Question
    from softcloze.verbalizer import Label

OF_TEXTS = "?snv/"  # commands that need a text
SIGNS = {LEFT: "u", BACKSPACE: "u", RIGHT: "s"}  # keys that do the same as letters
DOUBTS = 20  # doubtful labels in a round
ESTIMATE_EVERY = 8  # answers


class TerminalSession:
    """A person who labels in the terminal.

    Args:
        labeller: the labelling; its texts are read.
        keys: what the person types.
        console: where texts are shown.
        name: of the person.
        finish: writes the results and returns data about them.
    """

    def __init__(
        self, labeller: "Labeller", keys: Keys, console: Console, *, name: str, finish: Callable[[], dict[str, Any]]
    ) -> None:
        self._labeller, self._keys, self._console = labeller, keys, console
        self._name, self._finish = name, finish
        self._question: Question | None = None
        self._chosen: list[Label] = []  # of several labels
        self._labels: tuple[Label, ...] = ()  # on the screen, whose keys stay theirs if somebody renames one meanwhile
        self._standing = _Standing(labeller)

    def run(self) -> None:
        """Show texts until the person quits or the input ends; each answer is on disk before the next text."""
        show_commands(self._console, COMMANDS)
        self._next()
        while (key := self._keys.read()) is not None and key != "q":
            try:
                self._act(key)
            except SoftclozeError as error:
                self._say(Text("error: ", "red"), plain(error))
                if self._question is not None:
                    self._show_labels()
        self._standing.join()

    def _act(self, key: str) -> None:
        """Do what a key or a line says."""
        key = SIGNS.get(key, key)
        question = self._question
        if question is None and (key in OF_TEXTS or key not in COMMANDS):
            return
        match key:
            case "?" if question is not None and not self._labeller.multi_label:
                self._say("  ", guess_line(self._labeller.guess(question.index)))
            case "u":
                self._undo()
            case "s" if question is not None:
                self._labeller.skip(question.index, name=self._name)
                self._next("skipped")
            case "n" if question is not None:
                if (note := self._keys.line("note: ")) is not None:
                    self._labeller.note(question.index, note, name=self._name)
                    self._say("  noted")
            case "+":
                self._add_label()
            case "=":
                self._rename()
            case "/":
                self._answer_by_name(self._keys.line("label (its beginning is enough): ") or "")
            case "v" if question is not None:
                show_text(self._console, question.text, whole=True)
                self._show_labels()
            case "d":
                self._review()
            case "e":
                self._say_estimate()
            case "f":
                self._console.print("writing the results …", style="dim")
                say_results(self._finish())
            case _:
                self._answer(key)

    def _next(self, before: str | Text = "") -> None:
        """Ask for the next text, and show it after a line about the last one."""
        self._question, self._chosen = next(iter(self._labeller.ask(name=self._name)), None), []
        if before:
            self._say(Text("→ ", "bold"), before)
        self._labels = self._labeller.labels
        if self._question is None:
            self._say("no text is left to label", Text("; others may be shown some now", "dim"))
            self._say("f writes the results, d shows doubtful labels, u takes the last answer back, q quits")
            return
        counts = self._labeller.counts()
        labelled = len(self._labeller.labelled())
        facts = f"{labelled:,} of {len(self._labeller.texts):,} labelled"
        show_question(self._console, self._labeller, self._question, facts + self._standing.line(labelled))
        self._show_labels(counts)

    def _show_labels(self, counts: "Mapping[Label, int] | None" = None) -> None:
        counts = counts if counts is not None else self._labeller.counts()
        self._labels = tuple(counts)
        self._chosen = [label for label in self._chosen if label in counts]
        show_keys(self._console, self._label_keys(), counts, self._chosen)

    def _label_keys(self) -> "dict[str, Label]":
        """The labels by their keys; in lines by their numbers."""
        if not self._keys.are_single:
            return {str(number): label for number, label in enumerate(self._labels, start=1)}
        return dict(zip(LABEL_KEYS, self._labels, strict=False))

    def _answer(self, key: str) -> None:
        """Take a label, or several, by keys, numbers or names."""
        labels = self._label_keys()
        if not self._labeller.multi_label:
            if key in labels:
                self._tell(labels[key])
            elif key.strip() and not self._keys.are_single:
                self._answer_by_name(key)
        elif self._keys.are_single:
            if key == ENTER:
                self._tell_several(self._chosen)
            elif key in labels:
                self._toggle(labels[key])
        elif (found := self._named(key)) is not None:
            self._tell_several(found)

    def _named(self, line: str) -> "list[Label] | None":
        """The labels in a line, none for "-" or an empty one; None, with a message, if one of them is no label."""
        parts = [part.strip() for part in line.split(",") if part.strip() not in ("", "-")]
        found = [self._find(part, self._label_keys()) for part in parts]
        return [label for label in found if label is not None] if None not in found else None

    def _answer_by_name(self, name: str) -> None:
        label = self._find(name.strip(), self._label_keys()) if name.strip() else None
        if label is not None and self._labeller.multi_label:
            self._toggle(label)
        elif label is not None:
            self._tell(label)

    def _find(self, name: str, keys: "Mapping[str, Label]") -> "Label | None":
        """A label by its key, its name or the beginning of its name; None, with a message, if it is not one label."""
        if name in keys:
            return keys[name]
        labels, wanted = self._labeller.labels, name.casefold()
        found = [label for label in labels if str(label).casefold() == wanted]
        found = found or [label for label in labels if str(label).casefold().startswith(wanted)]
        if len(found) == 1:
            return found[0]
        hint = did_you_mean(name, map(str, labels)) if not found else f": it begins {len(found)} of them"
        self._say(plain(f"no single label is {one_line(name)!r}{hint}"), "; ", Text("+ adds a label", "dim"))
        return None

    def _toggle(self, label: "Label") -> None:
        self._chosen = (
            [one for one in self._chosen if one != label] if label in self._chosen else [*self._chosen, label]
        )
        self._show_labels()
        self._say(Text("Enter takes the marked ones", "dim"))

    def _tell(self, label: "Label") -> None:
        question = self._question
        if question is None:
            return
        guess = self._labeller.guess(question.index)
        other = self._labeller.tell(question.index, label, name=self._name)
        likeliest = next(iter(guess))
        opinion = f"   (the model: {one_line(likeliest)} {percent(guess[likeliest], 0)})"
        self._next(Text.assemble(plain(one_line(label), "bold"), (opinion, "dim"), other_answer(other)))

    def _tell_several(self, labels: "list[Label]") -> None:
        question = self._question
        if question is not None:
            other = self._labeller.tell(question.index, labels, name=self._name)
            named = plain(", ".join(map(one_line, labels)) or "no label", "bold")
            self._next(Text.assemble(named, other_answer(other)))

    def _undo(self) -> None:
        from softcloze.labelling import Renamed

        taken_back = self._labeller.undo(name=self._name)
        if taken_back is None:
            self._say("there is no answer of yours to take back")
        elif isinstance(taken_back, Renamed):
            again = f"taken back: {one_line(taken_back.old)} has its name again"
            self._next(plain(again))
        else:
            self._next("taken back")

    def _add_label(self) -> None:
        label = (self._keys.line("new label: ") or "").strip()
        if label:
            self._labeller.add_label(label, name=self._name)
            self._show_labels()

    def _rename(self) -> None:
        """Give a label another name, or that of another label, which it then is."""
        named = (self._keys.line("rename which label (its beginning is enough): ") or "").strip()
        label = self._find(named, self._label_keys()) if named else None
        new = (self._keys.line(f"new name of {one_line(label)}: ") or "").strip() if label is not None else ""
        if label is not None and new:
            self._labeller.rename(label, new, name=self._name)
            self._show_labels()

    def _say_estimate(self) -> None:
        from softcloze.labelling.sentences import curve_sentence, estimate_sentence, forecast_sentence

        if self._labeller.multi_label:
            self._say("there is no estimate where texts have several labels")
            return
        estimate, curve = self._labeller.estimate(), self._labeller.learning_curve()
        is_biased = estimate is not None and estimate.is_biased
        for sentence in (
            estimate_sentence(estimate),
            curve_sentence(curve, is_biased=is_biased),
            forecast_sentence(self._labeller.forecast()),
        ):
            if sentence:
                self._say("  ", sentence)

    def _review(self) -> None:
        """Show labelled texts, those first whose label is doubtful, and take new labels for them."""
        if self._labeller.multi_label:
            self._settle()
            return
        doubts = [doubt for doubt in self._labeller.doubts(DOUBTS) if doubt.is_doubtful]
        commands = {ENTER: "keep", "v": "whole text", "q": "back to labelling"}
        changed = 0
        for number, doubt in enumerate(doubts, start=1):
            show_doubt(self._console, self._labeller, doubt, f"doubtful label {number} of {len(doubts)}")
            self._labels = self._labeller.labels
            keys = self._label_keys()
            show_keys(self._console, keys, {})
            show_commands(self._console, commands)
            while (key := self._keys.read()) == "v":
                show_text(self._console, self._labeller.texts[doubt.index], whole=True)
            if key in (None, "q", ESCAPE):
                break
            label = keys.get(key) if key in keys or key in ("", ENTER, " ") else self._find(key, keys)
            if label is not None and label != doubt.label:
                self._labeller.tell(doubt.index, label, name=self._name, corrects=True)
                changed += 1
                self._say(Text("→ ", "bold"), plain(one_line(label), "bold"))
            elif doubt.other is not None and (label is not None or key in (ENTER, "")):
                self._labeller.tell(doubt.index, doubt.label, name=self._name, corrects=True)  # decided
        self._say(f"{counted(changed, 'label')} changed" if doubts else "no label is doubtful so far")
        self._next()

    def _settle(self) -> None:
        """Show the texts with several labels on which two people do not agree; the marked labels are the answer."""
        disputes, settled = self._labeller.disputes(), 0
        for number, text in enumerate(disputes, start=1):
            self._chosen = [*text.labels]
            show_dispute(self._console, text, f"two answers, text {number} of {len(disputes)}")
            self._show_labels()
            show_commands(self._console, {ENTER: "take the marked ones", "s": "leave it", "q": "back to labelling"})
            if (key := self._mark()) in (None, "q", ESCAPE):
                break
            if key == ENTER:
                self._labeller.tell(text.index, self._chosen, name=self._name, corrects=True)
                settled += 1
        self._say(f"{counted(settled, 'text')} decided" if disputes else "nobody gave other labels than somebody else")
        self._next()

    def _mark(self) -> str | None:
        """Mark labels by keys, or by a line with all of them, until Enter or another command."""
        while (key := self._keys.read()) not in (None, "s", "q", ESCAPE, ENTER, ""):
            if self._keys.are_single and key in self._label_keys():
                self._toggle(self._label_keys()[key])
            elif not self._keys.are_single and (found := self._named(key)) is not None:
                self._chosen = found
                return ENTER
        return ENTER if key == "" else key

    def _say(self, *parts: str | Text) -> None:
        say(self._console, *parts)


class _Standing:
    """The last estimate, computed in a thread so that no text waits for it."""

    def __init__(self, labeller: "Labeller") -> None:
        self._labeller = labeller
        self._thread: Thread | None = None
        self._estimate: Estimate | None = None
        self._at = 0

    def line(self, labelled: int) -> str:
        """The last estimate, shortly; starts the next one if enough texts were labelled since."""
        idle = self._thread is None or not self._thread.is_alive()
        if idle and not self._labeller.multi_label and labelled >= self._at + ESTIMATE_EVERY:
            self._at = labelled
            self._thread = Thread(target=self._compute, name="softcloze-estimate", daemon=True)
            self._thread.start()
        from softcloze.labelling.sentences import standing

        return f" · {standing(self._estimate)}" if self._estimate is not None else ""

    def join(self) -> None:
        """Wait for the thread."""
        if self._thread is not None:
            self._thread.join()

    def _compute(self) -> None:
        try:
            self._estimate = self._labeller.estimate()
        except SoftclozeError:  # the person sees it by the key for the estimate
            self._estimate = None
