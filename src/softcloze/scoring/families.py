"""Choose the scoring plan of a model's family."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

from softcloze.backbone import Backbone
from softcloze.encoding import AnswerFormat, EncodedPrompt
from softcloze.scoring.causal import CausalPlan, CausalRules
from softcloze.scoring.masked import MaskedRules, masked_plan
from softcloze.scoring.plan import ChoicePlan, Conjunction, ModelInput, Plan, States, last_before, token_type_ids_of
from softcloze.scoring.seq2seq import Infilling, Seq2seqPlan
from softcloze.verbalizer import Decoding


def plan_words(
    backbone: Backbone, words: Sequence[tuple[int, ...]], decoding: Decoding = "together", *, has_right: bool
) -> Plan:
    """Plan how `backbone` scores label words at one mask.

    Args:
        backbone: the model.
        words: token ids of each.
        decoding: how a masked model decodes words of several tokens: see `Verbalizer`.
        has_right: whether text may follow the mask.
    """
    mask_id, start = backbone.prompt_tokenizer.mask_id, backbone.decoder_start
    if start is not None:
        return Seq2seqPlan([(word,) for word in words], backbone.prompt_tokenizer, start)
    if mask_id is not None:
        return masked_plan(words, mask_id, decoding)
    return CausalPlan(words, has_right=has_right)


def plan_choices(backbone: Backbone, most: int, decoding: Decoding, *, has_right: bool) -> ChoicePlan:
    """Plan how `backbone` scores up to `most` words of each prompt; other arguments as for `plan_words`."""

    def plan(words: Sequence[tuple[int, ...]]) -> Plan:
        return plan_words(backbone, words, decoding, has_right=has_right)

    return ChoicePlan(most, plan)


def plan_rules(backbone: Backbone, conjunctions: Sequence[Conjunction], *, has_right: bool) -> Plan:
    """Plan how `backbone` scores conjunctions of words at several masks.

    Args:
        backbone: the model.
        conjunctions: words at the masks of one template.
        has_right: whether text may follow the last mask.
    """
    mask_id, start = backbone.prompt_tokenizer.mask_id, backbone.decoder_start
    if start is not None:
        return Seq2seqPlan(conjunctions, backbone.prompt_tokenizer, start)
    if mask_id is not None:
        return MaskedRules(conjunctions, mask_id)
    return CausalRules(conjunctions, has_right=has_right)


def with_states(
    backbone: Backbone, model_inputs: Sequence[ModelInput], prompt: EncodedPrompt, states: Sequence[States]
) -> list[ModelInput]:
    """Have one of a prompt's sequences read its hidden states; add a sequence if none fits.

    With "mask" it is the state of one mask token at the mask; for a causal model that of the last token before, and for
    a seq2seq model that of the decoder's last token before the answer. From these the answer is predicted. With "mean"
    it is the mean over the tokens of all fields, of a seq2seq model's encoder; where they have none, the state at the
    mask. Both are read from the same sequence, except for a seq2seq model, which reads one of them.

    Raises:
        EncodingError: nothing comes before the mask of a causal model.
    """
    if not states:
        return [*model_inputs]
    several = [state_input_of(backbone, prompt, kind) for kind in states]
    state_input = replace(several[0], states=tuple(chain.from_iterable(one.states for one in several)))
    groups, source_state = state_input.states, state_input.source_state
    for i, model_input in enumerate(model_inputs):
        # those of a causal model all begin with the ids before the mask
        if model_input.ids == state_input.ids or backbone.family == "causal":
            reading = replace(model_input, states=groups, source_state=source_state)
            return [*model_inputs[:i], reading, *model_inputs[i + 1 :]]
    return [*model_inputs, state_input]


def answer_input_of(backbone: Backbone, prompt: EncodedPrompt, answers: AnswerFormat) -> ModelInput:
    """The sequence that a model continues with the answer: a causal model's prompt, or a decoder's opening."""
    start = backbone.decoder_start
    if start is None:
        return ModelInput(prompt.left, (), prompt.token_type_ids)
    source = Infilling.of(prompt, backbone.prompt_tokenizer, start).source if answers.fills else prompt.left
    return ModelInput((start, *answers.opening), (), source=source)


def state_input_of(backbone: Backbone, prompt: EncodedPrompt, states: States = "mask") -> ModelInput:
    """The sequence from which the hidden state of a prompt is read: see `with_states`."""
    mask_id, start = backbone.prompt_tokenizer.mask_id, backbone.decoder_start
    fields = prompt.field_positions if states == "mean" else ()
    if start is not None:
        infilling = Infilling.of(prompt, backbone.prompt_tokenizer, start)
        model_input = ModelInput(infilling.opening, (), source=infilling.source)
        if states == "mean":
            return replace(model_input, source_state=fields or (len(prompt.left),))
        return replace(model_input, states=((len(infilling.opening) - 1,),))
    if mask_id is not None:
        ids = (*prompt.left, mask_id, *prompt.right)
        return ModelInput(ids, (), token_type_ids_of(prompt, 1), states=(fields or (len(prompt.left),),))
    types = prompt.token_type_ids[: len(prompt.left)] if prompt.token_type_ids is not None else None
    return ModelInput(prompt.left, (), types, states=(fields or (last_before(prompt),),))
