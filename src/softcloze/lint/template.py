"""Find what is wrong or doubtful about a template before anything is loaded."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from softcloze.errors import TemplateSyntaxError
from softcloze.formatting import did_you_mean, listed
from softcloze.lint.finding import Finding, Severity, by_place
from softcloze.lint.label_words import Labels, check_masks, check_mentions, check_words, word_table
from softcloze.lint.stray_tags import odd_name, stray_tags
from softcloze.template import Demos, Expression, Field, Literal, Mask, Node, Statement, Template
from softcloze.template.nodes import Placed, edges
from softcloze.template.parser import parse
from softcloze.template.soft_blocks import assign_blocks

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


__all__ = ["Finding", "Severity", "check", "check_source"]


def check(
    template: Template,
    tokenizer: "PreTrainedTokenizerBase | None" = None,
    fields: Iterable[str] | None = None,
    labels: Labels | None = None,
) -> list[Finding]:
    """What is wrong, doubtful or worth knowing about a template, in the order of its text, then of the label words.

    Args:
        template: what to look at.
        tokenizer: of the model that it is meant for; one with sentinels like <extra_id_0> belongs to a
            seq2seq model, one without a mask token to a causal model.
        fields: names that the examples have.
        labels: label -> its words, or a verbalizer.

    Raises:
        TemplateTypeError: `labels` are no label words.
        TokenizerError: softcloze cannot work with this tokenizer.

    >>> for finding in Template("Reveiw: <text> It was {mask} <mask>").check(fields=["review"]):
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
    note: the template has no place for the field 'review' (unused-field)
      at line 1, column 36:
        Reveiw: <text> It was {mask} <mask>
                                           ^
    """
    names = None if fields is None else tuple(fields)
    table = None if labels is None else word_table(labels)
    placed = [Placed(node, *span) for node, span in zip(template.nodes, template.spans, strict=True)]
    known = (*template.fields, *(names or ()))
    found = [
        *_check_nodes(placed, template.source, known),
        *_check_any_field(placed, template.source, known),
        *_check_conditions(placed, template.source),
        *_check_fields(template, names),
    ]
    if table is not None:
        found += check_masks(table, template)
        found += check_mentions(table, template.nodes, template.spans, template.source)
        found += check_words(table)
    if tokenizer is not None:
        from softcloze.encoding import NO_LIMIT, PromptTokenizer  # needs what templates themselves do not
        from softcloze.lint.tokens import check_encoding

        prompt_tokenizer = PromptTokenizer.guessed(tokenizer)
        limit = min(tokenizer.model_max_length, NO_LIMIT)
        found += check_encoding(template, prompt_tokenizer, limit, labels=labels)
    return in_order(found, template.source)


def check_source(source: str, fields: Iterable[str] | None = None, labels: Labels | None = None) -> list[Finding]:
    """As `check`, for text that may be no template; what breaks a rule of the language is a finding like others.

    >>> [finding.code for finding in check_source("<text> It was [MASK]")]
    ['forgotten-tag', 'no-mask']
    """
    try:
        return check(Template(source), fields=fields, labels=labels)
    except TemplateSyntaxError as error:
        placed = _parsed(source)
        found = [Finding(_code(placed, source), "error", error.problem, "", source, error.start, error.end)]
        names = [tag.node.name for tag in placed if isinstance(tag.node, Field)]
        known = (*names, *(fields or ()))
        found += _check_nodes(placed, source, known)
        if not any(isinstance(tag.node, Expression | Statement) for tag in placed):  # which may read some
            found += _check_any_field(placed, source, known)
        found += [] if labels is None else check_words(word_table(labels))
        return in_order(found, source)


def in_order(found: Iterable[Finding], source: str) -> list[Finding]:
    """What is found in the template itself by its place, and then what is in the label words by theirs."""
    return sorted(found, key=lambda finding: (finding.source != source, *by_place(finding)))


def _parsed(source: str) -> list[Placed]:
    """The nodes of a source that makes no template, none if it does not even parse."""
    try:
        return parse(source)
    except TemplateSyntaxError:
        return []


def _code(placed: Sequence[Placed], source: str) -> str:
    """What kind of rule a source breaks that has these nodes."""
    if not placed:
        return "syntax" if source else "no-mask"
    masks = {i: tag.node.name for i, tag in enumerate(placed) if isinstance(tag.node, Mask)}
    demos = [i for i, tag in enumerate(placed) if isinstance(tag.node, Demos)]
    if not masks:
        return "no-mask"
    if len(set(masks.values())) < len(masks) or (None in masks.values() and len(masks) > 1):
        return "two-masks"
    if len(demos) > 1:
        return "two-demos"
    if demos and min(masks) < demos[0] < max(masks):
        return "demos-between-masks"
    try:
        assign_blocks(placed, source)
    except TemplateSyntaxError:
        return "soft-conflict"
    return "logic"


def _check_nodes(placed: Sequence[Placed], source: str, names: Collection[str]) -> Iterator[Finding]:
    """Findings about each node, and about where they stand; `names` are those of fields."""
    literals = [(start, end) for node, start, end in placed if isinstance(node, Literal)]
    yield from stray_tags(source, literals, dict.fromkeys(names))
    alike: dict[str, dict[str, None]] = {}
    for name in names:
        alike.setdefault(name.casefold(), {})[name] = None
    mask = max((i for i, tag in enumerate(placed) if isinstance(tag.node, Mask)), default=len(placed))
    for i, (node, start, end) in enumerate(placed):
        match node:
            case Field():
                yield from _check_field(node, alike[node.name.casefold()], source, start, end)
            case Demos() if i > mask:
                message = "demonstrations behind the mask show the model nothing before it answers"
                yield Finding(
                    "demos-behind-mask", "warning", message, "put <demos> at the beginning", source, start, end
                )


def _check_any_field(placed: Sequence[Placed], source: str, names: Collection[str]) -> Iterator[Finding]:
    if placed and not names:
        message = "no field: the model would be asked the same of every example"
        yield Finding("no-field", "warning", message, "write one where its text belongs, as in <text>", source, 0, 0)


def _check_conditions(placed: Sequence[Placed], source: str) -> Iterator[Finding]:
    depth = 0
    for node, start, end in placed:
        match node:
            case Statement(inside):
                keyword = edges(inside)[1].split(maxsplit=1)[0]
                depth += (keyword in ("if", "for")) - keyword.startswith("end")
            case Mask() if depth:
                message = "the mask does not come out for every example: it stands in a condition or loop"
                yield Finding("mask-in-condition", "warning", message, "move it out", source, start, end)


def _check_field(node: Field, alike: Iterable[str], source: str, start: int, end: int) -> Iterator[Finding]:
    """Findings about one field; `alike` are all names that differ from its own in capital letters at most."""
    advice = odd_name(node.name)
    if advice is not None:
        message = f"<{node.name}> is a field, though it looks like another tag"
        yield Finding("odd-field", "warning", message, advice, source, start, end)
    twins = [name for name in alike if name != node.name]
    if twins:
        message = f"the fields {listed([node.name, *twins])} differ in nothing but capital letters"
        yield Finding("odd-field", "warning", message, "write one name everywhere", source, start, end)
    if node.keep != "head" and node.shorten == 0 and node.max is None:
        message = f"keep={node.keep} does nothing for a field that is never cut"
        yield Finding("no-effect", "note", message, "leave out shorten=0, or give it a max=", source, start, end)


def _check_fields(template: Template, names: Sequence[str] | None) -> Iterator[Finding]:
    """Findings about fields that only the template, or only the examples have."""
    if names is None:
        return
    for name in template.fields:
        if name not in names:
            span = next(
                (span for node, span in zip(template.nodes, template.spans, strict=True) if _names(node, name)), (0, 0)
            )
            message = f"the examples have no field {name!r}{did_you_mean(name, names)}"
            in_tag = any(isinstance(node, Field) and node.name == name for node in template.nodes)
            severity: Severity = "error" if in_tag else "warning"  # Jinja can ask whether there is one
            has = f"they have {listed(names)}" if names else "they have none"
            yield Finding("missing-field", severity, message, has, template.source, *span)
    end = len(template.source)
    for name in names:
        if name not in template.fields:
            message = f"the template has no place for the field {name!r}"
            yield Finding("unused-field", "note", message, "", template.source, end, end)


def _names(node: Node, name: str) -> bool:
    match node:
        case Field(own):
            return own == name
        case Expression(source) | Statement(source):
            return re.search(rf"\b{re.escape(name)}\b", source) is not None
    return False
