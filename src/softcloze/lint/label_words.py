"""Rules for label words that need no tokenizer."""

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable
from unicodedata import name as character_name

from softcloze.errors import TemplateSyntaxError, TemplateTypeError, VerbalizerError
from softcloze.formatting import did_you_mean, line_and_column, quoted, quoted_list
from softcloze.lint.finding import Finding, Severity
from softcloze.template import Literal, Mask, Options, Template


@runtime_checkable
class HasWords(Protocol):
    """A verbalizer, such as softcloze.verbalizer.Verbalizer or RuleVerbalizer."""

    def label_words(self) -> Mapping[Any, Iterable[str]]:
        """The words of each label."""
        ...


LabelWords: TypeAlias = Mapping[Any, str | Sequence[str] | Mapping[str, float | str | Sequence[str]]] | HasWords
_HAN = ("CJK", "HIRAGANA", "KATAKANA", "IDEOGRAPHIC")  # written together in Japanese
_ALIKE = frozenset(("Latin", "Cyrillic", "Greek"))  # scripts that share the shapes of letters


class Word(NamedTuple):
    """A label word and its span in the listing, `source[start:end]`; in a rule, also the name of its mask."""

    label: Hashable
    text: str
    start: int
    end: int
    mask: str | None = None


class WordListing(NamedTuple):
    """Label words written out for findings, a line for each label.

    Attributes:
        source: the text.
        words: all label words with their spans in it.
        labels: the labels, including those without words.
    """

    source: str
    words: tuple[Word, ...]
    labels: tuple[Hashable, ...]

    @property
    def options(self) -> tuple[str, ...]:
        """Texts that <options> lists: the first word of each label, or with rules, the labels."""
        first: dict[Hashable, str] = {}
        for word in self.words:
            first.setdefault(word.label, word.text if word.mask is None else str(word.label))
        return tuple(first.values())

    @property
    def masks(self) -> tuple[str, ...]:
        """Names of the masks of rules; none if the words are for the only mask."""
        return tuple(dict.fromkeys(word.mask for word in self.words if word.mask is not None))

    def finding(self, word: Word, code: str, severity: Severity, message: str, advice: str) -> Finding:
        """A finding about `word`."""
        return Finding(code, severity, message, advice, self.source, word.start, word.end)

    def finding_at_end(self, code: str, severity: Severity, message: str, advice: str) -> Finding:
        """A finding about something that is missing from the listing."""
        return Finding(code, severity, message, advice, self.source, len(self.source), len(self.source))


def list_words(verbalizer: LabelWords) -> WordListing:
    r"""Write label words out, and keep the span of each.

    Raises:
        TemplateTypeError: `verbalizer` is neither a mapping to words nor a verbalizer.

    >>> list_words({"好": ["good", "fine"], "坏": "bad"}).source
    '好: good, fine\n坏: bad'
    >>> rules = {"好": {"quality": ["good", "fine"], "advice": "buy"}, "坏": {"quality": "bad", "advice": "avoid"}}
    >>> list_words(rules).source
    '好: quality=good, fine; advice=buy\n坏: quality=bad; advice=avoid'
    """
    mapping = verbalizer.label_words() if isinstance(verbalizer, HasWords) else verbalizer
    if not isinstance(mapping, Mapping):
        raise TemplateTypeError(f"label words map each label to its words, found {type(verbalizer).__name__}")
    written, words = "", []
    for label, label_words in mapping.items():
        written += f"{chr(10) if written else ''}{label}: "
        for number, (mask, at_mask) in enumerate(_by_mask(label_words)):
            written += ("; " if number else "") + ("" if mask is None else f"{mask}=")
            for i, word in enumerate(at_mask):
                if not isinstance(word, str):
                    raise TemplateTypeError(
                        f"label {label!r} needs a word or a list of words, found {quoted(label_words)}"
                    )
                written += ", " if i else ""
                words.append(Word(label, word, len(written), len(written) + len(word), mask))
                written += word
    return WordListing(written, tuple(words), tuple(getattr(verbalizer, "labels", mapping)))


def _by_mask(label_words: object) -> list[tuple[Any, list[object]]]:
    """The words of a label by mask, None for the only one; a mapping to words is a rule, one to numbers has weights."""
    is_rule = isinstance(label_words, Mapping) and any(
        isinstance(value, str | Sequence) for value in label_words.values()
    )
    rule = label_words.items() if isinstance(label_words, Mapping) and is_rule else [(None, label_words)]
    return [
        (mask, list(words) if isinstance(words, Iterable) and not isinstance(words, str) else [words])
        for mask, words in rule
    ]


def check_words(listing: WordListing, words: Any) -> list[Finding]:  # noqa: ANN401 - LabelWords, as users type them
    """Check the words alone; `words` are those of the listing, as they were given."""
    findings = [*_check_words(listing)]
    if isinstance(words, Mapping) and all(finding.severity != "error" for finding in findings):
        from softcloze.verbalizer import RuleVerbalizer, Verbalizer  # imports numpy

        try:
            RuleVerbalizer(words) if listing.masks else Verbalizer(words)
        except VerbalizerError as error:
            findings.append(listing.finding_at_end("verbalizer", "error", str(error), ""))
    return findings


def _check_words(listing: WordListing) -> Iterator[Finding]:
    if len({word.label for word in listing.words}) < 2:
        yield listing.finding_at_end("few-labels", "error", "a verbalizer needs words for two labels or more", "")
    first: dict[Hashable, Word] = {}
    for word in listing.words:
        bare = word.text.strip()
        if not bare:
            message = f"label {quoted(word.label)} has an empty word"
            yield listing.finding(word, "empty-word", "error", message, "write a word for it")
            continue
        if bare != word.text:
            message = f"{quoted(word.text)} has white space around it"
            advice = "put the space into the template, before <mask>"
            yield listing.finding(word, "word-space", "warning", message, advice)
        # labels of rules share words, but a label has each word once at one mask
        earlier = first.setdefault(bare if word.mask is None else (word.label, word.mask, bare), word)
        if earlier is not word:
            message = f"{quoted(bare)} is a label word already: {line_and_column(listing.source, earlier.start)}"
            yield listing.finding(word, "shared-word", "error", message, "use each word for one label, once")
    yield from _check_scripts(listing)


def check_labels(listing: WordListing, labels: Iterable[Hashable]) -> Iterator[Finding]:
    """Compare the labels of the examples with those that have words.

    >>> words = list_words({"good": "great", "bad": "awful"})
    >>> [finding.message for finding in check_labels(words, ["good", "good", "Bad"])]
    ["no label word for the label 'Bad'; did you mean 'bad'?", "no example has the label 'bad'"]
    """
    used = tuple(dict.fromkeys(labels))
    for label in used:
        if label not in listing.labels:
            message = f"no label word for the label {quoted(label)}{did_you_mean(str(label), listing.labels)}"
            yield listing.finding_at_end(
                "missing-label", "error", message, f"the labels are {quoted_list(listing.labels)}"
            )
    for label in listing.labels:
        if label not in used:
            yield listing.finding_at_end("unused-label", "note", f"no example has the label {quoted(label)}", "")


def check_mentions(listing: WordListing, template: Template) -> Iterator[Finding]:
    """Compare the labels that the template lists, by <options> or in its own text, with the label words."""
    nodes = list(zip(template.nodes, template.spans, strict=True))
    options = [(node, span) for node, span in nodes if isinstance(node, Options)]
    for node, span in options:
        ambiguous = [word for word in listing.options if node.sep.strip() and node.sep in word]
        if ambiguous:
            message = f"{quoted_list(ambiguous)} contains the separator {node.sep!r} of the options"
            advice = 'choose another separator, as in <options sep=" / ">'
            yield Finding("options-separator", "warning", message, advice, template.source, *span)
    text = "\n".join(node.text for node, _ in nodes if isinstance(node, Literal))
    mentioned = [word for word in listing.options if word.strip() and _mentions(text, word.strip())]
    missing = [word for word in listing.options if word not in mentioned]
    if not options and len(mentioned) > 1 and missing:
        message = f"the template lists the label words {quoted_list(mentioned)}, but not {quoted_list(missing)}"
        advice = "list them all, or write <options>"
        yield Finding("options-missing", "warning", message, advice, template.source, 0, len(template.source))


def check_masks(listing: WordListing, template: Template) -> Iterator[Finding]:
    """Compare the masks of the label words with those of the template."""
    try:
        template.validate_classifies()
    except TemplateSyntaxError as error:
        yield Finding(error.code, "error", error.problem, "", error.source, error.start, error.end)
        return
    nodes = zip(template.nodes, template.spans, strict=True)
    masks = [(node.name, span) for node, span in nodes if isinstance(node, Mask)]
    names = [name for name, _ in masks]
    if not listing.masks:
        for _, span in masks[1:]:
            message = "the label words are for one mask, and this is another"
            yield Finding("mask-names", "error", message, "give rules: a word for each mask", template.source, *span)
        return
    for name, span in masks:
        if name is None or name not in listing.masks:
            message = "the mask has no name" if name is None else f"no rule has a word for the mask {name!r}"
            advice = f"the rules have words for {quoted_list(listing.masks)}"
            yield Finding("mask-names", "error", message, advice, template.source, *span)
    for name in listing.masks:
        if name not in names and None not in names:
            message = f"the template has no mask {name!r}{did_you_mean(name, names)}"
            word = next(word for word in listing.words if word.mask == name)
            yield listing.finding(word, "mask-names", "error", message, f"it has {quoted_list(names)}")


def _mentions(text: str, word: str) -> bool:
    """True if `text` contains `word`, as a whole word in scripts that separate words by spaces."""
    edge = r"\b" if _scripts(word) != {"Han"} else ""
    return re.search(f"{edge}{re.escape(word)}{edge}", text, re.IGNORECASE) is not None


def _check_scripts(listing: WordListing) -> Iterator[Finding]:
    by_script: dict[str, list[Word]] = {}
    for word in listing.words:
        scripts = _scripts(word.text)
        alike = sorted(scripts & _ALIKE)
        if len(alike) > 1:
            message = f"{quoted(word.text)} mixes {' and '.join(alike)} letters, some of which look the same"
            yield listing.finding(word, "mixed-scripts", "warning", message, "type it again in one script")
        elif len(scripts) == 1:
            by_script.setdefault(scripts.pop(), []).append(word)
    usual = max(by_script, key=lambda script: len(by_script[script]), default="")
    for script, words in by_script.items():
        if script != usual:
            rare, common = (quoted_list(word.text for word in by_script[name]) for name in (script, usual))
            message = f"{rare} in {script} letters, {common} in {usual}"
            advice = "take all label words from one language: two languages are seldom equally likely in one template"
            yield listing.finding(words[0], "mixed-scripts", "warning", message, advice)


def _scripts(text: str) -> set[str]:
    """The scripts of the letters of a word.

    >>> sorted(_scripts("T恤"))
    ['Han', 'Latin']
    """
    names = {character_name(char, "").split(" ")[0].split("-")[0] for char in text if char.isalpha()}
    return {"Han" if name in _HAN else name.capitalize() for name in names if name}
