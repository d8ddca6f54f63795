"""Saved prompts, probes, ensembles and generators: their cards, read before torch is imported, and their models."""

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, Self

from softcloze.cli.console import errors, plain, quiet, say
from softcloze.cli.progress import fetch_starter, open_backbone
from softcloze.errors import ArtifactError
from softcloze.prompt.card import PromptCard, quantised_options
from softcloze.prompt.generator_card import GENERATOR
from softcloze.prompt.saved import SavedCards, bind_saved
from softcloze.verbalizer import FieldVerbalizer

if TYPE_CHECKING:
    from softcloze.backbone import Backbone
    from softcloze.classifiers.probe import Encoder
    from softcloze.prompt import BoundGenerator
    from softcloze.prompt.streaming import RowPredictor


class Saved(SavedCards):
    """A saved prompt, probe, ensemble or generator, whose models the commands load."""

    __slots__ = ()

    @classmethod
    def read(cls, path: str | PathLike[str]) -> Self:
        """Read the cards; of a prompt on a hub, print its commit."""
        saved = super().read(path)
        if saved.location is not None:
            say(errors(), "prompt: ", plain(saved.location))
        return saved

    @property
    def writes(self) -> bool:
        """True for a generator."""
        return self.card.name == GENERATOR.card

    @property
    def label_texts(self) -> tuple[str, ...]:
        """The labels as text, as in files."""
        return tuple(map(str, self.labels))

    @property
    def choices(self) -> FieldVerbalizer | None:
        """The verbalizer of labels that are choices of each row; None for labels that all rows share."""
        verbalizer = self.members[0].verbalizer if isinstance(self.members[0], PromptCard) else None
        return verbalizer if isinstance(verbalizer, FieldVerbalizer) else None

    @property
    def answers_words(self) -> bool:
        """True if the labels are choices of the rows themselves, and not their indices."""
        return self.choices is not None and self.choices.answers == "word"

    def open_backbone(self, model: str | None = None, *, compile: bool = False) -> "Backbone":
        """Load the backbone, by default that of the card, with weights of the same form."""
        name = model if model is not None else self.model
        return open_backbone(
            str(name), compile=compile, **quantised_options(self.on_backbones[0].entries["fingerprint"])
        )

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
        loaded, backbone = self.load_exclusive(), None
        if self.model is not None:
            backbone = self.open_backbone(model, compile=compile)
        self.fetch_encoder(encoder)
        return bind_saved(loaded, backbone, encoder)

    def options(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """The options of writing that a generator was saved with, and changes of them in --option.

        Raises:
            ParameterError: an option is unknown or has a wrong value.
        """
        from softcloze.generation import validate_options

        return validate_options({**self.members[0].entries["options"], **changes}, prefix="--option ")

    def open_writer(self, model: str | None = None) -> "BoundGenerator":
        """Load a generator and its model, by default that of the card; raises as `open`."""
        from softcloze.prompt import BoundGenerator, GeneratorPrompt

        return BoundGenerator.from_saved(GeneratorPrompt.load(self.folder), self.open_backbone(model))

    def fetch_encoder(self, encoder: str | None = None) -> None:
        """Download the files of the sentence encoder, by default that of the card, if it is a starter."""
        if self.encoder is not None:
            quiet()
            fetch_starter(encoder if encoder is not None else self.encoder)

    def bind(self, backbone: "Backbone | None", encoder: "Encoder | None" = None) -> "RowPredictor[Any]":
        """Load the vectors for models that are loaded already; raises ArtifactError as `open`."""
        return bind_saved(self.load_exclusive(), backbone, encoder)


def read_classifier(path: str | PathLike[str]) -> Saved:
    """Read the cards of a prompt, probe or ensemble.

    Raises:
        ArtifactError: a file is missing, damaged or altered, or has another format; or a generator.
    """
    saved = Saved.read(path)
    if saved.writes:
        raise ArtifactError(f"{path} writes text and has no labels; softcloze generate, evaluate and serve take it")
    return saved


def read_generator(path: str | PathLike[str]) -> Saved:
    """Read the card of a generator.

    Raises:
        ArtifactError: it is missing, damaged or altered, or has another format; or a prompt, probe or ensemble.
    """
    saved = Saved.read(path)
    if not saved.writes:
        raise ArtifactError(f"{path} labels examples and writes no text; softcloze predict takes it")
    return saved
