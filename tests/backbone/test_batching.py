"""Batches: every sequence once, little padding, few sizes, and half as many when an accelerator runs out of memory."""

from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import models
from support.properties import cases
from transformers import BertConfig, BertForMaskedLM

from softcloze import Backbone, Template
from softcloze.backbone import PrefixCache, run_length_bucketed
from softcloze.backbone.batching import MAX_BATCH_TOKENS, MIN_BATCH_TOKENS
from softcloze.encoding import CompiledTemplate
from softcloze.starters import load_data


@given(
    lengths=st.lists(st.integers(0, 3000), max_size=40),
    budget=st.integers(0, 9000),
    padding=st.none() | st.integers(0, 5000),
)
@cases(100)
def test_every_row_once_whatever_there_is_room_for(lengths, budget, padding):
    done = []

    def work(chosen):
        of_batch = [lengths[i] for i in chosen]
        assert padding is None or max(of_batch) * len(chosen) - sum(of_batch) <= padding
        assert len(chosen) == 1 or len(chosen) * max(lengths[i] for i in chosen) <= MAX_BATCH_TOKENS
        if len(chosen) > 1 and sum(lengths[i] for i in chosen) > budget:
            raise torch.OutOfMemoryError("no budget")
        done.extend(chosen)

    run_length_bucketed(lengths, lambda i: lengths[i], work, MAX_BATCH_TOKENS, padding)
    assert sorted(done) == list(range(len(lengths)))


def test_no_room_for_a_single_row():
    def work(chosen):
        raise torch.OutOfMemoryError("no budget")

    with pytest.raises(torch.OutOfMemoryError, match="no budget"):
        run_length_bucketed([3, 5], lambda i: 1, work, MAX_BATCH_TOKENS)


def prompt_lengths(texts, template, backbone):
    """Lengths of the prompts with these texts."""
    compiled = CompiledTemplate(Template(template), backbone.prompt_tokenizer, 512)
    return [len(prompt) for prompt in compiled.encode(texts)]


def batch_sizes(lengths, budget=MAX_BATCH_TOKENS):
    """Tokens of each batch, padding included."""
    sizes = []

    def work(rows):
        sizes.append(len(rows) * max(lengths[i] for i in rows))

    run_length_bucketed(lengths, lengths.__getitem__, work, budget)
    return sizes


@pytest.mark.parametrize(
    "data, template", [("movie-reviews", "<text> It was <mask>."), ("chinese-reviews", "<text> 总之，很<mask>")]
)
def test_hardly_any_padding(bert_tiny, data, template):
    lengths = prompt_lengths(load_data(data).test.texts[:1000], template, bert_tiny)
    for budget in (MIN_BATCH_TOKENS, MAX_BATCH_TOKENS):
        assert sum(batch_sizes(lengths, budget)) < 1.05 * sum(lengths)


def test_wide_layers_take_fewer_tokens(bert_tiny):
    """The widest layer decides; an embedding of positions does not count."""
    assert bert_tiny.token_budget == 3072  # 512 numbers of four bytes
    config = BertConfig(hidden_size=8, num_attention_heads=1, num_hidden_layers=1, intermediate_size=700)
    positions = BertForMaskedLM(BertConfig(**(config.to_dict() | {"max_position_embeddings": 3000})))
    found = [Backbone(model, bert_tiny.tokenizer, "x") for model in (BertForMaskedLM(config), positions)]
    assert [backbone.token_budget for backbone in found] == [2246, 2246]


def test_a_stream_of_rows_comes_in_few_sizes(bert_tiny):
    """A CPU library keeps a routine for each number of tokens, so that many sizes cost memory."""
    lengths = prompt_lengths(load_data("movie-reviews").train.texts, "<text> It was <mask>.", bert_tiny)
    dice = Random(0)
    sizes = [size for _ in range(20) for size in batch_sizes(dice.sample(lengths, 1000))]
    assert len(set(sizes)) < 0.35 * len(sizes)


def test_padding_after_a_long_prefix_has_a_position_that_the_model_knows():
    """A long example beside a short one with longer label words, in a model with 64 position embeddings."""
    backbone = models.backbone("gpt2")
    sequences, prefixes = [[9, 10], [9, 10, 11, 12, 13, 14, 15, 16]], [[7] * 60, [8]]
    with backbone.frozen(), torch.no_grad():
        prefix = PrefixCache.join([backbone.prefill([ids]) for ids in prefixes])
        logits = backbone.outputs(sequences, [[1], [7]], prefix=prefix, prefix_index=[0, 1]).logits
        plain = [
            models.logits_of(backbone.model, before + ids)[-1] for before, ids in zip(prefixes, sequences, strict=True)
        ]
    torch.testing.assert_close(logits, torch.stack(plain), atol=1e-4, rtol=1e-4)
