"""Good templates and their nodes; mistakes with their exact message and span."""

import pytest

from softcloze.template import Field, Literal, Mask, Soft, Template, TemplateSyntaxError

MASK = Mask()

GOOD = [
    ("<mask>", [MASK]),
    ("<text> It was <mask>", [Field("text"), Literal(" It was "), MASK]),
    ("<soft*10> <text>\nSo: <mask>", [Soft(10), Literal(" "), Field("text"), Literal("\nSo: "), MASK]),
    ("<soft><mask>", [Soft(), MASK]),
    ("<soft*1><mask>", [Soft(1), MASK]),
    ("<soft*007><mask>", [Soft(7), MASK]),
    ("<soft*10000><mask>", [Soft(10_000), MASK]),
    ('<soft init="It is about"><mask>', [Soft(init="It is about"), MASK]),
    ("<soft init=about><mask>", [Soft(init="about"), MASK]),
    ("<soft init=情感><mask>", [Soft(init="情感"), MASK]),
    ("<soft init=-0.5><mask>", [Soft(init="-0.5"), MASK]),
    ("<soft*3 name=task init=x><mask>", [Soft(3, "x", "task"), MASK]),
    ('<soft*3\n  name="task"\u3000init=x\t><mask>', [Soft(3, "x", "task"), MASK]),
    (r'<soft init="\"a\" \\ > \n <mask>"><mask>', [Soft(init=r'"a" \ > \n <mask>'), MASK]),
    ('<soft init="two\nlines"><mask>', [Soft(init="two\nlines"), MASK]),
    ("<文本 ><हिन्दी><_x1><mask>", [Field("文本"), Field("हिन्दी"), Field("_x1"), MASK]),
    ("<SOFT><mask>", [Field("SOFT"), MASK]),
    ("1 < 2, <3, </s>, <=, <> <<mask>", [Literal("1 < 2, <3, </s>, <=, <> <"), MASK]),
    ("<mask><", [MASK, Literal("<")]),
    ("a > b <mask>", [Literal("a > b "), MASK]),
    (r"\<b> <mask>", [Literal("<b> "), MASK]),
    (r"\\<b> <mask>", [Literal("\\"), Field("b"), Literal(" "), MASK]),
    (r"\\\<b> <mask>", [Literal(r"\<b> "), MASK]),
    (r"\< \\< \\\< 3<mask>", [Literal(r"< \< \< 3"), MASK]),
    (r"\frac \\ \n<mask>\\", [Literal(r"\frac \\ \n"), MASK, Literal(r"\\")]),
]


@pytest.mark.parametrize(("source", "nodes"), GOOD)
def test_nodes(source, nodes):
    template = Template(source)
    assert template.nodes == tuple(nodes)
    assert Template(str(template)) == template
    assert Template.from_nodes(nodes) == template


NO_MASK = "the template has no <mask>, expected exactly one"
COUNT = "expected a whole number from 1 to 10000 after '*'"
INIT = 'as in init="It is about"'
BEHIND = "the count goes right behind the name, as in <soft*10>"


def unclosed(name):
    return f"this tag is never closed: expected '>', or \\<{name} for a literal '<'"


# (source, problem, the part of the source at fault between two ‸ marks, or one mark where something is missing)
MISTAKES = [
    ("‸", NO_MASK),
    ("Review: <text>‸", NO_MASK),
    ("<MASK> it\n‸", f"{NO_MASK}; did you mean <mask> where it says <MASK>?"),
    (
        "<mask> and\n‸<mask>‸",
        "a template has only one <mask>, and this is the second: the first is at line 1, column 1",
    ),
    ("‸<text‸", unclosed("text")),
    ("‸<text‸ ", unclosed("text")),
    ("‸<text‸<mask>", unclosed("text")),
    ("if a‸<b‸ then c\n<mask>", unclosed("b")),
    ("a‸<b‸*c, <mask>", unclosed("b")),
    ("‸<b‸, <mask>", unclosed("b")),
    ("‸<soft‸ init=a", unclosed("soft")),
    ("<text‸.‸foo><mask>", "expected white space or '>', found '.'"),
    ("<a‸²‸><mask>", "expected white space or '>', found '²'"),
    ('<soft init="a"‸n‸ame=b><mask>', "expected white space or '>', found 'n'"),
    ("<soft init=a‸=‸b><mask>", "expected white space or '>', found '='"),
    ('<soft ‸"‸abc"><mask>', """expected init="It is about" or '>', found '"'"""),
    ("<text ‸,‸><mask>", "expected '>', found ','"),
    ("<‸text*3‸><mask>", "the field <text> takes no count"),
    ("<‸sfot*3‸><mask>", "the field <sfot> takes no count; did you mean <soft*3>?"),
    ("<text ‸max‸=200><mask>", "the field <text> takes no attributes, found 'max'"),
    ("<text ‸and‸><mask>", "the field <text> takes no attributes, found 'and'"),
    ("<sotf ‸init‸=a><mask>", "the field <sotf> takes no attributes, found 'init'; did you mean <soft>?"),
    ("<‸mask*2‸>", "<mask> takes no count"),
    ("<mask ‸wide‸=1>", "<mask> takes no attributes, found 'wide'"),
    ("<soft*‸0‸><mask>", f"{COUNT}, found '0'"),
    ("<soft*‸-3‸><mask>", f"{COUNT}, found '-3'"),
    ("<soft*‸1.5‸><mask>", f"{COUNT}, found '1.5'"),
    ("<soft*‸１０‸><mask>", f"{COUNT}, found '１０'"),
    ("<soft*‸10001‸><mask>", f"{COUNT}, found '10001'"),
    ("<soft*‸" + "9" * 5000 + "‸><mask>", f"{COUNT}, found '{'9' * 38}…"),
    ("<soft‸*‸><mask>", f"{COUNT}, as in <soft*10>"),
    ("<soft‸*‸", f"{COUNT}, as in <soft*10>"),
    ("<soft ‸*‸3><mask>", f"unexpected '*': {BEHIND}"),
    ("<soft ‸3‸><mask>", f"unexpected '3': {BEHIND}"),
    ("<soft ‸int‸=a><mask>", "<soft> has no attribute 'int': it takes init and name; did you mean 'init'?"),
    ("<soft ‸size‸=a><mask>", "<soft> has no attribute 'size': it takes init and name"),
    ("<soft init=a ‸init‸=a><mask>", "init is given twice in one tag"),
    ("<soft ‸init‸><mask>", f"expected '=' right behind init, {INIT}"),
    ("<soft ‸name‸ =a><mask>", "expected '=' right behind name, as in name=task"),
    ("<soft ‸init=‸><mask>", f"init needs a value right behind '=', {INIT}"),
    ("<soft ‸init=‸ name=a><mask>", f"init needs a value right behind '=', {INIT}"),
    ('<soft init=‸""‸><mask>', f"init holds no words, expected some {INIT}"),
    ('<soft init=‸" "‸><mask>', f"init holds no words, expected some {INIT}"),
    ('<soft init=‸"‸It is><mask>', "this quote is never closed: expected another '\"'"),
    ('<soft init=‸"‸It is\\"><mask>', "this quote is never closed: expected another '\"'"),
    ("<soft init=‸“It‸ is”><mask>", f"put '“It' in plain double quotes, {INIT}"),
    ("<soft name=‸3‸><mask>", "name must be an identifier, as in name=task, found '3'"),
    ('<soft name=‸"a b"‸><mask>', "name must be an identifier, as in name=task, found 'a b'"),
    (
        "<soft*3 name=t><soft name=t>\n‸<soft*5 name=t>‸<mask>",
        "soft slots named 't' share one block, but its count is 3 at line 1, column 1 and 5 here",
    ),
    (
        "<soft*3 name=t><soft init=a name=t>‸<soft init=b name=t>‸<mask>",
        "soft slots named 't' share one block, but its init is 'a' at line 1, column 16 and 'b' here",
    ),
    *((f"‸<{name}‸><mask>", f"<{name}> is reserved and cannot be a field") for name in ("options", "demos", "bos")),
    *((f'‸<{name}‸ sep=", "><mask>', f"<{name}> is reserved and cannot be a field") for name in ("eos", "sep", "cls")),
]


@pytest.mark.parametrize(("marked", "problem"), MISTAKES)
def test_mistakes(marked, problem):
    source = marked.replace("‸", "")
    with pytest.raises(TemplateSyntaxError) as caught:
        Template(source)
    error = caught.value
    assert error.problem == problem
    assert error.source == source
    shown = source[: error.start] + "‸" + source[error.start : error.end]
    shown += ("‸" if error.end > error.start else "") + source[error.end :]
    assert shown == marked


MILLION = 1_000_000
LARGE = {
    "fields": "<text>" * (MILLION // 6) + "<mask>",
    "soft": '<soft*3 init="a b" name=x>' * (MILLION // 26) + "<mask>",
    "opening": "<" * MILLION + "<mask>",
    "escaped": "\\<" * (MILLION // 2) + "<mask>",
    "backslashes": "\\" * MILLION + "<mask>",
    "backslashes alone": "<mask>" + "\\" * MILLION,
    "literal": "<mask>" + "字" * MILLION,
    "name": "<" + "字" * MILLION + "><mask>",
    "quoted": '<soft init="' + '\\"' * (MILLION // 2) + '"><mask>',
}
LARGE_AND_WRONG = {
    "unclosed": "<a " * (MILLION // 3),
    "unclosed quotes": '<soft init=" ' * (MILLION // 13),
    "one unclosed quote": '<soft init="' + '\\"' * (MILLION // 2),
    "masks": "<mask>" * (MILLION // 6),
    "digits": "<soft*" + "9" * MILLION + "><mask>",
    "lines": "\n" * MILLION + "<soft",
    "almost soft": "<" + "soft" * (MILLION // 4) + "*3><mask>",
}


@pytest.mark.parametrize("shape", LARGE)
def test_a_megabyte_parses(shape):
    template = Template(LARGE[shape])
    assert Template(str(template)) == template


@pytest.mark.parametrize("shape", LARGE_AND_WRONG)
def test_a_megabyte_fails_with_a_short_message(shape):
    with pytest.raises(TemplateSyntaxError) as caught:
        Template(LARGE_AND_WRONG[shape])
    assert len(str(caught.value)) < 1000
