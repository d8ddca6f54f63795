"""The printed form of syntax errors, for any source."""

import pickle

import pytest

from softcloze.errors import FieldError, SoftclozeError, TemplateSyntaxError, TemplateTypeError
from softcloze.formatting import did_you_mean, nearest
from softcloze.template import Template


def message(source):
    with pytest.raises(TemplateSyntaxError) as caught:
        Template(source)
    return str(caught.value)


COUNT = "expected a whole number from 1 to 10000 after '*', found '0'"

PICTURES = [
    (
        "<soft*0><mask>",
        f"{COUNT}\n  at line 1, column 7:\n    <soft*0><mask>\n          ^",
    ),
    (
        "中文评论，<text*2> <mask>",
        "the field <text> takes no count\n  at line 1, column 7:\n    中文评论，<text*2> <mask>\n               ^^^^^^",
    ),
    (
        "<mask>\n这句 <文本*2>\nend",
        "the field <文本> takes no count\n  at line 2, column 5:\n    这句 <文本*2>\n          ^^^^^^",
    ),
    (
        "\tA\t<soft*0><mask>",
        f"{COUNT}\n  at line 1, column 10:\n    \tA\t<soft*0><mask>\n    \t \t      ^",
    ),
    (
        "cafe\u0301 ไม่ <soft*0><mask>",
        f"{COUNT}\n  at line 1, column 17:\n    cafe\u0301 ไม่ <soft*0><mask>\n{' ' * 18}^",
    ),
    (
        "a\r\n<soft*0>\r\n<mask>",
        f"{COUNT}\n  at line 2, column 7:\n    <soft*0>\n          ^",
    ),
    (
        "\x1b[31m\ud800\u202e <soft*0>",
        f"{COUNT}\n  at line 1, column 15:\n    \ufffd[31m\ufffd\ufffd <soft*0>\n{' ' * 18}^",
    ),
    (
        "Review: <text>",
        "the template has no <mask>, expected exactly one\n"
        "  at line 1, column 15:\n"
        "    Review: <text>\n"
        "                  ^",
    ),
    (
        '<soft name=t init="a\tb" ><soft name=t init="a\tc" ><mask>',
        "soft slots named 't' share one block, but its init is 'a\\tb' at line 1, column 1 and 'a\\tc' here\n"
        "  at line 1, column 26:\n"
        '    <soft name=t init="a\tb" ><soft name=t init="a\tc" ><mask>\n'
        f"    {' ' * 20}\t{' ' * 4}{'^' * 20}\t{'^' * 4}",
    ),
]


@pytest.mark.parametrize(("source", "expected"), PICTURES)
def test_carets_are_under_the_wrong_characters(source, expected):
    assert message(source) == expected


def test_a_long_line_is_cut_around_the_mistake():
    _problem, where, line, carets = message("x" * 5000 + "<soft*0>" + "y" * 5000).split("\n")
    assert where == "  at line 1, column 5007:"
    assert line.startswith("    …xxx") and line.endswith("yyy…") and len(line) < 250
    assert line[carets.index("^")] == "0"


def test_kinds():
    assert issubclass(TemplateSyntaxError, SoftclozeError) and issubclass(TemplateSyntaxError, ValueError)
    assert issubclass(TemplateTypeError, SoftclozeError) and issubclass(TemplateTypeError, TypeError)
    assert issubclass(FieldError, SoftclozeError) and issubclass(FieldError, ValueError)


def test_pickles():
    with pytest.raises(TemplateSyntaxError) as caught:
        Template("评论 <soft*0>")
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is TemplateSyntaxError
    assert again.args == caught.value.args == (COUNT, "评论 <soft*0>", 9, 10, "syntax")
    assert (again.problem, again.source, again.start, again.end, again.code) == again.args
    assert str(again) == str(caught.value)


def test_suggestions():
    assert nearest("TEXT", ["label", "text"]) == "text"
    assert nearest("text", [1, None]) is None
    assert nearest("x" * 100_000, ["text"]) is None
    assert did_you_mean("sentimnt/en", ["sentiment/en", "topic/en"]) == "; did you mean 'sentiment/en'?"
    assert did_you_mean("zzz", ["sentiment/en"]) == ""
