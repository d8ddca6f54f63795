"""What became of rows, in numbers."""

from collections import Counter
from dataclasses import dataclass, field

from softcloze.cli.errors import FileError

NAMED = 5  # bad rows whose reasons are kept


@dataclass(slots=True)
class Tally:
    """How many rows have each label, and how many could not be encoded.

    Attributes:
        labels: label to rows.
        problems: rows that could not be encoded.
        reasons: row to the reason, for the first of those.

    >>> tally = Tally()
    >>> tally.add("很好", None)
    >>> tally.add(None, "field 'text' is None")
    >>> tally
    Tally(labels=Counter({'很好': 1}), problems=1, reasons={1: "field 'text' is None"})
    """

    labels: Counter[str] = field(default_factory=Counter)
    problems: int = 0
    reasons: dict[int, str] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """All rows that were counted."""
        return self.labels.total() + self.problems

    def add(self, label: str | None, error: str | None) -> None:
        """Count the next row, which has a label or the reason why it has none."""
        if label is not None:
            self.labels[label] += 1
            return
        if len(self.reasons) < NAMED:
            self.reasons[self.rows] = str(error)
        self.problems += 1

    def check(self) -> None:
        """Make sure that some row has a label.

        Raises:
            FileError: none has; gives the first one's reason.
        """
        if self.problems and not self.labels:
            raise FileError(f"none of the {self.problems:,} rows can be encoded; row 0: {self.reasons[0]}")
