"""Our attention equals transformers' in forward and backward pass, with and without a cached prefix."""

import pytest
import torch
from support import models
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from softcloze.backbone import PrefixCache, SoftInputs, attention

PREFIXES = [[7, 8, 9, 10, 11, 12, 13, 14, 15], [16, 17]]  # the first longer than a window of 8
ROWS = [[-1, -2, 20], [-1, 21, -2, 22], [-2, -1, 23, 24, 25]]
BEHIND = {"apart": [0, 1], "packed": [0, 1, 0], "one token": [0, 1]}


@pytest.fixture
def calls(monkeypatch):
    """Record each call of the attention that treats cached keys and values as constants."""
    times = []
    apply = attention._MatrixProductAttention.apply
    monkeypatch.setattr(
        attention._MatrixProductAttention, "apply", lambda *inputs: (times.append(1), apply(*inputs))[1]
    )
    return times


@pytest.mark.parametrize("case", BEHIND)
@pytest.mark.parametrize(
    "architecture", ["llama", "gemma3_text", "qwen3", "gpt2", "mistral", "gpt_neox", "opt", "bloom"]
)
def test_gradients_after_a_cached_prefix_are_those_of_whole_sequences(architecture, case, calls):
    backbone, behind = models.backbone(architecture), BEHIND[case]
    rows = [[-1], [-2]] if case == "one token" else ROWS[: len(behind)]
    dice = torch.Generator().manual_seed(0)
    soft = torch.randn(2, backbone.width, generator=dice) * backbone.embedding_rms
    weights = torch.randn(3, generator=dice)
    found, expected = (soft.clone().requires_grad_() for _ in range(2))
    with backbone.frozen():
        # in parts, so that shorter ones are padded
        prefix = PrefixCache.join([backbone.prefill([ids]) for ids in PREFIXES])
        last = [[len(row) - 1] for row in rows]
        logits = backbone.outputs(rows, last, soft=SoftInputs(found), prefix=prefix, prefix_index=behind).logits
        (logits[:, 30:33] * weights).sum().backward()
    assert bool(calls) == (backbone.attention == "softcloze") == (architecture != "bloom")
    plain = torch.stack(
        [
            models.logits_of(backbone.model, PREFIXES[own] + row, expected)[-1]
            for own, row in zip(behind, rows, strict=True)
        ]
    )
    (plain[:, 30:33] * weights).sum().backward()
    backbone.model.zero_grad(set_to_none=True)
    torch.testing.assert_close(logits, plain, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.grad, expected.grad, atol=1e-4, rtol=1e-4)
    assert expected.grad.abs().max() > 0.01


@pytest.mark.parametrize("architecture", models.CAUSAL)
def test_gradients_of_packed_sequences_are_those_of_each_by_itself(architecture, monkeypatch):
    backbone = models.backbone(architecture)
    rows = [[-1, -2, 20, *own] for own in ([7], [21, 22], [21, 23, 24], [25] * 4)]
    dice = torch.Generator().manual_seed(0)
    soft = torch.randn(2, backbone.width, generator=dice) * backbone.embedding_rms
    weights = torch.randn(3, generator=dice)
    found, expected = (soft.clone().requires_grad_() for _ in range(2))
    packed = []
    run = backbone._forward.packed
    monkeypatch.setattr(
        backbone._forward,
        "packed",
        lambda packing, *given, **named: (packed.append(packing), run(packing, *given, **named))[1],
    )
    with backbone.frozen():
        assert backbone.can_pack == (architecture != "bloom")
        packed.clear()
        logits = backbone.outputs(rows, [[len(row) - 1] for row in rows], soft=SoftInputs(found)).logits
        (logits[:, 30:33] * weights).sum().backward()
    places = [sum(map(len, packing.ids)) for packing in packed]
    # of 22, the prefix and the common ids after it once; with a window of 8, in two trees
    short = architecture in ("mistral", "gemma3_text")
    assert places == ([] if architecture == "bloom" else [15 if short else 12])
    plain = torch.stack([models.logits_of(backbone.model, row, expected)[-1] for row in rows])
    (plain[:, 30:33] * weights).sum().backward()
    backbone.model.zero_grad(set_to_none=True)
    torch.testing.assert_close(logits, plain, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.grad, expected.grad, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("count", [2, 5])
def test_equal_sequences_are_computed_once_in_training(count):
    backbone = models.backbone("llama")
    soft = (torch.randn(2, backbone.width) * backbone.embedding_rms).requires_grad_()
    with backbone.frozen():
        several = backbone.outputs([[-1, -2, 20, 7]] * count, [[3]] * count, soft=SoftInputs(soft)).logits
        one = backbone.outputs([[-1, -2, 20, 7]], [[3]], soft=SoftInputs(soft)).logits
    torch.testing.assert_close(several, one.expand_as(several), atol=1e-4, rtol=1e-4)


def tensors(groups, dtype=torch.float32, width=8):
    """Queries, keys, values and a mask: 3 sequences of 4 queries after 6 cached positions."""
    dice = torch.Generator().manual_seed(0)
    query = torch.randn(3, 2 * groups, 4, 8, generator=dice, dtype=dtype)
    key, value = (torch.randn(3, 2, 10, size, generator=dice, dtype=dtype) for size in (8, width))
    seen = torch.ones(4, 10, dtype=torch.bool).tril(6).repeat(3, 1, 1, 1)
    seen[1, ..., :3] = False  # padding
    return query, key, value, seen


@pytest.mark.parametrize("width", [8, 5])
@pytest.mark.parametrize("scaling", [None, 0.3])
@pytest.mark.parametrize("form", ["bool", "numbers", "one for all rows"])
@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("kept", [False, True])
def test_against_transformers(kept, groups, form, scaling, width):
    query, key, value, seen = tensors(groups, width=width)
    mask = torch.zeros(seen.shape).masked_fill(~seen, -1e30) if form == "numbers" else seen
    mask = mask[:1] if form == "one for all rows" else mask
    module = torch.nn.Module()
    module.num_key_value_groups = groups
    results = []
    for ours in (True, False):
        leaves = [tensor.clone().requires_grad_() for tensor in (query, key[:, :, 6:], value[:, :, 6:])]
        layer = attention.PrefixKVLayer(key.clone(), value.clone(), capacity=4)
        assert layer.get_seq_length() == 6 and layer.get_mask_sizes(4) == (10, 0)
        joined = layer.update(*leaves[1:])
        assert layer.get_seq_length() == 10
        if not kept:
            joined = [tensor + 0 for tensor in joined]  # a copy, without the attribute that marks new keys
        function = attention.attention if ours else sdpa_attention_forward
        result, shares = function(module, leaves[0], *joined, mask, scaling=scaling)
        assert shares is None and result.is_contiguous()
        result.sin().sum().backward()
        results.append((result, *(leaf.grad for leaf in leaves)))
    for own, other in zip(*results, strict=True):
        torch.testing.assert_close(own, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("form", ["bool", "numbers", None, "causal"])
@pytest.mark.parametrize("kept", [False, True])
def test_half_precision_is_as_close_as_transformers(kept, form, calls):
    query, key, value, seen = tensors(3)
    masks = {"bool": seen, "numbers": torch.zeros(seen.shape).masked_fill(~seen, -1e30)}
    module = torch.nn.Module()
    module.is_causal, module.num_key_value_groups = form == "causal", 3
    if form == "causal":  # without a mask it sees what transformers would show it in one
        masks["causal"] = torch.ones(4, 10, dtype=torch.bool).tril(6)[None, None]
    leaves = [tensor.clone().requires_grad_() for tensor in (query, key, value)]
    expected, _ = sdpa_attention_forward(module, *leaves, masks.get(form))
    expected.sin().sum().backward()

    layer = attention.PrefixKVLayer(key.bfloat16(), value.bfloat16(), capacity=4)
    found = [query.bfloat16().requires_grad_()]
    found += [
        tensor.bfloat16().requires_grad_()
        for tensor in ((key, value) if not kept else (key[:, :, 6:], value[:, :, 6:]))
    ]
    joined = layer.update(*found[1:]) if kept else found[1:]
    mask = masks.get(form) if form != "causal" else None
    mask = mask.bfloat16() if form == "numbers" else mask
    result, _ = attention.attention(module, found[0], *joined, mask)
    assert result.dtype == torch.bfloat16 and calls
    torch.testing.assert_close(result.float(), expected, atol=0.03, rtol=0.03)
    result.float().sin().sum().backward()
    for own, other in zip(found, leaves, strict=True):
        torch.testing.assert_close(own.grad.float(), other.grad[:, :, -own.shape[2] :], atol=0.06, rtol=0.06)


def test_long_sequences_in_half_precision_use_the_kernel(calls):
    query, key, value = (
        torch.randn(1, 2, attention.MAX_SHORT_KEYS + 1, 8).bfloat16().requires_grad_() for _ in range(3)
    )
    attention.attention(torch.nn.Module(), query, key, value, None, is_causal=False)
    assert not calls
    attention.attention(torch.nn.Module(), query, key[:, :, 1:], value[:, :, 1:], None, is_causal=False)
    assert calls


@pytest.mark.parametrize("architecture", [*models.CAUSAL, *models.MASKED])
def test_a_training_step_in_half_precision_is_as_close_as_transformers(architecture):
    """Gradients in bfloat16 with our attention are as close to those in float32 as with transformers' own."""
    dice = torch.Generator().manual_seed(0)
    gradients = {}
    for name, dtype in (("exact", torch.float32), ("ours", torch.bfloat16), ("theirs", torch.bfloat16)):
        backbone = models.new_backbone(architecture)
        backbone.model.to(dtype)
        if name == "theirs" and backbone.attention == "softcloze":
            backbone.model.set_attn_implementation("eager")
        soft = torch.randn(2, backbone.width, generator=dice.manual_seed(0)) * backbone.embedding_rms
        soft.requires_grad_()
        with backbone.frozen():
            logits = backbone.outputs([[-1, -2, 20, 21, 22], [-1, 24, -2]], [[4], [2]], soft=SoftInputs(soft)).logits
            logits[:, 30:33].sin().sum().backward()
        gradients[name] = soft.grad
    exact = gradients["exact"]
    ours, theirs = ((gradients[name] - exact).norm() / exact.norm() for name in ("ours", "theirs"))
    assert ours < theirs + 0.05


def test_unusual_arguments_use_transformers():
    query, key, value, seen = tensors(1)
    bias = torch.randn(3, 2, 4, 10)
    found, _ = attention.attention(torch.nn.Module(), query, key, value, seen, position_bias=bias)
    expected, _ = sdpa_attention_forward(torch.nn.Module(), query, key, value, seen, position_bias=bias)
    assert torch.equal(found, expected)
    with pytest.raises(ValueError, match="softcap"):
        attention.attention(torch.nn.Module(), query, key, value, seen, softcap=30.0)


@pytest.mark.parametrize("keys", [15, 16, 17, attention.MAX_SHORT_KEYS - 1, attention.MAX_SHORT_KEYS + 1])
@pytest.mark.parametrize("form", ["bool", "numbers", None, "causal", "last query"])
def test_keys_that_do_not_fill_a_register_change_nothing(form, keys):
    dice = torch.Generator().manual_seed(keys)
    query = torch.randn(2, 6, 1 if form == "last query" else keys, 8, generator=dice).bfloat16()
    key, value = (torch.randn(2, 2, keys, 8, generator=dice).bfloat16() for _ in range(2))
    seen = torch.ones(2, 1, keys, keys, dtype=torch.bool).tril()
    seen[1, ..., 0] = False
    seen[1, 0, 0] = True
    numbers = torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.bfloat16).min)
    mask = {"bool": seen, "numbers": numbers.bfloat16()}.get(form)
    module = torch.nn.Module()
    module.is_causal, module.num_key_value_groups = form in ("causal", "last query"), 3
    found, _ = attention.attention(module, query, key, value, mask)
    exact = numbers if form == "numbers" else mask
    expected, _ = sdpa_attention_forward(module, query.float(), key.float(), value.float(), exact)
    assert found.is_contiguous()
    torch.testing.assert_close(found.float(), expected, atol=0.03, rtol=0.03)


@pytest.mark.parametrize("architecture", models.CAUSAL)
def test_probes_agree_in_half_precision(architecture):
    backbone = models.new_backbone(architecture)
    backbone.model.to(torch.bfloat16)
    exact = models.backbone(architecture)
    assert not backbone.prefix_cache_reason
    assert backbone.can_pack == exact.can_pack
    assert backbone._can_cut_head == exact._can_cut_head
