"""Explanations of heads with a linear layer: the parts add up to what is predicted."""

from io import StringIO

import numpy as np
import pytest
from rich.console import Console
from support import models

from softcloze import PromptClassifier
from softcloze.analysis import head_shares
from softcloze.errors import DataError, ParameterError

WORDS = {"bad": "bad", "good": ["good", "great"]}
TEXTS, LABELS = models.SENTENCES[:8], ["good", "bad"] * 4
TEMPLATES = ("<text> It was <mask>", "<soft*2> <text> It was <mask>")


def classifier(head, template=TEMPLATES[0], **parameters):
    clf = PromptClassifier(models.backbone("llama"), template, WORDS, head=head, epochs=1, random_state=0)
    return clf.set_params(**parameters).fit(TEXTS, LABELS)


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("head", ["linear", "words+linear"])
def test_the_parts_add_up_to_the_probabilities(head, template):
    clf = classifier(head, template)
    for text in ("A dull film.", "这部电影很好。"):
        explanation = clf.explain(text, top=3)
        scores = [part.words + part.linear for part in explanation.parts]
        np.testing.assert_allclose(np.exp(scores) / np.exp(scores).sum(), explanation.probabilities, atol=1e-6)
        np.testing.assert_allclose(explanation.probabilities, clf.predict_proba([text])[0], atol=1e-6)
        assert len(explanation.top) == 3
        assert [part.label for part in explanation.parts] == ["bad", "good"]
        if head == "linear":
            assert explanation.words == () and all(part.share_of_words == 0 for part in explanation.parts)


def test_words_are_those_of_a_prompt_without_the_layer():
    clf, plain = classifier("words+linear"), PromptClassifier(models.backbone("llama"), TEMPLATES[0], WORDS)
    explained, expected = clf.explain(TEXTS[0]), plain.explain(TEXTS[0])
    for word, other in zip(explained.words, expected.words, strict=True):
        assert (word.label, word.word) == (other.label, other.word)
        numbers = [(each.log_probability, each.score, each.share) for each in (word, other)]
        np.testing.assert_allclose(*numbers, atol=1e-5)
    logs = np.log(expected.probabilities)
    scaled = float(clf.prompt_.head_tensors["scale"]) * (logs - logs.mean())
    np.testing.assert_allclose([part.words for part in explained.parts], scaled, atol=1e-5)


def test_the_terminal_shows_them():
    console = Console(width=100, record=True, file=StringIO())
    console.print(classifier("words+linear").explain("A dull film."))
    shown = console.export_text()
    assert "share of words" in shown and "linear layer" in shown and "top words" in shown
    console.print(classifier("linear").explain("A dull film."))
    assert "a linear layer on the state decides" in console.export_text()


def test_a_calibration_leaves_the_parts_alone():
    plain, calibrated = (classifier("linear", calibration=method).explain(TEXTS[0]) for method in (None, "temperature"))
    assert plain.parts == calibrated.parts and plain.probabilities != calibrated.probabilities


def test_mean_shares_of_several_examples():
    clf = classifier("words+linear")
    shares = head_shares(clf, TEXTS)
    explained = [clf.explain(text).parts for text in TEXTS]
    for i, label in enumerate(shares.labels):
        assert label.words == pytest.approx(np.mean([abs(parts[i].words) for parts in explained]), abs=1e-5)
        assert label.linear == pytest.approx(np.mean([abs(parts[i].linear) for parts in explained]), abs=1e-5)
    with pytest.raises(DataError, match="no examples"):
        head_shares(clf, [])
    with pytest.raises(ParameterError, match="head='warp' adds no linear layer"):
        head_shares(classifier("warp"), TEXTS)
