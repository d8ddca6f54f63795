"""Templates with an answer: nodes, the stop string, mistakes with exact message and span."""

import pytest

from softcloze.errors import ParameterError, TemplateLogicError, TemplateSyntaxError
from softcloze.library import resolve_mask_template
from softcloze.template import (
    Answer,
    Field,
    Literal,
    Soft,
    Template,
    domain_template,
    with_demos,
    with_slots,
    without_slots,
)

GOOD = [
    ("<answer>", Answer(), None),
    ("<text>\n回答：<answer>\n###", Answer(), "\n###"),
    ('<text><answer max=64 keep="tail"><!-- end -->##<!-- . -->#', Answer(64, "tail"), "###"),
    ("<text><answer>\\<text>", Answer(), "<text>"),
    ("<answer> says <text>", Answer(), None),
    ("<answer>.<eos>", Answer(), None),
    ("{% if title %}<title>: {% endif %}<text> <answer>{#}", Answer(), "{#}"),
    ("<chat:user><text><chat:assistant>Sure: <answer>\n", Answer(), None),
    ("<chat:user><text><chat:assistant><answer>\n###\n", Answer(), "\n###"),
    ("<demos*2><text> <options field=choices> <answer>", Answer(), None),
]


@pytest.mark.parametrize(("source", "answer", "stop"), GOOD)
def test_an_answer_with_its_stop_string(source, answer, stop):
    template = Template(source)
    assert template.answer == answer
    assert template.stop == stop
    assert template.masks == ()
    again = Template(str(template))
    assert (again, again.answer, again.stop) == (template, answer, stop)


def test_a_template_with_masks_has_no_answer_and_no_stop_string():
    template = Template("<text> It was <mask>.")
    assert template.answer is template.stop is None
    template.validate_classifies()


BAD = [
    ("<answer> <answer>", (9, 17),
     "a template has only one <answer>, and this is the second: the first is at line 1, column 1"),
    ("<mask> <answer>", (0, 6),
     "a template has masks for label words or one <answer> for free text, and <answer> is at line 1, column 8"),
    ("<answer> <mask name=a>", (9, 22),
     "a template has masks for label words or one <answer> for free text, and <answer> is at line 1, column 1"),
    ("<options> <answer>", (0, 9),
     "<options> lists label words, and a template with <answer> has none: write the options as text"),
    ("<text> <anwser>", (15, 15),
     "the template has no <mask>, expected exactly one; did you mean <answer> where it says <anwser>?"),
    (
        "<text> {answer}",
        (15, 15),
        "the template has no <mask>, expected exactly one; did you mean <answer> where it says {answer}?",
    ),
    ("<answer*2>", (1, 9),
     "<answer> takes no count"),
    ("<answer name=a>", (8, 12),
     "<answer> has no attribute 'name': it takes max and keep"),
    ("<answer max=none>", (12, 16),
     "max must be a whole number from 1 to 1000000, as in max=200, found 'none'"),
    ("<answer keep=tial>", (13, 17),
     "keep must be head, tail or ends, as in keep=tail, found 'tial'; did you mean 'tail'?"),
    ("<chat:user><text> <answer>", (18, 26),
     "<answer> stands in the last turn, which is the assistant's; this turn is the user's: write "
     "<chat:assistant> before it"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "span", "problem"), BAD)
def test_mistakes(source, span, problem):
    with pytest.raises(TemplateSyntaxError) as caught:
        Template(source)
    assert (caught.value.problem, caught.value.start, caught.value.end) == (problem, *span)


def test_the_answer_comes_out_once_whatever_jinja_does():
    template = Template("{% for item in items %}<answer>{% endfor %}")
    for items in ([], ["a", "b"]):
        with pytest.raises(TemplateLogicError, match="<answer> at line 1, column 24 is"):
            template.expand({"items": items})
    assert [part.node for part in template.expand({"items": ["a"]})] == [Answer()]


def test_an_answer_raises_where_label_words_are_scored():
    source = "<text> <answer>"
    message = "PromptGenerator writes; label words are scored at a <mask>"
    for take in (
        Template(source).validate_classifies,
        lambda: resolve_mask_template(source),
        lambda: domain_template(Template(source)),
    ):
        with pytest.raises(TemplateSyntaxError, match=message) as caught:
            take()
        assert (caught.value.start, caught.value.end) == (7, 15)


def test_templates_with_an_answer_take_slots_and_demonstrations():
    template = Template("<text>\nA: <answer>\n###")
    soft = with_slots(template, front=5, after=2)
    assert str(soft) == "<soft*5> <text> <soft*2>\nA: <answer>\n###"
    assert without_slots(soft) == template
    assert with_demos(template, 3).nodes[1:] == template.nodes
    with pytest.raises(ParameterError):
        with_slots("Write: <answer>", after=2)


def test_nodes_are_written():
    nodes = [Soft(2), Field("text"), Answer(9, "ends"), Literal("\n<b>")]
    assert str(Template.from_nodes(nodes)) == "<soft*2><text><answer max=9 keep=ends>\n\\<b>"
