"""Templates with Jinja: output, errors and limits."""

import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import cases

from softcloze.errors import FieldError, TemplateLogicError, TemplateSyntaxError
from softcloze.template import (
    Demos,
    Field,
    Literal,
    Mask,
    Options,
    Part,
    Soft,
    SoftBlock,
    Special,
    Template,
)


def parts_of(source, example, row=None):
    template = Template(source)
    return template.expand(template.read_fields(example, row), row, example)


def written(source, example):
    """The output as text, with a tag for each node other than text."""
    return "".join(
        part.text if isinstance(part.node, Field | Literal) else f"<{type(part.node).__name__.lower()}>"
        for part in parts_of(source, example)
    )


TITLED = "{% if title %}<title max=9>: {% endif %}<text> 这句话 <mask>"
OUTPUTS = [
    # conditions
    (TITLED, {"title": "影评", "text": "好看"}, "影评: 好看 这句话 <mask>"),
    (TITLED, {"title": "", "text": "好看"}, "好看 这句话 <mask>"),
    (TITLED, {"title": None, "text": "好看"}, "好看 这句话 <mask>"),
    (TITLED, {"title": float("nan"), "text": "好看"}, "好看 这句话 <mask>"),
    ("{% if title is defined and title %}<title>: {% endif %}<mask>", {}, "<mask>"),
    ("{% if a > 1 %}x{% elif a == 1 %}y{% else %}z{% endif %}<mask>", {"a": 2}, "x<mask>"),
    ("{% if a > 1 %}x{% elif a == 1 %}y{% else %}z{% endif %}<mask>", {"a": 1.0}, "y<mask>"),
    ("{% if a > 1 %}x{% elif a == 1 %}y{% else %}z{% endif %}<mask>", {"a": 0}, "z<mask>"),
    ("{% if a %}{% if b %}1{% endif %}2{% endif %}3<mask>", {"a": 1, "b": 0}, "23<mask>"),
    ("{% if a in ['x', '好'] and not b %}y{% endif %}<mask>", {"a": "好", "b": ""}, "y<mask>"),
    ("{% if 'no' not in a or 1 < b <= 3 %}y{% endif %}<mask>", {"a": "not", "b": 3}, "y<mask>"),
    ("{% if(a)%}y{%endif%}<mask>", {"a": 1}, "y<mask>"),
    # loops
    ("{% for s in items %}{{ loop.index }}. {{ s }}\n{% endfor %}<mask>", {"items": ["甲", "乙"]},
     "1. 甲\n2. 乙\n<mask>"),
    ("{% for s in items %}<s>{% if not loop.last %}, {% endif %}{% endfor %}<mask>", {"items": ("a", 2)}, "a, 2<mask>"),
    ("{% for s in items %}{{ s }}{% else %}nothing{% endfor %}<mask>", {"items": []}, "nothing<mask>"),
    ("{% for s in items if s > 1 %}{{ loop.index0 }}{{ s }}{{ loop.length }}{% endfor %}<mask>", {"items": [1, 2, 3]},
     "022132<mask>"),
    ("{% for who, what in talk %}{{ who }}：{{ what }}\n{% endfor %}<mask>", {"talk": [("甲", "好"), ["乙", "坏"]]},
     "甲：好\n乙：坏\n<mask>"),
    ("{% for a in items %}{% for b in a %}{{ loop.revindex }}{{ b }}{% endfor %}{{ loop.first }}{% endfor %}<mask>",
     {"items": [["x", "y"], ["z"]]}, "2x1yTrue1zFalse<mask>"),
    ("{% for s in items[:2] %}{{ s }}{% endfor %}{{ items[-1] }}{{ items[0][0] }}<mask>", {"items": ["ab", "c", "d"]},
     "abcda<mask>"),
    ("{% for s in text | split('。') if s %}<s>；{% endfor %}<mask>", "一。二。", "一；二；<mask>"),
    # assigned names
    ("{% set text = text | strip_punctuation %}<text max=5>, <mask>", "So good!", "So good, <mask>"),
    ("{% set a = 1 %}{% for s in items %}{{ a }}{% set a = s %}{{ a }}{% endfor %}{{ a }}<mask>", {"items": [7, 8]},
     "17181<mask>"),
    ("{% for a in items %}{{ a }}{% endfor %}{{ a }}<a><mask>", {"items": [1], "a": 2}, "122<mask>"),
    ("{% if b %}{% set a = 1 %}{% endif %}{{ a }}<mask>", {"a": 2, "b": 0}, "2<mask>"),
    ("{% if b %}{% set a = 1 %}{% endif %}{{ a }}<mask>", {"b": 3}, "1<mask>"),
    # expressions
    ("{{ title or '无题' }}: {{ a if a else b }}<mask>", {"title": "", "a": 0, "b": "好"}, "无题: 好<mask>"),
    ("{{ 'a' ~ 1 ~ text ~ 2.5 }} {{ stars + 1 - 0.5 }} {{ -stars }}<mask>", {"text": "b", "stars": 2},
     "a1b2.5 2.5 -2<mask>"),
    ("{{ 情感 | trim }}{{ हिन्दी }}<mask>", {"情感": " 好 ", "हिन्दी": "अच्छा"}, "好अच्छा<mask>"),
    ("{{ '}}' }}{{ '%}' }}{{ \"{% if %}\" }}{{ '\\ud800\\'' }}<mask>", {}, "}}%}{% if %}\ufffd'<mask>"),
    # white space
    ("a \n{%- if b -%} \n c \n{%- endif -%}\n d {{- b }} <mask>", {"b": 1}, "acd1 <mask>"),
    ("{ {%- if b %} {x} {{ b -}} }\n{% endif %}\n<mask>", {"b": 1}, "{ {x} 1}\n\n<mask>"),
    ("<b> {%- if b -%} <b> {%- endif -%} <mask>", {"b": 1}, "11<mask>"),
    ("a\r\n{% if b %}\r{% endif %}\u2028<mask>", {"b": 1}, "a\r\n\r\u2028<mask>"),
    # other nodes between statements
    ("{% if b %}<bos><options><demos><soft*2>{% endif %}{{ b }} <mask>", {"b": 1},
     "<special><options><demos><soft>1 <mask>"),
    ("\\{{ b }} {# b #} {{ b }}<mask>", {"b": 1}, "{{ b }} {# b #} 1<mask>"),
    ("{{ none_of_it | default('') }}<loop>{{ True }}<mask>", {"loop": "x"}, "xTrue<mask>"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "example", "expected"), OUTPUTS)
def test_output_as_text(source, example, expected):
    assert written(source, example) == expected
    assert written(str(Template(source)), example) == expected


def test_parts():
    parts = parts_of(
        "<bos>{% if title %}<title max=9 keep=tail> {% endif %}{{ title ~ text }}{% for s in items %}<soft*3 name=x>"
        "<s shorten=0>{{ loop.index }}{{ s }}{% endfor %}!{{ 'fixed' }}!<options><demos><mask*2>{{ '' }}",
        {"title": "", "text": "好", "items": ["甲", "乙"]},
    )
    block = SoftBlock("x", 3, None)
    assert parts == [
        Part(Special("bos")),
        Part(Field("title"), "好"),
        Part(Soft(3, name="x"), block=block),
        Part(Field("items", shorten=0.0), "甲"),
        Part(Literal("1"), "1"),
        Part(Field("items"), "甲"),
        Part(Soft(3, name="x"), block=block),
        Part(Field("items", shorten=0.0), "乙"),
        Part(Literal("2"), "2"),
        Part(Field("items"), "乙"),
        Part(Literal("!fixed!"), "!fixed!"),
        Part(Options()),
        Part(Demos()),
        Part(Mask(2)),
    ]


def test_parts_of_a_template_without_jinja():
    assert parts_of("<soft name=a>a <text max=3><mask>", "文") == [
        Part(Soft(name="a"), block=SoftBlock("a", 1, None)),
        Part(Literal("a "), "a "),
        Part(Field("text", max=3), "文"),
        Part(Mask()),
    ]


NAMES = [
    ("{{ b | default(c) }}<a><mask>{{ a }}", ("b", "c", "a"), ("b", "c", "a")),
    ("<a>{% if b and c %}<d>{% endif %}<mask>", ("a", "b", "c", "d"), ("b", "c")),
    ("{{ x if y else z }}<mask>", ("x", "y", "z"), ("x", "y", "z")),
    ("{% for s in items %}<s>{{ s }}{{ t }}{% endfor %}<s><mask>", ("items", "t", "s"), ("items", "t")),
    ("{% set a = b %}{{ a }}<a>{% set a = a %}<mask>", ("b",), ("b",)),
    ("{% set a = a %}<a><mask>", ("a",), ("a",)),
    ("{% if b %}{% set a = 1 %}{% endif %}{{ a }}<mask>", ("b", "a"), ("b", "a")),
    ("{% if b %}{% set a = 1 %}{% else %}{% set a = 2 %}{% endif %}{{ a }}<mask>", ("b",), ("b",)),
    ("{% for a in b if c %}{% else %}{{ a }}{% endfor %}<mask>", ("b", "c", "a"), ("b", "c", "a")),
    ("{{ 'a' }}{{ b is defined }}<情感>{{ 情感 }}<mask>", ("b", "情感"), ("b", "情感")),
]


@pytest.mark.parametrize(("source", "fields", "variables"), NAMES)
def test_names_of_fields_and_of_variables(source, fields, variables):
    template = Template(source)
    assert (template.fields, template.variables) == (fields, variables)


ARITHMETIC = "the only arithmetic is + and - of numbers"
CALLED = "nothing can be called: use a filter, as in {{ text | trim }}"
ITEMS = "an item is read by a whole number, as in items[0] or items[:3]"
STATEMENTS = "'if', 'elif', 'else', 'endif', 'for', 'endfor', 'set'"
REFUSED = [
    # attempts to reach beyond values
    ("{{ text.title }}", "values have no attributes such as .title: a field is read by its name, "
     "an item as in items[0]"),
    ("{{ text.__class__ }}", "values have no attributes such as .__class__: a field is read by its name"),
    ("{{ ''.__class__.__mro__[1].__subclasses__() }}", CALLED),
    ("{{ text['__class__'] }}", ITEMS),
    ("{{ text[text] }}", ITEMS),
    ("{{ text[True] }}", ITEMS),
    ("{{ text[::2] }}", ITEMS),
    ("{{ text.strip() }}", "values have no methods: write | trim instead of .strip()"),
    ("{{ text.upper() }}", "values have no methods: write | upper instead of .upper()"),
    ("{{ text.format(1) }}", CALLED),
    ("{{ range(1000000000) }}", CALLED),
    ("{{ cycler.__init__.__globals__ }}", "values have no attributes such as .__globals__: a field is read"),
    ("{{ self }}{{ self.x }}", "values have no attributes such as .x"),
    ("{{ text | attr('__class__') }}", "unknown filter 'attr'"),
    ("{{ text | map('upper') }}", "unknown filter 'map'"),
    ("{% import 'os' as os %}", f"unknown keyword 'import': expected one of {STATEMENTS}"),
    ("{% from 'os' import path %}", f"unknown keyword 'from': expected one of {STATEMENTS}"),
    ("{% include '/etc/passwd' %}", f"unknown keyword 'include': expected one of {STATEMENTS}"),
    ("{% extends 'a' %}", f"unknown keyword 'extends': expected one of {STATEMENTS}"),
    ("{% macro a() %}", f"unknown keyword 'macro': expected one of {STATEMENTS}"),
    ("{% block a %}", f"unknown keyword 'block': expected one of {STATEMENTS}"),
    ("{% filter upper %}", f"unknown keyword 'filter': expected one of {STATEMENTS}"),
    ("{% call a() %}", f"unknown keyword 'call': expected one of {STATEMENTS}"),
    ("{% raw %}", f"unknown keyword 'raw': expected one of {STATEMENTS}"),
    ("{% do a %}", f"unknown keyword 'do': expected one of {STATEMENTS}"),
    # operators
    ("{{ 2 ** 9 }}", f"unsupported operator **: {ARITHMETIC}"),
    ("{{ 'a' * 9 }}", f"unsupported operator *: {ARITHMETIC}"),
    ("{{ '%s' % a }}", f"unsupported operator %: {ARITHMETIC}"),
    ("{{ a / b }}", f"unsupported operator /: {ARITHMETIC}"),
    ("{{ a // b }}", f"unsupported operator //: {ARITHMETIC}"),
    ("{{ {'a': 1} }}", "mappings are not supported: give the example one field for each value"),
    ("{{ a if b }}", "this 'if' has no 'else': write the other value, as in title if title else ''"),
    ("{{ +a }}", f"unsupported operator +: {ARITHMETIC}"),
    # blocks
    ("{% fro a in b %}", f"unknown keyword 'fro': expected one of {STATEMENTS}; did you mean 'for'?"),
    ("{% 如果 a %}", f"unknown keyword '如果': expected one of {STATEMENTS}"),
    ("{% (a) %}", f"unknown keyword '': expected one of {STATEMENTS}"),
    ("{% if a %}{% for b in c %}x{% endfor %}", "this 'if' is never closed: expected {% endif %} after it"),
    ("{% for b in c %}{% else %}", "this 'for' is never closed: expected {% endfor %} after it"),
    ("{% endif %}", "this 'endif' belongs to no block: none is open here"),
    ("{% set a = 1 %}{% else %}", "this 'else' belongs to no block: none is open here"),
    ("{% if a %}b{% else if c %}{% endif %}", "nothing can follow 'else', found 'if c'; did you mean 'elif'?"),
    ("{% if a %}{% endif a %}", "nothing can follow 'endif', found 'a'"),
    ("{% for a in b %}{% endfor a %}", "nothing can follow 'endfor', found 'a'"),
    ("{% for a in b %}{% endif %}", "expected 'else', 'endfor' for the block opened at line 1, column 7, "
     "found 'endif'"),
    ("{% if a %}{% else %}{% elif b %}{% endif %}", "expected 'endif' for the block opened at line 1, column 7, "
     "found 'elif'"),
    ("{% if %}{% endif %}", "cannot be read: unexpected 'the end'"),
    ("{% if a = b %}{% endif %}", "cannot be read: expected token 'the end', got '='"),
    ("{% for a b %}{% endfor %}", "cannot be read: expected token 'in', got 'b'"),
    ("{% for a.b in c %}{% endfor %}", "cannot be read: expected token 'in', got '.'"),
    ("{% for a in b recursive %}{% endfor %}", "cannot be read: expected token 'the end', got 'recursive'"),
    ("{% for 'a' in b %}{% endfor %}", "cannot be read: can't assign to 'const'"),
    ("{% for a, (b, c) in d %}{% endfor %}", "only plain names can be set, as in {% set short = title | trim %} "
     "or {% for a, b in pairs %}"),
    ("{% set a %}b{% endset %}", "cannot be read: unexpected the end, expected '='"),
    ("{% set a.b = 1 %}", "cannot be read: expected token '=', got '.'"),
    ("{% set a, b = c %}", "cannot be read: expected token '=', got ','"),
    ("{% set loop = 1 %}", "'loop' counts the steps of a loop and cannot be set: take another name"),
    ("{{ loop }}", "loop has no value of its own: it is for loop.index, loop.first, loop.last and so on"),
    ("{{ loop.index }}", "loop is used outside a loop: it counts the steps of {% for … %}"),
    ("{% for a in b %}{{ loop.idnex }}{% endfor %}", "unknown loop.idnex: loop has 'index', 'index0', 'revindex', "
     "'first', 'last', 'length'; did you mean 'index'?"),
    # invalid Jinja
    ("{{ a b }}", "cannot be read: expected token 'the end', got 'b'"),
    ("{{ a, b }}", "cannot be read: expected token 'the end', got ','"),
    ("{{ a | }}", "cannot be read: unexpected the end, expected 'name'"),
    ("{{ a ? b }}", "cannot be read: unexpected char '?' at 2"),
    ("{{ 'a\\d' }}", "unknown escape '\\\\d': write a backslash as \\\\"),
    ("{{ '\\777' }}", "unknown escape '\\\\777': write a backslash as \\\\"),
    ("{{ '\\N{NO SUCH}' }}", "cannot be read: unknown Unicode character name"),
    ("{{ " + "9" * 5000 + " }}", "cannot be read: Exceeds the limit"),
    ("{{ " + "(" * 3000 + "a" + ")" * 3000 + " }}", "this is nested too deeply: {% set %} can give its pieces names"),
    ("{{ " + "a + " * 3000 + "a }}", "this is nested deeper than 40 levels: {% set %} can give its pieces names"),
    ("{% if a %}" * 21 + "{% endif %}" * 21, "blocks are nested deeper than 20 levels"),
    ("".join(f"{{% set a{i} = 1 %}}" for i in range(1001)), "a template sets at most 1000 names"),
]  # fmt: skip


@pytest.mark.parametrize(("logic", "problem"), REFUSED, ids=[logic[:40] for logic, _ in REFUSED])
def test_mistakes_in_the_template(logic, problem):
    with pytest.raises(TemplateSyntaxError) as caught:
        Template("<mask>" + logic)
    error = caught.value
    assert error.problem.startswith(problem)
    assert error.source[error.start : error.end] in logic and error.source[error.start] == "{"


def test_carets_are_under_the_wrong_jinja():
    with pytest.raises(TemplateSyntaxError) as caught:
        Template("{{ a }}\n评论 {{ b }} {% if text.is_good() %}好{% endif %} <mask>")
    assert str(caught.value) == (
        "nothing can be called: use a filter, as in {{ text | trim }}; the filters are 'capitalize', 'default', "
        "'first', "
        "'join', 'last', 'length', 'lower', 'lower_first', 'replace', 'split', 'strip_punctuation', 'title', 'trim', "
        "'upper', 'upper_first'\n"
        "  at line 2, column 12:\n"
        "    评论 {{ b }} {% if text.is_good() %}好{% endif %} <mask>\n"
        "                 ^^^^^^^^^^^^^^^^^^^^^^^"
    )


NOT_FILLED = [
    ("{{ titel }}<mask>", {"title": "a"}, "no field 'titel': the example has 'title'; did you mean 'title'? "
     "(in {{ titel }} at line 1, column 1)"),
    ("<mask>\n{% if 题目 %}{% endif %}", {"text": "a"}, "no field '题目': the example has 'text'; "
     "where it may be missing, ask whether 题目 is defined (in {% if 题目 %} at line 2, column 1)"),
    ("{{ title }}<mask>", {"title": None}, "expected text, found None: test it with {% if … %} first, "
     "or add | default('', true) (in {{ title }} at line 1, column 1)"),
    ("{% if b %}<title max=9>{% endif %}{{ title is defined }}<mask>", {"b": 1}, "no field 'title': "
     "the example has 'b'; where it may be missing, ask whether title is defined "
     "(in <title max=9> at line 1, column 11)"),
    ("{{ items }}<mask>", {"items": []}, "expected text, found a list: iterate over it with {% for … %}, "
     "or add | join(', ') (in {{ items }} at line 1, column 1)"),
    ("<mask>{% for a in text %}{% endfor %}", {"text": "a"}, "'for' iterates over a list, found text; "
     "text | split makes a list of text (in {% for a in text %} at line 1, column 7)"),
    ("<mask>{% for a in text %}{% endfor %}", {"text": 5}, "'for' iterates over a list, found a number "
     "(in {% for a in text %} at line 1, column 7)"),
    ("<mask>{% for a, b in c %}{% endfor %}", {"c": [[1, 2], [1]]}, "every item must be a list of 2 for a, b, "
     "found one of 1 (in {% for a, b in c %} at line 1, column 7)"),
    ("<mask>{% for a, b in c %}{% endfor %}", {"c": ["ab"]}, "every item must be a list of 2 for a, b, "
     "found text (in {% for a, b in c %} at line 1, column 7)"),
    ("<mask>{{ a + 'b' }}", {"a": 1}, "+ is for numbers, found a number and text; texts are joined by ~ "
     "(in {{ a + 'b' }} at line 1, column 7)"),
    ("<mask>{{ a - 0.5 }}", {"a": 10**400}, "-: int too large to convert to float "
     "(in {{ a - 0.5 }} at line 1, column 7)"),
    ("<mask>{{ a < 1 }}", {"a": "0"}, "cannot tell which is greater, text or a number "
     "(in {{ a < 1 }} at line 1, column 7)"),
    ("<mask>{{ a == b }}", {"a": [], "b": 1}, "lists cannot be compared: ask for their length, "
     "or for an item with 'in' (in {{ a == b }} at line 1, column 7)"),
    ("<mask>{{ a in b }}", {"a": [], "b": [[]]}, "lists cannot be compared: ask for an item with 'in' "
     "(in {{ a in b }} at line 1, column 7)"),
    ("<mask>{{ 1 in a }}", {"a": "1"}, "'in' looks for text in text, or for an item in a list, found a number in text "
     "(in {{ 1 in a }} at line 1, column 7)"),
    ("<mask>{{ [a] }}", {"a": [1]}, "a list that is written in a template holds no other list "
     "(in {{ [a] }} at line 1, column 7)"),
    ("<mask>{{ a[3] }}", {"a": [1]}, "no item 3: a list of length 1 (in {{ a[3] }} at line 1, column 7)"),
    ("<mask>{{ a[0] }}", {"a": 1}, "only a list or text has items, found a number (in {{ a[0] }} at line 1, column 7)"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "example", "problem"), NOT_FILLED)
def test_examples_that_do_not_fill_the_template(source, example, problem):
    with pytest.raises(FieldError) as caught:
        parts_of(source, example, row=3)
    assert str(caught.value) == f"row 3: {problem}"


MISSING = "is missing from the output for this example: move it out of {% if … %} and {% for … %}"
TWICE = "is in the output 2 times for this example, expected once: move it out of {% for … %}"
MASKS = [
    ("{% if a %}<mask>{% endif %}", {"a": 0}, f"<mask> at line 1, column 11 {MISSING}"),
    ("{% for a in b %}\n<mask*2>{% endfor %}", {"b": []}, f"<mask*2> at line 2, column 1 {MISSING}"),
    ("{% for a in b %}\n<mask*2>{% endfor %}", {"b": [1, 2]}, f"<mask*2> at line 2, column 1 {TWICE}"),
    ("<mask name=x>{% if a %}<mask name=y>{% endif %}", {"a": 0}, f"<mask name=y> at line 1, column 24 {MISSING}"),
    ("<mask name=x>{% for a in b %}<mask name=y>{% endfor %}", {"b": [1, 2]},
     f"<mask name=y> at line 1, column 30 {TWICE}"),
    ("{% for a in b %}{% if a %}<mask name=x>{% else %}<mask name=y>{% endif %}{% endfor %}", {"b": [0, 1]},
     "the order of masks in the output differs from that in the template: move them out of {% for … %}"),
    ("{% for a in b %}<demos>{% endfor %}<mask>", {"b": [1, 2]}, f"<demos> at line 1, column 17 {TWICE}"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "example", "problem"), MASKS)
def test_every_mask_is_written_once_and_in_order(source, example, problem):
    with pytest.raises(TemplateLogicError) as caught:
        parts_of(source, example, row=0)
    assert str(caught.value) == f"row 0: {problem}"


def test_a_mask_may_be_in_a_block_that_always_writes_it_once():
    assert written("{% for a in b %}<mask>{% endfor %}{% if b %}<demos>{% endif %}", {"b": [1]}) == "<mask><demos>"
    both = "{% for a in b %}{% if a %}<mask name=x>{% else %}<mask name=y>{% endif %}{% endfor %}"
    assert [part.node.name for part in parts_of(both, {"b": [1, 0]})] == ["x", "y"]


STEPS = "the loops take more than 100000 steps, the most for one example"
WORK = "this is more work than handling 100000000 characters, the most for one example"
DOUBLED = "{% set a = 'ab' %}" + "{% set a = a ~ a %}" * 60
STOPPED = [
    ("a billion steps", "<mask>{% for a in b %}{% for c in b %}{% for d in b %}" + "{% endfor %}" * 3, STEPS),
    ("one after the other", "<mask>" + "{% for a in b %}{% endfor %}" * 101, STEPS),
    ("left out by a condition", "<mask>{% for a in b %}{% for c in b if false %}{% endfor %}{% endfor %}", STEPS),
    ("a text doubled", f"<mask>{DOUBLED}", WORK),
    ("a text doubled and written", f"<mask>{DOUBLED}{{{{ a }}}}", WORK),
    ("a text doubled by replace", "<mask>{% set a = 'a' %}" + "{% set a = a | replace('a', 'aa') %}" * 60, WORK),
    ("a text squared", "<mask>{% set a = 'ab' %}"
     + "{% set a = a | replace('a', a) | replace('b', a) %}" * 30, "makes a text"),
    ("a long separator", "<mask>{% set s = text ~ text %}{{ b | join(s) }}", "makes a text"),
    ("a long text written often", "<mask>{% for a in b %}<text>{% endfor %}", WORK),
    ("a long literal written often", f"<mask>{{% for a in b %}}{'x' * 200_000}{{% endfor %}}", WORK),
    ("a long text searched often", "<mask>{% for a in b %}{% if 'y' in text %}{% endif %}{% endfor %}", WORK),
    ("an emptied text", "<mask>{% for a in b %}{{ text | replace('x', '') }}{% endfor %}", WORK),
    ("long expressions", "<mask>{% for a in b %}{{ " + " ~ ".join(["a"] * 3000) + " }}{% endfor %}", WORK),
    ("many names", "<mask>" + "".join(f"{{% set a{i} = 1 %}}" for i in range(900))
     + "{% for a in b[:100] %}{% for c in b[:100] %}{% endfor %}{% endfor %}", WORK),
    ("pieces", "<mask>{{ text | replace('x', 'a ') | split | length }}", "makes a list of more than 100000 items"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "problem"), [case[1:] for case in STOPPED], ids=[case[0] for case in STOPPED])
def test_too_much_work_is_an_error(source, problem):
    template = Template(source)
    values = {"b": ["x"] * 1000, "text": "x" * 300_000}
    started = time.process_time()
    with pytest.raises(TemplateLogicError, match=problem):
        template.expand(values)
    assert time.process_time() - started < 20


def test_as_many_steps_as_are_allowed():
    assert len(parts_of("<mask>{% for a in b %}{{ a }}{% endfor %}", {"b": [1] * 100_000})) == 100_001
    with pytest.raises(TemplateLogicError, match="row 5: the loops take more"):
        parts_of("<mask>{% for a in b %}{{ a }}{% endfor %}", {"b": [1] * 100_001}, row=5)


def test_a_field_of_ten_megabytes_is_within_the_limits():
    text = "好a" * 5_000_000 + "。"
    parts = parts_of("{% if text %}{{ text | trim | strip_punctuation | lower_first }}{% endif %}<mask>", text)
    assert parts[0].text == text[:-1]


any_text = st.text(st.characters(exclude_categories=()), max_size=30)
nasty = st.sampled_from(
    [
        "<mask>",
        "{{ 7*7 }}",
        "{% endfor %}",
        "<soft*9>",
        "</s>",
        "[MASK]",
        "\x00",
        "\\",
        "-%}",
        "}}",
        "\ud800",
        "\r\n",
        "0 1 2",
    ]
)
values = st.one_of(any_text, nasty, st.lists(nasty | any_text, max_size=5).map("".join))
OPAQUE = Template(
    "<a> {{ a }}{{- b ~ '|' ~ a -}} <soft>{% for s in items %}{{ s }}<s max=3>{{ s | default('') }}{% endfor %}"
    "{% if a == b or true %}<mask>{% endif %}{% set c = [a, b] | join('') %}<c>{{ a or a }}"
)


@cases()
@given(values, values, st.lists(values, min_size=2, max_size=2))
def test_values_are_opaque(a, b, items):
    plain = OPAQUE.expand(OPAQUE.read_fields({"a": "x", "b": "y", "items": ["p", "q"]}))
    parts = OPAQUE.expand(OPAQUE.read_fields({"a": a, "b": b, "items": items}))
    assert [part.node for part in parts] == [part.node for part in plain]

    def clean(text):
        return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)

    a, b, one, two = map(clean, (a, b, *items))
    texts = [part.text for part in parts if isinstance(part.node, Field)]
    assert texts == [a, a, f"{b}|{a}", one, one, one, two, two, two, a + b, a]


PIECES = [
    *["{{", "}}", "{%", "%}", "{#", "-", " ", "\n", "a", "b.c", "情", "\ud800", "'", '"', "\\", "1", "none"],
    *list("()[]|~+=,:"),
    *["loop", ".index", "trim", "if ", "else", "endif", "for ", " in ", "endfor", "set ", " is ", "not "],
    *["{{ a }}", "{% if a %}", "{% endif %}", "{% for b in a %}", "{% endfor %}", "{% else %}", "{% set a = b %}"],
]  # fmt: skip
pieces = st.sampled_from(PIECES)


@cases()
@given(st.lists(pieces, max_size=12).map("".join), st.sampled_from(["a", 1, None, [1, "b"], [[1]]]))
def test_any_jinja_compiles_or_raises_our_errors(logic, a):
    try:
        template = Template(f"<mask>{logic}")
    except TemplateSyntaxError as error:
        assert 0 <= error.start <= error.end <= len(error.source)
        assert len(str(error).split("\n")) == 4
        return
    assert Template(str(template)) == template
    try:
        template.expand(template.read_fields({"a": a}), 0)
    except (FieldError, TemplateLogicError) as error:
        assert str(error).startswith(("row 0: ", "field 'a'"))


def test_templates_without_jinja_do_not_import_it():
    program = (
        "import sys; from softcloze.template import Template; t = Template('<text> <mask>');"
        "t.expand(t.read_fields('a')); print('jinja2' in sys.modules); Template('{{ a }}<mask>');"
        "print('jinja2' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_a_thousand_rows_are_fast():
    template = Template("<soft*4>{{ text | trim | strip_punctuation }} It was <mask>")
    rows = [{"text": f"A good film, number {i}! "} for i in range(1000)]
    started = time.process_time()
    for row, example in enumerate(rows):
        template.expand(template.read_fields(example, row), row, example)
    assert time.process_time() - started < 1
