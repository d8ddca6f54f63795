"""Compiled layers: the same scores, few versions of each, and unchanged training."""

import copy
import os
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from support import models
from torch._dynamo.utils import counters

from softcloze import PromptClassifier
from softcloze.backbone import Backbone, load_backbone
from softcloze.backbone.loading import _load
from softcloze.errors import BackboneError
from softcloze.experiments.workers import pickle_methods
from softcloze.prompt import BoundPrompt

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),  # models that know nothing
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),  # torch of itself
    pytest.mark.skipif(not shutil.which("c++"), reason="torch compiles with a compiler for C++"),
]

TEXTS, LABELS = models.SENTENCES[:6], ["pos", "neg"] * 3
WORDS = {"pos": ["good", "great"], "neg": ["bad", "terrible"]}
TEMPLATES = (
    "<soft*3> <text> It was <mask>",
    "<text> <soft*2> It was <mask>",
    "<text> It was <mask>",
    "<soft*2 layers=all> <text> It was <mask>",
    "<text> <soft*2 layers=1> It was <mask>",
)


def versions():
    return counters["stats"]["unique_graphs"]


@pytest.fixture(autouse=True)
def nothing_compiled():
    torch.compiler.reset()
    counters.clear()


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["bert", "gemma3_text", "gpt2", "t5"])
def test_scores_and_training_are_those_of_layers_as_written(architecture):
    plain = models.new_backbone(architecture)
    compiled = Backbone(copy.deepcopy(plain.model), plain.tokenizer, plain.name)
    compiled.compile()
    assert compiled.compiled and not plain.compiled and versions() > 0
    torch.compiler.reset()
    counters.clear()
    for template in TEMPLATES:
        both = [
            PromptClassifier(backbone, template, WORDS, epochs=2, batch_size=2, random_state=0)
            for backbone in (plain, compiled)
        ]
        if "soft" in template:
            one, other = (
                clf.set_params(training__deep_learning_rate=10.0).fit(TEXTS[:4], LABELS[:4]).prompt_ for clf in both
            )
            for trained, again in ((one.vectors, other.vectors), (one.deep, other.deep)):
                assert all(torch.equal(vectors, again[name]) for name, vectors in trained.items())
        expected, found = (clf.predict_proba(models.SENTENCES[:9]) for clf in both)
        assert versions() > 0
        np.testing.assert_allclose(np.log(found), np.log(expected), atol=1e-4)
        if "layers" in template:  # what enters at later layers counts, or equality says nothing about it
            zeros = {name: torch.zeros_like(vectors) for name, vectors in one.deep.items()}
            without = BoundPrompt(replace(one, deep=zeros), plain)
            changed = without.predict_encoded(without.encode(models.SENTENCES[:9]))
            assert np.abs(np.log(changed) - np.log(expected)).max() > 0.01


@pytest.mark.slow
def test_other_rows_and_lengths_are_not_compiled_anew():
    backbone = models.new_backbone("llama")
    clf = PromptClassifier(backbone, TEMPLATES[0], WORDS, epochs=1, random_state=0)
    expected = clf.fit(TEXTS[:2], LABELS[:2]).predict_proba(models.SENTENCES[:9])
    assert not clf.engine_.compiled
    backbone.compile()
    clf.fit(TEXTS[:2], LABELS[:2])
    assert clf.engine_.compiled
    np.testing.assert_allclose(np.log(clf.predict_proba(models.SENTENCES[:9])), np.log(expected), atol=1e-4)
    for count in (2, 3, 7, 12):
        clf.predict_proba(models.SENTENCES[:count])
    before = versions()
    for count in (4, 5, 9, 14):
        clf.predict_proba([text * (count % 3 + 1) for text in models.SENTENCES[-count:]])
    assert versions() == before


@pytest.mark.slow
def test_asked_for_by_name_a_backbone_is_compiled_once_in_each_process(tmp_path):
    models.model("llama").save_pretrained(tmp_path)
    models.tokenizer("llama").save_pretrained(tmp_path)
    backbone = load_backbone(str(tmp_path), dtype="float32", device="cpu", compile=True)
    before = versions()
    assert load_backbone(str(tmp_path), dtype="float32", device="cpu", compile=True) is backbone
    assert load_backbone(backbone, compile=True) is backbone
    assert backbone.compiled and versions() == before > 0
    sent = pickle_methods(backbone)
    _load.cache_clear()  # as in another process
    received = pickle.loads(sent)
    assert received is not backbone and received.compiled


def test_a_model_without_layers_that_can_be_compiled():
    with pytest.raises(BackboneError, match="AlbertForMaskedLM has no layers that can be compiled; leave compile=True"):
        models.new_backbone("albert").compile()


@pytest.mark.slow
def test_without_a_compiler_the_model_still_runs_as_it_is(tmp_path):
    models.model("bert").save_pretrained(tmp_path / "model")
    models.tokenizer("wordpiece").save_pretrained(tmp_path / "model")
    code = """
import sys
from softcloze import PromptClassifier
from softcloze.backbone import load_backbone
from softcloze.errors import BackboneError
backbone = load_backbone(sys.argv[1], dtype="float32", device="cpu")
clf = PromptClassifier(backbone, "<text> It was <mask>", {"pos": "good", "neg": "bad"})
before = clf.predict_proba(["It was good."])
try:
    backbone.compile()
except BackboneError as error:
    assert not backbone.compiled and (clf.predict_proba(["It was good."]) == before).all()
    print(error)
"""
    nowhere = {"CXX": str(tmp_path / "none"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "model")],
        env={**os.environ, **nowhere},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(f"cannot compile '{tmp_path / 'model'}': ")
    assert "g++ and python3-dev" in done.stdout
