"""Lint a template and its label words with all that is known of the examples and the model."""

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Any

from softcloze.errors import ParameterError, TemplateSyntaxError
from softcloze.lint.finding import Finding, sort_findings
from softcloze.lint.label_words import LabelWords, check_labels, check_masks, check_mentions, check_words, list_words
from softcloze.lint.template import check_broken_template, check_template
from softcloze.parameters import NONE, integer, validate_parameters
from softcloze.template import CHAT_OPTIONS, ChatOptions, Template

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from softcloze.encoding import PromptTokenizer


def lint(
    template: str | Template,
    verbalizer: LabelWords | str | None = None,
    *,
    tokenizer: "PreTrainedTokenizerBase | PromptTokenizer | None" = None,
    fields: Iterable[str] | None = None,
    labels: Iterable[Hashable] | None = None,
    max_length: int | None = None,
    chat_options: ChatOptions | None = None,
) -> list[Finding]:
    """Find errors, doubts and remarks about a template and its label words; loads no model.

    Args:
        template: the template, or its name in the library; a syntax error in a string becomes a finding.
        verbalizer: label -> its words, a verbalizer, or its name in the library.
        tokenizer: the model's tokenizer. One of transformers with sentinels such as <extra_id_0> is taken for a
            seq2seq model's, one without a mask token for a causal model's.
        fields: names of the fields of the examples.
        labels: labels of the examples; compared with those of `verbalizer`.
        max_length: tokens of a prompt, at most; None for the tokenizer's own limit.
        chat_options: values of variables of the tokenizer's chat template, as for `PromptClassifier`.

    Returns:
        Findings in the template by position, then those in the label words.

    Raises:
        TemplateTypeError: `template` or `verbalizer` is of another type.
        ParameterError: `fields`, `labels`, `max_length` or `chat_options` is of another type or outside its range.
        LibraryError: the library has no label words of that name.
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
    names: list[str] | None = (
        None if fields is None else _listed("fields", fields, str, "names, as in ['text', 'title']")
    )
    used = None if labels is None else _listed("labels", labels, Hashable, "labels, as in ['good', 'bad']")
    options = {"max_length": max_length, "chat_options": chat_options}
    validate_parameters(options, {"max_length": integer(at_least=1) | NONE, "chat_options": CHAT_OPTIONS | NONE})
    if (isinstance(template, str) and "<" not in template) or isinstance(verbalizer, str):
        from softcloze.library import list_templates, load_template, load_verbalizer  # imports numpy

        if isinstance(template, str) and template in list_templates():
            template = load_template(template).template
        verbalizer = load_verbalizer(verbalizer).words if isinstance(verbalizer, str) else verbalizer
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
    if words is not None and verbalizer is not None:
        findings += check_words(words, verbalizer)
        if parsed is not None:
            findings += check_masks(words, parsed)
            findings += check_mentions(words, parsed)
        if used is not None:
            findings += check_labels(words, used)
    if tokenizer is not None and parsed is not None:
        from softcloze.lint.tokens import check_tokens, resolve_tokenizer  # the tokenizers library is heavy

        findings += check_tokens(parsed, *resolve_tokenizer(tokenizer, max_length), verbalizer, chat_options)
    return sort_findings(findings, source)


def _listed(name: str, values: object, kind: type, expected: str) -> list[Any]:
    """The items of an argument; raise ParameterError if it is not a collection of items of this kind."""
    if not isinstance(values, str | bytes) and isinstance(values, Iterable):
        items = list(values)
        if all(isinstance(item, kind) for item in items):
            return items
    raise ParameterError(f"{name}={values!r:.80}, but it has to be a list of {expected}")
