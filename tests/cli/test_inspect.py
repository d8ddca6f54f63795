"""softcloze inspect as a command: examples, demonstrations, and the HTML page."""

import json
import re
import shutil
import sys
from typing import get_args

import pytest
from support.html_page import Page
from support.models import ARCHITECTURES, model, tokenizer

from softcloze.cli import main
from softcloze.cli.options import Selection
from softcloze.demonstrations.selection import METHODS

ROWS = "text,label\n很好,好\n质量太差,差\n满意,好\n失望,差\n"


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Tiny models, saved."""
    made = {}
    for architecture in ("bert", "gpt2"):
        made[architecture] = tmp_path_factory.mktemp("models") / architecture
        model(architecture).save_pretrained(made[architecture])
        tokenizer(ARCHITECTURES[architecture]).save_pretrained(made[architecture])
    return made


@pytest.fixture
def softcloze(tmp_path, monkeypatch, capsys):
    """Run a command in a folder with rows.csv, and return exit code, output and errors."""
    (tmp_path / "rows.csv").write_text(ROWS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def softcloze(*args):
        monkeypatch.setattr(sys, "argv", ["softcloze", *map(str, args)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return stop.value.code or 0, "\n".join(line.rstrip() for line in out.splitlines()), err

    return softcloze


def test_line_ends_and_tabs_in_a_template_are_typed_as_in_python(softcloze):
    assert softcloze("inspect", r"<text>\n\t很<mask>", "--text", "好") == (0, "好↵⇥很<mask>", "")
    assert softcloze("inspect", r"<text>\\n\\\n很<mask>", "--text", "好") == (0, r"好\n\↵很<mask>", "")


def test_a_template_that_does_not_read_the_example(softcloze):
    for args in (("--text", "好"), ("--field", "text=好")):
        code, _, err = softcloze("inspect", "{text}很<mask>", *args)
        assert code == 2 and "the template reads no field, so all examples get the same prompt: '{text}' is text" in err


def test_logic_with_values_that_are_no_text(softcloze):
    template = "{% for star in stars if star > 2 %}*{% endfor %}{% if title is defined %}《<title>》{% endif %}很<mask>"
    assert softcloze("inspect", template, "--field", "stars:=[1, 3, 4]") == (0, "**很<mask>", "")
    assert softcloze("inspect", template, "--field", "stars:=[]", "--field", "title=a=b") == (0, "《a=b》很<mask>", "")
    code, _, err = softcloze("inspect", template, "--field", "stars=5")
    assert code == 2 and err.startswith("error: 'for' iterates over a list, found text")


def test_demonstrations_without_a_model(softcloze):
    template = '<demos*4 sep=" | "><soft*2> <text>（<options sep="/">）：<mask>'
    code, out, err = softcloze("inspect", template, "--text", "不错", "--examples", "rows.csv")
    assert (code, err) == (0, "")
    *shown, own = out.split(" | ")
    assert own == "◆◆ 不错（好/差）：<mask>"
    assert sorted(shown) == ["失望（好/差）：差", "很好（好/差）：好", "满意（好/差）：好", "质量太差（好/差）：差"]
    words = json.dumps({"好": ["good", "great"], "差": "bad"})
    code, out, _ = softcloze("inspect", template, "--text", "不错", "--examples", "rows.csv", "--verbalizer", words)
    assert code == 0 and "很好（good/bad）：good | " in out and out.endswith("◆◆ 不错（good/bad）：<mask>")
    assert softcloze("inspect", template, "--text", "不错")[1] == (
        '<demos*4 sep=" | ">◆◆ 不错（<options sep="/">）：<mask>'
    )


def test_demonstrations_in_tokens(softcloze, folders):
    args = ("--text", "不错", "--examples", "rows.csv", "--model", folders["gpt2"])
    code, out, err = softcloze("inspect", '<demos sep="\\n"><soft*2> <text>：<mask>', *args)
    assert (code, err) == (0, "")
    assert "2 of 2 demonstrations\n" in out
    code, out, err = softcloze("inspect", '<demos sep="\\n"><soft*2> <text>：<mask>', *args, "--max-length", 16)
    assert (code, err) == (0, "")
    assert re.search(r"^\d of 2 demonstrations, \d left out because they do not fit$", out, re.MULTILINE)
    nearest = softcloze("inspect", "<demos><text>：<mask>", *args, "--demonstrations", "nearest")[1]
    assert "2 of 2 demonstrations\n" in nearest


CHAT = "<chat:system>Sort.<demos><chat:user><text> Good?<chat:assistant>It is <mask>"


def test_chat_turns(softcloze, folders, tmp_path):
    assert softcloze("inspect", CHAT, "--text", "好")[1] == (
        "<chat:system>Sort.<demos>\n<chat:user>好 Good?\n<chat:assistant>It is <mask>"
    )
    code, out, _ = softcloze("inspect", CHAT)
    assert code == 0 and re.search("turn +begins a turn of the user, in the tokenizer's chat template", out)
    code, _, err = softcloze("inspect", CHAT, "--text", "好", "--model", folders["gpt2"])
    assert code == 2 and "has no chat template" in err
    chatty = tmp_path / "chatty"
    shutil.copytree(folders["gpt2"], chatty)
    template = "{{ strftime_now('%Y') }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
    (chatty / "chat_template.jinja").write_text(template)
    args = ("inspect", CHAT, "--text", "好", "--model", chatty, "--examples", "rows.csv", "--max-length", "60")
    code, _, err = softcloze(*args)
    assert code == 2 and 'give a date, as in chat_options={"date": "2026-07-26"}' in err
    code, _, err = softcloze(*args, "--chat-options", '{"tokenize": true}')
    assert code == 2 and err.startswith("error: --chat-options is '{\"tokenize\": true}', but it has to be a mapping")
    code, out, err = softcloze(*args, "--chat-options", '{"date": "2026-07-26"}', "--html", "page.html")
    assert (code, err) == (0, "")
    assert re.search(r"t turn system: \d+   l literal: \d+ ", out) and "t turn user: " in out
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert '<br><span class="turn" title="chat turn">&lt;chat:user&gt;</span>' in page and "<td>chat turn<td" in page


MISTAKES = [
    (
        ("<text><mask>", "--text", "a", "--examples", "rows.csv"),
        "error: --examples is for templates with <demos>, which this one does not have\n",
    ),
    (
        ("<demos><text><mask>", "--examples", "rows.csv"),
        "error: --examples shows the demonstrations of an example: give one with --text TEXT or --field NAME=VALUE\n",
    ),
    (
        ("<demos><text><mask>", "--text", "a", "--examples", "rows.csv", "--demonstrations", "nearest"),
        "error: --demonstrations nearest compares what a model makes of the rows: name it with --model\n",
    ),
    (
        ("<demos><txt><mask>", "--text", "a", "--examples", "rows.csv"),
        "error: rows.csv has no column 'txt'; it has 'text', 'label'; did you mean 'text'? "
        "(--text-column names another)\n",
    ),
    (
        ("<demos><text><mask>", "--text", "a", "--examples", "rows.csv", "--verbalizer", '{"好": "好", "bad": "差"}'),
        "error: row 1 has label '差', which the verbalizer does not name; it has ['bad', '好']\n",
    ),
    (
        ("{{ stars }}<mask>", "--field", "stars:=[1"),
        "error: --field stars is not JSON: Expecting ',' delimiter: line 1 column 3 (char 2)\n",
    ),
    (
        ("{{ stars }}<mask>", "--field", "stars:=1", "--field", "stars=1"),
        "error: --field stars is given twice\n",
    ),
    (("<text><mask>", "--text", "a", "--html", "."), "error: . is a folder; name a file to write\n"),
]


@pytest.mark.parametrize(("args", "message"), MISTAKES, ids=[message[7:50] for _, message in MISTAKES])
def test_mistakes(softcloze, args, message):
    code, _, err = softcloze("inspect", *args)
    assert code == 2 and err.startswith(message)


PAGE = """\
Template
<soft*2>␣<text max=9>␣a <b> 很<mask>
literal field soft slot mask
| kind| what
| soft slot| vectors: 2, block #1
| literal| ' '
| field| text, at most 9 tokens
| literal| ' a <b> 很'
| mask| where the label word goes
Example
◆◆␣<script>好</script>{{7*7}}␣a <b> 很<mask>
Tokens
As tiny sees them; under each token stands what it is.
◆s ◆s ␣l <f sf cf rf if pf tf >f 好f <x /x sx cx rx ix px tx >x {x {x 7x *x 7x }x }x ␣al ␣l <l bl >l ␣l 很l <mask>m
| mark| kind| name| tokens
| s| soft slot| #1| 2
| l| literal| | 8
| f| field| text| 9
| x| cut from field| text| 16
| m| mask| | 1
22 of 64 positions, 3 of them kept for the label word in the mask's place
Label words
| label| word| tokens| number
| <i>| 好| 好| 1
| 差&| 差| 差| 1
| 差&| 失望| 失 望| 3"""


def test_the_page_shows_all_text_as_text(softcloze, folders, tmp_path):
    args = (
        "<soft*2> <text max=9> a \\<b> 很<mask>",
        "--text",
        "<script>好</script>{{7*7}}",
        "--model",
        folders["gpt2"],
    )
    words = ("--verbalizer", '{"<i>": "好", "差&": ["差", "失望"]}')
    code, out, err = softcloze("inspect", *args, *words, "--html", "page.html")
    assert (code, err) == (0, "")
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    page = Page(html)
    assert not page.tags & {"script", "img", "link", "iframe", "i", "b"}
    assert page.attributes <= {"lang", "charset", "name", "content", "http-equiv", "class", "title", "style"}
    assert "default-src 'none'" in html and "http:" not in html and "https:" not in html and "url(" not in html
    lines = Page(html.replace(str(folders["gpt2"]), "tiny")).lines
    first, last = lines.index("◆s"), lines.index("<mask>m")
    lines[first : last + 1] = [" ".join(lines[first : last + 1])]
    assert "\n".join(lines[lines.index("Template") :]) == PAGE
    assert html.count("<del>") == 16
    assert "22 of 64 positions, 3 of them kept for the label word in the mask's place" in out


def test_a_template_alone_has_a_page(softcloze, tmp_path):
    code, out, _ = softcloze("inspect", "很<text><mask>", "--html", "deep/page.html")
    assert code == 0 and "where the label word goes" in out
    lines = Page((tmp_path / "deep" / "page.html").read_text(encoding="utf-8")).lines
    assert "Template" in lines and "Example" not in lines and "Tokens" not in lines


def test_label_words_that_do_not_fit_are_told_last(softcloze, folders, tmp_path):
    args = ("<text>很<mask>", "--text", "好", "--model", folders["bert"], "--verbalizer", '{"a": "好", "b": "龘"}')
    code, out, err = softcloze("inspect", *args, "--html", "page.html")
    assert code == 2 and err.startswith("error: label word '龘' is unknown to this model's vocabulary")
    assert "[CLS] 好 很 <mask> [SEP]" in out
    lines = Page((tmp_path / "page.html").read_text(encoding="utf-8")).lines
    assert lines[-2] == "Problem" and lines[-1].startswith("label word '龘' is unknown")


def test_the_second_segment(softcloze, folders):
    code, out, _ = softcloze(
        "inspect", "<a><sep><b> <mask>", "--field", "a=好", "--field", "b=很好", "--model", folders["bert"]
    )
    assert code == 0 and out.splitlines()[-1] == "second segment: the last 4 tokens, the mask counted once"


def test_the_choices_are_those_that_there_are():
    assert get_args(Selection) == METHODS


def test_fit_shows_demonstrations_as_asked(softcloze, folders, tmp_path):
    args = ("rows.csv", "--model", folders["gpt2"], "--template", '<demos*2 sep="\\n"><text>，很<mask>')
    code, out, err = softcloze("fit", *args, "--out", "prompt", "--demonstrations", "nearest")
    assert code == 0 and "warning: label '好' wins on content-free input" in err  # of a model with random weights
    assert out.endswith("on 4 rows; saved in prompt")
    card = json.loads((tmp_path / "prompt" / "prompt.json").read_text(encoding="utf-8"))
    assert card["demonstrations"]["method"] == "nearest"
    code, out, _ = softcloze("evaluate", "rows.csv", "--prompt", "prompt")
    assert code == 0 and out.startswith("accuracy ")
    code, _, err = softcloze("fit", *args, "--out", "other", "--demonstrations", "nearst")
    assert code == 2 and "'nearst' is not one of 'random', 'nearest'" in err


def test_tokens_need_no_weights(softcloze, folders, tmp_path):
    folder = tmp_path / "tokenizer"
    shutil.copytree(folders["gpt2"], folder, ignore=shutil.ignore_patterns("*.safetensors"))
    code, out, err = softcloze("inspect", "<text>：<mask>", "--text", "不错", "--model", folder)
    assert (code, err) == (0, "")
    assert out == softcloze("inspect", "<text>：<mask>", "--text", "不错", "--model", folders["gpt2"])[1]


def test_an_answer_and_its_stop_string(softcloze, folders, tmp_path):
    template = r"<soft*2><text>\n回答：<answer max=20>\n###"
    assert softcloze("inspect", template, "--text", "好") == (0, "◆◆好↵回答：<answer max=20>↵###", "")
    code, out, err = softcloze("inspect", template, "--text", "好", "--model", folders["gpt2"], "--html", "page.html")
    assert (code, err) == (0, "")
    assert "a answer: 1" in out and re.search(r"e stop: \d", out)
    assert out.endswith("32 of 64 positions, 20 of them kept for the answer")
    lines = Page((tmp_path / "page.html").read_text(encoding="utf-8")).lines
    assert "| answer| where the model writes, at most 20 tokens" in lines
    assert r"| stop string| '\n###' ends the answer" in lines
    code, _, err = softcloze("inspect", "<text> <answer>", "--text", "好", "--model", folders["bert"])
    assert code == 2 and "a masked model fills in words and writes no text" in err
    code, _, err = softcloze("inspect", "<text> <answer>", "--text", "好", "--verbalizer", '{"a": "b"}')
    assert code == 2 and "<answer> is free text, which PromptGenerator writes" in err
