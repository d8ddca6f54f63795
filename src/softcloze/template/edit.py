"""Derive one template from another, or from names of fields."""

from collections.abc import Sequence

from softcloze.errors import ParameterError
from softcloze.template.nodes import Demos, Field, Literal, Mask, Node, Soft, Turn, field_head
from softcloze.template.template import Template


def without_slots(template: Template) -> Template:
    r"""Remove the soft slots, and chat turns that hold nothing else.

    White space on both sides of a slot collapses to that after it.

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
        if gap and isinstance(node, Turn) and nodes and isinstance(nodes[-1], Turn):
            nodes.pop()
        nodes.append(node)
        gap = False
    return Template.from_nodes(nodes)


def with_slots(template: str | Template, *, front: int = 0, after: int = 0) -> Template:
    """Add soft slots at the start of a template, after its last field, or both.

    The start of a template with chat turns is that of the turn with its first field, or of the user's last turn.

    Args:
        template: a template string or a `Template`.
        front: number of vectors at the start; 0 for none.
        after: number of vectors after the last field; 0 for none.

    Raises:
        ParameterError: a negative number, or `after` for a template without a field tag.
        TemplateSyntaxError: the template does not parse.

    >>> with_slots("<text> It was <mask>.", front=5)
    Template('<soft*5> <text> It was <mask>.')
    >>> [str(with_slots("<text> 总之，很 <mask>", front=5, after=length)) for length in (0, 5)]
    ['<soft*5> <text> 总之，很 <mask>', '<soft*5> <text> <soft*5> 总之，很 <mask>']
    """
    if min(front, after) < 0:
        raise ParameterError(f"front={front}, after={after}: expected 0 or more vectors; 0 for no slot")
    resolved = template if isinstance(template, Template) else Template(template)
    nodes = resolved.nodes
    fields = [at for at, node in enumerate(nodes) if isinstance(node, Field)]
    if after and not fields:
        raise ParameterError(f"{str(resolved)!r} has no field tag such as <text>, which after={after} would follow")
    turns = [at for at, node in enumerate(nodes) if isinstance(node, Turn)]
    start = max((at + 1 for at in turns if (at < fields[0] if fields else nodes[at] == Turn("user"))), default=0)
    split = fields[-1] + 1 if fields else start
    first: list[Node] = [Soft(front), Literal(" ")] * bool(front)
    second: list[Node] = [Literal(" "), Soft(after)] * bool(after)
    return Template.from_nodes([*nodes[:start], *first, *nodes[start:split], *second, *nodes[split:]])


def with_demos(template: Template, count: int) -> Template:
    """Add demonstrations, `count` in all, at the start of a template, or before the last turn of the user.

    Raises:
        TemplateSyntaxError: the template has demonstrations already, or chat turns without one of the user.

    >>> with_demos(Template("<text> It was <mask>"), 4)
    Template('<demos*4><text> It was <mask>')
    >>> with_demos(Template("<chat:system>Sort.<chat:user><text><chat:assistant><mask>"), 4)
    Template('<chat:system>Sort.<demos*4><chat:user><text><chat:assistant><mask>')
    """
    start = max((at for at, node in enumerate(template.nodes) if node == Turn("user")), default=0)
    return Template.from_nodes([*template.nodes[:start], Demos(count), *template.nodes[start:]])


def domain_template(template: Template) -> Template:
    r"""Keep only the words around the mask, or around and between several masks.

    Source:
        The domain string of Holtzman et al., EMNLP 2021, arXiv:2104.08315.

    Raises:
        ParameterError: nodes other than words are between two masks.
        TemplateSyntaxError: the template has an <answer>.

    >>> domain_template(Template("<soft*10> Review: <text>\nSentiment: <mask>"))
    Template('\nSentiment: <mask>')
    """
    template.validate_classifies()
    nodes = template.nodes
    masks = [i for i, node in enumerate(nodes) if isinstance(node, Mask)]
    first, last = masks[0], masks[-1]
    if not all(isinstance(node, Literal | Mask) for node in nodes[first:last]):
        raise ParameterError(
            'calibration="pmi" needs only words between the masks, and this template has other nodes between them; '
            "choose another calibration"
        )
    while first > 0 and isinstance(nodes[first - 1], Literal):
        first -= 1
    while last + 1 < len(nodes) and isinstance(nodes[last + 1], Literal):
        last += 1
    return Template.from_nodes(nodes[first : last + 1])


def template_of_fields(fields: Sequence[str]) -> Template:
    """A template that shows some fields and has no words, for what reads examples by a template.

    Raises:
        TemplateSyntaxError: a name is not one that a field can have.

    >>> template_of_fields(["title", "text"])
    Template('<title> <text> <mask>')
    """
    return Template(" ".join(f"<{field_head(field)}>" for field in fields) + " <mask>")
