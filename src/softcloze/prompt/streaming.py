"""Score rows as they arrive, in constant memory."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from softcloze.data import Example
from softcloze.encoding import EncodedPrompt
from softcloze.errors import EncodingError, FieldError, NonFiniteError
from softcloze.prompt.bound import BoundPrompt
from softcloze.verbalizer import Label

# rows sorted by length and scored together: enough to fill batches with rows of similar length, few enough that a
# large model on a small machine answers every few seconds
WINDOW = 256


@dataclass(frozen=True, slots=True)
class Prediction:
    """Prediction for one row.

    Attributes:
        row: index of the row, from 0.
        example: the row itself.
        label: the most probable label; None for a row that could not be encoded or has no finite scores.
        probabilities: of each label, in the order of the prompt's labels; None for such a row.
        error: why the row has no label; None for all others.
        cut: tokens that truncation removed from it, by field; only fields that lost some.
        dropped: number of demonstrations left out for it.
    """

    row: int
    example: Example
    label: Label | None
    probabilities: tuple[float, ...] | None
    error: str | None = None
    cut: Mapping[str, int] = field(default_factory=dict)
    dropped: int = 0


def predict_rows(bound: BoundPrompt, rows: Iterator[Example], window: int = WINDOW) -> Iterator[Prediction]:
    """Predict rows one window after the other.

    Args:
        bound: a prompt for one label an example, ready to score.
        rows: examples; any other value becomes a prediction with an error.
        window: rows that are sorted by length and scored together.
    """
    labels = bound.prompt.verbalizer.labels
    first = 0
    while examples := list(islice(rows, window)):
        encoded = _encode(bound, examples)
        prompts = [prompt for prompt in encoded if not isinstance(prompt, str)]
        probabilities = iter(_probabilities(bound, prompts))
        for row, (example, prompt) in enumerate(zip(examples, encoded, strict=True), start=first):
            result = prompt if isinstance(prompt, str) else next(probabilities)
            if isinstance(prompt, str) or isinstance(result, str):
                yield Prediction(row, example, None, None, str(result))
            else:
                scored = labels[result.argmax()], tuple(result.tolist())
                yield Prediction(row, example, *scored, cut=prompt.cut, dropped=prompt.dropped)
        first += len(examples)


def _probabilities(bound: BoundPrompt, prompts: Sequence[EncodedPrompt]) -> list[NDArray[np.float64] | str]:
    """Probabilities of the labels of each prompt; the reason in place of those that are not finite."""
    try:
        return [*bound.probabilities(bound.label_scores(bound.features(prompts)))]
    except NonFiniteError as error:
        if len(prompts) == 1:
            return [error.problem]
        broken = {*error.rows}
    others = iter(_probabilities(bound, [prompt for i, prompt in enumerate(prompts) if i not in broken]))
    return [_probabilities(bound, [prompt])[0] if i in broken else next(others) for i, prompt in enumerate(prompts)]


def _encode(bound: BoundPrompt, examples: Sequence[Example]) -> list[EncodedPrompt | str]:
    """Encode examples; in place of one that cannot be encoded, return the reason."""
    try:
        return [*bound.encode(examples)]
    except (FieldError, EncodingError) as error:
        if len(examples) == 1:
            return [str(error).removeprefix("row 0: ")]  # its index among these examples, not in the input
    middle = len(examples) // 2  # halves, until the bad example is alone
    return _encode(bound, examples[:middle]) + _encode(bound, examples[middle:])
