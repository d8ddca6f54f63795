"""Rows that each name a prompt: encoded one by one, scored in shared batches, and predicted in their order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from softcloze.data import Example
from softcloze.encoding import EncodedPrompt
from softcloze.errors import NonFiniteError, SoftclozeError
from softcloze.heads import EXCLUSIVE
from softcloze.prompt.bound import BoundPrompt
from softcloze.prompt.kept_prefixes import KeptPrefixes
from softcloze.prompt.rows import encode_each
from softcloze.verbalizer import FieldVerbalizer, Label

PromptKey: TypeAlias = str | int
"""The name of a prompt in a set, or its index."""


@dataclass(frozen=True, slots=True)
class EncodedRow:
    """An example that is encoded for one prompt and not yet scored.

    It holds the version of the prompt that it was encoded for, and is scored by that one whatever replaced it since.

    Attributes:
        prompt: the name or index of the prompt.
        error: why the example cannot be encoded; None for all others.
        cost: tokens that the model computes for it, without those of a prefix that is kept; the unit of
            `Backbone.token_budget`. 0 for a row with an error.
        bound: its prompt, ready to score; None if there is no such prompt.
        encoded: the encoded example; None for a row with an error.
        labels: the labels in the order of the probabilities.
    """

    prompt: PromptKey
    error: SoftclozeError | None = None
    cost: int = 0
    bound: BoundPrompt | None = field(default=None, repr=False)
    encoded: EncodedPrompt | None = field(default=None, repr=False)
    labels: tuple[Label, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class RowPrediction:
    """The prediction for one row.

    Attributes:
        prompt: the name or index of the row's prompt.
        label: the most probable label. For a prompt of several labels an example, a tuple of those that are more
            probable than not. None for a row with an error.
        scores: label log-scores in nats up to a constant, shape (labels,); log-odds for several labels an example.
            None for a row with an error.
        probabilities: of the labels, shape (labels,), as `predict_proba` of the prompt alone; None as `scores`.
        labels: the labels in their order.
        error: why the row has no label: it cannot be encoded, or its scores are not finite. None for all others.
        tokens: and soft slots of the encoded example after truncation, without masks; 0 for a row that cannot be
            encoded.
        cut: tokens that truncation removed, by field; only fields that lost some.
        dropped: number of demonstrations left out.
        features: the input of the head, shape (features,); None unless `score_rows` was asked to keep it.
    """

    prompt: PromptKey
    label: Label | tuple[Label, ...] | None = None
    scores: NDArray[np.float64] | None = field(default=None, repr=False)
    probabilities: NDArray[np.float64] | None = None
    labels: tuple[Label, ...] = field(default=(), repr=False)
    error: SoftclozeError | None = None
    tokens: int = field(default=0, repr=False)
    cut: Mapping[str, int] = field(default_factory=dict, repr=False)
    dropped: int = field(default=0, repr=False)
    features: Tensor | None = field(default=None, repr=False)


def encode_rows(
    prompts: Mapping[PromptKey, BoundPrompt], rows: Sequence[tuple[PromptKey, Example]], kept: KeptPrefixes
) -> list[EncodedRow]:
    """Encode examples, each for the prompt beside it, which has to be one of `prompts`."""
    encoded: dict[int, EncodedRow] = {}
    for key, chosen in _grouped([key for key, _ in rows]).items():
        bound, examples = prompts[key], [rows[i][1] for i in chosen]
        for i, example, item in zip(
            chosen, examples, encode_each(bound.encode, examples, (SoftclozeError,)), strict=True
        ):
            if isinstance(item, SoftclozeError):
                encoded[i] = EncodedRow(key, item, bound=bound)
            else:
                encoded[i] = EncodedRow(
                    key,
                    cost=_cost(bound, item, kept),
                    bound=bound,
                    encoded=item,
                    labels=_labels(bound, example),
                )
    return [encoded[i] for i in range(len(rows))]


def predict_encoded_rows(
    rows: Sequence[EncodedRow], features: Mapping[BoundPrompt, Tensor], *, keep_features: bool = False
) -> list[RowPrediction]:
    """Predictions of rows from the features of each prompt's rows without errors, in their order."""
    scores = {bound: zip(_scores(bound, of_prompt), of_prompt, strict=True) for bound, of_prompt in features.items()}
    predictions = []
    for row in rows:
        if row.bound is None or row.encoded is None:
            predictions.append(RowPrediction(row.prompt, error=row.error))
            continue
        result, features_of_row = next(scores[row.bound])
        if isinstance(result, NonFiniteError):
            predictions.append(RowPrediction(row.prompt, error=result, tokens=len(row.encoded)))
            continue
        predictions.append(
            RowPrediction(
                row.prompt,
                _label(row, result),
                result,
                row.bound.probabilities(result[None])[0],
                row.labels,
                tokens=len(row.encoded),
                cut=row.encoded.cut,
                dropped=row.encoded.dropped,
                features=features_of_row if keep_features else None,
            )
        )
    return predictions


def rows_by_prompt(rows: Sequence[EncodedRow]) -> dict[BoundPrompt, list[EncodedPrompt]]:
    """The encoded examples of each prompt; rows with errors are left out."""
    by_prompt: dict[BoundPrompt, list[EncodedPrompt]] = {}
    for row in rows:
        if row.bound is not None and row.encoded is not None:
            by_prompt.setdefault(row.bound, []).append(row.encoded)
    return by_prompt


def _grouped(keys: Sequence[Any]) -> dict[Any, list[int]]:
    """The indices of equal keys."""
    groups: dict[Any, list[int]] = {}
    for i, key in enumerate(keys):
        groups.setdefault(key, []).append(i)
    return groups


def _cost(bound: BoundPrompt, prompt: EncodedPrompt, kept: KeptPrefixes) -> int:
    scorer, known = bound.compiled.scorer, kept.get(bound)
    return scorer.cost(prompt, known.length_in(scorer, prompt) if known is not None else 0)


def _labels(bound: BoundPrompt, example: Example) -> tuple[Label, ...]:
    """The labels of an example, which are its choices where the verbalizer answers with words."""
    verbalizer = bound.prompt.verbalizer
    if isinstance(verbalizer, FieldVerbalizer) and verbalizer.answers == "word":
        return tuple(verbalizer.choices(example))
    return bound.labels


def _label(row: EncodedRow, scores: NDArray[np.float64]) -> Label | tuple[Label, ...]:
    if row.bound is not None and row.bound.prompt.head not in EXCLUSIVE:
        return tuple(label for label, score in zip(row.labels, scores, strict=True) if score > 0)
    return row.labels[int(scores.argmax())]


def _scores(bound: BoundPrompt, features: Tensor) -> list[NDArray[np.float64] | NonFiniteError]:
    """Label log-scores of each example; the error in place of those that are not finite."""
    try:
        bound.validate_features(features)
        return [*bound.label_scores(features)]
    except NonFiniteError as error:
        broken, problem = {*error.rows}, error.problem
    others = iter(_scores(bound, features[[i for i in range(len(features)) if i not in broken]]))
    return [NonFiniteError(problem) if i in broken else next(others) for i in range(len(features))]
