"""Test every masked and causal architecture of transformers, tiny and with random weights.

Usage: python fuzz/architectures.py [--dtype float32] [NAME ...]     (or: make architectures)

Each is made small by setting the size attributes of its configuration; one that cannot be made small is named and
skipped. One line reports the result for each: whether it supports prefix caches and packing, the reason if not, or the
error that was raised. In float32 the scores of several templates with soft slots on several texts are compared with
plain transformers, one sequence at a time, and again with vectors at every layer (layers=all), added or in place of the
hidden states; the exit status is 1 if some differ. In half precision no scores are compared, but the same models should
be accepted.
"""

import argparse
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, AutoModelForMaskedLM, PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)
from transformers.utils import logging

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support import models
from support.reference_scores import embeddings_of, inputs_of, make_scorer, soft_vectors

from softcloze.backbone import Backbone, LayerVectors, SoftInputs
from softcloze.encoding import EncodedPrompt
from softcloze.errors import BackboneError
from softcloze.scoring import Member, score_together
from softcloze.soft import layer_rms

MASKED = [
    name for name in MODEL_FOR_MASKED_LM_MAPPING_NAMES if name not in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES
]
CAUSAL = list(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
FAMILIES = {
    "masked": (MASKED, AutoModelForMaskedLM, "roberta"),
    "causal": (CAUSAL, AutoModelForCausalLM, "gpt2"),
}

# size attributes of configurations -> a small value
SIZES = (
    dict.fromkeys(["hidden_size", "d_model", "n_embd", "embed_dim", "dim", "embedding_size", "word_embed_proj_dim"], 32)
    | dict.fromkeys(["num_hidden_layers", "n_layer", "num_layers", "n_layers", "encoder_layers", "decoder_layers"], 2)
    | dict.fromkeys(["num_attention_heads", "n_head", "num_heads", "n_heads", "attention_heads"], 4)
    | dict.fromkeys(["encoder_attention_heads", "decoder_attention_heads", "num_key_value_heads"], 4)
    | dict.fromkeys(["intermediate_size", "ffn_dim", "encoder_ffn_dim", "decoder_ffn_dim", "d_ff"], 64)
    | dict.fromkeys(["ffn_hidden_size", "n_inner"], 64)
    | dict.fromkeys(["head_dim", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim"], 8)
    | dict.fromkeys(["linear_num_heads", "linear_num_key_heads", "linear_num_value_heads"], 4)
    | dict.fromkeys(["linear_head_dim", "linear_key_head_dim", "linear_value_head_dim"], 8)
    | dict.fromkeys(["max_position_embeddings", "n_positions", "n_ctx"], 128)
    | dict.fromkeys(["num_experts", "num_local_experts", "n_routed_experts"], 4)
    | dict.fromkeys(["num_experts_per_tok", "topk_group", "n_group"], 2)
    | dict.fromkeys(["q_lora_rank", "kv_lora_rank", "sliding_window", "window_size"], 16)
    | {"moe_intermediate_size": 32, "rotary_dim": 4, "first_k_dense_replace": 1, "attention_window": [16, 16]}
)
MOST_WEIGHTS = 30_000_000

TEXTS = [tuple(range(20 + i, 20 + i + length)) for i, length in enumerate((18, 3, 25, 7, 18))]
# ids before the text, after it, after the mask
SHAPES = [
    ((), (90, 91), ()),
    ((), (-2, -1), ()),
    ((10, 11, 12, 13, 14), (90, 91), ()),
    ((-1, -2, 10), (91,), ()),
    ((-3, -1), (-2, 91), (95,)),
]
WORDS = [[(20,), (31,)], [(20, 21, 22), (31,), (40, 41)]]
TOLERANCE = 1e-4  # of the largest difference between scores


def small_config(name: str, vocabulary: int, family: str) -> Any:
    """A configuration of an architecture with small sizes."""
    config_class = CONFIG_MAPPING[name]
    default = config_class()
    sizes: dict[str, Any] = {
        size: number
        for size, number in SIZES.items()
        if (getattr(default, size, None) is not None or (size == "head_dim" and hasattr(default, size)))
        and not isinstance(getattr(config_class, size, None), property)
    }
    kinds = getattr(default, "layer_types", None)
    if kinds and not isinstance(getattr(config_class, "layer_types", None), property):
        sizes["layer_types"] = [*dict.fromkeys(kinds), kinds[0]][:2]  # one of each
    if name == "gpt_neo":
        sizes["attention_types"] = [[["global", "local"], 1]]
    for token in ("bos_token_id", "eos_token_id", "pad_token_id"):
        if isinstance(number := getattr(default, token, None), int) and number >= vocabulary:
            sizes[token] = 0
    config = config_class(vocab_size=vocabulary, **sizes)
    if family == "causal" and name in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        config.is_decoder = True
    return config


def small_model(name: str, vocabulary: int, family: str) -> PreTrainedModel:
    """A model of random weights, large enough for scores to differ.

    Raises:
        ValueError: the model would have too many weights; transformers raises other errors where sizes do not fit.
    """
    config, auto = small_config(name, vocabulary, family), FAMILIES[family][1]
    with torch.device("meta"):
        weights = sum(weight.numel() for weight in auto.from_config(config, dtype=torch.float32).parameters())
    if weights > MOST_WEIGHTS:
        raise ValueError(f"{weights:,} weights")
    torch.manual_seed(0)
    model: PreTrainedModel = auto.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(mean=0.1 if weight.dim() < 2 else 0, std=0.3)
        model(input_ids=torch.tensor([TEXTS[0]]))  # some wrong sizes raise only here
    return model


def gaps(backbone: Backbone, later: int = 0) -> Iterator[float]:
    """The largest error of each template's scores against plain transformers, as a share of their range.

    Args:
        backbone: the model.
        later: layers after the first in front of which vectors enter; the second slot replaces the hidden state there.
    """
    members = []
    for number, (start, tail, right) in enumerate(SHAPES):
        after = right if right or backbone.family == "causal" else (95,)
        soft = soft_vectors(backbone, 3, number) if min((*start, *tail, *after)) < 0 else None
        prompts = [EncodedPrompt((*start, *text, *tail), after, {}) for text in TEXTS]
        inputs = inputs_of(soft)
        if later and inputs is not None:
            inputs = replace(inputs, layers=_later_vectors(backbone, prompts, inputs, later))
        members.append(Member(make_scorer(backbone, WORDS[number % 2], right=bool(after)), prompts, inputs))
    for number, (member, scores) in enumerate(zip(members, score_together(members), strict=True)):
        with _entering(backbone.model, member.soft.layers if member.soft is not None else {}):
            rows = [
                models.word_scores(
                    backbone.model,
                    prompt,
                    WORDS[number % 2],
                    embeddings_of(member.soft),
                    backbone.prompt_tokenizer.mask_id,
                )
                for prompt in member.prompts
            ]
        scores, expected = (values - values.mean(-1, keepdim=True) for values in (scores, torch.stack(rows)))
        yield float((scores - expected).abs().max() / (expected.max() - expected.min()))


def _later_vectors(
    backbone: Backbone, prompts: list[EncodedPrompt], soft: SoftInputs, later: int
) -> dict[int, LayerVectors]:
    """Random vectors of three slots in front of each later layer, as long as hidden states are there."""
    scales = layer_rms(backbone, prompts, soft).tolist()
    generator = torch.Generator().manual_seed(0)
    replaces = torch.tensor([False, True, False])
    return {
        layer: LayerVectors(scales[layer] * torch.randn(3, backbone.layers.width, generator=generator), replaces)
        for layer in range(1, later + 1)
    }


def _marked(model: PreTrainedModel) -> list[nn.Module]:
    """The layers of a model, as transformers marks them."""
    marked = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    inner = {child for module in marked for child in module.modules() if child is not module}
    return [module for module in marked if module not in inner]


@contextmanager
def _entering(model: PreTrainedModel, deep: Mapping[int, LayerVectors]) -> Iterator[None]:
    """Have vectors enter in the forward passes of plain transformers, whose layers are those that it marks.

    Raises:
        ValueError: it runs other layers.
    """
    if not deep:
        yield
        return
    ids: list[int] = []
    calls = 0

    def enter(_: nn.Module, args: tuple[Any, ...], inputs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        nonlocal calls
        states = (args[0] if args else inputs["hidden_states"]).clone()
        if calls in deep:
            vectors, replaces = deep[calls]
            for position, row in ((position, -1 - i) for position, i in enumerate(ids) if i < 0):
                states[0, position] = vectors[row] + (
                    0 if replaces is not None and replaces[row] else states[0, position]
                )
        calls += 1
        return ((states, *args[1:]), inputs) if args else (args, {**inputs, "hidden_states": states})

    plain = models.logits_of

    def logits_of(model: PreTrainedModel, row: list[int], soft: torch.Tensor | None = None) -> torch.Tensor:
        nonlocal calls
        ids[:], calls = row, 0
        logits: torch.Tensor = plain(model, row, soft)
        if calls != max(deep) + 1:
            raise ValueError(f"plain transformers ran {calls} layers, and vectors enter at layer {max(deep)}")
        return logits

    hooks = [module.register_forward_pre_hook(enter, with_kwargs=True) for module in _marked(model)]
    models.logits_of = logits_of
    try:
        yield
    finally:
        models.logits_of = plain
        for hook in hooks:
            hook.remove()


def later_layers(backbone: Backbone) -> tuple[str, int]:
    """The layers at which soft vectors can enter, in words, and how many follow the first; some enter in the last.

    Raises:
        ValueError: they change no score, or their effect depends on the batch.
    """
    try:
        layers = backbone.layers
    except BackboneError:
        return "no later layers", 0
    vectors = torch.randn(1, layers.width, generator=torch.Generator().manual_seed(0))
    shallow = SoftInputs(soft_vectors(backbone, 1))
    deep = SoftInputs(shallow.embeddings, {layers.count - 1: LayerVectors(vectors)})
    texts = [[*text[:2], -1, *text[2:]] for text in TEXTS]

    def logits(soft: SoftInputs, chosen: Sequence[int]) -> torch.Tensor:
        last = [[len(texts[i]) - 1] for i in chosen]
        return backbone.outputs([texts[i] for i in chosen], last, soft=soft).logits

    every = range(len(texts))
    together, alone = logits(deep, every), torch.cat([logits(deep, [i]) for i in every])
    plain = logits(shallow, every)
    allowed = TOLERANCE * float(plain.max() - plain.min())
    if (together - alone).abs().max() > allowed or (together - plain).abs().max() <= allowed:
        raise ValueError("vectors in front of the last layer change no score, or their effect depends on the batch")
    return f"layers: {layers.count}", layers.count - 1


def tried(name: str, family: str, dtype: torch.dtype) -> tuple[str, str]:
    """The result for an architecture in a word, and its details."""
    tokenizer = models.tokenizer(FAMILIES[family][2])
    try:
        model = small_model(name, len(tokenizer) + 5, family).to(dtype)
    except Exception as error:  # configurations reject sizes with errors of many kinds
        return "not made", f"{type(error).__name__}: {error}"
    try:
        backbone = Backbone(model, tokenizer, name)
    except BackboneError as error:
        return "refused", str(error)
    ways = f"packing: {backbone.can_pack}, prefix cache: {backbone.prefix_cache_reason or 'supported'}"
    if dtype != torch.float32:
        return "taken", ways
    try:
        with backbone.frozen(), torch.no_grad():
            worst = max(gaps(backbone))
            layers, later = later_layers(backbone)
            if later and _marked(model):
                worst = max(worst, *gaps(backbone, later))
            elif later:
                layers += ", not compared, since transformers marks none"
    except Exception as error:
        return "failed", f"{type(error).__name__}: {error}"
    return "the same" if worst < TOLERANCE else "different", f"{worst:.0e}; {layers}; {ways}"


def main() -> int:
    """Print a line for each architecture and the number of each result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    counts: Counter[str] = Counter()
    for family, (names, *_) in FAMILIES.items():
        for name in names:
            if given.names and name not in given.names:
                continue
            result, why = tried(name, family, getattr(torch, given.dtype))
            counts[result] += 1
            print(f"{family}  {name:24}  {result:10}  {' '.join(why.split())[:150]}", flush=True)
    print(", ".join(f"{result}: {count}" for result, count in counts.most_common()))
    return int(counts["different"] + counts["failed"] > 0)


if __name__ == "__main__":
    sys.exit(main())
