"""The card of a saved probe: its entries, and what it says without torch."""

from os import PathLike
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self, TypedDict

from softcloze.errors import DataError
from softcloze.parameters import Constraint
from softcloze.prompt.card import Count, Label, TrainingEntry, explain_damage
from softcloze.prompt.folder import Digest, SavedFolder, Sealed, saved_folder
from softcloze.template import Template, is_field_name, template_of_fields
from softcloze.verbalizer.labels import validate_labels

CARD = "probe.json"
FieldName = Annotated[
    str, Constraint("the name of a field", lambda value: isinstance(value, str) and is_field_name(value))
]


class _Fingerprint(TypedDict):  # of `SentenceEncoder`
    model: Digest
    dtype: str
    tokenizer: Digest
    pooling: str
    normalise: bool


class Card(Sealed):
    """The entries of a card."""

    labels: list[Label]
    fields: list[FieldName]
    encoder: str
    fingerprint: _Fingerprint
    max_length: Count
    training: TrainingEntry


PROBE = SavedFolder(CARD, "probe", Card)


class ProbeCard(NamedTuple):
    """Facts about a saved probe, read without its weights and without torch.

    Attributes:
        folder: the folder of the probe.
        entries: all entries of the card.
        labels: the labels.
        template: a template that reads the same fields, for what takes columns by a template.
    """

    folder: Path
    entries: dict[str, Any]
    labels: tuple[Label, ...]
    template: Template

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read the card in the folder of a saved probe.

        Raises:
            ArtifactError: the card is missing, damaged or altered, or has another format; names it.
        """
        folder = saved_folder(path)
        entries = PROBE.read(folder)
        with explain_damage(folder / CARD, "labels"):
            labels = tuple(validate_labels(entries["labels"]))
            if len({*labels}) < max(2, len(labels)):
                raise DataError(f"{list(labels)}; expected two or more that differ")
        with explain_damage(folder / CARD, "fields"):
            template = template_of_fields(entries["fields"])
            if not template.fields or [*template.fields] != entries["fields"]:
                raise DataError(f"{entries['fields']}; expected one or more that differ")
        return cls(folder, entries, labels, template)

    @property
    def description(self) -> str:
        """The fields and the encoder."""
        return describe_probe(self.entries["fields"], self.entries["encoder"])


def describe_probe(fields: list[str] | tuple[str, ...], encoder: str) -> str:
    """The text that a probe embeds, and its encoder.

    >>> describe_probe(["title", "text"], "starter:minilm-l6")
    'embedding of <title> <text> by starter:minilm-l6'
    """
    return f"embedding of {' '.join(f'<{field}>' for field in fields)} by {encoder}"
