"""Vectors of texts by the backbone: the mean of the last hidden states."""

from collections.abc import Sequence

from torch import Tensor

from softcloze.backbone import Backbone, mean_states_of_ids


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
    states = mean_states_of_ids(backbone, [encoding.ids for encoding in backbone.prompt_tokenizer.encode(texts)])
    backbone.validate_scores(states)
    return states
