"""Importers of OpenPrompt, ruPrompts and LM-BFF templates, and their errors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import cases

from softcloze.errors import TemplateSyntaxError, TemplateTypeError
from softcloze.template import Field, Literal, Mask, Soft, Template

OPENPROMPT = [
    ('{"placeholder":"text_a"} It was {"mask"}', "<text_a> It was <mask>"),
    ("{'placeholder': 'text_a'}总之，很{'mask': None}。", "<text_a>总之，很<mask>。"),
    ('A {"mask"} news : {"placeholder": "title", "shortenable": False}', "A <mask> news : <title shorten=0>"),
    ('{"meta": "choices"} {"meta": "问题", "shortenable": True}{"mask"}', "<choices shorten=0> <问题><mask>"),
    # spaces beside braces collapse to one, those at the end are dropped, all others stay
    ('  a  b   {"mask"}   .  ', " a  b <mask> ."),
    ('{"mask"}   {"placeholder": "x"}\n', "<mask> <x>\n"),
    ('{"placeholder": "a"} {"placeholder": "b", "add_prefix_space": ""}{"mask"}', "<a><b><mask>"),
    ('{"placeholder": "a"}{"text": "It was", "add_prefix_space": " "} {"mask"}', "<a> It was <mask>"),
    ('{"soft"} {"soft": None} {"mask"}', "<soft> <soft> <mask>"),
    ('{"soft": None, "duplicate": 5}{"mask"}', "<soft*5><mask>"),
    ('{"soft": None, "duplicate": 3, "same": True}{"mask"}', "<soft name=same_1>" * 3 + "<mask>"),
    ('{"soft": None, "duplicate": 3, "same": False}{"mask"}', "<soft*3><mask>"),
    ('{"soft": "It was"} {"mask"} {"soft": "总之"}', '<soft init="It was"> <mask> <soft init="总之">'),
    (
        '{"soft": "the", "soft_id": 1} first {"soft_id": 1} {"soft": "a", "soft_id": 1}{"soft_id": 2}{"mask"}',
        '<soft init="the" name=soft_1> first <soft name=soft_1> <soft name=soft_1><soft name=soft_2><mask>',
    ),
    (
        '{"soft_id": 7, "duplicate": 2, "same": True} {"soft_id": 7} {"mask"}',
        "<soft name=soft_7><soft name=soft_7> <soft name=soft_7><soft name=soft_7> <mask>",
    ),
    ('{"soft_id": 7, "duplicate": 2} {"soft_id": 7}{"mask"}', "<soft*2 name=soft_7> <soft name=soft_7><mask>"),
    ('{"mask"} {"special": "<eos>"}', "<mask><eos>"),
    ('{"special": "<cls>"}a {"special": "<sep>"} {"special": "<bos>"}{"mask"}', "<cls>a<sep><bos><mask>"),
    # everything outside the braces, or in their quotes, is text
    ('<mask> <|x|> a\\<b \\ {"mask"}', "\\<mask> <|x|> a\\\\\\<b \\ <mask>"),
    ('{"text": "{{ 7*7 }} <soft*9>}"}{"mask"}', "\\{{ 7*7 }} \\<soft*9>}<mask>"),
    ('{"text": "两\\n行", "shortenable": False}\n{"mask"}', "两\n行\n<mask>"),
    ('{\n  "placeholder": "a",\r\n  "shortenable": True,\n} {"mask"}', "<a> <mask>"),
]

FUNCTIONS = [
    ("lambda x: x", "<t>"),
    ("None", "<t>"),
    ("lambda x: x.lower()", "{{ t | lower }}"),
    ("lambda s: s.strip().upper()", "{{ t | trim | upper }}"),
    ("lambda s: s.rstrip(string.punctuation)", "{{ t | strip_punctuation }}"),
    ("lambda x: x.title()", "{{ t | title }}"),
    ("str.capitalize", "{{ t | capitalize }}"),
    ("lambda x: x[:1].lower() + x[1:]", "{{ t | lower_first }}"),
    ("lambda 文: 文[0].upper() + 文[1:]", "{{ t | upper_first }}"),
    ("lambda x: x + '.'", "<t>."),
    ("lambda x: '<' + x.strip() + '>' + '!'", "<{{ t | trim }}>!"),
    ("lambda x: x[:-1].lower()", "{{ t[:-1] | lower }}"),
    ("lambda x: x.lower()[1:9]", "{{ (t | lower)[1:9] }}"),
    ("lambda x: x.strip('\"\\'')", '{{ t | trim("\\"\'") }}'),
    ("lambda x: x.replace('\\n', '\\\\')", '{{ t | replace("\\n", "\\\\") }}'),
]

RUPROMPTS = [
    ("<P*20>{text}<P*10>", "<soft*20><text><soft*10><mask>"),
    ("<P>{text}<P>", "<soft><text><soft><mask>"),
    ("Отзыв: { text }\n<P*1>", "Отзыв: <text>\n<soft*1><mask>"),
    (
        '<P>Passage:</P>{文}<P>\nIs it "so"?</P>',
        '<soft init="Passage:"><文><soft init="\\nIs it \\"so\\"?"><mask>',
    ),
    ("<P>{a}<P>{{x}}</P>", '<soft><a><soft init="{x}"><mask>'),
    ("{{{a}}} <mask> <Person> {{% <PAD>", "{<a>} \\<mask> \\<Person> \\{% \\<PAD><mask>"),
]

LMBFF = [
    ("*cls**sent_0*_It_was*mask*.*sep+*", "<sent_0> It was <mask>."),
    ("*cls**sent_0*总之，很_*mask*。*sep*", "<sent_0>总之，很 <mask>。"),
    ("*cls**sent-_0*?*mask*,*+sentl_1**sep+*", "{{ sent_0[:-1] }}? <mask>, {{ sent_1 | lower_first }}"),
    ("*cls**sentl-_0**+sentu_1**mask*", "{{ sent_0[:-1] | lower_first }} {{ sent_1 | upper_first }} <mask>"),
    ("*cls**mask*:*+sent_0**sep+*", " <mask>: <sent_0>"),
    ("*sent_0**sep+**sent_1*\n*mask*", "<sent_0><sep><sent_1>\n<mask>"),
    ("*sent_0**cls**mask**sep+*.", "<sent_0><cls> <mask><sep>."),
    ("<mask>_{{x}}*mask*", "\\<mask> \\{{x}} <mask>"),
    ("*sent_007**mask*", "<sent_7> <mask>"),
]


@pytest.mark.parametrize(("text", "expected"), OPENPROMPT)
def test_openprompt(text, expected):
    assert str(Template.from_openprompt(text)) == expected


@pytest.mark.parametrize(("function", "expected"), FUNCTIONS)
def test_functions_of_openprompt_become_filters(function, expected):
    text = f'{{"placeholder": "t", "post_processing": {function}}} {{"mask"}}'
    assert str(Template.from_openprompt(text)) == f"{expected} <mask>"


@pytest.mark.parametrize(("text", "expected"), RUPROMPTS)
def test_ruprompts(text, expected):
    assert str(Template.from_ruprompts(text)) == expected


@pytest.mark.parametrize(("text", "expected"), LMBFF)
def test_lmbff(text, expected):
    assert str(Template.from_lmbff(text)) == expected


def test_text_is_never_read_as_tags():
    template = Template.from_openprompt('<soft*3> {"text": "{% if %}"}<eos>{"mask"}<!-- x -->')
    assert template.nodes == (Literal("<soft*3> {% if %}<eos>"), Mask(), Literal("<!-- x -->"))
    template = Template.from_ruprompts("<mask>{text}{{{{ x }}}}")
    assert template.nodes == (Literal("<mask>"), Field("text"), Literal("{{ x }}"), Mask())


def test_soft_blocks_are_shared():
    template = Template.from_openprompt('{"soft": "the", "soft_id": 1}{"soft_id": 1}{"soft"}{"mask"}')
    assert [block.key for block in template.blocks] == ["soft_1", "#1"]
    assert Template.from_ruprompts("<P*2>{t}<P>x</P>").nodes[2] == Soft(init="x")


KINDS = "'placeholder', 'meta', 'mask', 'soft', 'soft_id', 'special', 'text'"
DICT = """expected the inside of a Python dict or set, as in {"soft": None, "duplicate": 5}"""
FUNCTION = (
    "this function cannot be expressed, known are strip(), lower(), upper(), title(), capitalize(), replace(), "
    "rstrip(string.punctuation), x[:200], a first letter lowered or raised, and text added before or after: process "
    "the column beforehand, or write {{ … }} into the imported template"
)

OPENPROMPT_MISTAKES = [  # 【 and 】 enclose the wrong characters
    ('{"placeholder": "a"}【】', "the template has no mask, expected exactly one"),
    (
        '{"mask"} and 【{"mask"}】',
        "only one mask can be read here: the first is at line 1, column 1",
    ),
    ('很【{】"mask"', "this '{' is never closed: expected '}'"),
    ("【{}】", f"a tag is one of {KINDS}"),
    ('{"mask"} 【{"soft", "duplicate": 5}】', DICT),
    ("【{x for x in y}】", DICT),
    ("【{" + "(" * 300 + "}】", DICT),
    ("{【mask】}", "expected a key in quotes, found mask"),
    ('【{**x, "mask": 1}】', 'expected a key in quotes, found {**x, "mask": 1}'),
    ('{"mask": 1, 【"mask"】: 2}', "'mask' comes twice in one tag"),
    ('{"mask", 【"soft"】}', f"a tag is one of {KINDS}: this one is 'mask', 'soft'"),
    ('{"plaecholder": 【"好"】}', f"'plaecholder' is unknown: a tag is one of {KINDS}; did you mean 'placeholder'?"),
    (
        '{"placeholder": "a", "shortenabel": 【False】}',
        "'placeholder' has no 'shortenabel': it takes 'shortenable', 'post_processing', 'add_prefix_space'; "
        "did you mean 'shortenable'?",
    ),
    ('{"placeholder": 【3】}', 'placeholder needs a text, as in {"placeholder": "text_a"}'),
    ('{【"placeholder"】}', 'placeholder needs a text, as in {"placeholder": "text_a"}'),
    ('{"meta": 【"is it"】}', "a field's name is an identifier, as in text_a, found 'is it': rename the column"),
    ('{"meta": 【"options"】}', "no field can be called 'options', which is a tag: rename the column"),
    ('{"placeholder": "文", "shortenable": 【"no"】}', "shortenable is True or False"),
    ('{"text": "文", "shortenable": 【True】}', "text that may be cut cannot be expressed: only fields are shortened"),
    ('{"placeholder": "文", "post_processing": 【lambda x: x.rstrip(".")】}', FUNCTION),
    ('{"placeholder": "文", "post_processing": 【lambda x: (x + ".").lower()】}', FUNCTION),
    ('{"placeholder": "文", "post_processing": 【lambda x, y: x】}', FUNCTION),
    ('{"placeholder": "文", "post_processing": 【__import__("os").system】}', FUNCTION),
    ('{"placeholder": "文", "post_processing": 【lambda x: x[i:]】}', FUNCTION),
    ('{"meta": "a",\n "post_processing": 【lambda x:\r\n  open("评论").read()】}', FUNCTION),
    (
        '{"meta": "a", "shortenable": 【False】, "post_processing": str.lower}',
        "a processed field that is never cut cannot be expressed: leave out shortenable or post_processing",
    ),
    (
        '{"meta": 【"none"】, "post_processing": str.lower}',
        "a function of 'none' cannot be expressed: in Jinja that is not a field; rename the column",
    ),
    (
        '{"soft": None, "post_processing": 【"mlp"】}',
        "post_processing of soft cannot be expressed: only fields are processed",
    ),
    ('{"soft": None, "duplicate": 【0】}', "duplicate is a whole number from 1 to 10000"),
    ('{"soft": None, "duplicate": 【True】}', "duplicate is a whole number from 1 to 10000"),
    ('{"soft": None, "soft_id": 【-1】}', "soft_id is a whole number from 1 to 10000"),
    ('{"soft": 【" "】}', 'no words to start from: write {"soft"} for a vector that starts from none'),
    (
        '{"soft": "It was", "duplicate": 【2】}',
        "OpenPrompt ignores duplicate beside words, which have a token each: leave it out",
    ),
    (
        '{"special": 【"[SEP]"】}',
        "the special token '[SEP]' cannot be expressed: expected one of '<bos>', '<eos>', '<sep>', '<cls>'; "
        "did you mean '<sep>'?",
    ),
    ('{"placeholder": "a", "add_prefix_space": 【5】}', 'add_prefix_space is " " or ""'),
]

RUPROMPTS_MISTAKES = [
    ("很<P*【0】>", "expected a whole number from 1 to 10000 after '*', found '0'"),
    ("<P*【】>{text}", "expected a whole number from 1 to 10000 after '*', found ''"),
    ("a【</P>】", "expected <P>, <P*20> or <P>words</P>"),
    ("【<P】 *3>", "expected <P>, <P*20> or <P>words</P>"),
    ("【<P> </P>】", "<P>…</P> holds no words to start the vectors from: write <P> or <P*10>"),
    (
        "【<P>See {text}:</P>】",
        "a field inside <P>…</P> cannot be expressed: the vectors start from the same words for all examples",
    ),
    ("a 【{】 b", "a single '{': a field is written {text}, a literal brace twice, '{{'"),
    ("a 【}】 b", "a single '}': a field is written {text}, a literal brace twice, '}}'"),
    ("【{text!r}】", "'{text!r}' cannot be expressed: the braces may hold only the name of a field, as in {text}"),
    ("【{}】", "'{}' cannot be expressed: the braces may hold only the name of a field, as in {text}"),
    ("{【a-b】}", "a field's name is an identifier, as in text_a, found 'a-b': rename the column"),
    ("{【mask】}", "no field can be called 'mask', which is a tag: rename the column"),
]

LMBFF_MISTAKES = [
    ("*cls**sent_0*.【】", "the template has no mask, expected exactly one"),
    (
        "*mask*.【*mask*】",
        "only one mask can be read here: the first is at line 1, column 1",
    ),
    ("很*mask*【*】sep", "this '*' is never closed: expected another one"),
    (
        "*mask**【label_0】*",
        "a label's word cannot be expressed: <demos> writes labelled examples",
    ),
    (
        "*mask**【sep】**sent_1*",
        "a separator without a new segment cannot be expressed: write *sep+*, which differs in BERT only",
    ),
    (
        "*mask**【sents_0】*",
        "'sents_0' is not a variable: expected one of *cls*, *mask*, *sep*, *sep+*, *sent_0*, *sent_1*, *+sent_0*, "
        "*+sent_1*, *sentl_0*, *sent-_0*, *sentl-_0*; did you mean 'sent_0'?",
    ),
]

MISTAKES = [
    *[(Template.from_openprompt, *mistake) for mistake in OPENPROMPT_MISTAKES],
    *[(Template.from_ruprompts, *mistake) for mistake in RUPROMPTS_MISTAKES],
    *[(Template.from_lmbff, *mistake) for mistake in LMBFF_MISTAKES],
]


@pytest.mark.parametrize(("read", "marked", "problem"), MISTAKES)
def test_mistakes(read, marked, problem):
    start, end = marked.index("【"), marked.index("】") - 1
    text = marked.replace("【", "").replace("】", "")
    with pytest.raises(TemplateSyntaxError) as caught:
        read(text)
    assert (caught.value.problem, caught.value.source) == (problem, text)
    assert (caught.value.start, caught.value.end) == (start, end)


def test_errors_of_the_template_are_shown_in_the_imported_source():
    text = '好 {"placeholder": "not", "post_processing": str.lower} {"mask"}'
    with pytest.raises(TemplateSyntaxError) as caught:
        Template.from_openprompt(text)
    assert (caught.value.source, caught.value.start, caught.value.end) == (text, 2, 54)


def test_only_text_is_imported():
    with pytest.raises(TemplateTypeError, match=r"expected a template as text, as in '<P\*20>.*not bytes b'x'"):
        Template.from_ruprompts(b"x")


IMPORTERS = (Template.from_openprompt, Template.from_ruprompts, Template.from_lmbff)
pieces = st.sampled_from(
    [
        *[
            '{"mask"}',
            '{"placeholder": "',
            '", "post_processing": lambda x: x',
            ".lower()",
            "[:1]",
            "+ 'a'",
            '{"soft": ',
        ],
        *[
            "None",
            '"duplicate": 3',
            '"same": True',
            '"soft_id": 1',
            "{",
            "}",
            '"',
            "'",
            ",",
            ":",
            "<P>",
            "<P*3>",
            "</P>",
        ],
        *[
            "{text}",
            "{{",
            "}}",
            "{%",
            "*",
            "*mask*",
            "*sent_0*",
            "*cls*",
            "*sep+*",
            "_",
            "<soft*2>",
            "\\",
            "\n",
            "\r",
            "很",
        ],
        *["(", "[", "-" * 9, "\ud800", "\0", " "],
    ]
)
texts = st.one_of(
    st.text(st.characters(exclude_categories=()), max_size=30),
    st.lists(pieces, max_size=15).map("".join),
    st.lists(pieces, max_size=9).map(
        lambda body: '{"placeholder": "text_a", "post_processing": ' + "".join(body) + "}"
    ),
)


@cases()
@given(st.sampled_from(IMPORTERS), texts)
def test_any_text_imports_or_raises_our_error(read, text):
    try:
        template = read(text)
    except TemplateSyntaxError as error:
        assert error.source == text
        assert 0 <= error.start <= error.end <= len(text)
        str(error).encode()
    else:
        assert Template(str(template)) == template
