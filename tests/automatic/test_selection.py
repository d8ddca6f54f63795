"""The choice among trials."""

import numpy as np

from softcloze.automatic.selection import choose_trials
from softcloze.automatic.trials import Trial
from softcloze.prompt import Prompt
from softcloze.template import Template
from softcloze.verbalizer import Verbalizer

WORDS = Verbalizer({"bad": "bad", "good": "good"})


def trial(head, right, template="<text> It was <mask>", tokens=20.0):
    """A trial whose examples, all of label 0, have these probabilities of their own label."""
    probabilities = np.array(right, dtype=float)
    log_probabilities = np.log(np.stack([probabilities, 1 - probabilities], axis=1))
    tensors = {} if head == "words" else {"weight": np.zeros((2, 1)), "bias": np.zeros(2)}
    prompt = Prompt(Template(template), WORDS, "model", "0" * 64, head=head, head_tensors=tensors)
    return Trial(prompt, log_probabilities, np.zeros(len(right), dtype=int), np.ones(len(right)), tokens)


def test_alone_the_simplest_within_one_standard_error_is_chosen():
    words = trial("words", [0.6, 0.9, 0.5, 0.95])
    linear = trial("linear", [0.95, 0.6, 0.9, 0.7])  # better in the mean, and worse on half of the examples
    assert linear.log_loss < words.log_loss
    assert choose_trials([linear, words], most=1) == [words]


def test_alone_the_best_is_chosen_if_it_is_better_on_every_example():
    words, linear = trial("words", [0.6, 0.6, 0.5, 0.6]), trial("linear", [0.9, 0.9, 0.8, 0.9])
    assert choose_trials([words, linear], most=1) == [linear]


def test_an_ensemble_has_the_best_of_those_that_are_hardly_worse():
    best = trial("linear", [0.95, 0.6, 0.9, 0.7])
    close = trial("words", [0.6, 0.9, 0.5, 0.95], "One: <text> <mask>")
    worst = trial("words", [0.1, 0.1, 0.1, 0.1], "Other: <text> <mask>")
    assert choose_trials([worst, close, best], most=4) == [best, close]
    assert choose_trials([worst, close, best], most=1 + 1) == [best, close]


def test_an_ensemble_has_one_way_of_each_template():
    best, other = trial("linear", [0.95, 0.6, 0.9, 0.7]), trial("words", [0.6, 0.9, 0.5, 0.95])
    assert choose_trials([other, best], most=4) == [best]


def test_what_predictions_cost_does_not_count():
    cheap = trial("linear", [0.6, 0.9, 0.5, 0.95], tokens=10.0)
    dear = trial("words", [0.95, 0.6, 0.9, 0.7], "A longer one: <text> <mask>", tokens=90.0)
    assert choose_trials([cheap, dear], most=1) == [dear]
