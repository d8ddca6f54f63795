"""Sums of what prompts have learnt."""

from dataclasses import replace

import pytest
import torch
from support import models

from softcloze import PromptClassifier, combine
from softcloze.errors import ArtifactError, ParameterError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # models that know nothing

TEXTS, LABELS = models.SENTENCES[:8], ["pos", "neg"] * 4
WORDS = {"pos": "good", "neg": "bad"}
TEMPLATE = '<soft*3 name=task init="the film" layers=all> <text> <soft*2 name=other> It was <mask>'


def fitted(template=TEMPLATE, seed=0, architecture="gpt2", **parameters):
    parameters = {"epochs": 2, "learning_rate": 1.0, "training__deep_learning_rate": 0.5, **parameters}
    clf = PromptClassifier(models.backbone(architecture), template, WORDS, random_state=seed)
    return clf.set_params(**parameters).fit(TEXTS, LABELS).prompt_


@pytest.fixture(scope="module")
def pair():
    return fitted(seed=1), fitted("About <text>: " + TEMPLATE, seed=2)


def test_one_prompt_of_weight_one_is_the_same(pair, tmp_path):
    combined = combine(pair[:1], [1], models.backbone("gpt2"))
    assert torch.equal(combined.vectors["task"], pair[0].vectors["task"])
    assert torch.equal(combined.vectors["other"], pair[0].vectors["other"])
    assert torch.equal(combined.deep["task"], pair[0].deep["task"])
    combined.save(tmp_path / "p")
    again = combine([type(combined).load(tmp_path / "p")], [1.0], models.backbone("gpt2"))
    assert torch.equal(again.vectors["task"], pair[0].vectors["task"])


def test_differences_from_the_start_are_added(pair):
    backbone = models.backbone("gpt2")
    ids = backbone.prompt_tokenizer.ids("the film")
    start = backbone.embed(torch.tensor([ids[i % len(ids)] for i in range(3)])).float()
    first, second = pair
    combined = combine(pair, [0.75, -0.5], backbone)
    expected = start + 0.75 * (first.vectors["task"] - start) - 0.5 * (second.vectors["task"] - start)
    torch.testing.assert_close(combined.vectors["task"], expected, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(combined.deep["task"], 0.75 * first.deep["task"] - 0.5 * second.deep["task"])
    nothing = combine(pair, [0, 0], backbone)
    assert torch.equal(nothing.vectors["task"], start)
    assert not nothing.deep["task"].any()
    assert combined.template == first.template
    template = TEMPLATE.replace("name=task", "name=task train=no").replace("name=other", "name=other train=no")
    clf = PromptClassifier(backbone, template, WORDS, soft_init=combined, random_state=0).fit(TEXTS, LABELS)
    assert torch.equal(clf.prompt_.vectors["task"], combined.vectors["task"])


def unnamed_start(prompt):
    return replace(prompt, training={})


@pytest.mark.parametrize(
    ("others", "weights", "match"),
    [
        (lambda: [], [1], "1 prompts and 1 weights|found 1 prompts"),
        (lambda: [fitted()], [1], "found 2 prompts and 1 weights"),
        (lambda: [fitted()], [1, float("nan")], "each has to be a number that is finite"),
        (lambda: [fitted("<soft*3 name=tsk> <text> <mask>")], [1, 1], r"prompts\[1\] has no soft block 'task': it has"),
        (
            lambda: [fitted('<soft*4 name=task init="the film" layers=all> <text> <mask>')],
            [1, 1],
            r"the count 4 in prompts\[1\] and 3 in prompts\[0\]",
        ),
        (
            lambda: [fitted('<soft*3 name=task init="the film"> <text> <mask>')],
            [1, 1],
            r"the layers 0 in prompts\[1\] and all in prompts\[0\]",
        ),
        (
            lambda: [fitted('<soft*3 name=task init="it was" layers=all> <text> <mask>')],
            [1, 1],
            r"prompts\[1\] and that of prompts\[0\] started from other words",
        ),
        (
            lambda: [fitted("<soft*3 name=task layers=all> <text> <mask>", soft_init="vocabulary")],
            [1, 1],
            r"of prompts\[1\] started from are unknown: they came from soft_init='vocabulary'",
        ),
        (
            lambda: ["prompt"],
            [1, 1],
            r"prompts\[1\] is of type str; expected a Prompt, as prompt_ of a fitted classifier",
        ),
        (lambda: [unnamed_start(fitted())], [1, 1], r"of prompts\[1\] started from are unknown: .* another prompt"),
    ],
)
def test_prompts_that_do_not_fit_raise(pair, others, weights, match):
    if not (added := others()):
        weights = [*weights, 1]
    with pytest.raises(ParameterError, match=match):
        combine([pair[0], *added], weights, models.backbone("gpt2"))


def test_vectors_that_replace_states_have_no_known_start():
    prompt = fitted('<soft*3 name=task init="the film" layers=all mode=replace> <text> <mask>')
    with pytest.raises(ParameterError, match="fit the prompts with mode=add"):
        combine([prompt], [1], models.backbone("gpt2"))


def test_another_model_raises(pair):
    with pytest.raises(ArtifactError, match=r"prompts\[1\]: this prompt belongs to another model"):
        combine([pair[0], fitted(architecture="llama")], [1, 1], models.backbone("gpt2"))
