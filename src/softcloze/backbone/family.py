"""Facts from a model's configuration: its family, its longest prompt, its position ids."""

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


def validate_language_model(config: "PreTrainedConfig") -> None:
    """Raise BackboneError if transformers has no language-model head for this configuration."""
    from transformers import (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        MODEL_FOR_MASKED_LM_MAPPING,
        MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    )

    heads = [MODEL_FOR_MASKED_LM_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING]
    if config.is_encoder_decoder:
        heads = [MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING]
    if not any(type(config) in mapping for mapping in heads):
        saved = "".join(f" (saved from {name})" for name in config.architectures or ())
        raise BackboneError(
            f"a model of type {config.model_type!r}{saved} is not a masked, causal or seq2seq language model; "
            "softcloze needs one that predicts words, such as BERT, Llama or T5"
        )


def family_of(config: "PreTrainedConfig", tokenizer: PretrainedTokenizer) -> Family:
    """The family of a model with this configuration, from the heads that transformers offers for it.

    Many configurations serve both heads, and some causal models' tokenizers carry an unused mask token. So a model is
    masked if it has a masked head and a mask token and is not configured as a decoder. A model with an encoder and a
    decoder is seq2seq if its tokenizer can mark the position of an answer, by sentinels or a mask token.

    Raises:
        BackboneError: it has none of these heads, or no token for the answer's position.
    """
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING

    validate_language_model(config)
    if config.is_encoder_decoder:
        if not sentinels_of(tokenizer) and tokenizer.mask_token is None:
            raise BackboneError(
                f"this tokenizer of a {config.model_type!r} model has neither a mask token nor sentinels like "
                "<extra_id_0>, and a seq2seq model needs one at the position of an answer; take T5, mT5 or BART"
            )
        return "seq2seq"
    masked = type(config) in MODEL_FOR_MASKED_LM_MAPPING and not getattr(config, "is_decoder", False)
    if masked and tokenizer.mask_token is not None:
        return "masked"
    if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING:
        return "causal"
    raise BackboneError(
        f"this tokenizer of a {config.model_type!r} model has no mask token, which a masked model needs"
    )


def longest_prompt(config: "PreTrainedConfig", tokenizer: PretrainedTokenizer, first_position: int = 0) -> int:
    """Positions that a model with this configuration accepts, of which the first has the id `first_position`."""
    text = config.get_text_config()
    limits: list[int] = [tokenizer.model_max_length, NO_LIMIT]
    # of most models; of LED, whose encoder takes the text; of MPT, whose ALiBi bias has this length
    for name in ("max_position_embeddings", "max_encoder_position_embeddings", "max_seq_len"):
        positions = getattr(text, name, None)
        if isinstance(positions, int) and positions > 0:
            limits.append(positions - first_position)
    return int(min(limits))


def first_position(model: "PreTrainedModel") -> int:
    """The position id of the first token; it follows that of padding where padding has one (RoBERTa)."""
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            return module.padding_idx + 1 if module.padding_idx is not None else 0
    return 0


def per_layer_embedding(model: "PreTrainedModel") -> Callable[[Tensor], Tensor] | None:
    """The function that embeds token ids once more for each layer (Gemma 3n, small Gemma 4); None for other models.

    Negative ids, which are soft vectors, count as padding, as images do in these models.
    """
    config = model.config.get_text_config()
    if not getattr(config, "hidden_size_per_layer_input", 0):
        return None
    embed = next(module.get_per_layer_inputs for module in model.modules() if hasattr(module, "get_per_layer_inputs"))
    return lambda ids: embed(ids.masked_fill(ids < 0, config.pad_token_id))
