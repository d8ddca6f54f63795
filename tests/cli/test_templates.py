"""softcloze templates: the list, one template, and both for machines; what is printed, to the letter."""

import ast
import io
import json
import sys

import pytest
from rich.console import Console

from softcloze.cli import main
from softcloze.cli.inspect_render import node_table
from softcloze.cli.options import read_escapes
from softcloze.cli.templates import card_table, card_view
from softcloze.display import rich_table
from softcloze.library import list_templates, load_template, load_verbalizer

CARD = """\
template = "<soft*4> <text>：<mask>"
task = "茶"
language = "zh"
fields = ["text"]
verbalizer = "spam/zh"
source = "[b]我们[/b]"
description = "Our own [/]."
"""


@pytest.fixture(autouse=True)
def _terminal(monkeypatch):
    monkeypatch.delenv("SOFTCLOZE_LIBRARY", raising=False)
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def own(tmp_path):
    for name in ("tea", "spam/zh"):
        file = tmp_path / "templates" / f"{name}.toml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(CARD, encoding="utf-8")
    return tmp_path


@pytest.fixture
def softcloze(monkeypatch, capsys):
    """Run the command in this process: its output, or with `fails` its complaint."""

    def run(*args, fails=False):
        monkeypatch.setattr(sys, "argv", ["softcloze", "templates", *map(str, args)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        assert (stop.value.code, out if fails else err) == (2 if fails else 0, "")
        return err if fails else out

    return run


def printed(*parts, width):
    console = Console(file=io.StringIO(), width=width, record=True, highlight=False)
    for part in parts:
        console.print(part, soft_wrap=not hasattr(part, "columns"))
    return "\n".join(line.rstrip() for line in console.export_text().splitlines()).rstrip("\n")


TABLE = """\

  template    kind   description
 ────────────────────────────────────────────────────────────────────
  spam/en     hard   Spam or not, in words alone.
  spam/zh     hard   Spam or not, in Chinese words alone.

  stance/en   hard   Where the author of a text stands on a target,…"""


def test_card_table():
    cards = [load_template(name) for name in ("spam/en", "spam/zh", "stance/en")]
    assert printed(rich_table(card_table(cards, 70)), width=70) == TABLE


VIEW = """\
sentiment/en-after, soft
Ten trainable vectors behind the review: a causal model reads each review once, which pays where they are long.
'Review: <text> <soft*10>\\nSentiment: <mask>'
sentiment, en; field text; label words sentiment/en
source: softcloze
{nodes}

label words sentiment/en
One plain English word for each side.
source: softcloze

  label      words
 ─────────────────────
  positive   positive
  negative   negative"""


def test_card_view():
    card = load_template("sentiment/en-after")
    expected = VIEW.format(nodes=printed(rich_table(node_table(card.template)), width=70))
    assert printed(*card_view(card, load_verbalizer("sentiment/en")), width=70) == expected


def test_the_list_has_every_template_on_a_line(softcloze, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    tasks = {name.split("/")[0] for name in list_templates()}
    assert len(softcloze().splitlines()) < len(list_templates()) + len(tasks) + 5
    shown = softcloze()
    assert [name for name in list_templates() if f"  {name} " not in shown] == []


@pytest.mark.parametrize(
    ("args", "names"),
    [
        (["--task", "spam", "--language", "zh"], ["spam/zh", "spam/zh-chat", "spam/zh-mixed", "spam/zh-soft"]),
        (["--kind", "in-context"], ["sentiment/en-demos", "sentiment/zh-demos"]),
        (["--task", "topic", "--kind", "soft"], ["topic/en-soft", "topic/zh-soft"]),
    ],
)
def test_filters(args, names, softcloze):
    assert [card["name"] for card in json.loads(softcloze("--json", *args))] == names


def test_json_of_one(softcloze):
    assert json.loads(softcloze("stance/zh", "--json")) == {
        "name": "stance/zh",
        "task": "stance",
        "language": "zh",
        "kind": "hard",
        "template": "文本：<text>\n对于“<target shorten=0>”，作者的立场是<mask>",
        "fields": ["text", "target"],
        "verbalizer": "stance/zh",
        "words": {"favor": ["支持"], "against": ["反对"], "none": ["中立"]},
        "source": "softcloze",
        "description": "Where the author of a Chinese text stands on a target, in words alone. "
        "The target is never cut.",
        "file": None,
        "replaces": False,
    }  # fmt: skip
    assert softcloze("stance/zh", "--json").isascii()


def test_own_templates(softcloze, own, monkeypatch):
    cards = {card["name"]: card for card in json.loads(softcloze("--library", own, "--json"))}
    assert len(cards) == len(list_templates()) + 1
    assert (cards["tea"]["task"], cards["tea"]["kind"], cards["tea"]["replaces"]) == ("茶", "soft", False)
    assert cards["spam/zh"]["file"] == str(own / "templates" / "spam" / "zh.toml") and cards["spam/zh"]["replaces"]
    monkeypatch.setenv("SOFTCLOZE_LIBRARY", str(own))
    shown = softcloze("spam/zh")
    assert "Our own [/].\n" in shown and "source: [b]我们[/b]\n" in shown
    assert f"your own: {own}/templates/spam/zh.toml, in place of the one that comes with softcloze\n" in shown
    assert f"your own: {own}/templates/tea.toml\n" in softcloze("tea")
    assert "Our own [/]." in softcloze("--task", "茶")


@pytest.mark.parametrize("name", ["sentiment/en", "stance/zh", "sentiment/en-demos"])
def test_a_template_can_be_copied_into_python_and_a_shell(softcloze, name):
    (written,) = [line for line in softcloze(name).splitlines() if "<mask>" in line and "\\n" in line]
    template = load_template(name).template
    assert ast.literal_eval(written) == str(template)
    assert read_escapes(written[1:-1]) == str(template)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["topik"], "error: no 'topik' among the library's templates: boolq/…, "),
        (["topic"], "error: no 'topic' among the library's templates: topic/en, topic/en-chat, topic/en-cloze, "),
        (
            ["--language", "cn"],
            "error: no template has the language 'cn'; there are en, zh\n",
        ),
        (
            ["--kind", "Soft", "--task", "topic"],
            "error: no template has the kind 'Soft'; there are hard, in-context, mixed, soft; did you mean 'soft'?\n",
        ),
        (
            ["--kind", "in-context", "--task", "topic"],
            "error: no template has the task 'topic' and the kind 'in-context'\n",
        ),
        (
            ["topic/en", "--kind", "hard"],
            "error: --kind chooses among all templates; leave it out to show topic/en\n",
        ),
        (["--library", "nowhere"], "error: nowhere is not a folder\n"),
    ],
)
def test_mistakes(args, message, softcloze, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert softcloze(*args, fails=True).startswith(message)


def test_a_broken_card_names_its_file(softcloze, own):
    file = own / "templates" / "tea.toml"
    file.write_text(CARD.replace("<mask>", "<maks>"), encoding="utf-8")
    assert softcloze("--library", own, fails=True).startswith(f"error: {file}: the template does not parse: ")
