"""After its attention, the last layer computes the wanted positions only."""

import pytest
import torch
from support import models

from softcloze.backbone import SoftInputs

ROWS = [[5, 6, 7, 8, 9, 10], [11, 12, 13]]
PLACES = [[4, 0], [1]]


@pytest.mark.parametrize("architecture", models.MASKED)
def test_scores_and_states_are_those_of_the_whole_layer(architecture, monkeypatch):
    backbone = models.new_backbone(architecture)
    found = backbone._head_start
    assert (found is not None) == (architecture in ("bert", "roberta", "electra", "deberta-v2"))
    widths = []
    hooked = found if found is not None else torch.nn.Identity()
    with backbone.frozen(), torch.no_grad():
        hook = hooked.register_forward_hook(lambda _, args, result: widths.append(result.shape[1]))
        short = backbone.outputs(ROWS, PLACES)
        monkeypatch.setattr(backbone, "_head_start", None)
        whole = backbone.outputs(ROWS, PLACES)
        hook.remove()
    assert widths == ([3, 6] if found is not None else [])
    for own, other in zip(short, whole, strict=True):
        torch.testing.assert_close(own, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("architecture", models.CAUSAL)
def test_a_causal_model_runs_its_last_feed_forward_block_at_the_wanted_positions(architecture, monkeypatch):
    backbone = models.new_backbone(architecture)
    block = backbone._feed_forward
    assert (block is not None) == (architecture != "opt")  # whose layers have no such block
    lengths, results = [], []
    hooked = block if block is not None else torch.nn.Identity()
    with backbone.frozen():
        hook = hooked.register_forward_hook(lambda _, args, result: lengths.append(args[0].shape[:2].numel()))
        for _ in range(2):
            soft = SoftInputs(torch.ones(1, backbone.width, requires_grad=True))
            # position 4 is read twice, for its logits and for its state
            short = backbone.outputs([[5, -1, *ROWS[0]], ROWS[1]], PLACES, [[4, 6], []], soft=soft)
            (short.logits.square().sum() + short.states.sum()).backward()
            results.append((*short, soft.embeddings.grad))
            monkeypatch.setattr(backbone, "_feed_forward", None)
        hook.remove()
    assert lengths == ([4, 16] if block is not None else [])
    for of_part, of_whole in zip(*results, strict=True):
        torch.testing.assert_close(of_part, of_whole, atol=1e-4, rtol=1e-4)


def test_a_prefix_takes_next_to_nothing_of_the_last_feed_forward_block():
    backbone = models.new_backbone("llama")
    lengths = []
    with backbone.frozen():
        hook = backbone._feed_forward.register_forward_hook(lambda _, args, result: lengths.append(args[0].shape[1]))
        short = backbone.prefill(ROWS)
        hook.remove()
        whole = backbone._forward.prefill(ROWS)
    assert lengths == [1]
    for of_part, of_whole in zip(short.layers, whole.layers, strict=True):
        assert all(torch.equal(*tensors) for tensors in zip(of_part, of_whole, strict=True))


def test_a_causal_model_that_mixes_positions_later_runs_its_whole_last_layer():
    backbone = models.new_backbone("llama")
    norm = backbone.model.model.norm
    before = norm.forward
    norm.forward = lambda states: before(states + states.mean(1, keepdim=True))
    assert backbone._feed_forward is None


def test_a_model_that_mixes_positions_later_runs_its_whole_last_layer():
    backbone = models.new_backbone("bert")
    bert = backbone.model.bert
    before = bert.forward

    def forward(*args, **inputs):
        outputs = before(*args, **inputs)
        outputs.last_hidden_state = outputs.last_hidden_state + outputs.last_hidden_state.mean(1, keepdim=True)
        return outputs

    bert.forward = forward
    assert backbone._head_start is None
