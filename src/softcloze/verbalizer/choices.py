"""Label words that differ from example to example: the choices of a field."""

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from softcloze.errors import DataError, FieldError, VerbalizerError
from softcloze.formatting import did_you_mean, missing_field, quoted
from softcloze.parameters import Constraint, integer
from softcloze.template import read_choices
from softcloze.template.fields import find_name
from softcloze.verbalizer.labels import Label
from softcloze.verbalizer.verbalizer import LENGTHS

if TYPE_CHECKING:
    from torch import Tensor

Answers = Literal["index", "word"]
ChoiceDecoding = Literal["together", "left_to_right"]
MOST_CHOICES = 1000
_MOST = integer(at_least=2)


class FieldVerbalizer:
    """The choices that a field of each example holds, for questions with answers of their own (multiple choice).

    The label of an example is the index of a choice, counted from 0. An example may have fewer choices than others: it
    has the probability 0 for the indices that it lacks. The score of a choice is its log-probability at the mask over
    the whole vocabulary, divided by its length if `length_norm` says so.

    Attributes:
        labels: the indices 0, 1, … below `most`.
        field: name of the field, a list of texts.
        most: largest number of choices of an example.
        answers: "index" or "word": what `predict` returns, and `fit` and `score` take.
        length_norm: unit of length that the log-probability of a choice is divided by.
        decoding: order in which a masked model fills in the tokens of a choice.

    Source:
        The log-probability of each choice after the question, as it is or divided by its length: Brown et al., NeurIPS
        2020, arXiv:2005.14165, section 2.4; `acc` and `acc_norm` of lm-eval are "none" and "character".

    Example:
        >>> from softcloze import PromptClassifier
        >>> clf = PromptClassifier(
        ...     "starter:bert-tiny",
        ...     "<options field=choices>. <question> It is <mask>.",
        ...     FieldVerbalizer("choices", most=3, answers="word"),
        ... )
        >>> clf.predict([
        ...     {"question": "What is snow like?", "choices": ["cold", "warm"]},
        ...     {"question": "What is green?", "choices": ["milk", "grass", "coal"]},
        ... ]).shape
        (2,)
    """

    def __init__(
        self,
        field: str,
        most: int,
        answers: Answers = "index",
        length_norm: str = "none",
        decoding: ChoiceDecoding = "together",
    ):
        """Validate and keep the settings.

        Args:
            field: name of the field with the choices of an example, a list of two texts or more.
            most: largest number of choices that an example has.
            answers: "index" for labels that are indices of choices, "word" for the choices themselves.
            length_norm: "none", "token", "character" or "byte", as for `Verbalizer`; "none" prefers short choices.
            decoding: "together" or "left_to_right", as for `Verbalizer`.

        Raises:
            VerbalizerError: a setting is unknown or of another type.
        """
        if not isinstance(field, str) or not field.isidentifier():
            raise VerbalizerError(
                f"field={quoted(field)} is not the name of a field, as in FieldVerbalizer('choices', 4)"
            )
        limit = Constraint(
            f"an integer from 2 to {MOST_CHOICES}", lambda value: _MOST.holds(value) and int(value) <= MOST_CHOICES
        )
        if not limit.holds(most):
            raise VerbalizerError(f"most={quoted(most)}, the largest number of choices, has to be {limit.expected}")
        known = {"answers": get_args(Answers), "length_norm": tuple(LENGTHS), "decoding": get_args(ChoiceDecoding)}
        given = {"answers": answers, "length_norm": length_norm, "decoding": decoding}
        for name, value in given.items():
            if not isinstance(value, str) or value not in known[name]:
                hint = did_you_mean(value, known[name]) if isinstance(value, str) else ""
                raise VerbalizerError(f"{name}={quoted(value)} is unknown; expected {', '.join(known[name])}{hint}")
        self.field, self.most = field, int(most)
        self.answers, self.length_norm, self.decoding = answers, length_norm, decoding
        self.labels: tuple[Label, ...] = tuple(range(self.most))

    def __repr__(self) -> str:
        """The constructor call."""
        return (
            f"FieldVerbalizer({self.field!r}, {self.most}, answers={self.answers!r}, "
            f"length_norm={self.length_norm!r}, decoding={self.decoding!r})"
        )

    def __eq__(self, other: object) -> bool:
        """Equal if all settings are equal."""
        return self._key == other._key if isinstance(other, FieldVerbalizer) else NotImplemented

    def __hash__(self) -> int:
        """Hash of the settings."""
        return hash(self._key)

    @property
    def _key(self) -> tuple[Hashable, ...]:
        return self.field, self.most, self.answers, self.length_norm, self.decoding

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, which `from_dict` reads."""
        return {
            "field": self.field,
            "most": self.most,
            "answers": self.answers,
            "length_norm": self.length_norm,
            "decoding": self.decoding,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build a verbalizer from the data of `to_dict`."""
        return cls(data["field"], data["most"], data["answers"], data["length_norm"], data["decoding"])

    @property
    def scored(self) -> int:
        """Number of scores of an example, those of missing choices included."""
        return self.most

    @property
    def first_words(self) -> tuple[str, ...]:
        """No words: those of an example are in its field."""
        return ()

    @property
    def options(self) -> tuple[str, ...]:
        """No texts for <options>: <options field=…> lists those of an example."""
        return ()

    def label_scores(self, word_scores: "Tensor") -> "Tensor":
        """The scores of choices, shape (batch, most), which are those of the labels."""
        return word_scores

    def choices(self, example: object, row: int | None = None) -> tuple[str, ...]:
        """The choices of an example.

        Args:
            example: a mapping with the field.
            row: index of the example, for error messages.

        Raises:
            FieldError: the field is missing, holds no list of texts, or fewer than two or more than `most`.

        >>> FieldVerbalizer("choices", 4).choices({"choices": ["tea", "coffee"]})
        ('tea', 'coffee')
        """
        where = "" if row is None else f"row {row}: "
        if not isinstance(example, Mapping):
            kind = type(example).__name__
            raise FieldError(f"{where}expected a mapping with the field {self.field!r} of choices, found {kind}")
        key = find_name(self.field, example)
        if key is None:
            raise FieldError(where + missing_field(self.field, example))
        choices = read_choices(example[key], f"{where}field {self.field!r}")
        if len(choices) > self.most:
            raise FieldError(
                f"{where}field {self.field!r} has {len(choices)} choices, and the verbalizer takes at most "
                f"{self.most}; give FieldVerbalizer({self.field!r}, most={len(choices)})"
            )
        return tuple(choices)

    def answer(self, example: object, index: int) -> Label:
        """The label of an example whose choice has this index, as `answers` says.

        >>> FieldVerbalizer("choices", 4, answers="word").answer({"choices": ["tea", "coffee"]}, 1)
        'coffee'
        """
        return self.choices(example)[index] if self.answers == "word" else index

    def lengths(self, words: Sequence[str], ids: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
        """The divisor of each choice's log-probability, of its text and token ids; empty for length_norm="none"."""
        if self.length_norm == "none":
            return ()
        measure = LENGTHS[self.length_norm]
        return tuple(measure(word, len(tokens)) for word, tokens in zip(words, ids, strict=True))

    def indices(self, examples: Sequence[object], answers: Sequence[Label]) -> list[int]:
        """The index of the right choice of each example, of labels as `answers` says.

        Raises:
            DataError: an example lacks the choice; names the row.
            FieldError: as of `choices`.

        >>> FieldVerbalizer("choices", 4, answers="word").indices([{"choices": ["tea", "coffee"]}], ["coffee"])
        [1]
        """
        indices = []
        for row, (example, answer) in enumerate(zip(examples, answers, strict=True)):
            choices = self.choices(example, row)
            known: Sequence[Label] = choices if self.answers == "word" else range(len(choices))
            if answer not in known or isinstance(answer, bool):
                what = "is not among its choices" if self.answers == "word" else "is not the index of a choice"
                raise DataError(f"row {row} has the label {answer!r}, which {what}, {quoted(list(choices), 200)}")
            indices.append(known.index(answer))
        return indices
