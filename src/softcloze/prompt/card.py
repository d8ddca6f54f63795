"""The card of a saved prompt: its entries, and what it says without torch."""

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, TypedDict

from softcloze import verbalizer as verbalizers
from softcloze.errors import ArtifactError, SoftclozeError
from softcloze.parameters import integer
from softcloze.prompt.folder import Digest, SavedFolder, Sealed, folder_of, matching
from softcloze.template import Template
from softcloze.verbalizer import AnyVerbalizer

CARD = "prompt.json"

Count = Annotated[int, integer(at_least=1)]
Label = str | int
Words = list[str] | dict[str, float]


class WordsEntry(TypedDict):
    """A `Verbalizer`."""

    kind: Literal["words"]
    words: list[tuple[Label, Words]]
    aggregation: str
    length_norm: str
    decoding: str


class OrdinalEntry(TypedDict):
    """An `OrdinalVerbalizer`."""

    kind: Literal["ordinal"]
    labels: list[Label]
    low: Words
    high: Words
    aggregation: str
    length_norm: str
    decoding: str


class RulesEntry(TypedDict):
    """A `RuleVerbalizer`."""

    kind: Literal["rules"]
    rules: list[tuple[Label, dict[str, list[str]]]]


class ExampleEntry(TypedDict):
    """An example to demonstrate."""

    label: Label
    values: dict[str, object]


class FixedEntry(TypedDict):
    """`FixedDemonstrations`."""

    method: Literal["random"]
    examples: list[ExampleEntry]


class NearestEntry(TypedDict):
    """`NearestDemonstrations`."""

    method: Literal["nearest"]
    count: Count
    examples: list[ExampleEntry]


class TrainingEntry(TypedDict, total=False):
    """Settings of the training, among others, and one record for each epoch."""

    history: list[dict[str, float]]


class Fingerprint(TypedDict):
    """A `Backbone.fingerprint`."""

    model: Digest
    tokenizer: Digest


class Card(Sealed):
    """The entries of a card."""

    template: Annotated[str, matching(".{1,100000}", "a template of at most 100,000 characters")]
    verbalizer: WordsEntry | OrdinalEntry | RulesEntry
    head: Literal["words", "warp", "linear", "prototypes", "thresholds"]
    model: str
    fingerprint: Fingerprint
    max_length: Count | None
    demonstrations: FixedEntry | NearestEntry | None
    calibration: dict[str, object] | None
    training: TrainingEntry
    metrics: dict[str, float]


PROMPT = SavedFolder(CARD, "prompt", Card)


class PromptCard(NamedTuple):
    """Facts about a saved prompt, read without its vectors and without torch.

    Attributes:
        folder: the folder of the prompt.
        entries: all entries of the card.
        template: the template.
        verbalizer: labels and their words.
        model: the backbone's name.
    """

    folder: Path
    entries: dict[str, Any]
    template: Template
    verbalizer: AnyVerbalizer
    model: str

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read the card in the folder of a saved prompt.

        Raises:
            ArtifactError: the card is missing, damaged or altered, or has another format; names it.
        """
        folder = folder_of(path)
        entries = PROMPT.read(folder)
        with damaged(folder / CARD, "template"):
            template = Template(entries["template"])
        with damaged(folder / CARD, "verbalizer"):
            verbalizer = verbalizers.from_dict(entries["verbalizer"])
        return cls(folder, entries, template, verbalizer, entries["model"])


@contextmanager
def damaged(path: Path, part: str) -> Iterator[None]:
    """Turn an error into ArtifactError: `part` of the file `path` has the right type and a wrong value."""
    try:
        yield
    except SoftclozeError as error:
        raise ArtifactError(f"{path} is damaged: {part}: {error}") from error
