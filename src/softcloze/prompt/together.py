"""Bind several prompts to one backbone, and encode and score their examples together."""

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from softcloze.backbone import Backbone
from softcloze.data import Example
from softcloze.encoding import EncodedPrompt
from softcloze.prompt.bound import BoundPrompt
from softcloze.prompt.compiled import CompiledPrompt
from softcloze.prompt.kept_prefixes import KeptPrefixes
from softcloze.prompt.prompt import Prompt
from softcloze.scoring import Member, compute_together


def bind_prompts(prompts: Iterable[Prompt], backbone: Backbone, known: Iterable[BoundPrompt] = ()) -> list[BoundPrompt]:
    """Bind prompts to one backbone; those that differ in their trained parts alone are compiled once.

    Args:
        prompts: the prompts; the same object is bound once.
        backbone: the model.
        known: prompts that are bound to it already.

    Raises:
        ArtifactError: a prompt belongs to another model.
        SoftclozeError: a prompt does not fit the model, as for `BoundPrompt`.
    """
    bound = {id(member.prompt): member for member in known}
    compiled = {_form(member.prompt): member.compiled for member in bound.values()}
    members = []
    for prompt in prompts:
        if id(prompt) not in bound:
            prompt.validate_backbone(backbone)
            member = bound[id(prompt)] = BoundPrompt(prompt, backbone, compiled.get(_form(prompt)))
            compiled[_form(prompt)] = member.compiled
        members.append(bound[id(prompt)])
    return members


def _form(prompt: Prompt) -> Hashable:
    """All of a prompt that is compiled."""
    options = repr(prompt.chat_options)
    return prompt.template, prompt.verbalizer, prompt.max_length, prompt.head, prompt.features, options


def encode_for_prompts(prompts: Sequence[BoundPrompt], examples: Sequence[Example]) -> list[list[EncodedPrompt]]:
    """Encode examples for each prompt, once for those that are compiled together; raises as `BoundPrompt.encode`."""
    encoded: dict[CompiledPrompt, list[EncodedPrompt]] = {}
    by_prompt: list[list[EncodedPrompt]] = []
    for bound in prompts:
        if bound.prompt.demonstrations is not None:
            by_prompt.append(bound.encode(examples))
            continue
        if bound.compiled not in encoded:
            encoded[bound.compiled] = bound.encode(examples)
        by_prompt.append(encoded[bound.compiled])
    return by_prompt


def score_encoded(
    prompts: Sequence[BoundPrompt], encoded: Sequence[Sequence[EncodedPrompt]], kept: KeptPrefixes | None = None
) -> list[NDArray[np.float64]]:
    """Label log-scores of encoded examples by each prompt, in shared batches, shape (batch, labels) each.

    Raises:
        NonFiniteError: the scores of an example are NaN or infinite; names the row.
    """
    features = compute_features(list(zip(prompts, encoded, strict=True)), kept)
    for bound, of_prompt in zip(prompts, features, strict=True):
        bound.validate_features(of_prompt)
    return [bound.label_scores(of_prompt) for bound, of_prompt in zip(prompts, features, strict=True)]


def compute_features(
    encoded: Sequence[tuple[BoundPrompt, Sequence[EncodedPrompt]]], kept: KeptPrefixes | None
) -> list[Tensor]:
    """Features of encoded examples by each prompt, shape (batch, features) each; some may not be finite."""
    if not encoded:
        return []
    prompts = [bound for bound, _ in encoded]
    with prompts[0].backbone.frozen(), torch.no_grad():
        if kept is not None:
            kept.use(prompts)
        return compute_together(scoring_members(encoded, kept))


def scoring_members(
    encoded: Sequence[tuple[BoundPrompt, Sequence[EncodedPrompt]]], kept: KeptPrefixes | None = None
) -> list[Member]:
    """Encoded examples of each prompt, with what scores them."""
    return [
        Member(
            bound.compiled.scorer,
            inputs,
            bound.parts.soft.inputs() if bound.parts.soft is not None else None,
            kept.get(bound) if kept is not None else None,
        )
        for bound, inputs in encoded
    ]
