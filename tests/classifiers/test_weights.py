"""`class_weight` and `sample_weight` in all that a classifier learns from labels."""

import numpy as np
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.ensemble import BaggingClassifier
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.utils.class_weight import compute_sample_weight
from support import models
from support.training_task import interrupt_at

from softcloze import MultiLabelPromptClassifier, PromptClassifier, PromptEnsemble
from softcloze.calibration import fit_temperature
from softcloze.errors import DataError, ParameterError
from softcloze.prompt.combination import Stacked, accuracy_weights

WORDS = {"pos": "good", "neg": "bad"}
TEXTS, LABELS = models.SENTENCES[:9], ["pos", "neg", "neg"] * 3
CHINESE, TOPICS = models.SENTENCES[14:23], ["好", "差", "差"] * 3
HARD, SOFT = "<text> It was <mask>.", "<soft*2> <text> It was <mask>."
WEIGHTS = [1, 2, 3] * 3
# all that is learnt from labels
KINDS = {
    "soft": {"template": SOFT, "training__target_loss": 0.0},
    "warp": {"head": "warp"},
    "linear": {"head": "linear"},
    "words+linear": {"head": "words+linear"},
    "soft linear": {"template": SOFT, "head": "linear", "training__target_loss": 0.0},
    "prototypes": {"head": "prototypes"},
    "temperature": {"calibration": "temperature"},
}
kinds = pytest.mark.parametrize("kind", KINDS)
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),  # the model knows nothing
    pytest.mark.usefixtures("few_folds"),
]


def classifier(kind="soft", **parameters):
    clf = PromptClassifier(models.backbone("bert"), HARD, WORDS, epochs=2, class_weight=None, random_state=0)
    return clf.set_params(**KINDS[kind], **parameters)


@kinds
def test_equal_weights_change_nothing_and_others_do(kind):
    plain = classifier(kind).fit(TEXTS, LABELS).predict_proba(TEXTS)
    for weights in ([0.1] * 9, np.full(9, 7)):
        np.testing.assert_array_equal(classifier(kind).fit(TEXTS, LABELS, weights).predict_proba(TEXTS), plain)
    named = classifier(kind, class_weight={"pos": 2, "neg": 2.0})
    np.testing.assert_array_equal(named.fit(TEXTS, LABELS).predict_proba(TEXTS), plain)
    assert not np.array_equal(classifier(kind).fit(TEXTS, LABELS, WEIGHTS).predict_proba(TEXTS), plain)


@kinds
def test_balanced_classes_are_the_weights_of_scikit_learn(kind):
    balanced = classifier(kind, class_weight="balanced").fit(TEXTS, LABELS)
    weights = compute_sample_weight("balanced", LABELS)
    weighted = classifier(kind).fit(TEXTS, LABELS, sample_weight=weights)
    np.testing.assert_allclose(balanced.predict_proba(TEXTS), weighted.predict_proba(TEXTS), atol=1e-6)


@kinds
def test_an_example_of_weight_0_is_left_out(kind):
    weights = [1.0] * 7 + [0.0, 0.0]
    without = classifier(kind).fit(TEXTS[:7], LABELS[:7])
    np.testing.assert_array_equal(
        classifier(kind).fit(TEXTS, LABELS, weights).predict_proba(TEXTS), without.predict_proba(TEXTS)
    )


def test_a_weighted_class_is_predicted_more_often_in_chinese_too():
    clf = PromptClassifier(models.backbone("llama"), "<text>总之，很<mask>", head="linear", random_state=0)
    plain, weighted = (
        clone(clf).set_params(class_weight=weight).fit(CHINESE, TOPICS).predict_proba(CHINESE)[:, 0].mean()
        for weight in (None, {"好": 20.0})
    )
    assert weighted > plain + 0.1


def test_the_training_loss_is_weighted():
    clf = classifier("soft", epochs=1, learning_rate=1e-9).fit(TEXTS, LABELS, WEIGHTS)
    losses = -np.log(clf.predict_proba(TEXTS)[np.arange(9), [1, 0, 0] * 3])
    assert clf.history_[0]["loss"] == pytest.approx(np.average(losses, weights=WEIGHTS), abs=1e-5)


def test_a_temperature_of_weighted_examples_is_that_of_repeated_ones():
    scores, targets = np.random.default_rng(0).normal(0, 3, (9, 2)), [0, 1, 1] * 3
    repeated = np.repeat(np.arange(9), WEIGHTS)
    expected = fit_temperature(scores[repeated], np.array(targets)[repeated]).temperature
    assert fit_temperature(scores, targets, WEIGHTS).temperature == pytest.approx(expected, rel=1e-6)


def test_thresholds_of_weighted_examples_are_those_of_repeated_ones():
    backbone, labels = models.backbone("bert"), [["a"], ["b"], [], ["a", "b"], ["a"], [], ["b"], [], ["a"]]
    clf = MultiLabelPromptClassifier(backbone, HARD, {"a": "good", "b": "film"}, random_state=0)
    repeated = np.repeat(np.arange(9), WEIGHTS)
    expected = clone(clf).fit([TEXTS[i] for i in repeated], [labels[i] for i in repeated])
    weighted = clone(clf).fit(TEXTS, labels, np.array(WEIGHTS, dtype=float))
    np.testing.assert_allclose(expected.predict(TEXTS), weighted.predict(TEXTS))
    plain, rare = (clone(clf).set_params(class_weight=weight).fit(TEXTS, labels) for weight in (None, {"b": 9.0}))
    before, after = (fitted.predict_proba(TEXTS) for fitted in (plain, rare))
    assert np.all(after[:, 1] > before[:, 1]) and np.allclose(after[:, 0], before[:, 0], atol=0.2)
    soft = clone(clf).set_params(template=SOFT, epochs=1, class_weight="balanced").fit(TEXTS, labels, WEIGHTS)
    assert soft.prompt_.training["class_weight"] == "balanced"


def test_combinations_of_weighted_examples_are_those_of_repeated_ones():
    members = np.log(np.random.default_rng(0).dirichlet([1, 1], (2, 9)))
    targets, repeated = [0, 1, 1] * 3, np.repeat(np.arange(9), WEIGHTS)
    several = members[:, repeated], [targets[i] for i in repeated]
    np.testing.assert_allclose(accuracy_weights(members, targets, WEIGHTS), accuracy_weights(*several))
    weighted, expected = Stacked.learn(members, targets, np.array(WEIGHTS)), Stacked.learn(*several)
    np.testing.assert_allclose(weighted.log_probabilities(members), expected.log_probabilities(members), atol=1e-4)


@pytest.mark.parametrize("weights", ["development", "stacked"])
def test_an_ensemble_passes_weights_on(weights):
    texts, labels = models.SENTENCES[:18], LABELS * 2
    ensemble = PromptEnsemble([classifier("linear")], weights=weights, cv=2, random_state=0)
    ensemble.set_params(class_weight="balanced").fit(texts, labels, WEIGHTS * 2)
    member = classifier("linear").fit(texts, labels, WEIGHTS * 2)
    np.testing.assert_array_equal(ensemble.classifiers_[0].predict_proba(texts), member.predict_proba(texts))


def test_partial_fit():
    weighted, plain = classifier("soft"), classifier("soft")
    weighted.partial_fit(TEXTS, LABELS, sample_weight=WEIGHTS)
    plain.partial_fit(TEXTS, LABELS)
    assert not np.array_equal(weighted.predict_proba(TEXTS), plain.predict_proba(TEXTS))
    balanced = classifier("soft", class_weight="balanced").partial_fit(TEXTS, LABELS)
    by_hand = classifier("soft").partial_fit(TEXTS, LABELS, sample_weight=compute_sample_weight("balanced", LABELS))
    np.testing.assert_allclose(balanced.predict_proba(TEXTS), by_hand.predict_proba(TEXTS), atol=1e-6)


def test_classes_of_different_sizes_weigh_the_same_by_default():
    default = PromptClassifier(models.backbone("bert"), HARD, WORDS, head="linear", random_state=0).fit(TEXTS, LABELS)
    balanced = classifier("linear", class_weight="balanced").fit(TEXTS, LABELS)
    np.testing.assert_array_equal(default.predict_proba(TEXTS), balanced.predict_proba(TEXTS))


def test_probabilities_of_a_teacher():
    certain = np.eye(2)[[1, 0, 0] * 3]
    by_labels = classifier("linear", class_weight="balanced").fit(TEXTS, LABELS, WEIGHTS)
    taught = classifier("linear", class_weight="balanced").fit_probabilities(TEXTS, certain, WEIGHTS)
    np.testing.assert_allclose(taught.predict_proba(TEXTS), by_labels.predict_proba(TEXTS), atol=1e-6)


def test_weights_are_saved_and_loaded(tmp_path):
    for kind, weight in (("linear", {"pos": 2.0, "neg": 1}), ("soft", "balanced"), ("warp", None)):
        classifier(kind, class_weight=weight).fit(TEXTS, LABELS).save(tmp_path / kind)
        assert PromptClassifier.load(tmp_path / kind, models.backbone("bert")).class_weight == weight


def test_another_weight_is_another_fit(tmp_path):
    clf = classifier("soft", training__checkpoint=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        clone(clf).set_params(training__on_epoch=interrupt_at(1)).fit(TEXTS, LABELS, WEIGHTS)
    with pytest.warns(UserWarning, match="holds the progress of another fit"):
        clone(clf).fit(TEXTS, LABELS)
    with pytest.warns(UserWarning, match="holds the progress of another fit"):
        clone(clf).set_params(class_weight="balanced").fit(TEXTS, LABELS, WEIGHTS)
    told = []
    clone(clf).set_params(training__on_epoch=told.append).fit(TEXTS, LABELS, WEIGHTS)
    assert [record["epoch"] for record in told] == [2]


@pytest.mark.filterwarnings("ignore:y holds numbers and the verbalizer text")
def test_scikit_learn_routes_weights():
    texts, labels, weights = models.SENTENCES[:18], LABELS * 2, np.array(WEIGHTS * 2, dtype=float)
    with sklearn.config_context(enable_metadata_routing=True):
        clf = classifier("linear").set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        search = GridSearchCV(clf, {"class_weight": [None, "balanced"]}, cv=2).fit(texts, labels, sample_weight=weights)
        direct = classifier("linear", **search.best_params_).fit(texts, labels, weights)
        np.testing.assert_array_equal(search.predict_proba(texts), direct.predict_proba(texts))
        cross_validate(clf, texts, labels, cv=2, params={"sample_weight": weights}, error_score="raise")
    bagged = BaggingClassifier(classifier("linear"), n_estimators=2, random_state=0)
    assert {*bagged.fit(np.array(texts)[:, None], labels).predict(np.array(texts)[:, None])} <= {"pos", "neg"}


class TestErrors:
    @pytest.mark.parametrize("weight", ["balance", {"pos": 0}, {"pos": "2"}, {"pos": float("nan")}, [1, 2], 2])
    def test_class_weights_of_no_use(self, weight):
        with pytest.raises(ParameterError, match=r"class_weight=.*but it has to be"):
            classifier(class_weight=weight).fit(TEXTS, LABELS)

    def test_before_a_model_is_loaded(self):
        unloaded = PromptClassifier("no such model", HARD, WORDS, class_weight={"posi": 2})
        with pytest.raises(ParameterError, match="did you mean 'pos'"):
            unloaded.fit(TEXTS, LABELS)
        with pytest.raises(DataError, match="X has 9 examples but sample_weight has 2 weights"):
            unloaded.fit(TEXTS, LABELS, [1, 2])
        with pytest.raises(DataError, match="y holds only the label 'pos'"):
            unloaded.fit(TEXTS, LABELS, [1, 0, 0] * 3)


def test_vectors_of_a_checkpointed_fit_are_those_of_another(tmp_path):
    one, other = (
        classifier("soft", training__checkpoint=folder).fit(TEXTS, LABELS, WEIGHTS) for folder in (None, tmp_path)
    )
    assert torch.equal(one.prompt_.vectors["#1"], other.prompt_.vectors["#1"])
