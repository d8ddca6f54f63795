"""Members of an ensemble: classifiers with one prompt, and probes, as they predict together."""

from collections.abc import Sequence
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from softcloze.classifiers.probe import ProbeClassifier
from softcloze.classifiers.prompt_classifier import PromptClassifier
from softcloze.data import Example
from softcloze.errors import DataError
from softcloze.prompt import BoundMember, BoundPrompt
from softcloze.prompt.members import encode_for_members, prompts_of, score_members

Member: TypeAlias = PromptClassifier | ProbeClassifier


def bound_members(classifiers: Sequence[Member]) -> list[BoundMember]:
    """The prompts and probes of classifiers, as they predict with them.

    Raises:
        NotFittedError: a classifier has to learn something first, such as its calibration.
        DataError: prompts have different backbones.
    """
    bound = [classifier._bound_member() for classifier in classifiers]
    validate_one_backbone(prompts_of(bound))
    return bound


def bound_prompts(classifiers: Sequence[PromptClassifier]) -> list[BoundPrompt]:
    """Compiled prompts of classifiers with one backbone, as they predict with them.

    Raises:
        NotFittedError: a classifier has to learn something first, such as its calibration.
        DataError: the classifiers have different backbones.
    """
    bound = [classifier._bound_prompt() for classifier in classifiers]
    validate_one_backbone(bound)
    return bound


def validate_one_backbone(prompts: Sequence[BoundPrompt]) -> None:
    """Raise DataError if prompts have different backbones."""
    for other in prompts:
        if other.backbone is not prompts[0].backbone:
            raise DataError(f"the classifiers have different backbones: {prompts[0].backbone!r} and {other.backbone!r}")


def log_probabilities_of(members: Sequence[Member], examples: Sequence[Example]) -> NDArray[np.float64]:
    """Log-probabilities by each member in nats, shape (members, batch, labels)."""
    bound = bound_members(members)
    by_member: NDArray[np.float64] = log_softmax(score_members(bound, encode_for_members(bound, examples)), axis=2)
    return by_member


def is_members(value: object) -> bool:
    """Return True for a sequence of one or more classifiers that can be members."""
    is_list = isinstance(value, Sequence) and len(value) > 0
    return is_list and all(
        isinstance(member, PromptClassifier | ProbeClassifier) for member in cast(Sequence[object], value)
    )
