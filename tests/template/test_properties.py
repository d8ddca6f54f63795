"""parse(print(tree)) == tree for every tree; any text parses or raises TemplateSyntaxError."""

import pickle
import re

from hypothesis import assume, given
from hypothesis import strategies as st
from support.properties import cases

from softcloze.errors import TemplateSyntaxError
from softcloze.template import (
    Answer,
    Demos,
    Expression,
    Field,
    LayerRange,
    Literal,
    Mask,
    Options,
    Soft,
    Special,
    Statement,
    Template,
)
from softcloze.template.nodes import write
from softcloze.template.parser import parse

RESERVED = ("soft", "mask", "answer", "options", "demos", "bos", "eos", "sep", "cls")

any_char = st.one_of(st.sampled_from("\\\\<<{{}%!->\"'=*a_ \n\t字3"), st.characters(exclude_categories=()))
any_text = st.text(any_char, max_size=12)
names = st.one_of(
    st.sampled_from(["text", "class", "情感", "_", "हिन्दी", "ﬁ", "℘", "a1"]),
    st.from_regex(r"[^\W\d]\w{0,5}", fullmatch=True).filter(str.isidentifier),
).filter(lambda name: name not in RESERVED)
odd = [*RESERVED, "review text", "评论 1", "2nd", "a.b", 'a"b\\', "<b>", "a><b"]
columns = st.one_of(names, st.sampled_from(odd), any_text.filter(str.strip))
keeps = st.sampled_from(["head", "tail", "ends"])
counts = st.integers(1, 10_000)
inits = any_text.filter(str.strip)
indices = st.integers(0, 999)
layers = st.one_of(
    st.just(LayerRange(0, None)), st.tuples(indices, indices).map(sorted).map(lambda pair: LayerRange(*pair))
)
modes = st.sampled_from(["add", "replace"])
# a block with via= is trained
networks = st.tuples(st.sampled_from(["mlp", "lstm"]), st.just(True)) | st.tuples(st.just(None), st.booleans())
weights = st.integers(0, 1_000_000).map(lambda thousandths: thousandths / 1000)
keeps = st.sampled_from(["head", "tail", "ends"])
tags = [
    st.builds(Literal, any_text),
    st.builds(Field, columns),
    st.builds(Field, columns, st.none() | st.integers(1, 1_000_000), keeps, weights),
    st.builds(Options, any_text),
    st.builds(Special, st.sampled_from(["bos", "eos", "sep", "cls"])),
]
demos = st.builds(Demos, st.none() | counts, any_text).map(lambda node: [node])
logic = st.sampled_from(
    [
        [Expression("text | trim")],
        [Expression("- '}}' ~ 标题 -")],
        [Expression("-3")],
        [Statement("- set a = '%}{{<mask>' -"), Expression("a")],
        [Statement("if a -"), Literal(" {"), Expression("a"), Statement("else"), Literal("\\"), Statement("endif")],
        [Statement("for a in b"), Expression("- a ~\n loop.index"), Literal("<"), Statement("- endfor -")],
    ]
)


@st.composite
def trees(draw):
    shared = draw(st.dictionaries(names, st.tuples(counts, inits, layers, modes, networks), max_size=2))

    def named(name, given):
        *values, network = shared[name]
        count, init, *others = (value if own else None for value, own in zip([*values, *network], given, strict=True))
        return Soft(count, init, name, *others)

    none = st.none()
    unnamed = (none | counts, none | inits, none, none | layers, none | modes)
    kinds = [*tags, st.tuples(st.tuples(*unnamed), networks).map(lambda parts: Soft(*parts[0], *parts[1]))]
    if shared:
        kinds.append(st.builds(named, st.sampled_from(sorted(shared)), st.tuples(*[st.booleans()] * 6)))

    def with_field(name, count, init, mode, by):
        return [Field(name), Soft(count, init, mode=mode, from_=name, from_by=by)]

    by = none | st.sampled_from(["embeddings", "states"])
    dependent = st.builds(with_field, names, none | counts, none | inits, none | modes, by)
    groups = draw(st.lists(st.one_of(kinds).map(lambda node: [node]) | dependent, max_size=8))
    end = draw(st.integers(0, 2))
    if end == 0:
        masks = [st.builds(Answer, st.none() | st.integers(1, 1_000_000), keeps)]
        groups = [group for group in groups if not isinstance(group[0], Options)]  # there are no label words
    elif end == 1:
        masks = [st.builds(Mask, st.none() | counts)]
    else:
        masks = [st.builds(Mask, st.none() | counts, st.just(name)) for name in draw(st.sets(names, min_size=1))]
    extras = [mask.map(lambda mask: [mask]) for mask in masks]
    extras += draw(st.lists(st.sampled_from([demos, logic]), max_size=2, unique=True))
    for extra in extras:
        groups.insert(draw(st.integers(0, len(groups))), draw(extra))
    nodes = [node for group in groups for node in group]
    if len(masks) == 1 and draw(st.booleans()):  # one block that depends on a field at a later layer
        name, layer, count, mode = draw(st.tuples(names, st.integers(1, 999), none | counts, none | modes))
        late = Soft(count, layers=LayerRange(layer, layer), mode=mode, from_=name)
        nodes += [Field(name), late]
    if len(masks) > 1 and any(isinstance(node, Demos) for node in nodes):  # on one side of all masks
        nodes.sort(key=lambda node: isinstance(node, Mask))
    return nodes


def merged(nodes):
    """Merge neighbouring literals and drop empty ones; an independent implementation."""
    done = []
    for node in nodes:
        if isinstance(node, Literal) and done and isinstance(done[-1], Literal):
            done[-1] = Literal(done[-1].text + node.text)
        elif node != Literal(""):
            done.append(node)
    return tuple(done)


def assert_places(template):
    """Only comments are between the spans of nodes, and each span parses to its node."""
    end = 0
    for node, (start, stop) in zip(template.nodes, template.spans, strict=True):
        assert parse(template.source[end:start]) == []
        assert parse(template.source[start:])[0] == (node, 0, stop - start)
        end = stop
    assert parse(template.source[end:]) == []


@cases()
@given(trees())
def test_printing_and_parsing_return_the_same_tree(nodes):
    template = Template.from_nodes(nodes)
    assert template.nodes == merged(nodes)
    again = Template(str(template))
    assert again == template
    for name in ("fields", "blocks", "variables", "masks", "answer", "stop", "demos", "has_logic"):
        assert getattr(again, name) == getattr(template, name)
    assert_places(template)
    assert pickle.loads(pickle.dumps(template)) == template


jinja_pieces = st.sampled_from(
    ["a", "-1", "'}}'", '"%}\\""', "{", "}", "%", "<mask>", "<!--", "\\", "字", "-", "--", "\n", "|"]
)


@st.composite
def jinja_sources(draw):
    inside = draw(st.lists(jinja_pieces, max_size=6).map("".join))
    assume(inside.strip() == inside != "" and not re.search(r"^-\s|\s-$", inside))
    assume(not re.search("}}|%}", re.sub(r"""'}}'|"%}\\"\"""", "", inside)))
    return "- " * draw(st.booleans()) + inside + " -" * draw(st.booleans())


@cases()
@given(
    st.lists(
        st.one_of(*tags, st.builds(Expression, jinja_sources()), st.builds(Statement, jinja_sources())), max_size=6
    )
)
def test_printing_and_parsing_jinja_of_any_kind(nodes):
    nodes = merged(nodes)
    assert tuple(placed.node for placed in parse("".join(write(nodes)))) == nodes


@cases()
@given(st.text(st.sampled_from("\\<{%a> "), max_size=20), st.booleans())
def test_literals_of_backslashes_and_brackets(text, mask_first):
    nodes = (Mask(), Literal(text)) if mask_first else (Literal(text), Expression("a"), Mask())
    assert Template.from_nodes(nodes).nodes == merged(nodes)


pieces = st.sampled_from(
    [
        "<",
        ">",
        "\\",
        '"',
        "=",
        "*",
        " ",
        "\n",
        "<mask>",
        "<soft",
        "<text",
        "<demos",
        "<options>",
        "<!--",
        "-->",
        "{{",
        "}}",
        "{%",
        "%}",
        "{",
        "-",
        "'",
        "if ",
        "endif",
        "for a in ",
        "max=",
        "keep=",
        "head",
        "sep=",
        "init=",
        "name=",
        "<mask name=a>",
        "<mask name=b>",
        "<answer",
        "<answer>",
        "t",
        "3",
        "0",
        "，",
        "\ud800",
    ]
)
sources = st.one_of(any_text, st.lists(pieces, max_size=15).map("".join))


@cases()
@given(sources, st.booleans())
def test_any_text_parses_or_raises_our_error(source, with_mask):
    source = source + "<mask>" * with_mask
    try:
        template = Template(source)
    except TemplateSyntaxError as error:
        assert error.source == source
        assert 0 <= error.start <= error.end <= len(source)
        problem, where, _line, carets = str(error).split("\n")
        assert problem == error.problem
        assert where.startswith("  at line ")
        assert carets.strip(" \t^") == "" and "^" in carets
        str(error).encode()  # no surrogates are left, which terminals cannot print
    else:
        assert Template(str(template)) == template == Template.from_nodes(template.nodes)
        assert_places(template)


texts = st.text(st.characters(exclude_categories=()), max_size=10)
anything = st.none() | st.integers() | st.booleans() | st.floats() | texts


@cases()
@given(st.lists(st.one_of(
    st.builds(Field, texts | st.just("a"), anything, anything, anything),
    st.builds(Soft, anything, anything, anything),
    st.builds(Options, anything, anything),
    st.builds(Demos, anything, anything),
    st.builds(Special, anything),
    st.builds(Mask, anything, anything),
    st.builds(Answer, anything, anything),
    st.builds(Expression, anything),
    st.builds(Statement, anything),
), max_size=4))  # fmt: skip
def test_any_nodes_make_a_template_that_prints_or_raise_our_error(nodes):
    try:
        template = Template.from_nodes(nodes)
    except TemplateSyntaxError as error:
        assert 0 <= error.start <= error.end <= len(error.source)
        assert str(error)
    else:
        assert template.nodes == tuple(nodes)
        assert Template(str(template)) == template


@cases()
@given(any_text, names, any_text)
def test_the_list_of_a_field_is_printed_and_read(sep, name, text):
    template = Template.from_nodes([Options(sep, name), Literal(text), Mask()])
    assert Template(str(template)) == template
    assert template.fields == template.lists == (name,)
    assert template.expand({name: ["a", "b"]})[0].text == f"a{sep}b"
