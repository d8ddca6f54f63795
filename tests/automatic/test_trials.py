"""The ways that are judged at a template."""

import numpy as np
import pytest
import torch
from support import models

from softcloze.automatic.proposals import Proposal
from softcloze.automatic.trials import Task, hard_trials
from softcloze.heads import fit_exact, load_head
from softcloze.prompt import CompiledPrompt
from softcloze.template import Template
from softcloze.verbalizer import Verbalizer

WORDS = Verbalizer({"bad": "bad", "good": "good"})


@pytest.fixture
def features():
    """Scores of two words, then states of eight components, of twelve examples and of the two labels."""
    dice = np.random.default_rng(0)
    return torch.tensor(dice.normal(0, 1, (14, 10)) + 0.5 * np.eye(2)[[*[0, 1] * 6, 0, 1]].repeat(5, 1)).float()


def task_and_proposal(head):
    targets = np.array([0, 1] * 6)
    compiled = CompiledPrompt(Template("<text> It was <mask>"), WORDS, models.backbone("gpt2"), None, head)
    task = Task(models.backbone("gpt2"), models.SENTENCES[:12], targets, np.ones(12), None, seed=0)
    return task, Proposal(compiled, has_words=head != "linear")


def test_the_head_with_words_has_the_mean_of_the_scores_of_two_exact_heads(features):
    task, proposal = task_and_proposal("words+linear")
    examples, labels, targets = features[:12], features[12:], task.targets.tolist()
    with_linear, words = hard_trials(task, proposal, examples, labels)
    linear = fit_exact("linear", WORDS, examples[:, 2:], targets, label_features=labels[:, 2:])
    beside = fit_exact("words+linear", WORDS, examples, targets, label_features=labels)
    expected = (linear.head.label_scores(examples[:, 2:]) + beside.head.label_scores(examples)) / 2
    head = load_head("words+linear", WORDS, with_linear.prompt.head_tensors)
    torch.testing.assert_close(head.label_scores(examples), expected)
    left_out = np.exp((linear.log_probabilities + beside.log_probabilities) / 2)
    np.testing.assert_allclose(np.exp(with_linear.log_probabilities), left_out / left_out.sum(1, keepdims=True))
    np.testing.assert_allclose(np.exp(words.log_probabilities), examples[:, :2].double().softmax(1), rtol=1e-5)


def test_without_words_the_linear_layer_alone_is_judged(features):
    task, proposal = task_and_proposal("linear")
    (only,) = hard_trials(task, proposal, features[:12, 2:], features[12:, 2:])
    expected = fit_exact("linear", WORDS, features[:12, 2:], task.targets.tolist(), label_features=features[12:, 2:])
    assert only.prompt.head == "linear"
    np.testing.assert_array_equal(only.log_probabilities, expected.log_probabilities)
