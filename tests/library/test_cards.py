"""Cards: their content, and the errors for malformed cards and unknown names."""

import pytest

from softcloze.errors import LibraryError, SoftclozeError
from softcloze.library import load_template, load_verbalizer
from softcloze.library.cards import read_template_card, read_verbalizer_card
from softcloze.verbalizer import Verbalizer


def test_each_load_is_a_fresh_card():
    load_verbalizer("sentiment/en").words["positive"].append("changed")
    assert load_verbalizer("sentiment/en").words == {"positive": ["positive"], "negative": ["negative"]}


def test_unknown_names():
    assert issubclass(LibraryError, SoftclozeError) and issubclass(LibraryError, LookupError)
    with pytest.raises(LibraryError) as caught:
        load_verbalizer("sentiment/ne")
    assert str(caught.value) == (
        "no 'sentiment/ne' among the library's verbalizers: sentiment/en, sentiment/en-cloze, sentiment/en-knowledge, "
        "sentiment/zh, sentiment/zh-knowledge, sentiment/zh-recommend; did you mean 'sentiment/en'?"
    )
    with pytest.raises(LibraryError) as caught:
        load_template("sentimnet/zh-soft")
    assert str(caught.value) == (
        "no 'sentimnet/zh-soft' among the library's templates: boolq/…, emotion/…, formality/…, intent/…, nli/…, "
        "paraphrase/…, question-type/…, sentiment/…, spam/…, stance/…, subjectivity/…, topic/…; "
        "did you mean 'sentiment/zh-soft'?"
    )


@pytest.mark.parametrize(
    "name",
    ["../cards", "../verbalizers/sentiment/en", "sentiment/../sentiment/en", "/etc/hosts", "sentiment/en.toml", "", ".",
     "sentiment", "sentiment\\en", "sentiment//en", "sentiment/en\0", None, 3],
)  # fmt: skip
def test_no_name_leads_out_of_the_library(name):
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
    (
        {"template": '"<text> <answer>"'},
        "a card has label words, and its template has <answer>; keep it in a text file",
    ),
]


def test_good_cards(tmp_path):
    assert read_template_card("a", written(tmp_path / "a.toml", TEMPLATE_CARD)).name == "a"
    assert read_verbalizer_card("b", written(tmp_path / "b.toml", VERBALIZER_CARD)).words == {"good": ["good", "fine"]}


def test_a_card_may_name_an_aggregation(tmp_path):
    usual = read_verbalizer_card("a", written(tmp_path / "a.toml", VERBALIZER_CARD))
    assert Verbalizer({"good": "x", "bad": "y"}) == Verbalizer(
        {"good": "x", "bad": "y"}, usual.aggregation, usual.length_norm
    )
    weighted = {
        "aggregation": '"log_sum_prob"',
        "length_norm": '"token"',
        "words": '{good = {great = 2, "不错" = 0.5}}',
    }
    card = read_verbalizer_card("b", written(tmp_path / "b.toml", VERBALIZER_CARD | weighted))
    assert (card.words, card.aggregation, card.length_norm) == (
        {"good": {"great": 2, "不错": 0.5}},
        "log_sum_prob",
        "token",
    )


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
    ({"words": "{good = {}}"}, "'words.good' must be a list of words, or give each word a number, found {}"),
    (
        {"words": "{good = {great = true}}"},
        "'words.good' must be a list of words, or give each word a number, found {'great': True}",
    ),
    ({"words": '{good = {"" = 1}}'}, "'words.good' must be a list of words, or give each word a number, found {'': 1}"),
    ({"length_norm": "1"}, "'length_norm' must be text, found 1"),
    ({"agregation": '"log_sum_prob"'}, "unknown key 'agregation'; did you mean 'aggregation'?"),
]


@pytest.mark.parametrize(("change", "problem"), BAD_VERBALIZERS)
def test_bad_verbalizer_cards(tmp_path, change, problem):
    file = written(tmp_path / "bad.toml", VERBALIZER_CARD | change)
    with pytest.raises(LibraryError) as caught:
        read_verbalizer_card("bad", file)
    assert str(caught.value) == f"{file}: {problem}"


@pytest.mark.parametrize("content", [b"task = ", b"task = '\xff'", b"task = " + b"[" * 5000])
def test_files_other_than_toml(tmp_path, content):
    file = tmp_path / "bad.toml"
    file.write_bytes(content)
    with pytest.raises(LibraryError, match=r"bad\.toml: not a TOML file: "):
        read_template_card("bad", file)


KINDS = [
    ("<text> It was <mask>", "hard"),
    ("<text> <options> <mask>", "hard"),
    ("<soft*2><text><mask>", "soft"),
    ("<soft*2> It <text><mask>", "soft"),
    ("<soft*2> It was <text><mask>", "mixed"),
    ("<soft*3>很好<text><mask>", "soft"),
    ("<soft*3>这很好<text><mask>", "mixed"),
    ("<soft*3>，。！<text>？<mask>", "soft"),
    ('<soft init="It is about"> <text> A b: <mask>', "soft"),
    ('<soft init="这很好"><text>这很好<mask>', "mixed"),
    ("<soft*2 name=a> It was <text> <soft name=a> <mask>", "soft"),
    ("<demos*4><text> It was <mask>", "in-context"),
    ("<demos><soft*4><text><mask>", "in-context"),
]


@pytest.mark.parametrize(("template", "kind"), KINDS)
def test_kinds(tmp_path, template, kind):
    file = written(tmp_path / "a.toml", TEMPLATE_CARD | {"template": f"'{template}'"})
    assert read_template_card("a", file).kind == kind
