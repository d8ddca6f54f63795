"""A template that does not read its examples raises in everything that takes examples, before a model is loaded."""

import numpy as np
import pandas as pd
import pytest
from support.models import backbone

from softcloze import (
    MultiLabelPromptClassifier,
    Prompt,
    PromptClassifier,
    PromptEnsemble,
    PromptSet,
    Template,
    Verbalizer,
    predict_stream,
)
from softcloze.errors import TemplateSyntaxError
from softcloze.label_words import search_label_words

WORDS = {"a": "good", "b": "bad"}
TEXTS = ["好", "差"] * 2
LABELS = ["a", "b"] * 2
NO_MODEL = "/there/is/no/such/model"
EXAMPLES = {
    "strings": TEXTS,
    "array": np.array(TEXTS),
    "records": [{"text": text, "label": "a"} for text in TEXTS],
    "frame": pd.DataFrame({"text": TEXTS}),
    "series": pd.Series(TEXTS),
}
SOURCES = ["{text} It was <mask>.", "<soft*2> {text} It was <mask>.", "{% if False %}<text>{% endif %} It was <mask>."]


@pytest.mark.parametrize("kind", EXAMPLES)
@pytest.mark.parametrize("source", SOURCES)
def test_fit_and_predict(source, kind):
    """humanebench#96, UKGovernmentBEIS/inspect_ai#1336."""
    classifier = PromptClassifier(NO_MODEL, source, WORDS)
    calls = [lambda X: classifier.fit(X, LABELS), lambda X: classifier.fit_probabilities(X, np.full((4, 2), 0.5))]
    if "<soft" not in source:
        calls += [classifier.predict, classifier.predict_proba, classifier.decision_function]
        calls.append(lambda X: search_label_words(NO_MODEL, source, X, LABELS))
    several = MultiLabelPromptClassifier(NO_MODEL, source, WORDS)
    calls.append(lambda X: several.fit(X, [["a"], ["b"], [], ["a"]]))
    for call in calls:
        with pytest.raises(TemplateSyntaxError, match="the template reads no field"):
            call(EXAMPLES[kind])


def test_one_of_two_columns_is_left_as_text():
    frame = pd.DataFrame({"a": TEXTS, "b": TEXTS})
    classifier = PromptClassifier(NO_MODEL, "<a> {b} It was <mask>.", WORDS)
    for call in (classifier.predict, lambda X: classifier.fit(X, LABELS)):
        with pytest.raises(TemplateSyntaxError, match=r"'\{b\}' is text here, not a field: write <b>, or"):
            call(frame)


def test_streams_ensembles_and_sets():
    """Nothing that encodes examples takes such a prompt, even a saved one."""
    model, template = backbone("bert"), Template("{text} It was <mask>.")
    classifier = PromptClassifier(model, template, WORDS)
    prompt = Prompt(template, Verbalizer(WORDS), model.name, model.fingerprint)
    other = PromptClassifier(model, "<text> It was <mask>.", WORDS)
    calls = [
        lambda: list(predict_stream(classifier, iter(TEXTS))),
        lambda: PromptEnsemble([other, classifier]).predict(TEXTS),
        lambda: PromptSet([prompt], model).predict_proba(TEXTS),
        lambda: classifier.explain(TEXTS[0]),
        lambda: classifier.set_params(calibration="batch").calibrate(TEXTS),
    ]
    for call in calls:
        with pytest.raises(TemplateSyntaxError, match="the template reads no field"):
            call()


def test_calibration_by_the_words_around_the_mask_needs_no_field():
    classifier = PromptClassifier(backbone("bert"), "<text> It was <mask>.", WORDS, calibration="pmi")
    assert classifier.calibrate().predict(TEXTS).shape == (4,)


def test_text_that_looks_like_a_tag_is_a_warning():
    """Without a column of that name it may be meant: an example of JSON, or a set of words."""
    classifier = PromptClassifier(backbone("bert"), "<text> {b} It was <mask>.", WORDS)
    with pytest.warns(
        UserWarning, match=r"'\{b\}' looks like a tag, but is text: write <b>, or \\\{b\} to keep the text"
    ):
        classifier.predict(TEXTS)
    with pytest.warns(UserWarning, match=r"'\{b\}' looks like a tag"):
        classifier.fit(TEXTS, LABELS)
    kept = PromptClassifier(backbone("bert"), "<text> \\{b} It was <mask>.", WORDS)
    with pytest.warns(UserWarning, match="looks like a tag"):
        np.testing.assert_array_equal(kept.predict_proba(TEXTS), classifier.predict_proba(TEXTS))


@pytest.mark.parametrize(
    "source",
    [
        "{% set shown = false %}{% if shown %}<text>{% endif %} It was <mask>.",
        "{{ text if false else 'x' }} It was <mask>.",
        "{% if text is number %}{{ text }}{% endif %} It was <mask>.",
    ],
)
def test_jinja_that_never_writes_the_examples(source):
    classifier = PromptClassifier(NO_MODEL, source, WORDS)
    with pytest.raises(TemplateSyntaxError, match="all 4 examples get the same prompt, though they differ"):
        classifier.fit(TEXTS, LABELS)


def test_jinja_that_writes_words_for_its_fields():
    source = "{% if stars > 3 %}full of stars{% else %}few{% endif %}: <mask>."
    classifier = PromptClassifier(backbone("bert"), source, WORDS).fit([{"stars": 5}, {"stars": 1}], ["a", "b"])
    assert classifier.predict([{"stars": 4}, {"stars": 5}]).shape == (2,)
