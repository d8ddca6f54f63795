"""The beam against trying everything, and what cross-validation protects from."""

from itertools import combinations, product

import numpy as np
import pytest

from softcloze.label_words.beam_search import balanced_metrics, beam_search, choose_words, cross_validate, shortlists
from softcloze.label_words.candidates import RANKINGS

PETAL, LM_BFF = RANKINGS["petal"], RANKINGS["lm-bff"]


def planted(seed, examples=24, words=40, labels=3, clear=4.0):
    """Noise, in which words 0 to `labels` - 1 are likelier in the examples of their label."""
    generator = np.random.default_rng(seed)
    targets = generator.permutation(np.arange(examples) % labels)
    odds = generator.normal(size=(examples, words))
    odds[np.arange(examples), targets] += clear
    return odds - np.logaddexp.reduce(odds, axis=1, keepdims=True), targets


def plain_judge(log_probs, targets, choice):
    """Balanced accuracy and loss, example by example."""
    hits, losses = {}, {}
    for row, target in enumerate(targets):
        scores = [np.log(np.mean([np.exp(log_probs[row, word]) for word in own])) for own in choice]
        others = [score for label, score in enumerate(scores) if label != target]
        hits.setdefault(target, []).append(scores[target] > max(others))
        losses.setdefault(target, []).append(np.log(np.sum(np.exp(scores))) - scores[target])
    return np.mean([np.mean(own) for own in hits.values()]), np.mean([np.mean(own) for own in losses.values()])


@pytest.mark.parametrize("seed", range(3))
def test_a_choice_is_judged_with_every_label_counting_the_same(seed):
    log_probs, targets = planted(seed, clear=1.0)
    keep = (targets > 0) | (np.cumsum(targets == 0) <= 3)  # few of label 0
    log_probs, targets = log_probs[keep], targets[keep]
    choice = ((0, 5), (1, 7), (2, 3))
    scores = np.stack([np.logaddexp(*log_probs[:, own].T) - np.log(2) for own in map(list, choice)], -1)
    accuracy, loss = balanced_metrics(scores, targets)
    assert (accuracy, loss) == pytest.approx(plain_judge(log_probs, targets, choice))


@pytest.mark.parametrize("words", [1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_the_beam_equals_exhaustive_search(seed, words):
    log_probs, targets = planted(seed, labels=2, words=12, clear=1.0)
    found = beam_search(log_probs, targets, PETAL, words, depth=12)
    lists = shortlists(log_probs, targets, PETAL, depth=12)
    sets = product(*(combinations(map(int, listed), words) for listed in lists))
    judged = [plain_judge(log_probs, targets, choice) for choice in sets if not set(choice[0]) & set(choice[1])]
    best_accuracy = max(accuracy for accuracy, _ in judged)
    best_loss = min(loss for accuracy, loss in judged if accuracy > best_accuracy - 1e-9)
    accuracy, loss = plain_judge(log_probs, targets, found)
    if words == 1:  # one word for each label is tried in full
        assert (accuracy, loss) == pytest.approx((best_accuracy, best_loss))
    else:
        assert accuracy >= best_accuracy - 0.05


@pytest.mark.parametrize("method", [PETAL, LM_BFF])
@pytest.mark.parametrize("seed", range(3))
def test_planted_words_are_found(seed, method):
    log_probs, targets = planted(seed)
    assert choose_words(log_probs, targets, method, 1, seed=0) == ((0,), (1,), (2,))


@pytest.mark.parametrize("method", [PETAL, LM_BFF])
def test_words_are_all_different_and_as_many_as_asked_for(method):
    log_probs, targets = planted(0, labels=4)
    choice = beam_search(log_probs, targets, method, 3, depth=40)
    assert [len(own) for own in choice] == [3] * 4
    assert len({word for own in choice for word in own}) == 12


def test_a_shortlist_holds_the_first_of_the_likeliest():
    log_probs, targets = planted(0)
    (listed, *_) = shortlists(log_probs, targets, PETAL, depth=15)
    likeliest = sorted(range(40), key=lambda word: -log_probs[targets == 0, word].mean())[:15]
    odds = log_probs - np.log1p(-np.exp(log_probs))
    ratio = odds[targets == 0].mean(0) - odds[targets != 0].mean(0)
    assert listed.tolist() == sorted(likeliest, key=lambda word: -ratio[word])[:10]


def test_examples_that_chose_the_words_are_no_judges_of_them():
    generator = np.random.default_rng(0)
    odds = generator.normal(size=(16, 500))  # nothing to be found
    log_probs, targets = odds - np.logaddexp.reduce(odds, axis=1, keepdims=True), np.arange(16) % 2
    seen, _ = plain_judge(log_probs, targets, beam_search(log_probs, targets, PETAL, 3, depth=500))
    unseen, loss = cross_validate(log_probs, targets, PETAL, 3, 500, seed=0)
    assert seen == 1 and unseen < 0.75 and loss > 0.6


def test_the_seed_decides():
    log_probs, targets = planted(1, clear=0.5, words=400)
    first = choose_words(log_probs, targets, PETAL, 2, seed=3)
    np.random.seed(0)
    assert choose_words(log_probs, targets, PETAL, 2, seed=3) == first
    assert cross_validate(log_probs, targets, PETAL, 2, 30, seed=3) != cross_validate(
        log_probs, targets, PETAL, 2, 30, seed=4
    )
