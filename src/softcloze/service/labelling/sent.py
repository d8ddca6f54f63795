"""What a form of the page for labelling says."""

from collections.abc import Sequence
from dataclasses import dataclass

from softcloze.service.answers import RowError

MAX_NAME, MAX_LABEL, MAX_NOTE = 100, 200, 10_000  # characters


@dataclass(frozen=True, slots=True)
class Sent:
    """The entries of a form.

    Attributes:
        action: of the button that was pressed; "label" for that of a label.
        name: of the person; None if it is not known yet.
        language: of the page; None for the browser's.
        index: of the text that is shown; None without one.
        labels: indices of the labels that were chosen.
        note: on the text.
        new_label: name of a label to add, or new name of the one to rename.
        old_label: index of the label to rename; None for none.
        renamings: of the labels that the page shows, which the indices of `labels` are about; None if it is not known.
        queue: indices of the doubtful texts, the one that is shown first; empty while texts are asked.
        is_part: True for the part of the page that changes, without the page around it.
    """

    action: str = ""
    name: str | None = None
    language: str | None = None
    index: int | None = None
    labels: tuple[int, ...] = ()
    note: str = ""
    new_label: str = ""
    old_label: int | None = None
    renamings: int | None = None
    queue: tuple[int, ...] = ()
    is_part: bool = False


def parse(pairs: Sequence[tuple[str, str]]) -> Sent:
    """Read the entries of a form.

    Raises:
        RowError: an entry is none of this page.
    """
    entries = dict(pairs)
    chosen = tuple(_index(value) for name, value in pairs if name == "label")
    for name, most in {"name": MAX_NAME, "new_label": MAX_LABEL, "new_name": MAX_LABEL, "note": MAX_NOTE}.items():
        if len(entries.get(name, "")) > most:
            raise RowError(422, "invalid", f"{name} has more than {most:,} characters")
    action, new_name = entries.get("action", "label" if chosen else "open"), entries.get("new_name", "")
    if action == "add" and new_name and not entries.get("new_label"):
        action = "rename"  # Enter in the box of the new name, which presses the first button of the form
    return Sent(
        action=action,
        name=" ".join(entries["name"].split()) if "name" in entries else None,
        language=entries.get("lang"),
        index=_index(entries["index"]) if entries.get("index") else None,
        labels=tuple(dict.fromkeys(chosen)),
        note=entries.get("note", "").replace("\r\n", "\n").strip(),
        new_label=" ".join((new_name if action == "rename" else entries.get("new_label", "")).split()),
        old_label=_index(entries["old_label"]) if entries.get("old_label") else None,
        renamings=_index(entries["renamings"]) if entries.get("renamings") else None,
        queue=tuple(map(_index, entries.get("queue", "").split())),
        is_part="part" in entries,
    )


def _index(value: str) -> int:
    if not (value.isascii() and value.isdecimal() and len(value) < 10):
        raise RowError(422, "invalid", "the form has an index that is none")
    return int(value)
