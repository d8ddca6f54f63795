"""Findings of the linter: fact, place and advice."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from softcloze.formatting import source_excerpt

Severity: TypeAlias = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)  # the worst first
STYLES: dict[Severity, str] = {"error": "bold red", "warning": "yellow", "note": "cyan"}  # styles of rich


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault, doubt or remark about a template or its label words.

    Attributes:
        code: its kind, as in "forgotten-tag".
        severity: "error" (it will not work), "warning" (it works, but hardly as meant) or "note" (good to know).
        message: the fact, one line.
        advice: the fix; empty if the message names it.
        source: the text in which it lies: the template, or the label words.
        start: index in `source` of the first character at fault.
        end: index after the last one; equals `start` if something is missing.

    >>> print(Finding("forgotten-tag", "warning", "'[MASK]' is text", "write <mask>", "很[MASK]", 1, 7))
    warning: '[MASK]' is text (forgotten-tag)
      at line 1, column 2:
        很[MASK]
          ^^^^^^
      write <mask>
    """

    code: str
    severity: Severity
    message: str
    advice: str
    source: str
    start: int
    end: int

    def __str__(self) -> str:
        advice = f"\n  {self.advice}" if self.advice else ""
        excerpt = source_excerpt(self.source, self.start, self.end)
        return f"{self.severity}: {self.message} ({self.code})\n{excerpt}{advice}"


def sort_findings(findings: Iterable[Finding], template: str) -> list[Finding]:
    """Sort by position, the worst first at one position; findings in the template before those in the label words."""
    return sorted(findings, key=lambda found: (found.source != template, found.start, SEVERITIES.index(found.severity)))
