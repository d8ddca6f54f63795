"""The card of a saved prompt: its entries, and what it says without torch."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, TypedDict

from softcloze import verbalizer as verbalizers
from softcloze.errors import ArtifactError, SoftclozeError
from softcloze.parameters import integer
from softcloze.prompt.folder import Digest, SavedFolder, Sealed, matching, saved_folder
from softcloze.prompt.sources import Source
from softcloze.template import CHAT_OPTIONS, Template
from softcloze.verbalizer import AnyVerbalizer

CARD = "prompt.json"

Count = Annotated[int, integer(at_least=1)]
TemplateText = Annotated[str, matching(".{1,100000}", "a template of at most 100,000 characters")]
Label = str | int | bool
Words = list[str] | dict[str, float]


# the entries of verbalizers and demonstrations are those of their `to_dict`


class _Settings(TypedDict):
    aggregation: str
    length_norm: str
    decoding: str


class _WordsEntry(_Settings):
    kind: Literal["words"]
    words: list[tuple[Label, Words]]


class _OrdinalEntry(_Settings):
    kind: Literal["ordinal"]
    labels: list[Label]
    low: Words
    high: Words


class _RulesEntry(TypedDict):
    kind: Literal["rules"]
    rules: list[tuple[Label, dict[str, list[str]]]]


class _FieldEntry(TypedDict):
    kind: Literal["field"]
    field: str
    most: Count
    answers: str
    length_norm: str
    decoding: str


class _ExampleEntry(TypedDict):
    label: Label
    values: dict[str, object]


class _FixedEntry(TypedDict):
    method: Literal["random"]
    examples: list[_ExampleEntry]


class _NearestEntry(TypedDict):
    method: Literal["nearest"]
    count: Count
    examples: list[_ExampleEntry]


class Fingerprint(TypedDict):
    """The fingerprint of a backbone."""

    quantisation: Annotated[str, matching(r"[\w ]{1,100}", "the form of the weights, such as nf4")]
    model: Digest
    tokenizer: Digest
    chat_template: Digest


class TrainingEntry(TypedDict, total=False):
    """Settings and history of a training, and the sources of blocks by their key, among others.

    `trained_on` is the fingerprint of the backbone of the training, if the prompt is used with other weights.
    """

    class_weight: str | list[tuple[Label, float]] | None
    sources: dict[str, Source]
    layer_rms: list[tuple[Count, float]]
    trained_on: Fingerprint
    history: list[dict[str, float]]


class Card(Sealed):
    """The entries of a card."""

    template: TemplateText
    verbalizer: _WordsEntry | _OrdinalEntry | _RulesEntry | _FieldEntry
    head: Literal["words", "warp", "linear", "words+linear", "prototypes", "thresholds"]
    features: Literal["mask", "mean"]
    model: str
    fingerprint: Fingerprint
    max_length: Count | None
    chat_options: Annotated[dict[str, object], CHAT_OPTIONS] | None
    demonstrations: _FixedEntry | _NearestEntry | None
    calibration: dict[str, object] | None
    training: TrainingEntry
    metrics: dict[str, float]


PROMPT = SavedFolder(CARD, "prompt", Card)


_QUANTISED = re.compile("(int8|nf4) ([a-z0-9]+)")  # forms of weights that `load_backbone` makes


def quantised_options(fingerprint: Mapping[str, str]) -> dict[str, Any]:
    """Options of `load_backbone` that give a model's weights their form; none for floating-point numbers.

    >>> quantised_options({"quantisation": "nf4 bfloat16"}), quantised_options({"quantisation": "none"})
    ({'quantize': 'nf4', 'dtype': 'bfloat16'}, {})
    """
    form = _QUANTISED.fullmatch(fingerprint.get("quantisation", ""))
    return {"quantize": form[1], "dtype": form[2]} if form else {}


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
        folder = saved_folder(path)
        entries = PROMPT.read(folder)
        with explain_damage(folder / CARD, "template"):
            template = Template(entries["template"])
            template.validate_classifies()
        with explain_damage(folder / CARD, "verbalizer"):
            verbalizer = verbalizers.from_dict(entries["verbalizer"])
        return cls(folder, entries, template, verbalizer, entries["model"])

    @property
    def labels(self) -> tuple[Label, ...]:
        """The labels, in the order of the scores."""
        return tuple(self.verbalizer.labels)

    @property
    def description(self) -> str:
        """The template."""
        return str(self.template)


@contextmanager
def explain_damage(path: Path, part: str) -> Iterator[None]:
    """Turn an error into ArtifactError: `part` of the file `path` has the right type and a wrong value."""
    try:
        yield
    except SoftclozeError as error:
        raise ArtifactError(f"{path} is damaged: {part}: {error}") from error


@contextmanager
def explain_misfit(kind: str, model: str | None) -> Iterator[None]:
    """Raise ArtifactError if what was saved cannot be bound to its own model, as after an edit of its files.

    Args:
        kind: what was saved, for the message.
        model: the name of the model.
    """
    try:
        yield
    except ArtifactError:
        raise
    except SoftclozeError as error:
        raise ArtifactError(f"the saved {kind} does not fit {model}: {error}") from error
