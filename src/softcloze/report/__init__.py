"""The report of a comparison: one page of HTML."""

from softcloze.report.errors import ReportError
from softcloze.report.frame import check_installed
from softcloze.report.page import write_report

__all__ = ["ReportError", "check_installed", "write_report"]
