"""Search spaces over the prompts of the library."""

from collections.abc import Collection
from typing import Any

from softcloze.errors import ParameterError
from softcloze.formatting import did_you_mean
from softcloze.library import list_templates, load_template
from softcloze.parameters import BOOLEAN, NONE, TEXT, Constraint, validate_parameters

CONSTRAINTS = {
    "chat": BOOLEAN,
    "task": TEXT,
    "language": TEXT,
    "fields": NONE
    | Constraint(
        "a collection of names",
        lambda names: isinstance(names, Collection) and not isinstance(names, str) and all(map(TEXT.holds, names)),
    ),
}
VALUES = Constraint(
    "a list of values to try, or a distribution",
    lambda values: hasattr(values, "rvs") or (isinstance(values, Collection) and not isinstance(values, str)),
)


def library_prompts(
    task: str,
    language: str,
    *,
    fields: Collection[str] | None = None,
    chat: bool = False,
    **others: Any,  # noqa: ANN401
) -> list[dict[str, Any]]:
    """A grid for each template of the library for a task, with its recommended label words.

    Each template is a separate grid, which keeps its label words with it. `GridSearchCV`, `RandomizedSearchCV` and
    both successive halving searches accept such a list of grids.

    Args:
        task: first part of the templates' names, such as "sentiment".
        language: of the templates, as an ISO 639-1 code.
        fields: fields of the examples; templates with other fields are left out.
        chat: whether templates with chat turns are among them, for a model whose tokenizer has a chat template.
        others: values or distributions of further parameters; the same in every grid.

    Returns:
        A grid for each template, sorted by name. Your own templates, in the folders listed in the environment
        variable SOFTCLOZE_LIBRARY, are included.

    Raises:
        ParameterError: the library has no such template, or an argument is of another type.

    >>> for grid in library_prompts("spam", "zh", epochs=[3, 6]):
    ...     print(grid)
    {'template': ['spam/zh'], 'verbalizer': ['spam/zh'], 'epochs': [3, 6]}
    {'template': ['spam/zh-mixed'], 'verbalizer': ['spam/zh'], 'epochs': [3, 6]}
    {'template': ['spam/zh-soft'], 'verbalizer': ['spam/zh'], 'epochs': [3, 6]}
    """
    validate_parameters(
        {"task": task, "language": language, "fields": fields, "chat": chat, **others},
        {**CONSTRAINTS, **dict.fromkeys(others, VALUES)},
    )
    for name in {"template", "verbalizer"} & {*others}:
        raise ParameterError(
            f"{name}={others[name]!r:.80}, but the templates of the library and their words are searched"
        )
    of_task = [load_template(name) for name in list_templates() if name.partition("/")[0] == task]
    of_task = [card for card in of_task if chat or not card.template.turns]
    given = None if fields is None else {*fields}
    cards = [card for card in of_task if card.language == language and (given is None or given >= {*card.fields})]
    if not cards:
        raise ParameterError(_missing(task, language, given, of_task))
    return [{"template": [card.name], "verbalizer": [card.verbalizer], **others} for card in cards]


def _missing(task: str, language: str, fields: set[str] | None, of_task: list[Any]) -> str:
    """Message that names the condition without a match, and the available values."""
    tasks = sorted({name.partition("/")[0] for name in list_templates()})
    if not of_task:
        return f"the library has no templates for {task!r}, only for {', '.join(tasks)}{did_you_mean(task, tasks)}"
    languages = sorted({card.language for card in of_task})
    if language not in languages:
        return f"the library's templates for {task!r} are in {', '.join(languages)}, none is in {language!r}"
    needed = sorted({", ".join(card.fields) for card in of_task if card.language == language})
    return f"the templates for {task!r} need the fields {' or '.join(needed)}; found fields={sorted(fields or ())}"
