"""What is found in a soft prompt as it looks, to the letter, and that nothing in it is obeyed."""

import io
import json
from dataclasses import asdict
from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from support.html_page import Page
from support.properties import cases

from softcloze import Template
from softcloze.analysis import (
    DeletedVector,
    Deletions,
    Epoch,
    Hardening,
    HardPrompt,
    Score,
    SoftInspection,
    SoftVector,
    Trajectory,
    VocabularyWord,
)
from softcloze.formatting import INVISIBLE, JOINERS, one_line

INSPECTION = SoftInspection(
    vectors=(
        SoftVector(
            block="[red]任务&",
            position=1,
            length=0.875,
            by_cosine=(VocabularyWord("␣Review", 0.98, 0.25), VocabularyWord("<script>", 0.5, 0.8)),
            by_distance=(VocabularyWord("[/]", 0.5, 0.125), VocabularyWord("评论", -0.001, 1.25)),
            start="␣Review",
            moved=0.0625,
        ),
        SoftVector("#1", 1, 1.0, (VocabularyWord(":", 0.9, 0.4),), (VocabularyWord(":", 0.9, 0.4),), "<0xE4>", 0.5),
    ),
    similarities=((1.0, -0.001), (-0.001, 1.0)),
)

INSPECTION_TEXT = """\
2 vectors; lengths and distances in lengths of a typical word; 1 of 2 still nearest to the word that they started from,
by cosine

  vector         start     moved   length   nearest by cosine              nearest by distance
 ───────────────────────────────────────────────────────────────────────────────────────────────
  [red]任务& 1   ␣Review    0.06     0.88   ␣Review 0.98 · <script> 0.50   [/] 0.12 · 评论 1.25
  #1 1           <0xE4>     0.50     1.00   : 0.90                         : 0.40

cosine between vectors

  vector         [red]任务& 1   #1 1
 ────────────────────────────────────
  [red]任务& 1           1.00   0.00
  #1 1                   0.00   1.00
"""

DELETIONS = Deletions(
    rows=1000,
    whole=Score(0.875, 0.25),
    vectors=(
        DeletedVector("#1", 1, Score(0.865, 0.3), -0.01, 0.05, 0.0125, 12, 2),
        DeletedVector("#1", 2, Score(0.875, 0.2499), 0.0, -0.0001, 0.002, 0, 0),
    ),
)

DELETIONS_TEXT = """\
1,000 rows: with all vectors accuracy 0.875, log-loss 0.250 nats; changes without each (± standard error)

  without   accuracy   rows lost   gained         log-loss
 ──────────────────────────────────────────────────────────
  1           -0.010          12        2   +0.050 ± 0.013
  2           +0.000           0        0   +0.000 ± 0.002
"""

HARD = HardPrompt(
    Template("\\<b> good\n<text> 很<mask>"),
    {"任务": ("<b>", "␣good"), "#1": ("[/]",)},
    Hardening(200, Score(0.9, 0.3), Score(0.8, 0.4), Score(0.7, 0.5), Score(0.6, 0.6), 150),
)

HARD_TEXT = """\

  block   nearest words
 ───────────────────────
  任务    <b> ␣good
  #1      [/]

template: \\<b> good↵<text> 很<mask>
200 rows; the text has the very tokens of the words in 150 of them

  prompt                       accuracy   log-loss
 ──────────────────────────────────────────────────
  soft prompt                     0.900      0.300
  nearest words in the slots      0.800      0.400
  nearest words as text           0.700      0.500
  template without its slots      0.600      0.600
"""

TRAJECTORY = Trajectory(
    (Epoch(2, 0.6931, 0.5, None, (0.25, 0.125)), Epoch(3, 0.5, 0.75, (0.0625, 0.125), (0.25, 0.25)))
)

TRAJECTORY_TEXT = """\
distances in lengths of a typical word: the mean of all vectors (the least to the most)

  epoch    loss   accuracy                  step                 moved
 ──────────────────────────────────────────────────────────────────────
      2   0.693      0.500                         0.19 (0.12 to 0.25)
      3   0.500      0.750   0.09 (0.06 to 0.12)   0.25 (0.25 to 0.25)
"""

ALL = [
    (INSPECTION, INSPECTION_TEXT),
    (DELETIONS, DELETIONS_TEXT),
    (HARD, HARD_TEXT),
    (TRAJECTORY, TRAJECTORY_TEXT),
]


def printed(found, width):
    console = Console(file=io.StringIO(), width=width, record=True)
    console.print(found)
    return "\n".join(line.rstrip() for line in console.export_text().splitlines())


@pytest.mark.parametrize(("found", "text"), ALL)
def test_as_text_and_in_the_terminal(found, text):
    assert str(found) == text
    assert printed(found, width=120) == text


@pytest.mark.parametrize("found", [found for found, _ in ALL])
def test_a_narrow_terminal_loses_nothing(found):
    shown = printed(found, width=72)
    assert max(map(cell_len, shown.splitlines())) <= 72
    assert "…" not in shown


def test_similarities_are_shown_where_they_fit_on_a_screen():
    def inspection(block, count):
        vectors = tuple(SoftVector(block, position + 1, 1.0, (), ()) for position in range(count))
        return SoftInspection(vectors, ((0.5,) * count,) * count)

    for block, count in (("#1", 2), ("#1", 8)):
        assert "cosine between vectors" in printed(inspection(block, count), 80)
        assert "…" not in printed(inspection(block, count), 80)
    assert "cosine between vectors" not in printed(inspection("#1", 12), 80)


def ten_vectors(words):
    nearest = tuple(VocabularyWord(f"␣{word}", -0.125, 12.34) for word in words)
    vectors = tuple(SoftVector("#1", position + 1, 0.75, nearest, nearest, "␣film", 0.5) for position in range(10))
    return SoftInspection(vectors, ((-0.125,) * 10,) * 10)


@pytest.mark.parametrize("words", [["it", "its", "this"], ["extraordinarily", "disappointing", "representation"]])
@pytest.mark.parametrize("width", [40, 80, 200])
def test_ten_vectors_are_whole_at_any_width(width, words):
    lines = printed(ten_vectors(words), width).splitlines()
    text = "\n".join(lines)
    assert max(map(cell_len, lines)) <= width
    for word in words:  # each number beside its word, on one line
        assert text.count(f"␣{word} -0.12") == 10
        assert text.count(f"␣{word} 12.34") == (10 if width == 200 else 0)
    for position in range(1, 11):
        assert any(line.split()[:1] == [str(position)] for line in lines)
    assert text.count("0.75") == text.count("0.50") == 10
    assert ("cosine between vectors" in lines) == (width == 200)
    hint = " ".join(text[text.find("not shown") :].split())
    if width == 200:
        assert "not shown" not in text
        assert text.count("-0.12") - 10 * len(words) == 100
    else:
        assert hint.startswith("not shown: nearest words by distance and cosines between vectors; COLUMNS=")
        needed = int(hint.split("COLUMNS=")[1].split()[0])
        assert "not shown" not in printed(ten_vectors(words), needed)
        assert "not shown" in printed(ten_vectors(words), needed - 1)
        assert "`vectors` and `similarities` in Python" in hint
    if width == 80:
        assert len(lines) <= (45 if max(map(len, words)) > 12 else 20)


def test_plain_text_of_ten_vectors_follows_the_same_rules_and_html_shows_all():
    found = ten_vectors(["extraordinarily", "disappointing", "representation"])
    assert str(found) == printed(found, 120)
    assert "nearest words by distance;" in str(found) and "cosine between vectors" in str(found)
    text = Page(found._repr_html_()).text
    assert "not shown" not in text and text.count("12.34") == 30 and "cosine between vectors" in text


def test_a_table_of_numbers_is_split_where_it_does_not_fit():
    lines = printed(DELETIONS, 40).splitlines()
    assert max(map(cell_len, lines)) <= 40
    assert [line.split() for line in lines if line.strip()[:2] in ("1 ", "2 ")] == [
        ["1", "-0.010", "12", "2"],
        ["2", "+0.000", "0", "0"],
        ["1", "+0.050", "±", "0.013"],
        ["2", "+0.000", "±", "0.002"],
    ]


TAGS = {"div", "style", "p", "table", "thead", "tbody", "tr", "th", "td"}


@pytest.mark.parametrize(("found", "text"), ALL)
def test_html_says_the_same(found, text):
    html = found._repr_html_()
    page = Page(html)
    assert page.tags <= TAGS and page.attributes == {"class", "lang"}
    assert "http" not in html and "url(" not in html
    body = page.text.split("}")[-1]
    assert "".join(body.replace("|", "").split()) == "".join(text.replace("─", "").split())


@pytest.mark.parametrize("found", [INSPECTION, DELETIONS, TRAJECTORY])
def test_plain_data(found):
    assert json.loads(json.dumps(asdict(found)))


def with_text(text):
    """Everything that has text of others, with this in all its places."""
    word = VocabularyWord(text, 0.5, 0.5)
    vectors = (SoftVector(text, 1, 1.0, (word,), (word,), text, 0.5), SoftVector("x", 1, 1.0, (word,), (word,)))
    hard = HardPrompt(Template("<text><mask>"), {text: (text,)})
    return SoftInspection(vectors, ((1.0, 0.0), (0.0, 1.0))), hard


@given(st.text(max_size=20) | st.text(alphabet="<>&\"'[]/\\{}%: a", min_size=1, max_size=20))
@cases(40)
def test_any_text_stays_text(text):
    for found in with_text(text):
        page = Page(found._repr_html_())
        assert page.tags <= TAGS and page.attributes == {"class", "lang"}
        assert one_line(text) in page.text
        shown = printed(found, 500)
        assert not any(category(char) in INVISIBLE and char not in ("\n", *JOINERS) for char in shown)
