"""What can be said of label words without a tokenizer."""

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable
from unicodedata import name as character_name

from softcloze.errors import TemplateTypeError
from softcloze.formatting import cut, did_you_mean, listed, place
from softcloze.lint.finding import Finding, Severity
from softcloze.template import Literal, Mask, Node, Options, Template


@runtime_checkable
class HasWords(Protocol):
    """A verbalizer, such as softcloze.verbalizer.Verbalizer or RuleVerbalizer."""

    def label_words(self) -> Mapping[Any, Iterable[str]]:
        """The words of each label."""
        ...


Labels: TypeAlias = Mapping[Any, str | Sequence[str] | Mapping[str, float | str | Sequence[str]]] | HasWords
_HAN = ("CJK", "HIRAGANA", "KATAKANA", "IDEOGRAPHIC")  # written together in Japanese
_ALIKE = frozenset(("Latin", "Cyrillic", "Greek"))  # with letters that look the same


class Word(NamedTuple):
    """A label word and its place in the drawn table, `table[start:end]`; in a rule, the mask that it is for."""

    label: Hashable
    text: str
    start: int
    end: int
    mask: str | None = None


class WordTable(NamedTuple):
    """Label words as findings show them: a line for each label."""

    source: str
    words: tuple[Word, ...]

    @property
    def options(self) -> tuple[str, ...]:
        """What <options> lists: the first word of each label, or where there are rules, the labels."""
        first: dict[Hashable, str] = {}
        for word in self.words:
            first.setdefault(word.label, word.text if word.mask is None else str(word.label))
        return tuple(first.values())

    @property
    def masks(self) -> tuple[str, ...]:
        """The masks that rules have words for; none where the words are for the only mask."""
        return tuple(dict.fromkeys(word.mask for word in self.words if word.mask is not None))

    def finding(self, word: Word, code: str, severity: Severity, message: str, advice: str) -> Finding:
        """A finding about `word`."""
        return Finding(code, severity, message, advice, self.source, word.start, word.end)


def word_table(labels: Labels) -> WordTable:
    r"""Draw label words, and remember where each stands.

    Raises:
        TemplateTypeError: `labels` is no mapping to words, and has none.

    >>> word_table({"好": ["good", "fine"], "坏": "bad"}).source
    '好: good, fine\n坏: bad'
    >>> rules = {"好": {"quality": ["good", "fine"], "advice": "buy"}, "坏": {"quality": "bad", "advice": "avoid"}}
    >>> word_table(rules).source
    '好: quality=good, fine; advice=buy\n坏: quality=bad; advice=avoid'
    """
    mapping = labels.label_words() if isinstance(labels, HasWords) else labels
    if not isinstance(mapping, Mapping):
        raise TemplateTypeError(f"labels map each label to its words, found {type(labels).__name__}")
    written, words = "", []
    for label, own in mapping.items():
        written += f"{chr(10) if written else ''}{label}: "
        for number, (mask, at_mask) in enumerate(_by_mask(own)):
            written += ("; " if number else "") + ("" if mask is None else f"{mask}=")
            for i, word in enumerate(at_mask):
                if not isinstance(word, str):
                    raise TemplateTypeError(f"label {label!r} needs a word or a list of words, found {cut(repr(own))}")
                written += ", " if i else ""
                words.append(Word(label, word, len(written), len(written) + len(word), mask))
                written += word
    return WordTable(written, tuple(words))


def _by_mask(own: object) -> list[tuple[Any, list[object]]]:
    """The words of a label, by the mask that they are for if they make a rule, whose values are no weights."""
    is_rule = isinstance(own, Mapping) and any(isinstance(value, str | Sequence) for value in own.values())
    rule = own.items() if isinstance(own, Mapping) and is_rule else [(None, own)]
    return [
        (mask, list(words) if isinstance(words, Iterable) and not isinstance(words, str) else [words])
        for mask, words in rule
    ]


def check_words(table: WordTable) -> Iterator[Finding]:
    """Findings about the words alone."""
    if len({word.label for word in table.words}) < 2:
        message = "a verbalizer needs words for two labels or more"
        yield Finding("few-labels", "error", message, "", table.source, len(table.source), len(table.source))
    first: dict[Hashable, Word] = {}
    for word in table.words:
        bare = word.text.strip()
        if not bare:
            message = f"label {cut(repr(word.label))} has an empty word"
            yield table.finding(word, "empty-word", "error", message, "write a word that stands for it")
            continue
        if bare != word.text:
            message = f"{cut(repr(word.text))} has white space around it"
            yield table.finding(
                word, "word-space", "warning", message, "a space belongs into the template, before <mask>"
            )
        # rules share words, but at one mask each word of a label is there once
        known = first.setdefault(bare if word.mask is None else (word.label, word.mask, bare), word)
        if known is not word:
            message = f"{cut(repr(bare))} stands for a label already: {place(table.source, known.start)}"
            yield table.finding(word, "shared-word", "error", message, "each word may stand for one label once")
    yield from _check_scripts(table)


def check_mentions(
    table: WordTable, nodes: Sequence[Node], spans: Sequence[tuple[int, int]], source: str
) -> Iterator[Finding]:
    """Findings about what the template says of the labels: by <options>, or in its own words."""
    options = [(node, span) for node, span in zip(nodes, spans, strict=True) if isinstance(node, Options)]
    for node, span in options:
        ambiguous = [word for word in table.options if node.sep.strip() and node.sep in word]
        if ambiguous:
            message = f"{listed(ambiguous)} holds the separator {node.sep!r} of the options"
            advice = 'separate them by something else, as in <options sep=" / ">'
            yield Finding("options-separator", "warning", message, advice, source, *span)
    text = "\n".join(node.text for node in nodes if isinstance(node, Literal))
    mentioned = [word for word in table.options if word.strip() and _mentions(text, word.strip())]
    missing = [word for word in table.options if word not in mentioned]
    if not options and len(mentioned) > 1 and missing:
        message = f"the template lists the label words {listed(mentioned)}, but not {listed(missing)}"
        yield Finding(
            "options-missing", "warning", message, "list them all, or write <options>", source, 0, len(source)
        )


def check_masks(table: WordTable, template: Template) -> Iterator[Finding]:
    """Findings about the masks that there are words for, and those that the template has."""
    places = zip(template.nodes, template.spans, strict=True)
    masks = [(node.name, span) for node, span in places if isinstance(node, Mask)]
    names = [name for name, _ in masks]
    if not table.masks:
        for _, span in masks[1:]:
            message = "label words are for one mask, and this is another"
            yield Finding("mask-names", "error", message, "give rules: a word for each mask", template.source, *span)
        return
    for name, span in masks:
        if name is None or name not in table.masks:
            message = "the mask has no name" if name is None else f"no rule has a word for the mask {name!r}"
            advice = f"the rules have words for {listed(table.masks)}"
            yield Finding("mask-names", "error", message, advice, template.source, *span)
    for name in table.masks:
        if name not in names and None not in names:
            message = f"the template has no mask {name!r}{did_you_mean(name, names)}"
            word = next(word for word in table.words if word.mask == name)
            yield table.finding(word, "mask-names", "error", message, f"it has {listed(names)}")


def _mentions(text: str, word: str) -> bool:
    """Whether `word` stands in `text`, as a whole word where words have spaces between them."""
    edge = r"\b" if _scripts(word) != {"Han"} else ""
    return re.search(f"{edge}{re.escape(word)}{edge}", text, re.IGNORECASE) is not None


def _check_scripts(table: WordTable) -> Iterator[Finding]:
    by_script: dict[str, list[Word]] = {}
    for word in table.words:
        scripts = _scripts(word.text)
        alike = sorted(scripts & _ALIKE)
        if len(alike) > 1:
            message = f"{cut(repr(word.text))} mixes {' and '.join(alike)} letters, some of which look the same"
            yield table.finding(word, "mixed-scripts", "warning", message, "type it again in one script")
        elif len(scripts) == 1:
            by_script.setdefault(scripts.pop(), []).append(word)
    usual = max(by_script, key=lambda script: len(by_script[script]), default="")
    for script, words in by_script.items():
        if script != usual:
            these, others = (listed(word.text for word in by_script[name]) for name in (script, usual))
            message = f"{these} in {script} letters, {others} in {usual}"
            advice = "take all label words from one language: behind one template two are seldom equally likely"
            yield table.finding(words[0], "mixed-scripts", "warning", message, advice)


def _scripts(text: str) -> set[str]:
    """The scripts of the letters of a word.

    >>> sorted(_scripts("T恤"))
    ['Han', 'Latin']
    """
    names = {character_name(char, "").split(" ")[0].split("-")[0] for char in text if char.isalpha()}
    return {"Han" if name in _HAN else name.capitalize() for name in names if name}
