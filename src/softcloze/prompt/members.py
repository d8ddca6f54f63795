"""Members of an ensemble: prompts, which share forward passes, and probes on sentence embeddings."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from softcloze.data import Example
from softcloze.encoding import EncodedPrompt
from softcloze.prompt.bound import BoundPrompt
from softcloze.prompt.probe import BoundProbe, Probe, ProbeText
from softcloze.prompt.prompt import Prompt
from softcloze.prompt.together import encode_for_prompts, score_encoded

SavedMember: TypeAlias = Prompt | Probe
BoundMember: TypeAlias = BoundPrompt | BoundProbe
EncodedMember: TypeAlias = EncodedPrompt | ProbeText


def encode_for_members(
    members: Sequence[BoundMember], examples: Sequence[Example]
) -> list[list[EncodedPrompt] | list[ProbeText]]:
    """Encode examples for each member, once for prompts that are compiled together; raises as `BoundPrompt.encode`."""
    of_prompts = iter(encode_for_prompts(prompts_of(members), examples))
    return [next(of_prompts) if isinstance(member, BoundPrompt) else member.encode(examples) for member in members]


def score_members(members: Sequence[BoundMember], encoded: Sequence[Sequence[Any]]) -> NDArray[np.float64]:
    """Label log-scores of encoded examples by each member, shape (members, batch, labels); prompts share batches.

    Args:
        members: the members.
        encoded: examples as `encode_for_members` returns them.

    Raises:
        NonFiniteError: the scores of an example are NaN or infinite; names the row.
    """
    pairs = [*zip(members, encoded, strict=True)]
    inputs = [item for member, item in pairs if isinstance(member, BoundPrompt)]
    of_prompts = iter(score_encoded(prompts_of(members), inputs) if inputs else ())
    return np.stack(
        [next(of_prompts) if isinstance(member, BoundPrompt) else member.score_encoded(item) for member, item in pairs]
    )


def prompts_of(members: Sequence[BoundMember]) -> list[BoundPrompt]:
    """The members that are prompts."""
    return [member for member in members if isinstance(member, BoundPrompt)]
