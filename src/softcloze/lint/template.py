"""Rules for templates, with or without the names of the examples' fields."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence

from softcloze.errors import TemplateSyntaxError
from softcloze.formatting import did_you_mean, quoted_list
from softcloze.lint.answers import check_answer
from softcloze.lint.finding import Finding, Severity
from softcloze.lint.stray_tags import check_stray_tags, odd_name
from softcloze.template import (
    EMBEDDING,
    Answer,
    Demos,
    Expression,
    Field,
    Mask,
    Node,
    Options,
    Soft,
    Statement,
    Template,
)
from softcloze.template.fields import find_name
from softcloze.template.nodes import Placed, edges, field_head
from softcloze.template.parser import parse


def check_template(template: Template, fields: Sequence[str] | None = None) -> Iterator[Finding]:
    """Find faults of a template that parses.

    Args:
        template: the template.
        fields: names of the fields of the examples; None if unknown.
    """
    placed = [Placed(node, *span) for node, span in zip(template.nodes, template.spans, strict=True)]
    names = (*template.fields, *(fields or ()))
    unread = [*_check_reads(template, fields or ())]
    at_fault = [(finding.start, finding.end) for finding in unread]
    yield from unread
    yield from (
        finding
        for finding in _check_nodes(placed, template.source, names)
        if (finding.start, finding.end) not in at_fault
    )
    yield from _check_conditions(placed, template.source)
    yield from _check_modes(template)
    yield from check_answer(template)
    if fields is not None:
        yield from _check_fields(template, fields)


def check_broken_template(error: TemplateSyntaxError, fields: Sequence[str] = ()) -> Iterator[Finding]:
    """Report a syntax error, and find faults of all nodes that parse nevertheless.

    Args:
        error: raised by `Template`.
        fields: names of the fields of the examples.
    """
    source = error.source
    placed = _parsed(source)
    yield Finding(error.code, "error", error.problem, "", source, error.start, error.end)
    names = (*(tag.node.name for tag in placed if isinstance(tag.node, Field)), *fields)
    yield from _check_nodes(placed, source, names)
    if not any(isinstance(tag.node, Expression | Statement) for tag in placed):  # Jinja can use fields as well
        yield from _check_any_field(placed, source, names)


def _parsed(source: str) -> list[Placed]:
    """Nodes of a source that breaks a rule; none if it does not parse at all."""
    try:
        return parse(source)
    except TemplateSyntaxError:
        return []


def _check_nodes(placed: Sequence[Placed], source: str, names: Collection[str]) -> Iterator[Finding]:
    """Check each node and its position; `names` are those of fields."""
    yield from check_stray_tags(placed, source, dict.fromkeys(names))
    alike: dict[str, dict[str, None]] = {}
    for name in names:
        alike.setdefault(name.casefold(), {})[name] = None
    mask = max((i for i, tag in enumerate(placed) if isinstance(tag.node, Mask | Answer)), default=len(placed))
    text = min((i for i, tag in enumerate(placed) if isinstance(tag.node, Field | Expression)), default=len(placed))
    for i, (node, start, end) in enumerate(placed):
        match node:
            case Field():
                # a variable that the template sets itself is not a field of an example
                yield from _check_field(node, alike.get(node.name.casefold(), ()), source, start, end)
            case Demos() if i > mask:
                what = "mask" if isinstance(placed[mask].node, Mask) else "answer"
                message = f"demonstrations after the {what} come too late for the model's answer"
                advice = "put <demos> at the beginning"
                yield Finding("demos-after-mask", "warning", message, advice, source, start, end)
            case Options() if i > text:
                message = "a causal model computes the list of label words anew for every text before it"
                advice = "put <options> before the first field, where it is computed once for all texts"
                yield Finding("options-after-text", "note", message, advice, source, start, end)


def _check_reads(template: Template, names: Sequence[str]) -> Iterator[Finding]:
    """Report what `Template.validate_reads` raises for examples with these fields."""
    try:
        template.validate_reads(names)
    except TemplateSyntaxError as error:
        yield Finding(error.code, "error", error.problem, "", error.source, error.start, error.end)


def _check_any_field(placed: Sequence[Placed], source: str, names: Collection[str]) -> Iterator[Finding]:
    if placed and not names:
        message = "no field: every example gets the same prompt"
        yield Finding("no-field", "warning", message, "write one where its text belongs, as in <text>", source, 0, 0)


def _check_conditions(placed: Sequence[Placed], source: str) -> Iterator[Finding]:
    depth = 0
    for node, start, end in placed:
        match node:
            case Statement(inside):
                keyword = edges(inside)[1].split(maxsplit=1)[0]
                depth += (keyword in ("if", "for")) - keyword.startswith("end")
            case Mask() | Answer() if depth:
                what = "mask" if isinstance(node, Mask) else "answer"
                message = f"the {what} is inside a condition or loop: some examples may get a prompt without one"
                yield Finding("mask-in-condition", "warning", message, "move it out", source, start, end)


def _check_modes(template: Template) -> Iterator[Finding]:
    for i, (node, span) in enumerate(zip(template.nodes, template.spans, strict=True)):
        if isinstance(node, Soft) and node.mode is not None and template.block_of(i).layers == EMBEDDING:
            message = f"mode={node.mode} has no effect on vectors that enter as input embeddings alone"
            advice = "leave it out, or say where they enter, as in layers=all"
            yield Finding("no-effect", "note", message, advice, template.source, *span)
        if isinstance(node, Soft) and node.via is not None and template.block_of(i).layers.first > 0:
            message = f"via={node.via} has no effect: it is for input embeddings, and this slot enters at later layers"
            yield Finding("no-effect", "note", message, "leave it out", template.source, *span)
        if isinstance(node, Soft) and node.train is False and node.name is None:
            message = "train=no keeps the embeddings of words, since no prompt can fill a slot without a name"
            advice = "give it the name= of a block of the prompt that soft_init names, or write words instead"
            yield Finding("no-effect", "note", message, advice, template.source, *span)


def _check_field(node: Field, alike: Iterable[str], source: str, start: int, end: int) -> Iterator[Finding]:
    """Check one field; `alike` are all names that equal its own but for capital letters."""
    advice = odd_name(node.name)
    if advice is not None:
        message = f"<{field_head(node.name)}> is a field, though it looks like another tag"
        yield Finding("odd-field", "warning", message, advice, source, start, end)
    twins = [name for name in alike if name != node.name]
    if twins:
        message = f"the fields {quoted_list([node.name, *twins])} differ only in capital letters"
        yield Finding("odd-field", "warning", message, "write one name everywhere", source, start, end)
    if node.keep != "head" and node.shorten == 0 and node.max is None:
        message = f"keep={node.keep} has no effect on a field that is never cut"
        yield Finding("no-effect", "note", message, "leave out shorten=0, or give it a max=", source, start, end)


def _check_fields(template: Template, names: Sequence[str]) -> Iterator[Finding]:
    """Compare the fields of the template with those of the examples, `names`."""
    for name in template.fields:
        if find_name(name, names) is None:
            span = next(
                (span for node, span in zip(template.nodes, template.spans, strict=True) if _names(node, name)), (0, 0)
            )
            message = f"the examples have no field {name!r}{did_you_mean(name, names)}"
            in_tag = any(isinstance(node, Field | Options) and _names(node, name) for node in template.nodes)
            severity: Severity = "error" if in_tag else "warning"  # Jinja can test whether it is defined
            has = f"they have {quoted_list(names)}" if names else "they have none"
            yield Finding("missing-field", severity, message, has, template.source, *span)
    end = len(template.source)
    for name in names:
        if find_name(name, template.fields) is None:
            message = f"the template does not use the field {name!r}"
            yield Finding("unused-field", "note", message, "", template.source, end, end)


def _names(node: Node, name: str) -> bool:
    match node:
        case Field(field) | Options(field=field):
            return field == name
        case Expression(source) | Statement(source):
            return re.search(rf"\b{re.escape(name)}\b", source) is not None
    return False
