"""Training in parts: `partial_fit` continues from the vectors and the head as they are."""

import numpy as np
import pytest
import torch
from support import models

from softcloze import PromptClassifier
from softcloze.errors import DataError, ParameterError
from softcloze.training import TrainingSettings

WORDS = {"pos": "good", "neg": "bad"}
TEXTS, LABELS = models.SENTENCES[:8], ["pos", "neg"] * 4
HARD, SOFT = "<text> It was <mask>.", "<soft*2> <text> It was <mask>."


def classifier(template=SOFT, verbalizer=WORDS, **parameters):
    return PromptClassifier(models.backbone("bert"), template, verbalizer, random_state=0, **parameters)


@pytest.mark.parametrize(("template", "head"), [(SOFT, "words"), (SOFT, "words+linear"), (HARD, "warp")])
def test_calls_are_fits_of_one_epoch_that_start_where_the_last_ended(template, head):
    warm = classifier(template, head=head, epochs=1, warm_start=True)
    parts = classifier(template, head=head, epochs=7)
    for rows in (slice(4), slice(4, 8)):
        warm.fit(TEXTS[rows], LABELS[rows])
        parts.partial_fit(TEXTS[rows], LABELS[rows])
        np.testing.assert_array_equal(parts.predict_proba(TEXTS), warm.predict_proba(TEXTS))
    assert len(parts.history_) == 1
    assert parts.epochs == 7 and not parts.warm_start and parts.training is None


def test_a_call_may_have_one_label_alone():
    clf = classifier().partial_fit(TEXTS[::2], ["pos"] * 4)
    before = clf.prompt_.vectors["#1"].clone()
    clf.partial_fit(TEXTS[1::2], ["neg"] * 4)
    assert not torch.equal(clf.prompt_.vectors["#1"], before)
    with pytest.raises(DataError, match="y holds only the label 'pos'"):
        clf.fit(TEXTS[::2], ["pos"] * 4)


def test_labels_without_a_verbalizer():
    clf = classifier(verbalizer=None).partial_fit(TEXTS[:1], ["good"], classes=["good", "bad"])
    assert clf.partial_fit(TEXTS[:1], ["bad"]).classes_.tolist() == ["bad", "good"]
    clf.partial_fit(TEXTS[:1], ["bad"], classes=["good", "bad"])
    for known in (clf, classifier()):
        with pytest.raises(DataError, match="has label 'fair', which the verbalizer does not name"):
            known.partial_fit(TEXTS[:1], ["good"], classes=["good", "bad", "fair"][::-1])
    with pytest.raises(DataError, match="y holds only the label 'good'"):
        classifier(verbalizer=None).partial_fit(TEXTS[:1], ["good"])
    with pytest.raises(DataError, match="row 0 has label 'poor'"):
        clf.partial_fit(TEXTS[:1], ["poor"])


def test_it_follows_a_fit_and_a_loaded_prompt(tmp_path):
    clf = classifier(epochs=1, training=TrainingSettings(early_stopping=True, validation_fraction=0.25))
    clf.fit(TEXTS, LABELS).save(tmp_path / "prompt")
    loaded = PromptClassifier.load(tmp_path / "prompt", clf.model).partial_fit(TEXTS[:2], LABELS[:2])
    clf.partial_fit(TEXTS[:2], LABELS[:2])
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), clf.predict_proba(TEXTS))


@pytest.mark.parametrize(
    "parameters", [{"calibration": "batch"}, {"head": "prototypes"}, {"template": "<demos*2> <text> It was <mask>."}]
)
def test_what_is_learnt_from_all_examples_raises(parameters):
    with pytest.raises(ParameterError, match="are learnt from all examples at once; call fit"):
        classifier(**parameters).partial_fit(TEXTS, LABELS)
