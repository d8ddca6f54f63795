"""Comparisons with simulated runs of a given skill; nothing is trained."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from softcloze.experiments import Comparison, MethodCard, Protocol, Run

TEXTS = ("Two hours that I want back.", "The acting is superb.", "太失望了，看到一半就走了。", "剧情很棒，值得再看。")
CLASSES = ("negative", "positive")
METHODS = (
    MethodCard("hard prompt", "The template as it stands, without training.", "<text> 总之，很 <mask>。"),
    MethodCard("soft prompt", "Ten vectors in front of the text are trained.", "<soft*10> <text> It was <mask>."),
    MethodCard("TF-IDF", "Logistic regression on words.", None),
)
SKILL = {"hard prompt": 0.8, "soft prompt": 1.6, "TF-IDF": 0.3}  # how far a row is pushed towards its label
COSTS = {  # numbers trained, seconds to train and to predict, bytes to keep
    "hard prompt": (0, 0.0, 4.0, 0),
    "soft prompt": (7680, 41.0, 4.2, 31_000),
    "TF-IDF": (2400, 0.02, 0.01, 190_000),
}


def run(method, shots, seed, truth, skill, classes=2, costs=(0, 0.0, 1.0, None)):
    """A run whose accuracy grows with its skill; examples are equally hard for all methods."""
    hardness = np.random.default_rng(7).normal(size=(len(truth), classes))
    own = np.random.default_rng([seed, sum(method.encode())]).normal(size=(len(truth), classes))
    scores = hardness + 0.4 * own + skill * np.eye(classes)[truth]
    odds = np.exp(2 * scores)
    trainable, fit, predict, kept = costs
    probabilities = (odds / odds.sum(1, keepdims=True)).astype(np.float32)
    return Run(method, shots, seed, probabilities, trainable, fit, predict, 812_000_000, kept)


def failed(method, shots, seed, reason):
    return Run(method, shots, seed, None, 0, 0.0, 0.0, 0, None, error=reason)


def made(
    *, shots=(16,), seeds=3, rows=60, methods=METHODS, skill=SKILL, classes=CLASSES, texts=TEXTS, labels=None, **changes
):
    """A comparison; hard prompts do not learn, the other methods improve with more examples."""
    labels = [classes[i % len(classes)] for i in range(rows)] if labels is None else labels
    truth = np.array([classes.index(label) for label in labels])
    runs = []
    for card in methods:
        learns = card.template is None or "<soft" in card.template
        for i, size in enumerate(shots if learns else (0,)):
            for seed in range(seeds if learns else 1):
                better = skill.get(card.name, 1.0) + 0.25 * i
                costs = COSTS.get(card.name, (10, 1.0, 1.0, 40))
                runs.append(run(card.name, size, seed, truth, better, len(classes), costs))
    settings = {
        "task": "Film reviews",
        "model": "SmolLM2-135M",
        "parameters": 134_515_008,
        "classes": tuple(classes),
        "texts": tuple(texts[i % len(texts)] for i in range(rows)),
        "labels": tuple(labels),
        "methods": tuple(methods),
        "runs": tuple(runs),
        "protocol": Protocol(shots=shots, seeds=seeds, test_rows=rows),
        "environment": {"python": "3.11.2", "torch": "2.13.0", "processor": "Xeon, 2 cores"},
        "command": "softcloze compare --shots 16 --seeds 3",
    }
    return Comparison(**(settings | changes))


@pytest.fixture
def make():
    """A function that makes comparisons."""
    return made


@pytest.fixture(scope="session")
def make_once():
    """A function that makes one comparison with everything in it, once."""
    return cache(_everything)


@pytest.fixture(scope="session")
def make_hostile():
    """A function that makes a comparison in which every text from outside is the same."""

    def make(text):
        templates = (text, "<soft>" + text, None)
        methods = tuple(MethodCard(f"{i} {text}", text, template) for i, template in enumerate(templates))
        broken = failed(methods[0].name, 4, 1, text)
        found = made(shots=(4, 16), rows=20, seeds=2, methods=methods, classes=("a", text), texts=(text,))
        runs = (*found.runs, broken)
        return replace(found, runs=runs, task=text, model=text, environment={text: text}, command=text)

    return make


def _everything():
    found = made(shots=(4, 64, "all"))
    return replace(found, runs=(*found.runs[:-1], failed("TF-IDF", "all", 2, "MemoryError: no room for ten vectors")))
