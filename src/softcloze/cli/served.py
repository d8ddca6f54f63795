"""A prompt of a service, in place of a saved one: the service scores the rows, and no model is loaded here."""

import json
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

from softcloze.client import Answer, Client
from softcloze.errors import CommandError, ServiceError
from softcloze.formatting import did_you_mean, quoted_list
from softcloze.registry import LIVE
from softcloze.template import Template, read_choices
from softcloze.template.fields import find_name

if TYPE_CHECKING:
    from softcloze.prompt.streaming import Prediction

T = TypeVar("T")

# codes of rows whose errors are not about the rows: the run stops, and the same rows are sent again when it resumes
_STOPS = {
    "deadline": "the service did not answer the row in time",
    "too_many_tokens": "the service writes fewer new tokens; give fewer as --option max_new_tokens=…",
    "unknown_prompt": "the service no longer has the prompt; add it again",
    "unknown_version": "the service no longer has the version, since no alias names it; let one name it, or --restart",
}
_OTHER_KIND = {
    "prompt": "writes text and labels nothing; softcloze generate takes it",
    "generator": "labels examples and writes no text; softcloze predict takes it",
}


def find_version(url: str, reference: str, token: str | None, kind: str) -> tuple[str, Mapping[str, Any]]:
    """The name of the version that a reference names, as in `reviews@3`, and the service's description of it.

    Args:
        url: of the service.
        reference: of a prompt, as in `reviews` or `reviews@canary`.
        token: of the service.
        kind: "prompt" for one that gives labels, "generator" for one that writes.

    Raises:
        CommandError: the service has no such version, or it is of the other kind.
        ServiceError: the service does not answer, or has no such prompt.
    """
    name, at, which = reference.partition("@")
    with Client(url, token) as client:
        described = client.prompt(name)
    try:
        aliases = described["aliases"]
        versions = {str(version["version"]): version for version in described["versions"]}
        version = versions.get(str(aliases.get(which if at else LIVE, which)))
        if version is None:
            known = [f"{name}@{other}" for other in (*aliases, *versions)]
            hint = did_you_mean(reference, known)
            faults = "".join(f"; {fault}" for fault in described["faults"])
            raise CommandError(f"{url} serves no {reference}; it has {quoted_list(known)}{hint}{faults}")
        if version["kind"] != kind:
            raise CommandError(f"{reference} {_OTHER_KIND[kind]}")
        missing = {"fields", "template", "sha256", "labels", "choices", "several_labels"} - version.keys()
        if missing:
            raise KeyError(*missing)
        return f"{name}@{version['version']}", version
    except (KeyError, TypeError, AttributeError) as error:
        raise ServiceError("the service describes its prompts in another way; is it of this version?", name) from error


def fields_of_row(row: Mapping[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    """The fields of a row that a prompt takes."""
    keys = {name: find_name(name, row) for name in fields}
    return {name: row[key] for name, key in keys.items() if key is not None}


def with_answers(
    rows: Iterator[Any], fields: Sequence[str], ask: Callable[[Iterator[Any]], Iterator[T]]
) -> Iterator[tuple[Any, T]]:
    """Rows with their answers, in their order.

    Args:
        rows: of a file.
        fields: which the service gets, and no others.
        ask: gives the answers to examples, whose stream it reads ahead.
    """
    sent: deque[Any] = deque()  # that wait for their answers

    def examples() -> Iterator[Any]:
        for row in rows:
            sent.append(row)
            yield fields_of_row(row, fields) if isinstance(row, Mapping) else row

    for answer in ask(examples()):
        yield sent.popleft(), answer


@contextmanager
def rows_of_file(first: int) -> Iterator[None]:
    """Give an error about rows of requests the indices of the rows of a file, of which `first` were done before."""
    try:
        yield
    except ServiceError as error:
        if error.rows is None:
            raise
        rows = error.rows[0] + first, error.rows[1] + first
        raise ServiceError(error.problem, error.prompt, rows, error.status, error.code) from error


def validate_row_error(code: str | None, name: str, index: int) -> None:
    """Raise ServiceError if the error of a row is about the service, by its code."""
    if code in _STOPS:
        raise ServiceError(_STOPS[code], name, (index, index), code=code)


@dataclass(frozen=True, slots=True)
class ServedPrompt:
    """A version of a prompt that a service answers with.

    Attributes:
        client: of the service.
        name: of the version, as in `reviews@3`: rows stay with it when an alias moves.
        labels: the labels.
        fields: the fields of an example.
        choices: the field with the choices of an example; None where all examples have the same labels.
        template: the template.
        checksum: of its card.
    """

    client: Client
    name: str
    labels: tuple[Any, ...]
    fields: tuple[str, ...]
    choices: str | None
    template: Template
    checksum: str

    @classmethod
    def find(cls, url: str, reference: str, token: str | None) -> Self:
        """Find the version that a reference names.

        Raises:
            CommandError: the service has no such version, it writes text, or examples have several labels.
            ServiceError: the service does not answer, or has no such prompt.
        """
        name, version = find_version(url, reference, token, "prompt")
        if version["several_labels"]:
            raise CommandError(f"{reference} gives examples several labels; softcloze.client takes such prompts")
        return cls(
            Client(url, token),
            name,
            tuple(version["labels"]),
            tuple(version["fields"]),
            version["choices"],
            Template(version["template"]),
            version["sha256"],
        )

    @property
    def label_texts(self) -> tuple[str, ...]:
        """The labels as text, as in files."""
        return tuple(map(str, self.labels))

    @property
    def _keys(self) -> list[str]:
        """The labels as the service names them."""
        return [label if isinstance(label, str) else json.dumps(label) for label in self.labels]

    @property
    def templates(self) -> list[Template]:
        """The template, in a list as of a saved prompt."""
        return [self.template]

    @property
    def answers_words(self) -> bool:
        """True if the labels are choices of the rows themselves."""
        return self.choices is not None

    def predict_rows(self, rows: Iterator[Any], first: int) -> "Iterator[Prediction]":
        """Predict rows by the service, which gets the fields of the template and no others.

        Args:
            rows: examples; any other value becomes a prediction with an error.
            first: index of the first row, for messages.

        Raises:
            ServiceError: the service turned rows away, did not answer in time or is not reached.
        """
        with rows_of_file(first), self.client:
            answered = with_answers(rows, self.fields, partial(self.client.classify_stream, prompt=self.name))
            for index, (row, answer) in enumerate(answered):
                yield self._prediction(index, row, answer)

    def _prediction(self, index: int, row: Any, answer: Answer) -> "Prediction":  # noqa: ANN401 - any value may come
        """The prediction that an answer stands for.

        Raises:
            ServiceError: the error of the answer is not about the row, or its labels are others.
        """
        from softcloze.prompt.streaming import Prediction

        validate_row_error(answer.code, self.name, index)
        if answer.error is not None:
            return Prediction(index, row, None, None, answer.error)
        if self.choices is None and {*answer.probabilities} != {*self._keys}:
            raise ServiceError("the service has other labels for the version now", self.name, (index, index))
        label: Any = answer.label
        return Prediction(index, row, label, self._probabilities(row, answer), cut=answer.cut)

    def _probabilities(self, row: Mapping[str, Any], answer: Answer) -> tuple[float, ...]:
        """The probabilities in the order of the labels; those of choices in words, in the order of the choices."""
        by_label = answer.probabilities
        if self.choices is None or not isinstance(answer.label, str):
            return tuple(by_label.get(key, 0.0) for key in self._keys)
        words = read_choices(fields_of_row(row, self.fields)[self.choices], "choices")
        counts = Counter(words)  # choices that are equal have the sum of theirs
        return (*(by_label[word] / counts[word] for word in words), *[0.0] * (len(self.labels) - len(words)))
