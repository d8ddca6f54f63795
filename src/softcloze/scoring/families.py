"""How each family of models scores words, conjunctions of words, and where it has a state for the mask."""

from collections.abc import Sequence
from dataclasses import replace

from softcloze.backbone import Backbone
from softcloze.encoding import EncodedPrompt
from softcloze.scoring.causal import CausalPlan, CausalRules
from softcloze.scoring.masked import MaskedRules, masked_plan
from softcloze.scoring.plan import Conjunction, ModelInput, Plan, last_before, token_type_ids_of
from softcloze.scoring.seq2seq import Infilling, Seq2seqPlan
from softcloze.verbalizer import Decoding


def plan_words(backbone: Backbone, words: Sequence[tuple[int, ...]], decoding: Decoding, *, has_right: bool) -> Plan:
    """How `backbone` scores label words at one mask.

    Args:
        backbone: the model.
        words: token ids of each.
        decoding: how a masked model fills in words of several tokens.
        has_right: whether anything may stand after the mask.
    """
    mask_id, start = backbone.prompt_tokenizer.mask_id, backbone.decoder_start
    if start is not None:
        return Seq2seqPlan([(word,) for word in words], backbone.prompt_tokenizer, start)
    if mask_id is not None:
        return masked_plan(words, mask_id, decoding)
    return CausalPlan(words, has_right=has_right)


def plan_rules(backbone: Backbone, conjunctions: Sequence[Conjunction], *, has_right: bool) -> Plan:
    """How `backbone` scores conjunctions of words at several masks.

    Args:
        backbone: the model.
        conjunctions: of words at the masks of one template.
        has_right: whether anything may stand after the last mask.
    """
    mask_id, start = backbone.prompt_tokenizer.mask_id, backbone.decoder_start
    if start is not None:
        return Seq2seqPlan(conjunctions, backbone.prompt_tokenizer, start)
    if mask_id is not None:
        return MaskedRules(conjunctions, mask_id)
    return CausalRules(conjunctions, has_right=has_right)


def with_state(backbone: Backbone, queries: Sequence[ModelInput], prompt: EncodedPrompt) -> list[ModelInput]:
    """The rows of a prompt, one of which reads the state at its mask.

    It is that of one mask token in the mask's place; of a causal model that of the last token before, and of a seq2seq
    model that of the decoder's last token before the answer, from which it is predicted. A row that is there already
    serves, or else one is added.

    Raises:
        EncodingError: nothing stands before the mask of a causal model.
    """
    row = _state_row(backbone, prompt)
    for number, query in enumerate(queries):
        if query.ids == row.ids:
            return [*queries[:number], replace(query, state=row.state), *queries[number + 1 :]]
    return [*queries, row]


def _state_row(backbone: Backbone, prompt: EncodedPrompt) -> ModelInput:
    mask_id, start = backbone.prompt_tokenizer.mask_id, backbone.decoder_start
    if start is not None:
        written = Infilling.of(prompt, backbone.prompt_tokenizer, start)
        return ModelInput(written.opening, (), state=len(written.opening) - 1, source=written.source)
    if mask_id is not None:
        return ModelInput(
            (*prompt.left, mask_id, *prompt.right), (), token_type_ids_of(prompt, 1), state=len(prompt.left)
        )
    token_type_ids = prompt.token_type_ids[: len(prompt.left)] if prompt.token_type_ids is not None else None
    return ModelInput(prompt.left, (), token_type_ids, state=last_before(prompt))
