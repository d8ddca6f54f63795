"""Soft vectors, alone and as inputs of a model."""

import pytest
import torch
from peft import PromptTuningConfig, get_peft_model
from support import models

from softcloze.backbone import SoftInputs
from softcloze.encoding import CompiledBlock
from softcloze.errors import ParameterError
from softcloze.soft import SoftVectors

BLOCKS = (CompiledBlock("#1", 0, 2, ()), CompiledBlock("task", 2, 3, ()))


def test_by_block_and_back():
    weight = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    soft = SoftVectors(BLOCKS, weight)
    by_block = soft.by_block()
    assert {key: tuple(vectors.shape) for key, vectors in by_block.items()} == {"#1": (2, 4), "task": (3, 4)}
    assert torch.equal(by_block["task"], weight[2:])
    assert not by_block["task"].requires_grad
    assert torch.equal(SoftVectors.from_blocks(BLOCKS, by_block).weight, soft.weight)


def test_vectors_are_a_copy_in_float32():
    weight = torch.ones(5, 4, dtype=torch.bfloat16)
    soft = SoftVectors(BLOCKS, weight)
    assert soft.weight.dtype == torch.float32
    own = torch.ones(5, 4)
    with torch.no_grad():
        SoftVectors(BLOCKS, own).weight.add_(1)
    assert own.sum() == 20


@pytest.mark.parametrize(
    "found", [{"#1": 2}, {"#1": 2, "task": 4}, {"#1": 2, "tusk": 3}, {"#1": 2, "task": 3, "more": 1}, {}]
)
def test_vectors_of_another_template_raise(found):
    with pytest.raises(ParameterError, match=r"has soft blocks of lengths \{'#1': 2, 'task': 3\}, the vectors are for"):
        SoftVectors.from_blocks(BLOCKS, {key: torch.zeros(count, 4) for key, count in found.items()})


def test_a_slot_without_gradient_is_named():
    soft = SoftVectors(BLOCKS, torch.ones(5, 4))
    soft.weight.grad = torch.ones(5, 4)
    soft.validate_gradient()
    soft.weight.grad[3] = 0
    with pytest.raises(ParameterError, match=r"vectors \[1\] of soft block 'task' get no gradient"):
        soft.validate_gradient()
    soft.weight.grad[0, 0] = 0
    soft.weight.grad[3] = torch.tensor([0, 0, 0, 1e-20])
    soft.validate_gradient()


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT asks transformers for it
@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_vectors_before_the_text_equal_prompt_tuning_of_peft(architecture):
    backbone = models.backbone(architecture)
    vectors = torch.randn(4, backbone.width, generator=torch.Generator().manual_seed(0)) * backbone.embedding_rms
    config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    with torch.random.fork_rng():
        tuned = get_peft_model(models.model(architecture), config).eval()
    tuned.prompt_encoder["default"].embedding.weight.data.copy_(vectors)
    ids = torch.tensor([[9, 30, 31, 57, 12], [44, 17, 60, 8, 91]])
    with torch.no_grad():
        expected = tuned(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        rows = [[-1, -2, -3, -4, *row] for row in ids.tolist()]
        found = backbone.outputs(rows, [range(9)] * 2, soft=SoftInputs(vectors)).logits.view_as(expected)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
