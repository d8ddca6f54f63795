"""The sources of a soft block, as the card of a composed prompt names them."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict

from softcloze.formatting import one_line, quoted_list
from softcloze.prompt.folder import Digest, matching

if TYPE_CHECKING:
    from torch import Tensor

LONGEST = 300  # characters of a name
Name = Annotated[str, matching(f".{{1,{LONGEST}}}", f"a name of at most {LONGEST} characters")]


class _Origin(TypedDict):
    """A block of another prompt: its folder or template, and the SHA-256 of the block's input embeddings."""

    prompt: Name
    vectors: Digest


class _Copied(_Origin):
    kind: Literal["soft_init"]


class _Term(_Origin):
    weight: float


class _Sum(TypedDict):
    kind: Literal["sum"]
    terms: list[_Term]


class _Tasks(TypedDict):
    kind: Literal["tasks"]
    task: Name | None
    tasks: list[Name]


Source = _Copied | _Sum | _Tasks
"""Another prompt that a block started from, a weighted sum of several, or the tasks that shared it."""


def copied(prompt: str, vectors: "Tensor") -> dict[str, Any]:
    """The entry of a block that started from one of another prompt, given by its folder or template."""
    return {"kind": "soft_init", **_origin(prompt, vectors)}


def summed(prompts: Sequence[str], vectors: Sequence["Tensor"], weights: Sequence[float]) -> dict[str, Any]:
    """The entry of a block that is the weighted sum of what prompts have learnt in it."""
    rows = zip(prompts, vectors, weights, strict=True)
    return {"kind": "sum", "terms": [{**_origin(prompt, own), "weight": float(weight)} for prompt, own, weight in rows]}


def of_tasks(tasks: Sequence[str], task: str | None) -> dict[str, Any]:
    """The entry of a block that several tasks shared, as it is for one of them; None for the shared vectors."""
    return {"kind": "tasks", "task": _short(task) if task is not None else None, "tasks": [*map(_short, tasks)]}


def describe_source(source: Mapping[str, Any]) -> str:
    """One line about an entry.

    >>> describe_source(of_tasks(["sentiment", "topic"], "topic"))
    "of the task 'topic', trained together with 'sentiment'"
    """
    match source["kind"]:
        case "soft_init":
            return f"started from {_named(source)}"
        case "sum":
            return "sum of " + ", ".join(f"{term['weight']:g} x {_named(term)}" for term in source["terms"])
        case _:
            if source["task"] is None:
                return f"shared by the tasks {quoted_list(map(one_line, source['tasks']))}"
            others = [one_line(name) for name in source["tasks"] if name != source["task"]]
            return f"of the task {one_line(source['task'])!r}, trained together with {quoted_list(others)}"


def _origin(prompt: str, vectors: "Tensor") -> dict[str, str]:
    return {"prompt": _short(prompt), "vectors": sha256(vectors.numpy().tobytes()).hexdigest()}


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"


def _named(origin: Mapping[str, str]) -> str:
    return f"{one_line(origin['prompt'])} (vectors {origin['vectors'][:8]})"
