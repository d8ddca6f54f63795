"""Results of `softcloze label`: labelled rows, a saved prompt, predictions for the other rows, and a page."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from softcloze.cli.console import plain, results, say
from softcloze.cli.delimited import Row
from softcloze.cli.label_rows import WRITTEN, LabelRows
from softcloze.cli.output_files import writer_for
from softcloze.errors import DataError, SoftclozeError
from softcloze.files import replacing_file, resolve
from softcloze.formatting import counted

if TYPE_CHECKING:
    from softcloze.labelling import LabelledText, Labeller, Predictions
    from softcloze.verbalizer import Label

LABELLED, PREDICTED, PROMPT, PAGE = "labelled.csv", "predicted.csv", "prompt", "labelling.html"


@dataclass(frozen=True)
class Results:
    """Results of a labelling in a folder; a call writes them and returns plain data about them.

    Attributes:
        labeller: the labelling.
        rows: the rows of the file.
        folder: folder of the results.
        budget: of a choice of template, label words and head by cross-validation, as in "2min"; None for a linear layer
            on the states.
    """

    labeller: "Labeller"
    rows: LabelRows
    folder: Path
    budget: str | None = None

    def __call__(self) -> dict[str, Any]:
        """Write all files, each whole or not at all; those of an earlier call are replaced.

        Returns:
            "rows": number of all rows; "labelled" and "predicted": numbers of those; "counts": label to labelled rows;
            "estimate": `Estimate.facts`, or None; "files": paths of "labelled", "prompt", "predicted" and "page", as
            far as they are written; "problem": why there is no classifier, or None; "earlier": None, or the classifier
            and the predictions of an earlier call, which stay if there is none now, in a sentence; "next": commands to
            run.

        Raises:
            FileError: a file cannot be written.
            SoftclozeError: the model cannot score the texts.
        """
        folder = resolve(self.folder)
        files = {"labelled": folder / LABELLED}
        self._write_labelled(files["labelled"])
        several = self.labeller.multi_label
        predictions, problem, earlier = None, None, None
        try:
            classifier: Any = self.labeller.classifier(automatic=self.budget is not None, budget=self.budget)
        except DataError as error:
            problem, earlier = str(error), self._earlier(folder)
        else:
            classifier.save(folder / PROMPT)
            predictions = self.labeller.predict_rest(classifier if self.budget is not None or several else None)
            files |= {"prompt": folder / PROMPT, "predicted": folder / PREDICTED}
            self._write_predicted(files["predicted"], predictions)
        from softcloze.report.labelling_page import write_labelling_report

        files["page"] = folder / PAGE
        write_labelling_report(
            self.labeller,
            files["page"],
            source=str(self.rows.table.source),
            predictions=predictions,
            problem=problem,
            earlier=earlier,
        )
        estimate = None if several else self.labeller.estimate()
        return {
            "rows": len(self.rows.rows),
            "labelled": len(self.labeller.labelled()),
            "predicted": len(predictions) if predictions is not None else 0,
            "counts": {str(label): count for label, count in self.labeller.counts().items()},
            "estimate": estimate.facts() if estimate is not None else None,
            "files": {name: str(path) for name, path in files.items()},
            "problem": problem,
            "earlier": earlier,
            "next": self._next_commands(files),
        }

    def _earlier(self, folder: Path) -> str | None:
        """Say from how many labels the classifier and the predictions in the folder are; None if there are none."""
        from softcloze.prompt import Prompt

        names = [name for name in (PROMPT, PREDICTED) if (folder / name).exists()]
        if not names:
            return None
        try:
            texts = counted(int(Prompt.load(folder / PROMPT).training["examples"]), "label")
        except (SoftclozeError, KeyError, TypeError, ValueError):
            texts = "an unknown number of labels"
        return (
            f"the folder still has {' and '.join(names)} of an earlier call, made from {texts}; there are "
            f"{len(self.labeller.labelled()):,} now, and these files stay as they are until there is a classifier again"
        )

    def _write_labelled(self, path: Path) -> None:
        """Write the labelled rows with all their columns, in the order of the file."""
        column = self.rows.label_column
        names = [name for name in (column, *WRITTEN) if name not in self.rows.table.columns]
        answers = sorted(self.labeller.labelled(), key=lambda answer: answer.index)
        lines = (
            {
                **self.rows.rows[self.rows.places[answer.index]],
                column: _cell(answer.labels, several=self.labeller.multi_label),
                **dict(zip(WRITTEN, _facts(answer), strict=True)),
            }
            for answer in answers
        )
        self._write(path, names, lines)

    def _write_predicted(self, path: Path, predictions: "Predictions") -> None:
        """Write the rows without a label with their predictions, in the order of the file, as `softcloze predict`."""
        names = ("predicted", *(f"probability_{label}" for label in predictions.classes), "error")
        by_row: dict[int, Sequence[object]] = {
            self.rows.places[int(index)]: (_cell(label, several=self.labeller.multi_label), *chances.tolist(), None)
            for index, label, chances in zip(
                predictions.indices, predictions.labels, predictions.probabilities, strict=True
            )
        }
        missing = [None] * len(predictions.classes)
        by_row |= {row: (None, *missing, problem) for row, problem in self.rows.problems.items()}

        def lines() -> Iterator[Row]:
            for row in sorted(by_row):
                yield {**self.rows.rows[row], **dict(zip(names, by_row[row], strict=True))}

        self._write(path, names, lines())

    def _write(self, path: Path, names: Sequence[str], lines: Iterable[Row]) -> None:
        write = writer_for(path, self.rows.table, names)
        with replacing_file(path) as draft:
            write(draft, lines)

    def _next_commands(self, files: dict[str, Path]) -> list[str]:
        """Commands that take the saved prompt; those for one label a row."""
        if "prompt" not in files or self.labeller.multi_label:
            return []
        prompt, column = quote(_short(files["prompt"])), ""
        if self.rows.text_column is not None:
            column = f" --text-column {quote(self.rows.text_column)}"
        return [
            f"softcloze predict more.csv --prompt {prompt}{column} --out more-labelled.csv",
            f"softcloze evaluate others.csv --prompt {prompt}{column}",
            f"softcloze registry add prompts {_name(files['prompt'])} --prompt {prompt}",
            "softcloze serve prompts",
        ]


def say_results(found: dict[str, Any]) -> None:
    """Print what was written and what to do next."""
    console, files = results(), found["files"]
    say(console, f"{counted(found['labelled'], 'labelled row')}: ", plain(_short(files["labelled"]), "bold"))
    if "prompt" in files:
        say(console, "the classifier: ", plain(_short(files["prompt"]), "bold"))
        say(console, f"{counted(found['predicted'], 'predicted row')}: ", plain(_short(files["predicted"]), "bold"))
    say(console, "the page: ", plain(_short(files["page"]), "bold"))
    if found["problem"] is not None:
        say(console, "no classifier yet: ", plain(found["problem"]))
    if found["earlier"] is not None:
        say(console, plain(found["earlier"]))
    if found["next"]:
        say(console, "next, with rows of your own:")
    for command in found["next"]:
        say(console, "  ", plain(command))


def _facts(answer: "LabelledText") -> tuple[str, ...]:
    """The cells of `WRITTEN`."""
    other = ", ".join(map(str, answer.other.labels)) if answer.other is not None else ""
    return answer.name, answer.when, answer.how, answer.note, other


def _cell(label: "Label | tuple[Label, ...]", *, several: bool) -> object:
    """A label for a cell; several as a list, which becomes JSON."""
    if several:
        return [str(one) for one in label] if isinstance(label, tuple) else [str(label)]
    return str(label[0] if isinstance(label, tuple) else label)


def _short(path: str | Path) -> str:
    """A path from the working folder, where it is inside."""
    path, here = Path(path), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _name(prompt: Path) -> str:
    """A name for the registry after the folder of the labelling."""
    letters = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in prompt.parent.stem.lower())
    return letters.strip("-_") or "labels"
