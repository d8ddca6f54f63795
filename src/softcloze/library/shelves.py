"""Find cards in the library by name."""

from importlib.resources import files
from importlib.resources.abc import Traversable

from softcloze.library.cards import (
    LibraryError,
    TemplateCard,
    VerbalizerCard,
    read_template_card,
    read_verbalizer_card,
)
from softcloze.template import Template, did_you_mean

_SUFFIX = ".toml"


def list_templates() -> list[str]:
    """Names of all templates of the library, sorted.

    >>> list_templates()
    ['sentiment/en', 'sentiment/en-after', 'sentiment/en-soft', 'sentiment/zh', 'sentiment/zh-soft']
    """
    return sorted(_shelf("templates"))


def list_verbalizers() -> list[str]:
    """Names of all tables of label words of the library, sorted.

    >>> list_verbalizers()
    ['sentiment/en', 'sentiment/zh']
    """
    return sorted(_shelf("verbalizers"))


def load_template(name: str) -> TemplateCard:
    """Load a template of the library.

    Raises:
        LibraryError: there is no template of that name.

    >>> load_template("sentiment/zh-soft").template.fields
    ('text',)
    """
    return read_template_card(name, _find(name, "templates"))


def load_verbalizer(name: str) -> VerbalizerCard:
    """Load label words of the library.

    Raises:
        LibraryError: there are no label words of that name.

    >>> load_verbalizer("sentiment/zh").words
    {'positive': ['满意'], 'negative': ['失望']}
    """
    return read_verbalizer_card(name, _find(name, "verbalizers"))


def resolve_template(template: str | Template) -> Template:
    """The template that a string spells, or names in the library.

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
    return Template(template) if "<" in template else load_template(template).template


def _find(name: str, kind: str) -> Traversable:
    """The file of a card; only what is listed is found, so no name leads out of the library."""
    shelf = _shelf(kind)
    if name not in shelf:
        known = ", ".join(sorted(shelf))
        raise LibraryError(f"no {name!r} among the library's {kind}: {known}{did_you_mean(str(name), shelf)}")
    return shelf[name]


def _shelf(kind: str) -> dict[str, Traversable]:
    """All cards of a kind: name to file."""
    found: dict[str, Traversable] = {}

    def walk(folder: Traversable, prefix: str) -> None:
        for entry in folder.iterdir():
            if entry.is_dir():
                walk(entry, f"{prefix}{entry.name}/")
            elif entry.name.endswith(_SUFFIX):
                found[prefix + entry.name.removesuffix(_SUFFIX)] = entry

    walk(files("softcloze.library") / kind, "")
    return found
