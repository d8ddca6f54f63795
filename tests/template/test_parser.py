"""Valid templates and their nodes; mistakes with exact message and span."""

import time

import pytest

from softcloze.errors import TemplateSyntaxError
from softcloze.template import Demos, Expression, Field, Literal, Mask, Options, Soft, Special, Statement, Template
from softcloze.template.nodes import LayerRange, edges, write
from softcloze.template.parser import parse

MASK = Mask()

GOOD = [
    ("<mask>", [MASK]),
    ("<mask name=quality>", [Mask(name="quality")]),
    ('<mask*2  name="评价" >，<mask name=b>', [Mask(2, "评价"), Literal("，"), Mask(name="b")]),
    ("<demos><mask name=a><mask name=_>", [Demos(), Mask(name="a"), Mask(name="_")]),
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
    (r'<soft init="\"a\" \\ > \d <mask>"><mask>', [Soft(init=r'"a" \ > \d <mask>'), MASK]),
    (r'<soft init="a\n\tb\\n"><mask>', [Soft(init="a\n\tb\\n"), MASK]),
    ('<soft init="two\nlines"><mask>', [Soft(init="two\nlines"), MASK]),
    ("<文本 ><हिन्दी><_x1><mask>", [Field("文本"), Field("हिन्दी"), Field("_x1"), MASK]),
    (
        '<soft*2 from=text><text><soft from="文本"><文本><mask>',
        [Soft(2, from_="text"), Field("text"), Soft(from_="文本"), Field("文本"), MASK],
    ),
    (
        '<soft name=t from_by="states"><a><soft name=t from=a><mask>',
        [Soft(name="t", from_by="states"), Field("a"), Soft(name="t", from_="a"), MASK],
    ),
    (
        "<a><soft layers=12 mode=replace from=a><mask>",
        [Field("a"), Soft(layers=LayerRange(12, 12), mode="replace", from_="a"), MASK],
    ),
    ("<a><soft layers=0 mode=add from=a><mask>", [Field("a"), Soft(layers=LayerRange(), mode="add", from_="a"), MASK]),
    ("<SOFT><mask>", [Field("SOFT"), MASK]),
    ("1 < 2, <3, </s>, <=, <> <<mask>", [Literal("1 < 2, <3, </s>, <=, <> <"), MASK]),
    ("<mask><", [MASK, Literal("<")]),
    ("a > b <mask>", [Literal("a > b "), MASK]),
    (r"\<b> <mask>", [Literal("<b> "), MASK]),
    (r"\\<b> <mask>", [Literal("\\"), Field("b"), Literal(" "), MASK]),
    (r"\\\<b> <mask>", [Literal(r"\<b> "), MASK]),
    (r"\< \\< \\\< 3<mask>", [Literal(r"< \< \< 3"), MASK]),
    (r"\frac \\ \n<mask>\\", [Literal(r"\frac \\ \n"), MASK, Literal(r"\\")]),
    ("<text max=200><mask>", [Field("text", max=200), MASK]),
    ('<text shorten=0 keep="ends"\n max=007><mask>', [Field("text", 7, "ends", 0.0), MASK]),
    ("<a keep=head shorten=1.00><b shorten=999.999><mask>", [Field("a"), Field("b", shorten=999.999), MASK]),
    (
        "<a shorten=0.125><b shorten=1000 max=1000000><mask>",
        [
            Field("a", shorten=0.125),
            Field("b", 1_000_000, shorten=1000.0),
            MASK,
        ],
    ),
    ("<mask*2>", [Mask(2)]),
    ("<mask*1 >", [Mask(1)]),
    ("<options><mask>", [Options(), MASK]),
    ('<options sep=" / "><options sep=or><options sep=""><mask>', [Options(" / "), Options("or"), Options(""), MASK]),
    ("<demos><mask>", [Demos(), MASK]),
    (r'<demos*4 sep="\n---\n"><mask>', [Demos(4, "\n---\n"), MASK]),
    ("<bos><eos><sep><cls ><mask>", [Special("bos"), Special("eos"), Special("sep"), Special("cls"), MASK]),
    ("<a><!-- why <mask> {{ -- > --><mask>", [Field("a"), MASK]),
    ("a <!----> b<!--\n--><!-- --><mask>", [Literal("a  b"), MASK]),
    (r"<!-- --\--><mask>", [MASK]),
    ("<<!-- -->text><mask>", [Literal("<text>"), MASK]),
    (r"\\<!-- -->{{ a }}<mask>", [Literal("\\"), Expression("a"), MASK]),
    (r"\<!-- a --> <!- <! <mask>", [Literal("<!-- a --> <!- <! "), MASK]),
    ("{{text}}<mask>", [Expression("text"), MASK]),
    (
        '{{ text | trim }}<mask>{{\n\'}}\' ~ "a\\"}}" }}',
        [
            Expression("text | trim"),
            MASK,
            Expression('\'}}\' ~ "a\\"}}"'),
        ],
    ),
    ("{{ a <b }}{{ a }}}<mask>", [Expression("a <b"), Expression("a"), Literal("}"), MASK]),
    ("{% if a %}x{% endif %}<mask>", [Statement("if a"), Literal("x"), Statement("endif"), MASK]),
    (
        "{%if a == '%}'%}{%else%}{% endif%}<mask>",
        [
            Statement("if a == '%}'"),
            Statement("else"),
            Statement("endif"),
            MASK,
        ],
    ),
    ("{%- if a -%}{%endif-%}<mask>", [Statement("- if a -"), Statement("endif -"), MASK]),
    (
        "{{-a}}{{- a -}}{{ -a }}{{ - a }}{{--a-}}<mask>",
        [
            Expression("- a"),
            Expression("- a -"),
            Expression("-a"),
            Expression("-a"),
            Expression("- -a -"),
            MASK,
        ],
    ),
    (
        r"\{{ a }} \{% if \\{{ a }}\\\{{a}}<mask>",
        [Literal("{{ a }} {% if \\"), Expression("a"), Literal(r"\{{a}}"), MASK],
    ),
    (
        r"\{\{\{{{ a }}\{{% if a %}{% endif %}<mask>",
        [
            Literal("{{{"),
            Expression("a"),
            Literal("{"),
            Statement("if a"),
            Statement("endif"),
            MASK,
        ],
    ),
    (r"{a} {# a #} {\ \frac{1}{2} {'{<mask>", [Literal(r"{a} {# a #} {\ \frac{1}{2} {'{"), MASK]),
    (r"\{ \\{ \\\{ {\{<mask>", [Literal(r"{ \{ \{ {{"), MASK]),
    ('<soft init="{{ a }} <!-- b -->"><mask>', [Soft(init="{{ a }} <!-- b -->"), MASK]),
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
SEP = 'as in sep=" / "'
BEHIND = "the count goes right after the name, as in <soft*10>"


def unclosed(name):
    return f"this tag is never closed: expected '>', or \\<{name} for a literal '<'"


def literally(name):
    return f" (a literal '<' is written \\<{name})"


def in_quotes(name):
    return f'; the name of a column goes in quotes, as in <"{name}">'


def has(*attributes):
    return f"it takes {', '.join(attributes[:-1])} and {attributes[-1]}"


OF_FIELDS = has("max", "keep", "shorten")
LAYERS = "layers must be all, a layer from 0 to 999, or the first and the last of several, as in layers=6-11"
WHOLE = "max must be a whole number from 1 to 1000000, as in max=200"
NUMBER = "shorten must be a number from 0 to 1000 with at most three decimals, as in shorten=2"

# (source, problem); two ‸ marks enclose the wrong part of the source, one mark shows where something is missing
MISTAKES = [
    ("‸", NO_MASK),
    ("Review: <text>‸", NO_MASK),
    ("<MASK> it\n‸", f"{NO_MASK}; did you mean <mask> where it says <MASK>?"),
    (
        "<mask> and\n‸<mask>‸",
        "a template has only one <mask>, and this is the second: the first is at line 1, column 1; "
        "several need names, as in <mask name=quality>",
    ),
    ("‸<text‸", unclosed("text")),
    ("‸<text‸ ", unclosed("text")),
    ("‸<text‸<mask>", unclosed("text")),
    ("if a‸<b‸ then c\n<mask>", unclosed("b")),
    ("a‸<b‸*c, <mask>", unclosed("b")),
    ("‸<b‸, <mask>", unclosed("b")),
    ("‸<soft‸ init=a", unclosed("soft")),
    ("<text‸.‸foo><mask>", f"expected white space or '>', found '.'{in_quotes('text.foo')}{literally('text')}"),
    ("<a‸²‸><mask>", f"expected white space or '>', found '²'{in_quotes('a²')}{literally('a')}"),
    ("<mask‸.‸>", "expected white space or '>', found '.'"),
    ('<soft init="a"‸n‸ame=b><mask>', "expected white space or '>', found 'n'"),
    ("<soft init=a‸=‸b><mask>", "expected white space or '>', found '='"),
    ('<soft ‸"‸abc"><mask>', """expected init="It is about" or '>', found '"'"""),
    ("<text ‸,‸><mask>", f"expected max=200 or '>', found ','{literally('text')}"),
    ("<mask ‸,‸>", "expected name=quality or '>', found ','"),
    ("<options ‸,‸><mask>", """expected sep=" / " or '>', found ','"""),
    ("<‸text*3‸><mask>", "the field <text> takes no count"),
    ("<‸sfot*3‸><mask>", "the field <sfot> takes no count; did you mean <soft*3>?"),
    ("<‸maks*2‸>", "the field <maks> takes no count; did you mean <mask*2>?"),
    ("<‸demo*4‸><mask>", "the field <demo> takes no count; did you mean <demos*4>?"),
    *((f"<‸{name}*3‸><mask>", f"<{name}> takes no count") for name in ("options", "bos", "eos", "sep", "cls")),
    ('<‸"‸text><mask>', "this quote is never closed: expected another '\"', or \\<\" for a literal '<'"),
    ('<‸" "‸><mask>', "the name in quotes is blank: expected that of a field"),
    ("<text ‸maxx‸=200><mask>", f"the field <text> has no attribute 'maxx': {OF_FIELDS}; did you mean 'max'?"),
    (
        "<text ‸and‸><mask>",
        f"the field <text> has no attribute 'and': {OF_FIELDS}{in_quotes('text and')}{literally('text')}",
    ),
    ("<sotf ‸init‸=a><mask>", f"the field <sotf> has no attribute 'init': {OF_FIELDS}; did you mean <soft>?"),
    ("<option ‸sep‸=a><mask>", f"the field <option> has no attribute 'sep': {OF_FIELDS}; did you mean <options>?"),
    ("<mask ‸wide‸=1>", "<mask> has no attribute 'wide': it takes only name"),
    ("<mask ‸nmae‸=a>", "<mask> has no attribute 'nmae': it takes only name; did you mean 'name'?"),
    ("<mask name=‸1a‸>", "name must be an identifier, as in name=quality, found '1a'"),
    ("<mask name=a ‸name‸=a>", "name is given twice in one tag"),
    (
        "<maks ‸name‸=a><mask>",
        "the field <maks> has no attribute 'name': it takes max, keep and shorten; did you mean <mask>?",
    ),
    (
        "<mask name=a> 很\n<mask name=b>，‸<mask name=a>‸",
        "two masks are named 'a', and this is the second: the first is at line 1, column 1",
    ),
    (
        "好：<mask name=评价>，‸<mask>‸",
        "this mask has no name, but the one at line 1, column 3 has: if there are several, all need names",
    ),
    (
        "‸<mask>‸ <mask name=a><mask name=b>",
        "this mask has no name, but the one at line 1, column 8 has: if there are several, all need names",
    ),
    (
        "<mask name=a><mask> ‸<mask*2>‸",
        "a template has only one <mask>, and this is the second: the first is at line 1, column 14; "
        "several need names, as in <mask name=quality>",
    ),
    (
        "<mask name=a> ‸<demos>‸ <mask name=b>",
        "<demos> is between two masks, but a demonstration shows all of them: put it in front",
    ),
    ("<sep ‸sep‸=a><mask>", "<sep> takes no attributes, found 'sep'"),
    ("<demos ‸spe‸=a><mask>", "<demos> has no attribute 'spe': it takes only sep; did you mean 'sep'?"),
    ("<options ‸max‸=a><mask>", "<options> has no attribute 'max': it takes sep and field"),
    ("<mask*‸0‸>", f"{COUNT}, found '0'"),
    ("<mask‸*‸>", f"{COUNT}, as in <mask*2>"),
    ("<demos*‸x‸><mask>", f"{COUNT}, found 'x'"),
    ("<demos ‸4‸><mask>", "unexpected '4': the count goes right after the name, as in <demos*4>"),
    ("<text max=‸0‸><mask>", f"{WHOLE}, found '0'"),
    ("<text max=‸1.5‸><mask>", f"{WHOLE}, found '1.5'"),
    ('<text max=‸""‸><mask>', f"{WHOLE}, found ''"),
    ("<text max=‸1000001‸><mask>", f"{WHOLE}, found '1000001'"),
    ("<text max=‸" + "9" * 5000 + "‸><mask>", f"{WHOLE}, found '{'9' * 38}…"),
    (
        "<text keep=‸haed‸><mask>",
        "keep must be head, tail or ends, as in keep=tail, found 'haed'; did you mean 'head'?",
    ),
    ("<text keep=‸both‸><mask>", "keep must be head, tail or ends, as in keep=tail, found 'both'"),
    *(
        (f"<text shorten=‸{wrong}‸><mask>", f"{NUMBER}, found '{wrong}'")
        for wrong in ("-1", "1000.001", "0.1234", ".5", "1e2", "nan", "two", "１")
    ),
    ("<text max=3 keep=tail ‸max‸=3><mask>", "max is given twice in one tag"),
    ("<text ‸max‸ 200><mask>", "expected '=' right after max, as in max=200"),
    ("<text ‸keep‸><mask>", "expected '=' right after keep, as in keep=tail"),
    ("<text ‸shorten=‸><mask>", "shorten needs a value right after '=', as in shorten=2"),
    ("<options ‸sep=‸><mask>", f"sep needs a value right after '=', {SEP}"),
    ("<options sep=‸、‸><mask>", f"put '、' in plain double quotes, {SEP}"),
    ("<options sep=‸'‸ '><mask>", f"""put "'" in plain double quotes, {SEP}"""),
    ('<demos sep=‸"‸, ><mask>', "this quote is never closed: expected another '\"'"),
    (
        "<demos>\n‸<demos*2>‸<mask>",
        "a template has only one <demos>, and this is the second: the first is at line 1, column 1",
    ),
    ("<mask> ‸<!--‸ a -- >", "this comment is never closed: expected '-->', or \\<!-- for literal text"),
    ("<mask> ‸<!--‸>", "this comment is never closed: expected '-->', or \\<!-- for literal text"),
    ("<mask> ‸{{‸ a }", "this '{{' is never closed: expected '}}', or \\{{ for a literal one"),
    ("<mask> ‸{%‸ if a }}", "this '{%' is never closed: expected '%}', or \\{% for a literal one"),
    ("<mask> {{ don‸'‸t }}", 'this quote is never closed: expected another "\'"'),
    ('{% if ‸"‸a\\" %}<mask>', "this quote is never closed: expected another '\"'"),
    ("<mask> ‸{{- -}}‸", "nothing inside: expected an expression, as in {{ text | trim }}"),
    ("<mask> ‸{%-%}‸", "nothing inside: expected a statement, as in {% if title %}"),
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
    (
        "<soft ‸int‸=a><mask>",
        "<soft> has no attribute 'int': it takes init, name, layers, mode, via, train, from and from_by; "
        "did you mean 'init'?",
    ),
    (
        "<soft ‸size‸=a><mask>",
        "<soft> has no attribute 'size': it takes init, name, layers, mode, via, train, from and from_by",
    ),
    ("<soft init=a ‸init‸=a><mask>", "init is given twice in one tag"),
    ("<soft ‸init‸><mask>", f"expected '=' right after init, {INIT}"),
    ("<soft ‸name‸ =a><mask>", "expected '=' right after name, as in name=task"),
    ("<soft ‸init=‸><mask>", f"init needs a value right after '=', {INIT}"),
    ("<soft ‸init=‸ name=a><mask>", f"init needs a value right after '=', {INIT}"),
    ('<soft init=‸""‸><mask>', f"init must be one word or more, {INIT}, found ''"),
    ('<soft init=‸" "‸><mask>', f"init must be one word or more, {INIT}, found ' '"),
    ('<soft init=‸"‸It is><mask>', "this quote is never closed: expected another '\"'"),
    ('<soft init=‸"‸It is\\"><mask>', "this quote is never closed: expected another '\"'"),
    ("<soft init=‸“It‸ is”><mask>", f"put '“It' in plain double quotes, {INIT}"),
    ("<soft name=‸3‸><mask>", "name must be an identifier, as in name=task, found '3'"),
    ("<soft name=‸“a”‸><mask>", "name must be an identifier, as in name=task, found '“a”'"),
    ('<soft name=‸"a b"‸><mask>', "name must be an identifier, as in name=task, found 'a b'"),
    (
        "<soft*3 name=t><soft name=t>\n‸<soft*5 name=t>‸<mask>",
        "soft slots named 't' share one block, but its count is 3 at line 1, column 1 and 5 here",
    ),
    (
        "<soft*3 name=t><soft init=a name=t>‸<soft init=b name=t>‸<mask>",
        "soft slots named 't' share one block, but its init is 'a' at line 1, column 16 and 'b' here",
    ),
    (
        "<soft name=t layers=all>‸<soft name=t layers=0-11>‸<mask>",
        "soft slots named 't' share one block, but its layers is all at line 1, column 1 and 0-11 here",
    ),
    (
        "<soft name=t via=mlp>‸<soft train=no name=t>‸<mask>",
        "via=mlp is a network that is trained, and train=no leaves the vectors as they are: take one of them out",
    ),
    (
        "<soft name=t train=no>‸<soft train=yes name=t>‸<mask>",
        "soft slots named 't' share one block, but its train is 'no' at line 1, column 1 and 'yes' here",
    ),
    *(
        (f"<soft layers=‸{wrong}‸><mask>", f"{LAYERS}, found '{wrong}'")
        for wrong in ("-1", "1000", "6-", "6-5", "6..11", "0,1", "every")
    ),
    ("<soft layers=‸al‸><mask>", f"{LAYERS}, found 'al'; did you mean 'all'?"),
    ("<soft mode=‸ad‸><mask>", "mode must be add or replace, as in mode=replace, found 'ad'; did you mean 'add'?"),
    ("<soft train=‸false‸><mask>", "train must be yes or no, as in train=no, found 'false'"),
    ("<soft via=‸gru‸><mask>", "via must be mlp or lstm, as in via=mlp, found 'gru'"),
    ("<soft from=‸2b‸><mask>", "from must be an identifier, as in from=text, found '2b'"),
    (
        "‸<soft from=txt>‸<title><text><mask>",
        "from=txt names no field that the template shows: it shows 'title', 'text'; did you mean 'text'?",
    ),
    (
        "‸<soft from_by=states>‸<text><mask>",
        "from_by=states needs the name of a field as well, as in from=text from_by=states",
    ),
    (
        "<soft name=t><text>‸<soft name=t from_by=embeddings>‸<mask>",
        "from_by=embeddings needs the name of a field as well, as in from=text from_by=embeddings",
    ),
    (
        "<a><soft name=t from=a><soft name=t from_by=‸state‸><mask>",
        "from_by must be embeddings or states, as in from_by=states, found 'state'; did you mean 'states'?",
    ),
    (
        "<a><soft name=t from=a from_by=states>‸<soft name=t from_by=embeddings>‸<mask>",
        "soft slots named 't' share one block, but its from_by is 'states' at line 1, column 4 and 'embeddings' here",
    ),
    ("<b>‸<soft from=a>‸{{ a }}<mask>", "from=a names no field that the template shows: it shows 'b'"),
    ("‸<soft from=a>‸<options field=a><mask>", "from=a names no field that the template shows: it shows none"),
    (
        "<a><soft name=t via=mlp>‸<soft name=t from=a>‸<mask>",
        "from=a and via=mlp are two networks for the same vectors: leave one of them out",
    ),
    (
        "<a>‸<soft train=no from=a>‸<mask>",
        "from=a is a network that is trained, and train=no leaves it as it is: take one of them out",
    ),
    (
        "<a>‸<soft layers=all from=a>‸<mask>",
        "from=a with layers=all: expected one layer after layer 0, as in layers=12",
    ),
    (
        "<a>‸<soft layers=6-11 from=a>‸<mask>",
        "from=a with layers=6-11: expected one layer after layer 0, as in layers=12",
    ),
    (
        "<a>‸<soft layers=12 from=a from_by=states>‸<mask>",
        "from=a with layers=12 depends on the states in front of layer 12: leave from_by=states out",
    ),
    (
        "<a><b><soft from=b layers=3>‸<soft from=a layers=12>‸<mask>",
        "from=a with layers=12: soft block '#1' depends on a field at a later layer already, and there may be one such "
        "block; give both slots one name, or leave layers= out here",
    ),
    (
        "<a>‸<soft from=a layers=12>‸<mask name=b><mask name=c>",
        "from=a with layers=12 takes a template with one mask: leave layers= out here",
    ),
    (
        "<a><b><soft name=t from=a>‸<soft name=t from=b>‸<mask>",
        "soft slots named 't' share one block, but its from is 'a' at line 1, column 7 and 'b' here",
    ),
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


EDGES = [
    ("a", (False, "a", False)),
    ("- a", (True, "a", False)),
    ("a -", (False, "a", True)),
    ("- a -", (True, "a", True)),
    ("-a", (False, "-a", False)),
    ("- -a", (True, "-a", False)),
    ("a - b", (False, "a - b", False)),
]


@pytest.mark.parametrize(("source", "expected"), EDGES)
def test_edges(source, expected):
    assert edges(source) == expected
    for kind in (Expression, Statement):
        assert [placed.node for placed in parse("".join(write([kind(source)])))] == [kind(source)]


# prefix, repeated part, suffix
LARGE = {
    "fields": ("", "<text>", ""),
    "attributes": ("", "<text max=20 keep=tail shorten=0.5>", ""),
    "soft": ("", '<soft*3 init="a b" name=x>', ""),
    "openings": ("", "<", ""),
    "escaped": ("", "\\<", ""),
    "escaped braces": ("", "\\{{", ""),
    "comments": ("", "a<!-- <a -->", ""),
    "one comment": ("<!--", "<!--{{<a", "-->"),
    "backslashes": ("", "\\", ""),
    "backslashes before a tag": ("", "\\\\", "<text>"),
    "letters": ("", "字", ""),
    "name": ("<", "字", ">"),
    "space": ("<text", " ", ">"),
    "quoted": ('<soft init="', '\\"', '">'),
    "tags in quotes": ('<soft init="', "<a>", '">'),
    "closing braces": ("", "}}", ""),
    "expressions": ("", "{{a}}", ""),
    "dashes": ("", "{{- -a -}}", ""),
    "statements": ("", "{% set a = 1 %}", ""),
    "long string": ("{{ '", "\"}}\\'", "' }}"),
    "strings": ("{{ ''", " ~ '}}'", "}}"),
    "space in Jinja": ("{{ -", " ", "-}}"),
    "pairs": ("{{ ", "{}", " }}"),
}
LARGE_AND_WRONG = {
    "unclosed": ("", "<a ", ""),
    "unclosed quotes": ("", '<soft init=" ', ""),
    "one unclosed quote": ('<soft init="', '\\"', ""),
    "unclosed comments": ("", "<!-- ", ""),
    "unclosed comments behind others": ("<!-- -->", "<!--", ""),
    "opening braces": ("", "{", ""),
    "unclosed expressions": ("", "{{ '", ""),
    "quotes in Jinja": ("{{ ", "'", ""),
    "quotes of two kinds": ("{{ ", "'\"", ""),
    "unclosed statements": ("", "{% }} ", ""),
    "pairs never closed": ("{{", "{}", ""),
    "dashes alone": ("{{", "-", ""),
    "masks": ("", "<mask>", ""),
    "demos": ("<mask>", "<demos>", ""),
    "digits": ("<soft*", "9", ">"),
    "digits of an attribute": ("<text max=", "9", ">"),
    "keep": ("<text keep=", "head", ">"),
    "attributes": ("<text", " max=1", ">"),
    "lines": ("", "\n", "<soft"),
    "almost soft": ("<", "soft", "*3>"),
}


def large(shape, size):
    before, again, behind = shape
    return before + again * (size // len(again)) + behind


def seconds(shape, size):
    """Parsing time, the best of three, and whether the source is valid."""
    source = large(shape, size)
    spent = []
    for _ in range(3):
        start = time.process_time()
        try:
            parse(source)
        except TemplateSyntaxError:
            assert shape in LARGE_AND_WRONG.values()
        spent.append(time.process_time() - start)
    return min(spent)


@pytest.mark.parametrize("shape", LARGE)
def test_large_templates_print_and_parse(shape):
    placed = parse(large(LARGE[shape], 100_000))
    nodes = [node for node, _, _ in placed]
    assert [node for node, _, _ in parse("".join(write(nodes)))] == nodes


@pytest.mark.parametrize("shape", LARGE_AND_WRONG)
def test_large_mistakes_have_short_messages(shape):
    with pytest.raises(TemplateSyntaxError) as caught:
        Template(large(LARGE_AND_WRONG[shape], 300_000))
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("shape", [*LARGE.values(), *LARGE_AND_WRONG.values()], ids=[*LARGE, *LARGE_AND_WRONG])
def test_ten_times_the_length_takes_ten_times_the_time(shape):
    assert seconds(shape, 100_000) < 40 * seconds(shape, 10_000) + 0.01  # quadratic time would be 100 times
