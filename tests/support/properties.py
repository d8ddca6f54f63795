"""The number of cases that a property is tried on."""

from hypothesis import settings

FEWEST = 10


def cases(split=1):
    """The cases of the profile: 200, or 600 with `--hypothesis-profile=thorough`.

    A test that is repeated for several parameters, or that is slow, takes a part of them, 10 at the fewest.
    """
    return settings(deadline=None, max_examples=max(FEWEST, -(-settings.default.max_examples // split)))
