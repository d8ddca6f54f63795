"""PromptSet: several prompts on the same texts, in as few passes as possible."""

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
import torch
from scipy.special import expit, softmax

from softcloze.backbone import Backbone
from softcloze.data import Example, as_examples
from softcloze.encoding import EncodedPrompt
from softcloze.errors import DataError
from softcloze.heads import EXCLUSIVE
from softcloze.prompt.bound import BoundPrompt
from softcloze.prompt.prompt import Prompt
from softcloze.scoring import Member, score_together


class PromptSet:
    """Scores several prompts of one backbone on the same texts, each as it scores by itself.

    A causal model reads what prompts have in common on the left once: the text where templates begin with it, and
    the words or vectors with which a template begins before every text. Each prompt then costs only the rest. This is
    found on the token ids, so that templates need not be alike. What cannot be shared is text behind soft vectors that
    differ, or behind different words, because a causal model reads it in their light; and everything in a masked
    model, which reads every word in the light of all others. Rows of different prompts share batches in any case.

    Attributes:
        prompts: the prompts.
        backbone: the model they are for.

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
        """Bind the prompts to `backbone`.

        Args:
            prompts: one or more, trained where they have soft slots; their labels may differ.
            backbone: the model that all of them were made for.

        Raises:
            DataError: there are no prompts.
            ArtifactError: a prompt belongs to another model.
            ParameterError: a prompt lacks the vectors of a soft slot.
            SoftclozeError: a prompt does not fit the model's vocabulary, as with `Prompt.bind`.
        """
        self.prompts, self.backbone = tuple(prompts), backbone
        if not self.prompts:
            raise DataError("a PromptSet takes at least one prompt")
        # prompts that differ in what they learnt alone are bound and encoded once
        bound: dict[Hashable, BoundPrompt] = {}
        for prompt in self.prompts:
            prompt.check_backbone(backbone)
            if _form(prompt) not in bound:
                bound[_form(prompt)] = prompt.bind(backbone)
        self._bound = [bound[_form(prompt)] for prompt in self.prompts]
        self._parts = [prompt.parts(own) for prompt, own in zip(self.prompts, self._bound, strict=True)]

    def label_scores(self, X: Iterable[Example]) -> list[np.ndarray]:
        """Label log-scores by each prompt, its calibration applied.

        Args:
            X: examples as for `PromptClassifier.predict`; mappings have the fields of all templates.

        Returns:
            For each prompt nats up to a constant per example, shape (batch, labels) in the order of its
            verbalizer's labels; of a prompt for several labels an example, the log-odds of each.

        Raises:
            FieldError: an example lacks a field; names the row.
            EncodingError: an example cannot be encoded.
        """
        with self.backbone.frozen(), torch.no_grad():
            members = [
                Member(bound.scorer, prompts, parts.soft.weight.detach() if parts.soft is not None else None)
                for bound, prompts, parts in zip(self._bound, self._encode(as_examples(X)), self._parts, strict=True)
            ]
            found = [
                parts.head.label_scores(features).double().numpy()
                for parts, features in zip(self._parts, score_together(members), strict=True)
            ]
        return [prompt.calibrated(scores) for prompt, scores in zip(self.prompts, found, strict=True)]

    def predict_proba(self, X: Iterable[Example]) -> list[np.ndarray]:
        """Probabilities of the labels by each prompt, as `label_scores` in arguments, shapes and errors."""
        return [
            softmax(scores, axis=1) if prompt.head in EXCLUSIVE else expit(scores)
            for prompt, scores in zip(self.prompts, self.label_scores(X), strict=True)
        ]

    def _encode(self, examples: Sequence[Example]) -> list[list[EncodedPrompt]]:
        """The examples in the template of each prompt."""
        encoded: dict[BoundPrompt, list[EncodedPrompt]] = {}
        found = []
        for prompt, bound in zip(self.prompts, self._bound, strict=True):
            shown = prompt.demonstrations_for(examples, self.backbone)
            if shown is not None:
                found.append(bound.encode(examples, shown))
                continue
            if bound not in encoded:
                encoded[bound] = bound.encode(examples)
            found.append(encoded[bound])
        return found


def _form(prompt: Prompt) -> Hashable:
    """What a prompt has besides what it learnt."""
    return prompt.template, prompt.verbalizer, prompt.max_length, prompt.head
