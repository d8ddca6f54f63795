"""`PromptClassifier.explain`: the prompt as it predicts, whatever it is made of."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from support import models

from softcloze import PromptClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # models that know nothing

WORDS = {"bad": "bad", "good": ["good", "great"]}
TEXTS, LABELS = models.SENTENCES[:8], ["good", "bad"] * 4
TEMPLATES = {
    "hard": "<text> It was <mask>",
    "soft": "<soft*2> <text> It was <mask>",
    "demonstrations": "<demos*2><text> It was <mask>",
}


def classifier(template, **parameters):
    return PromptClassifier(models.backbone("llama"), template, WORDS, epochs=1, random_state=0, **parameters)


@pytest.mark.parametrize("calibration", [None, "contextual"])
@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_it_explains_what_is_predicted(template, calibration):
    clf = classifier(template, calibration=calibration).fit(TEXTS, LABELS)
    for text in ("A dull film.", "这部电影很好。"):
        explanation = clf.explain(text, top=3)
        assert explanation.labels == ("bad", "good")
        np.testing.assert_allclose(explanation.probabilities, clf.predict_proba([text])[0], atol=1e-6)
        assert explanation.predicted == clf.predict([text])[0]
        assert len(explanation.top) == 3


def test_a_calibration_leaves_the_words_alone():
    plain, calibrated = (classifier(TEMPLATES["hard"], calibration=method) for method in (None, "contextual"))
    one, other = plain.explain("A dull film."), calibrated.calibrate().explain("A dull film.")
    assert one.words == other.words and one.top == other.top
    assert one.probabilities != other.probabilities


def test_slots_have_to_be_trained():
    with pytest.raises(NotFittedError, match="are not trained yet"):
        classifier(TEMPLATES["soft"]).explain("A dull film.")
