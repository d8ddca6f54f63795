"""The card of a saved generator: its entries, and what it says without torch."""

from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, TypedDict

from softcloze.errors import ParameterError
from softcloze.prompt.card import Count, Fingerprint, TemplateText, TrainingEntry, explain_damage
from softcloze.prompt.folder import SavedFolder, Sealed, saved_folder
from softcloze.template import CHAT_OPTIONS, Template

GENERATOR_CARD = "generator.json"


class _ExampleEntry(TypedDict):
    answer: str
    values: dict[str, object]


class _FixedEntry(TypedDict):
    method: Literal["random"]
    examples: list[_ExampleEntry]


class _NearestEntry(TypedDict):
    method: Literal["nearest"]
    count: Count
    examples: list[_ExampleEntry]


class Card(Sealed):
    """The entries of a card."""

    template: TemplateText
    model: str
    fingerprint: Fingerprint
    max_length: Count | None
    chat_options: Annotated[dict[str, object], CHAT_OPTIONS] | None
    demonstrations: _FixedEntry | _NearestEntry | None
    options: dict[str, object]
    training: TrainingEntry
    metrics: dict[str, float]


GENERATOR = SavedFolder(GENERATOR_CARD, "generator", Card)


class GeneratorCard(NamedTuple):
    """Facts about a saved generator, read without its vectors and without torch.

    Attributes:
        folder: the folder of the generator.
        entries: all entries of the card.
        template: the template.
    """

    folder: Path
    entries: dict[str, Any]
    template: Template

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read the card in the folder of a saved generator.

        Raises:
            ArtifactError: the card is missing, damaged or altered, or has another format; names it.
        """
        folder = saved_folder(path)
        entries = GENERATOR.read(folder)
        with explain_damage(folder / GENERATOR_CARD, "template"):
            template = Template(entries["template"])
            if template.answer is None:
                raise ParameterError("it has no <answer>")
        return cls(folder, entries, template)

    @property
    def model(self) -> str:
        """The backbone's name."""
        return str(self.entries["model"])

    @property
    def description(self) -> str:
        """The template."""
        return str(self.template)
