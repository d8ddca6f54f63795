"""What a check has to say about a template: the facts, the place and the advice."""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from softcloze.formatting import picture

Severity: TypeAlias = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)  # the worst first
STYLES: dict[Severity, str] = {"error": "bold red", "warning": "yellow", "note": "cyan"}  # as rich calls them


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, doubtful or worth knowing.

    Attributes:
        code: what kind of thing it is, as in "forgotten-tag".
        severity: "error" (it will not work), "warning" (it works, but hardly as meant) or "note" (good to know).
        message: the fact, one line.
        advice: what to do; empty where the message says it.
        source: the text that it is about: the template, or the label words.
        start: index in `source` of the first character that it is about.
        end: index behind the last one; equals `start` where something is missing.

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
        return f"{self.severity}: {self.message} ({self.code})\n{picture(self.source, self.start, self.end)}{advice}"


def by_place(finding: Finding) -> tuple[int, int]:
    """The order in which findings of one source are shown: by place, the worst first where they share one."""
    return finding.start, SEVERITIES.index(finding.severity)
