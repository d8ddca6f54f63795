"""The parameter `model`: names, paths, and models in memory, alone, with a tokenizer or in a pipeline."""

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from support import models
from transformers import AutoModelForMaskedLM, BertForSequenceClassification, pipeline

from softcloze import PromptClassifier, PromptEnsemble, load_backbone
from softcloze.backbone import Backbone
from softcloze.errors import BackboneError, ParameterError
from softcloze.experiments import Examples, FineTunedClassifier, Protocol, Split, compare
from softcloze.label_words import search_label_words

TEXTS = ["It was good.", "A dull film."]


def classifier(model, **options):
    return PromptClassifier(model, "<text> It was <mask>.", {"pos": "good", "neg": "bad"}, **options)


@pytest.fixture
def folder(tmp_path):
    models.model("bert").save_pretrained(tmp_path)
    models.tokenizer("wordpiece").save_pretrained(tmp_path)
    return tmp_path


@pytest.fixture
def model(folder):
    return AutoModelForMaskedLM.from_pretrained(folder)


@pytest.mark.parametrize("form", ["path", "model", "tuple", "pipeline"])
def test_every_form_of_a_model_predicts_the_same(folder, model, form):
    """skorch-dev/skorch#979"""
    tokenizer = models.tokenizer("wordpiece")
    expected = classifier(Backbone(models.model("bert"), tokenizer, "x")).predict_proba(TEXTS)
    given = {
        "path": lambda: folder,
        "model": lambda: model,
        "tuple": lambda: (model, tokenizer),
        "pipeline": lambda: pipeline("fill-mask", model=model, tokenizer=tokenizer),
    }[form]()
    # a model in memory keeps its precision
    options = {"model_options": {"dtype": "float32"}} if form == "path" else {}
    np.testing.assert_allclose(classifier(given, **options).predict_proba(TEXTS), expected, atol=1e-6)


def test_a_pipeline_that_generates_text():
    generator = pipeline("text-generation", model=models.model("gpt2"), tokenizer=models.tokenizer("gpt2"))
    assert set(classifier(generator).predict(TEXTS)) <= {"pos", "neg"}


def test_a_fitted_classifier_of_a_model_in_memory_is_saved_and_loaded(model, folder, tmp_path):
    clf = classifier(model, epochs=1, random_state=0).set_params(template="<soft*2> <text> It was <mask>.")
    clf.fit(TEXTS * 2, ["pos", "neg"] * 2).save(tmp_path / "prompt")
    loaded = PromptClassifier.load(tmp_path / "prompt", model_options={"dtype": "float32"})
    assert loaded.backbone_.name == str(folder)
    np.testing.assert_allclose(loaded.predict_proba(TEXTS), clf.predict_proba(TEXTS), atol=1e-6)


def test_a_model_in_memory_without_a_name(tmp_path):
    nameless, tokenizer = models.model("bert"), models.tokenizer("wordpiece")
    with pytest.raises(BackboneError) as caught:
        classifier(nameless).predict(TEXTS)
    assert "the tokenizer of this BertForMaskedLM is not known: its name_or_path is empty" in str(caught.value)
    assert "model=(model, tokenizer)" in str(caught.value)
    clf = classifier((nameless, tokenizer), epochs=1).set_params(template="<soft*2> <text> It was <mask>.")
    clf.fit(TEXTS * 2, ["pos", "neg"] * 2).save(tmp_path / "prompt")
    with pytest.raises(BackboneError, match=r"it was given in memory and had no name\n .*model=\(model, tokenizer\)"):
        PromptClassifier.load(tmp_path / "prompt")
    loaded = PromptClassifier.load(tmp_path / "prompt", model=(nameless, tokenizer))
    np.testing.assert_array_equal(loaded.predict(TEXTS), clf.predict(TEXTS))


@pytest.mark.parametrize("form", ["model", "tuple"])
def test_clones_share_a_model_in_memory(model, form):
    given = model if form == "model" else (model, models.tokenizer("wordpiece"))
    for estimator in (classifier(given), FineTunedClassifier(given)):
        assert estimator.get_params()["model"] is given
        assert clone(estimator).model is given
        assert clone(estimator).get_params(deep=False).keys() == estimator.get_params(deep=False).keys()
    assert len(cross_val_score(classifier(given), TEXTS * 2, ["pos", "neg"] * 2, cv=2, error_score="raise")) == 2


def test_a_model_in_memory_is_tested_once_and_let_go(model):
    backbone = load_backbone(model)
    assert load_backbone(model) is backbone
    before = backbone.fingerprint
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(1.1)
    trained = load_backbone(model)
    assert trained.fingerprint != before
    reference = weakref.ref(trained)
    del trained
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize("form", ["path", "model"])
def test_ensembles_searches_and_comparisons_take_every_form(folder, model, form, tmp_path):
    given = folder if form == "path" else model
    texts, labels = models.SENTENCES[:8], ["pos", "neg"] * 4
    ensemble = PromptEnsemble([classifier(given), classifier(given, calibration="batch")]).fit(texts, labels)
    ensemble.save(tmp_path / "ensemble")
    loaded = PromptEnsemble.load(tmp_path / "ensemble", model=given)
    np.testing.assert_allclose(loaded.predict_proba(texts), ensemble.predict_proba(texts), atol=1e-6)
    assert set(search_label_words(given, "<text> It was <mask>.", texts, labels).labels) == {"pos", "neg"}
    split = Split(Examples(texts[:4], labels[:4]), Examples(texts[4:], labels[4:]))
    methods = {"prompt": classifier(given), "fine-tuned": FineTunedClassifier(given, trained="head", epochs=1)}
    compared = compare(methods, split, Protocol(shots=(2,), seeds=(0,)), folder=tmp_path / "runs")
    assert [run.error for run in compared.runs] == [None, None]


def test_threads_load_a_folder_once(folder):
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda _: load_backbone(folder, device="cpu"), range(8)))
    assert len(set(map(id, loaded))) == 1


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (None, "model is None"),
        (3, "model is of type int"),
        ((), "model is a tuple of nothing"),
        (["a", "b"], "model is a list of str, str"),
        ((None, None), "model is a tuple of NoneType, NoneType"),
        (Backbone, "model is the class Backbone"),
        (b"starter:bert-tiny", "model is of type bytes"),
    ],
)
def test_something_that_is_no_model(given, problem):
    with pytest.raises(ParameterError, match=f"^{problem}; expected a name, a folder, a Backbone"):
        classifier(given).predict(TEXTS)


def test_a_model_in_memory_without_a_language_model_head():
    wrong = BertForSequenceClassification(models.model("bert").config)
    with pytest.raises(BackboneError, match="BertForSequenceClassification has no language-modelling head"):
        classifier((wrong, models.tokenizer("wordpiece"))).predict(TEXTS)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {"dtyp": "float32"},
            "model_options has 'dtyp'; expected 'dtype', 'device', 'compile', 'quantize'; did you mean 'dtype'",
        ),
        ({"dtype": "float"}, "dtype='float', but it has to be 'auto', 'float32', 'bfloat16' or 'float16'"),
        ({"dtype": torch.float32}, "dtype=torch.float32, but it has to be 'auto', 'float32'"),
        ({"device": 0}, "device=0, but it has to be 'auto', 'cpu', 'cuda' or 'mps'"),
        ({"device": "meta"}, "device='meta' is unknown"),
        ({"compile": "yes"}, "compile='yes', but it has to be True or False"),
        ({3: 4}, "model_options has 3"),
        ("dtype", "model_options='dtype', but it has to be a mapping"),
    ],
)
def test_options_of_a_model(options, problem):
    with pytest.raises(ParameterError, match=problem):
        classifier("starter:bert-tiny", model_options=options).predict(TEXTS)
