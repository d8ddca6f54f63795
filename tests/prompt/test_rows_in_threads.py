"""Eight threads that use everything on one backbone at once get the results of one thread."""

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support import models
from support.many_prompts import CHOICES, LABELS, TEXTS, WORDS, classifiers, random_rows
from support.threads import THREADS, flags, frequent_switches

from softcloze import PromptClassifier, PromptEnsemble, PromptSet, predict_stream

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # models that know nothing


@pytest.fixture(autouse=True)
def switch_often():
    with frequent_switches():
        yield


def calls_on(backbone, fitted):
    """Functions without arguments by name, of all classes that score; each returns numbers."""
    prompts = {name: clf.prompt_ for name, clf in fitted.items()}
    anew, keeping = PromptSet(prompts, backbone), PromptSet(prompts, backbone, prefix_memory=1 << 20)
    tight = PromptSet(prompts, backbone, prefix_memory=12_000)  # bytes for one or two prefixes
    rows = random_rows(prompts, 24, seed=0)
    ensemble = PromptEnsemble([PromptClassifier(backbone, t, WORDS) for t in ("<text> It was <mask>", "<text> <mask>")])
    ensemble.fit(TEXTS, LABELS)
    single = ["hard", "front", "linear", "demos", "nearest"]

    def numbers(predictions):
        assert all(prediction.error is None for prediction in predictions)
        return np.concatenate([prediction.probabilities for prediction in predictions])

    def swapped():
        changed = keeping.with_prompts({"hard": prompts["front"]}).without("demos")
        return numbers(changed.predict_rows([("hard", TEXTS[0]), ("pmi", TEXTS[1])]))

    def waiting():
        encoded = keeping.encode_rows(rows[:5])
        assert all(row.cost > 0 for row in encoded)
        return numbers(anew.score_rows(encoded))

    calls = {f"classifier {name}": lambda name=name: fitted[name].predict_proba(TEXTS[:3]) for name in single}
    calls |= {f"explain {name}": lambda name=name: fitted[name].explain(TEXTS[0]).probabilities for name in single[:2]}
    calls |= {
        f"rows of {name}": lambda one=one, i=i: numbers(one.predict_rows(rows[i : i + 8]))
        for name, one in (("anew", anew), ("keeping", keeping), ("tight", tight))
        for i in (0, 8, 16)
    }
    calls |= {
        "swapped": swapped,
        "waiting": waiting,
        "ensemble": lambda: ensemble.predict_proba(TEXTS[:3]),
        "stream": lambda: [row.probabilities for row in predict_stream(fitted["front"], iter(TEXTS[:5]), window=2)],
        "set": lambda: np.concatenate(
            [p.ravel() for p in keeping.predict_proba([{"text": text, "choices": CHOICES} for text in TEXTS[:2]])]
        ),
    }
    return calls


def assert_equal_in_threads(backbone, fitted, count):
    calls = calls_on(backbone, fitted)
    expected = {name: call() for name, call in calls.items()}
    before = flags(backbone.model)
    order = [name for _, name in zip(range(count), [*calls] * count, strict=False)]
    random.Random(0).shuffle(order)
    with ThreadPoolExecutor(THREADS) as pool:
        futures = [(name, pool.submit(calls[name])) for name in order]
        for name, future in futures:
            np.testing.assert_allclose(future.result(), expected[name], atol=1e-5, err_msg=name)
    assert flags(backbone.model) == before


def test_few_calls():
    backbone = models.backbone("llama")
    kinds = ["hard", "pmi", "front", "linear", "demos", "nearest"]
    assert_equal_in_threads(backbone, classifiers(backbone, kinds=kinds), 40)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["bert", "llama", "bloom", "t5", "bert_tiny"])
def test_a_thousand_calls(architecture, request):
    """On five models together."""
    starter = architecture == "bert_tiny"
    backbone = request.getfixturevalue(architecture) if starter else models.backbone(architecture)
    assert_equal_in_threads(backbone, classifiers(backbone, max_length=128 if starter else None), 200)
