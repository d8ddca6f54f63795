"""Add a version: the prompt is written as a draft, and becomes the next version unless it exists already."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Protocol, cast

from softcloze.errors import ParameterError, RegistryError
from softcloze.files import replacing_file
from softcloze.formatting import quoted
from softcloze.prompt.saved import SavedCards
from softcloze.registry.entries import has_content, list_folder
from softcloze.registry.examples import EXAMPLES, encode_examples
from softcloze.registry.promotion import default_example
from softcloze.registry.store import Store
from softcloze.registry.versions import Version, load_version


class Saveable(Protocol):
    """A prompt, or a fitted classifier or generator."""

    def save(self, path: str | PathLike[str], /) -> None:
        """Write a folder."""


def as_saveable(prompt: Saveable | str | PathLike[str]) -> Saveable:
    """Load the prompt of a folder; return anything else that can be saved as it is.

    Raises:
        ParameterError: it cannot be saved.
        ArtifactError: the folder is not a saved prompt, or is damaged.
    """
    if isinstance(prompt, str | PathLike):
        return cast("Saveable", SavedCards.read(prompt).load())
    if not callable(getattr(prompt, "save", None)):
        raise ParameterError(
            f"prompt={quoted(prompt)}, but it has to be a prompt, a fitted classifier or a folder with one of them"
        )
    return prompt


def write_version(
    store: Store, prompt: Saveable, examples: Sequence[str | Mapping[str, str | Sequence[str]]]
) -> tuple[Version, bool]:
    """Write a prompt and its examples as the next version.

    Returns:
        The version, and whether it is new: the same content with the same examples is the version that exists.

    Raises:
        ArtifactError: the prompt is damaged, or has more than 256 MiB.
        ParameterError: an example lacks a field, or they are too many or too long.
        FileError: the registry cannot be written.
    """
    with store.draft() as draft:
        prompt.save(draft)
        cards = load_version(draft).cards
        content = encode_examples(examples, [*default_example(cards)], store.folder.name)
        if content:
            with replacing_file(draft / EXAMPLES) as file:
                file.write_bytes(content)
        expected = {cards.card.name: cards.card.read_bytes(), EXAMPLES: content}

        def is_same(path: Path) -> bool:
            return all(has_content(path / name, text) for name, text in expected.items())

        return store.place(draft, is_same)


def validate_case(folder: Path, name: str) -> None:
    """Raise RegistryError if a prompt has the name in other letter case: some disks take the two for one."""
    others = list_folder(folder) if folder.exists() else []
    clash = next((other for other in others if other != name and other.casefold() == name), None)
    if clash is not None:
        raise RegistryError(
            f"{folder / clash} differs from {name!r} by upper and lower case alone, which some disks do not "
            "distinguish; rename that folder"
        )
