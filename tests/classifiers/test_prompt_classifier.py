"""PromptClassifier with the interface of scikit-learn, on a real masked model."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted
from support.training_task import interrupt_at

from softcloze import Backbone, PromptClassifier, Template, Verbalizer
from softcloze.backbone import load_backbone
from softcloze.errors import (
    ArtifactError,
    DataError,
    FieldError,
    ParameterError,
    SoftclozeError,
    TemplateSyntaxError,
    VerbalizerError,
)
from softcloze.starters import load_data
from softcloze.training import TrainingSettings

WORDS = {"positive": ["good", "great"], "negative": ["bad", "awful"]}
SOFT = "<soft*4> <text> It was <mask>."
HARD = "<text> It was <mask>."


@pytest.fixture(scope="module")
def backbone():
    return load_backbone("starter:bert-tiny", dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def reviews():
    data = load_data("movie-reviews")
    labels = np.array(data.train.labels)
    rows = np.concatenate([np.flatnonzero(labels == label)[:16] for label in ("negative", "positive")])
    return [data.train.texts[i] for i in rows], labels[rows].tolist()


def classifier(backbone, template=SOFT, **parameters):
    clf = PromptClassifier(backbone, template, WORDS)
    return clf.set_params(**{"random_state": 0, "epochs": 2, "training__target_loss": 0.0, **parameters})


@pytest.fixture(scope="module")
def fitted(backbone, reviews):
    return classifier(backbone).fit(*reviews)


class TestPredicting:
    def test_classes_are_sorted_and_probabilities_follow_them(self, fitted, reviews):
        texts, _ = reviews
        assert fitted.classes_.tolist() == ["negative", "positive"]
        probabilities = fitted.predict_proba(texts)
        assert probabilities.shape == (32, 2)
        np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-12)
        np.testing.assert_array_equal(fitted.predict(texts), fitted.classes_[probabilities.argmax(1)])

    def test_decision_function_has_scikit_learns_shape(self, backbone, fitted, reviews):
        texts, _ = reviews
        probabilities = fitted.predict_proba(texts)
        np.testing.assert_allclose(
            fitted.decision_function(texts), np.log(probabilities[:, 1] / probabilities[:, 0]), atol=1e-6
        )
        three = PromptClassifier(backbone, HARD, {"a": "good", "b": "bad", "c": "fine"})
        scores = three.decision_function(texts[:5])
        assert scores.shape == (5, 3)
        np.testing.assert_array_equal(three.predict(texts[:5]), np.array(["a", "b", "c"])[scores.argmax(1)])

    def test_no_rows_give_no_rows(self, fitted):
        assert fitted.predict([]).shape == (0,)
        assert fitted.predict_proba([]).shape == (0, 2)

    def test_integer_labels_stay_integers(self, backbone, reviews):
        texts, labels = reviews
        numbers = np.array([int(label == "positive") for label in labels])
        clf = PromptClassifier(backbone, SOFT, {1: "good", 0: "bad"}, epochs=1, random_state=0).fit(texts, numbers)
        assert clf.classes_.dtype.kind == "i"
        assert set(clf.predict(texts).tolist()) <= {0, 1}

    def test_without_a_verbalizer_labels_are_their_own_words(self, backbone):
        clf = PromptClassifier(backbone, HARD).fit(["A delight.", "A bore."], ["good", "bad"])
        assert clf.prompt_.verbalizer.label_words() == {"bad": ["bad"], "good": ["good"]}

    def test_named_template_and_verbalizer(self, backbone):
        clf = PromptClassifier(backbone, "sentiment/en", "sentiment/en")
        assert clf.predict(["A delight."]).shape == (1,)

    def test_options_are_the_first_label_words_in_order(self, backbone, reviews):
        options = PromptClassifier(backbone, "<text> (<options>) It was <mask>.", WORDS)
        written = PromptClassifier(backbone, "<text> (bad, good) It was <mask>.", WORDS)
        np.testing.assert_array_equal(options.predict_proba(reviews[0]), written.predict_proba(reviews[0]))


class TestUnfitted:
    def test_a_hard_prompt_needs_no_fit(self, backbone, reviews):
        texts, labels = reviews
        clf = PromptClassifier(backbone, HARD, WORDS)
        check_is_fitted(clf)
        unfitted = clf.predict_proba(texts)
        np.testing.assert_array_equal(unfitted, clf.fit(texts, labels).predict_proba(texts))

    def test_soft_slots_need_fit(self, backbone, tmp_path):
        clf = classifier(backbone)
        with pytest.raises(NotFittedError):
            check_is_fitted(clf)
        with pytest.raises(NotFittedError, match="are not trained yet; call fit first"):
            clf.predict(["x"])
        with pytest.raises(NotFittedError):
            clf.save(tmp_path / "p")

    def test_unknown_labels_need_fit(self, backbone):
        with pytest.raises(NotFittedError, match="without a verbalizer the labels are not known"):
            PromptClassifier(backbone, HARD).predict(["x"])


class TestScikitLearn:
    def test_init_only_stores_and_clone_shares_the_backbone(self, backbone):
        clf = classifier(backbone, epochs=7)
        copy = clone(clf)
        assert copy.get_params() == clf.get_params()
        assert copy.model is backbone
        assert isinstance(copy.model, Backbone)
        assert not [name for name in vars(copy) if name.endswith("_")]

    def test_fit_changes_no_parameter(self, backbone, reviews):
        clf = classifier(backbone, epochs=1)
        before = clf.get_params()
        assert clf.fit(*reviews) is clf
        assert clf.get_params() == before

    def test_grid_search_over_templates_and_epochs(self, backbone, reviews):
        search = GridSearchCV(
            classifier(backbone),
            {"template": [SOFT, "<text> <soft*4> It was <mask>."], "epochs": [1, 2]},
            cv=2,
            error_score="raise",
        ).fit(*reviews)
        assert len(search.cv_results_["params"]) == 4
        assert search.best_estimator_.backbone_ is backbone

    def test_a_model_given_by_name_is_loaded_once(self, reviews):
        clf = PromptClassifier(
            "starter:bert-tiny", SOFT, WORDS, epochs=1, random_state=0, model_options={"dtype": "float32"}
        )
        first, second = clone(clf).fit(*reviews), clone(clf).fit(*reviews)
        assert first.backbone_ is second.backbone_

    def test_cross_validation_and_pipeline(self, backbone, reviews):
        pipeline = Pipeline(
            [("lower", FunctionTransformer(lambda X: [text.lower() for text in X])), ("clf", classifier(backbone))]
        )
        assert cross_val_score(pipeline, *reviews, cv=2, error_score="raise").shape == (2,)

    @pytest.mark.parametrize("name", ["accuracy", "neg_log_loss", "roc_auc", "balanced_accuracy"])
    def test_scorers(self, fitted, reviews, name):
        assert np.isfinite(get_scorer(name)(fitted, *reviews))

    def test_calibrated_classifier(self, backbone, reviews):
        calibrated = CalibratedClassifierCV(classifier(backbone, epochs=1), cv=2).fit(*reviews)
        np.testing.assert_allclose(calibrated.predict_proba(reviews[0]).sum(1), 1)

    def test_a_fitted_classifier_pickles(self, fitted, reviews):
        texts, _ = reviews
        again = pickle.loads(pickle.dumps(fitted))
        np.testing.assert_array_equal(again.predict_proba(texts), fitted.predict_proba(texts))


class TestInputs:
    @pytest.mark.parametrize(
        "kind",
        [
            list,
            tuple,
            np.array,
            pd.Series,
            lambda texts: pd.Series(texts, index=range(100, 100 + len(texts))),
            lambda texts: Dataset.from_dict({"text": texts})["text"],
            lambda texts: [{"text": text, "label": 1} for text in texts],
            lambda texts: pd.DataFrame({"text": texts, "year": 1999}),
            lambda texts: Dataset.from_dict({"text": texts, "year": [1999] * len(texts)}),
            iter,
        ],
        ids=["list", "tuple", "numpy", "series", "indexed", "column", "dicts", "frame", "dataset", "iterator"],
    )
    def test_every_container_gives_the_same(self, fitted, reviews, kind):
        texts = reviews[0][:6]
        np.testing.assert_array_equal(fitted.predict_proba(kind(texts)), fitted.predict_proba(texts))

    def test_several_fields(self, backbone):
        clf = PromptClassifier(backbone, "<premise> ? <mask> , <hypothesis>", {"yes": "yes", "no": "no"})
        rows = [{"premise": "A man sleeps.", "hypothesis": "He is awake."}]
        assert clf.predict(pd.DataFrame(rows)).tolist() == clf.predict(rows).tolist()

    @pytest.mark.parametrize("X", ["one text", b"bytes", {"text": "x"}, 5, np.zeros((2, 3))])
    def test_anything_but_a_list_of_texts_raises(self, fitted, X):
        with pytest.raises(DataError, match=r"expected one text per example|has to be a list of texts"):
            fitted.predict(X)

    def test_a_bad_row_is_named(self, fitted):
        with pytest.raises(FieldError, match="row 1"):
            fitted.predict(["fine", None])
        with pytest.raises(FieldError, match=r"row 0.*'text'"):
            fitted.predict([{"txt": "fine"}])

    def test_truncation_is_counted(self, backbone, reviews):
        texts, labels = reviews
        clf = classifier(backbone, HARD, max_length=16).fit(texts, labels)
        tokens = [len(backbone.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
        frame = len(backbone.tokenizer(" It was [MASK].")["input_ids"])
        over = [length + frame - 16 for length in tokens if length + frame > 16]
        assert (clf.truncation_.rows, clf.truncation_.rows_cut) == (32, len(over))
        assert clf.truncation_.tokens == {"text": sum(over)}

    def test_lengths_must_agree(self, backbone):
        with pytest.raises(DataError, match="X has 2 examples but y has 1 labels"):
            classifier(backbone).fit(["a", "b"], ["positive"])

    def test_labels_must_be_named_by_the_verbalizer(self, backbone):
        with pytest.raises(DataError, match=r"row 1 has label 'postive'.*did you mean 'positive'"):
            classifier(backbone).fit(["a", "b"], ["negative", "postive"])

    def test_one_label_is_too_few(self, backbone):
        with pytest.raises(DataError, match="only the label 'positive'"):
            classifier(backbone).fit(["a", "b"], ["positive", "positive"])

    @pytest.mark.parametrize("y", [[0.5, 1.5], [[1], [0]]])
    def test_labels_are_words_or_numbers(self, backbone, y):
        with pytest.raises(DataError, match=r"row 0 has the label .*; labels must all be str or all be int"):
            classifier(backbone).fit(["a", "b"], y)

    @pytest.mark.parametrize(
        ("parameters", "error", "match"),
        [
            ({"template": "<text> <mask> <mask>"}, TemplateSyntaxError, "mask"),
            ({"template": "sentiment/fr"}, SoftclozeError, "sentiment/"),
            ({"verbalizer": {"positive": "good", "negative": "good"}}, VerbalizerError, "'good'"),
            ({"epochs": 0}, ParameterError, "epochs=0"),
            ({"learning_rate": -1.0}, ParameterError, r"learning_rate=-1\.0"),
            ({"soft_init": "zeros"}, ParameterError, "soft_init='zeros'"),
        ],
    )
    def test_bad_parameters_are_named(self, backbone, reviews, parameters, error, match):
        with pytest.raises(error, match=match):
            classifier(backbone).set_params(**parameters).fit(*reviews)


class TestSaving:
    def test_probabilities_come_back_bit_for_bit(self, fitted, reviews, tmp_path):
        texts, labels = reviews
        fitted.save(tmp_path / "p")
        loaded = PromptClassifier.load(tmp_path / "p", fitted.backbone_)
        np.testing.assert_array_equal(loaded.predict_proba(texts), fitted.predict_proba(texts))
        assert loaded.score(texts, labels) == fitted.score(texts, labels)
        assert loaded.history_ == fitted.history_
        assert loaded.epochs == fitted.epochs

    @pytest.mark.parametrize("decoding", ["left_to_right", "most_confident"])
    def test_the_decoding_of_words_is_restored(self, backbone, reviews, tmp_path, decoding):
        words = {"positive": "really good", "negative": "not very good"}
        clf, together = (
            PromptClassifier(backbone, SOFT, Verbalizer(words, decoding=how), epochs=1, random_state=0).fit(*reviews)
            for how in (decoding, "together")
        )
        assert not torch.equal(clf.prompt_.vectors["#1"], together.prompt_.vectors["#1"])
        clf.save(tmp_path / "p")
        loaded = PromptClassifier.load(tmp_path / "p", backbone)
        assert loaded.prompt_.verbalizer == Verbalizer(words, decoding=decoding)
        found = loaded.predict_proba(reviews[0])
        np.testing.assert_array_equal(found, clf.predict_proba(reviews[0]))
        np.testing.assert_allclose(loaded.explain(reviews[0][0]).probabilities, found[0], atol=1e-6)

    def test_the_model_is_loaded_by_its_saved_name(self, reviews, tmp_path):
        clf = PromptClassifier(
            "starter:bert-tiny", SOFT, WORDS, epochs=1, random_state=0, model_options={"dtype": "float32"}
        )
        clf.fit(*reviews).save(tmp_path / "p")
        loaded = PromptClassifier.load(tmp_path / "p", model_options={"dtype": "float32"})
        np.testing.assert_array_equal(loaded.predict_proba(reviews[0]), clf.predict_proba(reviews[0]))

    def test_another_model_raises_with_both_fingerprints(self, fitted, tmp_path):
        fitted.save(tmp_path / "p")
        other = load_backbone("starter:bert-tiny", dtype="float32", device="cpu")
        weight = next(other.model.parameters())
        before = weight.detach().clone()
        changed = Backbone(other.model, other.tokenizer, "changed")
        try:
            with torch.no_grad():
                weight.add_(1.0)
            with pytest.raises(ArtifactError) as raised:
                PromptClassifier.load(tmp_path / "p", changed)
        finally:
            with torch.no_grad():
                weight.copy_(before)
        assert fitted.backbone_.fingerprint["model"] in str(raised.value)
        assert changed.fingerprint["model"] in str(raised.value)

    def test_a_loaded_classifier_continues_training(self, fitted, reviews, tmp_path):
        fitted.save(tmp_path / "p")
        loaded = PromptClassifier.load(tmp_path / "p", fitted.backbone_, warm_start=True, epochs=3)
        loaded.fit(*reviews)
        assert loaded.history_[0]["loss"] < fitted.history_[0]["loss"]
        assert not torch.equal(loaded.prompt_.vectors["#1"], fitted.prompt_.vectors["#1"])


class TestTraining:
    def test_the_loss_falls_and_records_hold_numbers(self, backbone, reviews):
        seen = []
        clf = classifier(backbone, epochs=8, training__on_epoch=seen.append).fit(*reviews)
        assert seen == clf.history_
        assert clf.history_[-1]["loss"] < clf.history_[0]["loss"]
        assert {type(value) for record in clf.history_ for value in record.values()} <= {int, float}

    def test_only_the_soft_vectors_change(self, backbone, reviews):
        before = {name: tensor.clone() for name, tensor in backbone.model.state_dict().items()}
        clf = classifier(backbone).fit(*reviews)
        after = backbone.model.state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before)
        assert all(parameter.grad is None for parameter in backbone.model.parameters())
        assert {key: tuple(block.shape) for key, block in clf.prompt_.vectors.items()} == {"#1": (4, 128)}

    def test_same_seed_same_vectors(self, backbone, reviews, fitted):
        again = classifier(backbone).fit(*reviews)
        other = classifier(backbone, random_state=1).fit(*reviews)
        assert torch.equal(again.prompt_.vectors["#1"], fitted.prompt_.vectors["#1"])
        assert not torch.equal(other.prompt_.vectors["#1"], fitted.prompt_.vectors["#1"])

    def test_a_random_state_object_is_drawn_from(self, backbone, reviews):
        pair = [classifier(backbone, random_state=np.random.RandomState(3)).fit(*reviews) for _ in range(2)]
        assert torch.equal(pair[0].prompt_.vectors["#1"], pair[1].prompt_.vectors["#1"])

    def test_an_interrupted_fit_resumes(self, backbone, reviews, tmp_path):
        whole = classifier(backbone, epochs=3).fit(*reviews)
        interrupted = classifier(backbone, epochs=3, training__checkpoint=tmp_path)
        with pytest.raises(KeyboardInterrupt):
            interrupted.set_params(training__on_epoch=interrupt_at(2)).fit(*reviews)
        # another fit in the same folder keeps out of its way
        with pytest.warns(UserWarning, match="holds the progress of another fit, .* which stays there"):
            classifier(backbone, epochs=1, training__checkpoint=tmp_path).fit(*reviews)
        seen = []
        resumed = classifier(backbone, epochs=3, training__checkpoint=tmp_path, training__on_epoch=seen.append).fit(
            *reviews
        )
        assert [record["epoch"] for record in seen] == [3]
        assert torch.equal(resumed.prompt_.vectors["#1"], whole.prompt_.vectors["#1"])
        assert list(tmp_path.iterdir()) == []

    def test_template_and_verbalizer_objects(self, backbone, reviews, fitted):
        clf = PromptClassifier(
            backbone,
            Template(SOFT),
            Verbalizer(WORDS),
            random_state=0,
            epochs=2,
            training=TrainingSettings(target_loss=0.0),
        ).fit(*reviews)
        assert torch.equal(clf.prompt_.vectors["#1"], fitted.prompt_.vectors["#1"])
