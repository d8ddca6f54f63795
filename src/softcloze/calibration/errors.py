"""What can go wrong in calibrating scores."""

from softcloze.errors import SoftclozeError


class CalibrationError(SoftclozeError, ValueError):
    """Scores that cannot be calibrated as asked, or a calibration that cannot be read."""
