"""An ensemble of prompts bound to a backbone, which scores examples as one classifier."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from softcloze.backbone import Backbone
from softcloze.data import Example
from softcloze.encoding import EncodedPrompt
from softcloze.errors import ArtifactError, SoftclozeError
from softcloze.prompt.bound import BoundPrompt
from softcloze.prompt.combination import Combination
from softcloze.prompt.prompt import Prompt
from softcloze.prompt.prompt_set import bind_prompts, encode_for_prompts, score_encoded
from softcloze.verbalizer import Label


class EncodedForMembers(NamedTuple):
    """One example, encoded for each member of an ensemble."""

    prompts: tuple[EncodedPrompt, ...]

    @property
    def cut(self) -> dict[str, int]:
        """Tokens that truncation removed, by field, in the member that lost most."""
        cut: dict[str, int] = {}
        for prompt in self.prompts:
            cut.update({name: max(tokens, cut.get(name, 0)) for name, tokens in prompt.cut.items()})
        return cut

    @property
    def dropped(self) -> int:
        """Number of demonstrations left out, in the member that lost most."""
        return max(prompt.dropped for prompt in self.prompts)


class BoundEnsemble:
    """Prompts of one backbone and the combination of their log-probabilities, ready to score.

    Attributes:
        members: the prompts, for one label an example and with the same labels.
        combination: of their log-probabilities.
    """

    def __init__(self, members: Sequence[BoundPrompt], combination: Combination):
        """Take prompts that are compiled for one backbone."""
        self.members = tuple(members)
        self.combination = combination

    @classmethod
    def from_saved(cls, prompts: Sequence[Prompt], combination: Combination, backbone: Backbone) -> Self:
        """Bind prompts that were loaded.

        Raises:
            ArtifactError: they belong to another model, or do not fit their own, as after an edit of their files.
        """
        try:
            return cls(bind_prompts(prompts, backbone), combination)
        except ArtifactError:
            raise
        except SoftclozeError as error:
            raise ArtifactError(f"the saved ensemble does not fit {backbone.name}: {error}") from error

    @property
    def labels(self) -> tuple[Label, ...]:
        """The labels, in the order of the probabilities."""
        return tuple(self.members[0].prompt.verbalizer.labels)

    def encode(self, examples: Sequence[Example]) -> list[EncodedForMembers]:
        """Encode examples for each member; raises as `BoundPrompt.encode`."""
        return [*map(EncodedForMembers, zip(*encode_for_prompts(self.members, examples), strict=True))]

    def predict_encoded(self, encoded: Sequence[EncodedForMembers]) -> NDArray[np.float64]:
        """Probabilities of the labels of encoded examples, shape (batch, labels).

        Raises:
            NonFiniteError: the scores of an example are NaN or infinite; names the row.
        """
        by_member = [[example.prompts[i] for example in encoded] for i in range(len(self.members))]
        scores = np.stack(score_encoded(self.members, by_member))
        probabilities: NDArray[np.float64] = np.exp(self.combination.log_probabilities(log_softmax(scores, axis=2)))
        return probabilities
