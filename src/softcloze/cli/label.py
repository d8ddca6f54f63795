"""softcloze label: from a file without labels to labelled rows, a classifier and predictions."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.text import Text

from softcloze.cli.console import errors, plain, quiet, results, say
from softcloze.cli.file_format import PLAIN, FileFormat
from softcloze.cli.file_options import takes_format
from softcloze.cli.input_files import open_table
from softcloze.cli.label_results import Results, say_results
from softcloze.cli.label_rows import folder_beside, read_rows
from softcloze.cli.options import (
    FileArgument,
    ModelOption,
    TokenFileOption,
    parse,
    read_escapes,
    read_token,
    validate_budget,
)
from softcloze.cli.progress import fetch, show_progress
from softcloze.cli.sources import STANDARD
from softcloze.errors import CommandError
from softcloze.files import validate_writable
from softcloze.formatting import counted
from softcloze.library import resolve_mask_template

if TYPE_CHECKING:
    from softcloze.labelling import Labeller
    from softcloze.verbalizer import Label, Words

JOURNAL = "journal.jsonl"
BUDGET = "2min"  # of --automatic
StrategyName = Literal["default", "uncertain", "random"]


@takes_format
def label(
    file: FileArgument,
    labels: Annotated[
        str | None,
        typer.Option(
            help='Labels with commas between, as in "billing,refund,other", or JSON: a list, or from labels to label '
            "words. Not needed to continue, or if --label-column has labels."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder of answers and results; by default FILE.labelling beside FILE."),
    ] = None,
    model: ModelOption = "starter:smollm2-135m",
    template: Annotated[
        str | None,
        typer.Option(
            callback=read_escapes,
            help="A template with one mask, or its name in the library; by default one that fits labels and language.",
        ),
    ] = None,
    text_column: Annotated[
        list[str] | None,
        typer.Option(help="Column of the texts, repeated for several; by default text, or the only one."),
    ] = None,
    label_column: Annotated[
        str,
        typer.Option(help="Column for the labels. Rows that have one in the file already are labelled with it."),
    ] = "label",
    rename: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OLD=NEW",
            help="Give a label another name, repeated for several; two labels of one name become one. "
            "The key u takes it back.",
        ),
    ] = None,
    name: Annotated[
        str, typer.Option(help="Your name; people with different names are shown different rows at the same time.")
    ] = "",
    terminal: Annotated[bool, typer.Option("--terminal", help="Label in the terminal instead of a page.")] = False,
    finish: Annotated[
        bool, typer.Option("--finish", help="Only write the results of the labels so far, and label nothing.")
    ] = False,
    multi_label: Annotated[bool, typer.Option("--multi-label", help="A row may have several labels, or none.")] = False,
    held_out: Annotated[
        int,
        typer.Option(
            min=0, help="Rows that are drawn at random for the estimate alone; the classifier never learns from them."
        ),
    ] = 0,
    strategy: Annotated[
        StrategyName,
        typer.Option(help="Choice of the next row; random is the default, since no other is better on all tasks."),
    ] = "default",
    automatic: Annotated[
        bool,
        typer.Option(
            "--automatic", help="At the end, choose template, label words and head by cross-validation (see --budget)."
        ),
    ] = False,
    budget: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="With --automatic: longest search, as in 90s or 10min; by default 2min."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address of the page.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page; 0 for any free one.")] = 8001,
    browser: Annotated[bool, typer.Option("--browser", help="Open the page in a browser.")] = False,
    token_file: TokenFileOption = None,
    max_length: Annotated[
        int | None, typer.Option(help="Longest prompt in tokens; by default the model's limit.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the order of rows, of folds and of the estimate.")] = 0,
    format: FileFormat = PLAIN,
) -> None:
    """Label the rows of a file on a page or, with --terminal, by keys; then fit a classifier and predict the rest.

    Each answer is on disk before the next row is shown. Run the same command again to continue; --labels may then be
    left out. At any time, --finish or its key or button writes into the folder: labelled.csv, the saved prompt,
    predicted.csv with the other rows, and labelling.html with the estimate and doubtful labels.

    softcloze label tickets.csv --labels billing,delivery,refund,other --terminal
    """
    if finish and terminal:
        raise CommandError("--finish labels nothing; leave out --terminal")
    if terminal and file == STANDARD:
        raise CommandError("--terminal takes keys from standard input, and FILE - the rows: save the rows in a file")
    if budget is not None and not automatic:
        raise CommandError("--budget is for --automatic; give both")
    validate_budget(budget)
    parsed = resolve_mask_template(template) if template is not None else None
    token = read_token(token_file)
    words: Any = read_labels(labels)
    if not (terminal or finish):
        _validate_service()
    table = open_table(file, format)
    folder = folder_beside(table, out)
    validate_writable(folder / JOURNAL)
    rows = read_rows(table, text_column or [], parsed, label_column)
    known = [str(one) for one in words or ()]
    given = rows.labels(known, several=multi_label)
    if words is None and (found := _different(given)) and not (folder / JOURNAL).exists():
        words = found
    if words is None and not (folder / JOURNAL).exists():
        raise CommandError(
            "--labels is missing, and the rows have none; give two or more, as in --labels billing,refund,other"
        )

    quiet()
    fetch(model)
    from softcloze.labelling import Labeller

    labeller = Labeller(
        model,
        rows.texts,
        words,
        folder=folder,
        template=parsed,
        multi_label=multi_label,
        strategy=strategy,
        held_out=held_out,
        background=strategy != "uncertain",  # whose next row depends on the head: the same answers, the same rows
        max_length=max_length,
        random_state=seed,
    )
    _take_given(labeller, given, label_column)
    for change in rename or ():
        _rename(labeller, change, name)
    write = Results(labeller, rows, folder, (budget or BUDGET) if automatic else None)
    with labeller:
        if finish:
            _read(labeller, model)
            _say_results(write())
        elif terminal:
            _read(labeller, model)
            with _said_before_and_after(labeller, folder):
                _label_in_terminal(labeller, write, name)
        else:
            with _said_before_and_after(labeller, folder):
                _serve(labeller, write, name, host=host, port=port, token=token, browser=browser)


def read_labels(given: str | None) -> "list[str] | dict[Label, Words] | None":
    """Read --labels.

    Raises:
        CommandError: it is JSON that does not parse, or fewer than two labels.

    >>> read_labels("billing, refund,other"), read_labels('["a, b", "c"]')
    (['billing', 'refund', 'other'], ['a, b', 'c'])
    >>> read_labels('{"up": ["good", "great"], "down": "bad"}')
    {'up': ['good', 'great'], 'down': 'bad'}
    """
    if given is None:
        return None
    labels: Any = [part.strip() for part in given.split(",") if part.strip()]
    if given.lstrip().startswith(("[", "{")):
        labels = parse(given, ".json", "--labels", CommandError)
    if len({*map(json.dumps, labels)}) < 2 or not all(isinstance(one, str) and one.strip() for one in labels):
        raise CommandError(f"--labels is {given!r:.80}; expected two or more labels, as in billing,refund,other")
    return labels  # type: ignore[no-any-return]


def _different(given: "dict[int, str | list[str]]") -> list[str]:
    """The labels that rows have, in the order of the alphabet."""
    return sorted({one for found in given.values() for one in ([found] if isinstance(found, str) else found)})


def _validate_service() -> None:
    """Raise CommandError if the page has not what it needs."""
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        raise CommandError(
            f"the page of softcloze label needs {error.name}; install it with pip install 'softcloze[serve]', or label "
            "in the terminal with --terminal"
        ) from error


def _take_given(labeller: "Labeller", given: "dict[int, str | list[str]]", column: str) -> None:
    """Take the labels that rows have, by the names that these have now."""
    names = labeller.renamed

    def now(found: str | list[str]) -> Any:  # noqa: ANN401 - as it came
        return str(names.get(found, found)) if isinstance(found, str) else [str(names.get(one, one)) for one in found]

    given = {index: now(found) for index, found in given.items()}
    for one in _different(given):
        labeller.add_label(one)
    taken = labeller.take(given)
    if taken:
        say(errors(), f"{counted(taken, 'row')} labelled already, in ", plain(repr(column)))


def _rename(labeller: "Labeller", change: str, name: str) -> None:
    """Rename a label as OLD=NEW says; nothing happens if that was done before."""
    parts = change.split("=")
    pairs = [("=".join(parts[:i]).strip(), "=".join(parts[i:]).strip()) for i in range(1, len(parts))]
    if not pairs or not all(pairs[0]):
        raise CommandError(f"--rename is {change!r:.80}; expected OLD=NEW, as in delivery=shipping")
    known, renamed = labeller.labels, labeller.renamed
    old, new = next((pair for pair in pairs if pair[0] in known or pair[0] in renamed), pairs[0])
    if old not in known and renamed.get(old) == new:
        return
    labeller.rename(old, new, name=name)
    number = labeller.counts()[new]
    say(errors(), plain(repr(old)), " is now ", plain(repr(new)), f": {counted(number, 'row')} labelled so")


def _read(labeller: "Labeller", model: str) -> None:
    """Compute the states of all rows, or take them from the folder, while a bar shows the progress."""
    bar: list[Callable[[int, int], None]] = []

    def on_progress(done: int, total: int) -> None:
        if not bar:  # the model is loaded
            status.stop()
            bar.append(stack.enter_context(show_progress("reading rows", total, done)))
        bar[0](done, total)

    try:
        with ExitStack() as stack:
            status = stack.enter_context(errors().status(Text.assemble("loading ", plain(model))))
            labeller.read(on_progress)
    except KeyboardInterrupt:
        say(errors(), "interrupted: the rows that were read are kept; run the same command again to continue")
        raise


@contextmanager
def _said_before_and_after(labeller: "Labeller", folder: Path) -> Iterator[None]:
    """Say how many rows are labelled, where the answers are, and at the end how to continue."""
    labelled = len(labeller.labelled())
    of_all = f"{counted(labelled, 'row')} labelled of {len(labeller.texts):,}; answers are kept in "
    say(errors(), of_all, plain(folder, "bold"))
    try:
        yield
    finally:
        labelled = len(labeller.labelled())
        how = "run the same command again to continue, or with --finish for the results"
        say(errors(), f"{counted(labelled, 'row')} labelled; {how}")


def _label_in_terminal(labeller: "Labeller", write: Results, name: str) -> None:
    from softcloze.cli.keys import open_keys
    from softcloze.cli.label_terminal import TerminalSession

    with open_keys() as keys:
        TerminalSession(labeller, keys, results(), name=name, finish=write).run()


def _serve(
    labeller: "Labeller", write: Results, name: str, *, host: str, port: int, token: str | None, browser: bool
) -> None:
    """Serve the page, which shows the progress of the reading, until somebody ends the labelling on it."""
    from softcloze.service.labelling import serve_labelling

    found = serve_labelling(
        labeller,
        host=host,
        port=port,
        name=name,
        finish=write,
        open_browser=browser,
        token=token,
        on_start=lambda address: say(errors(), "the page is at ", plain(address, "bold")),
    )
    if found is not None:
        _say_results(dict(found))


def _say_results(found: dict[str, Any]) -> None:
    """Print the results; exit with 2 if there is no classifier."""
    say_results(found)
    if found["problem"] is not None:
        raise typer.Exit(2)
