"""Model cards: what they say, and that no name, label, word or template in them becomes markup."""

import re

import pytest
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt
from support import models

from softcloze import PromptClassifier, Verbalizer
from softcloze.prompt.model_card import model_card
from softcloze.prompt.saved import SavedCards
from softcloze.verbalizer import OrdinalVerbalizer, RuleVerbalizer

HOSTILE = [
    "---\nevil: yes",
    "<script>alert(1)</script>",
    "a | b",
    "[link](https://example.com)",
    "![image](x.png)",
    "https://example.com/x",
    "www.example.com",
    "`code` **bold** _it_ # h",
    "\\",
    "&lt;",
    "\u202eright to left",
    "$$x$$",
    "@alice",
    "好",
]


def card_of(folder, template, verbalizer, **options):
    PromptClassifier(models.backbone("bert"), template, verbalizer).save(folder)
    return model_card(SavedCards.read(folder), "hf://alice/reviews@v1", **{"metrics": {}, **options})


def tokens_of(text):
    """All tokens of Markdown as the hub reads it, with tables and bare links."""
    parsed = MarkdownIt("gfm-like", {"linkify": False, "html": True}).parse(text)
    return [token for block in parsed for token in [block, *(block.children or [])]]


def test_hostile_text_is_text(tmp_path):
    labels = {label: f"word{i}" for i, label in enumerate(HOSTILE)}
    template = "<text> ```\n---\nevil: <b>yes</b>\n```` <mask>".replace("<b>", "b").replace("</b>", "b")
    text = card_of(tmp_path / "prompt", template, labels, metrics=dict.fromkeys(HOSTILE, 0.5))
    card = ModelCard(text)
    assert card.data.to_dict() == {
        "base_model": ["bert"],
        "library_name": "softcloze",
        "pipeline_tag": "text-classification",
        "tags": ["softcloze", "softcloze-prompt"],
    }
    tokens = tokens_of(card.text)
    kinds = {token.type for token in tokens}
    assert not kinds & {"html_block", "html_inline", "link_open", "image", "strong_open", "em_open", "code_inline"}
    headings = [tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open"]
    assert headings == ["reviews", "Load it", "Template", "Labels and label words", "Training", "Metrics", "Limits"]
    fences = [token.content for token in tokens if token.type == "fence"]
    assert fences[1] == template + "\n"
    # every label is in one cell of the table of labels and one of the table of metrics, letter by letter
    texts = ["".join(child.content for child in token.children) for token in tokens if token.type == "inline"]
    for label in HOSTILE:
        shown = label.replace("\n", "↵").replace("\u202e", "⟨U+202E⟩")
        assert texts.count(shown) == 2, label
    # bare addresses, which the hub would turn into links
    assert not re.search(r"https?://|www\.", card.text)


def test_a_card_says_how_to_load_and_what_it_is(tmp_path):
    text = card_of(
        tmp_path / "prompt",
        "<title>: <text> It was <mask>.",
        Verbalizer({"b": {"good": 2.0, "great": 1.0}, "a": "bad"}),
        language=["en", "zh"],
        license="apache-2.0",
    )
    card = ModelCard(text)
    assert card.data.license == "apache-2.0" and card.data.language == ["en", "zh"]
    (code,) = re.findall(r"```python\n(.*?)```", card.text, re.DOTALL)
    assert code.splitlines() == [
        "from softcloze import PromptClassifier",
        'prompt = PromptClassifier.load("hf://alice/reviews@v1")',
        "prompt.predict([{'title': '...', 'text': '...'}])",
    ]
    assert "| b | good (weight 2\\), great (weight 1\\) |" in card.text
    assert "Nothing was trained." in card.text and "None are given." in card.text


@pytest.mark.parametrize(
    ("template", "verbalizer", "row"),
    [
        ("<text> It was <mask>.", OrdinalVerbalizer([1, 2, 3], "bad", "good"), "| 2 |  |"),
        (
            "<text> It was <mask name=a>, so <mask name=b>.",
            RuleVerbalizer({"x": {"a": "good", "b": "great"}, "y": {"a": "bad", "b": "dull"}}),
            "| x | a: good; b: great |",
        ),
    ],
)
def test_other_verbalizers(tmp_path, template, verbalizer, row):
    assert row in card_of(tmp_path / "prompt", template, verbalizer).splitlines()


def test_a_model_of_a_folder_is_asked_for(tmp_path):
    models.model("bert").save_pretrained(tmp_path / "model")
    models.tokenizer("wordpiece").save_pretrained(tmp_path / "model")
    PromptClassifier(str(tmp_path / "model"), "<text> It was <mask>.", {"a": "good", "b": "bad"}).save(tmp_path / "p")
    text = model_card(SavedCards.read(tmp_path / "p"), "hf://alice/reviews", metrics={})
    assert 'load("hf://alice/reviews", model="NAME OR FOLDER OF THE MODEL")' in text
    assert ModelCard(text).data.base_model is None
