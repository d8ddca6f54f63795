"""The form of the page: its boxes, its body, and the rows that it asks about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl

from fastapi import Request
from pydantic import JsonValue

from softcloze.service.answers import RowError
from softcloze.service.version import Served
from softcloze.service.wire import RowBody

TEXT_BOX = "text"  # the box of the field of a template with one field, whatever its name
_TYPE = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Box:
    """A box of the form, and the field of a template that it fills.

    Attributes:
        field: name of the field.
        name: of the box; boxes of several prompts may be one.
        is_list: True for a field that takes a list, of which the box has an item on each line.
    """

    field: str
    name: str
    is_list: bool


@dataclass(frozen=True, slots=True)
class Form:
    """The entries of a form that was sent.

    Attributes:
        prompts: references that were chosen.
        texts: the texts in the boxes, by their names.
        new_tokens: the number in the box of new tokens.
        explains: True to explain the answers.
        language: of the page; None for the browser's.
        example: the value of the button of an example; empty if another one was pressed.
        is_part: True for the answers without the page around them.
    """

    prompts: Sequence[str] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    new_tokens: str = ""
    explains: bool = False
    language: str | None = None
    is_part: bool = False
    example: str = ""


async def read_entries(request: Request) -> list[tuple[str, str]]:
    """Read the names and values of a form from the body of a request, which is urlencoded.

    Raises:
        RowError: the body is something else.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _TYPE:
        raise RowError(415, "content_type", f"send the form with Content-Type: {_TYPE}")
    body = await request.body()
    try:
        return parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=1000)
    except ValueError as error:
        raise RowError(422, "invalid", "the body is not a form of this page") from error


async def read_form(request: Request) -> Form:
    """Read the form of the page; raises as `read_entries`."""
    pairs = await read_entries(request)
    entries = dict(pairs)
    return Form(
        prompts=tuple(dict.fromkeys(value for name, value in pairs if name == "prompt")),
        texts={
            name.removeprefix("box."): value.replace("\r\n", "\n") for name, value in pairs if name.startswith("box.")
        },
        new_tokens=entries.get("max_new_tokens", "").strip(),
        explains=entries.get("action") == "explain",
        language=entries.get("lang"),
        is_part="part" in entries,
        example=entries.get("example", ""),
    )


def boxes_of(served: Served) -> list[Box]:
    """The boxes that a version needs: one text for templates of one field, and one for each other field."""
    names, listed = served.fields, served.choices
    return [
        Box(name, TEXT_BOX if len(names) == 1 and name != listed else name, is_list=name == listed) for name in names
    ]


def make_row(served: Served, texts: Mapping[str, str]) -> RowBody:
    """The row of a version: a text, or fields."""
    needed = boxes_of(served)
    fields: dict[str, JsonValue] = {box.field: _value(box, texts.get(box.name, "")) for box in needed}
    if len(needed) == 1 and not needed[0].is_list:
        return RowBody(text=texts.get(TEXT_BOX, ""), fields=None, prompt_id=served.name)
    return RowBody(text=None, fields=fields, prompt_id=served.name)


def example_texts(served: Served) -> list[dict[str, str]]:
    """The texts of the boxes, by their names, for each example of a version."""
    boxes = boxes_of(served)
    filled = []
    for example in served.examples:
        values = {boxes[0].field: example} if isinstance(example, str) else example
        texts = {box.name: values[box.field] for box in boxes}
        filled.append({name: text if isinstance(text, str) else "\n".join(text) for name, text in texts.items()})
    return filled


def take_example(form: Form, served: Mapping[str, Served]) -> Form:
    """The form with the texts of the example whose button was pressed; as it was if that is gone.

    Args:
        form: that was sent.
        served: the versions of the page by reference; the value of a button is `REFERENCE/INDEX`.
    """
    texts = {
        f"{reference}/{index}": texts
        for reference, version in served.items()
        for index, texts in enumerate(example_texts(version))
    }
    return replace(form, texts={**form.texts, **texts.get(form.example, {})})


def _value(box: Box, text: str) -> JsonValue:
    return [line for line in text.split("\n") if line.strip()] if box.is_list else text
