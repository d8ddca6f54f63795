"""softcloze fit --answer-column: train a prompt that writes, and save it."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from softcloze.cli.answers import read_answers
from softcloze.cli.console import plain, results, say
from softcloze.cli.fit_files import explain_interruption, progress_folder, reported_training, save, warn_of_findings
from softcloze.cli.input_files import Table
from softcloze.cli.progress import open_backbone
from softcloze.errors import CommandError
from softcloze.files import validate_writable
from softcloze.formatting import counted
from softcloze.launcher import process_rank
from softcloze.prompt.generator_card import GENERATOR
from softcloze.template import Template


class Columns(NamedTuple):
    """Columns of pairs: that of the answers, and those given for the fields."""

    answers: str
    texts: Sequence[str]


def fit_generator(
    table: Table,
    out: Path,
    model: str,
    template: Template,
    columns: Columns,
    part_size: int | None = None,
    quantize: str | None = None,
    **parameters: Any,  # noqa: ANN401
) -> None:
    """Train a prompt that writes on the rows of a table, and save it in a folder.

    Args:
        table: the rows.
        out: the folder.
        model: name of the model.
        template: a template with an <answer>.
        columns: of the rows.
        part_size: as for `reported_training`.
        quantize: form of the weights of the model, as for `load_backbone`.
        parameters: of `PromptGenerator`.
    """
    template.validate_writes()
    if len(columns.texts) > 1:
        raise CommandError("--text-column is given more than once, and a template names its columns by its fields")
    examples = table.examples([template], columns.texts[0] if columns.texts else None)
    answers = read_answers(table, columns.answers)
    warn_of_findings(template, table.columns)
    folder = GENERATOR.validate_target(out)
    progress = progress_folder(folder)
    validate_writable(progress, folder=True)

    from softcloze.classifiers import PromptGenerator
    from softcloze.generation import validate_options

    validate_options(parameters["options"] or {}, prefix="--option ")
    generator = PromptGenerator(open_backbone(model, quantize=quantize), template, **parameters)
    with explain_interruption(folder / GENERATOR.card, progress):
        work = f"training on {len(examples):,} rows"
        with reported_training(work, generator.epochs, progress, part_size) as reported:
            generator.set_params(**reported).fit(examples, answers)
        if process_rank() > 0:  # the first process saves the prompt
            return
        save(generator, folder)
        with suppress(OSError):  # the progress of another fit stays
            progress.rmdir()
    rows = counted(len(examples), "row")
    if generator.history_:
        done = f"training loss {generator.history_[-1]['loss']:.3f} nats per token of the answers on {rows}"
    else:
        done = f"demonstrations from {rows}" if template.demos is not None else "nothing to train"
    say(results(), f"{done}; saved in ", plain(folder, "bold"))
