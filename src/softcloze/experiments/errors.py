"""What can go wrong before an experiment starts."""

from softcloze.errors import SoftclozeError


class ExperimentError(SoftclozeError, ValueError):
    """An experiment that its data or settings do not allow."""
