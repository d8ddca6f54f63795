"""softcloze inspect: an example as the model sees it, token by token."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, cast

import typer

from softcloze.cli.options import (
    Choice,
    DemonstrationsOption,
    LabelOption,
    TextOption,
    VerbalizerOption,
    Words,
    read_fields,
    read_verbalizer,
)

if TYPE_CHECKING:
    from softcloze.backbone import Backbone
    from softcloze.cli.input_files import Row
    from softcloze.cli.inspect_view import Look
    from softcloze.encoding import Demonstration
    from softcloze.template import Template
    from softcloze.verbalizer import Verbalizer


def inspect(
    template: Annotated[str, typer.Argument(metavar="TEMPLATE", help="A template, or its name in the library.")],
    text: Annotated[str | None, typer.Option(help="Text for the only field of the template.")] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Text for one field, or NAME:=JSON for what Jinja counts or loops over; may be repeated.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Whose tokens to show: starter:NAME, a name on a hub, a folder, or a .gguf file."),
    ] = None,
    verbalizer: VerbalizerOption = None,
    max_length: Annotated[
        int | None, typer.Option(help="Tokens a prompt may have; by default what the model takes.")
    ] = None,
    examples: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Labelled rows for <demos>: a .csv, .tsv, .jsonl or .parquet file."),
    ] = None,
    text_column: TextOption = None,
    label_column: LabelOption = "label",
    demonstrations: DemonstrationsOption = Choice.random,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the same as an HTML page that needs nothing else.")
    ] = None,
) -> None:
    """Show what a template is made of, and with an example and a model every token and where it comes from.

    Under each token stands what it is: l literal, f field, s soft slot, m mask, d demonstration, a dot for a special
    token, x for a token that was cut because the prompt is too long. Tokens that share a character stand together.
    """
    from rich.text import Text

    from softcloze.cli.console import results
    from softcloze.cli.inspect_render import look_lines
    from softcloze.cli.inspect_view import Look
    from softcloze.errors import CommandError
    from softcloze.library import resolve_template

    parsed = resolve_template(template)
    example = _example(parsed, text, field)
    given = read_verbalizer(verbalizer, template)
    if model is None and demonstrations is Choice.nearest:
        raise CommandError("--demonstrations nearest compares what a model makes of the rows: name it with --model")
    if example or (not parsed.fields and (model is not None or examples is not None)):
        labelled = None
        if examples is not None:
            labelled = _read_labelled(parsed, examples, text_column, label_column, demonstrations)
        look = _look(parsed, example, given, labelled, model, max_length)
    else:
        _check_needs_no_example(model, examples)
        look = Look(parsed)

    console = results()
    for part in look_lines(look, width=console.width):
        console.print(part, soft_wrap=isinstance(part, Text))
    if html is not None:
        from softcloze.cli.inspect_render import page, write_page

        write_page(html, page(look))
    if look.problem is not None:
        raise look.problem


def _example(template: "Template", text: str | None, fields: Sequence[str] | None) -> dict[str, object]:
    """The example that was given, as far as it is one."""
    from softcloze.errors import CommandError

    example = read_fields(fields if fields is not None else ())
    unknown = [name for name in example if name not in template.fields]
    has = ", ".join(map(repr, template.fields)) or "none"
    if text is not None:
        if len(template.fields) != 1:
            raise CommandError(
                f"--text is for templates with one field; this one has {has}: give each with --field NAME=VALUE"
            )
        example[template.fields[0]] = text
    if unknown:
        raise CommandError(f"the template has no field {unknown[0]!r}; it has {has}")
    return example


def _check_needs_no_example(model: str | None, examples: Path | None) -> None:
    from softcloze.errors import CommandError

    for option, what in ((model, "--model shows the tokens"), (examples, "--examples shows the demonstrations")):
        if option is not None:
            raise CommandError(f"{what} of an example: give one with --text TEXT or --field NAME=VALUE")


class Labelled(NamedTuple):
    """Labelled rows that <demos> may show, and how they are chosen."""

    rows: "list[Row]"
    labels: list[str]
    how: Choice


def _read_labelled(
    template: "Template", path: Path, text_column: str | None, label_column: str, how: Choice
) -> Labelled:
    from softcloze.cli.input_files import open_table
    from softcloze.errors import CommandError

    if template.demos is None:
        raise CommandError("--examples is for templates with <demos>, which this one does not have")
    table = open_table(path)
    return Labelled(table.examples(template, text_column), table.labels(label_column), how)


def _look(
    template: "Template",
    example: "Row",
    given: "Words | Verbalizer | str | None",
    labelled: Labelled | None,
    model: str | None,
    max_length: int | None,
) -> "Look":
    """All there is to be seen of an example."""
    from softcloze.cli.inspect_view import Look, filled, token_view, word_view
    from softcloze.template import Options

    values = template.read_fields(example)
    bare = filled(template, values)  # what is wrong with the example should be said before a model is fetched
    if model is None and labelled is None and not any(isinstance(node, Options) for node in template.nodes):
        return Look(template, bare)

    from softcloze.cli.progress import open_backbone
    from softcloze.encoding import CompiledTemplate
    from softcloze.errors import EncodingError, VerbalizerError
    from softcloze.library import resolve_verbalizer
    from softcloze.prompt import CompiledPrompt
    from softcloze.verbalizer import Verbalizer

    words = cast("Verbalizer | None", resolve_verbalizer(given))  # rules are not given on the command line
    if words is None and labelled is not None:
        words = Verbalizer({label: label for label in labelled.labels})  # as in fit
    options = words.first_words if words is not None else ()
    backbone = open_backbone(model) if model is not None else None
    shown = None
    if labelled is not None and words is not None:
        shown = _choose(template, values, labelled, words, backbone)
    if backbone is None:
        return Look(template, filled(template, values, options, shown))
    limit = backbone.max_length if max_length is None else min(max_length, backbone.max_length)
    compiled = CompiledTemplate(template, backbone.prompt_tokenizer, limit, options=options)
    answer, spelt, problem = len(template.masks), [], None
    if words is not None:
        try:
            CompiledPrompt(template, words, backbone, max_length)
            spelt = word_view(words, compiled)
            answer = max(word.count for word in spelt)
        except (EncodingError, VerbalizerError) as error:
            problem = error  # the tokens are worth a look all the more
    tokens = token_view(compiled, example, answer, shown if shown is not None else ())
    fitting = shown[tokens.dropped :] if shown is not None else None
    return Look(template, filled(template, values, options, fitting), tokens, spelt, backbone.name, problem)


def _choose(
    template: "Template", values: "Row", labelled: Labelled, words: "Verbalizer", backbone: "Backbone | None"
) -> "Sequence[Demonstration]":
    """The demonstrations of an example, chosen as fit does it with the seed 0."""
    import numpy as np

    from softcloze.cli.console import quiet
    from softcloze.data import label_indices
    from softcloze.demonstrations import Pool, select_demonstrations

    quiet()
    pool = Pool.from_examples(template, labelled.rows, label_indices(labelled.labels, words), words.first_words)
    count = template.demos.count if template.demos is not None else None
    asked = cast("Backbone", backbone)  # without one there are only random ones, which do not ask it
    selector, _ = select_demonstrations(labelled.how.value, pool, count, asked, np.random.default_rng(0))
    return selector.select([values], asked)[0]
