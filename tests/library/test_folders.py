"""User libraries: search order, precedence and errors."""

import os
from pathlib import Path

import pytest

from softcloze.cli.options import read_verbalizer
from softcloze.errors import LibraryError
from softcloze.library import (
    list_templates,
    list_verbalizers,
    load_template,
    load_verbalizer,
    resolve_template,
    resolve_verbalizer,
)
from softcloze.template import Template
from softcloze.verbalizer import Verbalizer

CARD = """\
template = "{template}"
task = "sentiment"
language = "zh"
fields = ["text"]
verbalizer = "{verbalizer}"
source = "我们"
description = "Our own."
"""
WORDS = """\
task = "sentiment"
language = "zh"
source = "我们"
description = "Our own."
words = {positive = ["好"], negative = ["差"]}
"""


@pytest.fixture(autouse=True)
def _no_library(monkeypatch):
    monkeypatch.delenv("SOFTCLOZE_LIBRARY", raising=False)


def write(library, name, content):
    file = library / f"{name}.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content, encoding="utf-8")
    return file


def write_template(library, name, template="<text>，真<mask>", verbalizer="sentiment/zh"):
    return write(library / "templates", name, CARD.format(template=template, verbalizer=verbalizer))


def test_user_cards_are_listed_with_shipped_ones(tmp_path):
    file = write_template(tmp_path, "shop/tea", verbalizer="shop/words")
    words = write(tmp_path / "verbalizers", "shop/words", WORDS)
    assert set(list_templates(tmp_path)) - set(list_templates()) == {"shop/tea"}
    assert set(list_verbalizers(str(tmp_path))) - set(list_verbalizers()) == {"shop/words"}
    card = load_template("shop/tea", tmp_path)
    assert (card.name, card.verbalizer, card.file, card.replaces) == ("shop/tea", "shop/words", file, False)
    table = load_verbalizer("shop/words", tmp_path)
    assert (table.words, table.file, table.replaces) == ({"positive": ["好"], "negative": ["差"]}, words, False)
    assert resolve_template("shop/tea", tmp_path) == Template("<text>，真<mask>")
    with pytest.raises(LibraryError, match=r"^no 'shop/tea' among the library's templates: "):
        load_template("shop/tea")


def test_user_words_may_have_weights_and_an_aggregation(tmp_path, monkeypatch):
    words = 'aggregation = "log_sum_prob"\nwords = {positive = {"好" = 2, "不错" = 0.5}, negative = ["差"]}\n'
    file = write(tmp_path / "verbalizers", "shop/words", "\n".join([*WORDS.splitlines()[:-1], words]))
    monkeypatch.setenv("SOFTCLOZE_LIBRARY", str(tmp_path))
    expected = Verbalizer({"positive": {"好": 2, "不错": 0.5}, "negative": "差"}, "log_sum_prob")
    assert resolve_verbalizer("shop/words") == expected
    assert read_verbalizer(str(file)) == expected  # the command line also accepts the file itself


def test_user_cards_take_precedence(tmp_path):
    file = write_template(tmp_path, "sentiment/zh")
    card = load_template("sentiment/zh", tmp_path)
    assert (card.template, card.file, card.replaces) == (Template("<text>，真<mask>"), file, True)
    assert load_template("sentiment/zh").template != card.template
    assert list_templates(tmp_path) == list_templates()


def test_the_environment_names_folders_and_the_first_wins(tmp_path, monkeypatch):
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    for library in (first, second, third):
        write_template(library, "shop/tea", template=f"<text> {library.name} <mask>")
    write_template(third, "shop/coffee")
    monkeypatch.setenv("SOFTCLOZE_LIBRARY", os.pathsep.join(["", str(second), str(third), ""]))
    assert load_template("shop/tea").template == Template("<text> second <mask>")
    assert load_template("shop/coffee").file == third / "templates" / "shop" / "coffee.toml"
    assert load_template("shop/tea", first).template == Template("<text> first <mask>")
    assert resolve_template("shop/tea") == Template("<text> second <mask>")


def test_a_home_folder_is_expanded(tmp_path, monkeypatch):
    write_template(tmp_path / "mine", "tea")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_template("tea", "~/mine").name == "tea"


def test_other_files_are_ignored(tmp_path):
    write_template(tmp_path, "tea")
    write_template(tmp_path, "shop/deep/er")
    (tmp_path / "templates" / "folder.toml").mkdir()
    (tmp_path / "templates" / "notes.txt").write_text("tea")
    (tmp_path / "templates" / "shop" / "again").symlink_to(tmp_path / "templates", target_is_directory=True)
    assert set(list_templates(tmp_path)) - set(list_templates()) == {"tea"}


def test_a_broken_card_names_its_file(tmp_path):
    file = write_template(tmp_path, "shop/tea", template="<text> <maks>")
    with pytest.raises(LibraryError) as caught:
        load_template("shop/tea", tmp_path)
    assert str(caught.value).startswith(f"{file}: the template does not parse: the template has no <mask>")
    with pytest.raises(LibraryError, match="the template does not parse"):
        resolve_template("shop/tea", tmp_path)


def test_a_verbalizer_that_does_not_exist(tmp_path):
    file = write_template(tmp_path, "shop/tea", verbalizer="spam/zhh")
    with pytest.raises(LibraryError) as caught:
        load_template("shop/tea", tmp_path)
    assert str(caught.value) == (
        f"{file}: no 'spam/zhh' among the library's verbalizers: spam/en, spam/zh; did you mean 'spam/zh'?"
    )


def test_folders_other_than_libraries(tmp_path, monkeypatch):
    nowhere = tmp_path / "nowhere"
    with pytest.raises(LibraryError) as caught:
        list_templates(nowhere)
    assert str(caught.value) == f"{nowhere} is not a folder"
    with pytest.raises(LibraryError) as caught:
        load_verbalizer("spam/en", tmp_path)
    assert str(caught.value) == f"{tmp_path} is not a library: it has neither a folder 'templates' nor 'verbalizers'"
    monkeypatch.setenv("SOFTCLOZE_LIBRARY", str(nowhere))
    with pytest.raises(LibraryError) as caught:
        load_template("spam/en")
    assert str(caught.value) == f"{nowhere}, named by SOFTCLOZE_LIBRARY, is not a folder"


def test_unreadable_files(tmp_path, monkeypatch):
    file = write_template(tmp_path, "shop/tea")

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(LibraryError) as caught:
        load_template("shop/tea", tmp_path)
    assert str(caught.value) == f"cannot read {file}: Permission denied"
    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(LibraryError, match=r"^cannot read .*templates: Permission denied$"):
        list_templates(tmp_path)
