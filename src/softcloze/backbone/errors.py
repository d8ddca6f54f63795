"""What goes wrong with a backbone."""

from softcloze.errors import SoftclozeError


class BackboneError(SoftclozeError, ValueError):
    """A model that cannot be loaded or cannot be used as a backbone."""
