"""Whether a model still says the same when it is run in another way."""

import torch
from torch import Tensor


def same_scores(found: Tensor, expected: Tensor, dtype: torch.dtype) -> bool:
    """Whether scores agree as far as a precision lets them: up to a thousandth, in half precision what rounding makes.

    What all scores of a place have in common makes no difference to probabilities, and none here.

    Args:
        found: shape (..., words).
        expected: likewise.
        dtype: what the model counts in.

    >>> found, expected = torch.tensor([5.0, 7.03]), torch.tensor([1.0, 3.0])
    >>> same_scores(found, expected, torch.bfloat16), same_scores(found, expected, torch.float32)
    (True, False)
    >>> same_scores(torch.ones(2), torch.ones(3), torch.float32)
    False
    """
    if found.shape != expected.shape:
        return False
    allowed = max(1e-3, 8 * torch.finfo(dtype).eps)
    found, expected = (scores.float() - scores.float().mean(-1, keepdim=True) for scores in (found, expected))
    return bool((found - expected).norm() <= allowed * expected.norm())
