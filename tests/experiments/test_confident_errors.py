"""The most confident errors are kept with the most probable words at the mask."""

import numpy as np
import pytest
from support.random_classifiers import SPLIT

from softcloze import PromptClassifier
from softcloze.experiments import Method, Protocol, compare, tfidf
from softcloze.experiments.confident_errors import EXPLAINED, top_words

WORDS = {"good": "good", "bad": "bad"}
TEXTS = ["A delight.", "很好看", "A bore."]


@pytest.mark.parametrize("calibration", [None, "contextual", "batch"])
@pytest.mark.parametrize("template", ["<text> It was <mask>.", "<soft*2> <text> It was <mask>."])
def test_the_words_are_those_that_the_classifier_explains(bert_tiny, template, calibration):
    clf = PromptClassifier(bert_tiny, template, WORDS, calibration=calibration, epochs=1, random_state=0)
    if "soft" in template or calibration == "batch":
        clf.fit(TEXTS, ["good", "good", "bad"])
    elif calibration is not None:
        clf.calibrate()
    found = top_words(clf, TEXTS, [2, 0])
    assert list(found) == [2, 0]
    for row, words in found.items():
        expected = clf.explain(TEXTS[row], top=8).top
        assert [(word.token, word.label) for word in words] == [(word.token, word.label) for word in expected]
        assert [word.probability for word in words] == pytest.approx([word.probability for word in expected], abs=1e-5)


def test_what_cannot_be_explained_has_none(bert_tiny):
    head = PromptClassifier(bert_tiny, "<text> It was <mask>.", WORDS, head="warp", epochs=1, random_state=0)
    labels = ["good", "good", "bad"]
    assert top_words(head.fit(TEXTS, labels), TEXTS, [0]) == {} == top_words(tfidf().fit(TEXTS, labels), TEXTS, [0])


def test_a_report_shows_them_also_of_kept_runs(bert_tiny, tmp_path):
    methods = [Method("hard", PromptClassifier(bert_tiny, "It was <mask>. <text>", WORDS))]
    found, again = (compare(methods, SPLIT, Protocol(shots=2, seeds=1), folder=tmp_path / "runs") for _ in range(2))
    (run,) = found.runs
    given = run.probabilities.argmax(1)
    wrong = sorted(np.flatnonzero(given != found.truth), key=lambda row: -run.probabilities[row].max())
    assert list(run.top_words) == wrong[:EXPLAINED] and again.runs[0].top_words == run.top_words
    html = again.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "below each, the most probable words at the mask.</p>" in html
    assert f"{run.top_words[wrong[0]][0].token}</bdi>" in html
