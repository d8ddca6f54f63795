"""Calibration as a parameter of the classifier: against the uncalibrated scores, corrected by hand."""

import warnings
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from support import models

from softcloze import PromptClassifier, Template
from softcloze.calibration import CALIBRATIONS, fit_labels_bias, fit_mixture, fit_temperature
from softcloze.errors import DataError, OneSidedWarning, ParameterError
from softcloze.prompt import BoundPrompt
from softcloze.starters import load_data
from softcloze.template import domain_template

HARD = "Review: <text>\nIt was <mask>"
SOFT = "<soft*3> Review: <text>\nIt was <mask>"
WORDS = {"bad": ["bad", "terrible"], "good": "good", "great": "great"}
TEXTS = models.SENTENCES[:12]
LABELS = ["good", "bad", "great"] * 4
NEW = ["A dull film.", "这部电影很好。", "", "Wonderful!"]


@pytest.fixture(scope="module")
def backbone():
    return models.backbone("llama")


def classifier(backbone, template=HARD, **parameters):
    return PromptClassifier(backbone, template, WORDS, epochs=1, random_state=3).set_params(**parameters)


def softmax(scores):
    odds = np.exp(scores - scores.max(1, keepdims=True))
    return odds / odds.sum(1, keepdims=True)


def shifted(scores, reference):
    """Probabilities over the mean probability of `reference`, normalised anew: W = diag(p)^-1 of Zhao et al."""
    weighted = softmax(scores) / softmax(reference).mean(0)
    return weighted / weighted.sum(1, keepdims=True)


def test_contextual(backbone):
    plain = classifier(backbone)
    expected = shifted(plain.decision_function(NEW), plain.decision_function(["N/A", "[MASK]", ""]))
    found = classifier(backbone, calibration="contextual").calibrate()
    np.testing.assert_allclose(found.predict_proba(NEW), expected, atol=1e-6)
    np.testing.assert_allclose(found.fit(TEXTS, LABELS).predict_proba(NEW), expected, atol=1e-6)


def test_pmi(backbone):
    alone = PromptClassifier(backbone, "\nIt was <mask>", WORDS).decision_function([{}])
    expected = shifted(classifier(backbone).decision_function(NEW), alone)
    np.testing.assert_allclose(
        classifier(backbone, calibration="pmi").calibrate().predict_proba(NEW), expected, atol=1e-6
    )


def test_batch(backbone):
    plain = classifier(backbone)
    of_new, of_texts = plain.decision_function(NEW), plain.decision_function(TEXTS)
    found = classifier(backbone, calibration="batch").calibrate(NEW)
    np.testing.assert_allclose(found.predict_proba(NEW), shifted(of_new, of_new), atol=1e-6)
    np.testing.assert_allclose(found.fit(TEXTS, LABELS).predict_proba(NEW), shifted(of_new, of_texts), atol=1e-6)


def test_predict_before_the_calibration_is_learnt_raises(backbone):
    clf = classifier(backbone, calibration="batch")
    with pytest.raises(NotFittedError, match="call calibrate with examples, or fit with labelled ones, first"):
        clf.predict(NEW)
    clf.calibrate(NEW)
    assert np.array_equal(clf.predict(NEW)[:1], clf.predict(NEW[:1]))
    np.testing.assert_allclose(clf.predict_proba(NEW)[:1], clf.predict_proba(NEW[:1]), atol=1e-6)


def test_calibrating_again_follows_parameters_that_changed(backbone):
    clf = classifier(backbone, calibration="batch").calibrate(NEW)
    clf.set_params(template="<text> In all, <mask>").calibrate(NEW)
    fresh = classifier(backbone, "<text> In all, <mask>", calibration="batch").calibrate(NEW)
    assert np.array_equal(clf.predict_proba(NEW), fresh.predict_proba(NEW))


def test_a_fitted_prompt_is_calibrated_anew(backbone):
    clf = classifier(backbone, SOFT, calibration="batch").fit(TEXTS, LABELS)
    vectors = clf.prompt_.vectors
    clf.calibrate(NEW)
    assert clf.prompt_.vectors is vectors and clf.history_ == clf.prompt_.training["history"]
    of_new = BoundPrompt(replace(clf.prompt_, calibration=None), backbone).scores(NEW)
    np.testing.assert_allclose(clf.predict_proba(NEW), shifted(of_new, of_new), atol=1e-6)


@pytest.mark.parametrize("words_agree", [True, False])
def test_training_begins_without_the_bias_of_words_that_agree_with_the_labels(backbone, words_agree):
    still = {"learning_rate": 1e-9, "batch_size": len(TEXTS), "class_weight": None}
    start = classifier(backbone, SOFT, **still).fit(TEXTS, LABELS).decision_function(TEXTS)
    given = shifted(start, start).argmax(1) if words_agree else shifted(start, start).argmin(1)
    unbiased = softmax(fit_labels_bias(start, given).apply(start))
    clf = classifier(backbone, SOFT, calibration="labels", **still).fit(TEXTS, [sorted(WORDS)[i] for i in given])
    seen = unbiased if words_agree else softmax(start)
    assert clf.history_[0]["loss"] == pytest.approx(-np.log(seen[range(len(given)), given]).mean(), abs=2e-3)
    np.testing.assert_allclose(clf.predict_proba(TEXTS), unbiased, atol=2e-3)


def test_auto_is_labels_where_words_agree_with_the_labels_and_are_worse_than_equal_probabilities(bert_tiny):
    texts = [text for text in load_data("movie-reviews").train.texts if len(text) < 120][:24]
    words = {"a": "good", "b": "great", "c": "zebra"}  # which is hardly ever written
    soft = PromptClassifier(bert_tiny, "<text> It was <mask>. <soft*2>", words, epochs=1, random_state=0)
    fit = partial(clone(soft).set_params(learning_rate=1e-9, calibration=None).fit, texts)
    start = softmax(fit(["a", "b", "c"] * 8).decision_function(texts))
    unbiased = start / start.mean(0)
    for method, given in (("labels", unbiased.argmax(1)), (None, unbiased.argmin(1)), (None, start.argmax(1))):
        labels = ["abc"[i] for i in given]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OneSidedWarning)
            found = clone(soft).fit(texts, labels)
            wanted = clone(soft).set_params(calibration=method).fit(texts, labels)
        assert (found.prompt_.calibration is None) == (method is None)
        np.testing.assert_array_equal(found.predict_proba(texts), wanted.predict_proba(texts))


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({}, ParameterError, "calibration='auto' learns nothing here; choose one"),
        ({"calibration": "temperature"}, ParameterError, "learnt from labelled examples; call fit"),
        ({"calibration": "labels"}, ParameterError, "learnt from labelled examples; call fit"),
        ({"calibration": "batch"}, DataError, "calibration='batch' is learnt from examples, found none"),
        ({"calibration": "pmi", "template": SOFT}, NotFittedError, "soft slots .* are not trained yet; call fit first"),
    ],
)
def test_calibrate_without_what_it_needs_raises(backbone, parameters, error, message):
    with pytest.raises(error, match=message):
        classifier(backbone, **parameters).calibrate()


def test_domain_words_come_from_the_examples_and_the_seed(backbone):
    plain, found = classifier(backbone), classifier(backbone, calibration="domain").fit(TEXTS, LABELS)
    assert not np.allclose(found.predict_proba(NEW), plain.predict_proba(NEW), atol=1e-3)
    again = classifier(backbone, calibration="domain").fit(TEXTS, LABELS)
    assert np.array_equal(found.predict_proba(NEW), again.predict_proba(NEW))
    # one word again and again has only itself to give
    same = classifier(backbone, calibration="domain").fit(["good good"] * 12, LABELS)
    expected = shifted(plain.decision_function(NEW), plain.decision_function(["good good"]))
    np.testing.assert_allclose(same.predict_proba(NEW), expected, atol=1e-6)


def test_a_field_may_be_empty_in_all_examples(backbone):
    examples = [{"title": "", "text": text} for text in TEXTS]
    clf = classifier(backbone, "{{ title }} <text> It was <mask>", calibration="domain").fit(examples, LABELS)
    assert np.isfinite(clf.predict_proba(examples)).all()


def test_prototypical(backbone):
    plain = classifier(backbone)
    found = classifier(backbone, calibration="prototypical").fit(TEXTS, LABELS)
    mixture = fit_mixture(plain.decision_function(TEXTS), 3)
    np.testing.assert_allclose(
        found.predict_proba(NEW), softmax(mixture.apply(plain.decision_function(NEW))), atol=1e-6
    )


def test_a_hard_prompt_learns_its_temperature_from_all_examples(backbone):
    plain = classifier(backbone)
    found = classifier(backbone, calibration="temperature").fit(TEXTS, LABELS)
    scores = plain.decision_function(TEXTS)
    targets = [sorted(WORDS).index(label) for label in LABELS]
    expected = fit_temperature(scores, targets).apply(plain.decision_function(NEW))
    np.testing.assert_allclose(found.predict_proba(NEW), softmax(expected), atol=1e-6)
    assert np.array_equal(found.predict(NEW), plain.predict(NEW))


def test_a_soft_prompt_learns_its_temperature_from_examples_that_it_was_not_trained_on(backbone):
    found = classifier(backbone, SOFT, calibration="temperature", training__validation_fraction=0.25).fit(TEXTS, LABELS)
    assert found.prompt_.training["examples"] == 9
    plain = classifier(backbone, SOFT).fit(TEXTS, LABELS)
    assert plain.prompt_.training["examples"] == 12


@pytest.mark.parametrize("template", [HARD, SOFT], ids=["hard", "soft"])
@pytest.mark.parametrize("method", CALIBRATIONS)
def test_every_method_is_saved_bit_for_bit(backbone, method, template, tmp_path):
    fitted = classifier(backbone, template, calibration=method).fit(TEXTS, LABELS)
    chances = fitted.predict_proba(NEW)
    np.testing.assert_allclose(chances.sum(1), 1, atol=1e-12)
    assert not np.allclose(chances, classifier(backbone, template).fit(TEXTS, LABELS).predict_proba(NEW), atol=1e-4)
    assert np.array_equal(fitted.classes_[chances.argmax(1)], fitted.predict(NEW))
    fitted.save(tmp_path / "prompt")
    loaded = PromptClassifier.load(tmp_path / "prompt", model=backbone)
    assert loaded.calibration == method
    assert np.array_equal(loaded.predict_proba(NEW), chances)


def test_with_demonstrations(backbone):
    template = "<demos*3><text> It was <mask>\n"
    fitted = classifier(backbone, template.rstrip(), calibration="contextual").fit(TEXTS, LABELS)
    plain = classifier(backbone, template.rstrip()).fit(TEXTS, LABELS)
    expected = shifted(plain.decision_function(NEW), plain.decision_function(["N/A", "[MASK]", ""]))
    np.testing.assert_allclose(fitted.predict_proba(NEW), expected, atol=1e-6)


def test_unknown_methods_raise_before_a_model_is_loaded():
    message = "calibration='contextal', but it has to be 'auto', 'contextual', .* or None; did you mean 'contextual'?"
    for use in (lambda clf: clf.fit(TEXTS, LABELS), lambda clf: clf.predict(NEW)):
        with pytest.raises(ParameterError, match=message):
            use(PromptClassifier("no such model", HARD, WORDS, calibration="contextal"))


def test_a_temperature_needs_labels(backbone):
    with pytest.raises(NotFittedError, match="calibration='temperature' is learnt from labelled examples"):
        classifier(backbone, calibration="temperature").predict(NEW)


def test_scikit_learn_calibrates_it_too(backbone):
    outer = CalibratedClassifierCV(classifier(backbone, calibration="batch"), cv=2, method="sigmoid")
    chances = outer.fit(TEXTS, LABELS).predict_proba(NEW)
    assert chances.shape == (4, 3)
    np.testing.assert_allclose(chances.sum(1), 1, atol=1e-12)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("<soft*10> <text> 总之，很<mask>。", " 总之，很<mask>。"),
        ("It was <mask>. <text>", "It was <mask>. "),
        ("<a> <soft*2><mask>", "<mask>"),
    ],
)
def test_the_domain_string(source, expected):
    assert domain_template(Template(source)) == Template(expected)
