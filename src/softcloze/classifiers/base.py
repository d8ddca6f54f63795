"""Shared code of the classifiers."""

import secrets

import numpy as np


def seed_of(random_state: int | np.random.RandomState | None) -> int:
    """A seed of our own, so that the global generators stay untouched."""
    if random_state is None:
        return secrets.randbits(31)
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31))
    return int(random_state)
