"""A fitted prompt on its model, opened for a look."""

from typing import NamedTuple, Protocol

from sklearn.exceptions import NotFittedError

from softcloze.backbone import Backbone
from softcloze.inspection.errors import InspectionError
from softcloze.prompt import BoundPrompt, Parts, Prompt
from softcloze.soft import SoftVectors


class Fitted(Protocol):
    """A fitted `PromptClassifier`, or whatever else holds a prompt and the backbone that it belongs to."""

    prompt_: Prompt
    backbone_: Backbone


class Opened(NamedTuple):
    """What there is to look into.

    Attributes:
        prompt: the prompt.
        bound: its template and label words on the backbone.
        parts: what it learnt.
        soft: its soft vectors, of which there is at least one.
    """

    prompt: Prompt
    bound: BoundPrompt
    parts: Parts
    soft: SoftVectors

    @property
    def backbone(self) -> Backbone:
        """The model."""
        return self.bound.scorer.backbone


def opened(clf: Fitted) -> Opened:
    """The soft prompt of a fitted classifier.

    Raises:
        NotFittedError: it is not fitted.
        ArtifactError: its prompt belongs to another model.
        InspectionError: its template has no soft slots.
    """
    if not hasattr(clf, "prompt_"):
        raise NotFittedError("there are no trained vectors to look into yet; call fit first, or load a saved prompt")
    prompt, backbone = clf.prompt_, clf.backbone_
    prompt.check_backbone(backbone)
    bound = prompt.bind(backbone)
    parts = prompt.parts(bound)
    if parts.soft is None:
        raise InspectionError(
            f"{str(prompt.template)!r} has no soft slots, so there are no vectors to look into; explain tells what "
            "its label words do"
        )
    return Opened(prompt, bound, parts, parts.soft)


def places(soft: SoftVectors) -> list[tuple[str, int]]:
    """The block of each vector and its number in there, from 1."""
    return [(block.key, number) for block in soft.blocks for number in range(1, block.count + 1)]
