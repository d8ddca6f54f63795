"""Derive one template from another: add or remove soft slots, keep the words around the mask."""

from softcloze.errors import ParameterError
from softcloze.template.nodes import Field, Literal, Mask, Node, Soft
from softcloze.template.template import Template


def without_slots(template: Template) -> Template:
    r"""The template without its soft slots; white space on both sides of one becomes that behind it.

    >>> without_slots(Template("<soft*10> Review: <text> <soft*2>\nSentiment:<soft> <mask>"))
    Template('Review: <text>\nSentiment: <mask>')
    """
    nodes: list[Node] = []
    gap = False
    for node in template.nodes:
        if isinstance(node, Soft):
            gap = True
            continue
        if gap and isinstance(node, Literal) and node.text[0].isspace():
            if not nodes:
                node = Literal(node.text.lstrip())
            elif isinstance(last := nodes[-1], Literal):
                nodes[-1] = Literal(last.text.rstrip())
        nodes.append(node)
        gap = False
    return Template.from_nodes(nodes)


def with_slots(template: str | Template, *, front: int = 0, after: int = 0) -> Template:
    """The template with trainable vectors in front, after its last field, or in both places.

    Args:
        template: a template string, or a `Template`.
        front: vectors at the beginning; 0 for none.
        after: vectors behind the last field; 0 for none.

    Raises:
        ParameterError: a number below 0, or a place behind a field that no tag names.
        TemplateSyntaxError: the template does not parse.

    >>> with_slots("<text> It was <mask>.", front=5)
    Template('<soft*5> <text> It was <mask>.')
    >>> [str(with_slots("<text> 总之，很 <mask>", front=5, after=length)) for length in (0, 5)]
    ['<soft*5> <text> 总之，很 <mask>', '<soft*5> <text> <soft*5> 总之，很 <mask>']
    """
    if min(front, after) < 0:
        raise ParameterError(f"front={front}, after={after}: a slot has one vector or more, and 0 is none")
    resolved = template if isinstance(template, Template) else Template(template)
    fields = [at for at, node in enumerate(resolved.nodes) if isinstance(node, Field)]
    if after and not fields:
        raise ParameterError(f"{str(resolved)!r} has no field as a tag, such as <text>, for a slot to stand behind")
    behind = fields[-1] + 1 if fields else 0
    first: list[Node] = [Soft(front), Literal(" ")] * bool(front)
    second: list[Node] = [Literal(" "), Soft(after)] * bool(after)
    return Template.from_nodes([*first, *resolved.nodes[:behind], *second, *resolved.nodes[behind:]])


def domain_template(template: Template) -> Template:
    r"""The words around the mask alone, or around and between several: the domain string of Holtzman et al.

    Raises:
        ParameterError: something else than words stands between two masks.

    >>> domain_template(Template("<soft*10> Review: <text>\nSentiment: <mask>"))
    Template('\nSentiment: <mask>')
    """
    nodes = template.nodes
    masks = [i for i, node in enumerate(nodes) if isinstance(node, Mask)]
    first, last = masks[0], masks[-1]
    if not all(isinstance(node, Literal | Mask) for node in nodes[first:last]):
        raise ParameterError(
            'calibration="pmi" asks what fits the words around the masks alone, and there is more than words between '
            "them; choose another calibration"
        )
    while first > 0 and isinstance(nodes[first - 1], Literal):
        first -= 1
    while last + 1 < len(nodes) and isinstance(nodes[last + 1], Literal):
        last += 1
    return Template.from_nodes(nodes[first : last + 1])
