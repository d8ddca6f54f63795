"""softcloze evaluate: how good a saved prompt is on labelled rows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from softcloze.cli.options import FileArgument, LabelOption, OtherModelOption, PromptOption, TextOption

if TYPE_CHECKING:
    from rich.table import Table as RichTable


def evaluate(
    file: FileArgument,
    prompt: PromptOption,
    text_column: TextOption = None,
    label_column: LabelOption = "label",
    model: OtherModelOption = None,
) -> None:
    """Compare predictions with the labels of a file: accuracy, precision and recall of each class, confusions."""
    from softcloze.cli.console import results, say
    from softcloze.cli.input_files import open_table
    from softcloze.errors import FileError
    from softcloze.formatting import did_you_mean

    table = open_table(file)

    from softcloze.cli.progress import open_classifier, score_rows, warn_of
    from softcloze.prompt import Prompt

    saved = Prompt.load(prompt)
    known = tuple(map(str, saved.verbalizer.labels))
    as_example, labels = table.reader(saved.template, text_column), table.labels(label_column)
    for number, label in enumerate(labels):
        if label not in known:
            raise FileError(
                f"{table.path}: row {number} has label {label!r}, which the prompt does not have; it has "
                f"{', '.join(map(repr, known))}{did_you_mean(label, known)}"
            )
    scored = score_rows(open_classifier(prompt, model), map(as_example, table.rows()), table.count)
    rows = [i for i, found in enumerate(scored.predicted) if found is not None]
    pairs = [(labels[i], scored.predicted[i]) for i in rows]
    true, found = zip(*pairs, strict=True)

    from sklearn.metrics import recall_score

    from softcloze.calibration import expected_calibration_error

    right = sum(label == other for label, other in pairs)
    balanced = recall_score(true, found, labels=sorted(set(true)), average="macro", zero_division=0)
    console = results()
    say(console, f"accuracy           {right / len(pairs):.3f}   {right:,} of {len(pairs):,} rows")
    say(console, f"balanced accuracy  {balanced:.3f}")
    error = expected_calibration_error(true, scored.probabilities[rows], labels=scored.labels)
    say(console, f"calibration error  {error:.3f}   gap between how sure it is and how often it is right")
    console.print(_classes(known, true, found))
    console.print(_confusions(known, true, found))
    warn_of(scored.tally, "and are left out")


def _classes(labels: Sequence[str], true: Sequence[str], found: Sequence[str]) -> "RichTable":
    """Precision and recall of each class."""
    from rich import box
    from rich.table import Table as RichTable
    from sklearn.metrics import precision_recall_fscore_support

    from softcloze.cli.console import plain

    precision, recall, f1, support = precision_recall_fscore_support(true, found, labels=labels, zero_division=0)
    shown = RichTable(box=box.SIMPLE_HEAD)
    shown.add_column("class")
    for name in ("precision", "recall", "F1", "rows"):
        shown.add_column(name, justify="right")
    for i, label in enumerate(labels):
        shown.add_row(plain(label), f"{precision[i]:.3f}", f"{recall[i]:.3f}", f"{f1[i]:.3f}", f"{support[i]:,}")
    return shown


def _confusions(labels: Sequence[str], true: Sequence[str], found: Sequence[str]) -> "RichTable":
    """How many rows of each class were given each label."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text
    from sklearn.metrics import confusion_matrix

    from softcloze.cli.console import plain

    counts = confusion_matrix(true, found, labels=labels)
    shown = RichTable(box=box.SIMPLE_HEAD)
    shown.add_column("true \\ predicted")
    for label in labels:
        shown.add_column(plain(label), justify="right")
    for i, label in enumerate(labels):
        cells = [Text(f"{count:,}", "bold" if i == j else "") for j, count in enumerate(counts[i])]
        shown.add_row(plain(label), *cells)
    return shown
