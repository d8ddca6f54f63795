"""What an explanation looks like, to the letter, and that nothing in it is obeyed."""

import io
from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from support.html_page import Page
from support.models import TOKENIZERS, borrowed
from support.properties import cases

from softcloze.analysis import Explanation, TopWord, WordShare
from softcloze.encoding import PromptTokenizer
from softcloze.encoding.tokens import readable_token
from softcloze.formatting import INVISIBLE, JOINERS, one_line


def printed(explanation, width):
    console = Console(file=io.StringIO(), width=width, record=True)
    console.print(explanation)
    return "\n".join(line.rstrip() for line in console.export_text().splitlines())


SMALL = Explanation(
    labels=("[red]差&", "<script>好</script>"),
    probabilities=(0.129, 0.871),
    words=(
        WordShare("[red]差&", "失望\n", ("<0xE5><0xA4>", "<0xB1>", "望", "↵"), -10.5, -9.15, 1.0),
        WordShare("<script>好</script>", ":smile:", ("␣:", "smile", ":"), -1.35, 0.0, 0.75),
        WordShare("<script>好</script>", "<b>\x1b", ("<b>", "⟨U+001B⟩"), -2.5, -1.15, 0.25),
    ),
    top=(TopWord("␣:", 0.4), TopWord("<img src=x>", 0.26), TopWord("[/]", 0.00001), TopWord("很", 0.0, "[red]差&")),
    mass=0.3413,
)

RICH = """\
<script>好</script> 87.10%; the label words have 34.13% of the probability at the mask

  label                        word          tokens                     probability   score     share
 ─────────────────────────────────────────────────────────────────────────────────────────────────────
  [red]差& 12.90%              失望↵         <0xE5><0xA4> <0xB1> 望 ↵        <0.01%   -9.15   100.00%
  <script>好</script> 87.10%   :smile:       ␣: smile :                      25.92%    0.00    75.00%
                               <b>⟨U+001B⟩   <b> ⟨U+001B⟩                     8.21%   -1.15    25.00%


  top words     probability   label
 ──────────────────────────────────────
  ␣:                 40.00%
  <img src=x>        26.00%
  [/]                <0.01%
  很                  0.00%   [red]差&
"""

HTML = """\
<script>好</script> 87.10%; the label words have 34.13% of the probability at the mask
| label| word| tokens| probability| score| share
| [red]差& 12.90%| 失望↵| <0xE5><0xA4> <0xB1> 望 ↵| <0.01%| -9.15| 100.00%
| <script>好</script> 87.10%| :smile:| ␣: smile :| 25.92%| 0.00| 75.00%
| <b>⟨U+001B⟩| <b> ⟨U+001B⟩| 8.21%| -1.15| 25.00%
| top words| probability| label
| ␣:| 40.00%|
| <img src=x>| 26.00%|
| [/]| <0.01%|
| 很| 0.00%| [red]差&"""


def test_rich():
    assert printed(SMALL, width=110) == RICH


def test_a_narrow_terminal_loses_nothing():
    shown = printed(SMALL, width=72)
    assert max(map(cell_len, shown.splitlines())) <= 72
    assert "…" not in shown and "probability   score     share" in shown


def test_html():
    html = SMALL._repr_html_()
    page = Page(html)
    assert page.tags == {"div", "style", "p", "strong", "table", "thead", "tbody", "tr", "th", "td"}
    assert page.attributes == {"class", "lang", "rowspan"}
    assert "\n".join(page.lines[page.lines.index(HTML.splitlines()[0]) :]) == HTML
    assert html.count('rowspan="2"') == 1 and "http" not in html and "url(" not in html


def with_texts(label, word):
    """An explanation with these texts in every place."""
    other = label + "x"
    words = (WordShare(label, word, (word, label), -1.0, 0.0, 1.0), WordShare(other, "x", ("x",), -2.0, -1.0, 1.0))
    return Explanation((label, other), (0.75, 0.25), words, (TopWord(word, 0.5, label), TopWord(label, 0.25)), 0.5)


ANY = (st.text(max_size=20), st.text(alphabet="<>&\"'[]/\\{}%: a", min_size=1, max_size=20))


@given(*ANY)
@cases(4)
def test_any_text_stays_text_in_html(label, word):
    page = Page(with_texts(label, word)._repr_html_())
    assert page.tags == {"div", "style", "p", "strong", "table", "thead", "tbody", "tr", "th", "td"}
    assert page.attributes == {"class", "lang"}
    assert f"{one_line(label)} 75.00%; the label words" in page.text
    assert f"| {one_line(word)}| {one_line(f'{word} {label}')}| 36.79%" in page.text
    assert f"| {one_line(word)}| 50.00%| {one_line(label)}\n" in page.text


@given(*ANY)
@cases(10)
def test_any_text_stays_text_in_the_terminal(label, word):
    shown = printed(with_texts(label, word), 500)
    assert shown.startswith(f"{one_line(label)} 75.00%; the label words")
    assert not any(category(char) in INVISIBLE and char not in ("\n", *JOINERS) for char in shown)


TOKENS = [
    (True, "Ġgood", "␣good"),
    (True, "å¥½", "好"),
    (True, "å", "<0xE5>"),
    (True, "Ġä½", "␣<0xE4><0xBD>"),
    (True, "½ok", "<0xBD>ok"),
    (True, "Ċ", "↵"),
    (True, "ĠĠ", "␣␣"),
    (True, "<|im_start|>", "<|im_start|>"),
    (True, "很", "很"),  # an added token, spelt in letters
    (False, "▁good", "␣good"),
    (False, "▁", "␣"),
    (False, "##ing", "##ing"),
    (False, "<0xE4>", "<0xE4>"),
    (False, "<0x0A>", "↵"),
    (False, "<0x41>", "A"),
    (False, "Ġ", "Ġ"),
    (False, "\x1b[31m", "⟨U+001B⟩[31m"),
    (False, "\u202e", "⟨U+202E⟩"),
]


@pytest.mark.parametrize(("byte_level", "token", "shown"), TOKENS)
def test_tokens_are_fit_to_be_read(byte_level, token, shown):
    assert readable_token(token, byte_level=byte_level) == shown


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_the_whole_vocabulary_is(kind):
    tokenizer = borrowed(kind)
    prompt_tokenizer = PromptTokenizer(tokenizer, masked=False)
    for token_id in range(len(tokenizer)):
        shown = readable_token(tokenizer.convert_ids_to_tokens(token_id), byte_level=prompt_tokenizer.byte_level)
        assert shown and shown.isprintable() and not shown.startswith(("Ġ", "▁", " "))
        text = prompt_tokenizer.decode([token_id])
        if prompt_tokenizer.byte_level and token_id not in tokenizer.all_special_ids and "\ufffd" not in text:
            assert shown == one_line(text)
