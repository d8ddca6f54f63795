"""The folder of a saved ensemble: its card, what it says without torch, and a folder for each member."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, NamedTuple, Self, TypeAlias, TypedDict

from softcloze.errors import ArtifactError, DataError
from softcloze.parameters import number
from softcloze.prompt.card import PROMPT, PromptCard, explain_damage
from softcloze.prompt.combination import Average, Combination, combination_from_dict
from softcloze.prompt.folder import Content, SavedFolder, Sealed, matching, saved_folder
from softcloze.prompt.probe_card import PROBE, ProbeCard
from softcloze.verbalizer import Label

if TYPE_CHECKING:
    from softcloze.prompt.members import SavedMember

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
    members: list[Annotated[str, matching("(prompt|probe)-[0-9a-f-]+", "the name of a member's folder")]]


ENSEMBLE = SavedFolder(CARD, "ensemble", Card)
MemberCard: TypeAlias = PromptCard | ProbeCard


class EnsembleCard(NamedTuple):
    """Facts about a saved ensemble, read without its vectors and without torch.

    Attributes:
        members: the cards of its prompts and probes, which have the same labels.
        combination: of their log-probabilities.
        weights: the ensemble's parameter `weights`.
    """

    members: tuple[MemberCard, ...]
    combination: Combination
    weights: Weights

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read the cards in the folder of a saved ensemble.

        Raises:
            ArtifactError: `path` is not a saved ensemble, or a file is missing or altered; names it.
        """
        folder = saved_folder(path)
        card = ENSEMBLE.read(folder)
        for name in card["files"]:
            ENSEMBLE.read_file(folder, card, name)
        names: list[str] = card["members"]
        kinds = [PROBE if name.startswith(PROBE.kind) else PROMPT for name in names]
        cards = {f"{name}/{kind.card}" for name, kind in zip(names, kinds, strict=True)}
        if not names or not cards <= card["files"].keys():
            raise ArtifactError(f"{folder / CARD} is damaged: it names no files of the members {names}")
        members = tuple(
            ProbeCard.load(folder / name) if kind is PROBE else PromptCard.load(folder / name)
            for name, kind in zip(names, kinds, strict=True)
        )
        combination = combination_from_dict(card["combination"])
        with explain_damage(folder / CARD, "members"):
            labels = [member.labels for member in members]
            validate_same_labels(labels)
            if not combination.fits(len(members), len(labels[0])):
                raise DataError(f"the combination is not for {len(members)} members of {len(labels[0])} labels")
        return cls(members, combination, card["weights"])


@dataclass(frozen=True)
class SavedEnsemble:
    """An ensemble as its folder holds it, without models.

    Attributes:
        members: its prompts and probes, which have the same labels.
        combination: of their log-probabilities.
        weights: the ensemble's parameter `weights`.
        kind: the kind of folder that holds it.
    """

    kind: ClassVar[SavedFolder] = ENSEMBLE

    members: "Sequence[SavedMember]"
    combination: Combination
    weights: Weights

    def save(self, path: str | PathLike[str]) -> None:
        """Write `ensemble.json` and a folder for each member; a saved ensemble is replaced, and other files stay.

        Raises:
            ArtifactError: `path` holds other files and no ensemble.
            FileError: it cannot be written.
        """
        ENSEMBLE.write(path, self.content)

    def content(self, suffix: str = "") -> Content:
        """The content of the folder, with `suffix` in the names of the members' folders."""
        files = dict[str, bytes]()
        names = [f"{member.kind.kind}-{i}{suffix}" for i, member in enumerate(self.members)]
        for name, member in zip(names, self.members, strict=True):
            content = member.content()
            of_member = {**content.files, member.kind.card: member.kind.seal(*content)}
            files.update({f"{name}/{file}": text for file, text in of_member.items()})
        card = {"weights": self.weights, "combination": self.combination.to_dict(), "members": names}
        return Content(card, files)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Load an ensemble that `save` wrote, from its folder or from hf://USER/NAME@REVISION on a hub.

        Raises:
            ArtifactError: `path` is not a saved ensemble, or a file is missing, damaged or altered; names the file.
        """
        from softcloze.prompt.probe import Probe  # with torch, without which the card is read
        from softcloze.prompt.prompt import Prompt

        cards, combination, weights = EnsembleCard.load(path)
        members = [
            Probe.load(card.folder) if isinstance(card, ProbeCard) else Prompt.load(card.folder) for card in cards
        ]
        return cls(members, combination, weights)


def validate_same_labels(labels_by_member: Sequence[Sequence[Label]]) -> None:
    """Raise DataError if the members have different labels."""
    for index, labels in enumerate(labels_by_member):
        if [*labels] != [*labels_by_member[0]]:
            raise DataError(
                f"member {index} has the labels {list(labels)}, and member 0 has {list(labels_by_member[0])}; members "
                "of an ensemble have the same"
            )
