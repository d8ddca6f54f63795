"""Threads that share classifiers, backbones and models get the answers that they would get alone."""

import asyncio
import copy
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
import torch
from support import models
from support.threads import THREADS, flags, frequent_switches

from softcloze import PromptClassifier, PromptSet, load_backbone, predict_stream
from softcloze.backbone import Backbone
from softcloze.backbone.locking import lock_of

WORDS = {"pos": "good", "neg": "bad"}
TEXTS = models.SENTENCES[:6]
LABELS = ["pos", "neg"] * 3
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # these models know nothing


@pytest.fixture(autouse=True)
def switch_often():
    with frequent_switches():
        yield


def in_threads(calls, repeats=5):
    """Run every call several times in threads; the results of each, in order."""
    with ThreadPoolExecutor(THREADS) as pool:
        futures = [[pool.submit(call) for call in calls] for _ in range(repeats)]
        return [[future.result() for future in column] for column in zip(*futures, strict=True)]


def assert_alike(repeated, expected):
    for results, alone in zip(repeated, expected, strict=True):
        for result in results:
            np.testing.assert_allclose(result, alone, atol=1e-5)


def starter():
    return load_backbone("starter:bert-tiny", dtype="float32", device="cpu")


BACKBONES = {
    "bert-tiny": starter,
    "gpt2": lambda: models.backbone("gpt2"),
    "llama": lambda: models.backbone("llama"),
    "t5": lambda: models.backbone("t5"),
}


@pytest.mark.parametrize("name", BACKBONES)
def test_one_classifier_answers_eight_threads(name):
    """huggingface/tokenizers#537, huggingface/transformers#47085, stanford-crfm/helm#1421"""
    clf = PromptClassifier(BACKBONES[name](), "<text> It was <mask>", WORDS)
    expected = [clf.predict_proba(TEXTS[i:]) for i in range(4)]
    before = flags(clf._bound.backbone.model)
    assert_alike(in_threads([lambda i=i: clf.predict_proba(TEXTS[i:]) for i in range(4)], repeats=15), expected)
    assert flags(clf._bound.backbone.model) == before


@pytest.mark.parametrize("name", BACKBONES)
def test_different_prompts_share_a_model(name):
    backbone = BACKBONES[name]()
    second = Backbone(backbone.model, backbone.tokenizer, "the same model")
    before = flags(backbone.model)
    options = [
        {"template": "<text> It was <mask>"},
        {"template": "<soft*2> <text> It was <mask>"},
        {"template": "<text> It was <mask>", "head": "linear"},
        {"template": "<soft> <text> All in all, <mask>", "head": "warp"},
        {"template": "<text> In all, a <mask>", "verbalizer": {"pos": ["good", "wonderful"], "neg": "terrible"}},
        {"template": "<demos*1> <text> It was <mask>", "demonstrations": "nearest"},
    ]
    classifiers = [
        PromptClassifier(
            model, **{"verbalizer": WORDS, **parameters}, epochs=1, batch_size=6, max_length=100, random_state=0
        ).fit(TEXTS, LABELS)
        for model, parameters in zip([backbone, second] * 3, options, strict=True)
    ]
    expected = [clf.predict_proba(TEXTS) for clf in classifiers]
    assert_alike(in_threads([lambda clf=clf: clf.predict_proba(TEXTS) for clf in classifiers], repeats=8), expected)
    assert flags(backbone.model) == before


@pytest.mark.parametrize("name", ["bert-tiny", "gpt2"])
def test_fits_beside_predictions_leave_the_flags_as_found(name):
    backbone = BACKBONES[name]()
    clf = PromptClassifier(backbone, "<text> It was <mask>", WORDS)
    usual, shares = clf.predict_proba(TEXTS), clf.explain(TEXTS[0]).probabilities
    before = flags(backbone.model)

    def fit(seed):
        made = PromptClassifier(backbone, "<soft*2> <text> It was <mask>", WORDS, epochs=2, random_state=seed)
        return made.fit(TEXTS, LABELS).predict_proba(TEXTS)

    calls = [
        lambda: clf.predict_proba(TEXTS),
        lambda: [row.probabilities for row in predict_stream(clf, TEXTS, window=2)],
        lambda: clf.explain(TEXTS[0]).probabilities,
        lambda: fit(0),
        lambda: fit(1),
    ]
    assert_alike(in_threads(calls), [usual, usual, shares, fit(0), fit(1)])
    assert flags(backbone.model) == before


def test_a_classifier_is_fitted_while_it_predicts():
    clf = PromptClassifier(models.backbone("bert"), "<soft*2> <text> It was <mask>", WORDS, epochs=1, random_state=0)
    usual = clf.fit(TEXTS, LABELS).predict_proba(TEXTS)
    calls = [lambda: clf.predict_proba(TEXTS), lambda: clf.fit(TEXTS, LABELS).predict_proba(TEXTS)]
    assert_alike(in_threads(calls, repeats=10), [usual, usual])


def test_asyncio_and_joblib():
    clf = PromptClassifier(models.backbone("gpt2"), "<text> It was <mask>", WORDS)
    expected = clf.predict_proba(TEXTS)

    async def serve():
        return await asyncio.gather(*(asyncio.to_thread(clf.predict_proba, TEXTS) for _ in range(24)))

    assert_alike([asyncio.run(serve())], [expected])
    parallel = joblib.Parallel(n_jobs=THREADS, backend="threading")
    assert_alike([parallel(joblib.delayed(clf.predict_proba)(TEXTS) for _ in range(24))], [expected])


@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
def test_the_model_can_be_used_and_wrapped_beside_predictions(architecture):
    """Its owner sees no hook and no cut weight of a call in another thread, and neither does a new backbone."""
    backbone = models.backbone(architecture)
    clf = PromptClassifier(backbone, "<text> It was <mask>", WORDS)
    ids = torch.tensor([backbone.prompt_tokenizer.ids(TEXTS[0])])

    def own_logits():
        with torch.no_grad():
            return backbone.model(input_ids=ids).logits

    def wrapped():
        again = Backbone(backbone.model, backbone.tokenizer, "again")
        return [again.embedding_rms, again.token_budget, int(again.fingerprint["model"][:8], 16)]

    calls = [lambda: clf.predict_proba(TEXTS), own_logits, wrapped]
    assert_alike(in_threads(calls, repeats=15), [call() for call in calls])


def test_prompts_on_one_backbone_are_compiled_in_threads():
    backbone = models.backbone("bert")

    def score(i):
        words = {"pos": "good", "neg": ["bad", "terrible"][i % 2]}
        prompt = PromptClassifier(backbone, f"{i} <text> It was <mask>.", words)._bound_prompt().prompt
        return PromptSet([prompt], backbone).predict_proba(TEXTS)[0]

    assert_alike(in_threads([lambda i=i: score(i) for i in range(8)]), [score(i) for i in range(8)])


def test_threads_load_a_model_once():
    name = "starter:bert-tiny"
    backbones = in_threads([lambda: load_backbone(name, dtype="float32", device="cpu")] * THREADS, repeats=1)
    assert len({id(backbone) for column in backbones for backbone in column}) == 1


def test_calibrations_leave_the_filters_of_warnings_alone():
    clf = PromptClassifier(models.backbone("bert"), "<text> It was <mask>.", WORDS, calibration="prototypical")
    before = [*warnings.filters]
    in_threads([lambda: clf.calibrate(models.SENTENCES[:8])] * THREADS)
    assert warnings.filters == before


def test_a_backbone_is_copied_and_pickled_while_its_lock_is_held(bert_tiny):
    backbone = bert_tiny
    with backbone.frozen():
        for again in (copy.copy(backbone), copy.deepcopy(backbone), pickle.loads(pickle.dumps(backbone))):
            assert PromptClassifier(again, "<text> It was <mask>.", WORDS).predict(TEXTS[:1]).shape == (1,)
    wrapped = Backbone(backbone.model, backbone.tokenizer, "again")
    assert lock_of(wrapped.model) is lock_of(backbone.model) is not lock_of(copy.deepcopy(backbone.model))
