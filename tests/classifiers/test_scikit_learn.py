"""Meta-estimators, scorers and displays of scikit-learn around prompts with text labels."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError, UnsetMetadataPassedError
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import accuracy_score, get_scorer
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from support import models

from softcloze import MultiLabelPromptClassifier, PromptClassifier, PromptEnsemble, TrainingSettings, Verbalizer
from softcloze.classifiers import trained
from softcloze.errors import DataError, FieldError, ParameterError

WORDS = {"pos": "good", "neg": "bad"}
TEXTS, LABELS = models.SENTENCES[:8], ["pos", "neg"] * 4
HARD, OTHER, SOFT = "<text> It was <mask>.", "In all, <mask>: <text>", "<soft*2> <text> It was <mask>."
numbered = pytest.mark.filterwarnings("ignore:y holds numbers and the verbalizer text")


@pytest.fixture(params=[HARD, SOFT], ids=["hard", "soft"])
def clf(request):
    return PromptClassifier(models.backbone("bert"), request.param, WORDS, epochs=1, random_state=0)


def hard(**parameters):
    return PromptClassifier(models.backbone("bert"), HARD, WORDS, **parameters)


@pytest.fixture
def unloaded(monkeypatch):
    def fail(*_, **__):
        raise AssertionError("a model is loaded")

    monkeypatch.setattr(trained, "load_backbone", fail)


@numbered
@pytest.mark.parametrize("method", ["predict_proba", "predict_log_proba", "decision_function"])
def test_cross_validated_probabilities(clf, method):
    """scikit-learn/scikit-learn#17347: the labels are numbered before the classifier is fitted."""
    scores = cross_val_predict(clf, TEXTS, LABELS, cv=2, method=method)
    rows = [0, 1, 2, 3]  # of the first fold, in which the classifier was fitted to the others
    fitted = PromptClassifier(clf.model, clf.template, WORDS, epochs=1, random_state=0)
    fitted.fit(TEXTS[4:], LABELS[4:])
    np.testing.assert_allclose(scores[rows], getattr(fitted, method)(TEXTS[:4]), rtol=1e-5, atol=1e-6)


@numbered
@pytest.mark.parametrize(
    "meta",
    [
        lambda clf: VotingClassifier([("one", clf), ("other", clf)]),
        lambda clf: VotingClassifier([("one", clf)], voting="soft"),
        lambda clf: StackingClassifier([("one", clf)], cv=2),
        OneVsRestClassifier,
        lambda clf: CalibratedClassifierCV(clf, cv=2),
        lambda clf: FixedThresholdClassifier(clf, pos_label="pos"),
    ],
    ids=["voting", "soft voting", "stacking", "one-vs-rest", "calibration", "threshold"],
)
def test_meta_estimators_predict_the_text_labels(clf, meta):
    """scikit-learn/scikit-learn#12189 and its pull request 7889."""
    predicted = meta(clf).fit(TEXTS, LABELS).predict(TEXTS)
    assert {*predicted.tolist()} <= {"pos", "neg"} and predicted.shape == (8,)


@numbered
@pytest.mark.parametrize(
    "meta",
    [
        lambda clf: CalibratedClassifierCV(clf, cv=2, ensemble=False),
        lambda clf: StackingClassifier([("one", clf)], cv=2, stack_method="decision_function"),
        lambda clf: TunedThresholdClassifierCV(clf, cv=2, response_method="decision_function"),
    ],
    ids=["calibration", "stacking", "threshold"],
)
def test_meta_estimators_take_the_scores_of_an_ensemble(meta):
    predicted = meta(PromptEnsemble([hard(), hard().set_params(template=OTHER)])).fit(TEXTS, LABELS).predict(TEXTS)
    assert {*predicted.tolist()} <= {"pos", "neg"} and predicted.shape == (8,)


@pytest.mark.parametrize("average", ["probabilities", "log_probabilities"])
@pytest.mark.parametrize("words", [WORDS, {**WORDS, "so": "fine"}], ids=["two", "three"])
def test_scores_of_an_ensemble_have_scikit_learns_shape(words, average):
    members = [PromptClassifier(models.backbone("bert"), template, words) for template in (HARD, OTHER)]
    ensemble = PromptEnsemble(members, average=average)
    scores, logs = ensemble.decision_function(TEXTS), ensemble.predict_log_proba(TEXTS)
    np.testing.assert_array_equal(scores, logs if len(words) == 3 else logs[:, 1] - logs[:, 0])
    best = scores.argmax(1) if len(words) == 3 else (scores > 0).astype(int)
    np.testing.assert_array_equal(ensemble.classes_[best], ensemble.predict(TEXTS))


@numbered
def test_votes_are_those_of_the_members(clf):
    voting = VotingClassifier([("one", clf)]).fit(TEXTS, LABELS)
    np.testing.assert_array_equal(voting.predict(TEXTS), clf.fit(TEXTS, LABELS).predict(TEXTS))


@numbered
def test_bagging_hands_on_columns_of_an_array(clf):
    column = np.array(TEXTS, dtype=object)[:, None]
    bagging = BaggingClassifier(clf, n_estimators=2, random_state=0).fit(column, LABELS)
    assert {*bagging.predict(column).tolist()} <= {"pos", "neg"}


@numbered
def test_a_threshold_is_tuned_for_numbers(clf):
    tuned = TunedThresholdClassifierCV(clf, cv=2).fit(TEXTS, np.array([1, 0] * 4))
    assert {*tuned.predict(TEXTS).tolist()} <= {0, 1}


def test_a_column_transformer_hands_on_one_column(clf):
    frame = pd.DataFrame({"review": TEXTS, "year": 1999})
    pipeline = make_pipeline(ColumnTransformer([("text", "passthrough", ["review"])]), clf)
    predicted = pipeline.fit(frame, LABELS).predict(frame)
    np.testing.assert_array_equal(predicted, clf.fit(TEXTS, LABELS).predict(TEXTS))


@pytest.mark.parametrize(
    ("X", "y"),
    [
        (pd.Series(TEXTS), pd.Series(LABELS)),
        (pd.DataFrame({"review": TEXTS}), pd.DataFrame({"label": LABELS})),
        (pl.DataFrame({"text": TEXTS}), pl.Series(LABELS)),
        (np.array(TEXTS)[:, None], np.array(LABELS)),
    ],
    ids=["series", "frames", "polars", "array"],
)
def test_cross_validation_of_every_container(clf, X, y):
    """KhiopsML/khiops-python#292: polars; frames of one column and arrays of shape (n, 1)."""
    expected = cross_val_score(clf, TEXTS, LABELS, cv=2, error_score="raise")
    np.testing.assert_array_equal(cross_val_score(clf, X, y, cv=2, error_score="raise"), expected)


def test_a_search_by_a_score_of_probabilities(clf):
    search = GridSearchCV(clf, {"batch_size": [2, 4]}, cv=2, scoring="roc_auc", error_score="raise")
    assert 0 <= search.fit(TEXTS, LABELS).best_score_ <= 1


@pytest.mark.parametrize("name", ["accuracy", "roc_auc", "neg_log_loss", "f1_macro"])
def test_scorers_of_a_hard_prompt_without_fit(name):
    """scikit-learn/scikit-learn#26336: classes_ is there where fit is not needed."""
    assert np.isfinite(get_scorer(name)(hard(), TEXTS, LABELS))


def test_a_hard_prompt_without_fit_is_calibrated():
    frozen = CalibratedClassifierCV(FrozenEstimator(hard()), cv=2).fit(TEXTS, LABELS)
    np.testing.assert_allclose(frozen.predict_proba(TEXTS).sum(1), 1)
    ensemble = PromptEnsemble([hard(), hard().set_params(template=OTHER)])
    assert CalibratedClassifierCV(FrozenEstimator(ensemble), cv=2).fit(TEXTS, LABELS).classes_.tolist() == [
        "neg",
        "pos",
    ]


def test_the_labels_of_a_hard_prompt_are_known_without_its_model(unloaded):
    clf = PromptClassifier("./nowhere", HARD, WORDS)
    assert clf.classes_.tolist() == ["neg", "pos"]
    assert PromptEnsemble([clf, clf]).classes_.tolist() == ["neg", "pos"]
    assert not hasattr(PromptClassifier("./nowhere", SOFT, WORDS), "classes_")
    assert not hasattr(MultiLabelPromptClassifier("./nowhere", HARD, WORDS), "classes_")


def test_a_notebook_loads_no_model(unloaded):
    members = [PromptClassifier("./nowhere", HARD, WORDS), PromptClassifier("./nowhere", OTHER, WORDS)]
    for estimator in (*members, PromptEnsemble(members), PromptEnsemble(None), PromptClassifier("./nowhere", None)):
        assert type(estimator).__name__ in estimator._repr_html_()
    with pytest.raises(NotFittedError, match="the model is not loaded yet"):
        _ = members[0].engine_


def test_log_probabilities(clf):
    clf.fit(TEXTS, LABELS)
    np.testing.assert_allclose(np.exp(clf.predict_log_proba(TEXTS)), clf.predict_proba(TEXTS))
    several = MultiLabelPromptClassifier(models.backbone("bert"), HARD, WORDS).fit(TEXTS, [["pos"], ["neg"]] * 4)
    np.testing.assert_allclose(np.exp(several.predict_log_proba(TEXTS)), several.predict_proba(TEXTS))


class TestScore:
    def test_labels_as_for_fit(self):
        clf = hard()
        expected = accuracy_score(LABELS, clf.predict(TEXTS))
        for y in (LABELS, pd.DataFrame({"label": LABELS}), pd.Categorical(LABELS), pl.Series(LABELS)):
            assert clf.score(TEXTS, y) == expected
            assert PromptEnsemble([clf]).score(pd.DataFrame({"review": TEXTS}), y) == expected
        weights = np.arange(8)
        assert clf.score(TEXTS, LABELS, sample_weight=weights) == accuracy_score(
            LABELS, clf.predict(TEXTS), sample_weight=weights
        )

    @pytest.mark.parametrize(
        ("y", "message"),
        [
            (["pos", None] * 4, "row 1 has the label None, a missing value"),
            (["pos", "ngg"] * 4, "row 1 has label 'ngg', .* did you mean 'neg'"),
            ([1, 0] * 4, "numbers and text are different labels"),
            (LABELS[:7], "X has 8 examples but y has 7 labels"),
            (None, "y is None"),
        ],
    )
    def test_mistakes(self, y, message):
        for clf in (hard(), PromptEnsemble([hard()])):
            with pytest.raises(DataError, match=message):
                clf.score(TEXTS, y)

    def test_several_labels(self):
        y = [["pos"], ["neg"], ["pos", "neg"], []] * 2
        clf = MultiLabelPromptClassifier(models.backbone("bert"), HARD, WORDS).fit(TEXTS, y)
        matrix = np.array([[0, 1], [1, 0], [1, 1], [0, 0]] * 2)
        expected = (clf.predict(TEXTS) == matrix).all(1).mean()
        assert clf.score(TEXTS, y) == clf.score(TEXTS, matrix) == expected
        assert cross_val_score(clf, TEXTS, matrix, cv=2, error_score="raise").shape == (2,)


def test_labels_of_numpy_are_labels_of_a_verbalizer():
    """scikit-learn/scikit-learn#24355: a verbalizer made from the data."""
    y = np.array([1, 0] * 4)
    words = dict(zip(np.unique(y), ["bad", "good"], strict=True))
    clf = PromptClassifier(models.backbone("bert"), HARD, words).fit(TEXTS, y)
    assert clf.prompt_.verbalizer == Verbalizer({0: "bad", 1: "good"})
    truth = PromptClassifier(models.backbone("bert"), HARD, {np.True_: "good", np.False_: "bad"}).fit(TEXTS, y == 1)
    assert truth.predict(TEXTS).dtype == bool


def test_a_loaded_classifier_keeps_the_parts_of_its_prompt(tmp_path):
    clf = hard(max_length=64).fit(TEXTS, LABELS)
    clf.save(tmp_path / "prompt")
    load = PromptClassifier.load
    for name, value in {
        "head": "linear",
        "template": OTHER,
        "verbalizer": {"a": "b", "c": "d"},
        "max_length": 8,
    }.items():
        with pytest.raises(ParameterError, match=f"{name}=.* is not that of the saved prompt"):
            load(tmp_path / "prompt", clf.model, **{name: value})
    with pytest.raises(ParameterError, match="epochs='3'"):
        load(tmp_path / "prompt", clf.model, epochs="3")
    loaded = load(tmp_path / "prompt", clf.model, head="words", template=HARD, epochs=5, calibration="contextual")
    assert loaded.calibrate([]).predict(TEXTS).shape == (8,) and loaded.epochs == 5


def test_a_loaded_classifier_has_the_seed_it_was_trained_with(tmp_path):
    clf = PromptClassifier(models.backbone("bert"), SOFT, WORDS, epochs=1).fit(TEXTS, LABELS)
    clf.save(tmp_path / "prompt")
    loaded = PromptClassifier.load(tmp_path / "prompt", clf.model)
    assert loaded.random_state == clf.prompt_.training["seed"]
    again = PromptClassifier(models.backbone("bert"), SOFT, WORDS, epochs=1, random_state=loaded.random_state)
    np.testing.assert_array_equal(again.fit(TEXTS, LABELS).predict_proba(TEXTS), clf.predict_proba(TEXTS))


def test_check_measures_the_limit_of_the_fitted_prompt():
    clf = hard(max_length=64).fit(TEXTS, LABELS)
    before = clf.check()
    assert clf.set_params(max_length=1).check() == before


def test_a_row_of_pandas_has_the_name_that_the_user_sees():
    """huggingface/setfit#566: missing texts, with the row's name in the index."""
    frame = pd.DataFrame({"review": ["fine", None]}, index=["a7", "a9"])
    for X in (frame, frame["review"]):
        with pytest.raises(FieldError, match=r"^row 1 \(index a9\): field 'text' is NaN, a missing value"):
            hard().predict(X)
    with pytest.raises(FieldError, match=r"^row 1: field 'text' is None"):
        hard().predict(["fine", None])


def test_missing_texts_are_found_before_a_model_is_loaded(unloaded):
    """webis-de/small-text#73"""
    for template in (HARD, SOFT):
        clf = PromptClassifier("./nowhere", template, WORDS)
        with pytest.raises(FieldError, match="row 7: field 'text' is NaN"):
            clf.fit([*TEXTS[:7], float("nan")], LABELS)


class TestTheSameContract:
    """MultiLabelPromptClassifier and PromptEnsemble beside PromptClassifier."""

    SEVERAL = np.array([[0, 1], [1, 0], [1, 1], [0, 0]] * 2)

    def test_check_needs_no_fit_and_engine_one(self):
        clf, several = hard(), MultiLabelPromptClassifier(models.backbone("bert"), HARD, WORDS)
        ensemble = PromptEnsemble([clf, hard().set_params(template=OTHER)])
        assert ensemble.check() == tuple(member.check() for member in ensemble.classifiers)
        tokens = [[(word.label, word.word, word.tokens) for word in of.check().words] for of in (several, clf)]
        assert tokens[0] == tokens[1]
        assert several.fit(TEXTS, self.SEVERAL).check() == several.check()
        assert ensemble.engine_ == several.engine_ == clf.engine_
        ensemble.classifiers_ = []
        with pytest.raises(ParameterError, match="no member is one"):
            _ = ensemble.engine_

    def test_early_stopping_of_several_labels(self):
        several = MultiLabelPromptClassifier(models.backbone("bert"), SOFT, WORDS, epochs=2, random_state=0)
        several.set_params(training=TrainingSettings(early_stopping=True, validation_fraction=0.5))
        assert all("validation_loss" in record for record in several.fit(TEXTS, self.SEVERAL).history_)

    def test_sample_weight_is_routed(self):
        """Through a pipeline, as scikit-learn's metadata routing hands it on; without a request it raises."""
        weights = np.array([1, 1, 0, 0, 1, 1, 1, 1])
        kept = [row for row, weight in enumerate(weights) if weight]
        kinds = {
            "prompt": PromptClassifier(models.backbone("bert"), HARD, WORDS, head="linear", random_state=0),
            "several": MultiLabelPromptClassifier(models.backbone("bert"), HARD, WORDS),
            "ensemble": PromptEnsemble([hard(head="linear", random_state=0)]),
        }
        with config_context(enable_metadata_routing=True):
            for name, clf in kinds.items():
                y = self.SEVERAL if name == "several" else np.array(LABELS)
                pipeline = make_pipeline("passthrough", clf.set_fit_request(sample_weight=True))
                weighted = pipeline.fit(TEXTS, y, sample_weight=weights).predict_proba(TEXTS)
                again = clone(clf).fit([TEXTS[row] for row in kept], y[kept])
                np.testing.assert_allclose(weighted, again.predict_proba(TEXTS), atol=1e-5)
                with pytest.raises(UnsetMetadataPassedError):
                    cross_validate(clf.set_fit_request(sample_weight=None), TEXTS, y, params={"sample_weight": weights})
