"""How many cases the property of an invariant sees."""

from hypothesis import settings


def cases(repeated=1):
    """1,000 in all, shared by the parameters that the test is repeated for."""
    return settings(deadline=None, max_examples=-(-1000 // repeated))
