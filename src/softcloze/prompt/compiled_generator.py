"""A template with an <answer> compiled for a backbone."""

from collections.abc import Mapping, Sequence
from typing import Any

from softcloze.backbone import Backbone
from softcloze.data import Example
from softcloze.encoding import CompiledTemplate, Demonstration, EncodedPrompt
from softcloze.errors import EncodingError, ParameterError
from softcloze.generation import (
    DEFAULT_TOKENS,
    Writer,
    validate_ids,
)
from softcloze.prompt.compiled import validate_late_fields, validate_layers
from softcloze.scoring import AnswerPlan, Scorer
from softcloze.template import ChatOptions, Template

NOTHING_BEFORE_ANSWER = (
    "nothing stands before <answer>, and a causal model writes after the text before it; put some text, a field or a "
    "soft slot there"
)


class CompiledGenerator:
    """A template with an <answer> compiled for a backbone.

    Attributes:
        backbone: the model.
        template: the compiled template.
        plan: the sequences that the model continues with answers.
        space: white space before an answer, which the model writes and which is not part of it.
        stops: the stop string of the template, if it has one.
        ends: token ids that end an answer.
        max_new_tokens: new tokens of an answer, where no option says so: `max` of its tag, or `DEFAULT_TOKENS` and at
            most half of the positions.
    """

    def __init__(
        self,
        template: Template,
        backbone: Backbone,
        max_length: int | None = None,
        chat_options: ChatOptions | None = None,
    ):
        """Compile the template and check that it fits the backbone.

        Raises:
            TemplateSyntaxError: the model cannot write this answer, or soft vectors enter at a layer that the model
                lacks; shows the place.
            EncodingError: the tokenizer's chat template does not write the chat turns.
            TokenizerError: chat turns, and a tokenizer without a chat template.
            BackboneError: the model cannot write after soft vectors.
            ParameterError: the chat template has no such option.
        """
        limit = min(backbone.max_length, max_length) if max_length is not None else backbone.max_length
        self.backbone = backbone
        self.template = CompiledTemplate(template, backbone.prompt_tokenizer, limit, chat_options=chat_options)
        answers = self.template.answers
        if answers is None or template.answer is None:
            raise ValueError(f"{str(template)!r} has no <answer>")
        backbone.validate_writer()
        validate_layers(template, backbone)
        validate_late_fields(template, backbone)
        self.plan, self._answers = AnswerPlan(backbone, answers), answers
        self.space, self.ends = answers.space, answers.end_ids
        self.stops = (answers.stop,) if answers.stop is not None else ()
        positions = getattr(backbone.model.config, "max_position_embeddings", None)
        decodes = backbone.family == "seq2seq" and isinstance(positions, int)
        self._decoder_limit = positions - len(answers.opening) - 1 if decodes and positions is not None else None
        most = template.answer.max
        self.max_new_tokens = most if most is not None else max(1, min(DEFAULT_TOKENS, limit // 2))

    def encode(
        self,
        examples: Sequence[Example],
        demonstrations: Sequence[Sequence[Demonstration]] | None = None,
        *,
        answers: Sequence[str] | None = None,
        max_new_tokens: int | None = None,
    ) -> list[EncodedPrompt]:
        """Encode examples, with space for new tokens or for the answers that are given.

        Raises:
            TemplateSyntaxError: the template reads no field of an example, or leaves one as a placeholder.
            FieldError: an example lacks a field; names the row.
            EncodingError: an example or its answer cannot be encoded, or nothing of it fits; names the row.
        """
        self.template.template.validate_examples(examples)
        most = max_new_tokens if max_new_tokens is not None else self.max_new_tokens
        if self._decoder_limit is not None and most > self._decoder_limit:
            raise EncodingError(
                f"the decoder of {self.backbone.name} writes {self._decoder_limit} new tokens at most, found "
                f"max_new_tokens={most}; lower it, or max in the template"
            )
        prompts = self.template.encode(examples, answer_length=most, demonstrations=demonstrations, answers=answers)
        for row, prompt in enumerate(prompts):
            where = f"row {row}: " if len(prompts) > 1 else ""
            if prompt.emptied:
                raise EncodingError(
                    f"{where}nothing of the example fits beside {most} new tokens and the rest of the prompt, which "
                    f"together take {self.template.max_length} positions; lower max_new_tokens, shorten the template "
                    "or raise max_length"
                )
            if self._decoder_limit is not None and len(prompt.answer) > self._decoder_limit:
                raise EncodingError(
                    f"{where}the answer has {len(prompt.answer)} tokens with its end, and the decoder of "
                    f"{self.backbone.name} writes {self._decoder_limit} at most; shorten it"
                )
            if not prompt.left and self.backbone.family == "causal":
                raise EncodingError(f"{where}{NOTHING_BEFORE_ANSWER}")
        return prompts

    def validate_options(self, options: Mapping[str, Any]) -> None:
        """Raise ParameterError if checked options have a token id that the model lacks or does not begin with."""
        validate_ids(options, self.backbone.model.config.get_text_config().vocab_size)
        if options.get("forced_bos_token_id") is not None and not self.plan.begins_after_start:
            raise ParameterError(
                "forced_bos_token_id is the first token of a decoder that writes from its start, as the language of an "
                "mBART model; here the answer follows other tokens, so leave it out"
            )

    def scorer(self, options: Mapping[str, Any]) -> Scorer:
        """A scorer of given answers, after the token that `options` force in front of them.

        Raises:
            ParameterError: as `validate_options`.
        """
        self.validate_options(options)
        return Scorer(self.backbone, AnswerPlan(self.backbone, self._answers, options.get("forced_bos_token_id")))

    def writer(self, options: Mapping[str, Any]) -> Writer:
        """A writer of answers; `options` as checked by `validate_options`.

        Raises:
            ParameterError: as `validate_options`.
        """
        self.validate_options(options)
        return Writer(self.backbone, self.plan, options, self.space, self.stops, self.ends, self.max_new_tokens)
