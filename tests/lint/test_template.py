"""Findings in templates and label words, and their positions; the linter itself never fails."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import cases

from softcloze import RuleVerbalizer
from softcloze.errors import TemplateTypeError
from softcloze.lint import Finding, lint
from softcloze.template import Template

TAG = "looks like a tag, but is text"
ANGLE = "write the field's name in angle brackets, as in <text>"
OPENPROMPT = "read OpenPrompt's templates with Template.from_openprompt"
TURNS = (
    "write turns with <chat:system>, <chat:user> and <chat:assistant>: the tokenizer's own chat template frames them"
)
LMBFF = "read LM-BFF's templates with Template.from_lmbff"

FORGOTTEN = [  # the characters that look like a tag stand between « and »
    ("«[MASK]»<text><mask>", "write <mask>"),
    ("<text>很<mask>«【mask】»", "write <mask>"),
    ("<text><mask>\n«[SEP]»", "write <sep>"),
    ("«[pad]»<text><mask>", "leave it out: no tag writes this token"),
    ("<text><mask>«<|endoftext|>»", "write <eos>"),
    ("«<|fim_pad|>»<text><mask>", "as text it is never a special token: <bos>, <eos>, <sep> and <cls> are"),
    ("«<|im_start|>»<text><mask>", TURNS),
    ("«<|user|>»<text><mask>", TURNS),
    ("«[INST]» <text><mask>", TURNS),
    ("<text><mask>«</s>»", "write <eos>"),
    ("<text>«</text>»<mask>", "leave it out: tags are not closed"),
    ("评论：«＜text＞»<text><mask>", "write <text>"),
    ("评论：«《mask》»<text><mask>", "write <mask>"),
    ("<text>1 < 2 «< mask >» <mask>", "write <mask>"),
    ("«{text}»<text><mask>", "write <text>"),
    ("«{ 评论 !r}»<text><mask>", "write <评论>"),
    ("«${name}»<text><mask>", "write <name>"),
    ('«{}» or {"x"}<text><mask>', ANGLE),
    ("x^«{2}» <text><mask>", ANGLE),
    ("«%(text)s»<text><mask>", "write <text>"),
    ("«[text]»<text><mask>", "write <text>"),
    ('«{"placeholder": "text_a"}»<text><mask>', OPENPROMPT),
    ("«{'mask'}»<text><mask>", OPENPROMPT),
    ("«*cls*»<text><mask>", LMBFF),
    ("«*+sentl_1*»<text><mask>", LMBFF),
    ("«{# why? #}»<text><mask>", "write a comment as <!-- … -->"),
    ("text «}}»<text><mask>", "it closes nothing: put {{ in front of the expression"),
    ("if title «%}»<text><mask>", "it closes nothing: put {% in front of the statement"),
]

QUIET = [
    "评论：<text>\n情感：<mask>",
    "\\[MASK] \\{text} \\%s<text><mask>",  # a backslash says that it is meant
    "\\<mask> \\{{ text }} \\{% if %}<text><mask>",
    "<!-- [MASK] {text} --><text><mask><!-- %s -->",
    "{1, 2} {a, b} [1] [see below] 5 < 6 > 4 100%sure %d4 {{ text }} <mask>",
    "(a) *bold* _it_ [b]bold[/b] <= => <3 </ 3><text><mask>",
    '<soft*2 init="[MASK] {text}" name=s1><text><mask>',
]


def marked(source):
    start, end = source.index("«"), source.index("»") - 1
    return source.replace("«", "").replace("»", ""), start, end


@pytest.mark.parametrize(("source", "advice"), FORGOTTEN)
def test_forgotten_tags(source, advice):
    source, start, end = marked(source)
    (finding,) = lint(Template(source))
    assert finding == Finding("forgotten-tag", "warning", f"{source[start:end]!r} {TAG}", advice, source, start, end)


@pytest.mark.parametrize("escape", ["n", "t"])
@pytest.mark.parametrize("after", ["Sentiment:", "sentiment:", "", " ", "<mask name=b>"])
def test_line_ends_typed_in_a_shell(escape, after):
    r"""A backslash and n that a shell or a raw string does not turn into a line end."""
    source = f"<text>\\{escape}{after}<mask name=a>"
    (finding,) = lint(Template(source))
    assert (finding.code, finding.severity, finding.start, finding.end) == ("escape", "warning", 6, 8)
    assert lint(Template(source.replace("\\", "\\\\"))) == []
    assert lint(Template("\\nu \\text{a} \\theta <text><mask>")) == []


@pytest.mark.parametrize("source", QUIET)
def test_escaped_text_has_no_findings(source):
    assert lint(Template(source)) == []


FOUND = [
    (
        "<text>\n«<options>»: <mask>",
        ("options-after-text", "note", "a causal model computes the list of label words anew for every text before it"),
        "put <options> before the first field, where it is computed once for all texts",
    ),
    (
        "<text><mask>«<demos*4>»",
        ("demos-after-mask", "warning", "demonstrations after the mask come too late for the model's answer"),
        "put <demos> at the beginning",
    ),
    (
        "<text>{% if text %}«<mask>»{% endif %}",
        (
            "mask-in-condition",
            "warning",
            "the mask is inside a condition or loop: some examples may get a prompt without one",
        ),
        "move it out",
    ),
    (
        "«»It was <mask>",
        (
            "no-field",
            "error",
            "the template reads no field, so all examples get the same prompt: "
            "put one where the text belongs, as in <text>",
        ),
        "",
    ),
    (
        "<text>«<MASK>»<mask>",
        ("odd-field", "warning", "<MASK> is a field, though it looks like another tag"),
        "write <mask>",
    ),
    (
        "«<start_of_turn>»<text><mask>",
        ("odd-field", "warning", "<start_of_turn> is a field, though it looks like another tag"),
        TURNS,
    ),
    (
        "«<s>»<text><mask>",
        ("odd-field", "warning", "<s> is a field, though it looks like another tag"),
        "write <bos>",
    ),
    (
        "{{ Text }}«<text>»<mask>",
        ("odd-field", "warning", "the fields 'text', 'Text' differ only in capital letters"),
        "write one name everywhere",
    ),
    (
        "很«<text keep=ends shorten=0>»<mask>",
        ("no-effect", "note", "keep=ends has no effect on a field that is never cut"),
        "leave out shorten=0, or give it a max=",
    ),
    (
        "«<soft*2 train=no>»<text><mask>",
        ("no-effect", "note", "train=no keeps the embeddings of words, since no prompt can fill a slot without a name"),
        "give it the name= of a block of the prompt that soft_init names, or write words instead",
    ),
    # what is no template
    ("<text> It was «»", ("no-mask", "error", "the template has no <mask>, expected exactly one"), ""),
    ("«»", ("no-mask", "error", "the template has no <mask>, expected exactly one"), ""),
    (
        "<mask><text>\n«<mask>»",
        (
            "two-masks",
            "error",
            "a template has only one <mask>, and this is the second: the first is at line 1, column 1; "
            "several need names, as in <mask name=quality>",
        ),
        "",
    ),
    (
        "<mask name=好><text>«<mask>»",
        (
            "two-masks",
            "error",
            "this mask has no name, but the one at line 1, column 1 has: if there are several, all need names",
        ),
        "",
    ),
    (
        "<mask name=a><text>«<mask name=a>»",
        ("two-masks", "error", "two masks are named 'a', and this is the second: the first is at line 1, column 1"),
        "",
    ),
    (
        "<text><mask name=a>«<demos>»<mask name=b>",
        (
            "demos-between-masks",
            "error",
            "<demos> is between two masks, but a demonstration shows all of them: put it in front",
        ),
        "",
    ),
    (
        "<demos>«<demos>»<text><mask>",
        (
            "two-demos",
            "error",
            "a template has only one <demos>, and this is the second: the first is at line 1, column 1",
        ),
        "",
    ),
    (
        "<soft*2 name=a>«<soft*3 name=a>»<text><mask>",
        (
            "soft-conflict",
            "error",
            "soft slots named 'a' share one block, but its count is 2 at line 1, column 1 and 3 here",
        ),
        "",
    ),
    (
        "«<soft from=txt>»<text><mask>",
        (
            "soft-from",
            "error",
            "from=txt names no field that the template shows: it shows 'text'; did you mean 'text'?",
        ),
        "",
    ),
    (
        "<text>«<soft from=text layers=6-11>»<mask>",
        ("soft-from", "error", "from=text with layers=6-11: expected one layer after layer 0, as in layers=12"),
        "",
    ),
    (
        "«<soft from_by=states>»<text><mask>",
        ("soft-from", "error", "from_by=states needs the name of a field as well, as in from=text from_by=states"),
        "",
    ),
    (
        "<text «mx»=5><mask>",
        (
            "syntax",
            "error",
            "the field <text> has no attribute 'mx': it takes max, keep and shorten; did you mean 'max'?",
        ),
        "",
    ),
    (
        "<text>«{{»text}<mask>",
        ("syntax", "error", "this '{{' is never closed: expected '}}', or \\{{ for a literal one"),
        "",
    ),
]


@pytest.mark.parametrize(("source", "expected", "advice"), FOUND)
def test_findings(source, expected, advice):
    source, start, end = marked(source)
    assert lint(source) == [Finding(*expected, advice, source, start, end)]


def test_broken_jinja_is_no_sign_of_a_template_without_fields():
    assert [finding.code for finding in lint("{{ text | trimm }} is <mask>")] == ["logic"]


def test_logic_that_cannot_be_read():
    (finding,) = lint("<text>{% if %}<mask>")
    assert (finding.code, finding.severity, finding.start) == ("logic", "error", 6)


def test_all_of_a_broken_template_is_linted():
    found = lint("[MASK] <Demos> {text} <text>", fields=["text"])
    assert [(finding.code, finding.start) for finding in found] == [
        ("forgotten-tag", 0),
        ("odd-field", 7),
        ("forgotten-tag", 15),
        ("no-mask", 28),
    ]


def test_fields_that_only_one_side_has():
    found = lint(Template("<titel> {{ body }} <mask>"), fields=["title", "text"])
    assert [(f.code, f.severity, f.message, f.advice, f.source[f.start : f.end]) for f in found] == [
        (
            "missing-field",
            "error",
            "the examples have no field 'titel'; did you mean 'title'?",
            "they have 'title', 'text'",
            "<titel>",
        ),
        ("missing-field", "warning", "the examples have no field 'body'", "they have 'title', 'text'", "{{ body }}"),
        ("unused-field", "note", "the template does not use the field 'title'", "", ""),
        ("unused-field", "note", "the template does not use the field 'text'", "", ""),
    ]
    assert lint(Template("<text><mask>"), fields=iter(["text"])) == []
    (finding,) = lint(Template("<text><mask>"), fields=[])
    assert finding.advice == "they have none"


LANGUAGE = "take all label words from one language: two languages are seldom equally likely in one template"
WORDS = [
    (
        {"积极": ["好", "满意"], "消极": ["差", "bad"]},
        "积极: 好, 满意\n消极: 差, «bad»",
        ("mixed-scripts", "warning", "'bad' in Latin letters, '好', '满意', '差' in Han"),
        LANGUAGE,
    ),
    (
        {"a": "g\u043e\u043ed", "b": "bad"},
        "a: «g\u043e\u043ed»\nb: bad",
        ("mixed-scripts", "warning", "'g\u043e\u043ed' mixes Cyrillic and Latin letters, some of which look the same"),
        "type it again in one script",
    ),
    (
        {1: ["good", "fine"], 0: ["bad", "fine"]},
        "1: good, fine\n0: bad, «fine»",
        ("shared-word", "error", "'fine' is a label word already: line 1, column 10"),
        "use each word for one label, once",
    ),
    (
        {"a": "good", "b": " bad"},
        "a: good\nb: « bad»",
        ("word-space", "warning", "' bad' has white space around it"),
        "put the space into the template, before <mask>",
    ),
    (
        {"a": "good", "b": ""},
        "a: good\nb: «»",
        ("empty-word", "error", "label 'b' has an empty word"),
        "write a word for it",
    ),
    (
        {"a": "good", "b": []},
        "a: good\nb: «»",
        ("few-labels", "error", "a verbalizer needs words for two labels or more"),
        "",
    ),
]


@pytest.mark.parametrize(("labels", "table", "expected", "advice"), WORDS)
def test_label_words(labels, table, expected, advice):
    table, start, end = marked(table)
    assert lint(Template("<text><mask>"), labels) == [Finding(*expected, advice, table, start, end)]
    assert lint("<text>", labels)[1:] == lint(Template("<text><mask>"), labels)


def test_words_of_one_language_may_have_letters_of_others():
    assert lint(Template("<text><mask>"), {"a": ["T恤", "裤子"], "b": ["ワンピース", "靴"]}) == []


def test_labels_may_come_as_a_verbalizer():
    class Words:
        def label_words(self):
            return {"a": ["good"], "b": ["good"]}

    assert [finding.code for finding in lint(Template("<text><mask>"), Words())] == ["shared-word"]


@pytest.mark.parametrize("labels", [5, ["good"], {"a": [1]}, {"a": None}])
def test_values_that_are_not_label_words(labels):
    with pytest.raises(TemplateTypeError):
        lint("<text><mask>", labels)


def test_options():
    labels = {"a": "good, really", "b": "bad"}
    (finding,) = lint(Template("<options> <text><mask>"), labels)
    assert (finding.code, finding.start, finding.end) == ("options-separator", 0, 9)
    assert finding.message == "'good, really' contains the separator ', ' of the options"
    assert lint(Template('<options sep=" / "> <text><mask>'), labels) == []
    labels = {"a": "积极", "b": "消极", "c": "中性"}
    (finding,) = lint(Template("<text>是积极还是消极？<mask>"), labels)
    assert (finding.code, finding.severity) == ("options-missing", "warning")
    assert finding.message == "the template lists the label words '积极', '消极', but not '中性'"
    assert lint(Template("<text>是积极？<mask>"), labels) == []
    assert lint(Template("good or badly: <text><mask>"), {"a": "good", "b": "bad", "c": "ugly"}) == []
    assert lint(Template("good or bad: <text><mask>"), {"a": "Good", "b": "bad"}) == []


def test_places_are_those_of_the_source_as_it_was_given():
    source = "<!-- 注释 --><text max=0200 > \\<b> «{x}»<mask>"
    source, start, end = marked(source)
    (finding,) = lint(Template(source))
    assert (finding.source, finding.start, finding.end) == (source, start, end)
    (finding,) = lint(pickle.loads(pickle.dumps(Template(source))))
    assert finding.source[finding.start : finding.end] == "{x}"


PICTURE = """\
warning: '[MASK]' looks like a tag, but is text (forgotten-tag)
  at line 2, column 4:
    很好 [MASK]<mask>
         ^^^^^^
  write <mask>"""


def test_a_finding_prints_like_an_error():
    (finding,) = lint(Template("<text>\n很好 [MASK]<mask>"))
    assert str(finding) == PICTURE


any_char = st.one_of(st.sampled_from('\\<>{}[]%$"*_# \n!-很字T3'), st.characters(exclude_categories=()))
pieces = st.sampled_from(
    [
        "<text>",
        "<mask>",
        "[MASK]",
        "{text}",
        "{{",
        "}}",
        "{%",
        "%}",
        "if x",
        "endif",
        "<!--",
        "-->",
        "\\",
        "%s",
        "*",
        "很",
        "<soft",
    ]
)
texts = st.one_of(st.text(any_char, max_size=30), st.lists(pieces, max_size=12).map("".join))
words = st.text(st.one_of(st.sampled_from("gobad 好，,\n"), st.characters(exclude_categories=())), max_size=6)


@cases()
@given(
    texts,
    st.none() | st.lists(words, max_size=3),
    st.none() | st.dictionaries(words, words | st.lists(words, max_size=3)),
)
def test_any_text_can_be_checked(source, fields, labels):
    for finding in lint(source + "<mask>" * (len(source) % 2), labels, fields=fields):
        assert 0 <= finding.start <= finding.end <= len(finding.source)
        assert finding.severity in ("error", "warning", "note") and finding.message
        assert pickle.loads(pickle.dumps(finding)) == finding
        head, place, _line, carets, *_ = str(finding).split("\n")
        assert head.startswith(finding.severity) and place.startswith("  at line ") and "^" in carets
        str(finding).encode()


RULES = {"+": {"quality": ["good", "fine"], "part": "plot"}, "-": {"quality": "bad", "part": "plot"}}
OF_RULES = [
    ("<text> <mask name=quality>, <mask name=part>", RULES, []),
    ("<text> <mask name=quality>, <mask name=parts>", RULES, ["mask-names"] * 2),
    ("<text> <mask name=quality>", RULES, ["mask-names"]),
    ("<text> <mask name=quality>, <mask name=part> <mask name=c>", RULES, ["mask-names"]),
    ("<text> <mask>", RULES, ["mask-names"]),
    ("<text> <mask name=quality>, <mask name=part>", {"+": "good", "-": "bad"}, ["mask-names"]),
    ("<text> <mask name=quality>", {"+": "good", "-": "bad"}, []),
    ("<text> <mask name=a>", {"+": {"a": ["good", "good"]}, "-": {"a": " bad"}}, ["shared-word", "word-space"]),
    ("<text> <mask name=a>", {"+": {"a": ""}, "-": {"a": "bad"}}, ["empty-word"]),
]


@pytest.mark.parametrize(("template", "rules", "expected"), OF_RULES)
def test_rules(template, rules, expected):
    assert [finding.code for finding in lint(Template(template), rules)] == expected


def test_a_mask_that_a_rule_names_wrongly():
    template = Template("<text> <mask name=quality>, <mask name=parts>")
    one, other = lint(template, RuleVerbalizer(RULES))
    assert str(one) == (
        "error: no rule has a word for the mask 'parts' (mask-names)\n"
        "  at line 1, column 29:\n"
        "    <text> <mask name=quality>, <mask name=parts>\n"
        "                                ^^^^^^^^^^^^^^^^^\n"
        "  the rules have words for 'part', 'quality'"
    )
    assert str(other) == (
        "error: the template has no mask 'part'; did you mean 'parts'? (mask-names)\n"
        "  at line 1, column 9:\n"
        "    +: part=plot; quality=good, fine\n"
        "            ^^^^\n"
        "  it has 'quality', 'parts'"
    )


def test_a_variable_of_the_template_written_as_a_field():
    assert lint("{% set short = text | trim %}<short> It was <mask>.") == []
