"""Whether a model still says the same when it is run in another way."""

import torch
from torch import Tensor


def same_scores(found: Tensor, expected: Tensor) -> bool:
    """Whether scores agree as far as they do in half precision.

    >>> same_scores(torch.tensor([1.0, 2.0]), torch.tensor([1.001, 2.0])), same_scores(torch.ones(2), torch.ones(3))
    (True, False)
    """
    alike = found.shape == expected.shape
    return alike and torch.allclose(found.float(), expected.float(), rtol=1e-2, atol=1e-2)
