"""Short texts, label words for three labels, and a classifier that gives the texts all three."""

from softcloze import PromptClassifier
from support import models

WORDS = {"positive": ["good", "great"], "negative": ["bad", "terrible"], "mixed": ["dull", "long"]}
TEXTS = [f"{models.SENTENCES[i % 24]} {i}"[i % 9 :] for i in range(64)]


def fitted_classifier(backbone):
    """Fitted to labels that follow no rule, so that all of them occur."""
    clf = PromptClassifier(backbone, "<text> It was <mask>", WORDS, head="linear", random_state=0)
    return clf.fit(TEXTS, [list(WORDS)[i % 3] for i in range(len(TEXTS))])
