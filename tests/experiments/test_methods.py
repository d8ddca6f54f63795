import builtins
import importlib

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from support import models

from softcloze import PromptClassifier, Template
from softcloze.data import Examples, Split
from softcloze.embeddings import SentenceEncoder
from softcloze.errors import DataError, ParameterError
from softcloze.experiments import (
    FineTunedClassifier,
    Method,
    Protocol,
    compare,
    prompt_variants,
    standard_methods,
    tfidf,
)
from softcloze.experiments.methods import measure_classifier
from softcloze.experiments.run_cache import identity
from softcloze.experiments.score_cache import ScoreCache
from softcloze.training import TrainingSettings

GOOD = ["a delight", "warm and wise", "i loved it", "a great film", "很好看", "非常满意"]
BAD = ["a mess", "i hated it", "boring", "a terrible film", "太差了", "很失望"]
TRAIN = Examples((*GOOD, *BAD), ("good",) * 6 + ("bad",) * 6)
WORDS = {"good": "good", "bad": "bad"}
HARD = "It was <mask>. <text>"
CLASSES = ("bad", "good")


def test_every_standard_method_runs(bert_tiny):
    encoder = SentenceEncoder(bert_tiny.model.base_model, bert_tiny.tokenizer, "tiny")
    settings = {"calibrations": ["batch"], "soft": 4, "analyzer": "char", "encoder": encoder, "fine_tuning": ["head"]}
    methods = standard_methods(bert_tiny, HARD, WORDS, **settings)
    for method in methods:
        classifier = method.prepared(0, list)
        found = measure_classifier(
            classifier, TRAIN if method.learns else Examples((), ()), ScoreCache(["a film", "好"]), CLASSES
        )
        assert found.probabilities.shape == (2, 2) and found.probabilities.dtype == np.float32
        assert found.probabilities.sum(1) == pytest.approx(1, abs=1e-5)
    assert {
        method.name: method.card.template for method in methods if "soft" in method.name or "demo" in method.name
    } == {
        "demonstrations": f"<demos*4>{HARD}",
        "soft in front": f"<soft*4> {HARD}",
        "soft after the text": f"{HARD} <soft*4>",
        "soft in both places": f"<soft*2> {HARD} <soft*2>",
        "soft head": HARD,
    }
    assert [method.name for method in methods if not method.learns] == ["hard"]


def test_the_encoder_may_be_left_out():
    names = [
        {method.name for method in standard_methods("no model", HARD, WORDS, **settings)}
        for settings in ({}, {"encoder": None})
    ]
    assert names[0] - names[1] == {"embeddings"}


def test_slots_go_behind_the_text_where_more_follows():
    methods = {
        method.name: method.card.template for method in standard_methods("no model", "sentiment/zh", "sentiment/zh")
    }
    assert methods["soft after the text"] == "<text> <soft*10> 总之，很 <mask>"
    for template in (methods["soft in front"], "{{ text }} <mask>"):
        with pytest.raises(ParameterError, match="expected a template with a field tag and without"):
            standard_methods("no model", template, "sentiment/zh")


LEARN = [
    ({}, False),
    ({"calibration": "contextual"}, False),
    ({"calibration": "pmi"}, False),
    ({"calibration": "domain"}, True),  # of held-out texts nothing may be learnt
    ({"calibration": "batch"}, True),
    ({"calibration": "temperature"}, True),
    ({"head": "linear"}, True),
    ({"template": f"<demos>{HARD}"}, True),
    ({"template": f"<soft>{HARD}"}, True),
    ({"verbalizer": None}, True),
]


@pytest.mark.parametrize(("settings", "learns"), LEARN)
def test_what_needs_no_rows(settings, learns):
    classifier = PromptClassifier(**{"model": "m", "template": HARD, "verbalizer": WORDS, **settings})
    assert Method("m", classifier).learns is learns


TRAINED = [  # of a model of width 32 with two layers
    ("<soft*2 from=text from_by=states>", 2 * 32 + 16 * 32 + 2 * 32 * 16),
    ("<soft*2 train=no> <soft*3>", 3 * 32),
    ("<soft*2 layers=all>", 2 * 2 * 32),
    ("<soft*2 layers=1>", 2 * 32),  # its input embeddings stay as they started
    ("<soft*2 layers=1 train=no> <soft*3>", 3 * 32),
    ("<soft*2 via=mlp>", 2 * 32 + (32 + 1) * 64 + (64 + 1) * 64 + (64 + 1) * 32),  # three linear layers
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # one epoch
@pytest.mark.parametrize(("slots", "trained"), TRAINED)
def test_what_a_fit_trains_is_counted(slots, trained):
    clf = PromptClassifier(models.backbone("bert"), f"{slots} {HARD}", WORDS, epochs=1)
    assert measure_classifier(clf, TRAIN, ScoreCache(["a film"]), CLASSES).trainable == trained


def test_every_seed_in_a_classifier_is_set_and_searches_choose_by_the_protocol():
    search = GridSearchCV(
        make_pipeline(TfidfVectorizer(), LogisticRegression()), {"logisticregression__C": [0.1, 10.0]}
    )
    folds = Protocol().folds(TRAIN.labels, 7)
    prepared = Method("search", search).prepared(7, lambda: folds)
    assert prepared.estimator[-1].random_state == 7 and prepared.cv is folds
    assert search.estimator[-1].random_state is None and search.cv is None
    found = measure_classifier(prepared, TRAIN, ScoreCache(["a film"]), CLASSES)
    assert prepared.n_splits_ == len(folds) and found.trainable == 1 + prepared.best_estimator_[-1].coef_.size
    own = Method("own", GridSearchCV(tfidf(), {"logisticregression__C": [1.0]}, cv=2)).prepared(0, list)
    assert own.cv == 2


def test_without_probabilities_the_label_has_all_of_it():
    found = measure_classifier(make_pipeline(TfidfVectorizer(), LinearSVC()), TRAIN, ScoreCache(GOOD), CLASSES)
    assert found.probabilities.tolist() == [[0, 1]] * len(GOOD)


def test_columns_go_by_the_classes_of_the_data():
    few = Examples(TRAIN.texts, TRAIN.labels)
    found = measure_classifier(tfidf("char"), few, ScoreCache(["好", "差"]), ("bad", "fair", "good"))
    assert found.probabilities[:, 1].tolist() == [0, 0] and found.artifact_bytes is None
    with pytest.raises(DataError, match="the classifier has labels 'good', and the data 'bad', 'fair'"):
        measure_classifier(tfidf(), few, ScoreCache(["a"]), ("bad", "fair"))


class Wrong(LogisticRegression):
    def predict_proba(self, X):
        return 2 * super().predict_proba(X)


def test_what_is_no_probability_is_refused():
    with pytest.raises(DataError, match="negative, not finite or do not sum to 1"):
        measure_classifier(make_pipeline(TfidfVectorizer(), Wrong()), TRAIN, ScoreCache(["a"]), CLASSES)


def test_identity_tells_methods_apart(bert_tiny):
    def prompt(**settings):
        return PromptClassifier(**{"model": bert_tiny, "template": HARD, "verbalizer": WORDS, **settings})

    plain = identity(prompt())
    for same in (
        prompt(template=Template(HARD)),
        prompt(training=TrainingSettings(on_epoch=print, on_step=print, checkpoint="here")),
        prompt(model="starter:bert-tiny", model_options={"dtype": "float32"}),
        PromptClassifier("starter:bert-tiny", HARD, WORDS, model_options={"dtype": "float32"}),
    ):
        assert identity(same) == plain
    different = [
        prompt(template="<text> It was <mask>."),
        prompt(verbalizer={"good": ["good", "fine"], "bad": "bad"}),
        prompt(epochs=4),
        prompt(random_state=1),
        prompt(demonstrations=TfidfVectorizer()),
        prompt(demonstrations=TfidfVectorizer(analyzer="char")),
        FineTunedClassifier(bert_tiny),
        FineTunedClassifier(bert_tiny, trained="head"),
        TfidfVectorizer(vocabulary=np.array(["a", "b"])),
        TfidfVectorizer(vocabulary=np.array(["a", "c"])),
        TfidfVectorizer(tokenizer=str.split),
        TfidfVectorizer(tokenizer=few),
    ]
    found = [repr(identity(each)) for each in different]
    assert len({repr(plain), *found}) == 1 + len(different)
    with pytest.raises(ParameterError, match="cannot be identified in another process"):
        identity(TfidfVectorizer(tokenizer=lambda text: text.split()))


def few(text):
    return text.split()[:3]


def test_a_changed_function_is_another_method(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    identities = []
    for number, separator in enumerate(("", "','")):
        module = f"tokens_of_a_user_{number}"
        (tmp_path / f"{module}.py").write_text(f"def tokens(text):\n    return text.split({separator})\n")
        function = importlib.import_module(module).tokens
        function.__module__ = "tokens_of_a_user"  # as a script that is run again after a change
        identities.append(identity(TfidfVectorizer(tokenizer=function)))
    assert identities[0] != identities[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"soft": "10"}, "soft='10', but it has to be an integer of at least 1"),
        ({"demonstrations": 0}, "demonstrations=0, but"),
        ({"analyzer": "words"}, "analyzer='words', but it has to be 'word' or 'char'; did you mean 'word'"),
        ({"calibrations": "pmi"}, "calibrations='pmi' and .* have to be lists of names"),
        ({"fine_tuning": "all"}, "fine_tuning='all' have to be lists of names"),
        ({"fine_tuning": None}, "fine_tuning=None have to be lists of names"),
    ],
)
def test_mistakes_in_the_standard_methods(changes, message):
    with pytest.raises(ParameterError, match=message):
        standard_methods("starter:bert-tiny", HARD, WORDS, **changes)


def test_mistakes_in_other_methods():
    with pytest.raises(ParameterError, match="analyzer='chars', but it has to be 'word' or 'char'; did"):
        tfidf("chars")
    split = Split(TRAIN, Examples(("x", "y"), ("good", "bad")))
    for methods, message in (
        (
            standard_methods("no model", HARD, WORDS, calibrations=["pmii"]),
            "calibration='pmii', but .*'pmi'",
        ),
        (
            standard_methods("no model", HARD, WORDS, fine_tuning=["everything"]),
            "trained='everything', but it has",
        ),
        (prompt_variants("no model", "sentiment", "en", WORDS, calibration="pmii"), "calibration='pmii', but"),
    ):
        with pytest.raises(ParameterError, match=message):
            compare(methods, split, Protocol(shots=2))


TUNED = {"model": "starter:bert-tiny", "trained": "head", "epochs": 1, "random_state": 0}
TEXTS, LABELS = ["good", "fine", "bad", "poor"], [1, 1, 0, 0]


@pytest.mark.parametrize(
    "changes",
    [
        {"trained": "everything"},
        {"epochs": "3"},
        {"epochs": 0},
        {"batch_size": 2.5},
        {"learning_rate": float("nan")},
        {"rank": 0},
        {"max_length": "128"},
    ],
)
def test_parameters_of_fine_tuning_are_checked_before_the_model_is_loaded(changes):
    (name,) = changes
    with pytest.raises(ParameterError, match=f"^{name}="):
        FineTunedClassifier(**{**TUNED, "model": "no such model", **changes}).fit(TEXTS, LABELS)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (TEXTS, LABELS[:3], "X has 4 examples but y has 3 labels"),
        (TEXTS, [1] * 4, "y holds only the label 1; fitting takes"),
        ("good", [1], "X has to be a list of texts"),
        ([None, "fine", "bad", "poor"], LABELS, "row 0 is None; expected a text"),
        (pd.DataFrame({"a": TEXTS, "b": TEXTS}), LABELS, "row 0 is .*; expected a text"),
    ],
)
def test_examples_that_fine_tuning_cannot_take(X, y, message):
    with pytest.raises(DataError, match=message):
        FineTunedClassifier(**{**TUNED, "model": "no such model"}).fit(X, y)


def test_a_frame_with_one_column_is_its_texts():
    whole, column = (FineTunedClassifier(**TUNED).fit(X, LABELS) for X in (TEXTS, pd.DataFrame({"review": TEXTS})))
    expected = whole.predict_proba(TEXTS)
    assert np.array_equal(column.predict_proba(pd.DataFrame({"review": TEXTS})), expected)
    assert np.array_equal(column.predict_proba(TEXTS), expected)
    with pytest.raises(NotFittedError):
        FineTunedClassifier(**TUNED).predict(TEXTS)


@pytest.mark.parametrize("trained", ["head", "all"])
def test_fine_tuning_learns_and_leaves_the_backbone_alone(bert_tiny, trained):
    before = {name: weight.clone() for name, weight in bert_tiny.model.state_dict().items()}
    dice = torch.random.get_rng_state()
    settings = {
        "trained": trained,
        "epochs": 10 if trained == "head" else 5,
        "learning_rate": 1e-2 if trained == "head" else 1e-3,
    }
    clf = FineTunedClassifier(bert_tiny, **settings, random_state=0).fit(TRAIN.texts, TRAIN.labels)
    assert clf.score(TRAIN.texts, TRAIN.labels) >= 0.9
    assert torch.equal(dice, torch.random.get_rng_state())
    assert all(torch.equal(weight, before[name]) for name, weight in bert_tiny.model.state_dict().items())
    together = clf.predict_proba(TRAIN.texts)
    alone = np.concatenate([clf.predict_proba([text]) for text in TRAIN.texts])
    assert together == pytest.approx(alone, abs=1e-5)
    kept = clf.network_.base_model.state_dict()
    moved = {
        name
        for name, weight in kept.items()
        if f"bert.{name}" in before and not torch.equal(weight, before[f"bert.{name}"])
    }
    assert bool(moved) == (trained == "all")


def test_fine_tuning_is_the_same_again(bert_tiny):
    settings = {"trained": "all", "epochs": 1, "random_state": 3}
    one, other = (FineTunedClassifier(bert_tiny, **settings).fit(TRAIN.texts, TRAIN.labels) for _ in range(2))
    assert np.array_equal(one.predict_proba(TRAIN.texts), other.predict_proba(TRAIN.texts))


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_adapters(bert_tiny):
    clf = FineTunedClassifier(bert_tiny, trained="lora", epochs=1, random_state=0)
    measured = measure_classifier(clf, TRAIN, ScoreCache(["a film"]), CLASSES)
    assert 10_000 < measured.trainable < 0.05 * bert_tiny.parameters
    assert measured.artifact_bytes == 4 * measured.trainable
    assert measured.probabilities.shape == (1, 2)


def test_a_new_head_is_counted(bert_tiny):
    clf = FineTunedClassifier(bert_tiny, trained="head", epochs=1, random_state=0)
    pooler, head = 128 * 128 + 128, 128 * 2 + 2
    assert measure_classifier(clf, TRAIN, ScoreCache(["a film"]), CLASSES).trainable == pooler + head


def test_adapters_without_peft_name_the_command(bert_tiny, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "peft":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ParameterError, match=r"needs the library peft, .*pip install 'softcloze\[lora\]'"):
        FineTunedClassifier(bert_tiny, trained="lora").fit(TRAIN.texts, TRAIN.labels)


def test_unknown_part_to_train(bert_tiny):
    with pytest.raises(ParameterError, match="trained='tail', but it has to be 'all', 'head' or 'lora'"):
        FineTunedClassifier(bert_tiny, trained="tail").fit(TRAIN.texts, TRAIN.labels)
