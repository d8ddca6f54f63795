"""softcloze compare: hard and soft prompts on the same rows."""

from typing import TYPE_CHECKING, Annotated

import typer

from softcloze.cli.options import (
    Choice,
    DemonstrationsOption,
    LabelOption,
    LearningRateOption,
    ModelOption,
    VerbalizerOption,
    read_verbalizer,
)

if TYPE_CHECKING:
    from rich.table import Table as RichTable

    from softcloze.experiments import Comparison, MethodResult
    from softcloze.starters import Split

STARTER = "starter:"
LONGEST = 50  # characters of what is going on, beside the bar


def compare(
    data: Annotated[
        str, typer.Option(metavar="starter:NAME|FILE", help="Labelled rows: a starter data set, or a file.")
    ] = "starter:movie-reviews",
    model: ModelOption = "starter:smollm2-135m",
    hard: Annotated[str, typer.Option(help="A template without soft slots, or its name in the library.")] = (
        "sentiment/en"
    ),
    soft: Annotated[
        list[str] | None,
        typer.Option(
            help="A template with soft slots, or its name; may be repeated. By default sentiment/en-after.",
            show_default=False,
        ),
    ] = None,
    verbalizer: VerbalizerOption = "sentiment/en",
    shots: Annotated[int, typer.Option(help="Training rows of each class.")] = 16,
    seeds: Annotated[int, typer.Option(help="Runs of each soft prompt, each with training rows of its own.")] = 3,
    test_rows: Annotated[int, typer.Option(help="Held-out rows to measure on, at most.")] = 1000,
    demonstrations: DemonstrationsOption = Choice.random,
    epochs: Annotated[int, typer.Option(help="Passes over the training rows, at most.")] = 3,
    learning_rate: LearningRateOption = 0.04,
    text_column: Annotated[str, typer.Option(help="Column of the texts, in a file.")] = "text",
    label_column: LabelOption = "label",
) -> None:
    """Measure a hard prompt and soft prompts on the same rows: accuracy, what was trained, time and memory.

    Every soft prompt trains on the same few rows, several times over with other rows. A starter data set comes
    with held-out rows. A file is parted by a hash of each text: repeated texts count once, three in ten are
    held out, and of those as many are kept of each class.
    """
    from softcloze.library import resolve_template

    # what may be wrong with the input comes first: a model takes long to fetch
    words = read_verbalizer(verbalizer)
    if words is None:
        words = "sentiment/en"
    softs = soft if soft is not None else ["sentiment/en-after"]
    for template in (hard, *softs):
        resolve_template(template)
    split = _split(data, text_column, label_column)

    from softcloze import experiments
    from softcloze.cli.console import plain, results
    from softcloze.cli.work import open_backbone, progress_bar

    backbone = open_backbone(model)
    with progress_bar() as progress:
        task = progress.add_task("starting", total=None)

        def on_progress(event: experiments.Progress) -> None:
            progress.update(
                task, completed=event.done, total=event.total, description=plain(event.doing[:LONGEST]).plain
            )

        comparison = experiments.compare(
            split,
            model=backbone,
            hard=hard,
            soft=softs,
            verbalizer=words,
            shots=shots,
            seeds=seeds,
            test_rows=test_rows,
            demonstrations=demonstrations.value,
            epochs=epochs,
            learning_rate=learning_rate,
            on_progress=on_progress,
        )
    results().print(comparison_table(comparison))


def comparison_table(comparison: "Comparison") -> "RichTable":
    """A comparison as a table for the terminal."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    from softcloze.cli.console import plain

    draws = len(comparison.seeds)
    caption = Text.assemble(
        plain(comparison.model),
        f", {comparison.parameters:,} parameters; {comparison.test_rows:,} held-out rows; soft prompts: mean ± "
        f"standard deviation of {draws} {'draw' if draws == 1 else 'draws'} of {comparison.shots} per class from "
        f"{comparison.train_rows:,} rows; time is per run, memory the whole process at its peak",
    )
    shown = RichTable(box=box.SIMPLE_HEAD, caption=caption, caption_justify="left")
    shown.add_column("method", overflow="fold")
    for name in ("accuracy", "trained", "training", "scoring", "memory"):
        shown.add_column(name, justify="right", no_wrap=True)
    best = max(comparison.rows, key=lambda result: result.accuracy)
    for result in comparison.rows:
        runs = len(result.accuracies)
        shown.add_row(
            Text.assemble(plain(result.method), "\n", plain(result.template, "dim")),
            Text(_accuracy(result), "bold green" if result is best else ""),
            f"{result.trainable:,}\n{result.share:.3%}" if result.trainable else "nothing",
            f"{result.fit_seconds / runs:,.1f} s" if result.trainable else "",
            f"{result.predict_seconds / runs:,.1f} s",
            f"{result.peak_memory / 1e6:,.0f} MB",
        )
    return shown


def _accuracy(result: "MethodResult") -> str:
    if result.accuracy_sd is None:
        return f"{result.accuracy:.3f}"
    return f"{result.accuracy:.3f} ± {result.accuracy_sd:.3f}"


def _split(data: str, text_column: str, label_column: str) -> "Split":
    """Training and held-out rows of a starter data set, or of a file."""
    from pathlib import Path

    from softcloze.cli.console import errors, plain, say
    from softcloze.cli.errors import FileError
    from softcloze.cli.rows import open_table
    from softcloze.starters import load_data, split_rows

    if data.startswith(STARTER):
        return load_data(data.removeprefix(STARTER), on_progress=lambda line: say(errors(), plain(line, "dim")))
    table = open_table(Path(data))
    table.check_column(text_column, hint=" (--text-column names another)")
    labels = table.labels(label_column)
    for number, row in enumerate(table.rows()):
        if not isinstance(row.get(text_column), str):
            raise FileError(f"{table.path}: row {number} has no text in {text_column!r}")
    return split_rows(zip((row[text_column] for row in table.rows()), labels, strict=True))
