"""Prompts with the same ids share one sequence, from which the states of all are read."""

import pytest
import torch
from support import models

from softcloze import PromptClassifier, PromptEnsemble, Template, Verbalizer
from softcloze.prompt import CompiledPrompt
from softcloze.scoring import Member, score_together

WORDS = Verbalizer({"pos": ["good", "a delight"], "neg": ["bad", "far too long"]})
TEXTS = [*models.SENTENCES[:6], models.SENTENCES[0]]
SOURCE = "Review: <text> It was <mask>"
pytestmark = pytest.mark.usefixtures("few_folds")


def compiled(backbone, head, features, source=SOURCE):
    return CompiledPrompt(Template(source), WORDS, backbone, None, head, features=features)


def member(prompt):
    return Member(prompt.scorer, prompt.encode(TEXTS), None)


def passes(backbone, run):
    """The result of `run`, and the number of forward passes that it took."""
    count = []
    hook = backbone.model.register_forward_pre_hook(lambda *_: count.append(1))
    try:
        return run(), len(count)
    finally:
        hook.remove()


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "llama", "t5"])
def test_members_of_one_prompt_have_the_features_that_each_has_by_itself(architecture):
    backbone = models.backbone(architecture)
    kinds = [("linear", "mean"), ("words+linear", "mask"), ("linear", "mask"), ("words", "mask"), ("linear", "mean")]
    prompts = [compiled(backbone, *kind) for kind in kinds]
    prompts.append(compiled(backbone, "linear", "mean", "Review: <text> It is <mask>"))
    for prompt, features in zip(prompts, score_together([*map(member, prompts)]), strict=True):
        alone = prompt.features(prompt.encode(TEXTS), None)
        torch.testing.assert_close(features, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("architecture", ["bert", "llama"])
def test_the_state_at_the_mask_and_the_mean_take_one_forward_pass(architecture):
    """One forward pass, as words and state at the mask take alone."""
    backbone = models.backbone(architecture)
    prompts = [compiled(backbone, *kind) for kind in (("words+linear", "mask"), ("linear", "mean"))]
    members = [Member(prompt.scorer, prompt.encode(TEXTS[:1]), None) for prompt in prompts]
    score_together(members)  # the first use of a model tries what it supports, in forward passes of its own
    assert passes(backbone, lambda: score_together(members))[1] == 1


def test_an_ensemble_predicts_with_both_states_in_one_forward_pass():
    backbone = models.backbone("llama")
    classifiers = [
        PromptClassifier(backbone, SOURCE, WORDS, head=head, features=features, random_state=0)
        for head, features in (("words+linear", "mask"), ("linear", "mean"))
    ]
    ensemble = PromptEnsemble(classifiers).fit(models.SENTENCES[:12], ["pos", "neg"] * 6)
    text = TEXTS[:1]
    ensemble.predict(text)
    both, count = passes(backbone, lambda: ensemble.predict_proba(text))
    assert count == 1
    alone = sum(classifier.predict_proba(text) for classifier in ensemble.classifiers_) / 2
    assert abs(both - alone).max() < 1e-5
