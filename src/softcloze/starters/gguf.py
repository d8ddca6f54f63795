"""Convert a GGUF file to a folder that transformers loads.

transformers reads GGUF itself (`gguf_file=`), but its conversion changes from release to release, and scores must
not. The steps that the two causal starters need are therefore written here, and a converted folder holds only plain
weights, a plain tokenizer and a config. A comment explains every difference from the conversion of transformers 5.23.
"""

from __future__ import annotations  # so that types can be named without importing slow packages

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer
    from transformers import PreTrainedConfig, PreTrainedTokenizerFast

    Values = NDArray[np.float32]


_CONTROL, _USER_DEFINED = 3, 4  # token types of the GGUF format
_SHARED_NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
}
# names of the parts of a layer, by architecture
_NAMES = {
    "llama": _SHARED_NAMES | {"ffn_norm": "post_attention_layernorm"},
    "gemma3": _SHARED_NAMES
    | {
        "attn_q_norm": "self_attn.q_norm",
        "attn_k_norm": "self_attn.k_norm",
        "post_attention_norm": "post_attention_layernorm",
        "ffn_norm": "pre_feedforward_layernorm",
        "post_ffw_norm": "post_feedforward_layernorm",
    },
}


def convert(gguf: Path, folder: Path) -> None:
    """Write `config.json`, `model.safetensors` (float32) and the tokenizer of `gguf` to `folder`.

    Raises:
        ValueError: the architecture of the file is neither llama nor gemma3.
    """
    import numpy as np
    from gguf import GGUFReader, dequantize
    from safetensors.numpy import save_file
    from transformers import GenerationConfig

    reader = GGUFReader(gguf)
    meta = {key: field.contents() for key, field in reader.fields.items()}
    match architecture := meta["general.architecture"]:
        case "llama":
            config, tokenizer, restore = _llama_config(meta), _llama_tokenizer(meta), _restore_llama
        case "gemma3":
            config, tokenizer, restore = _gemma3_config(meta), _gemma3_tokenizer(meta), _restore_gemma3
        case _:
            raise ValueError(f"{gguf.name} is of architecture {architecture!r}, expected llama or gemma3")
    config.save_pretrained(folder)
    GenerationConfig(**_token_ids(meta)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    tensors = {}
    for tensor in reader.tensors:
        values = np.array(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
        restored = restore(tensor.name, values, config)
        tensors[_name(tensor.name, architecture)] = np.ascontiguousarray(restored)
    weights = folder / "model.safetensors"
    save_file(tensors, weights, metadata={"format": "pt"})
    shutil.copymode(folder / "config.json", weights)  # safetensors makes the file readable for its owner only


def _name(gguf_name: str, architecture: str) -> str:
    """Return the name of a tensor in transformers.

    >>> _name("blk.3.attn_q.weight", "llama"), _name("output_norm.weight", "llama")
    ('model.layers.3.self_attn.q_proj.weight', 'model.norm.weight')
    """
    names = _NAMES[architecture]
    match gguf_name.split("."):
        case ["token_embd", "weight"]:
            return "model.embed_tokens.weight"  # the output layer is tied to it in all our models
        case ["output_norm", "weight"]:
            return "model.norm.weight"
        case ["blk", number, part, "weight"] if part in names:
            return f"model.layers.{number}.{names[part]}.weight"
        case _:
            raise ValueError(f"unknown tensor in the GGUF file: {gguf_name}")


def _token_ids(meta: dict[str, Any]) -> dict[str, int]:
    return {
        "bos_token_id": meta["tokenizer.ggml.bos_token_id"],
        "eos_token_id": meta["tokenizer.ggml.eos_token_id"],
        "pad_token_id": meta["tokenizer.ggml.padding_token_id"],
    }


def _sizes(meta: dict[str, Any], architecture: str) -> dict[str, Any]:
    """Return the entries of a config that both architectures share."""
    names = {
        "context_length": "max_position_embeddings",
        "embedding_length": "hidden_size",
        "feed_forward_length": "intermediate_size",
        "block_count": "num_hidden_layers",
        "attention.head_count": "num_attention_heads",
        "attention.head_count_kv": "num_key_value_heads",
    }
    return {
        **{name: meta[f"{architecture}.{key}"] for key, name in names.items()},
        # stored in float32: 9.99999974e-06 for the published 1e-05
        "rms_norm_eps": float(f"{meta[f'{architecture}.attention.layer_norm_rms_epsilon']:.6g}"),
        "vocab_size": len(meta["tokenizer.ggml.tokens"]),
        "tie_word_embeddings": True,
        "dtype": "float32",
        **_token_ids(meta),
    }


def _llama_config(meta: dict[str, Any]) -> PreTrainedConfig:
    from transformers import LlamaConfig

    rope = {"rope_type": "default", "rope_theta": meta["llama.rope.freq_base"]}
    return LlamaConfig(architectures=["LlamaForCausalLM"], rope_parameters=rope, **_sizes(meta, "llama"))


def _gemma3_config(meta: dict[str, Any]) -> PreTrainedConfig:
    from transformers import Gemma3TextConfig

    layers = meta["gemma3.block_count"]
    return Gemma3TextConfig(
        architectures=["Gemma3ForCausalLM"],
        head_dim=meta["gemma3.attention.key_length"],
        query_pre_attn_scalar=meta["gemma3.attention.key_length"],
        sliding_window=meta["gemma3.attention.sliding_window"],
        # The file has neither the attention type of each layer nor the rotation of local layers: as published.
        layer_types=["full_attention" if at % 6 == 5 else "sliding_attention" for at in range(layers)],
        rope_parameters={
            "full_attention": {"rope_type": "default", "rope_theta": meta["gemma3.rope.freq_base"]},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
        },
        **_sizes(meta, "gemma3"),
    )


def _restore_llama(name: str, values: Values, config: PreTrainedConfig) -> Values:
    """Restore the order of query and key weights: GGUF interleaves the two halves of each head."""
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}.get(name.split(".")[-2])
    if heads is None:
        return values
    rows, width = values.shape
    return values.reshape(heads, rows // heads // 2, 2, width).swapaxes(1, 2).reshape(rows, width)


def _restore_gemma3(name: str, values: Values, config: PreTrainedConfig) -> Values:
    """Subtract the 1 that GGUF adds to normalisation weights and transformers adds in the forward pass."""
    return values - 1 if name.endswith("norm.weight") else values


def _llama_tokenizer(meta: dict[str, Any]) -> PreTrainedTokenizerFast:
    """Make SmolLM2's byte-level BPE, which adds no special token and drops unknown bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    merges = [tuple(merge.split(" ")) for merge in meta["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab=_vocabulary(meta["tokenizer.ggml.tokens"]), merges=merges))
    # transformers has no rule for this file's pre-tokenizer ("smollm") and uses GPT-2's. The published one splits
    # digits first: "  5" is then two tokens instead of three.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return _wrapped(tokenizer, meta, padding_side="right")


def _gemma3_tokenizer(meta: dict[str, Any]) -> PreTrainedTokenizerFast:
    """Make Gemma's BPE over characters, which falls back to bytes and adds `<bos>` before every text."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    # Tokens of spaces alone are stored as spaces, all others with "▁".
    tokens = ["▁" * len(token) if not token.strip(" ") else token for token in meta["tokenizer.ggml.tokens"]]
    vocabulary = _vocabulary(tokens)
    tokenizer = Tokenizer(
        models.BPE(
            vocab=vocabulary, merges=list(_merges(vocabulary)), unk_token="<unk>", fuse_unk=True, byte_fallback=True
        )
    )
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A",
        pair="<bos> $A <bos>:1 $B:1",
        special_tokens=[("<bos>", meta["tokenizer.ggml.bos_token_id"])],
    )
    return _wrapped(tokenizer, meta, padding_side="left", mask_token="<mask>")


def _vocabulary(tokens: Sequence[str]) -> dict[str, int]:
    return {token: index for index, token in enumerate(tokens)}


def _merges(vocabulary: dict[str, int]) -> Iterator[tuple[str, str]]:
    """Yield every pair of tokens that merges into a token, earlier tokens first.

    The file lists no merges. In Gemma's vocabulary the index of a token is its rank.

    >>> list(_merges({"a": 0, "b": 1, "ab": 2, "aba": 3}))
    [('a', 'b'), ('ab', 'a')]
    """
    for token in vocabulary:
        halves = [(token[:at], token[at:]) for at in range(1, len(token))]
        known = [(left, right) for left, right in halves if left in vocabulary and right in vocabulary]
        yield from sorted(known, key=lambda pair: (vocabulary[pair[0]], vocabulary[pair[1]]))


def _wrapped(tokenizer: Tokenizer, meta: dict[str, Any], **options: str) -> PreTrainedTokenizerFast:
    """Wrap a tokenizer for transformers, with control and user-defined tokens as added tokens."""
    from tokenizers import AddedToken
    from transformers import PreTrainedTokenizerFast

    tokens = meta["tokenizer.ggml.tokens"]
    types = meta["tokenizer.ggml.token_type"]
    architecture = meta["general.architecture"]
    # The file calls Gemma's two image tokens ordinary text; the published ones are special, like those of a turn.
    image_tokens = {"<start_of_image>", "<end_of_image>"}
    added = [
        AddedToken(token, normalized=False, special=kind == _CONTROL or token in image_tokens)
        for token, kind in zip(tokens, types, strict=True)
        if kind in (_CONTROL, _USER_DEFINED) and token.strip(" ")
    ]
    tokenizer.add_tokens(added)
    names = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding", "unk_token": "unknown"}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=meta[f"{architecture}.context_length"],
        clean_up_tokenization_spaces=False,
        chat_template=meta.get("tokenizer.chat_template"),
        **{name: tokens[meta[f"tokenizer.ggml.{key}_token_id"]] for name, key in names.items()},
        **options,
    )
