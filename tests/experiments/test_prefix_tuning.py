"""PEFT's prefix tuning as a method of the study: it learns, and padding changes no probability."""

import numpy as np
import pytest
from support import models

from benchmarks.soft_prompts.prefix_tuning import PrefixTuningClassifier
from softcloze.data import Examples
from softcloze.errors import ParameterError
from softcloze.experiments.methods import measure_classifier
from softcloze.experiments.score_cache import ScoreCache

TEXTS, LABELS = ["good film", "a bad and long film that we saw", "good", "bad"] * 2, [1, 0] * 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    saved = tmp_path_factory.mktemp("llama")
    models.model("llama").save_pretrained(saved)
    models.tokenizer(models.ARCHITECTURES["llama"]).save_pretrained(saved)
    return str(saved)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_it_learns_and_padding_changes_nothing(folder):
    clf = PrefixTuningClassifier(folder, "<text> It was<mask>", {0: "a", 1: "b"}, learning_rate=0.1, dtype="float32")
    clf.fit(TEXTS, LABELS)
    assert clf.score(TEXTS, LABELS) == 1.0
    together = clf.predict_proba(TEXTS[:4])
    alone = np.concatenate([clf.predict_proba([text]) for text in TEXTS[:4]])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert together.sum(1) == pytest.approx(1)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_keys_and_values_are_counted(folder):
    clf = PrefixTuningClassifier(folder, "<text> It was<mask>", {0: "a", 1: "b"}, epochs=1, dtype="float32")
    measured = measure_classifier(clf, Examples(TEXTS, LABELS), ScoreCache(TEXTS[:1]), (0, 1))
    layers, of_layer = 2, 2 * 2 * 8  # keys and values of two heads of width 8
    assert measured.trainable == 10 * layers * of_layer
    assert measured.artifact_bytes == 4 * measured.trainable


def test_words_of_several_tokens_are_refused(folder):
    clf = PrefixTuningClassifier(folder, "<text> It was<mask>", {0: "unbelievably bad", 1: "b"})
    with pytest.raises(ParameterError, match="label words of several tokens; expected one token each"):
        clf.fit(TEXTS, LABELS)
