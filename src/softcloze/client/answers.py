"""Answers of the service, read and validated."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from softcloze.verbalizer import Label

Record: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one row, or the reason why it has none.

    Attributes:
        label: the most probable label. For a prompt of several labels an example, a tuple of those that are more
            probable than not. None for a row with an error.
        probabilities: of the labels, by their text; of labels that are not text, by their JSON.
        prompt: the prompt that answered, as in "reviews"; for a row with an error, the prompt as it was given.
        version: the number of the prompt's version; None for a row with an error.
        tokens: tokens and soft slots of the prompt with the text after truncation; None for a row with an error.
        cut: tokens that truncation removed, by field; only fields that lost some.
        error: why the row has no label; None for all others.
        code: of the error, for programs, as in "unknown_prompt"; None for all others.
    """

    label: "Label | tuple[Label, ...] | None"
    probabilities: Mapping[str, float]
    prompt: str
    version: int | None
    tokens: int | None = None
    cut: Mapping[str, int] = field(default_factory=dict)
    error: str | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """A text that the service wrote, or the reason why it wrote none.

    Attributes:
        text: the text, without its stop string. None for an example of several that has an error, as are version,
            tokens and finish.
        prompt: the generator, as in "summaries"; with an error, as it was given.
        version: the number of its version.
        tokens: tokens and soft slots of the prompt with the example after truncation.
        new_tokens: tokens that were written, with those of a stop string.
        finish: "stop" where a stop string ended the text, "end" where the end token did, "length" where no more new
            tokens were allowed.
        cut: tokens that truncation removed, by field; only fields that lost some.
        error: why the example has no text; None for all others.
        code: of the error, for programs, as in "unknown_prompt"; None for all others.
    """

    text: str | None
    prompt: str
    version: int | None
    tokens: int | None = None
    new_tokens: int = 0
    finish: str | None = None
    cut: Mapping[str, int] = field(default_factory=dict)
    error: str | None = None
    code: str | None = None


def failed_row(prompt: str, error: str, code: str) -> Answer:
    """The answer to a row that has none."""
    return Answer(None, {}, prompt, None, error=error, code=code)


def failed_text(prompt: str, error: str, code: str) -> Text:
    """The result for an example for which no text was written."""
    return Text(None, prompt, None, error=error, code=code)


def read_json(content: bytes) -> Record | None:
    """An object of JSON; None if the content is something else."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def read_answer(value: Any, prompt: str) -> Answer | None:  # noqa: ANN401 - any value may come
    """Read the answer to a row.

    Args:
        value: of JSON.
        prompt: the prompt that was asked for.

    Returns:
        The answer; None if the value is no answer of the service.
    """
    match value:
        case {"error": str(error)}:
            return failed_row(prompt, error, str(value.get("code")))
        case {
            "probabilities": dict(probabilities),
            "prompt_id": str(name),
            "version": int(version),
            "tokens": int(tokens),
            "cut": dict(cut),
        } if ("label" in value or isinstance(value.get("labels"), list)) and _are_numbers(probabilities):
            label = value["label"] if "label" in value else tuple(value["labels"])
            return Answer(label, probabilities, name, version, tokens, cut)
    return None


def read_text(value: Any) -> Text | None:  # noqa: ANN401 - any value may come
    """Read the answer about a text; None if the value is none."""
    match value:
        case {
            "text": str(text),
            "prompt_id": str(name),
            "version": int(version),
            "tokens": int(tokens),
            "new_tokens": int(new_tokens),
            "finish": str(finish),
            "cut": dict(cut),
        }:
            return Text(text, name, version, tokens, new_tokens, finish, cut)
    return None


def read_row_text(value: Any, prompt: str) -> Text | None:  # noqa: ANN401 - any value may come
    """Read the text for a row of several; arguments and result as of `read_answer`."""
    match value:
        case {"error": str(error)}:
            return failed_text(prompt, error, str(value.get("code")))
    return read_text(value)


def _are_numbers(values: Mapping[str, object]) -> bool:
    return all(isinstance(value, int | float) and math.isfinite(value) for value in values.values())
