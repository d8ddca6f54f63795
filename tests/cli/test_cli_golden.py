"""What is printed, to the letter."""

import io

from rich.console import Console

from softcloze.cli.compare import comparison_table
from softcloze.cli.inspect import example_text, node_table, token_view
from softcloze.encoding import Piece
from softcloze.experiments import Comparison, MethodResult
from softcloze.template import Template


def printed(*parts, width):
    console = Console(file=io.StringIO(), width=width, record=True, highlight=False)
    for part in parts:
        console.print(part, soft_wrap=not hasattr(part, "columns"))
    return "\n".join(line.rstrip() for line in console.export_text().splitlines()).rstrip("\n")


COMPARISON = Comparison(
    rows=(
        MethodResult("hard prompt", "sentiment/en", (0.81,), (0.8,), 0, 0.0, 0.0, 30.25, 905_000_000),
        MethodResult(
            "soft prompt, 16 per class",
            "<soft*10> [bold]<text>[/] 总之，很 <mask>",
            (0.9, 0.88, 0.86),
            (0.9, 0.88, 0.86),
            5760,
            5760 / 134_515_008,
            91.5,
            63.0,
            1_250_000_000,
        ),
    ),
    model="starter:smollm2-135m",
    parameters=134_515_008,
    shots=16,
    seeds=(0, 1, 2),
    train_rows=6728,
    test_rows=1000,
)

TABLE = """\

  method                            accuracy   trained   training   scoring     memory
 ──────────────────────────────────────────────────────────────────────────────────────
  hard prompt                          0.810   nothing               30.2 s     905 MB
  sentiment/en
  soft prompt, 16 per class    0.880 ± 0.020     5,760     30.5 s    21.0 s   1,250 MB
  <soft*10> [bold]<text>[/]                     0.004%
  总之，很 <mask>

starter:smollm2-135m, 134,515,008 parameters; 1,000 held-out rows; soft prompts: mean ±
standard deviation of 3 draws of 16 per class from 6,728 rows; time is per run, memory
the whole process at its peak"""


def test_comparison_table():
    assert printed(comparison_table(COMPARISON), width=88) == TABLE


PIECES = [
    Piece("[CLS]", "special", "", True),
    *[Piece("", "soft", "#1", True)] * 2,
    *[Piece(token, "field", "text", True) for token in ("这", "[/]", "##ing")],
    *[Piece(token, "field", "text", False) for token in ("好", "看")],
    Piece("，", "literal", "", True),
    Piece("\n", "literal", "", True),
    Piece("<mask>", "mask", "", True),
    Piece("[SEP]", "special", "", True),
]

TOKENS = """\
[CLS] ◆ ◆ 这 [/] ##ing 好 看
.     s s f  f   f     x  x

， ↵ <mask> [SEP]
l  l m      .

. special: 2   s soft #1: 2   f field text: 3   x cut from field text: 2   l literal: 2   m mask: 1
11 of 11 positions, 2 of them kept for the label word in the mask's place"""


def test_token_view():
    assert printed(*token_view(PIECES, width=30, limit=11, answer=2), width=30) == TOKENS


NODES = """\

  kind      what
 ────────────────────────────────────────────────────────────
  soft      vectors: 2, block task
  literal   ' [b]'
  field     text
  soft      a vector for each token of init, block #1,
            starting from 'It is'
  mask      where the label word goes"""


def test_node_table():
    template = Template('<soft*2 name=task> [b]<text><soft init="It is"><mask>')
    assert printed(node_table(template), width=62) == NODES


def test_example_text_keeps_brackets_and_styles():
    shown = example_text(Template("[b]<text>\n<mask>"), {"text": "[/b]\x1b[31m"})
    assert shown.plain == "[b][/b]\ufffd[31m↵<mask>"
    assert {str(span.style) for span in shown.spans} == {"cyan", "bold yellow"}


def test_kinds_have_colours():
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system="standard")
    for part in token_view(PIECES, width=80, limit=11, answer=1):
        console.print(part, soft_wrap=True)
    coded = console.file.getvalue()
    assert "\x1b[9;31m好\x1b[0m" in coded  # struck through, red
    assert "\x1b[36m这\x1b[0m" in coded and "\x1b[1;35m◆\x1b[0m" in coded and "\x1b[1;33m<mask>\x1b[0m" in coded
