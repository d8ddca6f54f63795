"""Scores that are not finite never become a label or a probability: they raise."""

from collections.abc import Mapping

from torch import Tensor

from softcloze.backbone import Backbone
from softcloze.backbone.precision import non_finite_reason
from softcloze.calibration.scores import non_finite_rows
from softcloze.errors import NonFiniteError


def validate_finite(scores: Tensor, backbone: Backbone, vectors: Mapping[str, Tensor] | None = None) -> None:
    """Raise NonFiniteError if a row of scores cannot become probabilities.

    Args:
        scores: shape (rows, columns), in the order of the examples.
        backbone: the model that computed them.
        vectors: trained tensors that took part, by a name for the message.

    Raises:
        NonFiniteError: names the first of these rows, the precision, and the way out.
    """
    if rows := non_finite_rows(scores.numpy()):
        reason = non_finite_reason(backbone.model, vectors)
        raise NonFiniteError(f"the scores of {backbone.name!r} are not finite: {reason}", rows, len(scores))
