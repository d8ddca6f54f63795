"""What is printed, to the letter."""

import io

from rich.console import Console
from rich.text import Text
from support.models import borrowed

from softcloze.cli.inspect_render import example_text, inspection_lines, node_table, token_lines
from softcloze.cli.inspect_view import Inspection, TokenView, cells_of, filled, token_view, word_view
from softcloze.display import rich_table
from softcloze.encoding import CompiledTemplate, Demonstration, PromptTokenizer, TokenInfo
from softcloze.template import Template
from softcloze.verbalizer import Verbalizer


def printed(*parts, width):
    console = Console(file=io.StringIO(), width=width, record=True, highlight=False)
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, Text))
    return "\n".join(line.rstrip() for line in console.export_text().splitlines()).rstrip("\n")


PIECES = [
    TokenInfo("[CLS]", "special", "", True),
    *[TokenInfo("", "soft", "#1", True)] * 2,
    *[TokenInfo(token, "field", "text", True) for token in ("这", "[/]", "##ing")],
    *[TokenInfo(token, "field", "text", False) for token in ("好", "看")],
    TokenInfo("，", "literal", "", True),
    TokenInfo("\n", "literal", "", True),
    TokenInfo("<mask>", "mask", "", True),
    TokenInfo("[SEP]", "special", "", True),
]

TOKENS = """\
[CLS] ◆ ◆ 这 [/] ##ing 好 看
.     s s f  f   f     x  x

， ↵ <mask> [SEP]
l  l m      .

. special: 2   s soft #1: 2   f field text: 3   x cut from field text: 2   l literal: 2   m mask: 1
11 of 11 positions, 2 of them kept for the label word in the mask's place"""


def test_token_lines():
    view = TokenView(tuple(cells_of(PIECES, byte_level=False)), limit=11, answer=2)
    assert printed(*token_lines(view, width=30), width=30) == TOKENS


CHINESE = """\
电影：「龘」好看，质量不错 ； 总之，很 满意↵◆◆ 电影：「龘」还不错 good ； 总之，很 <mask>
电影 ： 「 龘  」 好 看 ， 质量不错 ␣ ； ␣ 总之 ， 很 ␣ 满意 ↵ ◆ ◆ ␣ 电影 ： 「 龘  」 还
ddd  dd dd ddd dd d  dd d  xx       d dd d d    d  d  d dd   d s s l lll  ll ll fff ll fff

不错 ␣good ␣ ； ␣ 总之 ， 很 <mask>
ff   x     l ll l l    l  l  m

d demo: 27   x cut from demo: 2   s soft #1: 2   l literal: 17   f field title: 3   f field text: 5   \
x cut from field text: 1   m mask: 1
56 of 64 positions, 2 of them kept for the label word in the mask's place
1 of 2 demonstrations, 1 left out because they do not fit

  label   word   tokens    count
 ────────────────────────────────
  bad     失望   ␣ 失 望       4
  bad     差     ␣ 差          2
  good    满意   ␣ 满意        3"""


def test_a_chinese_example_with_bytes_for_tokens():
    template = Template('<demos sep="\\n"><soft*2> 电影：「<title>」<text max=5> ； 总之，很 <mask>')
    words = Verbalizer({"good": ["满意"], "bad": ["失望", "差"]})
    compiled = CompiledTemplate(template, PromptTokenizer(borrowed("gpt2"), masked=False), 64)
    example = {"title": "龘", "text": "还不错 good"}
    shown = [
        Demonstration({"title": "差", "text": "太差了"}, "失望"),
        Demonstration({"title": "龘", "text": "好看，质量不错"}, "满意"),
    ]
    tokens = token_view(compiled, example, 2, shown)
    text = filled(template, example, demonstrations=shown[tokens.dropped :])
    inspection = Inspection(template, text, tokens, word_view(words, compiled))
    assert printed(*inspection_lines(inspection, width=90), width=90) == CHINESE


NODES = """\

  kind      meaning
 ────────────────────────────────────────────────────────────
  soft      vectors: 2, block task
  literal   ' [b]'
  field     text
  soft      a vector for each token of init, block #1,
            starting from 'It is'
  mask      where the label word goes, tokens: 2
  options   the first word of each label, with '/' between
  demo      labelled examples, 4 in all, with '\\n' after
            each
  special   the tokenizer's sep token
  logic     {% if a %} controls the output
  field     title, at most 9 tokens, the last ones kept,
            never shortened
  logic     {% endif %} controls the output
  logic     the value of {{ b | trim }}"""


def test_node_table():
    template = Template(
        '<soft*2 name=task> [b]<text><soft init="It is"><mask*2><options sep="/"><demos*4 sep="\\n"><sep>'
        "{% if a %}<title max=9 keep=tail shorten=0>{% endif %}{{ b | trim }}"
    )
    assert printed(rich_table(node_table(template)), width=62) == NODES


def test_example_text_keeps_brackets_and_styles():
    shown = example_text(filled(Template("[b]<text>\n<mask>"), {"text": "[/b]\x1b[31m"}))
    assert shown.plain == "[b][/b]\ufffd[31m↵<mask>"
    assert {str(span.style) for span in shown.spans} == {"cyan", "bold yellow"}


def test_kinds_have_colours():
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system="standard")
    view = TokenView(tuple(cells_of(PIECES, byte_level=False)), limit=11, answer=1)
    for part in token_lines(view, width=80):
        console.print(part, soft_wrap=True)
    coded = console.file.getvalue()
    assert "\x1b[9;31m好\x1b[0m" in coded  # struck through, red
    assert "\x1b[36m这\x1b[0m" in coded and "\x1b[1;35m◆\x1b[0m" in coded and "\x1b[1;33m<mask>\x1b[0m" in coded
