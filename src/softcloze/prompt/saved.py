"""Folders of any kind: prompt, probe, ensemble or generator, their cards without torch, and what they load."""

import os
from collections.abc import Mapping
from hashlib import sha256
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias, cast

from softcloze.errors import ArtifactError
from softcloze.prompt.card import PROMPT, PromptCard
from softcloze.prompt.folder import read_inside, saved_folder
from softcloze.prompt.generator_card import GENERATOR, GeneratorCard
from softcloze.prompt.hub import HubLocation
from softcloze.prompt.probe_card import PROBE, ProbeCard
from softcloze.template import Template
from softcloze.verbalizer import Label

if TYPE_CHECKING:
    from softcloze.backbone import Backbone
    from softcloze.embeddings import AnyEncoder
    from softcloze.prompt.ensemble import SavedEnsemble
    from softcloze.prompt.generator import GeneratorPrompt
    from softcloze.prompt.probe import Probe
    from softcloze.prompt.prompt import Prompt
    from softcloze.prompt.streaming import RowPredictor

ENSEMBLE_CARD = "ensemble.json"
AnyClassifier: TypeAlias = "Prompt | Probe | SavedEnsemble"
AnySaved: TypeAlias = "AnyClassifier | GeneratorPrompt"


class SavedCards(NamedTuple):
    """The cards of a saved prompt, probe, ensemble or generator.

    Attributes:
        card: the file of its card, in which the checksums of all other files are.
        members: the card of the prompt, probe or generator, or those of the members of the ensemble.
    """

    card: Path
    members: tuple[PromptCard | ProbeCard | GeneratorCard, ...]

    @classmethod
    def read(cls, path: str | PathLike[str]) -> Self:
        """Read the cards in a folder, or at a location on a hub.

        Raises:
            ArtifactError: a file is missing, damaged or altered, or has another format; names it.
        """
        folder = saved_folder(path)
        if os.path.lexists(folder / PROBE.card):
            return cls(folder / PROBE.card, (ProbeCard.load(folder),))
        if os.path.lexists(folder / GENERATOR.card):
            return cls(folder / GENERATOR.card, (GeneratorCard.load(folder),))
        if not os.path.lexists(folder / ENSEMBLE_CARD):
            return cls(folder / PROMPT.card, (PromptCard.load(folder),))
        from softcloze.prompt.ensemble import EnsembleCard  # with scipy, which is slow to import

        return cls(folder / ENSEMBLE_CARD, EnsembleCard.load(folder).members)

    @property
    def folder(self) -> Path:
        """The folder."""
        return self.card.parent

    @property
    def location(self) -> str | None:
        """The location on a hub of a folder that was downloaded, with its commit; None for any other folder."""
        found = HubLocation.of_snapshot(self.folder.absolute())
        return str(found) if found is not None else None

    @property
    def kind(self) -> str:
        """The kind of folder: "prompt", "probe", "ensemble" or "generator"."""
        return self.card.stem

    @property
    def is_ensemble(self) -> bool:
        """True for an ensemble."""
        return self.card.name == ENSEMBLE_CARD

    @property
    def labels(self) -> tuple[Label, ...]:
        """The labels, in the order of the scores; a generator has none."""
        member = self.members[0]
        return () if isinstance(member, GeneratorCard) else member.labels

    @property
    def checksum(self) -> str:
        """The checksum of the card."""
        return sha256(self.card.read_bytes()).hexdigest()

    def files(self) -> dict[str, bytes]:
        """The content of all files, by their names in the folder: the card and those that it names.

        Raises:
            ArtifactError: a file is missing, damaged or altered; names it.
        """
        from softcloze.prompt.ensemble import ENSEMBLE  # with scipy, which is slow to import

        kind = next(kind for kind in (PROMPT, PROBE, GENERATOR, ENSEMBLE) if kind.card == self.card.name)
        entries = kind.read(self.folder)
        files = {name: kind.read_file(self.folder, entries, name) for name in entries["files"]}
        return {**files, self.card.name: read_inside(self.folder, self.card.name)}

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that the templates of all members read."""
        return tuple(dict.fromkeys(name for template in self.templates for name in template.fields))

    @property
    def templates(self) -> list[Template]:
        """The templates that read the fields of the members."""
        return [member.template for member in self.members]

    @property
    def prompts(self) -> list[PromptCard]:
        """The cards of the members that are prompts."""
        return [member for member in self.members if isinstance(member, PromptCard)]

    @property
    def probes(self) -> list[ProbeCard]:
        """The cards of the members that are probes."""
        return [member for member in self.members if isinstance(member, ProbeCard)]

    @property
    def on_backbones(self) -> list[PromptCard | GeneratorCard]:
        """The cards of the members that belong to a backbone."""
        return [member for member in self.members if not isinstance(member, ProbeCard)]

    @property
    def model(self) -> str | None:
        """The name of the backbone; None if there are only probes."""
        return next((member.model for member in self.on_backbones), None)

    @property
    def encoder(self) -> str | None:
        """The name of the sentence encoder; None if there is no probe."""
        return next((probe.entries["encoder"] for probe in self.probes), None)

    def fingerprints(self) -> Mapping[str, Mapping[str, Any]]:
        """The fingerprints of the backbone and of the encoder, each if there is one; chat templates where turns are."""
        parts: dict[str, dict[str, Any]] = {}
        for member in self.on_backbones:
            fingerprint = dict(member.entries["fingerprint"])
            if not member.template.turns:
                del fingerprint["chat_template"]
            parts.setdefault("backbone", {}).update(fingerprint)
        for probe in self.probes:
            parts.setdefault("encoder", {}).update(probe.entries["fingerprint"])
        return parts

    def load(self) -> AnySaved:
        """Load the whole folder, with its vectors.

        Raises:
            ArtifactError: a file is missing, damaged or altered; names it.
        """
        if self.is_ensemble:
            from softcloze.prompt.ensemble import SavedEnsemble

            return SavedEnsemble.load(self.folder)
        if self.card.name == GENERATOR.card:
            from softcloze.prompt.generator import GeneratorPrompt

            return GeneratorPrompt.load(self.folder)
        from softcloze.prompt.probe import Probe
        from softcloze.prompt.prompt import Prompt

        return Prompt.load(self.folder) if self.prompts else Probe.load(self.folder)

    def validate_exclusive(self) -> None:
        """Raise ArtifactError for a prompt of several labels an example, or a generator."""
        from softcloze.heads import EXCLUSIVE

        if self.card.name == GENERATOR.card:
            raise ArtifactError(f"{self.folder} is a generator, which writes text and has no labels")
        if any(prompt.entries["head"] not in EXCLUSIVE for prompt in self.prompts):
            raise ArtifactError(f"{self.folder} gives examples several labels; load it with MultiLabelPromptClassifier")

    def load_exclusive(self) -> AnyClassifier:
        """Load the whole folder of a classifier for one label an example.

        Raises:
            ArtifactError: as `validate_exclusive` and `load`.
        """
        self.validate_exclusive()
        return cast("AnyClassifier", self.load())


def bind_saved(
    saved: AnyClassifier, backbone: "Backbone | None", encoder: "AnyEncoder | None" = None
) -> "RowPredictor[Any]":
    """Bind what was loaded to its models.

    Args:
        saved: a prompt, a probe or an ensemble.
        backbone: the model of the prompts; None if there are none.
        encoder: of the probes; None for the one that each names.

    Raises:
        ArtifactError: it belongs to another model or encoder, or does not fit its own, as after an edit of its files.
    """
    from softcloze.prompt import BoundEnsemble, BoundProbe, BoundPrompt, Probe, Prompt

    if isinstance(saved, Prompt):
        return BoundPrompt.from_saved(saved, cast("Backbone", backbone))
    if isinstance(saved, Probe):
        return BoundProbe(saved, saved.load_encoder(encoder))
    return BoundEnsemble.from_saved(saved.members, saved.combination, backbone, encoder)
