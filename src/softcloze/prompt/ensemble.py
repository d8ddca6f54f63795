"""The folder of a saved ensemble: its card, what it says without torch, and a prompt's folder for each member."""

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, Self, TypeAlias, TypedDict

from softcloze.errors import ArtifactError, DataError
from softcloze.parameters import number
from softcloze.prompt.card import PROMPT, PromptCard, explain_damage
from softcloze.prompt.combination import Average, Combination, combination_from_dict
from softcloze.prompt.folder import Content, SavedFolder, Sealed, folder_of, matching
from softcloze.verbalizer import Label

if TYPE_CHECKING:
    from softcloze.prompt.prompt import Prompt

Weights: TypeAlias = Literal["equal", "development", "stacked"]

CARD = "ensemble.json"
Coefficient = Annotated[float, number("from -1e6 to 1e6", lambda value: abs(value) <= 1e6)]


class _WeightedMeanEntry(TypedDict):
    weights: list[Annotated[float, number("from 0 to 1", lambda value: 0 <= value <= 1)]]
    average: Average


class _StackedEntry(TypedDict):
    coefficients: list[list[Coefficient]]
    intercepts: list[Coefficient]


class Card(Sealed):
    """The entries of the card of an ensemble."""

    weights: Weights
    combination: _WeightedMeanEntry | _StackedEntry
    members: list[Annotated[str, matching("prompt-[0-9a-f-]+", "the name of a member's folder")]]


ENSEMBLE = SavedFolder(CARD, "ensemble", Card)


class EnsembleCard(NamedTuple):
    """Facts about a saved ensemble, read without its vectors and without torch.

    Attributes:
        members: the cards of its prompts, which have the same labels.
        combination: of their log-probabilities.
        weights: the ensemble's parameter `weights`.
    """

    members: tuple[PromptCard, ...]
    combination: Combination
    weights: Weights

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read the cards in the folder of a saved ensemble.

        Raises:
            ArtifactError: `path` is not a saved ensemble, or a file is missing or altered; names it.
        """
        folder = folder_of(path)
        card = ENSEMBLE.read(folder)
        for name in card["files"]:
            ENSEMBLE.read_file(folder, card, name)
        names: list[str] = card["members"]
        if not names or not {f"{name}/{PROMPT.card}" for name in names} <= card["files"].keys():
            raise ArtifactError(f"{folder / CARD} is damaged: it names no files of the members {names}")
        members = tuple(PromptCard.load(folder / name) for name in names)
        combination = combination_from_dict(card["combination"])
        with explain_damage(folder / CARD, "members"):
            labels = [member.verbalizer.labels for member in members]
            validate_same_labels(labels)
            if not combination.fits(len(members), len(labels[0])):
                raise DataError(f"the combination is not for {len(members)} prompts of {len(labels[0])} labels")
        return cls(members, combination, card["weights"])


def write_ensemble(
    path: str | PathLike[str], prompts: "Sequence[Prompt]", combination: Combination, weights: Weights
) -> None:
    """Write `ensemble.json` and a folder for each prompt; a saved ensemble is replaced, and other files stay.

    Raises:
        ArtifactError: `path` holds other files and no ensemble.
        FileError: it cannot be written.
    """

    def make(suffix: str) -> Content:
        files, members = dict[str, bytes](), [f"prompt-{i}{suffix}" for i in range(len(prompts))]
        for member, prompt in zip(members, prompts, strict=True):
            content = prompt.content()
            of_member = {**content.files, PROMPT.card: PROMPT.seal(*content)}
            files.update({f"{member}/{name}": text for name, text in of_member.items()})
        return Content({"weights": weights, "combination": combination.to_dict(), "members": members}, files)

    ENSEMBLE.write(path, make)


def validate_same_labels(labels_by_member: Sequence[Sequence[Label]]) -> None:
    """Raise DataError if the members have different labels."""
    for index, labels in enumerate(labels_by_member):
        if [*labels] != [*labels_by_member[0]]:
            raise DataError(
                f"member {index} has the labels {list(labels)}, and member 0 has {list(labels_by_member[0])}; members "
                "of an ensemble have the same"
            )
