"""A prompt bound to a backbone: encode examples and score labels."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from softcloze.backbone import Backbone
from softcloze.data import Example
from softcloze.encoding import CompiledTemplate, Demonstration, EncodedPrompt
from softcloze.errors import ParameterError, VerbalizerError
from softcloze.formatting import quoted_list
from softcloze.heads import HEADS, Head
from softcloze.scoring import Scorer, plan_rules
from softcloze.soft import SoftVectors
from softcloze.template import Options, Template
from softcloze.verbalizer import AnyVerbalizer, RuleVerbalizer, Verbalizer


class TrainedParts(NamedTuple):
    """What training moves."""

    soft: SoftVectors | None
    head: Head


class BoundPrompt:
    """A template and label words on a backbone, ready to score examples.

    Attributes:
        compiled: the compiled template.
        words: token ids of each label word; none for rules, and for a linear head.
        scorer: reads what the head needs.
        verbalizer: labels and their words.
    """

    def __init__(
        self,
        template: Template,
        verbalizer: AnyVerbalizer,
        backbone: Backbone,
        max_length: int | None,
        head: str = "words",
    ):
        """Bind template and label words to `backbone` and check that they fit it.

        Raises:
            EncodingError: a label word is unknown to the vocabulary.
            VerbalizerError: label words that this vocabulary cannot tell apart, or for other masks than the template's,
                or fewer than the template or the head takes.
            ParameterError: the head reads a state, and there are several masks, or text behind that of a causal model.
        """
        _check_every_label(template, verbalizer, head)
        limit = min(backbone.max_length, max_length) if max_length is not None else backbone.max_length
        self.compiled = CompiledTemplate(template, backbone.prompt_tokenizer, limit, options=verbalizer.options)
        self.verbalizer = verbalizer
        if isinstance(verbalizer, RuleVerbalizer):
            self.words: list[tuple[int, ...]] = []
            self.scorer = _rule_scorer(verbalizer, self.compiled, backbone, head)
        else:
            self.words, self.scorer = _word_scorer(verbalizer, self.compiled, backbone, head)

    def encode(
        self, examples: Sequence[Example], demonstrations: Sequence[Sequence[Demonstration]] | None = None
    ) -> list[EncodedPrompt]:
        """Encode examples, each with its own demonstrations, with room for the longest label word or conjunction."""
        answer = max(map(len, self.scorer.words), default=1)
        return self.compiled.encode(examples, answer_length=answer, demonstrations=demonstrations)

    def features(self, prompts: Sequence[EncodedPrompt], softs: Sequence[SoftVectors | None]) -> Tensor:
        """What heads read, with each set of soft vectors, shape (sets, batch, features), on the CPU."""
        weights = [soft.weight.detach() if soft is not None else None for soft in softs]
        with self.scorer.backbone.frozen():
            return self.scorer.all(prompts, weights)

    def label_scores(self, prompts: Sequence[EncodedPrompt], parts: Sequence[TrainedParts]) -> Tensor:
        """Log-scores of labels with each set of trained parts.

        Returns:
            Nats, up to a constant per prompt, shape (sets, batch, labels), on the CPU.
        """
        features = self.features(prompts, [own.soft for own in parts])
        with torch.no_grad():
            scores = [own.head.label_scores(found) for own, found in zip(parts, features, strict=True)]
        return torch.stack(scores)


def _check_every_label(template: Template, verbalizer: AnyVerbalizer, head: str) -> None:
    """Refuse what takes a word for each label where not each has one."""
    shown = template.demos is not None or any(isinstance(node, Options) for node in template.nodes)
    if (shown or head in ("warp", "thresholds")) and not verbalizer.first_words:
        what = f"{str(template)!r} shows" if shown else f"head={head!r} takes"
        raise VerbalizerError(
            f"{what} a word for each label, and {verbalizer!r} has words for two of them; "
            "give every label a word in a Verbalizer, or do without"
        )


def _word_scorer(
    verbalizer: Verbalizer, compiled: CompiledTemplate, backbone: Backbone, head: str
) -> tuple[list[tuple[int, ...]], Scorer]:
    """Token ids of the label words, and what scores them, or reads the state, at the one mask."""
    masks, reads = compiled.template.masks, HEADS[head]
    if len(masks) > 1:
        raise VerbalizerError(
            f"the template has masks named {quoted_list(mask.name for mask in masks)}, and label words are for one "
            "mask; say what stands at each of them for every label with a RuleVerbalizer"
        )
    if reads.state and backbone.family == "causal" and compiled.has_right:
        raise ParameterError(
            f"head={head!r} reads the state at the mask, where a causal model has not seen the text behind it; "
            'put <mask> at the end of the template, or use head="words"'
        )
    words = [compiled.word_ids(word) for word in verbalizer.all_words] if head != "linear" else []
    if reads.words:
        # a word that begins with another's tokens may still be likely enough for a threshold of its own
        verbalizer.validate_tokens(words, autoregressive=compiled.autoregressive and not reads.normalised)
    scorer = Scorer(
        backbone,
        compiled,
        words if reads.words else [],
        verbalizer.lengths(words) if reads.words else None,
        verbalizer.decoding,
        normalised=reads.normalised,
        states=reads.state,
    )
    return words, scorer


def _rule_scorer(verbalizer: RuleVerbalizer, compiled: CompiledTemplate, backbone: Backbone, head: str) -> Scorer:
    """What scores conjunctions at all masks together."""
    if head != "words":
        raise ParameterError(f'head={head!r} is for one mask; with a RuleVerbalizer use head="words"')
    names = verbalizer.validate_masks([mask.name for mask in compiled.template.masks])
    ids = {
        (name, word): compiled.word_ids(word, name)
        for own in verbalizer.words
        for name, words in zip(verbalizer.masks, own, strict=True)
        for word in words
    }
    conjunctions = [tuple(ids[name, words[name]] for name in names) for words in verbalizer.conjunctions]
    verbalizer.validate_tokens(conjunctions, autoregressive=compiled.autoregressive)
    plan = plan_rules(backbone, conjunctions, has_right=compiled.has_right)
    return Scorer(backbone, compiled, plan.words, plan=plan)
