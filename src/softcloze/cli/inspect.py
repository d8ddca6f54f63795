"""softcloze inspect: an example as the model receives it, token by token."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, cast

import typer
from rich.text import Text

from softcloze.cli.answers import ANSWERS, AnswerOption, read_answers
from softcloze.cli.console import quiet, results
from softcloze.cli.delimited import Row
from softcloze.cli.example import ExampleTextOption, FieldOption, read_example
from softcloze.cli.file_format import PLAIN, FileFormat
from softcloze.cli.file_options import takes_format
from softcloze.cli.input_files import Table, open_table
from softcloze.cli.inspect_render import inspection_lines, page
from softcloze.cli.options import (
    ESCAPES,
    ChatOptionsOption,
    DemonstrationsOption,
    LabelOption,
    Selection,
    TextOption,
    VerbalizerOption,
    read_chat_options,
    read_escapes,
    read_verbalizer,
)
from softcloze.cli.progress import open_backbone, open_tokenizer
from softcloze.errors import CommandError, EncodingError, VerbalizerError
from softcloze.files import validate_writable, write_text
from softcloze.library import resolve_template, resolve_verbalizer
from softcloze.template import ChatOptions, Options, Template
from softcloze.verbalizer import Verbalizer

if TYPE_CHECKING:
    from softcloze.backbone import Backbone
    from softcloze.cli.inspect_view import Inspection
    from softcloze.encoding import CompiledTemplate, Demonstration


@takes_format
def inspect(
    template: Annotated[
        str,
        typer.Argument(
            metavar="TEMPLATE", callback=read_escapes, help=f"A template, or its name in the library; {ESCAPES}"
        ),
    ],
    text: ExampleTextOption = None,
    field: FieldOption = None,
    model: Annotated[
        str | None,
        typer.Option(help="Whose tokens to show: starter:NAME, a name on a hub, a folder, or a .gguf file."),
    ] = None,
    verbalizer: VerbalizerOption = None,
    max_length: Annotated[
        int | None, typer.Option(min=1, help="Tokens a prompt may have; by default what the model takes.")
    ] = None,
    chat_options: ChatOptionsOption = None,
    examples: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Rows for <demos> with labels or answers."),
    ] = None,
    text_column: TextOption = None,
    label_column: LabelOption = "label",
    answer_column: AnswerOption = None,
    demonstrations: DemonstrationsOption = "random",
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the same as an HTML page that needs nothing else.")
    ] = None,
    format: FileFormat = PLAIN,
) -> None:
    """Show the parts of a template; with an example and a model, every token and its origin.

    Under each token is its kind: l literal, f field, s soft slot, m mask, a answer, e for what ends the answer, d
    demonstration, t for the frame of a chat turn, a dot for a special token, x for a token that was cut because the
    prompt is too long. Tokens that share a character are shown together.
    """
    if html is not None:
        validate_writable(html)
    parsed = resolve_template(template)
    if verbalizer is not None:
        parsed.validate_classifies()
    example = read_example(parsed, text, field)
    words, options = read_verbalizer(verbalizer, template), read_chat_options(chat_options)
    if model is None and demonstrations == "nearest":
        raise CommandError("--demonstrations nearest compares what a model makes of the rows: name it with --model")
    if example or (not parsed.fields and (model is not None or examples is not None)):
        labelled = None
        if examples is not None:
            table = open_table(examples, format)
            labelled = _read_labelled(parsed, table, text_column, label_column, answer_column, demonstrations)
        inspection = _inspect_example(parsed, example, words, labelled, model, max_length, options)
    else:
        from softcloze.cli.inspect_view import Inspection

        _validate_no_example_needed(model, examples)
        inspection = Inspection(parsed)

    console = results()
    for part in inspection_lines(inspection, width=console.width):
        console.print(part, soft_wrap=isinstance(part, Text))
    if html is not None:
        write_text(html, page(inspection))
    if inspection.problem is not None:
        raise inspection.problem


def _validate_no_example_needed(model: str | None, examples: Path | None) -> None:
    """Raise CommandError if an option needs an example."""
    for option, what in ((model, "--model shows the tokens"), (examples, "--examples shows the demonstrations")):
        if option is not None:
            raise CommandError(f"{what} of an example: give one with --text TEXT or --field NAME=VALUE")


class Labelled(NamedTuple):
    """Rows for <demos> with their labels or answers, and how they are selected."""

    rows: list[Row]
    labels: list[str]
    choice: Selection


def _read_labelled(
    template: Template,
    table: Table,
    text_column: str | None,
    label_column: str,
    answer_column: str | None,
    choice: Selection,
) -> Labelled:
    if template.demos is None:
        raise CommandError("--examples is for templates with <demos>, which this one does not have")
    rows = table.examples([template], text_column)
    if template.answer is not None:
        return Labelled(rows, read_answers(table, answer_column or ANSWERS), choice)
    return Labelled(rows, table.labels(label_column), choice)


def _inspect_example(
    template: Template,
    example: Row,
    given: Verbalizer | str | None,
    labelled: Labelled | None,
    model: str | None,
    max_length: int | None,
    chat_options: ChatOptions | None,
) -> "Inspection":
    """Fill the template with the example; with a model, also list the tokens.

    Weights are loaded for nearest demonstrations alone; everything else needs the tokenizer.
    """
    from softcloze.cli.inspect_view import Inspection, filled, token_view, word_view

    values = template.read_fields(example)
    bare = filled(template, values)  # mistakes in the example are reported before a model is fetched
    if model is None and labelled is None and not any(isinstance(node, Options) for node in template.nodes):
        return Inspection(template, bare)

    from softcloze.encoding import CompiledTemplate

    words = cast("Verbalizer | None", resolve_verbalizer(given))  # the command line takes no rules
    if words is None and labelled is not None and template.answer is None:
        words = Verbalizer({label: label for label in labelled.labels})  # as in fit
    options = words.first_words if words is not None else ()
    backbone = None
    if model is not None and labelled is not None and labelled.choice == "nearest":
        backbone = open_backbone(model)
    demonstrations = None
    if labelled is not None:
        demonstrations = _select(template, values, labelled, words, backbone)
    if model is None:
        return Inspection(template, filled(template, values, options, demonstrations))
    if backbone is not None:
        prompt_tokenizer, limit = backbone.prompt_tokenizer, backbone.max_length
    else:
        prompt_tokenizer, limit = open_tokenizer(model)
    limit = limit if max_length is None else min(max_length, limit)
    compiled = CompiledTemplate(template, prompt_tokenizer, limit, options=options, chat_options=chat_options)
    answer, token_words, problem = len(template.masks), [], None
    if template.answer is not None:
        answer = int(compiled.has_right) if prompt_tokenizer.decoder else template.answer.max or 1
    elif words is not None:
        try:
            _validate_words(words, compiled)
            token_words = word_view(words, compiled)
            answer = max(word.count for word in token_words)
        except (EncodingError, VerbalizerError) as error:
            problem = error  # reported last: the tokens are shown all the same
    tokens = token_view(compiled, example, answer, demonstrations or ())
    fitting = demonstrations[tokens.dropped :] if demonstrations is not None else None
    return Inspection(template, filled(template, values, options, fitting), tokens, token_words, model, problem)


def _validate_words(words: Verbalizer, compiled: "CompiledTemplate") -> None:
    """Raise if the label words do not fit the template and the tokenizer, as a prompt with them would."""
    from softcloze.lint.label_words import check_masks, list_words

    for finding in check_masks(list_words(words), compiled.template):
        raise VerbalizerError(f"{finding.message}; {finding.advice}")
    ids = [compiled.word_ids(word) for word in words.all_words]
    words.validate_tokens(ids, autoregressive=compiled.autoregressive)


def _select(
    template: Template, values: Row, labelled: Labelled, words: Verbalizer | None, backbone: "Backbone | None"
) -> "Sequence[Demonstration]":
    """The demonstrations of an example, selected as in fit with the seed 0."""
    import numpy as np

    from softcloze.data import label_indices
    from softcloze.demonstrations import Pool, select_demonstrations

    quiet()
    if words is None:
        pool = Pool.from_answers(template, labelled.rows, labelled.labels)
    else:
        indices = label_indices(labelled.labels, words.labels)
        pool = Pool.from_examples(template, labelled.rows, indices, words.first_words)
    count = template.demos.count if template.demos is not None else None
    asked = cast("Backbone", backbone)  # random selection does not use it
    selector, _ = select_demonstrations(labelled.choice, pool, count, asked, np.random.default_rng(0))
    return selector.select([values], asked)[0]
