"""Vectors of texts by the backbone: the mean of the last hidden states."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from softcloze.backbone import Backbone, run_length_bucketed


def mean_states(backbone: Backbone, texts: Sequence[str]) -> Tensor:
    """Compute the mean of the last hidden states over the tokens of each text.

    The tokens are those of the tokenizer, with the special ones that it adds, truncated to the model's limit.

    Args:
        backbone: the model; of a seq2seq model the encoder.
        texts: the texts, each a sequence of its own.

    Returns:
        Shape (texts, width), float32, on the CPU; zeros for a text without tokens.

    Raises:
        NonFiniteError: the states of a text are NaN or infinite; names the row.
    """
    sequences = [encoding.ids[: backbone.max_length] for encoding in backbone.prompt_tokenizer.encode(texts)]
    lengths = [len(ids) for ids in sequences]
    means: dict[int, Tensor] = {}

    def run_batch(batch: list[int]) -> None:
        means.update(zip(batch, _mean_states_of_batch(backbone, [sequences[i] for i in batch]), strict=True))

    with backbone.frozen(), torch.inference_mode():
        run_length_bucketed(lengths, lambda i: lengths[i], run_batch, backbone.token_budget)
    states = torch.stack([means[i] for i in range(len(texts))]) if means else torch.empty(0, backbone.width)
    backbone.validate_scores(states)
    return states


def _mean_states_of_batch(backbone: Backbone, sequences: Sequence[Sequence[int]]) -> Tensor:
    """Mean states of a batch of token ids, shape (batch, width)."""
    # padding is on the right, where the tokens of a causal model do not attend to it and positions do not shift
    ids = pad_sequence([torch.tensor(sequence or [0]) for sequence in sequences], batch_first=True)
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    attended = torch.arange(ids.shape[1]) < lengths[:, None]
    attended[:, 0] = True  # attention over no position at all gives NaN
    inputs = {"input_ids": ids.to(backbone.device), "attention_mask": attended.to(backbone.device, torch.long)}
    # without the output embedding, whose product with the whole vocabulary at each token would cost the most by far
    encoder = backbone.model.get_encoder() if backbone.family == "seq2seq" else backbone.model.base_model
    states = encoder(**inputs).last_hidden_state.float().cpu()
    averaged = attended & (lengths[:, None] > 0)
    means: Tensor = (states * averaged[..., None]).sum(1) / lengths.clamp(min=1)[:, None]
    return means
