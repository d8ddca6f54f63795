import pytest

from softcloze import Template
from softcloze.errors import ParameterError
from softcloze.library import load_template
from softcloze.search import library_prompts
from softcloze.template import with_slots


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_template_of_the_library_with_its_label_words(language):
    grids = library_prompts("sentiment", language, epochs=[1, 2])
    names = [name for grid in grids for name in grid["template"]]
    assert len(names) >= 6 and f"sentiment/{language}" in names
    for grid in grids:
        (name,), (words,) = grid["template"], grid["verbalizer"]
        assert words == load_template(name).verbalizer and load_template(name).language == language
        assert grid["epochs"] == [1, 2]


def test_templates_that_ask_for_other_fields_are_left_out():
    names = {grid["template"][0] for grid in library_prompts("topic", "zh")}
    assert names - {grid["template"][0] for grid in library_prompts("topic", "zh", fields=["text"])} == {
        "topic/zh-title"
    }


def test_templates_with_chat_turns_are_asked_for():
    plain, chats = library_prompts("sentiment", "en"), library_prompts("sentiment", "en", chat=True)
    added = {grid["template"][0] for grid in chats} - {grid["template"][0] for grid in plain}
    assert added == {"sentiment/en-chat", "sentiment/en-chat-soft"}


def test_templates_of_ones_own(tmp_path, monkeypatch):
    card = load_template("spam/zh")
    (tmp_path / "templates" / "spam").mkdir(parents=True)
    (tmp_path / "templates" / "spam" / "mine.toml").write_text(
        'task = "spam"\nlanguage = "zh"\nsource = "own"\ndescription = "own"\nfields = ["text"]\n'
        f'verbalizer = "{card.verbalizer}"\ntemplate = "<text>是<mask>"\n',
        encoding="utf-8",
    )
    monkeypatch.setenv("SOFTCLOZE_LIBRARY", str(tmp_path))
    assert {"template": ["spam/mine"], "verbalizer": ["spam/zh"]} in library_prompts("spam", "zh")


@pytest.mark.parametrize(
    ("task", "language", "fields", "message"),
    [
        ("sentimnt", "en", None, "no templates for 'sentimnt', only for .*did you mean 'sentiment'"),
        ("spam", "fr", None, "templates for 'spam' are in en, zh, none is in 'fr'"),
        ("nli", "zh", ["text"], r"need the fields premise, hypothesis; found fields=\['text'\]"),
    ],
)
def test_what_the_library_does_not_have(task, language, fields, message):
    with pytest.raises(ParameterError, match=message):
        library_prompts(task, language, fields=fields)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": None}, "task=None, but it has to be text"),
        ({"language": 3}, "language=3, but it has to be text"),
        ({"fields": "text"}, "fields='text', but it has to be None or a collection of names"),
        ({"fields": [3]}, r"fields=\[3\], but it has to be None or a collection of names"),
        ({"epochs": 3}, "epochs=3, but it has to be a list of values to try, or a distribution"),
        ({"head": "words"}, "head='words', but it has to be a list of values to try"),
        ({"template": ["<text> <mask>"]}, "template=.*, but the templates of the library"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ParameterError, match=message):
        library_prompts(**{"task": "sentiment", "language": "en", **arguments})


@pytest.mark.parametrize(
    ("front", "after", "expected"),
    [
        (0, 0, "<text> 总之，很 <mask>"),
        (3, 0, "<soft*3> <text> 总之，很 <mask>"),
        (0, 2, "<text> <soft*2> 总之，很 <mask>"),
        (3, 2, "<soft*3> <text> <soft*2> 总之，很 <mask>"),
    ],
)
def test_slots_in_either_place(front, after, expected):
    for template in (
        load_template("sentiment/zh").template,
        "<text> 总之，很 <mask>",
        Template("<text> 总之，很 <mask>"),
    ):
        assert str(with_slots(template, front=front, after=after)) == expected


def test_slots_that_cannot_be():
    with pytest.raises(ParameterError, match="front=-1, after=0: expected 0 or more vectors"):
        with_slots("<text> <mask>", front=-1)
    with pytest.raises(ParameterError, match="has no field tag such as <text>"):
        with_slots("{{ text }} <mask>", after=2)
    assert str(with_slots("{{ text }} <mask>", front=2)) == "<soft*2> {{ text }} <mask>"
