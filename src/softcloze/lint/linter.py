"""Lint a template and its label words with all that is known of the examples and the model."""

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING

from softcloze.errors import TemplateSyntaxError
from softcloze.lint.finding import Finding, sort_findings
from softcloze.lint.label_words import LabelWords, check_labels, check_masks, check_mentions, check_words, list_words
from softcloze.lint.template import check_broken_template, check_template
from softcloze.template import Template

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from softcloze.encoding import PromptTokenizer


def lint(
    template: str | Template,
    verbalizer: LabelWords | None = None,
    *,
    tokenizer: "PreTrainedTokenizerBase | PromptTokenizer | None" = None,
    fields: Iterable[str] | None = None,
    labels: Iterable[Hashable] | None = None,
    max_length: int | None = None,
) -> list[Finding]:
    """Find errors, doubts and remarks about a template and its label words; loads no model.

    Args:
        template: the template; a syntax error in a string becomes a finding.
        verbalizer: label -> its words, or a verbalizer.
        tokenizer: the model's tokenizer. One of transformers with sentinels such as <extra_id_0> is taken for a
            seq2seq model's, one without a mask token for a causal model's.
        fields: names of the fields of the examples.
        labels: labels of the examples; compared with those of `verbalizer`.
        max_length: tokens of a prompt, at most; None for the tokenizer's own limit.

    Returns:
        Findings in the template by position, then those in the label words.

    Raises:
        TemplateTypeError: `template` or `verbalizer` is of another type.
        TokenizerError: softcloze does not support this tokenizer.

    >>> for finding in lint("Reveiw: <text> It was {mask} <mask>", fields=["review"]):
    ...     print(finding)
    error: the examples have no field 'text' (missing-field)
      at line 1, column 9:
        Reveiw: <text> It was {mask} <mask>
                ^^^^^^
      they have 'review'
    warning: '{mask}' looks like a tag, but is text (forgotten-tag)
      at line 1, column 23:
        Reveiw: <text> It was {mask} <mask>
                              ^^^^^^
      write <mask>
    note: the template does not use the field 'review' (unused-field)
      at line 1, column 36:
        Reveiw: <text> It was {mask} <mask>
                                           ^
    >>> [finding.code for finding in lint("<text> It was [MASK]")]
    ['forgotten-tag', 'no-mask']
    """
    names = None if fields is None else tuple(fields)
    words = None if verbalizer is None else list_words(verbalizer)
    findings: list[Finding] = []
    parsed: Template | None = None
    try:
        parsed = template if isinstance(template, Template) else Template(template)
        source = parsed.source
        findings += check_template(parsed, names)
    except TemplateSyntaxError as error:
        source = error.source
        findings += check_broken_template(error, names or ())
    if words is not None:
        findings += check_words(words)
        if parsed is not None:
            findings += check_masks(words, parsed)
            findings += check_mentions(words, parsed)
        if labels is not None:
            findings += check_labels(words, labels)
    if tokenizer is not None and parsed is not None:
        from softcloze.lint.tokens import check_tokens, resolve_tokenizer  # the tokenizers library is heavy

        findings += check_tokens(parsed, *resolve_tokenizer(tokenizer, max_length), verbalizer)
    return sort_findings(findings, source)
