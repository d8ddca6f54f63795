"""softcloze evaluate: scores of a saved prompt on labelled rows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from softcloze.cli.console import results, say
from softcloze.cli.input_files import open_table
from softcloze.cli.options import FileArgument, LabelOption, OtherModelOption, PromptOption, TextOption
from softcloze.cli.progress import open_prompt, score_rows, warn_of_bad_rows
from softcloze.display import Column, Styled, Table, rich_table
from softcloze.formatting import counted
from softcloze.prompt.card import PromptCard

if TYPE_CHECKING:
    import numpy as np


def evaluate(
    file: FileArgument,
    prompt: PromptOption,
    text_column: TextOption = None,
    label_column: LabelOption = "label",
    model: OtherModelOption = None,
) -> None:
    """Measure a saved prompt on labelled rows: accuracy, reliability, scores of each class, confusions."""
    table, card = open_table(file), PromptCard.load(prompt)
    known = tuple(map(str, card.verbalizer.labels))
    as_example, labels = table.reader(card.template, text_column), table.labels(label_column, known)
    scored = score_rows(open_prompt(prompt, model), map(as_example, table.rows()), table.count)
    scored.counts.validate(table)
    rows = [i for i, label in enumerate(scored.predicted) if label is not None]
    pairs = [(labels[i], scored.predicted[i]) for i in rows]
    true, predicted = zip(*pairs, strict=True)

    from sklearn.metrics import recall_score  # slow to import

    from softcloze.calibration import expected_calibration_error

    right = sum(label == other for label, other in pairs)
    balanced = recall_score(true, predicted, labels=sorted(set(true)), average="macro", zero_division=0)
    error = expected_calibration_error(true, scored.probabilities[rows], labels=scored.labels)
    console = results()
    say(console, f"accuracy           {right / len(pairs):.3f}   {right:,} of {counted(len(pairs), 'row')}")
    say(console, f"balanced accuracy  {balanced:.3f}")
    say(console, f"calibration error  {error:.3f}   gap between confidence and accuracy")
    console.print(rich_table(reliability_table(true, predicted, scored.probabilities[rows].max(axis=1))))
    console.print(rich_table(class_table(known, true, predicted)))
    console.print(rich_table(confusion_table(known, true, predicted)))
    warn_of_bad_rows(table, scored.counts, "and are left out")


def reliability_table(true: Sequence[str], predicted: Sequence[str], confidence: "np.ndarray") -> Table:
    """Accuracy by confidence, the probability of the predicted label, in the ten bins of the calibration error."""
    import numpy as np

    from softcloze.calibration.metrics import bin_of

    right = np.asarray(true) == np.asarray(predicted)
    indices = bin_of(confidence)
    bins = [(int(index), indices == index) for index in np.unique(indices)]
    return Table(
        [
            Column("confidence", [f"{index / 10:.1f} to {(index + 1) / 10:.1f}" for index, _ in bins]),
            Column("mean", [f"{confidence[members].mean():.3f}" for _, members in bins], is_number=True),
            Column("accuracy", [f"{right[members].mean():.3f}" for _, members in bins], is_number=True),
            Column("rows", [f"{members.sum():,}" for _, members in bins], is_number=True),
        ]
    )


def class_table(labels: Sequence[str], true: Sequence[str], predicted: Sequence[str]) -> Table:
    """Precision, recall, F1 and support of each class."""
    from sklearn.metrics import precision_recall_fscore_support

    *scores, support = precision_recall_fscore_support(true, predicted, labels=labels, zero_division=0)
    names = ("precision", "recall", "F1")
    return Table(
        [
            Column("class", labels),
            *(
                Column(name, [f"{value:.3f}" for value in values], is_number=True)
                for name, values in zip(names, scores, strict=True)
            ),
            Column("rows", [f"{count:,}" for count in support], is_number=True),
        ]
    )


def confusion_table(labels: Sequence[str], true: Sequence[str], predicted: Sequence[str]) -> Table:
    """Rows of each class by predicted label; the right ones are bold."""
    from sklearn.metrics import confusion_matrix

    counts = confusion_matrix(true, predicted, labels=labels)
    columns = [
        Column(label, [Styled(f"{counts[i, j]:,}", "bold" if i == j else "") for i in range(len(labels))], True)
        for j, label in enumerate(labels)
    ]
    return Table([Column("true \\ predicted", labels), *columns])
