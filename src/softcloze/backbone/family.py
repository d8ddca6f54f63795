"""How a model predicts words, and how long its rows may be, as its configuration says."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn

from softcloze.encoding import NO_LIMIT, PretrainedTokenizer, sentinels_of
from softcloze.errors import BackboneError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

Family = Literal["masked", "causal", "seq2seq"]
# names of the transformers classes that load a model of each family
AUTO = {"masked": "AutoModelForMaskedLM", "causal": "AutoModelForCausalLM", "seq2seq": "AutoModelForSeq2SeqLM"}


def family_of(config: "PreTrainedConfig", tokenizer: PretrainedTokenizer) -> Family:
    """How a model of this configuration predicts a word, from what transformers offers for it.

    Many configurations serve both heads, and some causal models' tokenizers carry an unused mask token; so
    a model is masked when it has a masked head, a mask token and is not set up as a decoder. One with an encoder and a
    decoder is a seq2seq model when its tokenizer has something to put in an answer's place: sentinels or a mask token.

    Raises:
        BackboneError: it has none of these heads, or nothing for the answer's place.
    """
    from transformers import (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        MODEL_FOR_MASKED_LM_MAPPING,
        MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    )

    if config.is_encoder_decoder and type(config) in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING:
        if not sentinels_of(tokenizer) and tokenizer.mask_token is None:
            raise BackboneError(
                f"this tokenizer of a {config.model_type!r} model has neither a mask token nor sentinels like "
                "<extra_id_0>, and a seq2seq model needs one in the place of an answer; take T5, mT5 or BART"
            )
        return "seq2seq"
    if (
        not config.is_encoder_decoder
        and type(config) in MODEL_FOR_MASKED_LM_MAPPING
        and tokenizer.mask_token is not None
        and not getattr(config, "is_decoder", False)
    ):
        return "masked"
    if not config.is_encoder_decoder and type(config) in MODEL_FOR_CAUSAL_LM_MAPPING:
        return "causal"
    raise BackboneError(
        f"a model of type {config.model_type!r} is no masked, causal or seq2seq language model; "
        "softcloze needs one that predicts words, such as BERT, Llama or T5"
    )


def longest_prompt(config: "PreTrainedConfig", tokenizer: PretrainedTokenizer, first_position: int = 0) -> int:
    """Positions that a model of this configuration takes, the first of them having the id `first_position`."""
    positions = getattr(config, "max_position_embeddings", None)
    limits: list[int] = [tokenizer.model_max_length, NO_LIMIT]
    if isinstance(positions, int) and positions > 0:
        limits.append(positions - first_position)
    return min(limits)


def first_position(model: "PreTrainedModel") -> int:
    """The position id of the first token: after the padding's own where that has one (RoBERTa)."""
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            return module.padding_idx + 1 if module.padding_idx is not None else 0
    return 0


def per_layer_embedding(model: "PreTrainedModel") -> Callable[[Tensor], Tensor] | None:
    """What embeds token ids once more for each layer, as Gemma 3n and the small ones of Gemma 4 do; None for others.

    Negative ids, which stand for soft vectors, count as padding: as images do there that come among words.
    """
    config = model.config.get_text_config()
    if not getattr(config, "hidden_size_per_layer_input", 0):
        return None
    embed = next(own.get_per_layer_inputs for own in model.modules() if hasattr(own, "get_per_layer_inputs"))
    return lambda ids: embed(ids.masked_fill(ids < 0, config.pad_token_id))
