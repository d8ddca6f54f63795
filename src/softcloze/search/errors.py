"""What can be wrong with a search for label words."""

from softcloze.errors import SoftclozeError


class SearchError(SoftclozeError, ValueError):
    """A search for label words that cannot be done as asked for."""
