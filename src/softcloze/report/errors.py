"""What can keep a report from being written."""

from softcloze.errors import SoftclozeError


class ReportError(SoftclozeError, RuntimeError):
    """A report that cannot be drawn or written."""
