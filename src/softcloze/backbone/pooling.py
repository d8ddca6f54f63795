"""One vector for each text: the mean of what a backbone makes of its tokens."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from softcloze.backbone.backbone import Backbone
from softcloze.backbone.batching import in_batches


def mean_states(backbone: Backbone, texts: Sequence[str]) -> Tensor:
    """The mean of the last hidden states of each text's tokens.

    The tokens are those of the tokenizer, with the special ones that it adds itself, up to the model's limit.

    Args:
        backbone: the model; of a seq2seq model the encoder.
        texts: each is read by itself.

    Returns:
        Shape (texts, width of the hidden states), float32, on the CPU; zeros for a text without any tokens.
    """
    rows = [encoding.ids[: backbone.max_length] for encoding in backbone.vocabulary.encode(texts)]
    if not rows:
        return torch.empty(0, backbone.width)
    means: list[Tensor] = []
    order: list[int] = []
    lengths = [len(row) for row in rows]

    def read(chosen: list[int]) -> None:
        means.append(_mean_states(backbone, [rows[i] for i in chosen]))
        order.extend(chosen)

    with backbone.frozen(), torch.inference_mode():
        in_batches(lengths, lambda i: lengths[i], read, backbone.batch_tokens)
    return torch.cat(means)[torch.tensor(order).argsort()]


def _mean_states(backbone: Backbone, rows: Sequence[Sequence[int]]) -> Tensor:
    """The means of one batch."""
    # padding stands on the right, where a causal model's tokens do not see it and positions do not shift
    ids = pad_sequence([torch.tensor(row or [0]) for row in rows], batch_first=True)
    lengths = torch.tensor([len(row) for row in rows])
    real = torch.arange(ids.shape[1]) < lengths[:, None]
    real[:, 0] = True  # an attention over nothing is no number
    inputs = {"input_ids": ids.to(backbone.device), "attention_mask": real.to(backbone.device, torch.long)}
    # the model without its head: a product with the whole vocabulary at each token would cost the most by far
    reader = backbone.model.get_encoder() if backbone.family == "seq2seq" else backbone.model.base_model
    states = reader(**inputs).last_hidden_state.float().cpu()
    counted = real & (lengths[:, None] > 0)
    means: Tensor = (states * counted[..., None]).sum(1) / lengths.clamp(min=1)[:, None]
    return means
