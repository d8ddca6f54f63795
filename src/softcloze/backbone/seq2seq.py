"""Inputs of seq2seq models, which have an encoder and a decoder."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.utils.rnn import pad_sequence

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def decoder_start(model: "PreTrainedModel") -> int | None:
    """The id of the token with which the decoder begins every text; None if the model names none."""
    for config in (model.config, model.generation_config):
        start = getattr(config, "decoder_start_token_id", None)
        if start is not None:
            return int(start)
    return None


def decoder_inputs(
    model: "PreTrainedModel",
    encoder_inputs: dict[str, Any],
    source_index: Sequence[int],
    sequences: Sequence[Sequence[int]],
) -> dict[str, Any]:
    """Run the encoder; return the arguments for the whole model.

    Args:
        model: with an encoder and a decoder.
        encoder_inputs: embeddings and attention mask of some texts.
        source_index: for each sequence, the index of its text.
        sequences: token ids for the decoder; several may belong to one text.
    """
    encoded = model.get_encoder()(**encoder_inputs)
    states = encoded.last_hidden_state
    texts = torch.tensor(source_index, device=states.device)
    # padding stands on the right, where the tokens before do not see it
    ids = pad_sequence([torch.tensor(sequence) for sequence in sequences], batch_first=True)
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    mask = torch.arange(ids.shape[1]) < lengths[:, None]
    return {
        "encoder_outputs": type(encoded)(last_hidden_state=states[texts]),
        "attention_mask": encoder_inputs["attention_mask"][texts],
        "decoder_input_ids": ids.to(states.device),
        "decoder_attention_mask": mask.to(states.device, torch.long),
    }
