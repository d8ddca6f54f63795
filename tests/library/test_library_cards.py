"""Every card of the library loads and fits its partners; broken cards and unknown names say what is wrong."""

import pytest

from softcloze.errors import SoftclozeError
from softcloze.library import LibraryError, list_templates, list_verbalizers, load_template, load_verbalizer
from softcloze.library.cards import read_template_card, read_verbalizer_card
from softcloze.template import Template

TEMPLATES = {
    "sentiment/en": "Review: <text>\nSentiment: <mask>",
    "sentiment/en-soft": "<soft*10> Review: <text>\nSentiment: <mask>",
    "sentiment/en-after": "Review: <text> <soft*10>\nSentiment: <mask>",
    "sentiment/zh": "<text> 总之，很 <mask>",
    "sentiment/zh-soft": "<soft*10> <text> 总之，很 <mask>",
}
VERBALIZERS = {
    "sentiment/en": {"positive": ["positive"], "negative": ["negative"]},
    "sentiment/zh": {"positive": ["满意"], "negative": ["失望"]},
}


def test_contents():
    assert list_templates() == sorted(TEMPLATES)
    assert list_verbalizers() == sorted(VERBALIZERS)


@pytest.mark.parametrize("name", list_templates())
def test_templates(name):
    card = load_template(name)
    assert card.template == Template(TEMPLATES[name])
    assert card.name == name
    assert card.fields == card.template.fields == ("text",)
    assert name.split("/")[0] == card.task
    partner = load_verbalizer(card.verbalizer)
    assert (partner.task, partner.language) == (card.task, card.language)
    assert card.source and card.description


@pytest.mark.parametrize("name", list_verbalizers())
def test_verbalizers(name):
    card = load_verbalizer(name)
    assert card.words == VERBALIZERS[name]
    assert card.name == name
    assert name.split("/") == [card.task, card.language]
    assert card.source and card.description


def test_each_load_is_a_fresh_card():
    load_verbalizer("sentiment/en").words["positive"].append("changed")
    assert load_verbalizer("sentiment/en").words == VERBALIZERS["sentiment/en"]


def test_unknown_names():
    assert issubclass(LibraryError, SoftclozeError) and issubclass(LibraryError, LookupError)
    with pytest.raises(LibraryError) as caught:
        load_template("sentimnet/zh-soft")
    assert str(caught.value) == (
        "no 'sentimnet/zh-soft' among the library's templates: sentiment/en, sentiment/en-after, "
        "sentiment/en-soft, sentiment/zh, sentiment/zh-soft; did you mean 'sentiment/zh-soft'?"
    )
    with pytest.raises(LibraryError, match=r"^no 'x' among the library's verbalizers: sentiment/en, sentiment/zh$"):
        load_verbalizer("x")


@pytest.mark.parametrize(
    "name",
    ["../cards", "../verbalizers/sentiment/en", "sentiment/../sentiment/en", "/etc/hosts", "sentiment/en.toml", "", ".",
     "sentiment", "sentiment\\en", "sentiment//en", "sentiment/en\0", None, 3],
)  # fmt: skip
def test_no_name_leads_elsewhere(name):
    with pytest.raises(LibraryError, match="among the library's templates"):
        load_template(name)


TEMPLATE_CARD = {
    "template": '"<text> <mask>"',
    "task": '"sentiment"',
    "language": '"en"',
    "fields": '["text"]',
    "verbalizer": '"sentiment/en"',
    "source": '"softcloze"',
    "description": '"A card."',
}
VERBALIZER_CARD = {
    "task": '"sentiment"',
    "language": '"en"',
    "source": '"softcloze"',
    "description": '"A card."',
    "words": '{good = ["good", "fine"]}',
}


def written(path, card):
    path.write_text("".join(f"{key} = {value}\n" for key, value in card.items() if value is not None), encoding="utf-8")
    return path


BAD_TEMPLATES = [
    ({"task": None}, "missing 'task'"),
    ({"task": None, "source": None}, "missing 'source', 'task'"),
    ({"langauge": '"en"', "language": None}, "unknown key 'langauge'; did you mean 'language'?"),
    ({"author": '"me"'}, "unknown key 'author'"),
    ({"template": "3"}, "'template' must be text, found 3"),
    ({"description": '""'}, "'description' must be text, found ''"),
    ({"fields": '"text"'}, "'fields' must be a list of texts, found 'text'"),
    ({"fields": '["title"]'}, "the card lists the fields ('title',), but its template has ('text',)"),
    (
        {"template": '"<text>"'},
        "the template does not parse: the template has no <mask>, expected exactly one\n"
        "  at line 1, column 7:\n    <text>\n          ^",
    ),
]


def test_good_cards(tmp_path):
    assert read_template_card("a", written(tmp_path / "a.toml", TEMPLATE_CARD)).name == "a"
    assert read_verbalizer_card("b", written(tmp_path / "b.toml", VERBALIZER_CARD)).words == {"good": ["good", "fine"]}


@pytest.mark.parametrize(("change", "problem"), BAD_TEMPLATES)
def test_bad_template_cards(tmp_path, change, problem):
    file = written(tmp_path / "bad.toml", TEMPLATE_CARD | change)
    with pytest.raises(LibraryError) as caught:
        read_template_card("bad", file)
    assert str(caught.value) == f"{file}: {problem}"


BAD_VERBALIZERS = [
    ({"words": None}, "missing 'words'"),
    ({"word": '"x"'}, "unknown key 'word'"),
    ({"words": "{}"}, "'words' must be a table from label to words, found {}"),
    ({"words": '["good"]'}, "'words' must be a table from label to words, found ['good']"),
    ({"words": "{good = []}"}, "'words.good' must be a list of texts, found []"),
    ({"words": '{good = "good"}'}, "'words.good' must be a list of texts, found 'good'"),
    ({"words": '{good = [""]}'}, "'words.good' must be a list of texts, found ['']"),
]


@pytest.mark.parametrize(("change", "problem"), BAD_VERBALIZERS)
def test_bad_verbalizer_cards(tmp_path, change, problem):
    file = written(tmp_path / "bad.toml", VERBALIZER_CARD | change)
    with pytest.raises(LibraryError) as caught:
        read_verbalizer_card("bad", file)
    assert str(caught.value) == f"{file}: {problem}"


@pytest.mark.parametrize("content", [b"task = ", b"task = '\xff'"])
def test_files_that_are_no_toml(tmp_path, content):
    file = tmp_path / "bad.toml"
    file.write_bytes(content)
    with pytest.raises(LibraryError, match=r"bad\.toml: not a TOML file: "):
        read_template_card("bad", file)
