"""A version of a prompt that is served: from the fields of a row to its answer."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from softcloze.analysis import Explanation, explain_row
from softcloze.errors import ParameterError, SoftclozeError
from softcloze.prompt import EncodedRow, Prompt, PromptSet, RowPrediction
from softcloze.registry import Version
from softcloze.registry.examples import VersionExample
from softcloze.service.answers import RowError
from softcloze.service.wire import RowAnswer
from softcloze.verbalizer import FieldVerbalizer, Label

JsonExample: TypeAlias = str | Mapping[str, Any]

_CHARACTERS_OF_A_TOKEN = 4  # of English text, about


@dataclass(frozen=True, eq=False, slots=True)
class Served:
    """A version of any kind that is served.

    Attributes:
        version: its name and number in the registry.
        sha256: checksum of its card.
        examples: to try.
    """

    version: Version
    sha256: str
    examples: Sequence[VersionExample]

    @property
    def name(self) -> str:
        """The version as it is named in requests, as in `reviews@3`."""
        return str(self.version)

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of an example."""
        raise NotImplementedError

    @property
    def choices(self) -> str | None:
        """The field with the choices of an example; None where all examples have the same labels, or none."""
        return None

    def validate_size(self, example: JsonExample, most: int) -> None:
        """Raise RowError if the texts of an example have more than `most` characters together."""
        if (size := _characters(example)) > most:
            raise RowError(413, "too_long", f"the row has {size:,} characters, and this service takes {most:,} at most")

    def estimate_tokens(self, example: JsonExample, most: int) -> int:
        """About as many tokens as an example has, before it is encoded; `most` where it is truncated."""
        return min(1 + _characters(example) // _CHARACTERS_OF_A_TOKEN, most)

    def about_row(self, example: JsonExample) -> str:
        """The message about a row that does not fit: it has the template's names, and nothing of the row."""
        names = self.fields
        expected = f"{self.name} takes the fields {', '.join(names)}"
        if isinstance(example, str):
            return f"{expected}; give `fields`" if len(names) > 1 else f"the text cannot be encoded for {self.name}"
        missing = [name for name in names if name not in example]
        return f"{expected}; missing: {', '.join(missing)}" if missing else f"{expected}; one of them does not fit"


@dataclass(frozen=True, eq=False, slots=True)
class ServedVersion(Served):
    """A version of a prompt, in a set of prompts that are bound to the model.

    Attributes:
        prompt: the prompt.
        prompts: the set, in which its name is that of the version.
    """

    prompt: Prompt
    prompts: PromptSet

    @property
    def choices(self) -> str | None:
        """The field with the choices of an example; None where all examples have the same labels."""
        verbalizer = self.prompt.verbalizer
        return verbalizer.field if isinstance(verbalizer, FieldVerbalizer) else None

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of an example: those of the template, and that of the choices."""
        names = [*self.prompt.template.fields, *([self.choices] if self.choices is not None else [])]
        return tuple(dict.fromkeys(names))

    def explain(self, row: EncodedRow, prediction: RowPrediction, top: int) -> Explanation:
        """Explain the prediction for a row, which has kept its features; runs the model.

        Raises:
            RowError: decisions of this prompt have no explanation.
        """
        try:
            return explain_row(row, prediction, top)
        except ParameterError as error:
            message = f"decisions of {self.name} are not made by label words or a linear layer"
            raise RowError(422, "no_explanation", message) from error
        except SoftclozeError as error:
            raise RowError(500, "scoring", "the row could not be scored") from error

    def answer(self, prediction: RowPrediction) -> RowAnswer:
        """The answer to a row.

        Raises:
            RowError: its scores are not finite.
        """
        if prediction.probabilities is None:
            raise RowError(500, "not_finite", "the scores of the row are not finite")
        answer = RowAnswer(
            probabilities=_by_label(prediction.labels, prediction.probabilities.tolist()),
            prompt_id=self.version.name,
            version=self.version.number,
            tokens=prediction.tokens,
            cut=dict(prediction.cut),
        )
        if isinstance(prediction.label, tuple):
            answer.labels = [*prediction.label]
        else:
            answer.label = prediction.label
        return answer


def encode_rows(rows: Sequence[tuple[ServedVersion, JsonExample]]) -> list[EncodedRow | RowError]:
    """Encode examples, each for its version; in place of one that does not fit, the error.

    An example does not fit if it lacks a field, has one of the wrong type, or leaves no room for the prompt.

    Args:
        rows: versions of one set of prompts, and examples.
    """
    if not rows:
        return []
    encoded = rows[0][0].prompts.encode_rows([(version.name, example) for version, example in rows])
    return [
        RowError(422, "row", version.about_row(example)) if row.error is not None else row
        for (version, example), row in zip(rows, encoded, strict=True)
    ]


def _by_label(labels: Sequence[Label], probabilities: Sequence[float]) -> dict[str, float]:
    """Probabilities by label, as JSON writes it; choices of a row that are equal have the sum of theirs."""
    by_label: dict[str, float] = {}
    for label, probability in zip(labels, probabilities, strict=False):  # choices that a row lacks are last and 0
        key = label if isinstance(label, str) else json.dumps(label)
        by_label[key] = by_label.get(key, 0.0) + probability
    return by_label


def _characters(value: object) -> int:
    """The characters of all texts in a value of JSON; other values count as one."""
    match value:
        case str():
            return len(value)
        case Mapping():
            return sum(map(_characters, value.values()))
        case Sequence():
            return sum(map(_characters, value))
        case _:
            return 1
