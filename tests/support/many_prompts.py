"""Prompts of every kind on one backbone, with the classifiers that they come from."""

import random

from softcloze import (
    FieldVerbalizer,
    MultiLabelPromptClassifier,
    OrdinalVerbalizer,
    PromptClassifier,
    RuleVerbalizer,
    Verbalizer,
)
from support import models

TEXTS, LABELS = models.SENTENCES[:6] + models.SENTENCES[14:16], ["good", "bad"] * 4
WORDS = {"good": ["good", "great"], "bad": "bad"}
THREE = {"good": "good", "bad": "bad", "so-so": ["dull", "long"]}
RULES = RuleVerbalizer({"good": {"a": "good", "b": "film"}, "bad": {"a": "bad", "b": "story"}})
CHOICES = ["the acting", "the story was bad", "music"]
TAIL = "<text> It was <mask>"
KINDS = {
    "hard": (TAIL, WORDS, {}),
    "pmi": ("Review: <text> It was <mask>", WORDS, {"calibration": "pmi"}),
    "domain": ("It is about a film. <text> It was <mask>", WORDS, {"calibration": "domain"}),
    "batch": ("<text>总之，很<mask>。", {"good": "good", "bad": "bad"}, {"calibration": "batch"}),
    "front": ("<soft*5> <text> It was <mask>", WORDS, {}),
    "another front": ("<soft*5> <text> It was <mask>", WORDS, {"random_state": 1}),
    "behind": ("<text> <soft*2> It was <mask>", WORDS, {"calibration": "domain"}),
    "between": ("A film: <soft*2> <text> <soft*2> In all, <mask>.", Verbalizer(WORDS, length_norm="character"), {}),
    "deep": ("<soft*3 layers=all> <text> It was <mask>", WORDS, {}),
    "from": ("A good film: <soft*3 from=text> <text> It was <mask>", WORDS, {}),
    "from states": ("<soft*2 from=text from_by=states> <text> It was <mask>", WORDS, {}),
    "from late": ("<text> <soft*2 from=text layers=1> It was <mask>", WORDS, {}),
    "linear": (TAIL, WORDS, {"head": "linear"}),
    "mean": (TAIL, WORDS, {"head": "linear", "features": "mean"}),
    "words+linear": ("In all, <text> It was <mask>", WORDS, {"head": "words+linear"}),
    "warp": ("<soft*2> <text> It was <mask>", WORDS, {"head": "warp"}),
    "prototypes": (TAIL, THREE, {"head": "prototypes"}),
    "rules": ("<text> It was a <mask name=a> <mask name=b>.", RULES, {}),
    "demos": ("Good or bad? <demos*2> <text> It was <mask>", WORDS, {}),
    "nearest": ("<demos*2> <text> It was <mask>", WORDS, {"demonstrations": "nearest"}),
    "ordinal": ("A film. <text> It was <mask>", OrdinalVerbalizer([0, 1, 2], "bad", "good"), {}),
    "choices": ("<text> It was <mask>", FieldVerbalizer("choices", most=3, answers="word"), {}),
}
LABELS_OF = {
    "prototypes": (["good", "bad", "so-so"] * 3)[:8],
    "ordinal": [0, 1, 2, 0, 1, 2, 0, 1],
    "choices": [CHOICES[i % 3] for i in range(8)],
}


def classifiers(backbone, max_length=None, kinds=KINDS):
    """A fitted classifier of each kind, and one of several labels an example."""
    fitted = {}
    for name in kinds:
        template, words, options = KINDS[name]
        X = [{"text": text, "choices": CHOICES} for text in TEXTS] if name == "choices" else TEXTS
        options = {"random_state": 0, "epochs": 1, "max_length": max_length, **options}
        fitted[name] = PromptClassifier(backbone, template, words, **options).fit(X, LABELS_OF.get(name, LABELS))
    both = [["good"], ["bad"], [], ["good", "bad"]] * 2
    fitted["several"] = MultiLabelPromptClassifier(backbone, TAIL, WORDS, max_length=max_length).fit(TEXTS, both)
    return fitted


def random_rows(names, count, seed, longest=400):
    """Rows of random prompts with pieces of the corpus in both languages, of one character up to `longest`."""
    source = random.Random(seed)
    corpus = " ".join(models.SENTENCES) * 3
    rows = []
    for _ in range(count):
        name, start = source.choice(list(names)), source.randrange(1000)
        text = corpus[start : start + int(longest ** source.random())]
        rows.append((name, {"text": text, "choices": source.sample(CHOICES, source.choice((2, 3)))}))
    return rows
