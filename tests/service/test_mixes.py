"""Rows of prompts of every kind, mixed in concurrent requests, have the answers of each prompt alone."""

import json
import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support import models
from support.many_prompts import CHOICES, LABELS, TEXTS, WORDS, classifiers, random_rows
from support.serving import listening, post

from softcloze import PromptClassifier, PromptSet, predict_stream
from softcloze.registry import Registry

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # models that know nothing

FEW = ("pmi", "front", "linear", "nearest", "choices", "ordinal")


def registered(fitted, folder):
    """A registry in which the prompts of classifiers are live; the classifiers by the names there."""
    registry, named = Registry(folder / "prompts"), {}
    for name, clf in fitted.items():
        named[name.replace(" ", "-").replace("+", "-")] = clf
    for name, clf in named.items():
        registry.promote(str(registry.add(clf.prompt_, name)))
    return registry, named


def labels_of(clf, example):
    """The labels of an example in the order of its probabilities, as JSON writes them."""
    labels = getattr(clf.prompt_.verbalizer, "choices", lambda _: clf.prompt_.verbalizer.labels)(example)
    return [label if isinstance(label, str) else json.dumps(label) for label in labels]


def assert_is(answer, clf, example, expected):
    """Compare an answer with the probabilities of a classifier for the example alone."""
    labels = labels_of(clf, example)
    assert [*answer["probabilities"]] == labels
    given, expected = np.array([*answer["probabilities"].values()]), expected[: len(labels)]
    possible = expected > 0
    np.testing.assert_array_equal(given > 0, possible)
    np.testing.assert_allclose(np.log(given[possible]), np.log(expected[possible]), atol=1e-4)
    if "labels" not in answer and np.ptp(np.sort(expected)[-2:]) > 1e-4:
        label = answer["label"]
        assert (label if isinstance(label, str) else json.dumps(label)) == labels[expected.argmax()]


def assert_mixes(backbone, fitted, folder, mixes, rows, longest=400):
    """Send random mixes in eight threads at once, of which batches have rows of several."""
    registry, named = registered(fitted, folder)
    rows, source = random_rows(named, rows, seed=1, longest=longest), random.Random(2)
    expected = [named[name].predict_proba([example])[0] for name, example in rows]
    chosen = [source.choices(range(len(rows)), k=source.randint(1, 12)) for _ in range(mixes)]

    with listening(registry, backbone) as (service, port):
        assert len(service.catalogue.versions) == len(named) and not service.catalogue.faults

        def ask(mix):
            entries = [{"prompt_id": rows[i][0], "fields": rows[i][1]} for i in mix]
            status, body = post(port, entries[0] if len(mix) == 1 else {"rows": entries})
            assert status == 200
            return body.get("rows", [body])

        with ThreadPoolExecutor(8) as clients:
            for mix, answers in zip(chosen, clients.map(ask, chosen), strict=True):
                assert len(mix) == len(answers)
                for i, answer in zip(mix, answers, strict=True):
                    assert answer["prompt_id"] == rows[i][0]
                    assert_is(answer, named[rows[i][0]], rows[i][1], expected[i])


def test_a_few_mixes(tmp_path):
    backbone = models.backbone("llama")
    assert_mixes(backbone, classifiers(backbone, kinds=FEW), tmp_path, mixes=20, rows=24)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["bert", "llama"])
def test_five_hundred_mixes(architecture, tmp_path):
    """A thousand on two models together."""
    backbone = models.backbone(architecture)
    assert_mixes(backbone, classifiers(backbone), tmp_path, mixes=500, rows=200)


@pytest.mark.slow
def test_mixes_of_a_real_model(bert_tiny, tmp_path):
    assert_mixes(bert_tiny, classifiers(bert_tiny), tmp_path, mixes=100, rows=100, longest=2000)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["bert", "llama"])
def test_public_classes_are_used_in_eight_threads_beside_a_service(architecture, tmp_path):
    """A thousand calls on two models together, while the service scores rows on the same backbone."""
    backbone = models.backbone(architecture)
    fitted = classifiers(backbone, kinds=FEW)
    registry, named = registered(fitted, tmp_path)
    together = PromptSet({name: clf.prompt_ for name, clf in named.items()}, backbone, prefix_memory=1 << 20)
    rows = random_rows(named, 16, seed=3)
    examples = [{"text": text, "choices": CHOICES} for text in TEXTS[:2]]

    def fit():
        clf = PromptClassifier(backbone, "<soft*2> <text> It was <mask>", WORDS, epochs=1, random_state=0)
        return clf.fit(TEXTS, LABELS).predict_proba(TEXTS[:2])

    def served(row):
        (name, example), (status, answer) = row, post(port, {"prompt_id": row[0], "fields": row[1]})
        assert status == 200, (name, example)
        return [*answer["probabilities"].values()]

    calls = [
        *[lambda row=row: served(row) for row in rows],
        *[lambda clf=clf: clf.predict_proba(examples) for clf in named.values()],
        lambda: np.concatenate([row.probabilities for row in together.predict_rows(rows)]),
        lambda: fitted["front"].explain(TEXTS[0]).probabilities,
        lambda: [row.probabilities for row in predict_stream(fitted["front"], iter(TEXTS), window=2)],
        lambda: (
            together.with_prompts({"new": fitted["pmi"].prompt_}).predict_rows([("new", TEXTS[0])])[0].probabilities
        ),
        fit,
    ]
    with listening(registry, backbone) as (_, port):
        expected = [call() for call in calls]
        order = [i % len(calls) for i in range(500)]
        random.Random(4).shuffle(order)
        with ThreadPoolExecutor(8) as pool:
            for i, result in zip(order, pool.map(lambda i: calls[i](), order), strict=True):
                np.testing.assert_allclose(result, expected[i], atol=1e-5)
