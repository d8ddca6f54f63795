"""Find cards by name: those that come with softcloze, and the user's own."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar, get_args

from softcloze.errors import LibraryError
from softcloze.formatting import did_you_mean
from softcloze.library.cards import TemplateCard, VerbalizerCard, read_template_card, read_verbalizer_card
from softcloze.template import Template
from softcloze.verbalizer import AnyVerbalizer, Label, RuleVerbalizer, Verbalizer, Words

SEARCH_PATH = "SOFTCLOZE_LIBRARY"  # the environment variable that names folders of the user's own
Folder: TypeAlias = str | os.PathLike[str]
_Shelf: TypeAlias = Literal["templates", "verbalizers"]
_Card = TypeVar("_Card", TemplateCard, VerbalizerCard)
_SUFFIX = ".toml"


def list_templates(folder: Folder | None = None) -> list[str]:
    """Names of all templates of the library, sorted.

    Args:
        folder: a library of your own to look in first, with the folders `templates` and `verbalizers` or one
            of them below, each with cards as TASK/NAME.toml. Next come the folders that the environment
            variable SOFTCLOZE_LIBRARY names. A card there wins over ours of the same name.

    >>> [name for name in list_templates() if name.startswith("spam/en")]
    ['spam/en', 'spam/en-mixed', 'spam/en-soft']
    """
    return sorted(_own("templates", folder) | _ours("templates"))


def list_verbalizers(folder: Folder | None = None) -> list[str]:
    """Names of all tables of label words of the library, sorted; arguments as for `list_templates`.

    >>> [name for name in list_verbalizers() if name.startswith("spam/")]
    ['spam/en', 'spam/zh']
    """
    return sorted(_own("verbalizers", folder) | _ours("verbalizers"))


def load_template(name: str, folder: Folder | None = None) -> TemplateCard:
    """Load a template of the library; `folder` as for `list_templates`.

    Raises:
        LibraryError: there is no template of that name, its card is not as it should be, or the library does
            not have the label words that it names.

    >>> load_template("sentiment/zh-soft").template.fields
    ('text',)
    """
    card = _load(name, "templates", folder, read_template_card)
    words = _own("verbalizers", folder) | _ours("verbalizers")
    if card.verbalizer not in words:
        where = card.file if card.file is not None else card.name
        raise LibraryError(f"{where}: {_unknown(card.verbalizer, 'verbalizers', words)}")
    return card


def load_verbalizer(name: str, folder: Folder | None = None) -> VerbalizerCard:
    """Load label words of the library; `folder` as for `list_templates`.

    Raises:
        LibraryError: there are no label words of that name, or their card is not as it should be.

    >>> load_verbalizer("sentiment/zh").words
    {'positive': ['满意'], 'negative': ['失望']}
    """
    return _load(name, "verbalizers", folder, read_verbalizer_card)


def resolve_template(template: str | Template, folder: Folder | None = None) -> Template:
    """The template that a string spells, or names in the library; `folder` as for `list_templates`.

    Every template has a mask, and so a `<`; a string without one is a name.

    Raises:
        TemplateSyntaxError: it does not parse.
        LibraryError: there is no template of that name.

    >>> resolve_template("It was <mask>") == resolve_template(Template("It was <mask>"))
    True
    >>> resolve_template("sentiment/zh").fields
    ('text',)
    """
    if isinstance(template, Template):
        return template
    return Template(template) if "<" in template else load_template(template, folder).template


def _load(name: str, shelf: _Shelf, folder: Folder | None, read: Callable[[str, Traversable], _Card]) -> _Card:
    """Read a card; only what is listed is found, so no name leads out of the library."""
    own, ours = _own(shelf, folder), _ours(shelf)
    if name in own:
        return replace(read(name, own[name]), file=own[name], replaces=name in ours)
    if name in ours:
        return read(name, ours[name])
    raise LibraryError(_unknown(str(name), shelf, own | ours))


def _unknown(name: str, shelf: _Shelf, known: Iterable[str]) -> str:
    """What there is instead: the names of the same task, or if there is no such task, the tasks."""
    task = name.split("/")[0]
    names = sorted(known)
    listed = [near for near in names if near.split("/")[0] == task]
    if not listed:
        listed = list(dict.fromkeys(near.split("/")[0] + "/…" if "/" in near else near for near in names))
    return f"no {name!r} among the library's {shelf}: {', '.join(listed)}{did_you_mean(name, names)}"


@cache
def _ours(shelf: _Shelf) -> dict[str, Traversable]:
    """The cards that come with softcloze, which stay the same: name to file."""
    packaged = files("softcloze.library") / shelf
    # an installed package holds the folder, a checkout has it at its top
    return dict(_cards(packaged if packaged.is_dir() else Path(__file__).parents[3] / shelf))


def _own(shelf: _Shelf, folder: Folder | None) -> dict[str, Path]:
    """The user's cards: name to file, from the first folder that has it."""
    found: dict[str, Path] = {}
    for library in reversed(_libraries(folder)):
        place = library / shelf
        try:
            found |= {name: Path(str(file)) for name, file in _cards(place)} if place.is_dir() else {}
        except OSError as error:
            raise LibraryError(f"cannot read {place}: {error.strerror}") from error
    return found


def _libraries(folder: Folder | None) -> list[Path]:
    """The user's libraries, that with the first say first."""
    named = [Path(path) for path in os.environ.get(SEARCH_PATH, "").split(os.pathsep) if path]
    if folder is not None:
        named.insert(0, Path(folder))
    libraries = [path.expanduser() for path in named]
    for i, library in enumerate(libraries):
        where = f"{library}, named by {SEARCH_PATH}," if folder is None or i > 0 else f"{library}"
        if not library.is_dir():
            raise LibraryError(f"{where} is no folder")
        if not any((library / shelf).is_dir() for shelf in get_args(_Shelf)):
            raise LibraryError(f"{where} is no library: it has neither a folder 'templates' nor 'verbalizers'")
    return libraries


def _cards(shelf: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    """Name and file of each card on a shelf: NAME.toml, or TASK/NAME.toml."""
    for entry in shelf.iterdir():
        if entry.is_dir() and not prefix:
            yield from _cards(entry, f"{entry.name}/")
        elif entry.name.endswith(_SUFFIX) and entry.is_file():
            yield prefix + entry.name.removesuffix(_SUFFIX), entry


def resolve_verbalizer(
    verbalizer: Mapping[Label, Words] | str | AnyVerbalizer | None,
) -> AnyVerbalizer | None:
    """The verbalizer that a table spells, or a string names in the library.

    >>> resolve_verbalizer({0: "bad", 1: "good"}).labels
    (0, 1)
    """
    if verbalizer is None or isinstance(verbalizer, Verbalizer | RuleVerbalizer):
        return verbalizer
    if isinstance(verbalizer, str):
        card = load_verbalizer(verbalizer)
        return Verbalizer(dict(card.words.items()), card.aggregate, card.per)
    return Verbalizer(verbalizer)
