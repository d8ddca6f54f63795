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
    # in bfloat16 0.03: rounding in another order made 0.02 (SmolLM2), rows that see each other 0.09 to 0.4, wrong
    # positions 0.17 to 0.4, and 0.02 for Gemma, which is not told from rounding there
    allowed = max(1e-3, 4 * torch.finfo(dtype).eps)
    found, expected = (scores.float() - scores.float().mean(-1, keepdim=True) for scores in (found, expected))
    return bool((found - expected).norm() <= allowed * expected.norm())
