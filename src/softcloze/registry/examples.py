"""Examples of a version: texts for people to try, which are given with it and never taken from training rows."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from softcloze.errors import ArtifactError, ParameterError
from softcloze.files import unique_keys
from softcloze.formatting import quoted_list
from softcloze.prompt.folder import read_inside
from softcloze.prompt.shape import check_shape

VersionExample: TypeAlias = str | dict[str, str | list[str]]
"""A text for the only field, or texts and lists of texts by field."""

EXAMPLES = "examples.json"
MOST = 20
LARGEST = 2**16  # bytes of the file


def encode_examples(
    examples: Sequence[str | Mapping[str, str | Sequence[str]]], fields: Sequence[str], name: str
) -> bytes:
    """The content of the file with the examples of a version; empty without any.

    Args:
        examples: texts for the only field, or mappings with all fields.
        fields: of an example of the version.
        name: of the prompt, for messages.

    Raises:
        ParameterError: an example is something else, or they are too many or too long.
    """
    if isinstance(examples, str | Mapping):
        raise ParameterError("examples is a single example; expected a list of them")
    given = [dict(example) if isinstance(example, Mapping) else example for example in examples]
    problem = check_shape(given, list[VersionExample], "examples")
    if problem is not None:
        raise ParameterError(f"{problem}; an example is a text, or has a text or a list of texts for each field")
    for index, example in enumerate(given):
        found = {*example} if isinstance(example, Mapping) else {*fields[:1]}
        if found != {*fields}:
            has = f"has the fields {quoted_list(sorted(found))}" if isinstance(example, Mapping) else "is a text"
            raise ParameterError(f"examples[{index}] {has}; an example of {name} has {quoted_list(fields)}")
    if not given:
        return b""
    try:
        content = (json.dumps(given, ensure_ascii=False, indent=1) + "\n").encode()
    except UnicodeEncodeError as error:
        raise ParameterError("examples have a character that is no text (a lone surrogate); remove it") from error
    if len(given) > MOST or len(content) > LARGEST:
        raise ParameterError(
            f"{len(given)} examples with {len(content):,} bytes; expected at most {MOST} and {LARGEST:,} bytes together"
        )
    return content


def read_examples(folder: Path) -> tuple[VersionExample, ...]:
    """The examples of the version in a folder; none if it has no such file.

    Raises:
        ArtifactError: the file is damaged, or a link; names it.
    """
    if not os.path.lexists(folder / EXAMPLES):
        return ()
    try:
        examples = json.loads(read_inside(folder, EXAMPLES, LARGEST)[:LARGEST], object_pairs_hook=unique_keys)
        problem = check_shape(examples, list[VersionExample], "examples")
    except (ValueError, RecursionError) as error:
        problem = str(error)
    if problem is not None:
        raise ArtifactError(f"{folder / EXAMPLES} is damaged: {problem}; copy it again, or delete it")
    return tuple(examples)
