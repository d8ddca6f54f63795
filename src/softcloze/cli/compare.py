"""softcloze compare: measure prompts and baselines on the same examples."""

import shlex
import sys
import time
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from softcloze.cli.answers import AnswerOption, WritingOption, read_options
from softcloze.cli.console import errors, plain, results, say
from softcloze.cli.evaluate_generator import MetricOption
from softcloze.cli.file_format import PLAIN, FileFormat
from softcloze.cli.file_options import FORMAT_OPTIONS, takes_format
from softcloze.cli.input_files import open_table
from softcloze.cli.options import (
    ESCAPES,
    Baseline,
    Calibration,
    DemonstrationsOption,
    EpochsOption,
    LabelOption,
    LearningRateOption,
    ModelOption,
    ReportOption,
    VerbalizerOption,
    given_options,
    read_escapes,
)
from softcloze.cli.output_files import validate_page
from softcloze.cli.progress import fetch, fetch_starter, open_backbone
from softcloze.errors import CommandError, FileError
from softcloze.files import validate_writable
from softcloze.formatting import one_line, shots_name
from softcloze.library import resolve_mask_template

if TYPE_CHECKING:
    from softcloze import experiments
    from softcloze.data import Split
    from softcloze.experiments import Progress, RunId


FEW_HELD_OUT = 100
TEXT = "text"
DEMO = ("sentiment/en", "sentiment/en-after")


OF_ANSWERS = (
    *("data", "model", "hard", "soft", "methods", "shots", "seeds", "test_rows", "demonstrations", "epochs"),
    *("learning_rate", "folder", "report", "text_column", "answer_column", "metric", "option", *FORMAT_OPTIONS),
)


@takes_format
def compare(
    context: typer.Context,
    data: Annotated[
        str, typer.Option(metavar="starter:NAME|FILE", help="Labelled examples: a starter data set, or a file.")
    ] = "starter:movie-reviews",
    model: ModelOption = "starter:smollm2-135m",
    hard: Annotated[
        list[str] | None,
        typer.Option(
            callback=read_escapes,
            help=f"A template without soft slots, or its name in the library; {ESCAPES} May be repeated.",
        ),
    ] = None,
    variants: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TASK/LANGUAGE",
            help="Every hard prompt of the library with one field, as in sentiment/en; may be repeated.",
        ),
    ] = None,
    soft: Annotated[
        list[str] | None,
        typer.Option(callback=read_escapes, help="A template with soft slots, or its name; may be repeated."),
    ] = None,
    calibration: Annotated[
        list[Calibration] | None, typer.Option(help="Add every hard prompt with this calibration; may be repeated.")
    ] = None,
    baseline: Annotated[
        list[Baseline] | None,
        typer.Option(help="Method to compare prompts with; may be repeated. lora needs peft, and setfit its package."),
    ] = None,
    methods: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.toml",
            help="More methods, each a table with the parameters of a classifier, such as template and epochs.",
        ),
    ] = None,
    verbalizer: VerbalizerOption = None,
    shots: Annotated[
        list[str] | None,
        typer.Option(
            metavar="K|SHARE|all",
            help="Training examples of each class (16), or a share of all; several with commas, or repeated.",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Draws of the training examples at each number of shots.")] = 3,
    test_rows: Annotated[int, typer.Option(help="Maximum number of held-out examples.")] = 500,
    balanced: Annotated[
        bool,
        typer.Option("--balanced/--own-shares", help="Shots equal for all classes, or in proportion to the data."),
    ] = True,
    demonstrations: DemonstrationsOption = "random",
    epochs: EpochsOption = None,
    learning_rate: LearningRateOption = None,
    folder: Annotated[
        Path | None, typer.Option(help="Folder for finished runs; run the same command again to resume.")
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, help="Runs at a time; each process loads the model and gets a share of the cores.")
    ] = 1,
    report: ReportOption = None,
    text_column: Annotated[str, typer.Option(help="Column of the texts in a file.")] = TEXT,
    label_column: LabelOption = "label",
    answer_column: AnswerOption = None,
    metric: MetricOption = None,
    option: WritingOption = None,
    format: FileFormat = PLAIN,
) -> None:
    """Compare prompts and baselines on the same examples: accuracy, cost, and the significance of differences.

    Without --hard, --variants, --soft, --baseline and --methods it compares a hard and a soft prompt for movie
    reviews. Methods that need training are trained on the same few examples, with several draws. A starter data set
    has its own held-out examples. A file is split by a hash of each text: duplicates are removed, three in ten texts
    are held out, and the held-out classes are balanced.

    With --answer-column, prompts that write are compared on a file, given with --hard, --soft and --methods: metrics of
    their texts with the significance of differences, and texts side by side. --shots are then numbers of pairs.
    """
    given = {"epochs": epochs, "learning_rate": learning_rate}
    rates: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    for name, flag in given_options(context).items():
        if answer_column is not None and name not in OF_ANSWERS:
            raise CommandError(f"--answer-column compares prompts that write, and {flag} is for labels; leave one out")
        if answer_column is None and name in ("metric", "option"):
            raise CommandError(f"{flag} is for prompts that write; add --answer-column, or leave it out")
    listed = [size.strip() for given in shots or () for size in given.split(",")]
    if answer_column is not None:
        from softcloze.cli.compare_generators import Columns, Draws, compare_generators

        compare_generators(
            open_table(Path(data), format),
            Columns(None if text_column == TEXT else text_column, answer_column),
            model,
            [*(hard or []), *(soft or [])],
            methods,
            Draws(listed or ["32"], seeds, test_rows, folder),
            metric,
            report,
            options=read_options(option) or None,
            demonstrations=demonstrations,
            **rates,
        )
        return
    from softcloze.cli.compare_methods import MethodBuilder

    # validate the input first: downloading a model takes long
    if report is not None:
        validate_page(report, Path(data))
    if folder is not None:
        validate_writable(folder / "protocol.json")
    split = _split(data, format, text_column, label_column)
    builder = MethodBuilder(model, verbalizer, split.train)
    hards, softs, calibrations = hard or [], soft or [], [method.value for method in calibration or ()]
    if not (hards or variants or softs or baseline or methods):
        hards, softs = [DEMO[0]], [DEMO[1]]
    for template in hards:
        if resolve_mask_template(template).blocks:
            raise CommandError(f"{template!r} is given with --hard, but has soft slots: give it with --soft")
    settings: dict[str, Any] = {"demonstrations": demonstrations, **rates}
    chosen = [
        *(builder.prompt(template, **settings) for template in (*hards, *softs)),
        *(
            builder.prompt(template, f"{template}, {method}", calibration=method, **settings)
            for template in hards
            for method in calibrations
        ),
        *(
            variant
            for named in variants or ()
            for method in (None, *calibrations)
            for variant in builder.variants(named, method)
        ),
        *(builder.read(methods) if methods is not None else ()),
        *(builder.baseline(kind.value) for kind in baseline or ()),
    ]
    sizes = [_shots(size) for size in listed or ["16"]]
    if report is not None:
        from softcloze.report import require_matplotlib

        require_matplotlib()

    from softcloze import experiments
    from softcloze.experiments.table import DifferencesTable
    from softcloze.starters import STARTER

    protocol = experiments.Protocol(sizes, seeds, test_rows, balanced)
    for method in chosen:
        method.validate_parameters()
    parameters = [method.classifier.get_params() for method in chosen]
    for encoder in {str(given["encoder"]) for given in parameters if "encoder" in given}:
        fetch_starter(encoder)
    if any("model" in given for given in parameters):
        fetch(model)
        if processes == 1:  # otherwise each process loads it
            open_backbone(model)
    screen = LiveTable(min(len(split.test), test_rows))
    with Live(screen, console=errors(), transient=True) if errors().is_terminal else nullcontext():
        comparison = experiments.compare(
            chosen,
            split,
            protocol,
            folder=folder,
            processes=processes,
            on_progress=screen.update,
            task=data.removeprefix(STARTER),
            command=shlex.join(["softcloze", *sys.argv[1:]]),
        )
    results().print(comparison.table())
    working = comparison.summary()
    if not working:
        raise CommandError(f"every run failed; the first one with: {comparison.runs[0].error}")
    differences = comparison.differences(baseline=working[0].method)
    if differences:
        results().print(DifferencesTable(differences, "accuracy", len(protocol.seeds)))
    if report is not None:
        say(errors(), "the page is ", plain(comparison.report(report), "bold"))


def _shots(given: str) -> "experiments.Shots":
    """Parse a number of shots from the command line.

    >>> _shots("16"), _shots("0.1"), _shots("all")
    (16, 0.1, 'all')
    """
    if given == "all":
        return "all"
    try:
        return int(given) if given.lstrip("-").isdecimal() else float(given)
    except ValueError as error:
        raise CommandError(f"--shots {given!r}: expected a number of examples, a share such as 0.1, or all") from error


def _split(data: str, format: FileFormat, text_column: str, label_column: str) -> "Split":
    """Training and held-out examples of a starter data set or a file."""
    from softcloze.data import split_rows
    from softcloze.starters import STARTER, load_data

    if data.startswith(STARTER):
        if format != PLAIN:
            raise CommandError(f"{data} is a starter data set, and options of reading are for files; leave them out")
        return load_data(data.removeprefix(STARTER), on_progress=lambda line: say(errors(), plain(line, "dim")))
    table = open_table(Path(data), format)
    text_column = table.find_column(text_column, hint=" (--text-column names another)")
    labels = table.labels(label_column, fewest=2)
    texts = [row.get(text_column) for row in table.rows()]
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise table.problem(index, f"column {text_column!r} holds {text!r:.60}, expected text")
    split = split_rows(zip(map(str, texts), labels, strict=True))
    if len(set(split.test.labels)) < 2:
        raise FileError(f"{table.source} is too small to hold out three in ten texts of every label; bring more rows")
    return split


class LiveTable:
    """The current table of a comparison, with a line on the runs in progress and the time left."""

    def __init__(self, held_out: int) -> None:
        self._held_out = held_out
        self._table: RenderableType = ""
        self._doing = "starting"
        self._ends: float | None = None  # by the clock of `time.monotonic`

    def update(self, event: "Progress") -> None:
        """Update the table and the line; where no terminal shows them, print the line of the next runs."""
        if not event.done and 0 < self._held_out < FEW_HELD_OUT:
            margin = 98 / self._held_out**0.5  # half of the 95% interval of a share of one half
            say(errors(), f"{self._held_out} held-out rows: accuracies on them are exact to about {margin:.0f} points")
            self._held_out = 0  # once
        self._table = event.comparison.table() if event.done else ""
        self._ends = None if event.seconds_left is None else time.monotonic() + event.seconds_left
        self._doing = f"run {event.done + 1} of {event.total}: {', '.join(map(_run_name, event.doing))}"
        if event.doing and not errors().is_terminal:
            say(errors(), plain(self._line))

    @property
    def _line(self) -> str:
        if self._ends is None:
            return self._doing
        return f"about {timedelta(seconds=max(0, round(self._ends - time.monotonic())))} left; {self._doing}"

    def __rich__(self) -> RenderableType:
        return Group(self._table, Text(self._line, no_wrap=True, overflow="ellipsis"))


def _run_name(run_id: "RunId") -> str:
    """The name of a run in the progress line.

    >>> from softcloze.experiments import RunId
    >>> _run_name(RunId("soft", 16, 2)), _run_name(RunId("hard", 0, 0))
    ('soft (16 shots, seed 2)', 'hard')
    """
    method, shots, seed = run_id
    return one_line(method) + (f" ({shots_name(shots)} shots, seed {seed})" if shots else "")
