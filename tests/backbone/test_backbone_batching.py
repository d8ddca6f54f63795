"""Batches: everything once, little padding, few sizes, and half as many rows where an accelerator has no room."""

from random import Random

import pytest
import torch
from cases import cases
from hypothesis import given
from hypothesis import strategies as st

from softcloze import Template
from softcloze.backbone import in_batches
from softcloze.backbone.batching import BATCH_TOKENS
from softcloze.encoding import CompiledTemplate
from softcloze.starters import load_data


@given(lengths=st.lists(st.integers(0, 3000), max_size=40), room=st.integers(0, 9000))
@cases(100)
def test_every_row_once_whatever_there_is_room_for(lengths, room):
    done = []

    def work(chosen):
        assert len(chosen) == 1 or len(chosen) * max(lengths[i] for i in chosen) <= BATCH_TOKENS
        if len(chosen) > 1 and sum(lengths[i] for i in chosen) > room:
            raise torch.OutOfMemoryError("no room")
        done.extend(chosen)

    in_batches(lengths, lambda i: lengths[i], work)
    assert sorted(done) == list(range(len(lengths)))


def test_no_room_for_a_single_row():
    def work(chosen):
        raise torch.OutOfMemoryError("no room")

    with pytest.raises(torch.OutOfMemoryError, match="no room"):
        in_batches([3, 5], lambda i: 1, work)


@pytest.mark.parametrize(
    "data, template", [("movie-reviews", "<text> It was <mask>."), ("chinese-reviews", "<text> 总之，很<mask>")]
)
def test_hardly_any_padding(bert_tiny, data, template):
    texts = load_data(data).test.texts[:1000]
    lengths = [len(prompt) for prompt in CompiledTemplate(Template(template), bert_tiny.vocabulary, 512).encode(texts)]
    padded = []
    in_batches(lengths, lengths.__getitem__, lambda rows: padded.append(len(rows) * max(lengths[i] for i in rows)))
    assert sum(padded) < 1.05 * sum(lengths)


def test_a_stream_of_rows_comes_in_few_sizes(bert_tiny):
    """The processor's library keeps a routine for each number of tokens: a long file took half as much memory again."""
    texts = load_data("movie-reviews").train.texts
    template = CompiledTemplate(Template("<text> It was <mask>."), bert_tiny.vocabulary, 512)
    lengths = [len(prompt) for prompt in template.encode(texts)]
    dice, sizes = Random(0), []
    for _ in range(20):
        window = dice.sample(lengths, 1000)
        in_batches(
            window,
            window.__getitem__,
            lambda rows, window=window: sizes.append(len(rows) * max(window[i] for i in rows)),
        )
    assert len(set(sizes)) < 0.35 * len(sizes)
