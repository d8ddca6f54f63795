"""Label words that the examples give to the labels."""

from itertools import permutations

import numpy as np
import pytest
import torch
from support import models

from softcloze.automatic.arrangement import arrange
from softcloze.automatic.pairs import directions
from softcloze.prompt import CompiledPrompt
from softcloze.template import Template
from softcloze.verbalizer import OrdinalVerbalizer, Verbalizer

WORDS = {"a": "good", "b": "bad", "c": "film"}
ANY = tuple(dict(zip(WORDS, new, strict=True)) for new in permutations(WORDS))


def compiled(verbalizer):
    return CompiledPrompt(Template("<text> It was <mask>"), verbalizer, models.backbone("gpt2"), None, "words+linear")


@pytest.mark.parametrize(
    ("verbalizer", "orders"),
    [
        (Verbalizer(WORDS), ANY),
        (OrdinalVerbalizer(["a", "b", "c"], ["bad", "film"], "good"), directions(["a", "b", "c"])),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_the_words_fit_the_examples_best_and_features_are_those_of_the_new_order(verbalizer, orders, seed):
    before, targets = compiled(verbalizer), np.random.default_rng(seed).permutation([0, 1, 2] * 3)
    features = before.features(before.encode(models.SENTENCES[:9]), None)
    of_labels = [before.features(before.encode_labels(), None)] if before.encode_labels() else [features[:0]]
    arranged, now, labels_now = arrange(verbalizer, orders, features, of_labels[0], targets)

    def fit_of(candidate):
        """Mean log-score of the right label, each label counting the same; scored anew by the model."""
        other = compiled(candidate)
        words = other.features(other.encode(models.SENTENCES[:9]), None)[:, : candidate.scored].double()
        return float(candidate.label_scores(words)[range(9), targets].mean())

    fits = [fit_of(verbalizer.relabelled(order)) for order in orders]
    assert fit_of(arranged) == pytest.approx(max(fits)) and max(fits) > min(fits)
    after = compiled(arranged)
    torch.testing.assert_close(now, after.features(after.encode(models.SENTENCES[:9]), None), rtol=1e-4, atol=1e-4)
    if len(labels_now):
        expected = after.features(after.encode_labels(), None)
        torch.testing.assert_close(labels_now, expected, rtol=1e-4, atol=1e-4)
