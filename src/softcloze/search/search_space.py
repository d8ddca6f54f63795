"""What a search may choose among: prompts of the library, and a wording with soft slots in it."""

from collections.abc import Iterable
from typing import Any

from softcloze.errors import ParameterError
from softcloze.formatting import did_you_mean
from softcloze.library import list_templates, load_template


def library_prompts(
    task: str,
    language: str,
    *,
    fields: Iterable[str] | None = None,
    **others: Any,  # noqa: ANN401
) -> list[dict[str, Any]]:
    """The library's templates for a task, each with the label words that its card recommends.

    Every template is a grid of its own, so that its label words go with it: a list of such grids is what
    `GridSearchCV`, `RandomizedSearchCV` and both successive halvings take.

    Args:
        task: the first part of the templates' names, such as "sentiment".
        language: of their words, as an ISO 639-1 code.
        fields: those that the examples have; templates that ask for another one are left out.
        others: values of further parameters, or distributions of them; the same in every grid.

    Returns:
        A grid for each template, in the order of their names. Those of your own, in the folders that the environment
        variable SOFTCLOZE_LIBRARY names, are among them.

    Raises:
        ParameterError: the library has no such template.

    >>> for grid in library_prompts("spam", "zh", epochs=[3, 6]):
    ...     print(grid)
    {'template': ['spam/zh'], 'verbalizer': ['spam/zh'], 'epochs': [3, 6]}
    {'template': ['spam/zh-mixed'], 'verbalizer': ['spam/zh'], 'epochs': [3, 6]}
    {'template': ['spam/zh-soft'], 'verbalizer': ['spam/zh'], 'epochs': [3, 6]}
    """
    there = [load_template(name) for name in list_templates() if name.partition("/")[0] == task]
    has = None if fields is None else {*fields}
    cards = [card for card in there if card.language == language and (has is None or has >= {*card.fields})]
    if not cards:
        raise ParameterError(_missing(task, language, has, there))
    return [{"template": [card.name], "verbalizer": [card.verbalizer], **others} for card in cards]


def _missing(task: str, language: str, fields: set[str] | None, there: list[Any]) -> str:
    """Which of the three conditions nothing meets, and what there is instead."""
    tasks = sorted({name.partition("/")[0] for name in list_templates()})
    if not there:
        return f"the library has no templates for {task!r}, only for {', '.join(tasks)}{did_you_mean(task, tasks)}"
    languages = sorted({card.language for card in there})
    if language not in languages:
        return f"the library's templates for {task!r} are in {', '.join(languages)}, none is in {language!r}"
    needed = sorted({", ".join(card.fields) for card in there if card.language == language})
    return f"the templates for {task!r} ask for the fields {' or '.join(needed)}; fields={sorted(fields or ())}"
