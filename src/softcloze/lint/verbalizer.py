"""A report on label words: tokens, probabilities on content-free input, and findings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from softcloze.display import Block, Column, Displayable, Preformatted, Table, percent
from softcloze.errors import VerbalizerError
from softcloze.formatting import one_line
from softcloze.lint.finding import STYLES, Finding, sort_findings
from softcloze.lint.label_words import list_words
from softcloze.lint.linter import lint
from softcloze.template import ChatOptions, Mask, Template

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from softcloze.analysis import Explanation
    from softcloze.encoding import PromptTokenizer
    from softcloze.verbalizer import AnyVerbalizer, Label, Words


@dataclass(frozen=True, slots=True)
class CheckedWord:
    """A label word with its tokens, and perhaps its probability.

    Attributes:
        label: its label.
        word: the word.
        weight: its weight in the label's score.
        tokens: its readable tokens at the mask; none if it cannot be encoded.
        prior: its probability at the mask of content-free input; None if no model was run.
        mask: the name of its mask, in a rule.
    """

    label: "Label"
    word: str
    weight: float
    tokens: tuple[str, ...]
    prior: float | None = None
    mask: str | None = None


@dataclass(frozen=True, slots=True)
class VerbalizerCheck(Displayable):
    """A report on label words; `print`, `rich.print` and notebooks show it as a table.

    Attributes:
        labels: the labels, sorted.
        words: all label words, in the order of the labels.
        findings: faults, doubts and remarks, about the template as well.
        priors: the probability of each label on content-free input; None if no model was run.

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

    labels: "tuple[Label, ...]"
    words: tuple[CheckedWord, ...]
    findings: tuple[Finding, ...]
    priors: tuple[float, ...] | None = None

    @property
    def works(self) -> bool:
        """True if no finding is an error."""
        return all(finding.severity != "error" for finding in self.findings)

    def content(self) -> Sequence[Block]:
        """The table, and the findings below."""
        if not self.findings:
            return [words_table(self), "nothing found"]
        findings = (Preformatted(_printable(finding), STYLES[finding.severity]) for finding in self.findings)
        return [words_table(self), *findings]


def check_verbalizer(
    verbalizer: "Mapping[Label, Words] | str | AnyVerbalizer",
    tokenizer: "PreTrainedTokenizerBase | PromptTokenizer",
    template: str | Template = "<text> <mask>",
    max_length: int | None = None,
    chat_options: ChatOptions | None = None,
) -> VerbalizerCheck:
    """Show label words with their tokens, and the findings of `lint`.

    Args:
        verbalizer: label -> its words, a verbalizer, or its name in the library.
        tokenizer: the model's tokenizer, as for `lint`.
        template: the template of the label words, or its name in the library; Chinese words often have no space before
            them, unlike the default.
        max_length: tokens of a prompt, at most; None for the tokenizer's own limit.
        chat_options: values of variables of the tokenizer's chat template, as for `PromptClassifier`.

    Raises:
        TokenizerError: softcloze does not support this tokenizer.
        TemplateSyntaxError: `template` does not parse.
        VerbalizerError: label words that do not make a verbalizer.
        LibraryError: the library has no template or label words of that name.

    >>> from softcloze.backbone import load_tokenizer
    >>> from softcloze.verbalizer import Verbalizer
    >>> tokenizer, *_ = load_tokenizer("starter:bert-tiny")
    >>> print(check_verbalizer(Verbalizer({"good": ["great", "fine"], "bad": {"awful": 1, "GREAT": 0.5}}), tokenizer))
    <BLANKLINE>
      label   word    weight   tokens
     ─────────────────────────────────
      bad     awful        1   awful
              GREAT      0.5   great
      good    great        1   great
              fine         1   fine
    <BLANKLINE>
    error: 'great' has the same tokens as 'GREAT': great (same-tokens)
      at line 2, column 7:
        good: great, fine
              ^^^^^
      choose words that have different tokens
    """
    from softcloze.library import resolve_mask_template, resolve_verbalizer
    from softcloze.lint.tokens import readable_tokens, resolve_tokenizer  # the tokenizers library is heavy
    from softcloze.verbalizer import FieldVerbalizer, Verbalizer

    parsed, resolved = resolve_mask_template(template), resolve_verbalizer(verbalizer)
    if resolved is None:
        raise VerbalizerError("verbalizer=None, but it has to be label words, or the name of some in the library")
    if isinstance(resolved, FieldVerbalizer):
        raise VerbalizerError(f"{resolved!r} has no words to check: those of each example are in its field")
    prompt_tokenizer, limit = resolve_tokenizer(tokenizer, max_length)
    findings = lint(parsed, resolved, tokenizer=prompt_tokenizer, max_length=limit, chat_options=chat_options)
    listing = list_words(resolved)
    tokens = readable_tokens(listing, parsed, prompt_tokenizer, chat_options)
    weights = [1.0] * len(listing.words)  # rules have no others
    if isinstance(resolved, Verbalizer):
        weights = [weight for of_label in resolved.weights for weight in of_label]
    words = tuple(
        CheckedWord(cast("Label", word.label), word.text, weight, tokens.get(word, ()), mask=word.mask)
        for word, weight in zip(listing.words, weights, strict=True)
    )
    return VerbalizerCheck(resolved.labels, words, tuple(findings))


def with_priors(
    check: VerbalizerCheck, template: Template, explanations: "Sequence[Explanation]", *, calibrated: bool
) -> VerbalizerCheck:
    """Add the mean probabilities of labels and label words on content-free inputs.

    Args:
        check: the report without them.
        template: the template of the inputs.
        explanations: of each of the inputs, before any calibration.
        calibrated: True if a calibration corrects the label scores, so that no label wins unduly.

    >>> from softcloze.analysis import Explanation, WordShare
    >>> words = (CheckedWord("bad", "差", 1.0, ("差",)), CheckedWord("good", "好", 1.0, ("好",)))
    >>> check = VerbalizerCheck(("bad", "good"), words, ())
    >>> shares = (WordShare("bad", "差", ("差",), -3.0, -2.0, 1.0), WordShare("good", "好", ("好",), -1.0, 0.0, 1.0))
    >>> empty = Explanation(("bad", "good"), (0.1, 0.9), shares, (), mass=0.5)
    >>> check = with_priors(check, Template("<text>很<mask>"), [empty], calibrated=False)
    >>> print(*check.findings)
    warning: label 'good' wins on content-free input with probability 0.90, where chance is 0.50 (one-sided)
      at line 1, column 8:
        <text>很<mask>
                ^^^^^^
      measure whether calibration='batch' helps
    """
    count = len(explanations)
    of_labels = zip(*(explanation.probabilities for explanation in explanations), strict=True)
    of_words = zip(*([word.probability for word in explanation.words] for explanation in explanations), strict=True)
    priors = tuple(sum(probabilities) / count for probabilities in of_labels)
    words = tuple(replace(word, prior=sum(ps) / count) for word, ps in zip(check.words, of_words, strict=True))
    findings = check.findings
    if not calibrated:
        findings = tuple(sort_findings([*findings, *_one_sided(check.labels, priors, template)], template.source))
    return replace(check, words=words, findings=findings, priors=priors)


def words_table(check: VerbalizerCheck) -> Table:
    """The label words as a table, with the columns that have content; the first word of a label shows the label."""
    rows: list[tuple[int, CheckedWord | None]] = []  # the index of the label in its first row, else -1
    for i, label in enumerate(check.labels):
        words = [word for word in check.words if word.label == label]
        rows += [(i, words[0] if words else None), *((-1, word) for word in words[1:])]
    columns = [Column("label", [str(check.labels[i]) if i >= 0 else "" for i, _ in rows])]
    if check.priors is not None:
        priors = [percent(check.priors[i]) if i >= 0 else "" for i, _ in rows]
        columns.append(Column("prior", priors, is_number=True))
    if any(word.mask is not None for word in check.words):
        columns.append(Column("mask", [str(word.mask) if word else "" for _, word in rows]))
    columns.append(Column("word", [word.word if word else "" for _, word in rows]))
    if any(word.weight != 1 for word in check.words):
        columns.append(Column("weight", [f"{word.weight:g}" if word else "" for _, word in rows], is_number=True))
    columns.append(Column("tokens", [" ".join(word.tokens) if word else "" for _, word in rows]))
    if check.priors is not None:
        priors = ["" if word is None or word.prior is None else percent(word.prior) for _, word in rows]
        columns.append(Column("prior of the word", priors, is_number=True))
    return Table(columns)


def _one_sided(labels: "Sequence[Label]", priors: Sequence[float], template: Template) -> list[Finding]:
    """A finding if one label wins on content-free input."""
    from softcloze.calibration import winning_label  # imports scipy

    winner = winning_label(priors)
    if winner is None:
        return []
    message = (
        f"label {labels[winner]!r} wins on content-free input with probability {priors[winner]:.2f}, where chance is "
        f"{1 / len(labels):.2f}"
    )
    span = next(span for node, span in zip(template.nodes, template.spans, strict=True) if isinstance(node, Mask))
    advice = "measure whether calibration='batch' helps"
    return [Finding("one-sided", "warning", message, advice, template.source, *span)]


def _printable(finding: Finding) -> str:
    """A finding without invisible characters in its message and advice; its picture has none anyway."""
    return str(replace(finding, message=one_line(finding.message), advice=one_line(finding.advice)))
