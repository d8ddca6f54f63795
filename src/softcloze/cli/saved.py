"""Saved prompts, probes and ensembles: their cards, read before torch is imported, and the classifier they make."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from softcloze.cli.console import quiet
from softcloze.cli.progress import fetch_starter, open_backbone
from softcloze.errors import ArtifactError
from softcloze.prompt.card import PROMPT, PromptCard, quantised_options
from softcloze.prompt.folder import folder_of
from softcloze.prompt.probe_card import PROBE, ProbeCard
from softcloze.template import Template

if TYPE_CHECKING:
    from softcloze.backbone import Backbone
    from softcloze.classifiers.probe import Encoder
    from softcloze.prompt.members import SavedMember
    from softcloze.prompt.streaming import RowPredictor

ENSEMBLE_CARD = "ensemble.json"


class Saved(NamedTuple):
    """A saved prompt, probe or ensemble.

    Attributes:
        card: the file of its card, in which the checksums of all other files are.
        members: the card of the prompt or probe, or those of the members of the ensemble.
    """

    card: Path
    members: tuple[PromptCard | ProbeCard, ...]

    @classmethod
    def read(cls, path: Path) -> "Saved":
        """Read the cards in a folder.

        Raises:
            ArtifactError: a file is missing, damaged or altered, or has another format; names it.
        """
        folder = folder_of(path)
        if os.path.lexists(folder / PROBE.card):
            return cls(folder / PROBE.card, (ProbeCard.load(folder),))
        if not os.path.lexists(folder / ENSEMBLE_CARD):
            return cls(folder / PROMPT.card, (PromptCard.load(folder),))
        from softcloze.prompt.ensemble import EnsembleCard  # with scipy, which is slow to import

        return cls(folder / ENSEMBLE_CARD, EnsembleCard.load(folder).members)

    @property
    def is_ensemble(self) -> bool:
        """True for an ensemble."""
        return self.card.name == ENSEMBLE_CARD

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, as text."""
        return tuple(map(str, self.members[0].labels))

    @property
    def templates(self) -> list[Template]:
        """The templates that read the fields of the members."""
        return [member.template for member in self.members]

    @property
    def prompts(self) -> list[PromptCard]:
        """The cards of the members that are prompts."""
        return [member for member in self.members if isinstance(member, PromptCard)]

    @property
    def model(self) -> str | None:
        """The name of the backbone; None if there is no prompt."""
        return next((prompt.model for prompt in self.prompts), None)

    @property
    def encoder(self) -> str | None:
        """The name of the sentence encoder; None if there is no probe."""
        return next((member.entries["encoder"] for member in self.members if isinstance(member, ProbeCard)), None)

    def open_backbone(self, model: str | None = None, *, compile: bool = False) -> "Backbone":
        """Load the backbone, by default that of the card, with weights of the same form."""
        name = model if model is not None else self.model
        return open_backbone(str(name), compile=compile, **quantised_options(self.prompts[0].entries["fingerprint"]))

    def open(
        self, model: str | None = None, encoder: str | None = None, *, compile: bool = False
    ) -> "RowPredictor[Any]":
        """Load the vectors and the models; no classifier, so that scikit-learn is not imported.

        Args:
            model: another model to use; None for the one named in the card.
            encoder: another sentence encoder to use; None for the one named in the card.
            compile: compile the model with torch.

        Raises:
            ArtifactError: damaged files, a prompt of several labels an example, or another model or encoder than it was
                trained on.
            BackboneError: the model cannot be loaded.
        """
        members, backbone = self._members(), None
        if self.model is not None:
            backbone = self.open_backbone(model, compile=compile)
        if self.encoder is not None:
            quiet()
            fetch_starter(encoder if encoder is not None else self.encoder)
        return self._bind(members, backbone, encoder)

    def bind(self, backbone: "Backbone | None", encoder: "Encoder | None" = None) -> "RowPredictor[Any]":
        """Load the vectors for models that are loaded already; raises ArtifactError as `open`."""
        return self._bind(self._members(), backbone, encoder)

    def _members(self) -> "list[SavedMember]":
        from softcloze.heads import EXCLUSIVE
        from softcloze.prompt import Probe, Prompt

        members = [
            Probe.load(card.folder) if isinstance(card, ProbeCard) else Prompt.load(card.folder)
            for card in self.members
        ]
        if any(member.head not in EXCLUSIVE for member in members):
            raise ArtifactError(
                f"{self.card.parent} gives examples several labels; load it with MultiLabelPromptClassifier"
            )
        return members

    def _bind(
        self, members: "list[SavedMember]", backbone: "Backbone | None", encoder: "Encoder | None"
    ) -> "RowPredictor[Any]":
        from softcloze.prompt import BoundEnsemble, BoundProbe, BoundPrompt, Prompt

        if self.is_ensemble:
            from softcloze.prompt.ensemble import EnsembleCard

            combination = EnsembleCard.load(self.card.parent).combination
            return BoundEnsemble.from_saved(members, combination, backbone, encoder)
        (member,) = members
        if isinstance(member, Prompt):
            return BoundPrompt.from_saved(member, cast("Backbone", backbone))
        return BoundProbe(member, member.load_encoder(encoder))
