"""Baselines on a sentence encoder: the same figures as by hand, and methods of a comparison like others."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from support import models

from softcloze.embeddings import SentenceEncoder, load_encoder
from softcloze.errors import DataError, ParameterError
from softcloze.experiments import Method, Protocol, SentenceEmbeddingClassifier, SetFitClassifier, compare, split_rows
from softcloze.experiments import sentence_baselines as module
from softcloze.experiments.run_cache import identity
from softcloze.experiments.score_cache import shared_scores_key
from softcloze.experiments.workers import pickle_methods

TEXTS, LABELS = models.SENTENCES[:8], ["good", "bad"] * 4
ROWS = [(f"{n} {models.SENTENCES[n % len(models.SENTENCES)]}", "good" if n % 2 else "bad") for n in range(60)]


@pytest.fixture
def encoder():
    model = models.model("bert").base_model.eval()
    return SentenceEncoder(model, models.tokenizer("wordpiece"), "tiny", normalise=True)


@pytest.fixture
def embedded(monkeypatch):
    """The number of texts of each call of an encoder."""
    seen = []
    embed = SentenceEncoder.embed
    monkeypatch.setattr(SentenceEncoder, "embed", lambda self, texts: seen.append(len(texts)) or embed(self, texts))
    return seen


def test_probabilities_are_those_of_a_logistic_regression_on_the_embeddings(encoder):
    clf = SentenceEmbeddingClassifier(encoder, C=3.0, class_weight="balanced").fit(TEXTS, LABELS)
    by_hand = LogisticRegression(C=3.0, class_weight="balanced", max_iter=1000).fit(encoder.embed(TEXTS), LABELS)
    probabilities = clf.predict_proba(models.SENTENCES)
    np.testing.assert_allclose(probabilities, by_hand.predict_proba(encoder.embed(models.SENTENCES)), atol=1e-6)
    assert clf.classes_.tolist() == ["bad", "good"]
    assert clf.predict(models.SENTENCES).tolist() == by_hand.predict(encoder.embed(models.SENTENCES)).tolist()
    np.testing.assert_array_equal(clf.predict_proba_of(clf.embed(models.SENTENCES)), probabilities)


def test_weights_of_classes_and_examples(encoder):
    embeddings = encoder.embed(TEXTS)
    clf = SentenceEmbeddingClassifier(encoder, class_weight={"good": 5.0}).fit(TEXTS, LABELS)
    by_hand = LogisticRegression(class_weight={"good": 5.0, "bad": 1.0}, max_iter=1000).fit(embeddings, LABELS)
    np.testing.assert_allclose(clf.predict_proba(TEXTS), by_hand.predict_proba(embeddings), atol=1e-6)
    weights = np.linspace(0.1, 2, 8)
    clf = SentenceEmbeddingClassifier(encoder).fit(TEXTS, LABELS, weights)
    by_hand = LogisticRegression(max_iter=1000).fit(embeddings, LABELS, weights)
    np.testing.assert_allclose(clf.predict_proba(TEXTS), by_hand.predict_proba(embeddings), atol=1e-6)


def test_clones_and_searches_share_the_encoder(encoder):
    clf = clone(SentenceEmbeddingClassifier(encoder, C=2.0))
    assert clf.encoder is encoder and clf.C == 2.0
    pair = (encoder.network, models.tokenizer("wordpiece"))
    assert clone(SentenceEmbeddingClassifier(pair)).encoder is pair
    search = GridSearchCV(SentenceEmbeddingClassifier(encoder), {"C": [0.1, 10.0]}, cv=2).fit(TEXTS, LABELS)
    assert search.best_estimator_.encoder_ is encoder
    with pytest.raises(NotFittedError):
        SentenceEmbeddingClassifier(encoder).predict(TEXTS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": None}, "^encoder is None; expected a name, a folder, a SentenceEncoder, or"),
        ({"encoder": 3}, "^encoder is 3; expected"),
        ({"C": 0}, "^C=0, but it has to be a number above 0"),
        ({"C": "1"}, "^C='1', but"),
        ({"class_weight": "equal"}, "^class_weight='equal', but it has to be 'balanced' or a mapping"),
        ({"max_length": 2.5}, "^max_length=2.5, but"),
    ],
)
def test_wrong_parameters_are_named_before_an_encoder_is_loaded(changes, message):
    clf = SentenceEmbeddingClassifier(**{"encoder": "no such encoder", **changes})
    with pytest.raises(ParameterError, match=message):
        clf.fit(TEXTS, LABELS)
    with pytest.raises(ParameterError, match=f"method 'e': {message[1:]}"):
        compare({"e": clf}, split_rows(ROWS), Protocol(2))


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (TEXTS, LABELS[:3], "X has 8 examples but y has 3 labels"),
        (TEXTS, ["good"] * 8, "y holds only the label 'good'"),
        ([None, *TEXTS[1:]], LABELS, "row 0 is None; expected a text"),
    ],
)
def test_wrong_examples_are_named(encoder, X, y, message):
    with pytest.raises(DataError, match=message):
        SentenceEmbeddingClassifier(encoder).fit(X, y)


def test_a_comparison_embeds_the_held_out_texts_once(encoder, embedded, tmp_path):
    split, protocol = split_rows(ROWS), Protocol(shots=(2, 4), seeds=2, test_rows=12)
    methods = {"embeddings": SentenceEmbeddingClassifier(encoder)}
    comparison = compare(methods, split, protocol, folder=tmp_path)
    assert sorted(embedded) == [4, 4, 8, 8, 12]
    run = comparison.of("embeddings", 4)[1]
    rows = protocol.draws(split.train.labels)[4, 1]
    texts, labels = ([part[row] for row in rows] for part in (split.train.texts, split.train.labels))
    alone = SentenceEmbeddingClassifier(encoder).fit(texts, labels)
    np.testing.assert_allclose(run.probabilities, alone.predict_proba(split.test.texts[:12]), atol=1e-6)
    assert run.trainable == encoder.width + 1
    embedded.clear()
    assert compare(methods, split, protocol, folder=tmp_path).summary() == comparison.summary() and embedded == []


def test_the_identity_of_a_run_names_the_weights(encoder):
    other = SentenceEncoder(models.model("bert", seed=1).base_model, models.tokenizer("wordpiece"), "tiny")
    classifiers = [
        SentenceEmbeddingClassifier(encoder),
        SentenceEmbeddingClassifier(encoder, max_length=8),
        SentenceEmbeddingClassifier(encoder, C=2.0),
        SentenceEmbeddingClassifier(other),
    ]
    assert len({repr(identity(clf)) for clf in classifiers}) == 4
    assert identity(clone(classifiers[0])) == identity(classifiers[0])
    assert shared_scores_key(classifiers[0]) == shared_scores_key(classifiers[2]) != shared_scores_key(classifiers[1])


def test_other_processes_get_the_encoder_by_its_name(encoder, tmp_path):
    with pytest.raises(ParameterError, match=r"for other processes: the model 'in memory: .*save_pretrained"):
        pickle_methods(SentenceEncoder(encoder.network, models.tokenizer("wordpiece"), "in memory: x"))
    encoder.network.save_pretrained(tmp_path)
    models.tokenizer("wordpiece").save_pretrained(tmp_path)
    clf = SentenceEmbeddingClassifier(load_encoder(tmp_path, max_length=16)).fit(TEXTS, LABELS)
    pickled = pickle_methods(clf)
    assert len(pickled) < 5_000
    copy = pickle.loads(pickled)
    np.testing.assert_array_equal(copy.predict_proba(models.SENTENCES), clf.predict_proba(models.SENTENCES))
    assert identity(copy) == identity(clf)


def test_what_setfit_misses_is_named_with_the_command_that_installs_it(monkeypatch):
    present = {"setfit": None, "datasets": object()}
    monkeypatch.setattr(module, "find_spec", present.get)
    with pytest.raises(ParameterError, match=r"needs setfit; install with: pip install setfit$"):
        SetFitClassifier("encoder").fit(["好", "差"], ["good", "bad"])
    with pytest.raises(ParameterError, match=r"method 's': SetFitClassifier needs setfit; install"):
        compare({"s": SetFitClassifier("encoder")}, split_rows(ROWS), Protocol(2))


def test_setfit_is_a_method_like_others():
    method = Method("SetFit", SetFitClassifier("encoder", epochs=2))
    prepared = method.prepared(seed=3, folds=list)
    assert (prepared.encoder, prepared.epochs, prepared.random_state) == ("encoder", 2, 3)
    assert method.learns and method.card.description == "SetFitClassifier"
    assert identity(prepared) != identity(method.prepared(seed=4, folds=list))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of setfit and its libraries
def test_setfit_on_the_starter():
    texts = ["Cancel my order.", "I want my money back.", "A fine film.", "A dull story."]
    clf = SetFitClassifier(batch_size=4, random_state=0).fit(texts, [0, 0, 1, 1])
    assert clf.predict(["Return my payment.", "A great movie."]).tolist() == [0, 1]
    np.testing.assert_allclose(clf.predict_proba(texts).sum(1), 1, atol=1e-6)
