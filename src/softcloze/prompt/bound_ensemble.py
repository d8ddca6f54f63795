"""An ensemble of prompts and probes that are bound to their models, which scores examples as one classifier."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from softcloze.backbone import Backbone
from softcloze.data import Example
from softcloze.embeddings import AnyEncoder
from softcloze.prompt.card import explain_misfit
from softcloze.prompt.combination import Combination
from softcloze.prompt.members import BoundMember, EncodedMember, SavedMember, encode_for_members, score_members
from softcloze.prompt.probe import BoundProbe
from softcloze.prompt.prompt import Prompt
from softcloze.prompt.together import bind_prompts
from softcloze.verbalizer import Label


class EncodedForMembers(NamedTuple):
    """One example, encoded for each member of an ensemble."""

    inputs: tuple[EncodedMember, ...]

    @property
    def cut(self) -> dict[str, int]:
        """Tokens that truncation removed, by field, in the member that lost most."""
        cut: dict[str, int] = {}
        for item in self.inputs:
            cut.update({name: max(tokens, cut.get(name, 0)) for name, tokens in item.cut.items()})
        return cut

    @property
    def dropped(self) -> int:
        """Number of demonstrations left out, in the member that lost most."""
        return max(item.dropped for item in self.inputs)


class BoundEnsemble:
    """Prompts of one backbone, probes on sentence embeddings, and the combination of their log-probabilities.

    Attributes:
        members: prompts and probes, for one label an example and with the same labels.
        combination: of their log-probabilities.
    """

    def __init__(self, members: Sequence[BoundMember], combination: Combination):
        """Take prompts that are compiled for one backbone, and probes with their encoders."""
        self.members = tuple(members)
        self.combination = combination

    @classmethod
    def from_saved(
        cls,
        members: Sequence[SavedMember],
        combination: Combination,
        backbone: Backbone | None,
        encoder: AnyEncoder | None = None,
    ) -> Self:
        """Bind members that were loaded.

        Args:
            members: the members.
            combination: of their log-probabilities.
            backbone: the model of the prompts; None if there are none.
            encoder: of the probes; None for the one that each names.

        Raises:
            ArtifactError: they belong to another model or encoder, or do not fit their own, as after an edit of their
                files.
        """
        prompts = [member for member in members if isinstance(member, Prompt)]
        with explain_misfit("ensemble", backbone.name if backbone is not None else None):
            bound = iter(bind_prompts(prompts, backbone) if backbone is not None else ())
        return cls(
            [
                next(bound) if isinstance(member, Prompt) else BoundProbe(member, member.load_encoder(encoder))
                for member in members
            ],
            combination,
        )

    @property
    def labels(self) -> tuple[Label, ...]:
        """The labels, in the order of the probabilities."""
        return self.members[0].labels

    def answer(self, example: Example, index: int) -> Label:
        """The label of an example by its index, as of `BoundPrompt.answer`."""
        return self.members[0].answer(example, index)

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of an example that the first member reads."""
        return self.members[0].fields

    def encode(self, examples: Sequence[Example]) -> list[EncodedForMembers]:
        """Encode examples for each member; raises as `BoundPrompt.encode`."""
        return [*map(EncodedForMembers, zip(*encode_for_members(self.members, examples), strict=True))]

    def log_probabilities(self, encoded: Sequence[EncodedForMembers]) -> NDArray[np.float64]:
        """Log-probabilities by each member in nats, shape (members, batch, labels); raises as `predict_encoded`."""
        by_member = [[example.inputs[i] for example in encoded] for i in range(len(self.members))]
        logs: NDArray[np.float64] = log_softmax(score_members(self.members, by_member), axis=2)
        return logs

    def predict_encoded(self, encoded: Sequence[EncodedForMembers]) -> NDArray[np.float64]:
        """Probabilities of the labels of encoded examples, shape (batch, labels).

        Raises:
            NonFiniteError: the scores of an example are NaN or infinite; names the row.
        """
        probabilities: NDArray[np.float64] = np.exp(self.combination.log_probabilities(self.log_probabilities(encoded)))
        return probabilities
