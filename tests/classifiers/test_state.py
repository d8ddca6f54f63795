"""Fitted classifiers in pickles, joblib, copies and skops: kilobytes, the model by its name, and no other model."""

import copy
import io
import pickle
import zipfile

import joblib
import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from support import models

from softcloze import (
    FieldVerbalizer,
    MultiLabelPromptClassifier,
    OrdinalVerbalizer,
    ProbeClassifier,
    PromptClassifier,
    PromptEnsemble,
    PromptGenerator,
    Template,
    TrainingSettings,
    load_backbone,
)
from softcloze.backbone import describe, load_described
from softcloze.errors import ArtifactError, BackboneError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # models that know nothing

TEXTS, LABELS = models.SENTENCES[:8], ["pos", "neg"] * 4
WORDS = {"pos": "good", "neg": "bad"}
HARD, SOFT = "<text> It was <mask>.", "<soft*2> <text> It was <mask>."


def classifier(model, template=SOFT, verbalizer=WORDS, **parameters):
    return PromptClassifier(model, template, verbalizer, **{"epochs": 1, "random_state": 0, **parameters})


KINDS = {
    "hard": {"template": HARD},
    "soft": {"training": TrainingSettings(warmup_fraction=0.2), "calibration": "temperature"},
    "linear": {"template": Template(HARD), "head": "linear", "class_weight": {"pos": 2.0}},
    "deep": {"template": "<soft*2 layers=all> <text> It was <mask>.", "head": "words+linear"},
    "ordinal": {"verbalizer": OrdinalVerbalizer([1, 2, 3], "bad", "good")},
    "demonstrations": {"template": "<demos*2> <text> It was <mask>.", "demonstrations": "nearest"},
    "transformer": {"template": "<demos*2> <text> It was <mask>.", "demonstrations": TfidfVectorizer()},
}


@pytest.fixture(
    scope="module",
    params=[pytest.param(kind, marks=pytest.mark.slow) if kind in ("deep", "ordinal") else kind for kind in KINDS],
)
def fitted(request, named):
    y = [1, 3] * 4 if request.param == "ordinal" else LABELS
    return classifier(named("bert"), **KINDS[request.param]).fit(TEXTS, y)


def test_a_pickle_has_kilobytes_and_gives_the_same_probabilities_parameters_and_record(fitted, tmp_path):
    pickled = pickle.dumps(fitted)
    assert len(pickled) < 20_000
    joblib.dump(fitted, tmp_path / "clf.joblib")
    for again in (pickle.loads(pickled), joblib.load(tmp_path / "clf.joblib"), copy.deepcopy(fitted)):
        np.testing.assert_array_equal(again.predict_proba(TEXTS), fitted.predict_proba(TEXTS))
        assert again.history_ == fitted.history_ and again.truncation_ == fitted.truncation_
        assert again.prompt_ is not fitted.prompt_ and again.backbone_.fingerprint == fitted.backbone_.fingerprint
        given, back = fitted.get_params(deep=False), again.get_params(deep=False)
        alike = [name for name in given if name not in ("model", "demonstrations", "training")]
        assert [back[name] for name in alike] == [given[name] for name in alike]
        assert repr(back["training"]) == repr(given["training"])
        assert type(back["template"]) is type(given["template"])
    again.fit(TEXTS, fitted.classes_[[0, -1] * 4].tolist())


def test_copies_share_the_model_and_nothing_else():
    """In memory, without a name; copies need none."""
    memory = models.new_backbone("bert")
    for model in (memory, (memory.model, memory.tokenizer)):
        clf = classifier(model).fit(TEXTS, LABELS)
        before = clf.predict_proba(TEXTS)
        for again in (copy.copy(clf), copy.deepcopy(clf)):
            assert again.model is clf.model and again.backbone_ is clf.backbone_
            np.testing.assert_array_equal(again.predict_proba(TEXTS), before)
        again.fit(TEXTS, LABELS[::-1])
        np.testing.assert_array_equal(clf.predict_proba(TEXTS), before)
    assert copy.copy(memory) is copy.deepcopy([memory])[0] is memory


def test_other_estimators(named):
    bert, gpt2 = named("bert"), named("gpt2")
    several = MultiLabelPromptClassifier(bert, HARD, WORDS).fit(TEXTS, [["pos"], ["neg"]] * 4)
    choices = FieldVerbalizer("choices", most=2, answers="word")
    rows = [{"text": text, "choices": ["good", "bad"]} for text in TEXTS]
    chosen = classifier(bert, "<text> <options field=choices> It was <mask>.", choices).fit(rows, ["good", "bad"] * 4)
    ensemble = PromptEnsemble([classifier(bert), classifier(bert, HARD)], weights="stacked", cv=2, random_state=0)
    for estimator, X in ((several, TEXTS), (chosen, rows), (ensemble.fit(TEXTS, LABELS), TEXTS)):
        again = pickle.loads(pickle.dumps(estimator))
        np.testing.assert_array_equal(again.predict_proba(X), estimator.predict_proba(X))
    writer = PromptGenerator(gpt2, "<soft*2><text>:<answer max=12>\n", epochs=1, random_state=0).fit(
        TEXTS, ["good"] * 8
    )
    assert pickle.loads(pickle.dumps(writer)).predict(TEXTS).tolist() == writer.predict(TEXTS).tolist()


def test_another_model_raises_with_both_names(tmp_path, monkeypatch):
    def save(seed):
        models.model("bert", seed).save_pretrained(tmp_path / "mine")
        models.tokenizer("wordpiece").save_pretrained(tmp_path / "mine")

    monkeypatch.chdir(tmp_path)
    save(0)
    clf = classifier("mine", HARD, model_options={"dtype": "float32", "device": "cpu"}).fit(TEXTS, LABELS)
    pickled = pickle.dumps(clf)
    save(1)
    with pytest.raises(BackboneError, match=r"pickled with the model 'mine' \(weights \w+…\).*another one, 'mine' \("):
        pickle.loads(pickled)
    monkeypatch.chdir(tmp_path.parent)
    with pytest.raises(BackboneError, match=r"(?s)pickled with the model 'mine' .*loading it by that name fails\n"):
        pickle.loads(pickled)


def test_a_model_in_memory_without_a_name_says_what_to_do():
    memory = models.new_backbone("bert")
    model = memory.model
    for given in ((model, memory.tokenizer), load_backbone((model, memory.tokenizer))):
        with pytest.raises(BackboneError, match=r"'in memory: BertForMaskedLM' .*save_pretrained\(folder\)"):
            pickle.dumps(classifier(given, HARD))


def test_the_facts_of_a_backbone(named):
    bert = named("bert")
    facts = describe(bert)
    assert facts["dtype"] == "float32" and facts["device"] == "cpu" and facts["fingerprint"] == bert.fingerprint
    there = load_described({**facts, "device": "cuda:77"})  # which this machine lacks
    assert there.fingerprint == bert.fingerprint
    half = load_backbone(bert.name, dtype="bfloat16", device="cpu")
    assert pickle.loads(pickle.dumps(half)).model.dtype is torch.bfloat16


def test_an_altered_state_raises(named):
    clf = classifier(named("bert")).fit(TEXTS, LABELS)
    state = clf.__getstate__()
    for name, content in state["prompt"].items():
        altered = content[:-20] + bytes([content[-20] ^ 1]) + content[-19:]
        for wrong in (altered, content[:50], "text", None):
            with pytest.raises(ArtifactError, match=rf"{name}|is damaged: expected the files"):
                PromptClassifier.__new__(PromptClassifier).__setstate__(
                    {**state, "prompt": {**state["prompt"], name: wrong}}
                )
    other = {**state["values"], "backbone_": describe(named("gpt2")), "model": describe(named("gpt2"))}
    with pytest.raises(ArtifactError, match="this prompt belongs to another model"):
        PromptClassifier.__new__(PromptClassifier).__setstate__({**state, "values": other})


@pytest.mark.slow  # skops imports all of scikit-learn
def test_skops_takes_one_type_of_ours_and_no_altered_bytes(named):
    skops = pytest.importorskip("skops.io")
    clf = classifier(named("bert"), Template(SOFT), training=TrainingSettings(warmup_fraction=0.2)).fit(TEXTS, LABELS)
    for estimator in (make_pipeline("passthrough", clf), classifier(named("bert"), head="linear").fit(TEXTS, LABELS)):
        data = skops.dumps(estimator)
        types = skops.get_untrusted_types(data=data)
        assert types == ["softcloze.classifiers.prompt_classifier.PromptClassifier"]
        with pytest.raises(TypeError, match="PromptClassifier"):
            skops.loads(data)
        again = skops.loads(data, trusted=types)
        np.testing.assert_array_equal(again.predict_proba(TEXTS), estimator.predict_proba(TEXTS))
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [name for name in archive.namelist() if name.endswith(".bin")]
        assert len(names) == 2  # the card and the vectors
        for name in names:
            with pytest.raises(ArtifactError, match=r"altered since it was saved|no longer fits|is damaged"):
                skops.loads(with_a_byte_changed(data, name), trusted=types)


def with_a_byte_changed(data, name):
    """The archive with one byte of a file changed, and right checksums of its own."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(changed, "w") as other:
        for member in archive.namelist():
            content = bytearray(archive.read(member))
            if member == name:
                content[-30] ^= 1
            other.writestr(member, bytes(content))
    return changed.getvalue()


def test_a_probe_goes_by_the_name_of_its_encoder(named):
    probe = ProbeClassifier(named("bert").name, random_state=0).fit(TEXTS, LABELS)
    pickled = pickle.dumps(probe)
    assert len(pickled) < 30_000
    np.testing.assert_array_equal(pickle.loads(pickled).predict_proba(TEXTS), probe.predict_proba(TEXTS))
