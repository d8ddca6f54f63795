"""What goes wrong when a soft prompt is looked into."""

from softcloze.errors import SoftclozeError


class InspectionError(SoftclozeError, ValueError):
    """A soft prompt that cannot be looked into as asked for."""
