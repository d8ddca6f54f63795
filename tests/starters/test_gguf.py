"""Conversion against models whose weights we know: written to GGUF as llama.cpp writes them, and read back."""

import gguf
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
)

from softcloze.backbone import load_backbone, load_tokenizer
from softcloze.errors import BackboneError
from softcloze.starters.gguf import convert

NORMAL, CONTROL, USER, BYTE = 1, 3, 4, 6
BYTES = [f"<0x{n:02X}>" for n in range(256)]


def write(path, architecture, model, numbers, tokens, types, names, mend, without=None, **tokenizer):
    """A GGUF file of `model`, unquantised; tensors whose names contain `without` are left out."""
    config = model.config
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    for key, value in numbers.items():
        writer.add_key_value(
            f"{architecture}.{key}", value, gguf.GGUFValueType.FLOAT32 if "freq" in key else gguf.GGUFValueType.UINT32
        )
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    for key, value in tokenizer.items():
        getattr(writer, f"add_{key}")(value)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" or (without is not None and without in name):  # the first is tied
            continue
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        writer.add_tensor(name, mend(name, tensor).contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


LLAMA_NAMES = {
    "model.layers": "blk",
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
GEMMA_NAMES = LLAMA_NAMES | {
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    """A random Llama model, and the folder that its GGUF file was converted to."""
    folder = tmp_path_factory.mktemp("llama")
    letters = [chr(n) for n in range(33, 127)] + ["Ġ", "Ċ"]
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *letters, "ĠĠ", "he", "Ġhe"]
    sizes = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 6}
    torch.manual_seed(0)
    config = LlamaConfig(
        **sizes,
        num_key_value_heads=2,
        vocab_size=len(tokens),
        max_position_embeddings=64,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 100.0},
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config).eval()

    def interleave(name, tensor):  # what convert_hf_to_gguf.py calls permute
        heads = {"attn_q": 6, "attn_k": 2}.get(name.split(".")[-2])
        if heads is None:
            return tensor
        return tensor.reshape(heads, 2, len(tensor) // heads // 2, -1).transpose(1, 2).reshape(tensor.shape)

    for file, without in (("model.gguf", None), ("incomplete.gguf", "layers.1.")):
        write(
            folder / file,
            "llama",
            model,
            {"rope.freq_base": 100.0},
            tokens,
            [CONTROL] * 3 + [NORMAL] * (len(tokens) - 3),
            LLAMA_NAMES,
            interleave,
            without,
            tokenizer_model="gpt2",
            token_merges=["Ġ Ġ", "h e", "Ġ he"],
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=2,
            unk_token_id=0,
            chat_template="{{ messages }}",
        )
    convert(folder / "model.gguf", folder / "out")
    return model, folder / "out"


@pytest.fixture(scope="module")
def gemma(tmp_path_factory):
    """A random Gemma 3 model, and the folder that its GGUF file was converted to."""
    folder = tmp_path_factory.mktemp("gemma")
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>"]
    user = ["<start_of_image>", "\n", "\n\n", "  "]
    words = ["a", "b", "▁", "ab", "▁ab", "好", "很", "很好"]
    tokens = [*special, *user, *BYTES, *words]
    types = [CONTROL] * len(special) + [USER] * len(user) + [BYTE] * 256 + [NORMAL] * len(words)
    torch.manual_seed(0)
    config = Gemma3TextConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=7,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        query_pre_attn_scalar=8,
        vocab_size=len(tokens),
        max_position_embeddings=64,
        sliding_window=4,
        tie_word_embeddings=True,
    )
    model = Gemma3ForCausalLM(config).eval()
    for name, weight in model.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(weight, std=0.1)
    write(
        folder / "model.gguf",
        "gemma3",
        model,
        {"rope.freq_base": 1e6, "attention.key_length": 8, "attention.sliding_window": 4},
        tokens,
        types,
        GEMMA_NAMES,
        lambda name, tensor: tensor + 1 if "norm" in name else tensor,
        bos_token_id=2,
        eos_token_id=1,
        pad_token_id=0,
        unk_token_id=3,
    )
    convert(folder / "model.gguf", folder / "out")
    return model, folder / "out"


@pytest.mark.parametrize("family", ["llama", "gemma"])
def test_the_converted_model_gives_the_scores_of_the_first(request, family):
    model, folder = request.getfixturevalue(family)
    converted, report = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert type(converted) is type(model)
    ids = torch.randint(0, model.config.vocab_size, (2, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(converted(ids).logits, model(ids).logits, rtol=1e-5, atol=1e-6)
    assert converted.config.max_position_embeddings == 64
    assert converted.config.rms_norm_eps == model.config.rms_norm_eps


def test_a_backbone_from_a_gguf_file_has_all_of_its_weights(llama, tmp_path):
    """huggingface/transformers#8887"""
    model, folder = llama
    path = folder.parent / "model.gguf"
    backbone = load_backbone(path, dtype="float32", device="cpu")
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        torch.testing.assert_close(backbone.model(ids).logits, model(ids).logits)
    assert load_tokenizer(path)[1:] == ("causal", backbone.max_length) == ("causal", 64)
    with pytest.raises(BackboneError, match=r"missing: model\.layers\.1\..*\n  layers are missing"):
        load_backbone(folder.parent / "incomplete.gguf", device="cpu")
    half = tmp_path / "half.gguf"
    half.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(BackboneError, match="cannot load the model"):
        load_backbone(half, device="cpu")


def test_a_byte_level_tokenizer_sets_digits_apart(llama):
    tokenizer = AutoTokenizer.from_pretrained(llama[1])
    assert tokenizer.tokenize("he  5he") == ["he", "ĠĠ", "5", "he"]
    assert tokenizer.tokenize("12 he") == ["1", "2", "Ġhe"]
    assert tokenizer("x").input_ids == tokenizer.convert_tokens_to_ids(["x"])
    assert tokenizer.decode(tokenizer("he\nsaid , 'no'").input_ids) == "he\nsaid , 'no'"
    assert tokenizer.model_max_length == 64
    assert tokenizer.chat_template == "{{ messages }}"
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token, tokenizer.unk_token) == (
        "<|im_start|>",
        "<|im_end|>",
        "<|im_end|>",
        "<|endoftext|>",
    )


def test_a_gemma_tokenizer_begins_with_bos_and_falls_back_to_bytes(gemma):
    tokenizer = AutoTokenizer.from_pretrained(gemma[1])

    def tokens(text):
        return tokenizer.convert_ids_to_tokens(tokenizer(text).input_ids)

    assert tokens("ab ab") == ["<bos>", "ab", "▁ab"]
    assert tokens("a  b\n\na") == ["<bos>", "a", "▁▁", "b", "\n\n", "a"]
    assert tokens("很好é") == ["<bos>", "很好", "<0xC3>", "<0xA9>"]
    for text in ("ab  ab\n\n很好 é😀", "  a", "\n"):
        assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text
    assert tokenizer("a", "b").input_ids == tokenizer.convert_tokens_to_ids(["<bos>", "a", "<bos>", "b"])
    assert tokenizer.model_max_length == 64


@pytest.mark.parametrize("family", ["llama", "gemma"])
def test_control_tokens_are_special_and_can_be_spelt_out(request, family):
    tokenizer = AutoTokenizer.from_pretrained(request.getfixturevalue(family)[1])
    special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    expected = {
        "llama": {"<|endoftext|>", "<|im_start|>", "<|im_end|>"},
        "gemma": {"<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>", "<start_of_image>"},
    }
    assert special == expected[family]
    for token in special:
        whole = tokenizer.convert_tokens_to_ids(token)
        assert whole in tokenizer(token, add_special_tokens=False).input_ids
        assert whole not in tokenizer(token, add_special_tokens=False, split_special_tokens=True).input_ids


def test_another_architecture_is_refused(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", "bloom")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(ValueError, match=r"^model\.gguf is of architecture 'bloom', expected llama or gemma3$"):
        convert(tmp_path / "model.gguf", tmp_path)
