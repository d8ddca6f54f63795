"""Reports of comparisons and searches: self-contained HTML pages."""

from softcloze.report.generation_page import write_generation_report
from softcloze.report.html import require_matplotlib
from softcloze.report.page import write_report

__all__ = ["require_matplotlib", "write_generation_report", "write_report"]
