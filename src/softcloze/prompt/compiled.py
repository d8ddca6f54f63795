"""A template and label words compiled for a backbone."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor

from softcloze.backbone import Backbone
from softcloze.data import Example, are_words
from softcloze.encoding import CompiledTemplate, Demonstration, EncodedPrompt
from softcloze.errors import EncodingError, ParameterError, SoftclozeError, TemplateSyntaxError, VerbalizerError
from softcloze.formatting import quoted_list
from softcloze.heads import EXACT, HEADS
from softcloze.scoring import Scorer, States, compute_features, plan_choices, plan_rules, plan_words
from softcloze.scoring.plan import NOTHING_BEFORE_MASK
from softcloze.soft import SoftVectors
from softcloze.template import EMBEDDING, Answer, ChatOptions, Field, Mask, Options, Template
from softcloze.verbalizer import AnyVerbalizer, FieldVerbalizer, RuleVerbalizer, Verbalizer


class CompiledPrompt:
    """A template and label words compiled for a backbone.

    Attributes:
        template: the compiled template.
        words: token ids of each label word; none for rules, and for a linear head alone.
        scorer: computes the features that the head takes.
        verbalizer: labels and their words.
    """

    def __init__(
        self,
        template: Template,
        verbalizer: AnyVerbalizer,
        backbone: Backbone,
        max_length: int | None,
        head: str = "words",
        chat_options: ChatOptions | None = None,
        features: States = "mask",
    ):
        """Compile template and label words and check that they fit the backbone.

        Raises:
            EncodingError: a label word is unknown to the vocabulary, or the tokenizer's chat template does not write
                the chat turns.
            TokenizerError: chat turns, and a tokenizer without a chat template.
            VerbalizerError: label words with the same tokens, words for other masks than those of the template, or
                fewer words than the template or the head needs.
            TemplateSyntaxError: the template has an <answer>, or soft vectors enter at a layer that the model lacks;
                shows the place.
            BackboneError: soft vectors enter at later layers, and the model has no layers at which they can.
            ParameterError: the head takes the state at the mask, and the template has several masks, or text after
                the mask of a causal model; `features` is "mean", and a field stands after that mask; or the chat
                template has no such option.
        """
        template.validate_classifies()
        _validate_every_label(template, verbalizer, head)
        limit = min(backbone.max_length, max_length) if max_length is not None else backbone.max_length
        self.template = CompiledTemplate(
            template, backbone.prompt_tokenizer, limit, options=verbalizer.options, chat_options=chat_options
        )
        self.verbalizer = verbalizer
        validate_layers(template, backbone)
        validate_late_fields(template, backbone)
        self.words: list[tuple[int, ...]] = []
        if isinstance(verbalizer, FieldVerbalizer):
            self.scorer = _choice_scorer(verbalizer, self.template, backbone, head)
        elif isinstance(verbalizer, RuleVerbalizer):
            self.scorer = _rule_scorer(verbalizer, self.template, backbone, head)
        else:
            self.words, self.scorer = _word_scorer(verbalizer, self.template, backbone, head, features)

    @property
    def backbone(self) -> Backbone:
        """The model."""
        return self.scorer.backbone

    def encode(
        self, examples: Sequence[Example], demonstrations: Sequence[Sequence[Demonstration]] | None = None
    ) -> list[EncodedPrompt]:
        """Encode examples, each with its demonstrations, and leave room for the longest label word or conjunction.

        Raises:
            TemplateSyntaxError: the template reads no field of an example, or leaves one as a placeholder.
            FieldError: an example lacks a field; names the row.
            EncodingError: an example cannot be encoded, or nothing of it fits; names the row.
        """
        self.template.template.validate_examples(examples)
        choices = self._choices(examples)
        shared = max(map(len, self.scorer.words), default=1)  # positions; choices are an example's own
        answers = [max(shared, *map(len, ids)) for ids, _ in choices] or [shared] * len(examples)
        prompts = self.template.encode(
            examples,
            answer_length=answers,
            demonstrations=demonstrations,
            locate_fields="mean" in self.scorer.states,
        )
        if choices:
            prompts = [
                replace(prompt, choices=ids, choice_lengths=lengths)
                for prompt, (ids, lengths) in zip(prompts, choices, strict=True)
            ]
        for row, prompt in enumerate(prompts):
            where = f"row {row}: " if len(prompts) > 1 else ""
            if prompt.emptied:
                raise EncodingError(
                    f"{where}nothing of the example fits: the rest of the prompt takes {len(prompt) + answers[row]} of "
                    f"{self.template.max_length} positions; shorten the template or raise max_length"
                )
            if not prompt.left and self.backbone.family == "causal":
                raise EncodingError(f"{where}{NOTHING_BEFORE_MASK}")
        return prompts

    def _choices(self, examples: Sequence[Example]) -> list[tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]]:
        """Token ids and divisors of the words of each example; empty where all examples share them.

        Raises:
            FieldError: an example has no choices; names the row.
            EncodingError: a choice has no tokens, or an unknown one; names the row.
        """
        verbalizer = self.verbalizer
        if not isinstance(verbalizer, FieldVerbalizer):
            return []
        word_ids = cache(self.template.word_ids)
        choices = []
        for row, example in enumerate(examples):
            where = row if len(examples) > 1 else None
            words = verbalizer.choices(example, where)
            try:
                ids = tuple(word_ids(word) for word in words)
            except EncodingError as error:
                raise EncodingError(f"row {row}: {error}" if where is not None else f"{error}") from error
            choices.append((ids, verbalizer.lengths(words, ids)))
        return choices

    def features(self, prompts: Sequence[EncodedPrompt], soft: SoftVectors | None) -> Tensor:
        """Input of the head, shape (batch, features), on the CPU."""
        with self.backbone.frozen(), torch.no_grad():
            return compute_features(self.scorer, prompts, soft.inputs() if soft is not None else None)

    def encode_labels(self) -> list[EncodedPrompt]:
        """Encode the first word of each label as a text, from which an exact head learns as from an example.

        Returns:
            A prompt for each label. None at all where words say nothing, such as numbers, or make no example: with
            several fields, with demonstrations, with words for several masks, poles or words of each example, or
            where the template takes no such text.
        """
        template = self.template.template
        if isinstance(self.verbalizer, RuleVerbalizer | FieldVerbalizer) or len(template.fields) != 1 or template.demos:
            return []
        words = self.verbalizer.first_words
        if not words or not are_words(words):
            return []
        try:
            return self.encode([{template.fields[0]: word} for word in words])
        except SoftclozeError:  # such as Jinja that shows long texts alone
            return []


def validate_layers(template: Template, backbone: Backbone) -> None:
    """Raise TemplateSyntaxError if soft vectors enter at a layer that the model lacks."""
    for i, block in enumerate(template.node_blocks):
        if block is None or block.layers == EMBEDDING:
            continue
        count = backbone.layers.count
        last = block.layers.last
        if count < 2 or (last is not None and last >= count):
            has = f"{backbone.name} has the layers 0 to {count - 1}" if count > 1 else f"{backbone.name} has one layer"
            problem = f"soft block {block.key!r} enters at layers {block.layers}, and {has}"
            raise TemplateSyntaxError(problem, template.source, *template.spans[i], "no-layer")


def validate_late_fields(template: Template, backbone: Backbone) -> None:
    """Raise TemplateSyntaxError if a causal model has not read the field of a slot that depends on it at a later layer.

    The field has to stand before the mask as well, for words would be scored with what the text after them says.
    """
    if backbone.family != "causal":
        return
    nodes, mask = template.nodes, next(i for i, node in enumerate(template.nodes) if isinstance(node, Mask | Answer))
    for i, block in enumerate(template.node_blocks):
        if block is None or not block.late:
            continue
        last = max(j for j, node in enumerate(nodes) if isinstance(node, Field) and node.name == block.from_)
        if last > min(i, mask):
            problem = (
                f"soft block {block.key!r} depends on the states of the field {block.from_!r} at layer {block.layers}, "
                "and in a causal model the slot has to stand after the field, and the field before the mask"
            )
            raise TemplateSyntaxError(problem, template.source, *template.spans[i], "soft-from")


def _validate_every_label(template: Template, verbalizer: AnyVerbalizer, head: str) -> None:
    """Raise VerbalizerError if a label has no word but the template or head needs one."""
    if isinstance(verbalizer, FieldVerbalizer) and template.demos is not None:
        raise VerbalizerError("<demos> shows the same words for every example; a FieldVerbalizer has others for each")
    listed_labels = template.demos is not None or any(
        isinstance(node, Options) and node.field is None for node in template.nodes
    )
    if (listed_labels or head in ("warp", "thresholds")) and not verbalizer.first_words:
        what = f"{str(template)!r} shows" if listed_labels else f"head={head!r} takes"
        raise VerbalizerError(
            f"{what} a word for each label, and {verbalizer!r} has words for two of them; "
            "give every label a word in a Verbalizer, or do without"
        )


def _word_scorer(
    verbalizer: Verbalizer, compiled: CompiledTemplate, backbone: Backbone, head: str, features: States
) -> tuple[list[tuple[int, ...]], Scorer]:
    """Token ids of the label words, and a scorer that computes their scores at the only mask, or a state, or both."""
    masks, inputs = compiled.template.masks, HEADS[head]
    if len(masks) > 1:
        raise VerbalizerError(
            f"the template has masks named {quoted_list(mask.name for mask in masks)}, and label words are for one "
            "mask; give the words of every label at each mask with a RuleVerbalizer"
        )
    if inputs.state and backbone.family == "causal":
        if features == "mask" and compiled.has_right:
            raise ParameterError(
                f"head={head!r} takes the state at the mask, which does not depend on the text after it in a causal "
                'model; put <mask> at the end of the template, or use head="words"'
            )
        if features == "mean" and compiled.has_field_after_mask:
            raise ParameterError(
                'features="mean" takes the states of the fields before the mask in a causal model, and a field stands '
                "after it; put <mask> after the fields"
            )
    words = [compiled.word_ids(word) for word in verbalizer.all_words] if head != "linear" else []
    if inputs.words:
        # with thresholds, a word may begin with the tokens of another one
        verbalizer.validate_tokens(words, autoregressive=compiled.autoregressive and not inputs.normalised)
    scored = words if inputs.words else []
    scorer = Scorer(
        backbone,
        plan_words(backbone, scored, verbalizer.decoding, has_right=compiled.has_right),
        verbalizer.lengths(words) if inputs.words else None,
        normalised=inputs.normalised,
        states=(features,) if inputs.state else (),
        states_of=backbone.probed_states if head in EXACT else "head",
    )
    return words, scorer


def _choice_scorer(verbalizer: FieldVerbalizer, compiled: CompiledTemplate, backbone: Backbone, head: str) -> Scorer:
    """A scorer of the words of each example at the only mask."""
    if head != "words":
        raise ParameterError(f'head={head!r} learns fixed labels; with a FieldVerbalizer use head="words"')
    if len(compiled.template.masks) > 1:
        raise VerbalizerError("a FieldVerbalizer has words for one mask, and the template has several")
    plan = plan_choices(backbone, verbalizer.most, verbalizer.decoding, has_right=compiled.has_right)
    return Scorer(backbone, plan)


def _rule_scorer(verbalizer: RuleVerbalizer, compiled: CompiledTemplate, backbone: Backbone, head: str) -> Scorer:
    """A scorer of conjunctions of words, one word at each mask."""
    if head != "words":
        raise ParameterError(f'head={head!r} is for one mask; with a RuleVerbalizer use head="words"')
    names = verbalizer.validate_masks([mask.name for mask in compiled.template.masks])
    ids = {
        (name, word): compiled.word_ids(word, name)
        for rule in verbalizer.words
        for name, words in zip(verbalizer.masks, rule, strict=True)
        for word in words
    }
    conjunctions = [tuple(ids[name, words[name]] for name in names) for words in verbalizer.conjunctions]
    verbalizer.validate_tokens(conjunctions, autoregressive=compiled.autoregressive)
    return Scorer(backbone, plan_rules(backbone, conjunctions, has_right=compiled.has_right))
