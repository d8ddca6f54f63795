"""The mean of the last hidden states of sequences, in batches of similar length."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from softcloze.backbone.backbone import Backbone
from softcloze.backbone.batching import run_length_bucketed


def mean_states_of_ids(backbone: Backbone, sequences: Sequence[Sequence[int]]) -> Tensor:
    """Compute the mean of the last hidden states over all tokens of each sequence, without gradient.

    Args:
        backbone: the model; of a seq2seq model the encoder.
        sequences: token ids, each truncated to the model's limit.

    Returns:
        Shape (sequences, state width), float32, on the CPU; zeros for a sequence without tokens.
    """
    sequences = [ids[: backbone.max_length] for ids in sequences]
    lengths = [len(ids) for ids in sequences]
    means: dict[int, Tensor] = {}

    def run_batch(batch: list[int]) -> None:
        means.update(zip(batch, _of_batch(backbone, [sequences[i] for i in batch]), strict=True))

    with backbone.frozen(), torch.no_grad():
        run_length_bucketed(lengths, lambda i: lengths[i], run_batch, backbone.token_budget)
    return torch.stack([means[i] for i in range(len(sequences))]) if means else torch.empty(0, backbone.width)


def _of_batch(backbone: Backbone, sequences: Sequence[Sequence[int]]) -> Tensor:
    """Mean states of a batch of token ids, shape (batch, state width)."""
    # padding is on the right, where the tokens of a causal model do not attend to it and positions do not shift
    ids = pad_sequence([torch.tensor(sequence or [0]) for sequence in sequences], batch_first=True)
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    attended = torch.arange(ids.shape[1]) < lengths[:, None]
    attended[:, 0] = True  # attention over no position at all gives NaN
    inputs = {"input_ids": ids.to(backbone.device), "attention_mask": attended.to(backbone.device, torch.long)}
    # without the output embedding, whose product with the whole vocabulary at each token would cost the most by far
    states = backbone.stack(**inputs).last_hidden_state.float().cpu()
    averaged = attended & (lengths[:, None] > 0)
    means: Tensor = (states * averaged[..., None]).sum(1) / lengths.clamp(min=1)[:, None]
    return means
