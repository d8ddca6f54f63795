"""Options for a single example, and the parsing of their values."""

from collections.abc import Iterable, Sequence
from typing import Annotated

import typer

from softcloze.cli.options import parse
from softcloze.errors import CommandError
from softcloze.template import Template

ExampleTextOption = Annotated[str | None, typer.Option("--text", help="Text for the only field of the template.")]
FieldOption = Annotated[
    list[str] | None,
    typer.Option(
        "--field",
        metavar="NAME=VALUE",
        help="Text for one field, or NAME:=JSON for what Jinja counts or loops over; may be repeated.",
    ),
]


def read_example(template: Template, text: str | None, fields: Sequence[str] | None) -> dict[str, object]:
    """Read the example in --text and --field; empty without them.

    Raises:
        CommandError: --text for a template with several fields, a field that the template lacks, or as `read_fields`.
        TemplateSyntaxError: the template reads none of the fields, or leaves one as a placeholder.
    """
    example = read_fields(fields if fields is not None else ())
    if example or text is not None:
        template.validate_reads(example)
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


def read_fields(given: Iterable[str]) -> dict[str, object]:
    """Read the fields of an example given as name=text or name:=JSON.

    Raises:
        CommandError: a field without "=", a name given twice, or a value that is not JSON.

    >>> read_fields(["premise=1 + 1 = 2", "hypothesis=", "stars:=5"])
    {'premise': '1 + 1 = 2', 'hypothesis': '', 'stars': 5}
    """
    fields: dict[str, object] = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals:
            raise CommandError(f"--field takes NAME=VALUE, found {item!r}")
        name, is_json = name.removesuffix(":"), name.endswith(":")
        if name in fields:
            raise CommandError(f"--field {name} is given twice")
        fields[name] = parse(value, ".json", f"--field {name}", CommandError) if is_json else value
    return fields
