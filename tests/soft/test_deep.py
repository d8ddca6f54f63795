"""Soft vectors that enter at later layers, against plain transformers."""

import pytest
import torch
from peft import PrefixTuningConfig, get_peft_model
from support import models
from support.deep_reference import STACKS, logits, source_logits
from support.reference_scores import assert_same, make_scorer, random_prompts, soft_vectors
from transformers import DynamicCache, SqueezeBertConfig, SqueezeBertForMaskedLM, XLMConfig, XLMWithLMHeadModel

from softcloze.backbone import Backbone, LayerVectors, SoftInputs
from softcloze.encoding import EncodedPrompt
from softcloze.errors import BackboneError
from softcloze.scoring import Member, compute_features, score_together

DEPTH = 4
WORDS = [(20,), (31, 32), (42, 43, 44)]


def backbone_of(architecture):
    return models.backbone(architecture, layers=DEPTH)


def deep_inputs(backbone, count, layers=range(1, DEPTH), replaced=(), scale=0.3):
    """Random vectors for a forward pass."""
    generator = torch.Generator().manual_seed(1)
    mask = torch.tensor([row in replaced for row in range(count)]) if replaced else None
    width = backbone.layers.width
    deep = {layer: LayerVectors(torch.randn(count, width, generator=generator) * scale, mask) for layer in layers}
    return SoftInputs(soft_vectors(backbone, count), deep)


def reference_deep(inputs, replaced=()):
    return {layer: (entry.vectors, replaced) for layer, entry in inputs.layers.items()}


@pytest.mark.parametrize("replaced", [(), (0, 2), (0, 1, 2)], ids=["add", "both", "replace"])
@pytest.mark.parametrize("layers", [range(1, DEPTH), [2]], ids=["all", "one"])
@pytest.mark.parametrize("architecture", STACKS)
def test_logits_are_those_of_plain_layers_with_these_vectors(architecture, layers, replaced):
    backbone = backbone_of(architecture)
    inputs = deep_inputs(backbone, 3, layers, replaced)
    deep = reference_deep(inputs, replaced)
    ids = [[9, -1, 30, -2, 31, 12, -3, 57], [44, 17, -3, 60, -1, 8], [7, 8, 9]]
    with backbone.frozen(), torch.no_grad():
        if backbone.family == "seq2seq":
            decoder = [0, 11, 12]
            together = backbone.outputs([decoder] * 3, [range(3)] * 3, sources=[*map(tuple, ids)], soft=inputs).logits
            expected = torch.cat(
                [source_logits(backbone, architecture, row, decoder, inputs.embeddings, deep) for row in ids]
            )
        else:
            together = backbone.outputs(ids, [range(len(row)) for row in ids], soft=inputs).logits
            expected = torch.cat([logits(backbone, architecture, row, inputs.embeddings, deep) for row in ids])
            shallow = backbone.outputs(ids[:1], [range(8)], soft=SoftInputs(inputs.embeddings)).logits
            assert (shallow - expected[:8]).abs().max() > 0.01
    torch.testing.assert_close(together, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("architecture", STACKS)
def test_zeros_change_no_bit(architecture):
    backbone = backbone_of(architecture)
    prompts = random_prompts([6, 11, 5], slots=((0, 3, -1), ()), right=backbone.family != "causal")
    shallow = SoftInputs(soft_vectors(backbone, 3))
    zeros = torch.zeros(3, backbone.layers.width)
    deep = SoftInputs(shallow.embeddings, dict.fromkeys(range(1, DEPTH), LayerVectors(zeros)))
    scorer = make_scorer(backbone, WORDS, right=bool(prompts[0].right))
    assert torch.equal(compute_features(scorer, prompts, deep), compute_features(scorer, prompts, shallow))


def causal_scores(backbone, architecture, prompts, inputs, replaced=()):
    deep = reference_deep(inputs, replaced)
    results = []
    with torch.no_grad():
        for prompt in prompts:
            scores = []
            for word in WORDS:
                row = [*prompt.left, *word, *prompt.right]
                logs = logits(backbone, architecture, row, inputs.embeddings, deep).log_softmax(-1)
                read = range(len(prompt.left), len(row))
                scores.append(sum(logs[position - 1, row[position]] for position in read if row[position] >= 0))
            results.append(torch.stack(scores))
    return torch.stack(results)


@pytest.mark.parametrize(
    "slots", [((0, 0, 0), ()), ((1, 4, 4), ()), ((0, 3, -1), (1,))], ids=["front", "middle", "over"]
)
@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gemma3_text"])
def test_packed_cached_padded_and_alone(architecture, slots):
    """A common prefix with slots is computed once, words are packed, and neither changes a score."""
    backbone = backbone_of(architecture)
    count = sum(map(len, slots))
    inputs = deep_inputs(backbone, count, replaced=(1,))
    start = random_prompts([20], slots=(slots[0][:1] * 1, ()), right=False, seed=3)[0].left
    later = [slots[0][1:], slots[1]]
    prompts = []
    for prompt in random_prompts([9, 3, 14, 1], slots=later, right=bool(slots[1]), seed=4):
        left, right = (tuple(i - 1 if i < 0 else i for i in part) for part in (prompt.left, prompt.right))
        prompts.append(EncodedPrompt(start + left, right, {}))
    scorer = make_scorer(backbone, WORDS, right=bool(slots[1]))
    expected = causal_scores(backbone, architecture, prompts, inputs, (1,))
    assert_same(compute_features(scorer, prompts, inputs), expected)
    with torch.no_grad(), backbone.frozen():
        assert_same(torch.cat([scorer.batch([prompt], inputs) for prompt in prompts]), expected)
        prefix = scorer.cache_prefixes(prompts, 2**30)
        if prefix is not None:
            assert_same(scorer.batch(prompts, inputs, prefix, range(4)), expected)


def test_prompts_with_different_vectors_share_batches():
    backbone = backbone_of("llama")
    sets = [
        deep_inputs(backbone, 3),
        SoftInputs(soft_vectors(backbone, 3, seed=5)),
        deep_inputs(backbone, 3, [2], (0, 1, 2)),
    ]
    prompts = random_prompts([3, 24, 9], slots=((20, 20, -1), ()), right=False)
    scorer = make_scorer(backbone, WORDS, right=False)
    together = score_together([Member(scorer, prompts, inputs) for inputs in sets])
    for scores, inputs, replaced in zip(together, sets, [(), (), (0, 1, 2)], strict=True):
        assert_same(scores, causal_scores(backbone, "llama", prompts, inputs, replaced))


def rotated(keys, positions, theta):
    """Rotary position embedding, written out: shape (heads, positions, width)."""
    half = keys.shape[-1] // 2
    angles = positions[:, None] * theta ** (-torch.arange(half) / half)
    first, second = keys[..., :half], keys[..., half:]
    return torch.cat(
        [first * angles.cos() - second * angles.sin(), second * angles.cos() + first * angles.sin()], dim=-1
    )


def rms_norm(states, weight, eps):
    return states * (states.square().mean(-1, keepdim=True) + eps).rsqrt() * weight


def keys_and_values(backbone, architecture, states, layer):
    """Keys and values of a layer at the first positions of a sequence, shape (1, heads, positions, width) each."""
    config, positions = backbone.model.config, torch.arange(len(states))
    if architecture == "gpt2":
        block = backbone.model.transformer.h[layer]
        normed = torch.nn.functional.layer_norm(states, (32,), block.ln_1.weight, block.ln_1.bias, block.ln_1.eps)
        _, keys, values = (normed @ block.attn.c_attn.weight + block.attn.c_attn.bias).split(32, dim=-1)
        return (kind.view(len(states), 4, 8).transpose(0, 1)[None] for kind in (keys, values))
    block = backbone.model.model.layers[layer]
    gain = 1 if architecture == "gemma3_text" else 0
    normed = rms_norm(states, block.input_layernorm.weight + gain, config.rms_norm_eps)
    keys, values = (
        (normed @ projection.weight.T).view(len(states), 2, 8).transpose(0, 1)
        for projection in (block.self_attn.k_proj, block.self_attn.v_proj)
    )
    if architecture != "llama":
        keys = rms_norm(keys, block.self_attn.k_norm.weight + gain, config.rms_norm_eps)
    parameters = config.rope_parameters
    theta = parameters.get("rope_theta") or parameters[config.layer_types[layer]]["rope_theta"]
    return rotated(keys, positions, theta)[None], values[None]


FRONT = ["gpt2", "llama", "qwen3", "gemma3_text"]


def front_cache(backbone, architecture, inputs):
    """A cache of transformers with the keys and values of vectors in front that replace the states at every layer."""
    cache = DynamicCache()
    for layer in range(DEPTH):
        states = inputs.layers[layer].vectors if layer else inputs.embeddings
        if architecture == "gpt2" and not layer:
            states = states + backbone.model.transformer.wpe.weight[: len(states)]
        cache.update(*keys_and_values(backbone, architecture, states, layer), layer)
    return cache


@pytest.mark.parametrize("architecture", FRONT)
def test_replaced_states_in_front_are_a_key_value_prefix(architecture):
    backbone = backbone_of(architecture)
    inputs = deep_inputs(backbone, 4, replaced=range(4), scale=1.0)
    text = [9, 30, 31, 57, 12, 60]
    with torch.no_grad(), backbone.frozen():
        own = backbone.outputs([[-1, -2, -3, -4, *text]], [range(4, 10)], soft=inputs).logits
        # without our own attention, which knows nothing of this cache
    with torch.no_grad():
        expected = backbone.model(
            input_ids=torch.tensor([text]),
            past_key_values=front_cache(backbone, architecture, inputs),
            position_ids=torch.arange(4, 10)[None],
            attention_mask=torch.ones(1, 10, dtype=torch.long),
        ).logits[0]
    torch.testing.assert_close(own, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT asks transformers for it
@pytest.mark.parametrize("architecture", FRONT)
def test_replaced_states_in_front_equal_prefix_tuning_of_peft(architecture):
    backbone = backbone_of(architecture)
    inputs = deep_inputs(backbone, 4, replaced=range(4), scale=1.0)
    with torch.no_grad():
        cache = front_cache(backbone, architecture, inputs)
        # per slot the keys and values of each layer, heads x width
        pairs = [kind[0].transpose(0, 1).flatten(1) for layer in cache.layers for kind in (layer.keys, layer.values)]
    heads = backbone.model.config.num_attention_heads if architecture == "gpt2" else 2
    config = PrefixTuningConfig(
        task_type="CAUSAL_LM",
        num_virtual_tokens=4,
        token_dim=heads * 8,
        num_attention_heads=heads,
        num_layers=DEPTH,
        num_transformer_submodules=1,
    )
    with torch.random.fork_rng():
        tuned = get_peft_model(models.model(architecture, layers=DEPTH), config).eval()
    tuned.prompt_encoder["default"].embedding.weight.data.copy_(torch.cat(pairs, dim=-1))
    ids = torch.tensor([[9, 30, 31, 57, 12], [44, 17, 60, 8, 91]])
    with torch.no_grad():
        expected = tuned(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        rows = [[-1, -2, -3, -4, *row] for row in ids.tolist()]
        own = backbone.outputs(rows, [range(4, 9)] * 2, soft=inputs).logits.view_as(expected)
    torch.testing.assert_close(own, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (XLMWithLMHeadModel, XLMConfig(vocab_size=605, emb_dim=32, n_layers=2, n_heads=4, max_position_embeddings=64)),
        (
            SqueezeBertForMaskedLM,
            SqueezeBertConfig(
                vocab_size=605,
                hidden_size=32,
                embedding_size=32,
                num_hidden_layers=2,
                intermediate_size=64,
                num_attention_heads=4,
                max_position_embeddings=64,
            ),
        ),
    ],
    ids=["no modules", "width before length"],
)
def test_a_model_without_layers_that_carry_the_text_alone(kind, config):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = models.with_random_weights(kind(config))
    backbone = Backbone(model, models.tokenizer("roberta"), "x")
    with pytest.raises(BackboneError, match="has no layers between which hidden states alone pass on the text"):
        _ = backbone.layers
