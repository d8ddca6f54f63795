"""Label scores by a trainable row for each label."""

import numpy as np
import torch
from torch import Tensor, nn

from softcloze.backbone import Backbone
from softcloze.verbalizer import Verbalizer


class RowHead(nn.Module):
    """A row for each label, multiplied with the state at the mask as the rows of a vocabulary are.

    Attributes:
        weight: the rows, shape (labels, state).
        bias: what is added to each label's score, shape (labels,), or None.

    Source:
        Rows that start from label words: Hambardzumyan, Khachatrian and May, ACL 2021 (WARP), arXiv:2101.00121. A row
        starts as the mean of those of all tokens of all words of its label. Rows that start at random are the
        linear layer of sequence classification (Devlin et al., NAACL 2019, arXiv:1810.04805), here on the state at the
        mask and without dropout. What some models do to their scores afterwards (scaling, capping) is left out.

    Example:
        >>> head = RowHead(torch.tensor([[1.0, 0.0], [0.0, 2.0]]), bias=None)
        >>> head.label_scores(torch.tensor([[3.0, 1.0]]))
        tensor([[3., 2.]], grad_fn=<MmBackward0>)
    """

    def __init__(self, weight: Tensor, bias: Tensor | None):
        """Start from these values."""
        super().__init__()
        self.weight = nn.Parameter(weight.detach().clone())
        self.bias = nn.Parameter(bias.detach().clone()) if bias is not None else None

    def label_scores(self, features: Tensor) -> Tensor:
        """Label scores, shape (batch, labels), of the states at the mask, shape (batch, state)."""
        scores = features @ self.weight.T
        return scores if self.bias is None else scores + self.bias


def word_rows(verbalizer: Verbalizer, words: list[tuple[int, ...]], backbone: Backbone) -> RowHead:
    """Rows that start as those of the label words, so that one word of one token a label scores as it did.

    Args:
        verbalizer: the label words and their weights.
        words: token ids of each word, in the order of `verbalizer.all_words`.
        backbone: whose output embedding to copy.
    """
    tokens = torch.tensor([token for word in words for token in word])
    rows, bias = backbone.output_rows(tokens)
    # what each token counts for in each label: a label's words by weight, a word's tokens alike
    shares = torch.zeros(len(verbalizer.labels), len(tokens))
    lengths = iter(map(len, words))
    first = 0
    for label, weights in enumerate(verbalizer.weights):
        for weight in weights:
            length = next(lengths)
            shares[label, first : first + length] = weight / sum(weights) / length
            first += length
    return RowHead(shares @ rows, shares @ bias if bias is not None else None)


def random_rows(labels: int, backbone: Backbone, generator: np.random.Generator) -> RowHead:
    """Rows that start at random, normal with a standard deviation of 0.02 as in BERT, without bias at first."""
    drawn = generator.normal(0, 0.02, (labels, backbone.state_width))
    return RowHead(torch.tensor(drawn, dtype=torch.float32), torch.zeros(labels))
