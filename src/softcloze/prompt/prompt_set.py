"""PromptSet: score several prompts on the same texts in as few forward passes as possible."""

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from softcloze.backbone import Backbone
from softcloze.data import Example, as_examples
from softcloze.encoding import EncodedPrompt
from softcloze.errors import DataError
from softcloze.parameters import instance_of, validate_parameters
from softcloze.prompt.bound import BoundPrompt
from softcloze.prompt.compiled import CompiledPrompt
from softcloze.prompt.prompt import Prompt
from softcloze.scoring import Member, score_together
from softcloze.verbalizer.labels import is_collection

_PROMPT, _BACKBONE = instance_of("a Prompt", Prompt), instance_of("a Backbone, as of load_backbone", Backbone)


class PromptSet:
    """Several prompts on one backbone, scored together on the same texts with the same results as separately.

    A causal model computes common prefixes once: the text if templates begin with it, and the words or vectors that a
    template has before every text. Prefixes are compared as token ids, so that templates may differ. Text after
    different words or soft vectors is not shared, because its states in a causal model depend on them. A masked model
    shares nothing, because its states depend on the whole sequence. Sequences of different prompts share batches with
    both.

    Attributes:
        prompts: the prompts.
        backbone: the model of all of them.

    Example:
        >>> from softcloze import Template, Verbalizer, load_backbone
        >>> backbone = load_backbone("starter:bert-tiny")
        >>> words = Verbalizer({"positive": "good", "negative": "bad"})
        >>> prompts = [
        ...     Prompt(Template(template), words, backbone.name, backbone.fingerprint)
        ...     for template in ("<text> It was <mask>.", "In all, a <mask> film: <text>")
        ... ]
        >>> first, second = PromptSet(prompts, backbone).predict_proba(["A delight.", "A bore.", "Dull."])
        >>> first.shape
        (3, 2)
    """

    def __init__(self, prompts: Iterable[Prompt], backbone: Backbone):
        """Compile the prompts for `backbone`.

        Args:
            prompts: one or more, trained where they have soft slots; their labels may differ.
            backbone: the model of all of them.

        Raises:
            DataError: no prompts.
            ArtifactError: a prompt belongs to another model.
            ParameterError: no prompts or no backbone, or a prompt that lacks the vectors of a soft slot.
            SoftclozeError: a prompt does not fit the model, as for `BoundPrompt`.
        """
        self.prompts = tuple(prompts) if is_collection(prompts) else (prompts,)
        self.backbone = backbone
        if not self.prompts:
            raise DataError("a PromptSet takes at least one prompt")
        values = {"backbone": backbone} | {f"prompts[{i}]": prompt for i, prompt in enumerate(self.prompts)}
        validate_parameters(values, dict.fromkeys(values, _PROMPT) | {"backbone": _BACKBONE})
        self._bound = bind_prompts(self.prompts, backbone)

    def label_scores(self, X: Iterable[Example]) -> list[NDArray[np.float64]]:
        """Label log-scores by each prompt, its calibration applied.

        Args:
            X: examples as for `PromptClassifier.predict`; mappings have the fields of all templates.

        Returns:
            For each prompt an array of nats up to a constant per example, shape (batch, labels) in the order of its
            verbalizer's labels; log-odds if an example may have several labels.

        Raises:
            FieldError: an example lacks a field; names the row.
            EncodingError: an example cannot be encoded.
        """
        return score_prompts(self._bound, X)

    def predict_proba(self, X: Iterable[Example]) -> list[NDArray[np.float64]]:
        """Probabilities of the labels by each prompt, as `label_scores` in arguments, shapes and errors."""
        return [bound.probabilities(scores) for bound, scores in zip(self._bound, self.label_scores(X), strict=True)]


def bind_prompts(prompts: Iterable[Prompt], backbone: Backbone) -> list[BoundPrompt]:
    """Bind prompts to one backbone; those that differ in their trained parts alone are compiled once.

    Raises:
        ArtifactError: a prompt belongs to another model.
        SoftclozeError: a prompt does not fit the model, as for `BoundPrompt`.
    """
    compiled: dict[Hashable, CompiledPrompt] = {}
    members = []
    for prompt in prompts:
        prompt.validate_backbone(backbone)
        options = repr(prompt.chat_options)
        form = (prompt.template, prompt.verbalizer, prompt.max_length, prompt.head, prompt.features, options)
        bound = BoundPrompt(prompt, backbone, compiled.get(form))
        compiled[form] = bound.compiled
        members.append(bound)
    return members


def score_prompts(prompts: Sequence[BoundPrompt], X: Iterable[Example]) -> list[NDArray[np.float64]]:
    """Label log-scores of the same examples by several prompts of one backbone; see `PromptSet.label_scores`."""
    return score_encoded(prompts, encode_for_prompts(prompts, as_examples(X, prompts[0].prompt.template.fields)))


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
    prompts: Sequence[BoundPrompt], encoded: Sequence[Sequence[EncodedPrompt]]
) -> list[NDArray[np.float64]]:
    """Label log-scores of encoded examples by each prompt, in shared batches, shape (batch, labels) each.

    Raises:
        NonFiniteError: the scores of an example are NaN or infinite; names the row.
    """
    members = [
        Member(bound.compiled.scorer, inputs, bound.parts.soft.inputs() if bound.parts.soft is not None else None)
        for bound, inputs in zip(prompts, encoded, strict=True)
    ]
    with prompts[0].backbone.frozen(), torch.no_grad():
        features = score_together(members)
    return [bound.label_scores(of_prompt) for bound, of_prompt in zip(prompts, features, strict=True)]
