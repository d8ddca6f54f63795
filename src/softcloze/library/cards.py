"""Cards: a named template or verbalizer in a TOML file, validated on reading."""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any
from typing import Literal as OneOf

from softcloze.errors import LibraryError, TemplateSyntaxError
from softcloze.formatting import did_you_mean
from softcloze.template import Literal, Soft, Template

Kind = OneOf["hard", "soft", "mixed", "in-context"]
_WORD = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+")  # a Chinese character counts as one


@dataclass(frozen=True, slots=True)
class TemplateCard:
    """A template of the library and its metadata.

    Attributes:
        name: path in the library, as in "sentiment/en".
        template: the template itself.
        task: the task, as in "sentiment".
        language: language of its text, as an ISO 639-1 code.
        fields: the fields that an example must have.
        verbalizer: name of a verbalizer whose words fit its mask.
        source: origin of the text.
        description: one-line description.
        file: path of a card in a user's folder; None for a shipped card.
        replaces: whether a shipped card of the same name exists.
    """

    name: str
    template: Template
    task: str
    language: str
    fields: tuple[str, ...]
    verbalizer: str
    source: str
    description: str
    file: Path | None = None
    replaces: bool = False

    @property
    def kind(self) -> Kind:
        """Kind of template: "hard" (text only), "soft", "mixed", or "in-context" (with demonstrations).

        A template with slots is soft if its vectors outnumber its words, else mixed. A Chinese character counts as a
        word.
        """
        nodes = self.template.nodes
        if self.template.demos is not None:
            return "in-context"
        if not self.template.blocks:
            return "hard"
        blocks = [self.template.block_of(i) for i, node in enumerate(nodes) if isinstance(node, Soft)]
        vectors = sum(block.count if block.count is not None else _words(block.init or "") for block in blocks)
        words = sum(_words(node.text) for node in nodes if isinstance(node, Literal))
        return "soft" if vectors > words else "mixed"


@dataclass(frozen=True, slots=True)
class VerbalizerCard:
    """Label words of the library and their metadata.

    Attributes:
        name: path in the library, as in "sentiment/en".
        words: the words of each label, as a list or a mapping from word to weight.
        task: the task, as in "sentiment".
        language: language of the words, as an ISO 639-1 code.
        source: origin of the words.
        description: one-line description.
        aggregation: how the words of a label add up; as for `Verbalizer`.
        length_norm: the unit of a word's score; as for `Verbalizer`.
        file: path of a card in a user's folder; None for a shipped card.
        replaces: whether a shipped card of the same name exists.
    """

    name: str
    words: dict[str, list[str] | dict[str, float]]
    task: str
    language: str
    source: str
    description: str
    aggregation: str = "log_mean_prob"
    length_norm: str = "none"
    file: Path | None = None
    replaces: bool = False


_TEXTS = ("task", "language", "source", "description")  # keys of every card
_OPTIONAL = ("aggregation", "length_norm")  # optional keys of cards with label words


def read_template_card(name: str, file: Traversable) -> TemplateCard:
    """Read the card of the template `name` from `file`.

    Raises:
        LibraryError: a key is missing or unknown, a value has the wrong type, the template does not parse, or has
            an <answer>.
    """
    card = _read(file, (*_TEXTS, "template", "verbalizer", "fields"))
    texts: dict[str, Any] = {key: _text(card, key, file) for key in (*_TEXTS, "verbalizer")}
    try:
        template = Template(_text(card, "template", file))
    except TemplateSyntaxError as error:
        raise LibraryError(f"{file}: the template does not parse: {error}") from error
    if template.answer is not None:
        raise LibraryError(f"{file}: a card has label words, and its template has <answer>; keep it in a text file")
    fields = tuple(_texts(card["fields"], "fields", file))
    if fields != template.fields:
        raise LibraryError(f"{file}: the card lists the fields {fields}, but its template has {template.fields}")
    return TemplateCard(name=name, template=template, fields=fields, **texts)


def read_verbalizer_card(name: str, file: Traversable) -> VerbalizerCard:
    """Read the card of the verbalizer `name` from `file`.

    Raises:
        LibraryError: a key is missing or unknown, a value has the wrong type, or a label has no words.
    """
    card = _read(file, (*_TEXTS, "words"), optional=_OPTIONAL)
    texts: dict[str, Any] = {key: _text(card, key, file) for key in (*_TEXTS, *_OPTIONAL) if key in card}
    words = card["words"]
    if not isinstance(words, dict) or not words:
        raise LibraryError(f"{file}: 'words' must be a table from label to words, found {words!r}")
    words = {label: _label_words(value, f"words.{label}", file) for label, value in words.items()}
    return VerbalizerCard(name=name, words=words, **texts)


def _read(file: Traversable, keys: Sequence[str], optional: Sequence[str] = ()) -> dict[str, Any]:
    """Parse the file and validate its keys."""
    try:
        card = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise LibraryError(f"cannot read {file}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # invalid TOML or UTF-8, or nested too deeply
        raise LibraryError(f"{file}: not a TOML file: {error}") from error
    known = {*keys, *optional}
    for key in card:
        if key not in known:
            raise LibraryError(f"{file}: unknown key {key!r}{did_you_mean(key, known - card.keys())}")
    missing = sorted(set(keys) - card.keys())
    if missing:
        raise LibraryError(f"{file}: missing {', '.join(map(repr, missing))}")
    return card


def _text(card: dict[str, Any], key: str, file: Traversable) -> str:
    value = card[key]
    if not isinstance(value, str) or not value:
        raise LibraryError(f"{file}: {key!r} must be text, found {value!r}")
    return value


def _texts(value: object, key: str, file: Traversable) -> list[str]:
    if not isinstance(value, list) or not value or not all(isinstance(item, str) and item for item in value):
        raise LibraryError(f"{file}: {key!r} must be a list of texts, found {value!r}")
    return value


def _label_words(value: object, key: str, file: Traversable) -> list[str] | dict[str, float]:
    """Validate the words of a label: a list, or a table from word to weight."""
    if not isinstance(value, dict):
        return _texts(value, key, file)
    if not value or not all(word and type(weight) in (int, float) for word, weight in value.items()):
        raise LibraryError(f"{file}: {key!r} must be a list of words, or give each word a number, found {value!r}")
    return value


def _words(text: str) -> int:
    return len(_WORD.findall(text))
