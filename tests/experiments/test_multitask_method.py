"""Multitask prompt tuning as a method of the study: it draws rows of other tasks, and compares as any prompt."""

import pytest
from support import models

from benchmarks.soft_prompts import multitask
from benchmarks.soft_prompts.multitask import MultiTaskClassifier, with_shared_block
from benchmarks.tasks.sets import Task
from softcloze import PromptClassifier
from softcloze.data import Examples, Split
from softcloze.experiments import Method, Protocol, compare

ROWS = Split(
    Examples(models.SENTENCES[:12], ["good", "bad"] * 6), Examples(models.SENTENCES[12:18], ["good", "bad"] * 3)
)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore::softcloze.errors.OneSidedWarning")
def test_it_compares_with_the_plain_prompt(monkeypatch):
    backbone, words = models.backbone("gpt2"), {"good": "good", "bad": "bad"}

    def task(name, template):
        return Task(name, "English", "", lambda: ROWS, backbone, template, words)

    monkeypatch.setattr(multitask, "TASKS", {"other": task("other", "About <text>: <mask>")})
    template = with_shared_block(task("own", "<text> It was <mask>"))
    methods = [
        Method("plain", PromptClassifier(backbone, template, words)),
        Method("multitask", MultiTaskClassifier(backbone, template, words, others=("other",))),
    ]
    plain, together = compare(methods, ROWS, Protocol((2,), 1, len(ROWS.test))).runs
    assert plain.error is None
    assert together.error is None
    assert plain.trainable == together.trainable == 10 * backbone.width
    assert (plain.probabilities != together.probabilities).any()
