"""The output equals that of Jinja's own sandbox for the same template."""

from hypothesis import event, given
from hypothesis import strategies as st
from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from support.properties import cases

from softcloze.errors import FieldError
from softcloze.template import Field, Literal, Template

FILTERS = ["trim", "lower", "upper", "title", "capitalize", "replace('a', 'bb')", "default('d', true)", "first", "last"]
PLAIN = ["x", " ", "\n", " \n y ", "<a>", "<s>", "好 ", "{ ", " } }"]


@st.composite
def expressions(draw, kind, in_loop, depth=2):
    """An expression of `kind`: text, number, list or truth."""

    def inner(kind):
        return draw(expressions(kind, in_loop, depth - 1))

    leaves = {
        "text": ["a", "d", "s", "'好。'", "c[0]", "c[-1]", "a[:2]", "missing | default('m')"],
        "number": ["b", "1", "2.5", *(["loop.index", "loop.revindex", "loop.length"] if in_loop else [])],
        "list": ["c", "c[:1]", "c[1:]"],
        "truth": ["a", "b", "c", "missing is defined", *(["loop.first", "loop.last"] if in_loop else [])],
    }[kind]
    shapes = {
        "text": ["{text} | {filter}", "{text} ~ {text}", "{number} ~ {text}", "{text} if {truth} else {text}",
                 "{text} or {text}", "{list} | join", "{list} | join('-')"],
        "number": ["{number} + {number}", "{number} - {number}", "{text} | length", "-{number}"],
        "list": ["[{text}, {text}]", "({text}, {text})"],
        "truth": ["{number} < {number}", "1 < {number} <= {number}", "{text} == {text}", "{text} != {number}",
                  "{text} in {text}", "{text} not in {list}", "not {truth}", "{truth} and {truth}",
                  "{truth} or {truth}", "{text} is string", "{number} is not number", "{text} >= {text}"],
    }[kind]  # fmt: skip
    if not depth or draw(st.booleans()):
        return f"({draw(st.sampled_from(leaves))})"
    shape = draw(st.sampled_from(shapes)).replace("{filter}", draw(st.sampled_from(FILTERS)))
    while "{" in shape:
        start, end = shape.index("{"), shape.index("}")
        shape = shape[:start] + inner(shape[start + 1 : end]) + shape[end + 1 :]
    return shape if kind == "list" else f"({shape})"


# Jinja loses a name that a loop reads and that its scope first sets after the loop
FIRST_SET = "{% set a = a %}{% set s = s %}"


@st.composite
def bodies(draw, in_loop=False, depth=2, scope=True):
    """Text with Jinja in which every block is complete."""
    written = [FIRST_SET] if scope else []
    for _ in range(draw(st.integers(0, 3))):
        shape = draw(
            st.sampled_from(["plain", "plain", "shown", "set", *(["if", "ifs", "for", "for if"] if depth else [])])
        )

        def value(kind, in_loop=in_loop):
            return draw(expressions(kind, in_loop))

        def body(in_loop=in_loop, scope=False):
            return draw(bodies(in_loop, depth - 1, scope))

        def tag(inside):
            return f"{{%{draw(st.sampled_from(['', '-']))} {inside} {draw(st.sampled_from(['', '-']))}%}}"

        match shape:
            case "plain":
                written.append(draw(st.sampled_from(PLAIN)))
            case "shown":
                shown = value(draw(st.sampled_from(["text", "number"])))
                written.append(draw(st.sampled_from(["{{ %s }}", "{{- %s }}", "{{ %s -}}"])) % shown)
            case "set":
                written.append(tag(f"set {draw(st.sampled_from('as'))} = {value('text')}"))
            case "if":
                written += [tag(f"if {value('truth')}"), body(), tag("endif")]
            case "ifs":
                written += [tag(f"if {value('truth')}"), body(), tag(f"elif {value('truth')}"), body()]
                written += [tag("else"), body(), tag("endif")]
            case "for":
                written += [tag(f"for s in {value('list')}"), body(True, scope=True), tag("endfor")]
            case "for if":
                test = draw(expressions("truth", False))
                written += [tag(f"for s in c if {test}"), body(True, scope=True)]
                written += [tag("else"), body(scope=True), tag("endfor")]
    return "".join(written)


def ours(source, example):
    template = Template(f"{source}<mask>")
    parts = template.expand(template.read_fields(example))
    return "".join(part.text for part in parts if isinstance(part.node, Field | Literal))


@cases()
@given(
    bodies(),
    st.sampled_from(["aA b", "", "好 a\n"]),
    st.sampled_from([0, 3, 2.5]),
    st.sampled_from([["b", "a "], ["x"]]),
)
def test_output_equals_that_of_jinja(source, a, b, c):
    example = {"a": a, "b": b, "c": c, "d": f"{a}!", "s": "S"}
    sandbox = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
    jinja = sandbox.from_string(source.replace("<a>", "{{ a }}").replace("<s>", "{{ s }}"))
    try:
        output = ours(source, example)
    except FieldError as error:  # missing text is an error here
        assert "is empty" in str(error) or "no item" in str(error)
        event("refused")
        return
    event("written")
    assert output == jinja.render(example)
