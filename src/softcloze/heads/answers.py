"""The head of prompts whose model writes free text: the likelihood of given answers."""

from typing import ClassVar

from torch import Tensor

from softcloze.heads.basic import Head


class AnswerHead(Head):
    """Log-likelihoods of given answers; nothing is trained, and no label is predicted.

    Targets are the numbers of tokens of the answers, and the loss is a mean over all tokens of a batch, so that it does
    not depend on how examples are grouped.

    Example:
        >>> import torch
        >>> AnswerHead().loss(torch.tensor([[-6.0], [-2.0]]), torch.tensor([3, 1]))
        tensor(2.)
    """

    predicts_labels: ClassVar[bool] = False

    def label_scores(self, features: Tensor) -> Tensor:
        """The log-likelihood of each answer in nats, shape (batch, 1), as it comes."""
        return features

    def loss(self, scores: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """Mean loss in nats per token; `weights` are factors of the examples, shape (batch,)."""
        sums = scores[:, 0] if weights is None else scores[:, 0] * weights.to(scores)
        return -sums.sum() / self.size(targets)

    def size(self, targets: Tensor) -> int:
        """Number of tokens of all answers."""
        return int(targets.sum())

    def hits(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Zeros: no label is right."""
        return targets.new_zeros(len(targets))

    def predicted_labels(self, scores: Tensor) -> set[int]:
        """None."""
        return set()
