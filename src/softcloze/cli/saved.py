"""Saved prompts and ensembles: their cards, read before torch is imported, and the classifier that they make."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from softcloze.cli.progress import open_backbone
from softcloze.errors import ArtifactError
from softcloze.prompt.card import PROMPT, PromptCard
from softcloze.prompt.folder import folder_of
from softcloze.template import Template

if TYPE_CHECKING:
    from softcloze.backbone import Backbone
    from softcloze.prompt import Prompt
    from softcloze.prompt.streaming import RowPredictor

ENSEMBLE_CARD = "ensemble.json"


class Saved(NamedTuple):
    """A saved prompt or ensemble.

    Attributes:
        card: the file of its card, in which the checksums of all other files are.
        members: the card of the prompt, or those of the prompts of the ensemble.
    """

    card: Path
    members: tuple[PromptCard, ...]

    @classmethod
    def read(cls, path: Path) -> "Saved":
        """Read the cards in a folder.

        Raises:
            ArtifactError: a file is missing, damaged or altered, or has another format; names it.
        """
        folder = folder_of(path)
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
        return tuple(map(str, self.members[0].verbalizer.labels))

    @property
    def templates(self) -> list[Template]:
        """The templates."""
        return [member.template for member in self.members]

    @property
    def model(self) -> str:
        """The name of the backbone."""
        return self.members[0].model

    def open(self, model: str | None = None, *, compile: bool = False) -> "RowPredictor[Any]":
        """Load the vectors and the model; no classifier, so that scikit-learn is not imported.

        Args:
            model: another model to use; None for the one named in the card.
            compile: compile it with torch.

        Raises:
            ArtifactError: damaged files, a prompt of several labels an example, or another model than it was trained
                on.
            BackboneError: the model cannot be loaded.
        """
        prompts = self._prompts()
        return self._bind(prompts, open_backbone(model if model is not None else self.model, compile=compile))

    def bind(self, backbone: "Backbone") -> "RowPredictor[Any]":
        """Load the vectors for a model that is loaded already; raises ArtifactError as `open`."""
        return self._bind(self._prompts(), backbone)

    def _prompts(self) -> "list[Prompt]":
        from softcloze.heads import EXCLUSIVE
        from softcloze.prompt import Prompt

        prompts = [Prompt.load(member.folder) for member in self.members]
        if any(prompt.head not in EXCLUSIVE for prompt in prompts):
            raise ArtifactError(
                f"{self.card.parent} gives examples several labels; load it with MultiLabelPromptClassifier"
            )
        return prompts

    def _bind(self, prompts: "list[Prompt]", backbone: "Backbone") -> "RowPredictor[Any]":
        from softcloze.prompt import BoundEnsemble, BoundPrompt

        if not self.is_ensemble:
            return BoundPrompt.from_saved(prompts[0], backbone)
        from softcloze.prompt.ensemble import EnsembleCard

        return BoundEnsemble.from_saved(prompts, EnsembleCard.load(self.card.parent).combination, backbone)
