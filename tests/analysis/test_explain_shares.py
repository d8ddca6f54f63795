"""What a label word does for its label, by every aggregation and unit that a verbalizer has."""

import pytest
import torch
from support import models
from torch import tensor

from softcloze import Template, Verbalizer
from softcloze.analysis import explain
from softcloze.prompt import CompiledPrompt

SEVERAL = {"pos": ["good", "really good", "wonderful"], "neg": ["bad", "terrible story"]}
WEIGHTED = {"pos": {"good": 1, "great": 3}, "neg": {"bad": 0.5, "terrible": 2}}
PLACES = [("bert", "<text> It was <mask>."), ("gpt2", "<text> <mask>")]


def bind(architecture, source, table, **options):
    return CompiledPrompt(Template(source), Verbalizer(table, **options), models.backbone(architecture), None)


def explained(bound):
    prompts = bound.encode(["A dull film.", "这部电影很好，演员也很好。"])
    return list(zip(prompts, explain(bound, prompts, None), strict=True))


def scores_of(bound, prompt):
    """By plain transformers: log-probabilities of the label words."""
    backbone = bound.scorer.backbone
    with torch.no_grad():
        scores = models.word_scores(
            backbone.model, prompt, bound.scorer.words, mask_id=backbone.prompt_tokenizer.mask_id
        )
    return scores.double()


def close(found, expected, tolerance=1e-5):
    torch.testing.assert_close(tensor(found).double(), expected.double(), atol=tolerance, rtol=tolerance)


SHARES = {
    "log_mean_prob": lambda scores, weights: (scores + weights.log()).softmax(-1),
    "log_sum_prob": lambda scores, weights: (scores + weights.log()).softmax(-1),
    "mean_log_prob": lambda scores, weights: weights / weights.sum(),
    "max_log_prob": lambda scores, weights: (scores + weights.log() == (scores + weights.log()).max()).double(),
}


@pytest.mark.parametrize("table", [SEVERAL, WEIGHTED], ids=["words", "weights"])
@pytest.mark.parametrize("aggregation", SHARES)
@pytest.mark.parametrize(("architecture", "source"), PLACES)
def test_shares_follow_the_aggregation(architecture, source, aggregation, table):
    bound = bind(architecture, source, table, aggregation=aggregation)
    for prompt, explanation in explained(bound):
        parts = scores_of(bound, prompt).split([len(own) for own in bound.verbalizer.words])
        weights = [tensor(own).double() for own in bound.verbalizer.weights]
        expected = [SHARES[aggregation](part, own) for part, own in zip(parts, weights, strict=True)]
        close([word.share for word in explanation.words], torch.cat(expected))
        for label in explanation.labels:
            shares = [word.share for word in explanation.words if word.label == label]
            assert sum(shares) == pytest.approx(1) and min(shares) >= 0 and max(shares) <= 1


@pytest.mark.parametrize(("architecture", "source"), PLACES)
def test_scores_of_words_measured_by_their_tokens(architecture, source):
    bound = bind(architecture, source, SEVERAL, length_norm="token")
    lengths = tensor([len(word) for word in bound.scorer.words])
    for prompt, explanation in explained(bound):
        scores = scores_of(bound, prompt) / lengths
        close([word.score for word in explanation.words], scores - scores.max(), 1e-4)
        close([word.log_probability for word in explanation.words], scores_of(bound, prompt), 1e-4)
