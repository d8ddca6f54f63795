"""Texts, keys, counts and guesses of a labelling, as the terminal shows them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from softcloze.cli.console import plain, visible
from softcloze.formatting import counted, one_line, percent

if TYPE_CHECKING:
    from softcloze.data import Example
    from softcloze.labelling import Doubt, LabelledText, Labeller, OtherAnswer, Question
    from softcloze.verbalizer import Label

WHY = {
    "different": "unlike those so far",
    "uncertain": "the model is not sure",
    "sought": "may have a label that is missing",
    "random": "drawn at random",
    "held out": "held out, for the estimate alone",
    "own": "chosen by hand",
    "given": "had its label before",
}
KEPT = 12  # lines of the screen that are not for the text
FEWEST = 4  # lines of a text that are shown at least
WIDEST = 100  # cells of a line of text


def show_text(console: Console, text: "Example", *, whole: bool = False, indent: int = 2) -> None:
    """Print a text, folded to the screen unless all of it is asked for."""
    width = min(console.width - indent, WIDEST)
    lines = []
    for part in _parts(text):
        lines += [*part.wrap(console, width)] or [Text()]
    most = len(lines) if whole else max(FEWEST, console.height - KEPT)
    for line in lines[:most]:
        console.print(Text(" " * indent).append_text(line), soft_wrap=True)
    if len(lines) > most:
        console.print(f"{' ' * indent}… {counted(len(lines) - most, 'more line')}: v shows all", style="dim")


def show_question(console: Console, labeller: "Labeller", question: "Question", facts: str) -> None:
    """Print a line about the state of the labelling, and the text."""
    console.print()
    console.print(Rule(Text(f"{facts} · {WHY.get(question.how, question.how)}", "dim"), align="left", style="dim"))
    show_text(console, question.text)
    console.print()


def show_keys(
    console: Console, keys: Mapping[str, "Label"], counts: Mapping["Label", int], chosen: Sequence["Label"] = ()
) -> None:
    """Print the labels with their keys and counts; those that are chosen, of several, are marked."""
    entries = [
        Text.assemble(
            (f" {key} ", "reverse"),
            " ",
            plain(one_line(label), "bold green" if label in chosen else "bold"),
            (f" {counts[label]:,}" if label in counts else "", "dim"),
            " ✓" if label in chosen else "",
        )
        for key, label in keys.items()
    ]
    _show_entries(console, entries, gap=3)


def show_commands(console: Console, commands: Mapping[str, str]) -> None:
    """Print keys of commands with what they do."""
    names = {"\n": "Enter"}
    entries = [Text.assemble((names.get(key, key), "bold"), " ", (what, "dim")) for key, what in commands.items()]
    _show_entries(console, entries, gap=2)


def _show_entries(console: Console, entries: Sequence[Text], gap: int) -> None:
    """Print entries beside each other, none broken at the end of a line."""
    lines = [Text()]
    for entry in entries:
        if lines[-1] and lines[-1].cell_len + gap + entry.cell_len > console.width:
            lines.append(Text())
        if lines[-1]:
            lines[-1].append(" " * gap)
        lines[-1].append_text(entry)
    for line in lines:
        console.print(line, soft_wrap=True)


def guess_line(guess: Mapping["Label", float], most: int = 3) -> Text:
    """The likeliest labels with their probabilities."""
    shown = [*guess.items()][:most]
    parts = [Text.assemble(plain(one_line(label)), f" {percent(chance, 0)}") for label, chance in shown]
    return Text.assemble("the model's guess: ", Text(", ").join(parts))


def other_answer(other: "OtherAnswer | None") -> Text:
    """Say that another person answered meanwhile; empty without such an answer."""
    if other is None:
        return Text()
    who, labels = one_line(other.name) or "somebody else", ", ".join(map(one_line, other.labels)) or "no label"
    return Text.assemble(
        "\n  ", plain(who), " had answered ", plain(labels), " meanwhile; both are kept, and d shows the text first"
    )


def show_doubt(console: Console, labeller: "Labeller", doubt: "Doubt", place: str) -> None:
    """Print a labelled text with the label that the classifier would give it, and its nearest neighbours."""
    console.print()
    console.print(Rule(Text(place, "dim"), align="left", style="dim"))
    show_text(console, labeller.texts[doubt.index])
    console.print()
    chances = doubt.probabilities
    console.print(
        Text.assemble(
            "  label ",
            plain(one_line(doubt.label), "bold"),
            f" {percent(chances[doubt.label], 0)}; the classifier would say ",
            plain(one_line(doubt.suggested), "bold"),
            f" {percent(chances[doubt.suggested], 0)}",
        )
    )
    if doubt.other is not None:
        _show_other(console, doubt.other)
    if doubt.neighbours:
        console.print("  the most similar labelled texts:", style="dim")
    for near in doubt.neighbours:
        line = Text.assemble(
            "    ", plain(one_line(near.label), "bold"), "  ", plain(_line(labeller.texts[near.index]))
        )
        line.truncate(console.width, overflow="ellipsis")
        console.print(line, soft_wrap=True)
    console.print()


def show_dispute(console: Console, text: "LabelledText", place: str) -> None:
    """Print a text with several labels, and the labels that another person gave it."""
    console.print()
    console.print(Rule(Text(place, "dim"), align="left", style="dim"))
    show_text(console, text.text)
    console.print()
    labels = ", ".join(map(one_line, text.labels)) or "no label"
    by = f" (by {one_line(text.name)})" if text.name else ""
    console.print(Text.assemble("  labels ", plain(labels, "bold"), plain(by, "dim")))
    if text.other is not None:
        _show_other(console, text.other)
    console.print()


def _show_other(console: Console, other: "OtherAnswer") -> None:
    who, labels = one_line(other.name) or "somebody else", ", ".join(map(one_line, other.labels)) or "no label"
    console.print(Text.assemble("  ", plain(who), " answered ", plain(labels, "bold"), ": which one is right?"))


def _parts(text: "Example") -> list[Text]:
    """A text, or its fields with their names."""
    if isinstance(text, str):
        return [Text(visible(text))]
    if len(text) == 1:
        return [Text(visible(str(next(iter(text.values())))))]
    return [Text.assemble((f"{one_line(name)}: ", "bold"), visible(str(value))) for name, value in text.items()]


def _line(text: "Example") -> str:
    """A text on one line."""
    return one_line(text if isinstance(text, str) else " | ".join(map(str, text.values())))
