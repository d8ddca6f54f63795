"""parse(print(tree)) == tree for every tree, and nothing but our own error for any text."""

import pickle

from hypothesis import given, settings
from hypothesis import strategies as st

from softcloze.template import Field, Literal, Mask, Soft, Template, TemplateSyntaxError

PROFILE = settings(max_examples=300, deadline=None)

any_char = st.one_of(st.sampled_from('\\\\<<>"=*a_ \n字3'), st.characters(exclude_categories=()))
any_text = st.text(any_char, max_size=12)
names = st.one_of(
    st.sampled_from(["text", "class", "情感", "_", "हिन्दी", "ﬁ", "℘", "a1"]),
    st.from_regex(r"[^\W\d]\w{0,5}", fullmatch=True).filter(str.isidentifier),
).filter(lambda name: name not in ("soft", "mask", "options", "demos", "bos", "eos", "sep", "cls"))
counts = st.integers(1, 10_000)
inits = any_text.filter(str.strip)


@st.composite
def trees(draw):
    shared = draw(st.dictionaries(names, st.tuples(counts, inits), max_size=2))

    def named(name, has_count, has_init):
        count, init = shared[name]
        return Soft(count if has_count else None, init if has_init else None, name)

    kinds = [
        st.builds(Literal, any_text),
        st.builds(Field, names),
        st.builds(Soft, st.none() | counts, st.none() | inits),
    ]
    if shared:
        kinds.append(st.builds(named, st.sampled_from(sorted(shared)), st.booleans(), st.booleans()))
    nodes = draw(st.lists(st.one_of(kinds), max_size=8))
    nodes.insert(draw(st.integers(0, len(nodes))), Mask())
    return nodes


def merged(nodes):
    """Neighbouring literals as one, empty ones dropped; written without a look at the library's own."""
    done = []
    for node in nodes:
        if isinstance(node, Literal) and done and isinstance(done[-1], Literal):
            done[-1] = Literal(done[-1].text + node.text)
        elif node != Literal(""):
            done.append(node)
    return tuple(done)


@PROFILE
@given(trees())
def test_printing_and_parsing_give_the_tree_back(nodes):
    template = Template.from_nodes(nodes)
    assert template.nodes == merged(nodes)
    again = Template(str(template))
    assert again == template
    assert (again.fields, again.blocks) == (template.fields, template.blocks)
    assert pickle.loads(pickle.dumps(template)) == template


@PROFILE
@given(st.text(st.sampled_from("\\<a> "), max_size=20), st.booleans())
def test_literals_of_backslashes_and_brackets(text, mask_first):
    nodes = (Mask(), Literal(text)) if mask_first else (Literal(text), Mask())
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
        "init=",
        "name=",
        "t",
        "3",
        "0",
        "，",
        "\ud800",
    ]
)
sources = st.one_of(any_text, st.lists(pieces, max_size=15).map("".join))


@PROFILE
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
        str(error).encode()  # no surrogate is left to stop a terminal
    else:
        assert Template(str(template)) == template == Template.from_nodes(template.nodes)


texts = st.text(st.characters(exclude_categories=()), max_size=10)


@PROFILE
@given(st.lists(st.one_of(
    st.builds(Field, texts),
    st.builds(Soft, st.none() | st.integers() | st.booleans() | texts, st.none() | texts, st.none() | texts),
    st.just(Mask()),
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
