"""The report of a comparison: one page of HTML."""

from softcloze.report.html import check_installed
from softcloze.report.page import write_report

__all__ = ["check_installed", "write_report"]
