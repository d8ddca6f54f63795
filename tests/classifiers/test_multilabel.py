"""MultiLabelPromptClassifier: any number of labels for an example, each decided on its own."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, cross_val_score
from support import models

from softcloze import MultiLabelPromptClassifier, PromptClassifier
from softcloze.backbone import load_backbone
from softcloze.errors import ArtifactError, DataError

WORDS = {"praise": ["good", "great"], "acting": "acting", "story": "story"}
HARD, SOFT = "<text> It was <mask>.", "<soft*3> <text> It was <mask>."
TEXTS = [line for line in models.SENTENCES if line.isascii()]
SETS = [
    [label for label, cues in {"praise": ("good", "great", "delight", "liked"), "acting": ("acting", "cast"),
     "story": ("story", "end")}.items() if any(cue in line for cue in cues)]
    for line in TEXTS
]  # fmt: skip
CHINESE = {"好评": "好", "酒店": "酒店", "手机": "手机"}


@pytest.fixture(scope="module")
def backbone():
    return load_backbone("starter:bert-tiny", dtype="float32", device="cpu")


def classifier(backbone, template=HARD, **parameters):
    return MultiLabelPromptClassifier(backbone, template, WORDS, **{"random_state": 0, **parameters})


def log_probs(backbone, text):
    """log P over the vocabulary at the mask, by plain transformers."""
    tokenizer = backbone.tokenizer
    ids = tokenizer(HARD.replace("<text>", text).replace("<mask>", tokenizer.mask_token))["input_ids"]
    with torch.no_grad():
        logits = models.logits_of(backbone.model, ids)
    return logits[ids.index(tokenizer.mask_token_id)].double().log_softmax(-1)


def test_scores_and_thresholds_are_platts(backbone):
    """Each label by itself, against scikit-learn on scores from plain transformers."""
    clf = classifier(backbone).fit(TEXTS, SETS)
    assert clf.classes_.tolist() == ["acting", "praise", "story"]
    ids = {
        word: backbone.tokenizer.convert_tokens_to_ids(word) for own in WORDS.values() for word in np.atleast_1d(own)
    }
    found = clf.predict_proba(TEXTS)
    for column, label in enumerate(clf.classes_):
        words = [ids[word] for word in np.atleast_1d(WORDS[label])]
        scores = np.array([float(log_probs(backbone, text)[words].exp().mean().log()) for text in TEXTS])[:, None]
        present = [label in own for own in SETS]
        reference = LogisticRegression().fit(scores, present)
        np.testing.assert_allclose(found[:, column], reference.predict_proba(scores)[:, 1], atol=1e-3)
        threshold = -reference.intercept_[0] / reference.coef_[0, 0]
        assert clf.thresholds_[column] == pytest.approx(threshold, abs=0.05)
        for text in TEXTS[:2]:
            explanation = clf.explain(text, top=0)
            shares = [word.share for word in explanation.words if word.label == label]
            mean = log_probs(backbone, text)[words].exp()
            np.testing.assert_allclose(shares, mean / mean.sum(), atol=1e-4)
    np.testing.assert_array_equal(clf.predict(TEXTS), (found > 0.5).astype(int))
    for text, row, probabilities in zip(TEXTS, clf.predict(TEXTS), clf.predict_proba(TEXTS), strict=True):
        explanation = clf.explain(text, top=1)
        np.testing.assert_allclose(explanation.probabilities, probabilities, atol=1e-6)
        assert explanation.predicted == tuple(clf.classes_[row == 1])
    assert f"{explanation}".startswith((", ".join(explanation.predicted) or "no label") + "; the label words have")


def test_a_label_does_not_depend_on_the_others(backbone):
    all_three = classifier(backbone).fit(TEXTS, SETS)
    table = {label: WORDS[label] for label in ("praise", "story")}
    two = MultiLabelPromptClassifier(backbone, HARD, table).fit(TEXTS, [set(own) & set(table) for own in SETS])
    np.testing.assert_allclose(two.predict_proba(TEXTS), all_three.predict_proba(TEXTS)[:, 1:], atol=1e-5)


def test_soft_slots_learn_all_labels(backbone):
    before = {name: value.clone() for name, value in backbone.model.state_dict().items()}
    hard = classifier(backbone).fit(TEXTS, SETS)
    soft = classifier(backbone, SOFT, epochs=20, learning_rate=0.3).fit(TEXTS, SETS)
    assert soft.history_[-1]["loss"] < 0.8 * soft.history_[0]["loss"]
    matrix = np.array([[label in own for label in soft.classes_] for own in SETS])
    assert soft.score(TEXTS, matrix) > hard.score(TEXTS, matrix)
    assert all(torch.equal(value, before[name]) for name, value in backbone.model.state_dict().items())
    one, again = (clone(soft).set_params(epochs=2).fit(TEXTS, SETS).predict_proba(TEXTS) for _ in range(2))
    np.testing.assert_array_equal(again, one)


def test_every_form_of_labels_is_the_same(backbone):
    matrix = np.array([[label in own for label in sorted(WORDS)] for own in SETS]).astype(int)
    shuffled = pd.DataFrame(matrix, columns=sorted(WORDS))[["story", "acting", "praise"]]
    expected = classifier(backbone).fit(TEXTS, SETS).predict_proba(TEXTS)
    for y in (matrix, matrix.astype(bool), csr_matrix(matrix), shuffled, [set(own) for own in SETS], map(tuple, SETS)):
        np.testing.assert_array_equal(classifier(backbone).fit(TEXTS, y).predict_proba(TEXTS), expected)


def test_saving(backbone, tmp_path):
    clf = classifier(backbone, SOFT, epochs=1).fit(TEXTS, SETS)
    clf.save(tmp_path / "labels")
    loaded = MultiLabelPromptClassifier.load(tmp_path / "labels", model=backbone)
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), clf.predict_proba(TEXTS))
    np.testing.assert_array_equal(loaded.thresholds_, clf.thresholds_)
    with pytest.raises(ArtifactError, match="load it with MultiLabelPromptClassifier"):
        PromptClassifier.load(tmp_path / "labels", model=backbone)
    PromptClassifier(backbone, SOFT, {"a": "good", "b": "bad"}, epochs=1).fit(TEXTS, ["a", "b"] * 7).save(
        tmp_path / "one"
    )
    with pytest.raises(ArtifactError, match="load it with PromptClassifier"):
        MultiLabelPromptClassifier.load(tmp_path / "one", model=backbone)


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_causal_models_and_chinese(architecture):
    texts = [line for line in models.SENTENCES if not line.isascii()]
    sets = [
        [label for label, cue in {"好评": "好", "酒店": "酒店", "手机": "手机"}.items() if cue in line]
        for line in texts
    ]
    clf = MultiLabelPromptClassifier(
        models.backbone(architecture), "<soft*2><text>这是<mask>", CHINESE, epochs=2, random_state=0
    )
    clf.fit(texts, sets)
    assert clf.predict(texts).shape == (len(texts), 3)
    alone = np.vstack([clf.predict_proba([text]) for text in texts])
    np.testing.assert_allclose(alone, clf.predict_proba(texts), atol=1e-4)


def test_in_scikit_learn(backbone):
    matrix = np.array([[label in own for label in sorted(WORDS)] for own in SETS]).astype(int)
    folds = KFold(2, shuffle=True, random_state=0)
    scores = cross_val_score(classifier(backbone), TEXTS * 2, np.vstack([matrix] * 2), cv=folds, scoring="f1_macro")
    assert scores.shape == (2,)
    assert np.isfinite(scores).all()


class TestErrors:
    def test_not_fitted(self, backbone):
        with pytest.raises(NotFittedError, match="call fit first"):
            classifier(backbone).predict(TEXTS)
        with pytest.raises(NotFittedError, match="call fit first"):
            classifier(backbone).save("nowhere")

    def test_an_unknown_label_names_its_row(self, backbone):
        with pytest.raises(DataError, match=r"row 2 has label 'stroy'.*did you mean 'story'"):
            classifier(backbone).fit(TEXTS[:3], [["story"], [], ["stroy"]])

    def test_one_label_where_several_are_expected(self, backbone):
        with pytest.raises(DataError, match="row 0 of y is 'story'; expected a collection of labels"):
            classifier(backbone).fit(TEXTS[:2], ["story", "acting"])

    def test_a_matrix_of_another_shape(self, backbone):
        with pytest.raises(DataError, match=r"y has shape \(14, 2\).*'acting', 'praise', 'story'"):
            classifier(backbone).fit(TEXTS, np.zeros((len(TEXTS), 2)))

    def test_columns_of_other_names(self, backbone):
        with pytest.raises(DataError, match=r"y has the columns \['x'\]"):
            classifier(backbone).fit(TEXTS, pd.DataFrame({"x": [0] * len(TEXTS)}))

    def test_labels_that_all_or_none_have(self, backbone):
        with pytest.raises(DataError, match="no example has label 'story'"):
            classifier(backbone).fit(TEXTS, [[label for label in own if label != "story"] for own in SETS])
        with pytest.raises(DataError, match="every example has label 'acting'"):
            classifier(backbone).fit(TEXTS, [{*own, "acting"} for own in SETS])

    def test_no_examples(self, backbone):
        with pytest.raises(DataError, match="fit needs at least one example, found none"):
            classifier(backbone).fit([], [])

    def test_lengths_that_differ(self, backbone):
        with pytest.raises(DataError, match="X has 14 examples but y has 13 labels"):
            classifier(backbone).fit(TEXTS, SETS[1:])

    def test_demonstrations(self, backbone):
        with pytest.raises(DataError, match="<demos>"):
            classifier(backbone, "<demos*2><text> It was <mask>.").fit(TEXTS, SETS)
