"""A GGUF file turned into a folder that transformers loads, once.

transformers reads GGUF itself (`gguf_file=`), but how it does so changes from release to release, and
scores must not. So the few steps that our two causal models need are spelt out here, and a
converted folder holds nothing but plain weights, a plain tokenizer and a config. Where the result
differs from what transformers 5.23 makes of the same file, a comment says why.
"""

from __future__ import annotations  # so that the types of packages that are slow to import can be named

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from gguf import ReaderTensor
    from numpy.typing import NDArray
    from tokenizers import Tokenizer
    from transformers import PreTrainedConfig, PreTrainedTokenizerFast

    Values = NDArray[np.float32]


_CONTROL, _USER_DEFINED = 3, 4  # token types of the GGUF format
_BLOCK_NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
}


def convert(gguf: Path, folder: Path) -> None:
    """Write `config.json`, `model.safetensors` (float32) and the tokenizer of `gguf` to `folder`.

    Raises:
        ValueError: the file is of an architecture that no starter has.
    """
    from gguf import GGUFReader
    from safetensors.numpy import save_file
    from transformers import GenerationConfig

    reader = GGUFReader(gguf)
    meta = {key: field.contents() for key, field in reader.fields.items()}
    kind = _ARCHITECTURES.get(meta["general.architecture"])
    if kind is None:
        raise ValueError(f"{gguf.name} is of architecture {meta['general.architecture']!r}, expected llama or gemma3")

    config = kind.config(meta)
    config.save_pretrained(folder)
    GenerationConfig(**_token_ids(meta)).save_pretrained(folder)
    kind.tokenizer(meta).save_pretrained(folder)
    weights = folder / "model.safetensors"
    save_file(dict(_weights(reader.tensors, kind, config)), weights, metadata={"format": "pt"})
    shutil.copymode(folder / "config.json", weights)  # safetensors lets nobody but its writer read the file


@dataclass(frozen=True)
class _Architecture:
    """What one kind of model needs.

    Attributes:
        config: its transformers config, from the metadata of the file.
        tokenizer: its tokenizer, likewise.
        norms: names of the normalisation layers of a block beyond those that all kinds share.
        mend: undoes what was done to a tensor on its way into GGUF, given name, values and config.
    """

    config: Callable[[dict[str, Any]], PreTrainedConfig]
    tokenizer: Callable[[dict[str, Any]], PreTrainedTokenizerFast]
    norms: dict[str, str]
    mend: Callable[[str, Values, PreTrainedConfig], Values]


def _weights(
    tensors: Sequence[ReaderTensor], kind: _Architecture, config: PreTrainedConfig
) -> Iterator[tuple[str, Values]]:
    """Name and float32 values of every tensor, under the name transformers has for it."""
    import numpy as np
    from gguf import dequantize

    for tensor in tensors:
        values = np.array(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
        yield _name(tensor.name, kind.norms), np.ascontiguousarray(kind.mend(tensor.name, values, config))


def _name(gguf_name: str, norms: dict[str, str]) -> str:
    """The name that transformers has for a tensor.

    >>> _name("blk.3.attn_q.weight", {}), _name("output_norm.weight", {})
    ('model.layers.3.self_attn.q_proj.weight', 'model.norm.weight')
    """
    match gguf_name.split("."):
        case ["token_embd", "weight"]:
            return "model.embed_tokens.weight"  # the output layer is tied to it in all our models
        case ["output_norm", "weight"]:
            return "model.norm.weight"
        case ["blk", number, part, "weight"] if part in _BLOCK_NAMES or part in norms:
            return f"model.layers.{number}.{norms.get(part) or _BLOCK_NAMES[part]}.weight"
        case _:
            raise ValueError(f"the GGUF file holds a tensor that no starter has: {gguf_name}")


def _token_ids(meta: dict[str, Any]) -> dict[str, int]:
    return {
        "bos_token_id": meta["tokenizer.ggml.bos_token_id"],
        "eos_token_id": meta["tokenizer.ggml.eos_token_id"],
        "pad_token_id": meta["tokenizer.ggml.padding_token_id"],
    }


def _sizes(meta: dict[str, Any], architecture: str) -> dict[str, Any]:
    """The entries of a config that all our architectures share."""
    names = {
        "context_length": "max_position_embeddings",
        "embedding_length": "hidden_size",
        "feed_forward_length": "intermediate_size",
        "block_count": "num_hidden_layers",
        "attention.head_count": "num_attention_heads",
        "attention.head_count_kv": "num_key_value_heads",
    }
    return {
        **{ours: meta[f"{architecture}.{theirs}"] for theirs, ours in names.items()},
        # The file has it in float32: 9.99999974e-06 for what was published as 1e-05.
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
        # The file says neither which layers see the whole text nor how their neighbours turn: as published.
        layer_types=["full_attention" if at % 6 == 5 else "sliding_attention" for at in range(layers)],
        rope_parameters={
            "full_attention": {"rope_type": "default", "rope_theta": meta["gemma3.rope.freq_base"]},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
        },
        **_sizes(meta, "gemma3"),
    )


def _mend_llama(name: str, values: Values, config: PreTrainedConfig) -> Values:
    """Put the rows of the query and key weights back: GGUF has the two halves of each head interleaved."""
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}.get(name.split(".")[-2])
    if heads is None:
        return values
    rows, width = values.shape
    return values.reshape(heads, rows // heads // 2, 2, width).swapaxes(1, 2).reshape(rows, width)


def _mend_gemma3(name: str, values: Values, config: PreTrainedConfig) -> Values:
    """Take off the 1 that GGUF adds to normalisation weights, which transformers adds when it runs."""
    return values - 1 if name.endswith("norm.weight") else values


def _llama_tokenizer(meta: dict[str, Any]) -> PreTrainedTokenizerFast:
    """SmolLM2's byte-level BPE. It adds no token in front, and its unknown bytes vanish."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    merges = [tuple(merge.split(" ")) for merge in meta["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab=_vocabulary(meta["tokenizer.ggml.tokens"]), merges=merges))
    # transformers has no rule for this file's pre-tokenizer ("smollm") and takes GPT-2's. The
    # published one sets every digit apart first: "  5" is then two tokens, and not three.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return _wrapped(tokenizer, meta, padding_side="right")


def _gemma3_tokenizer(meta: dict[str, Any]) -> PreTrainedTokenizerFast:
    """Gemma's BPE over characters, which falls back to bytes and begins every text with `<bos>`."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    # Runs of spaces stand in the file as spaces, and everywhere else as "▁".
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
    return {token: number for number, token in enumerate(tokens)}


def _merges(vocabulary: dict[str, int]) -> Iterator[tuple[str, str]]:
    """Every way to make a token of two others, earlier tokens first.

    The file lists no merges. In Gemma's vocabulary a token's place is its rank.

    >>> list(_merges({"a": 0, "b": 1, "ab": 2, "aba": 3}))
    [('a', 'b'), ('ab', 'a')]
    """
    for token in vocabulary:
        halves = [(token[:at], token[at:]) for at in range(1, len(token))]
        known = [(left, right) for left, right in halves if left in vocabulary and right in vocabulary]
        yield from sorted(known, key=lambda pair: (vocabulary[pair[0]], vocabulary[pair[1]]))


def _wrapped(tokenizer: Tokenizer, meta: dict[str, Any], **options: str) -> PreTrainedTokenizerFast:
    """The tokenizer as transformers saves it, with the tokens that are found whole in any text."""
    from tokenizers import AddedToken
    from transformers import PreTrainedTokenizerFast

    tokens = meta["tokenizer.ggml.tokens"]
    types = meta["tokenizer.ggml.token_type"]
    architecture = meta["general.architecture"]
    # The file calls Gemma's two image marks ordinary text; published, they are special like those of a turn.
    marks = {"<start_of_image>", "<end_of_image>"}
    whole = [
        AddedToken(token, normalized=False, special=kind == _CONTROL or token in marks)
        for token, kind in zip(tokens, types, strict=True)
        if kind in (_CONTROL, _USER_DEFINED) and token.strip(" ")
    ]
    tokenizer.add_tokens(whole)
    names = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding", "unk_token": "unknown"}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=meta[f"{architecture}.context_length"],
        clean_up_tokenization_spaces=False,
        chat_template=meta.get("tokenizer.chat_template"),
        **{ours: tokens[meta[f"tokenizer.ggml.{theirs}_token_id"]] for ours, theirs in names.items()},
        **options,
    )


_ARCHITECTURES = {
    "llama": _Architecture(
        config=_llama_config,
        tokenizer=_llama_tokenizer,
        norms={"ffn_norm": "post_attention_layernorm"},
        mend=_mend_llama,
    ),
    "gemma3": _Architecture(
        config=_gemma3_config,
        tokenizer=_gemma3_tokenizer,
        norms={
            "attn_q_norm": "self_attn.q_norm",
            "attn_k_norm": "self_attn.k_norm",
            "post_attention_norm": "post_attention_layernorm",
            "ffn_norm": "pre_feedforward_layernorm",
            "post_ffw_norm": "post_feedforward_layernorm",
        },
        mend=_mend_gemma3,
    ),
}
