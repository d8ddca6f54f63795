"""A template with an answer raises before a model is loaded, wherever label words are scored."""

import pytest
from support import models

from softcloze import (
    AutoPromptClassifier,
    MultiLabelPromptClassifier,
    MultiTaskPrompt,
    PromptClassifier,
    PromptEnsemble,
    search_label_words,
)
from softcloze.errors import TemplateSyntaxError
from softcloze.label_words import refine_words
from softcloze.lint import check_verbalizer
from softcloze.prompt import BoundPrompt, Prompt
from softcloze.template import Template
from softcloze.verbalizer import Verbalizer

TEMPLATE = "<soft*2 name=shared><text>\nA: <answer>\n###"
WORDS = {"a": "good", "b": "bad"}
TEXTS, LABELS = ["v", "w", "x", "y"], ["a", "b", "a", "b"]
NOWHERE = "no/such-model"


def classifier(**options):
    return PromptClassifier(NOWHERE, TEMPLATE, WORDS, **options)


CALLS = {
    "fit": lambda: classifier().fit(TEXTS, LABELS),
    "partial_fit": lambda: classifier().partial_fit(TEXTS, LABELS),
    "predict": lambda: classifier().predict(TEXTS),
    "score": lambda: classifier().score(TEXTS, LABELS),
    "calibrate": lambda: classifier(calibration="batch").calibrate(TEXTS),
    "automatic": lambda: AutoPromptClassifier(NOWHERE, templates=[TEMPLATE]).fit(TEXTS, LABELS),
    "several labels": lambda: MultiLabelPromptClassifier(NOWHERE, TEMPLATE, WORDS).fit(TEXTS, [["a"], ["b"]] * 2),
    "several tasks": lambda: MultiTaskPrompt(dict.fromkeys("ab", classifier()), shared="shared").fit(
        dict.fromkeys("ab", (TEXTS, LABELS))
    ),
    "ensemble": lambda: PromptEnsemble([classifier(), classifier()]).fit(TEXTS, LABELS),
    "label words": lambda: search_label_words(NOWHERE, TEMPLATE, TEXTS, LABELS),
    "refined words": lambda: refine_words(NOWHERE, TEMPLATE, WORDS, TEXTS),
    "checked words": lambda: check_verbalizer(WORDS, models.borrowed("gpt2"), TEMPLATE),
}


@pytest.mark.parametrize("name", CALLS)
def test_label_words_need_a_mask(name):
    with pytest.raises(TemplateSyntaxError, match="<answer> is free text, which PromptGenerator writes") as caught:
        CALLS[name]()
    assert caught.value.source[caught.value.start : caught.value.end] == "<answer>"


def test_a_prompt_with_label_words_needs_a_mask():
    backbone = models.backbone("gpt2")
    prompt = Prompt(Template("<text> <answer>"), Verbalizer(WORDS), backbone.name, backbone.fingerprint)
    with pytest.raises(TemplateSyntaxError, match="PromptGenerator"):
        BoundPrompt(prompt, backbone)
