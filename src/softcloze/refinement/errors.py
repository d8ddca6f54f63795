"""What can go wrong in refining label words."""

from softcloze.errors import SoftclozeError


class RefinementError(SoftclozeError, ValueError):
    """Label words that cannot be refined with this template, with these texts, or as asked."""
