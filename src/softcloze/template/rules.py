"""Rules that concern several nodes: masks, the answer, demonstrations and lists."""

from collections.abc import Sequence

from softcloze.errors import TemplateSyntaxError
from softcloze.formatting import abbreviate, line_and_column, nearest, quoted
from softcloze.template.nodes import Answer, Demos, Field, Mask, Node, Options, Placed
from softcloze.template.placeholders import mask_hint


def validate_masks(placed: Sequence[Placed], source: str) -> tuple[Mask, ...]:
    """Validate the masks: exactly one, or several with different names; none beside the one <answer>."""
    masks = [(tag, tag.node) for tag in placed if isinstance(tag.node, Mask)]
    if _has_answer(placed, source):
        return ()
    if not masks:
        fields = [tag.node.name for tag in placed if isinstance(tag.node, Field)]
        near = [(tag, name) for tag in ("mask", "answer") if (name := nearest(tag, fields)) is not None]
        hint = f"; did you mean <{near[0][0]}> where it says <{abbreviate(near[0][1])}>?" if near else mask_hint(source)
        problem = f"the template has no <mask>, expected exactly one{hint}"
        raise TemplateSyntaxError(problem, source, len(source), len(source), "no-mask")
    first: dict[str | None, Placed] = {}
    for tag, mask in masks:
        if mask.name in first:
            there = line_and_column(source, first[mask.name].start)
            problem = (
                f"a template has only one <mask>, and this is the second: the first is at {there}; "
                "several need names, as in <mask name=quality>"
                if mask.name is None
                else f"two masks are named {quoted(mask.name)}, and this is the second: the first is at {there}"
            )
            raise TemplateSyntaxError(problem, source, tag.start, tag.end, "two-masks")
        first[mask.name] = tag
    nameless = first.pop(None, None)
    if nameless is not None and first:
        there = line_and_column(source, min(tag.start for tag in first.values()))
        problem = f"this mask has no name, but the one at {there} has: if there are several, all need names"
        raise TemplateSyntaxError(problem, source, nameless.start, nameless.end, "two-masks")
    return tuple(mask for _, mask in masks)


def _has_answer(placed: Sequence[Placed], source: str) -> bool:
    """Return whether a template has <answer>; validate that no other answer, mask or <options> is beside it."""
    answers = [tag for tag in placed if isinstance(tag.node, Answer)]
    if not answers:
        return False
    there = line_and_column(source, answers[0].start)
    if len(answers) > 1:
        problem = f"a template has only one <answer>, and this is the second: the first is at {there}"
        raise TemplateSyntaxError(problem, source, answers[1].start, answers[1].end, "two-answers")
    for node, start, end in placed:
        if isinstance(node, Mask):
            problem = f"a template has masks for label words or one <answer> for free text, and <answer> is at {there}"
            raise TemplateSyntaxError(problem, source, start, end, "mask-and-answer")
        if isinstance(node, Options) and node.field is None:
            problem = "<options> lists label words, and a template with <answer> has none: write the options as text"
            raise TemplateSyntaxError(problem, source, start, end, "options-and-answer")
    return True


def validate_demos(placed: Sequence[Placed], source: str) -> Demos | None:
    """Validate <demos>: at most one, with all masks on one side of it."""
    demos = [(tag, tag.node) for tag in placed if isinstance(tag.node, Demos)]
    if not demos:
        return None
    (tag, node), *more = demos
    if more:
        there = line_and_column(source, tag.start)
        problem = f"a template has only one <demos>, and this is the second: the first is at {there}"
        raise TemplateSyntaxError(problem, source, more[0][0].start, more[0][0].end, "two-demos")
    masks = [other.start for other in placed if isinstance(other.node, Mask | Answer)]
    if masks[0] < tag.start < masks[-1]:
        problem = "<demos> is between two masks, but a demonstration shows all of them: put it in front"
        raise TemplateSyntaxError(problem, source, tag.start, tag.end, "demos-between-masks")
    return node


def field_of(node: Node) -> str | None:
    """The field that a node shows, if it shows one."""
    match node:
        case Field(name):
            return name
        case Options(field=name):
            return name
    return None


def validate_lists(placed: Sequence[Placed], source: str, *, has_logic: bool) -> tuple[str, ...]:
    """Validate the fields of <options field=…>, which hold lists: no other tag shows them, and no Jinja is there."""
    fields = {tag.node.name for tag in placed if isinstance(tag.node, Field)}
    lists: dict[str, None] = {}
    for tag in placed:
        if not isinstance(tag.node, Options) or tag.node.field is None:
            continue
        name = tag.node.field
        problem = ""
        if has_logic:
            problem = f"a template with Jinja lists them itself: write {{{{ {name} | join({tag.node.sep!r}) }}}}"
        elif name in fields:
            problem = f"the field {name!r} holds a list here, which <{name}> cannot show; leave <{name}> out"
        if problem:
            raise TemplateSyntaxError(problem, source, tag.start, tag.end, "options-field")
        lists[name] = None
    return tuple(lists)
