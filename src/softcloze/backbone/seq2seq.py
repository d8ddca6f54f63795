"""What a model with an encoder and a decoder of its own takes besides what others do."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.utils.rnn import pad_sequence

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def decoder_start(model: "PreTrainedModel") -> int | None:
    """The id of the token with which the decoder begins every text; None where the model names none."""
    for config in (model.config, model.generation_config):
        start = getattr(config, "decoder_start_token_id", None)
        if start is not None:
            return int(start)
    return None


def decoder_inputs(
    model: "PreTrainedModel", encoder_inputs: dict[str, Any], of: Sequence[int], rows: Sequence[Sequence[int]]
) -> dict[str, Any]:
    """Run the encoder, and say to the whole model what its decoder is to read of that.

    Args:
        model: with an encoder and a decoder.
        encoder_inputs: embeddings and attention mask of some texts.
        of: for each row, the number of the text that it belongs to.
        rows: token ids for the decoder, any number of rows for a text.
    """
    read = model.get_encoder()(**encoder_inputs)
    states = read.last_hidden_state
    texts = torch.tensor(of, device=states.device)
    # padding stands on the right, where the tokens before do not see it
    ids = pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    lengths = torch.tensor([len(row) for row in rows])
    real = torch.arange(ids.shape[1]) < lengths[:, None]
    return {
        "encoder_outputs": type(read)(last_hidden_state=states[texts]),
        "attention_mask": encoder_inputs["attention_mask"][texts],
        "decoder_input_ids": ids.to(states.device),
        "decoder_attention_mask": real.to(states.device, torch.long),
    }
