"""Prototype head: similarity of the state at the mask to a prototype of each label, together with label words."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from softcloze.backbone.precision import non_finite_tensors
from softcloze.errors import NonFiniteError
from softcloze.heads.basic import Head, WordHead, weighted_mean
from softcloze.verbalizer import AnyVerbalizer

DIMENSION = 128
EPOCHS = 30
BATCH_SIZE = 256
LEARNING_RATE = 0.005


class PrototypeHead(Head):
    """Label words and prototypes, whose scores are added at equal spread.

    The state at the mask is projected, and its cosine to each label's prototype is that label's score.

    Attributes:
        words: scores by the label words.
        projection: shape (dimension, state).
        prototypes: shape (labels, dimension).
        spreads: the standard deviation of the scores by words and of those by prototypes on the training
            examples, shape (2,); each score is divided by its own.

    Source:
        Cui, Hu, Ding, Huang and Liu, ACL 2022 (ProtoVerb), arXiv:2203.09770. Their ensemble standardises the scores of
        each example over its labels. With two labels only a sign remains, so that two scores which disagree always
        tie; here one standard deviation over all training examples serves all labels.
    """

    projection: Tensor
    prototypes: Tensor
    spreads: Tensor

    def __init__(self, verbalizer: AnyVerbalizer, projection: Tensor, prototypes: Tensor, spreads: Tensor):
        """Store tensors of the shapes given in the attributes."""
        super().__init__()
        self.words = WordHead(verbalizer)
        self.register_buffer("projection", projection)
        self.register_buffer("prototypes", prototypes)
        self.register_buffer("spreads", spreads)

    def label_scores(self, features: Tensor) -> Tensor:
        """Label scores, shape (batch, labels), of features: scores of the label words, then the state."""
        return (self.votes(features) / self.spreads[:, None, None]).sum(0)

    def votes(self, features: Tensor) -> Tensor:
        """Scores by words and by prototypes, each less its mean over the labels, shape (2, batch, labels)."""
        states = _states(self.words.verbalizer, features)
        by_prototypes = _cosines(states @ self.projection.T, self.prototypes)
        votes = torch.stack([self.words.label_scores(features), by_prototypes])
        return votes - votes.mean(-1, keepdim=True)


def learn_prototypes(
    verbalizer: AnyVerbalizer,
    features: Tensor,
    targets: Tensor,
    generator: np.random.Generator,
    weights: Tensor | None = None,
) -> PrototypeHead:
    """Learn a projection and prototypes from the features of training examples, by two contrastive losses.

    One loss pulls examples of a label together and away from those of others, the other one pulls each example to the
    prototype of its label. Both are cross-entropies over cosines, without a temperature as in the paper.

    Args:
        verbalizer: labels and their words.
        features: scores of the label words, then states at the mask, shape (batch, features).
        targets: index of the label of each example, shape (batch,).
        generator: source of randomness.
        weights: weight of each example, shape (batch,); None for equal ones.

    Raises:
        NonFiniteError: features so large that what is learnt from them is NaN or infinite.
    """
    states = _states(verbalizer, features)

    def drawn(*shape: int) -> Tensor:
        values = generator.normal(0, shape[-1] ** -0.5, shape)
        return torch.tensor(values, dtype=states.dtype).requires_grad_()

    projection, prototypes = drawn(DIMENSION, states.shape[1]), drawn(len(verbalizer.labels), DIMENSION)
    optimizer = torch.optim.Adam([projection, prototypes], lr=LEARNING_RATE)
    for _ in range(EPOCHS):
        for chosen in torch.from_numpy(generator.permutation(len(states))).split(BATCH_SIZE):
            projected = states[chosen] @ projection.T
            of_chosen = weights[chosen] if weights is not None else None
            losses = cross_entropy(_cosines(projected, prototypes), targets[chosen], reduction="none")
            loss = instance_loss(projected, targets[chosen], of_chosen) + weighted_mean(losses, of_chosen)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
    head = PrototypeHead(verbalizer, projection.detach(), prototypes.detach(), torch.ones(2))
    spreads = head.votes(features).flatten(1).std(1, correction=0)
    # constant scores have no spread, and count as they are
    head.spreads.copy_(torch.where(spreads > 1e-6, spreads, 1.0))
    if broken := non_finite_tensors(head.state_dict()):
        raise NonFiniteError(f"the {broken[0]} learnt from states up to {states.abs().max():.0e} are NaN or infinite")
    return head


def instance_loss(projected: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Contrastive loss between examples of one label: the mean over all such pairs, in nats.

    Args:
        projected: shape (batch, dimension).
        targets: index of the label of each example, shape (batch,).
        weights: weight of each example, shape (batch,), which multiply in a pair; None for equal ones.

    >>> instance_loss(torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]]), torch.tensor([0, 0, 1, 1]))
    tensor(0.5514)
    """
    others = ~torch.eye(len(targets), dtype=torch.bool)
    log_probs = _cosines(projected, projected).masked_fill(~others, -torch.inf).log_softmax(-1)
    alike = (targets[:, None] == targets) & others
    if not alike.any():  # a batch with one example of each label
        return projected.sum() * 0
    of_pairs = (weights[:, None] * weights)[alike] if weights is not None else None
    return weighted_mean(-log_probs[alike], of_pairs)


def _states(verbalizer: AnyVerbalizer, features: Tensor) -> Tensor:
    return features[:, verbalizer.scored :]


def _cosines(one: Tensor, other: Tensor) -> Tensor:
    return normalize(one, dim=-1) @ normalize(other, dim=-1).T
