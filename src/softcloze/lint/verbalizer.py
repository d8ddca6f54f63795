"""Label words with their tokens, their probabilities without content, and all that is wrong or doubtful about them."""

import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import NamedTuple, cast

import jinja2
import numpy as np
from jinja2 import Environment, StrictUndefined
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from softcloze.analysis import Explanation
from softcloze.display import percent
from softcloze.encoding import NO_LIMIT, CompiledTemplate, PromptTokenizer
from softcloze.encoding.tokens import readable_token
from softcloze.errors import EncodingError, TokenizerError
from softcloze.formatting import one_line
from softcloze.lint.finding import STYLES, Finding
from softcloze.lint.label_words import Word, WordTable, check_masks, word_table
from softcloze.lint.template import check, in_order
from softcloze.lint.tokens import check_encoding
from softcloze.template import Mask, Template
from softcloze.verbalizer import AnyVerbalizer, Label, Verbalizer

WINS = 3.0  # times the odds of chance: 0.75 for one of two labels, 0.43 for one of five


@dataclass(frozen=True, slots=True)
class CheckedWord:
    """A label word, and what a tokenizer and a model make of it.

    Attributes:
        label: the label that it stands for.
        word: the word.
        weight: what it counts.
        tokens: its tokens in the mask's place, fit to be read; none where it cannot be encoded.
        prior: its probability at the mask of content-free input; None where no model was asked.
        mask: the name of the mask that it is for, in a rule.
    """

    label: Label
    word: str
    weight: float
    tokens: tuple[str, ...]
    prior: float | None = None
    mask: str | None = None


@dataclass(frozen=True, slots=True)
class VerbalizerCheck:
    """What there is to say about label words; `print` and `rich.print` show it as a table, and so do notebooks.

    Attributes:
        labels: the labels, sorted.
        words: all label words, in the order of the labels.
        findings: what is wrong, doubtful or worth knowing, about the template as well.
        priors: the probability of each label on content-free input; None where no model was asked.

    >>> words = (CheckedWord("bad", "差", 1.0, ("差",)), CheckedWord("good", "very good", 1.0, ("very", "␣good")))
    >>> print(VerbalizerCheck(("bad", "good"), words, findings=()))
    <BLANKLINE>
      label   word        tokens
     ────────────────────────────────
      bad     差          差
      good    very good   very ␣good
    <BLANKLINE>
    nothing found
    """

    labels: tuple[Label, ...]
    words: tuple[CheckedWord, ...]
    findings: tuple[Finding, ...]
    priors: tuple[float, ...] | None = None

    @property
    def works(self) -> bool:
        """Whether nothing is wrong: no finding is an error."""
        return all(finding.severity != "error" for finding in self.findings)

    def __str__(self) -> str:

        return check_text(self)

    def __rich__(self) -> "RenderableType":

        return check_rich(self)

    def _repr_html_(self) -> str:

        return check_html(self)


def check_verbalizer(
    verbalizer: AnyVerbalizer, template: Template, prompt_tokenizer: PromptTokenizer, max_length: int = NO_LIMIT
) -> VerbalizerCheck:
    """Label words with their tokens, and the findings of `Template.check`.

    Args:
        verbalizer: the label words.
        template: where they are to stand.
        prompt_tokenizer: the tokenizer.
        max_length: tokens that a prompt may have.

    >>> from softcloze.backbone import load_tokenizer
    >>> tokenizer, *_ = load_tokenizer("starter:bert-tiny")
    >>> words = Verbalizer({"good": ["great", "top notch"], "bad": "meh"})
    >>> checked = check_verbalizer(words, Template("<text> It was <mask>."), PromptTokenizer(tokenizer, masked=True))
    >>> [(word.word, word.tokens) for word in checked.words]
    [('meh', ('me', '##h')), ('great', ('great',)), ('top notch', ('top', 'notch'))]
    >>> checked.works
    True
    """
    found = [
        *check(template, labels=verbalizer),
        *check_encoding(template, prompt_tokenizer, max_length, labels=verbalizer),
    ]
    table = word_table(verbalizer)
    spelt = _spell(table, template, prompt_tokenizer)
    own = [weight for weights in verbalizer.weights for weight in weights] if isinstance(verbalizer, Verbalizer) else []
    words = tuple(
        CheckedWord(cast("Label", word.label), word.text, weight, spelt.get(word, ()), mask=word.mask)
        for word, weight in zip(table.words, own or [1.0] * len(table.words), strict=True)  # rules have no weights
    )
    return VerbalizerCheck(verbalizer.labels, words, tuple(in_order(found, template.source)))


def with_priors(
    checked: VerbalizerCheck, template: Template, explanations: Sequence[Explanation], *, calibrated: bool
) -> VerbalizerCheck:
    """The same with what a model says of content-free inputs, on average over them.

    Args:
        checked: the label words without.
        template: the template of the inputs.
        explanations: of each of the inputs, before any calibration.
        calibrated: whether a calibration corrects the label scores, so that it is no matter which label wins.

    >>> from softcloze.analysis import WordShare
    >>> words = (CheckedWord("bad", "差", 1.0, ("差",)), CheckedWord("good", "好", 1.0, ("好",)))
    >>> checked = VerbalizerCheck(("bad", "good"), words, ())
    >>> shares = (WordShare("bad", "差", ("差",), -3.0, -2.0, 1.0), WordShare("good", "好", ("好",), -1.0, 0.0, 1.0))
    >>> empty = Explanation(("bad", "good"), (0.1, 0.9), shares, (), mass=0.5)
    >>> checked = with_priors(checked, Template("<text>很<mask>"), [empty], calibrated=False)
    >>> print(*checked.findings)
    warning: label 'good' wins on content-free input with probability 0.90, where chance is 0.50 (one-sided)
      at line 1, column 8:
        <text>很<mask>
                ^^^^^^
      measure whether calibration='batch' helps
    """
    priors = np.mean([explanation.probabilities for explanation in explanations], axis=0).tolist()
    of_words = [[word.probability for word in explanation.words] for explanation in explanations]
    means = np.mean(of_words, axis=0).tolist()
    words = tuple(replace(word, prior=prior) for word, prior in zip(checked.words, means, strict=True))
    findings = checked.findings
    if not calibrated:
        findings = tuple(in_order([*findings, *_one_sided(checked.labels, priors, template)], template.source))
    return replace(checked, words=words, findings=findings, priors=tuple(priors))


def _one_sided(labels: Sequence[Label], priors: Sequence[float], template: Template) -> list[Finding]:
    """A finding where one label is `WINS` times as likely as chance, in odds, if the input says nothing."""
    prior, chance = max(priors), 1 / len(labels)
    if prior * (1 - chance) <= WINS * chance * (1 - prior):
        return []
    winner = labels[priors.index(prior)]
    message = f"label {winner!r} wins on content-free input with probability {prior:.2f}, where chance is {chance:.2f}"
    span = next(span for node, span in zip(template.nodes, template.spans, strict=True) if isinstance(node, Mask))
    advice = "measure whether calibration='batch' helps"
    return [Finding("one-sided", "warning", message, advice, template.source, *span)]


def _spell(table: WordTable, template: Template, prompt_tokenizer: PromptTokenizer) -> dict[Word, tuple[str, ...]]:
    """The tokens of each word in the mask's place, of those that can be encoded; why not is among the findings."""
    spelt: dict[Word, tuple[str, ...]] = {}
    if any(check_masks(table, template)):
        return spelt
    with suppress(EncodingError, TokenizerError):
        compiled = CompiledTemplate(template, prompt_tokenizer, NO_LIMIT, options=table.options or ("",))
        for word in table.words:
            with suppress(EncodingError):
                tokens = map(prompt_tokenizer.token, compiled.word_ids(word.text, word.mask))
                spelt[word] = tuple(readable_token(token, byte_level=prompt_tokenizer.byte_level) for token in tokens)
    return spelt


WIDTH = 120  # cells of plain text


class Column(NamedTuple):
    """A column of the table: its heading and a cell for each line."""

    name: str
    cells: list[str]
    is_number: bool = False


def columns(checked: VerbalizerCheck) -> list[Column]:
    """The columns that have something to show; a label stands beside the first of its words, or has a line alone."""
    own = [[word for word in checked.words if word.label == label] for label in checked.labels]
    first = [line for words in own for line in (True, *[False] * (len(words) - 1))]
    words: list[CheckedWord | None] = [word for words in own for word in (*words,) or (None,)]

    def beside(texts: list[str]) -> list[str]:
        left = iter(texts)
        return [next(left) if is_first else "" for is_first in first]

    shown = [Column("label", beside([one_line(label) for label in checked.labels]))]
    if checked.priors is not None:
        shown.append(Column("prior", beside([percent(prior) for prior in checked.priors]), is_number=True))
    if any(word.mask is not None for word in checked.words):
        shown.append(Column("mask", ["" if word is None else one_line(word.mask) for word in words]))
    shown.append(Column("word", ["" if word is None else one_line(word.word) for word in words]))
    if any(word.weight != 1 for word in checked.words):
        shown.append(Column("weight", ["" if word is None else f"{word.weight:g}" for word in words], is_number=True))
    shown.append(Column("tokens", ["" if word is None else one_line(" ".join(word.tokens)) for word in words]))
    if checked.priors is not None:
        priors = ["" if word is None or word.prior is None else percent(word.prior) for word in words]
        shown.append(Column("prior of the word", priors, is_number=True))
    return shown


def check_text(checked: VerbalizerCheck) -> str:
    """The table and the findings as plain text."""
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None)
    with console.capture() as captured:
        console.print(checked)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def check_rich(checked: VerbalizerCheck) -> RenderableType:
    """The table, and the findings below."""
    found = [Text(_printed(finding), STYLES[finding.severity]) for finding in checked.findings]
    return Group(rich_word_table(checked), *(found or [Text("nothing found")]))


def check_html(checked: VerbalizerCheck) -> str:
    """The same as a piece of HTML that needs nothing else; all text in it is escaped."""
    shown = columns(checked)
    lines = zip(*(column.cells for column in shown), strict=True)
    return _fragment().render(columns=shown, lines=lines, findings=[*map(_printed, checked.findings)])


def rich_word_table(checked: VerbalizerCheck) -> Table:
    """The label words with what a tokenizer, and perhaps a model, makes of them."""
    shown = Table(box=box.SIMPLE_HEAD)
    for column in columns(checked):
        if column.is_number:
            shown.add_column(column.name, justify="right", no_wrap=True)
        else:
            shown.add_column(column.name, overflow="fold")
    for line in zip(*(column.cells for column in columns(checked)), strict=True):
        shown.add_row(*map(Text, line))
    return shown


def _printed(finding: Finding) -> str:
    """A finding whose words from outside are fit for a terminal, as its picture of the place is already."""
    return str(replace(finding, message=one_line(finding.message), advice=one_line(finding.advice)))


@cache
def _fragment() -> jinja2.Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(files("softcloze.lint").joinpath("verbalizer.html").read_text(encoding="utf-8"))
