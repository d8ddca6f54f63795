"""What predictions cost: tokens that the model computes for a text."""

import pytest
from support import models

from softcloze import PromptClassifier, PromptEnsemble
from softcloze.automatic.budget import Budget
from softcloze.automatic.cost import SAMPLE, measure_cost, tokens_per_text

WORDS = {"bad": "bad", "good": "good"}
TEXTS = models.SENTENCES[:SAMPLE]


def prompt(backbone, template="<text> It was <mask>.", words=WORDS, **parameters):
    return PromptClassifier(backbone, template, words, **parameters)


@pytest.fixture
def computed(bert_tiny):
    """Numbers of tokens without padding that BERT-tiny computes in each forward pass."""
    counts = []

    def count(module, args, options):
        counts.append(int(options["attention_mask"].sum()))

    hook = bert_tiny.model.register_forward_pre_hook(count, with_kwargs=True)
    yield counts
    hook.remove()


@pytest.mark.parametrize("words", [WORDS, {"bad": "not good", "good": "good"}], ids=["one token", "several tokens"])
def test_tokens_are_those_that_the_model_computes(bert_tiny, computed, words):
    classifier = prompt(bert_tiny, words=words)
    classifier.predict(TEXTS)  # the first one also probes the model
    computed.clear()
    classifier.predict(TEXTS)
    assert tokens_per_text([classifier], TEXTS) == sum(computed) / len(TEXTS)


def test_an_ensemble_costs_the_tokens_of_its_members(bert_tiny):
    members = [prompt(bert_tiny), prompt(bert_tiny, "In all, a <mask> film: <text>")]
    alone = [tokens_per_text([member], TEXTS) for member in members]
    ensemble = PromptEnsemble(members).fit(TEXTS, ["bad", "good"] * (len(TEXTS) // 2))
    cost = measure_cost(ensemble, TEXTS, Budget(None))
    assert cost.tokens == sum(alone)
    assert cost.seconds > 0


def test_what_members_share_counts_once():
    gpt2 = models.backbone("gpt2")
    one, other = prompt(gpt2, "<text> It was <mask>"), prompt(gpt2, "<text> In all, it was <mask>")
    both, alone = tokens_per_text([one, other], TEXTS), tokens_per_text([one], TEXTS)
    assert alone < both < alone + tokens_per_text([other], TEXTS)


def test_demonstrations_cost_tokens(bert_tiny):
    y = ["bad", "good"] * (len(TEXTS) // 2)
    fixed = prompt(bert_tiny, "<demos><text> It was <mask>.")
    assert tokens_per_text([fixed.fit(TEXTS, y)], TEXTS) > 2 * tokens_per_text([prompt(bert_tiny)], TEXTS)


def test_without_time_the_tokens_alone_are_known(bert_tiny):
    budget = Budget(1e-9)
    budget.read(1.0, 1.0)
    assert (
        measure_cost(prompt(bert_tiny).fit(TEXTS, ["bad", "good"] * (len(TEXTS) // 2)), TEXTS, budget).seconds is None
    )
