"""Scores that are not finite never become a label or a probability: they raise."""

from collections.abc import Mapping

from torch import Tensor

from softcloze.backbone import Backbone
from softcloze.backbone.precision import non_finite_reason
from softcloze.errors import NonFiniteError


def non_finite_rows(scores: Tensor) -> list[int]:
    """Rows with NaN, with plus infinity, or with no finite number at all.

    Minus infinity is the score of a word that is impossible, and of a label with such words.

    Args:
        scores: shape (rows, columns).

    >>> import torch
    >>> inf = torch.inf
    >>> non_finite_rows(torch.tensor([[0.0, -inf], [-inf, -inf], [0.0, inf], [0.0, torch.nan]]))
    [1, 2, 3]
    """
    if not scores.shape[1]:
        return []
    broken = scores.isnan().any(1) | scores.isposinf().any(1) | ~scores.isfinite().any(1)
    rows: list[int] = broken.nonzero().flatten().tolist()
    return rows


def validate_finite(scores: Tensor, backbone: Backbone, vectors: Mapping[str, Tensor] | None = None) -> None:
    """Raise NonFiniteError if a row of scores cannot become probabilities.

    Args:
        scores: shape (rows, columns), in the order of the examples.
        backbone: the model that computed them.
        vectors: trained tensors that took part, by a name for the message.

    Raises:
        NonFiniteError: names the first of these rows, the precision, and the way out.
    """
    if rows := non_finite_rows(scores):
        reason = non_finite_reason(backbone.model, vectors)
        raise NonFiniteError(f"the scores of {backbone.name!r} are not finite: {reason}", rows, len(scores))
