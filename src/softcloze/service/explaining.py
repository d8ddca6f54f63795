"""Explain the answers to rows; everything here runs in the thread of the model."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from softcloze.analysis import Explanation
from softcloze.prompt import EncodedRow, RowPrediction
from softcloze.service.answers import RowError
from softcloze.service.version import ServedVersion
from softcloze.service.wire import RowAnswer

Reasons: TypeAlias = Explanation | RowError
ExplainedOutcome: TypeAlias = tuple[RowAnswer, Reasons] | RowError
"""The answer to a row with its explanation, or the error in place of either."""


class Scored(NamedTuple):
    """A row that was scored, and is to be explained."""

    version: ServedVersion
    row: EncodedRow
    prediction: RowPrediction


def score_to_explain(items: Sequence[tuple[ServedVersion, EncodedRow]]) -> list[Scored]:
    """Score rows in one batch, as they are scored to be classified."""
    if not items:
        return []
    predictions = items[0][0].prompts.score_rows([row for _, row in items], keep_features=True)
    return [Scored(*item, prediction) for item, prediction in zip(items, predictions, strict=True)]


def explain_scored(scored: Scored, top: int) -> ExplainedOutcome:
    """The answer to a row, and the explanation of it, which has the `top` likeliest words."""
    version, row, prediction = scored
    try:
        answer = version.answer(prediction)
    except RowError as error:
        return error
    try:
        return answer, version.explain(row, prediction, top)
    except RowError as error:
        return answer, error
