"""After its attention, the last layer of models built like BERT computes the wanted positions only."""

import pytest
import torch
from support import models

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
