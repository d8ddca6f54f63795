"""A classifier with rules for several masks: fitted, saved, with demonstrations, calibrated."""

import json

import numpy as np
import pytest
from sklearn.base import clone
from support import models

from softcloze import PromptClassifier, RuleVerbalizer, Verbalizer
from softcloze.errors import ParameterError, VerbalizerError
from softcloze.prompt import CARD, Prompt
from softcloze.template import Template, domain_template
from softcloze.verbalizer import VERBALIZERS

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # models that know nothing

REVIEWS = "<soft*3> <text> It was <mask name=quality>, and I liked <soft> the <mask name=part>."
RULES = RuleVerbalizer(
    {
        "good": {"quality": ["good", "great"], "part": "cast"},
        "bad": {"quality": "bad", "part": "story"},
        "mixed": {"quality": "bad", "part": "cast and music"},
    }
)
RELATIONS = "<sentence> The <mask name=subject> <a> <mask name=relation> the <mask name=object> <b>"
FACTS = RuleVerbalizer(
    {
        "cast": {"subject": "film", "relation": "with", "object": "cast"},
        "story": {"subject": "film", "relation": "of", "object": "story"},
        "feeling": {"subject": "book", "relation": "of", "object": "feeling"},
    }
)
CHINESE = "<soft*2><text>总之，很<mask name=评价>，质量<mask name=质量>。"
OF_REVIEWS = RuleVerbalizer({1: {"评价": "满意", "质量": "不错"}, 0: {"评价": "失望", "质量": "太差"}})
TEXTS, LABELS = models.SENTENCES[:12], ["good", "bad", "mixed"] * 4


def classifier(model, template=REVIEWS, verbalizer=RULES, **parameters):
    backbone = models.backbone(model) if isinstance(model, str) else model
    return PromptClassifier(backbone, template, verbalizer, epochs=1, random_state=0).set_params(**parameters)


@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
def test_fit_predict_save_load(architecture, tmp_path):
    clf = classifier(architecture, epochs=3, training__target_loss=0).fit(TEXTS, LABELS)
    assert clf.classes_.tolist() == ["bad", "good", "mixed"]
    assert clf.history_[-1]["loss"] < clf.history_[0]["loss"]
    clf.save(tmp_path / "p")
    same = PromptClassifier.load(tmp_path / "p", model=models.backbone(architecture))
    assert same.prompt_.verbalizer == RULES
    np.testing.assert_array_equal(same.predict_proba(TEXTS), clf.predict_proba(TEXTS))
    assert clone(clf).get_params()["verbalizer"] == RULES


def test_bert_tiny(bert_tiny):
    clf = classifier(bert_tiny, epochs=2).fit(TEXTS, LABELS)
    np.testing.assert_allclose(clf.predict_proba(TEXTS).sum(1), 1, atol=1e-6)


def test_the_card_says_what_kind_of_verbalizer_it_is(tmp_path):
    words = Verbalizer({"a": {"好": 2, "不错": 1}, "b": "差"}, length_norm="token")
    for kind, verbalizer in (("rules", OF_REVIEWS), ("words", words)):
        hashes = dict.fromkeys(["model", "tokenizer", "chat_template"], "0" * 64)
        fingerprint = {"quantisation": "none", **hashes}
        Prompt(Template("<text><mask>"), verbalizer, "a/model", fingerprint).save(tmp_path / kind)
        card = json.loads((tmp_path / kind / CARD).read_text(encoding="utf-8"))
        assert card["verbalizer"]["kind"] == kind
        loaded = Prompt.load(tmp_path / kind).verbalizer
        assert (type(loaded), loaded) == (VERBALIZERS[kind], verbalizer)


@pytest.mark.parametrize("architecture", ["bert", "llama"])
def test_relations_without_training(architecture):
    clf = classifier(architecture, RELATIONS, FACTS)
    rows = [{"sentence": text, "a": "a story", "b": "people"} for text in models.SENTENCES[:3]]
    probabilities = clf.predict_proba(rows)
    assert probabilities.shape == (3, 3)
    others = clf.predict_proba([row | {"b": "music"} for row in rows])
    assert np.abs(probabilities - others).max() > 1e-3


def test_chinese():
    texts = models.SENTENCES[14:22]
    clf = classifier("roberta", CHINESE, OF_REVIEWS).fit(texts, [1, 0] * 4)
    assert clf.predict(texts).dtype.kind == "i"
    assert clf.prompt_.vectors["#1"].shape[0] == 2


def test_long_texts_are_cut_and_masks_are_not():
    clf = classifier("bert").fit(TEXTS, LABELS)
    long = [" ".join(models.SENTENCES)]
    assert np.isfinite(clf.predict_proba(long)).all()
    assert clf.fit([text * 20 for text in TEXTS], LABELS).truncation_.rows_cut == 12


@pytest.mark.parametrize("how", ["random", "nearest"])
def test_demonstrations_show_the_word_of_each_mask(how, tmp_path):
    template = '<demos sep="\n"><text> It was <mask name=quality>: <mask name=part>'
    clf = classifier("bert", template, demonstrations=how).fit(TEXTS[:6], LABELS[:6])
    (shown,) = clf.prompt_.demonstrations_for(["Dull."], clf.backbone_)
    words = [demonstration.word for demonstration in shown]
    assert {"quality": "bad", "part": "story"} in words and {"quality": "good", "part": "cast"} in words
    written = "\n".join(f"{s.values['text']} It was {s.word['quality']}: {s.word['part']}" for s in shown)
    by_hand = classifier("bert", "<context>\n<text> It was <mask name=quality>: <mask name=part>")
    expected = by_hand.predict_proba([{"context": written, "text": "Dull."}])
    np.testing.assert_allclose(clf.predict_proba(["Dull."]), expected, atol=1e-5)
    clf.save(tmp_path / "p")
    same = PromptClassifier.load(tmp_path / "p", model=models.backbone("bert"))
    np.testing.assert_array_equal(same.predict_proba(["Dull."]), clf.predict_proba(["Dull."]))


def test_options_are_the_labels():
    ours = classifier("bert", "<text> (<options>) <mask name=quality>: <mask name=part>")
    by_hand = classifier("bert", "<text> (bad, good, mixed) <mask name=quality>: <mask name=part>")
    np.testing.assert_allclose(ours.predict_proba(TEXTS), by_hand.predict_proba(TEXTS), atol=1e-6)


@pytest.mark.parametrize("method", ["contextual", "domain", "pmi", "batch", "prototypical", "temperature"])
def test_calibration(method):
    clf = (
        classifier("bert", calibration=method).fit(TEXTS * 2, LABELS * 2)
        if method == "temperature"
        else (
            classifier("bert", "<text> It was <mask name=quality>: <mask name=part>", calibration=method).fit(
                TEXTS, LABELS
            )
        )
    )
    np.testing.assert_allclose(clf.predict_proba(TEXTS).sum(1), 1, atol=1e-6)


def test_pmi_asks_the_words_around_and_between_the_masks():
    assert str(domain_template(Template(REVIEWS.replace(" <soft>", "")))) == (
        " It was <mask name=quality>, and I liked the <mask name=part>."
    )
    with pytest.raises(ParameterError, match="has other nodes between them"):
        domain_template(Template(RELATIONS))


def test_nothing_is_explained():
    with pytest.raises(ParameterError, match="rules are about words at several"):
        classifier("bert").fit(TEXTS, LABELS).explain("x")


def test_masks_and_verbalizer_have_to_fit():
    with pytest.raises(
        VerbalizerError, match="the template has masks named 'quality', 'part', and label words are for"
    ):
        classifier("bert", verbalizer={"good": "good", "bad": "bad"}).fit(TEXTS[:2], ["good", "bad"])
    with pytest.raises(VerbalizerError, match="the template's mask has no name"):
        classifier("bert", "<text> It was <mask>").predict(["x"])
    with pytest.raises(VerbalizerError, match="a mask 'part', which the template does not have: it has 'quality'"):
        classifier("bert", "<text> It was <mask name=quality>").predict(["x"])
