"""The documentation is true: examples run, names exist, links lead somewhere, and both languages have the same code.

Of the pages on the language the grammar is the parser's and the tables are complete; the picture of the packages is
what its script draws.
"""

import ast
import doctest
import inspect
import random
import re
import shlex
from collections import Counter
from importlib import import_module
from pathlib import Path
from runpy import run_path

import pytest
import typer
from support.ebnf import Grammar

from softcloze.cli import app
from softcloze.errors import TemplateSyntaxError
from softcloze.template import Template
from softcloze.template.jinja.filters import FILTERS, TESTS
from softcloze.template.jinja.parsing import read_expression
from softcloze.template.jinja.statements import KEYWORDS
from softcloze.template.parser import parse
from softcloze.template.tags import TAGS

ROOT = Path(__file__).parent.parent
PAGES = ["docs/reference/language.md", "docs/reference/language.zh-CN.md"]
READMES = ["README.md", "README.zh-CN.md"]

# of what the grammar says between question marks, in its order: what it matches, and examples
NAME = r"[^\W\d]\w*"
MEANINGS = [
    (r"[^<{\\]", ["a", "好", " ", "\n", ">", "}", "*", '"', "-", "!"]),
    (r"\\+(?![\\<{])", ["\\", "\\\\"]),
    (rf'<(?!!--|"|{NAME})', ["<", "<3", "</", "<!-", "< "]),
    (r"\{(?![{%])", ["{", "{#", "{a"]),
    (r".*?(?=-->)", ["", " <mask> {{ ", "-", ">", "好\n"]),
    (rf"(?!(?:{'|'.join(TAGS)})(?!\w)){NAME}", ["text", "标题", "_1", "Mask", "softer"]),
    (r"0*(?:10000|[1-9]\d{0,3})(?!\d)", ["1", "10", "007", "10000"]),
    (r"0*(?:1000000|[1-9]\d{0,5})(?!\d)", ["1", "200", "02", "1000000"]),
    (r"(?:1000(?:\.0{1,3})?|0?\d{1,3}(?:\.\d{1,3})?)(?![.\d])", ["0", "2", "0.5", "1000", "0007.125"]),
    (r"\d{1,3}(?:-\d{1,3})?(?![\d-])", ["0", "12", "6-11", "007-999"]),
    (r"[\w.+-]+", ["about", "好", "a.b", "-", "+1", "2"]),
    (r'[^"\\]', ["a", "好", " ", "<", ">", "\n", "=", "{"]),
    (r".", ["n", "t", '"', "\\", "x"]),
    (NAME, ["task", "任务", "_", "a1"]),
    (r"\s+", [" ", "\n", "\t  ", "\u3000"]),
    (r"\d+", ["0", "12"]),
    (r"\d+(?:\.\d+)?", ["4", "2.5"]),
    (r"""'[^']*'|"[^"]*\"""", ["'a'", '"}}"', "'好 %}'", '"\\n"']),
]
# rules that stand beside the grammar
IN_WORDS_ONLY = r"is given twice|quotes is blank|init must be one word or more|layers must be .* found '\d+-\d+'"
CHANGES = ["", " ", *'<>*=" \\{!-am3好', "\\" * 4, " >", "max=2", "<soft", "-->"]
LOGIC = ("expression", "if", "for", "set")


def page_text(page):
    return (ROOT / page).read_text(encoding="utf-8")


def examples(page):
    """The doctest of all blocks of code on a page; their fences would count as output."""
    lines, in_code = [], False
    for line in page_text(page).splitlines():
        fence = line.lstrip().startswith("```")
        in_code ^= fence
        lines.append(line if in_code and not fence else "")
    assert not in_code, "a block of code is never closed"
    return doctest.DocTestParser().get_doctest("\n".join(lines) + "\n", {}, page, page, 0)


@pytest.mark.parametrize("page", PAGES + READMES)
def test_examples(page):
    """To the letter: only so is a caret where it should be."""
    found = examples(page)
    assert len(found.examples) >= (50 if page in PAGES else 2)
    report = []
    result = doctest.DocTestRunner().run(found, out=report.append)
    assert not result.failed, "".join(report)


def grammar(page, fixed=()):
    """The grammar on a page; rules of the names in `fixed` make nothing but the text that stands there."""
    (source,) = re.findall(r"^```ebnf\n(.*?)^```", page_text(page), re.DOTALL | re.MULTILINE)
    read = Grammar(source, MEANINGS)
    read.rules.update({name: ("text", text) for name, text in dict(fixed).items()})
    return read


def problem(source):
    """What the parser finds wrong, "" if nothing."""
    try:
        parse(source)
    except TemplateSyntaxError as error:
        return error.problem
    return ""


@pytest.mark.parametrize("page", PAGES)
def test_the_grammar_is_that_of_the_parser(page):
    """Of tags and text: what it makes is read, and what little changes make of that is read if it makes that too."""
    read = grammar(page, dict.fromkeys(LOGIC, "\0"))  # in whose place Jinja stands is no matter here
    dice = random.Random(0)
    verdicts = Counter()
    for _ in range(2000):
        text = read.make(dice.choice(["tag", "tag", "template"]), dice)[:60]
        for source in (text, changed(text, dice)):
            said = problem(source)
            if "{{" not in source and "{%" not in source and not re.search(IN_WORDS_ONLY, said):
                assert read.accepts("template", source) == (not said), (source, said)
                verdicts[said] += 1
    assert verdicts[""] > 2000
    assert len(verdicts) > 40  # different things that the parser finds wrong


def changed(text, dice):
    """The text with a few characters more, fewer or others."""
    chars = list(text)
    for _ in range(dice.randint(1, 3)):
        at = dice.randint(0, len(chars))
        chars[at : at + dice.randint(0, 1)] = dice.choice(CHANGES)
    return "".join(chars)


@pytest.mark.parametrize("page", PAGES)
def test_jinja_that_the_grammar_makes_is_read(page):
    values = grammar(page)
    logic = grammar(page, {"template": "b", "value": "a == 1", "either": "c"})
    dice = random.Random(0)
    for _ in range(300):
        value = values.make("value", dice, " ", depth=11)
        if not re.search(r" is (not )?\w+ (in|not|if) ", value):  # the grammar says in words that this is nothing
            read_expression(value)
        Template(f"{logic.make(dice.choice(LOGIC), dice, ' ')} <mask>")


def test_both_pages_have_the_same_sections_and_rules():
    levels = [re.findall(r"^(#+) ", page_text(page), re.MULTILINE) for page in PAGES]
    assert levels[0] == levels[1]
    assert [*grammar(PAGES[0]).rules] == [*grammar(PAGES[1]).rules]


def words_in_code(page):
    """Words in inline code."""
    text = re.sub(r"^ *```.*?^ *```", "", page_text(page), flags=re.DOTALL | re.MULTILINE)
    return {word for code in re.findall(r"`([^`]+)`", text) for word in re.findall(r"(?:chat:)?[\w-]+", code)}


@pytest.mark.parametrize("page", PAGES)
def test_tables_are_complete(page):
    attributes = [key for tag in TAGS.values() for key in tag.attributes] + ["max", "keep", "shorten"]
    assert {*TAGS, *attributes, *FILTERS, *TESTS, *KEYWORDS} <= words_in_code(page)


@pytest.mark.parametrize("page", PAGES)
def test_every_code_of_a_finding_is_named(page):
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    codes = set(re.findall(r'[Ff]inding\([^"()]*"([a-z]+-[a-z-]+)"', source))
    assert len(codes) > 20
    assert codes <= words_in_code(page)
    (table,) = re.findall(r"^.*`syntax`(?:.*\n)+?\n", page_text(page), re.MULTILINE)
    assert {f'"{code}"' for code in re.findall("`([a-z-]+)`", table)} - {'"fields"', '"labels"'} <= set(
        re.findall('"[a-z-]+"', source)
    )


IMPORTERS = {
    "OpenPrompt": (Template.from_openprompt, '{"mask"}', "<mask>"),
    "ruPrompts": (Template.from_ruprompts, "", "<mask>"),
    "LM-BFF": (Template.from_lmbff, "_*mask*", " <mask>"),
}


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("library", IMPORTERS)
def test_what_importers_make_of_each_tag(page, library):
    read, mask, our_mask = IMPORTERS[library]
    (table,) = re.findall(rf"^\| {library} \|.*\n((?:\|.*\n)+)", page_text(page), re.MULTILINE)
    rows = re.findall(r"^\| `(.*)` \| `([^`]*)` \|$", table.replace("\\|", "|"), re.MULTILINE)
    assert len(rows) >= 4
    for theirs, ours in rows:
        needs_mask = ours != "<mask>"
        assert str(read(theirs + mask * needs_mask)) == ours + our_mask * needs_mask


ALL = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))
TRANSLATED = [page for page in ALL if re.match(r"docs/(tutorial|how-to/|index|reference/language)", page)]
HOW_TO = [page for page in TRANSLATED if re.match(r"docs/(tutorial|how-to/)", page)]


def without_code(text):
    return re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)


def titles(page):
    return re.findall(r"^#+ (.*)$", without_code(page_text(page)), re.MULTILINE)


def anchors(page):
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles(page)}


def made_from_the_code(path):
    """True if the page is generated from a package when the site is built; see docs/hooks.py."""
    package = ROOT / "src" / "softcloze" / path.stem
    return path.parent == ROOT / "docs/reference/api" and (package.is_dir() or package.with_suffix(".py").exists())


@pytest.mark.parametrize("page", ALL + READMES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page_text(page))):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        path = (ROOT / page).parent.joinpath(name).resolve() if name else ROOT / page
        assert path.exists() or made_from_the_code(path), target
        if anchor and path.exists():
            assert anchor in anchors(path.relative_to(ROOT)), target


def test_pages_that_the_code_names_exist():
    files = [path for folder in ("src", "benchmarks", "examples", "fuzz") for path in (ROOT / folder).rglob("*.py")]
    named = {
        (page, file.name)
        for file in [*files, ROOT / "Makefile"]
        for page in re.findall(r"docs/[\w/-]+\.md", file.read_text(encoding="utf-8"))
    }
    assert len(named) > 10
    assert [(page, file) for page, file in named if not (ROOT / page).exists()] == []


def blocks(page, language):
    """The blocks of code in a language, with the fence and its indentation gone."""
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", page_text(page), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", [page for page in TRANSLATED if not page.endswith(".zh-CN.md")])
def test_pages_are_in_both_languages(page):
    other = page.replace(".md", ".zh-CN.md")
    assert other in TRANSLATED
    assert len(titles(page)) == len(titles(other))
    if page in HOW_TO:
        for language in ("python", "sh", "toml", "text"):
            assert blocks(page, language) == blocks(other, language)


@pytest.mark.parametrize("readme", READMES)
def test_readmes_are_short(readme):
    assert len(page_text(readme).splitlines()) <= 120


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert [page for page in ALL if f" {page.removeprefix('docs/')}\n" not in navigation] == []


@pytest.mark.parametrize("page", [*ALL, *READMES])
def test_code_uses_names_that_exist(page):
    """Imports of softcloze work, and calls of what they import give only arguments that it has."""
    names = {}
    for code in blocks(page, "python"):
        tree = ast.parse("" if code.startswith(">>>") else code)
        for node in ast.walk(tree):
            match node:
                case ast.ImportFrom(module=str(module)) if module.split(".")[0] == "softcloze":
                    names |= {alias.name: getattr(import_module(module), alias.name) for alias in node.names}
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Name(id=name)) if name in names or name == "PromptClassifier":
                    function = names.get(name) or import_module("softcloze").PromptClassifier
                    parameters = inspect.signature(function).parameters.values()
                    if not any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters):
                        given = {keyword.arg for keyword in node.keywords if keyword.arg}
                        assert given <= {parameter.name for parameter in parameters}, name


@pytest.mark.parametrize("page", [*ALL, *READMES])
def test_commands_and_options_exist(page):
    group = typer.main.get_command(app)
    context = typer.Context(group)
    inline = re.findall(r"`(softcloze [a-z][^`]*)`", without_code(page_text(page)))
    for line in "\n".join([*blocks(page, "sh"), *inline]).splitlines():
        command, *words = shlex.split(line, comments=True) or [""]
        if command == "softcloze" and words[0] != "COMMAND":
            inside, names = context, iter(words)
            while hasattr(inside.command, "get_command"):  # a group of commands
                name = next(names)
                subcommand = inside.command.get_command(inside, name)
                assert subcommand is not None, line
                inside = subcommand.make_context(name, [], parent=inside, resilient_parsing=True)
            options = {option for parameter in inside.command.params for option in parameter.opts}
            assert {word for word in words if word.startswith("--")} <= options | {"--help"}, line


@pytest.mark.parametrize("page", ["docs/how-to/trouble.md", "docs/how-to/trouble.zh-CN.md"])
def test_messages_that_are_explained_are_those_of_the_code(page):
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    (table,) = re.findall(r"^## [^\n]*\n\n((?:\| .*\n)*\| .*reads no field(?:.*\n)+?)\n", page_text(page), re.MULTILINE)
    messages = [text for row in table.splitlines()[2:] for text in re.findall("`([^`]+)`", row.split(" | ")[0])]
    assert len(messages) >= 12
    assert [text for text in messages if text not in source] == []


def test_the_picture_of_the_packages_is_drawn_from_their_imports():
    floors = run_path(str(ROOT / "docs" / "floors.py"))
    assert floors["PICTURE"].read_text(encoding="utf-8") == floors["svg"](), "run python docs/floors.py"


def test_the_architecture_names_the_only_arrows_up():
    forwards = run_path(str(ROOT / "tests" / "test_layers.py"))["FORWARDS"]
    page = page_text("docs/explanation/architecture.md")
    assert all(f"`{scope}`" in page for _, scope, _ in forwards)
    _, up = run_path(str(ROOT / "docs" / "floors.py"))["read_imports"]()
    assert up == {("automatic", "report"), ("experiments", "report"), ("search", "report")}


def test_the_architecture_names_files_that_exist():
    files = re.findall(r"`([a-z_/]+\.py)`", page_text("docs/explanation/architecture.md"))
    assert len(files) > 8
    assert [file for file in files if not (ROOT / file).exists() and not (ROOT / "src/softcloze" / file).exists()] == []


def test_the_architecture_names_every_package():
    order = run_path(str(ROOT / "tests" / "test_layers.py"))["ORDER"]
    assert {*order} <= words_in_code("docs/explanation/architecture.md")
