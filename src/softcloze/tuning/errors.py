"""What can be wrong with a search over prompts."""

from softcloze.errors import SoftclozeError


class TuningError(SoftclozeError, ValueError):
    """Candidates that cannot be made, or a search of which nothing can be said."""
