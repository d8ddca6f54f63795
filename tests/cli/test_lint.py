"""softcloze lint: its output to the letter, positions in files, and exit codes."""

import io
import json
import sys
from pathlib import Path

import pytest
from rich.console import Console
from support.models import borrowed, model

from softcloze.classifiers import PromptClassifier
from softcloze.cli import main
from softcloze.cli.lint import Located, finding_text, summary
from softcloze.cli.lint_sources import read_source
from softcloze.display import percent
from softcloze.lint import lint as lint_template

CARD = r"""# 中文
task = "sentiment"
language = "zh"
source = "我们"
description = "template = 'no'"
verbalizer = "sentiment/zh"
fields = ["text"]
template = "评论：\"<text>\"\n\u60c5感：{x} <mask>"
"""
WORDS = """\
task = "sentiment"
language = "zh"
source = "我们"
description = "好"
[words]
"好" = ["好", '满意']  # "bad"
bad = ["bad"]
"""


@pytest.fixture
def lint(tmp_path, monkeypatch, capsys):
    """Run the command in a folder with these files, and return exit code and what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def lint(*args, stdin="", **files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", ".")
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        monkeypatch.setattr(sys, "argv", ["softcloze", "lint", *map(str, args)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return stop.value.code or 0, out if stop.value.code != 2 else err

    return lint


def test_nothing_found(lint):
    card = CARD.replace("{x} ", "")
    assert lint("a.toml", "b.txt", a__toml=card, b__txt="<text> It was <mask>\n") == (0, "nothing found in 2 files\n")
    assert lint("-", stdin="<text> It was <mask>") == (0, "nothing found in 1 file\n")


PLAIN = """\
a.txt:2:7: warning: '[MASK]' looks like a tag, but is text (forgotten-tag)
    很 [b] [MASK]
           ^^^^^^
  write <mask>
a.txt:2:13: error: the template has no <mask>, expected exactly one; did you mean <mask> where it says [MASK]? (no-mask)
    很 [b] [MASK]
                 ^
1 error, 1 warning in 1 file
"""


def test_a_file_with_a_template(lint):
    assert lint("a.txt", a__txt="<text>\r\n很 [b] [MASK]\r\n") == (1, PLAIN)
    assert lint("-", stdin="<text>\n很 [b] [MASK]\n") == (1, PLAIN.replace("a.txt", "-"))


IN_CARD = """\
a.toml:8:1: template: warning: '{x}' looks like a tag, but is text (forgotten-tag)
    情感：{x} <mask>
          ^^^
  write <x>
1 warning in 1 file
"""


def test_a_card_is_shown_by_its_key_and_the_template_itself(lint):
    assert lint("a.toml", a__toml=CARD) == (0, IN_CARD)
    assert lint("a.toml", "--strict", a__toml=CARD) == (1, IN_CARD)


@pytest.mark.parametrize(
    ("text", "template"),
    [
        ('template = "很\\n\\U0001F600<mask>"', "很\n😀<mask>"),
        ("  'template'='<mask>\\n'", "<mask>\\n"),
        ('x = "template = 1"\ntemplate = "<mask>\\\\" # "', "<mask>\\"),
        ("template = '''\n很\n<mask>'''", "很\n<mask>"),
        ('template = """\n很 \\\n   好"<mask>""""', '很 好"<mask>"'),
    ],
)
def test_keys_in_toml(text, template, tmp_path):
    path = tmp_path / "a.toml"
    path.write_text(text, encoding="utf-8", newline="\r\n")
    source = read_source(str(path))
    assert source.template == template
    start, end = source.key_span("template")
    assert source.text[start:end].strip(" '=") == "template" and source.text[end:].lstrip()[0] in "'\""
    assert source.key_span("words") == (0, 0)


WORDS_SHOWN = """\
w.toml:5:1: words: warning: 'bad' in Latin letters, '好', '满意' in Han (mixed-scripts)
    bad: bad
         ^^^
  take all label words from one language: two languages are seldom equally likely in one template
1 warning in 1 file
"""


def test_a_card_with_label_words(lint):
    assert lint("w.toml", w__toml=WORDS) == (0, WORDS_SHOWN)
    code, out = lint("w.toml", w__toml=WORDS.replace('["bad"]', '["差", "好", "好"]'))
    assert code == 1
    heads = [line for line in out.splitlines() if line.startswith("w.toml")]
    assert heads == [
        "w.toml:5:1: words: error: '好' is a label word already: line 1, column 4 (shared-word)",
        "w.toml:5:1: words: error: '好' is a label word already: line 1, column 4 (shared-word)",
    ]


CARD_MISTAKES = [
    (
        CARD.replace("fields = [", "feilds = ["),
        "a.toml:7:1: error: unknown key 'feilds'; did you mean 'fields'? (card)",
    ),
    (
        CARD.replace('["text"]', '["text", "x"]'),
        "a.toml:7:1: error: the card lists the fields ('text', 'x'), but its template has ('text',) (card)",
    ),
    (
        CARD.replace("sentiment/zh", "sentiment/zz"),
        "a.toml:6:1: error: no 'sentiment/zz' among the library's verbalizers",
    ),
    (CARD.replace('source = "我们"\n', ""), "a.toml:1:1: error: missing 'source' (card)"),
    ("x = 1\n", "a.toml:1:1: error: the card has neither a template nor a table of label words (card)"),
    ('x = 1\ny = "', "a.toml:2:6: error: not valid TOML: Unterminated string (not-toml)"),
    ("x = 1\n很\n", "a.toml:2:1: error: not valid TOML: "),
    (WORDS.replace('["bad"]', "5"), "a.toml:5:1: error: 'words.bad' must be a list of texts, found 5 (card)"),
]


@pytest.mark.parametrize(("text", "head"), CARD_MISTAKES)
def test_mistakes_of_cards(lint, text, head):
    code, out = lint("a.toml", a__toml=text)
    assert code == 1
    assert any(line.startswith(head) for line in out.splitlines()), out


def test_a_card_in_a_library_finds_its_label_words_there(lint, tmp_path):
    for shelf, text in (
        ("templates", CARD.replace("sentiment/zh", "mine/zh").replace("{x} ", "")),
        ("verbalizers", WORDS),
    ):
        (tmp_path / shelf / "mine").mkdir(parents=True)
        (tmp_path / shelf / "mine" / "zh.toml").write_text(text, encoding="utf-8")
    code, out = lint("templates/mine/zh.toml", "templates/mine/zh.toml")
    assert code == 0
    assert out.splitlines()[0] == "mine/zh: warning: 'bad' in Latin letters, '好', '满意' in Han (mixed-scripts)"
    assert out.splitlines()[-1] == "1 warning in 2 files"  # said once


FIELDS = """\
-:1:1: error: the examples have no field 'text'; did you mean 'txt'? (missing-field)
    <text> It was <mask>
    ^^^^^^
  they have 'txt', 'label'
-:1:21: note: the template does not use the field 'txt' (unused-field)
    <text> It was <mask>
                        ^
-:1:21: note: the template does not use the field 'label' (unused-field)
    <text> It was <mask>
                        ^
--verbalizer: error: 'good' is a label word already: line 1, column 4 (shared-word)
    b: good
       ^^^^
  use each word for one label, once
2 errors, 2 notes in 1 file
"""


def test_fields_and_label_words_may_be_given(lint):
    args = ("--fields", "txt, label", "--verbalizer", '{"a": "good", "b": ["good"]}')
    assert lint("-", *args, stdin="<text> It was <mask>") == (1, FIELDS)


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Two models without weights."""
    made = {}
    for kind, architecture in (("wordpiece", "bert"), ("gemma", "gemma3_text")):
        made[kind] = tmp_path_factory.mktemp("models") / kind
        borrowed(kind).save_pretrained(made[kind])
        model(architecture).config.save_pretrained(made[kind])
    return made


TOKENS = """\
-:1:14: note: a causal model scores the text after the mask once for each label word, which takes longer (after-mask)
    <text>很<mask>。
                  ^^
  put the mask last if you can
"""


def test_a_tokenizer_says_more(lint, folders):
    code, out = lint("-", "--model", folders["gemma"], stdin="<text>很<mask>。")
    assert (code, out) == (0, TOKENS + "1 note in 1 file\n")  # though that tokenizer has a mask token
    assert lint("-", "--model", folders["wordpiece"], stdin="<text>很<mask>。") == (0, "nothing found in 1 file\n")
    code, out = lint("-", "--model", folders["wordpiece"], "--max-length", 3, stdin="<text>很<mask>。")
    assert code == 1 and "the template alone is 2 tokens too long" in out
    code, out = lint(
        "-", "--model", folders["wordpiece"], "--verbalizer", '{"a": "好", "b": "龘"}', stdin="<text><mask>"
    )
    assert code == 1 and "--verbalizer: error: label word '龘' is unknown to this model's vocabulary" in out


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A causal model with weights."""
    folder = tmp_path_factory.mktemp("models") / "llama"
    borrowed("llama").save_pretrained(folder)
    model("llama").save_pretrained(folder)
    return folder


WORDS_WITH_TOKENS = """\
a.txt

  label   word       tokens
 ─────────────────────────────
  a       good       good
          good bad   good bad
  好      好         好

"""


def test_label_words_are_shown_with_their_tokens(lint, folders):
    args = ("a.txt", "--model", folders["wordpiece"], "--verbalizer", '{"a": ["good", "good bad"], "好": "好"}')
    code, out = lint(*args, a__txt="<text><mask>")
    assert code == 0 and "label" not in out.splitlines()[-1]
    code, shown = lint(*args, "--words", a__txt="<text><mask>")
    table = "\n".join(line.rstrip() for line in shown.splitlines())
    assert code == 0 and WORDS_WITH_TOKENS in table
    assert shown.splitlines()[0] == out.splitlines()[0]  # the findings stand above
    assert "prior" not in shown
    assert lint("b.txt", "--model", folders["wordpiece"], "--words", b__txt="<text><mask>")[1] == (
        "nothing found in 1 file\n"  # of which there are none without label words
    )


def test_priors_are_those_of_the_classifier(lint, weights):
    words = {"坏": "bad", "a": "very very very good"}
    args = ("a.txt", "--model", weights, "--verbalizer", json.dumps(words), "--priors")
    code, out = lint(*args, a__txt="<text> It was <mask>")
    checked = PromptClassifier(str(weights), "<text> It was <mask>", words).check()
    (warning,) = [finding for finding in checked.findings if finding.severity == "warning"]
    assert code == 0 and f"a.txt:1:15: warning: {warning.message} (one-sided)" in out
    for prior in checked.priors:
        assert percent(prior) in out
    assert lint(*args, "--strict", a__txt="<text> It was <mask>")[0] == 1
    code, out = lint(*args, a__txt="<text> <soft> It was <mask>")
    assert code == 0 and "very" in out and "prior" not in out  # it has to be trained first


def test_what_cannot_be_done_at_all(lint):
    assert lint("nowhere.txt") == (2, "error: cannot read nowhere.txt: No such file or directory\n")
    assert lint(".") == (2, "error: cannot read .: Is a directory\n")
    code, err = lint("a.txt", a__txt="很<mask>".encode("gbk"))
    assert code == 2 and err.startswith("error: a.txt is not UTF-8 text: ")
    assert lint("-", "--max-length", 5)[1] == "error: --max-length needs a tokenizer: name a model with --model\n"
    assert lint("-", "--priors")[1] == "error: --priors needs a tokenizer: name a model with --model\n"
    assert lint("-", "--verbalizer", "sentiment/nn")[1].startswith("error: no 'sentiment/nn' among the library's")
    assert lint("-", "--model", "./nowhere")[1].startswith("error: cannot load the model './nowhere': ")


def test_the_library_has_no_findings(lint):
    cards = sorted(str(path) for path in Path(__file__).parents[2].glob("*/*/*.toml"))
    assert len(cards) > 6
    assert lint(*cards) == (0, f"nothing found in {len(cards)} files\n")


def test_colours_and_brackets():
    (finding,) = lint_template("[b]<text>{x}<mask>")
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system="standard")
    console.print(finding_text(Located("[/b].txt:1:10", finding)), soft_wrap=True)
    console.print(summary([Located("a", finding)] * 2, 1), soft_wrap=True)
    coded = console.file.getvalue()
    assert "\x1b[1m[/b].txt:1:10\x1b[0m: \x1b[33mwarning\x1b[0m: '{x}' looks like a tag" in coded
    assert "    [b]<text>{x}<mask>\n             ^^^\n" in coded
    assert "\x1b[33m2 warnings\x1b[0m in 1 file" in coded


def test_priors_need_label_words(lint, folders):
    assert lint("a.txt", "--model", folders["wordpiece"], "--priors", a__txt="<text> <mask>") == (
        2,
        "error: --priors is about label words: give them with --verbalizer\n",
    )


def test_a_file_that_is_not_utf8_gets_the_command_that_converts_it(lint):
    code, err = lint("a.txt", a__txt=b"\xef\xbb\xbf<text> \xff<mask>")
    assert code == 2 and err == (
        "error: a.txt is not UTF-8 text: line 1 is wrong, at byte 11 of the file; it may be windows-1252: "
        "iconv -f windows-1252 -t UTF-8 a.txt > a-utf8.txt\n"
    )
