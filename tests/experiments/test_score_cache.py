import numpy as np
import pytest

from softcloze import PromptClassifier
from softcloze.experiments import tfidf
from softcloze.experiments.score_cache import ScoreCache
from softcloze.prompt import BoundPrompt

TEXTS = ["A delight from start to finish.", "A dull, endless bore.", "很好看", "不好看", "A film."]
LABELS = ["positive", "negative", "positive", "negative", "negative"]
WORDS = {"negative": "bad", "positive": "good"}


@pytest.fixture
def passes(monkeypatch):
    """The number of texts of each pass of the model."""
    seen = []
    features = BoundPrompt.features

    def counted(self, prompts):
        seen.append(len(prompts))
        return features(self, prompts)

    monkeypatch.setattr(BoundPrompt, "features", counted)
    return seen


def prompt(bert_tiny, template="<text> It was <mask>.", **settings):
    return PromptClassifier(bert_tiny, template, WORDS, random_state=0, **settings)


@pytest.mark.parametrize("calibration", [None, "batch", "domain", "temperature"])
def test_the_same_as_the_classifier_gives_by_itself(bert_tiny, calibration, passes):
    readings = ScoreCache(TEXTS)
    readings.predict_proba(prompt(bert_tiny))
    own = prompt(bert_tiny, calibration=calibration).fit(TEXTS * 2, LABELS * 2)
    passes.clear()  # whatever learning the calibration took
    found, seconds = readings.predict_proba(own)
    assert passes == []
    assert seconds > 0
    np.testing.assert_allclose(found, own.predict_proba(TEXTS), atol=1e-6)


@pytest.mark.parametrize("head", ["warp", "linear", "words+linear", "prototypes"])
def test_heads_on_a_frozen_prompt_share_the_features_of_all_draws(bert_tiny, head, passes):
    readings = ScoreCache(TEXTS)
    readings.predict_proba(prompt(bert_tiny))
    first, second = (
        prompt(bert_tiny, head=head, epochs=1).fit(TEXTS * 4, labels * 4) for labels in (LABELS, LABELS[::-1])
    )
    readings.predict_proba(first)
    passes.clear()
    found, _ = readings.predict_proba(second)
    assert passes == []
    np.testing.assert_allclose(found, second.predict_proba(TEXTS), atol=1e-6)
    assert np.abs(found - first.predict_proba(TEXTS)).max() > 1e-4


def test_heads_on_other_states_have_features_of_their_own(bert_tiny, passes):
    readings = ScoreCache(TEXTS)
    for features in ("mask", "mean"):
        own = prompt(bert_tiny, head="linear", features=features).fit(TEXTS * 4, LABELS * 4)
        passes.clear()
        found, _ = readings.predict_proba(own)
        assert passes == [5]
        np.testing.assert_allclose(found, own.predict_proba(TEXTS), atol=1e-6)


def test_other_words_are_read_on_their_own(bert_tiny, passes):
    readings = ScoreCache(TEXTS)
    first, _ = readings.predict_proba(prompt(bert_tiny))
    for other in (prompt(bert_tiny, "<text> All in all <mask>."), prompt(bert_tiny, max_length=8)):
        passes.clear()
        found, _ = readings.predict_proba(other)
        assert passes == [5]
        np.testing.assert_allclose(found, other.predict_proba(TEXTS), atol=1e-6)
        assert np.abs(found - first).max() > 1e-3


@pytest.mark.parametrize(
    "learns",
    [
        {"template": "<soft*2> <text> It was <mask>.", "epochs": 1},
        {"template": "<demos*1> <text> It was <mask>."},
    ],
)
def test_what_learns_more_reads_by_itself(bert_tiny, learns):
    assert ScoreCache(TEXTS).predict_proba(prompt(bert_tiny, **learns).fit(TEXTS, LABELS)) is None


def test_what_is_no_prompt_or_has_no_calibration_yet_reads_by_itself(bert_tiny):
    readings = ScoreCache(TEXTS)
    assert readings.predict_proba(tfidf().fit(TEXTS, LABELS)) is None
    assert readings.predict_proba(prompt(bert_tiny, calibration="contextual")) is None
