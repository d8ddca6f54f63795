"""Find cards by name, among those that ship with softcloze and in the user's own folders."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar, get_args

from softcloze.errors import LibraryError
from softcloze.files import expand_user
from softcloze.formatting import did_you_mean, quoted
from softcloze.library.cards import TemplateCard, VerbalizerCard, read_template_card, read_verbalizer_card
from softcloze.template import Template
from softcloze.verbalizer import AnyVerbalizer, FieldVerbalizer, Label, RuleVerbalizer, Verbalizer, Words

SEARCH_PATH = "SOFTCLOZE_LIBRARY"  # environment variable: folders with the user's own cards
Folder: TypeAlias = str | os.PathLike[str]
_Section: TypeAlias = Literal["templates", "verbalizers"]
_Card = TypeVar("_Card", TemplateCard, VerbalizerCard)
_SUFFIX = ".toml"


def list_templates(folder: Folder | None = None) -> list[str]:
    """Names of all templates of the library, sorted.

    Args:
        folder: a library of your own, searched first. It contains `templates` or `verbalizers` or both, with cards
            as TASK/NAME.toml. The folders in the environment variable SOFTCLOZE_LIBRARY come next. A card in any of
            these takes precedence over a shipped card of the same name.

    >>> [name for name in list_templates() if name.startswith("spam/en")]
    ['spam/en', 'spam/en-chat', 'spam/en-mixed', 'spam/en-soft']
    """
    return sorted(_user_cards("templates", folder) | _shipped_cards("templates"))


def list_verbalizers(folder: Folder | None = None) -> list[str]:
    """Names of all verbalizers of the library, sorted; `folder` as for `list_templates`.

    >>> [name for name in list_verbalizers() if name.startswith("spam/")]
    ['spam/en', 'spam/zh']
    """
    return sorted(_user_cards("verbalizers", folder) | _shipped_cards("verbalizers"))


def load_template(name: str, folder: Folder | None = None) -> TemplateCard:
    """Load a template of the library; `folder` as for `list_templates`.

    Raises:
        LibraryError: the library has no template of that name, the card is malformed, or the library lacks the
            verbalizer that the card names.

    >>> load_template("sentiment/zh-soft").template.fields
    ('text',)
    """
    card = _load(name, "templates", folder, _read_template)
    words = _user_cards("verbalizers", folder) | _shipped_cards("verbalizers")
    if card.verbalizer not in words:
        where = card.file if card.file is not None else card.name
        raise LibraryError(f"{where}: {_unknown(card.verbalizer, 'verbalizers', words)}")
    return card


def load_verbalizer(name: str, folder: Folder | None = None) -> VerbalizerCard:
    """Load a verbalizer of the library; `folder` as for `list_templates`.

    Raises:
        LibraryError: the library has no verbalizer of that name, or the card is malformed.

    >>> load_verbalizer("sentiment/zh").words
    {'positive': ['满意'], 'negative': ['失望']}
    """
    return _load(name, "verbalizers", folder, read_verbalizer_card)


def resolve_template(template: str | Template, folder: Folder | None = None) -> Template:
    """Parse a template string, or load a template by name; `folder` as for `list_templates`.

    A string with white space, brackets, braces or a star is a template, since no name has these.

    Raises:
        TemplateSyntaxError: the string does not parse.
        LibraryError: the library has no template of that name.

    >>> resolve_template("It was <mask>") == resolve_template(Template("It was <mask>"))
    True
    >>> resolve_template("sentiment/zh").fields
    ('text',)
    """
    if isinstance(template, Template):
        return template
    if isinstance(template, str) and is_name(template):
        return load_template(template, folder).template
    return Template(template)


def resolve_mask_template(template: str | Template) -> Template:
    r"""Resolve a template as `resolve_template`, for label words at its masks.

    Raises:
        TemplateSyntaxError: the string does not parse, or the template has an <answer>; shows the place.
        LibraryError: the library has no template of that name.

    >>> resolve_mask_template("Translate: <text>\n<answer>")
    Traceback (most recent call last):
    softcloze.errors.TemplateSyntaxError: <answer> is free text, which PromptGenerator writes; label words are scored at a <mask>
      at line 2, column 1:
        <answer>
        ^^^^^^^^
    """  # noqa: E501
    resolved = resolve_template(template)
    resolved.validate_classifies()
    return resolved


def is_name(template: str) -> bool:
    """Return whether `template` can only be the name of a template, and not a template string.

    >>> is_name("sentiment/en"), is_name("{text} It was [MASK]"), is_name("<mask>")
    (True, False, False)
    """
    return re.fullmatch(r"[^\s<>{}\[\]*]+", template) is not None


def resolve_verbalizer(
    verbalizer: Mapping[Label, Words] | str | AnyVerbalizer | None,
) -> AnyVerbalizer | None:
    """Make a verbalizer from a mapping, or load one by name; other values pass through unchanged.

    >>> resolve_verbalizer({0: "bad", 1: "good"}).labels
    (0, 1)
    """
    if verbalizer is None or isinstance(verbalizer, Verbalizer | RuleVerbalizer | FieldVerbalizer):
        return verbalizer
    if isinstance(verbalizer, str):
        card = load_verbalizer(verbalizer)
        return Verbalizer(dict(card.words.items()), card.aggregation, card.length_norm)
    return Verbalizer(verbalizer)


def _load(name: str, section: _Section, folder: Folder | None, read: Callable[[str, Traversable], _Card]) -> _Card:
    """Read a card. Names are looked up in a listing, so none can lead out of the library."""
    user, shipped = _user_cards(section, folder), _shipped_cards(section)
    if name in user:
        return replace(read(name, user[name]), file=user[name], replaces=name in shipped)
    if name in shipped:
        return read(name, shipped[name])
    raise LibraryError(_unknown(str(name), section, user | shipped))


def _unknown(name: str, section: _Section, known: Iterable[str]) -> str:
    """The message for an unknown name; lists the names of its task, or all tasks if the task is unknown too."""
    with suppress(OSError, ValueError):  # too long, or NUL
        if Path(name).is_file():
            return f"no {name!r} among the library's {section}, but there is such a file: give its content instead"
    task = name.split("/")[0]
    names = sorted(known)
    alternatives = [known_name for known_name in names if known_name.split("/")[0] == task]
    if not alternatives:
        alternatives = list(dict.fromkeys(other.split("/")[0] + "/…" if "/" in other else other for other in names))
    return f"no {quoted(name, 80)} among the library's {section}: {', '.join(alternatives)}{did_you_mean(name, names)}"


def _read_template(name: str, file: Traversable) -> TemplateCard:
    """The card of a template; one that ships with softcloze is parsed once."""
    return _shipped_template(name) if file is _shipped_cards("templates").get(name) else read_template_card(name, file)


@cache
def _shipped_template(name: str) -> TemplateCard:
    return read_template_card(name, _shipped_cards("templates")[name])


@cache
def _shipped_cards(section: _Section) -> dict[str, Traversable]:
    """Cards that ship with softcloze, by name."""
    packaged = files("softcloze.library") / section
    # a wheel carries the folder inside the package, a checkout has it at the top
    return dict(_cards(packaged if packaged.is_dir() else Path(__file__).parents[3] / section))


def _user_cards(section: _Section, folder: Folder | None) -> dict[str, Path]:
    """Cards in the user's folders, by name; the first folder that has a name wins."""
    cards: dict[str, Path] = {}
    for library in reversed(_user_libraries(folder)):
        path = library / section
        try:
            cards |= {name: Path(str(file)) for name, file in _cards(path)} if path.is_dir() else {}
        except OSError as error:
            raise LibraryError(f"cannot read {path}: {error.strerror}") from error
    return cards


def _user_libraries(folder: Folder | None) -> list[Path]:
    """The user's libraries, in order of precedence."""
    named = [Path(path) for path in os.environ.get(SEARCH_PATH, "").split(os.pathsep) if path]
    if folder is not None:
        named.insert(0, Path(folder))
    libraries = [*map(expand_user, named)]
    for i, library in enumerate(libraries):
        where = f"{library}, named by {SEARCH_PATH}," if folder is None or i > 0 else f"{library}"
        if not library.is_dir():
            raise LibraryError(f"{where} is not a folder")
        if not any((library / section).is_dir() for section in get_args(_Section)):
            raise LibraryError(f"{where} is not a library: it has neither a folder 'templates' nor 'verbalizers'")
    return libraries


def _cards(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    """Name and file of each card in a folder: NAME.toml or TASK/NAME.toml."""
    for entry in folder.iterdir():
        if entry.is_dir() and not prefix:
            yield from _cards(entry, f"{entry.name}/")
        elif entry.name.endswith(_SUFFIX) and entry.is_file():
            yield prefix + entry.name.removesuffix(_SUFFIX), entry
