"""Each filter and test of expressions."""

import re

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from softcloze.errors import FieldError, TemplateSyntaxError
from softcloze.template import Template
from softcloze.template.jinja.filters import FILTERS, MAX_CHARACTERS, TESTS, LimitError

OWN = {"lower_first", "split", "strip_punctuation", "upper_first"}


def written(expression, **values):
    parts = Template(f"{{{{ {expression} }}}}<mask>").expand(values)
    return "".join(part.text for part in parts)


TEXTS = [
    ("strip_punctuation", "It was great!!", "It was great"),
    ("strip_punctuation", "Really?! . ", "Really"),
    ("strip_punctuation", "真好看！！！", "真好看"),
    ("strip_punctuation", "这部电影……", "这部电影"),
    ("strip_punctuation", "很好，\u3000", "很好"),
    ("strip_punctuation", "谁说的？！。、；：", "谁说的"),
    ("strip_punctuation", "क्या बात है।", "क्या बात है"),
    ("strip_punctuation", "100%", "100%"),
    ("strip_punctuation", 'so "good."', 'so "good."'),
    ("strip_punctuation", "a.b (c)", "a.b (c)"),
    ("strip_punctuation", "...", ""),
    ("strip_punctuation", "", ""),
    ("lower_first", "Great Film", "great Film"),
    ("lower_first", ' "(Great', ' "(great'),
    ("lower_first", "3D Film", "3D Film"),
    ("lower_first", "好 Film", "好 Film"),
    ("lower_first", "!", "!"),
    ("lower_first", "", ""),
    ("upper_first", "great film", "Great film"),
    ("upper_first", "“élan", "“Élan"),
    ("upper_first", "ßa", "SSa"),
    ("capitalize", "gREAT film", "Great film"),
    ("title", "the lord-of the (rings) IN 好 a", "The Lord-Of The (Rings) In 好 A"),
    ("title", "it's a <b>", "It's A <B>"),
    ("trim", "\n a \t\u3000", "a"),
    ("trim('*-')", "**a*b--", "a*b"),
    ("lower", "ÀB好", "àb好"),
    ("upper", "àb好", "ÀB好"),
    ("replace('a', 'bb')", "banana", "bbbnbbnbb"),
    ("replace('\\n', ' ')", "一\n二", "一 二"),
    ("replace('', '-')", "ab", "-a-b-"),
    ("length", "好看", "2"),
    ("first", "好看", "好"),
    ("last", "好看", "看"),
    ("default('x')", "", ""),
    ("default('x', true)", "", "x"),
    ("default('x', boolean=true)", "a", "a"),
    ("split | join('+')", " a  b\nc ", "a+b+c"),
    ("split('。') | first", "一。二。", "一"),
    ("split(', ') | length", "a, b, c", "3"),
]


@pytest.mark.parametrize(("used", "text", "expected"), TEXTS)
def test_filters_of_text(used, text, expected):
    assert written(f"text | {used}", text=text) == expected


@pytest.mark.parametrize(
    ("used", "text", "expected"), [case for case in TEXTS if re.match(r"\w+", case[0])[0] not in OWN]
)
def test_filters_with_a_name_of_jinja_behave_as_in_jinja(used, text, expected):
    theirs = ImmutableSandboxedEnvironment().from_string(f"{{{{ text | {used} }}}}")
    assert theirs.render(text=text) == expected


def test_no_additional_filter_hides_one_of_jinja():
    theirs = ImmutableSandboxedEnvironment()
    assert {name for name in FILTERS if name not in theirs.filters} == OWN
    assert not set(TESTS) - set(theirs.tests)


OTHERS = [
    ("items | join(', ')", {"items": ["a", 2, 1.5, True]}, "a, 2, 1.5, True"),
    ("items | join", {"items": []}, ""),
    ("[title, text] | join(sep=': ')", {"title": "题", "text": "文"}, "题: 文"),
    ("items | first ~ items | last ~ items | length", {"items": ["a", "b", "c"]}, "ac3"),
    ("items | first | default('none')", {"items": []}, "none"),
    ("items[7] | default('none')", {"items": ["a"]}, "none"),
    ("title | default('none')", {}, "none"),
    ("title | default('none')", {"title": "a"}, "a"),
    ("title | default(text)", {"text": "b"}, "b"),
    ("stars | upper", {"stars": 3}, "3"),
    ("'y' if title is defined else 'n'", {}, "n"),
    ("'y' if title is undefined else 'n'", {}, "y"),
    ("'y' if title is not none else 'n'", {"title": None}, "n"),
    ("'y' if stars is number else 'n'", {"stars": 3.5}, "y"),
    ("'y' if stars is string else 'n'", {"stars": 3.5}, "n"),
]


@pytest.mark.parametrize(("expression", "values", "expected"), OTHERS)
def test_filters_and_tests_of_other_values(expression, values, expected):
    assert written(expression, **values) == expected


HINT = "iterate over it with {% for … %}, or add | join(', ')"
REFUSED = [
    ("items | trim", {"items": ["a"]}, f"trim: expected text, found a list: {HINT}"),
    ("title | upper", {"title": None}, "upper: expected text, found None: test it with {% if … %} first, "
     "or add | default('', true)"),
    ("text | join", {"text": "a"}, "join: expected a list, found text"),
    ("items | join", {"items": [["a"]]}, f"join: expected text, found a list: {HINT}"),
    ("stars | length", {"stars": 3}, "length: expected a list or text, found a number"),
    ("stars | first", {"stars": True}, "first: expected a list or text, found a truth value"),
    ("items | first", {"items": []}, "expected an item, found a list that is empty"),
    ("text | last", {"text": ""}, "expected an item, found text that is empty"),
    ("text | split('')", {"text": "a"}, "split: cannot split by nothing: give it a text, or nothing at all "
     "to split by white space"),
    ("text | trim", {}, "no field 'text': the example is empty; where it may be missing, ask whether text is defined"),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "values", "problem"), REFUSED)
def test_invalid_values_of_a_filter(expression, values, problem):
    with pytest.raises(FieldError) as caught:
        written(expression, **values)
    assert str(caught.value) == f"{problem} (in {{{{ {expression} }}}} at line 1, column 1)"


KNOWN = ", ".join(map(repr, FILTERS))
UNKNOWN = [
    ("text | cneter(9)", f"unknown filter 'cneter': expected one of {KNOWN}"),
    ("text | uper", f"unknown filter 'uper': expected one of {KNOWN}; did you mean 'upper'?"),
    ("text | attr('x')", f"unknown filter 'attr': expected one of {KNOWN}"),
    ("text is sameas none", f"unknown test 'is sameas': expected one of {', '.join(map(repr, TESTS))}"),
    ("text is deifned", f"unknown test 'is deifned': expected one of {', '.join(map(repr, TESTS))}; "
     "did you mean 'defined'?"),
    ("text | trim(1, 2)", "trim does not take these arguments: too many positional arguments"),
    ("text | replace('a')", "replace does not take these arguments: missing a required argument: 'new'"),
    ("text | join(d=',')", "join does not take these arguments: got an unexpected keyword argument 'd'"),
    ("text | trim(value='a')", "trim does not take these arguments: multiple values for argument 'value'"),
    ("text is none(1)", "none does not take these arguments: too many positional arguments"),
    ("text | join(*items)", "join takes its arguments one by one, without * or **"),
    ("text | join(**items)", "join takes its arguments one by one, without * or **"),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "problem"), UNKNOWN)
def test_unknown_filters_and_tests(expression, problem):
    with pytest.raises(TemplateSyntaxError) as caught:
        Template(f"<mask>{{{{ {expression} }}}}")
    assert (caught.value.problem, caught.value.start) == (problem, 6)


def test_a_text_beyond_the_limit_is_never_built():
    with pytest.raises(LimitError, match=f"more than {MAX_CHARACTERS} in all"):
        FILTERS["replace"]("a" * 10**6, "a", "b" * 10**6)
    with pytest.raises(LimitError):
        FILTERS["join"]([""] * 10**6, "b" * 10**6)
    with pytest.raises(LimitError, match="more than 100000 items"):
        FILTERS["split"]("a " * 100_001)
