"""Weights of 8 and 4 bits: the scores of transformers, exact gradients, and the same scores in any batch."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from support import models
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    BertConfig,
    BitsAndBytesConfig,
    LlamaConfig,
    T5Config,
    TorchAoConfig,
)

from softcloze import Prompt, PromptClassifier
from softcloze.backbone import Backbone, SoftInputs, load_backbone
from softcloze.backbone.quantisation import stored
from softcloze.cli.saved import Saved
from softcloze.errors import ArtifactError, BackboneError, ParameterError, PrecisionWarning
from softcloze.prompt import BoundPrompt
from softcloze.template import Template
from softcloze.verbalizer import Verbalizer

KINDS = ("int8", "nf4")
ARCHITECTURES = ("llama", "bert", "t5")
WORDS = {"neg": "bad", "pos": "good"}
TEXTS = ["A delight from the first scene to the last.", "Dull.", "好看，a great film", "long and terrible"]
LABELS = ["pos", "neg", "pos", "neg"]
CONFIGS = {  # widths of whole blocks of 64 weights
    "llama": (LlamaConfig, {"num_key_value_heads": 2}),
    "bert": (BertConfig, {}),
    "t5": (
        T5Config,
        {"d_model": 64, "d_ff": 128, "d_kv": 16, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0},
    ),
}
needs_libraries = pytest.mark.slow  # which load in seconds


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A function from the name of an architecture to a folder with a tiny model."""
    known = {}

    def make(architecture):
        if architecture not in known:
            tokenizer = models.tokenizer(models._KINDS[architecture])
            config, more = CONFIGS[architecture]
            sizes = {
                "hidden_size": 64,
                "intermediate_size": 128,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "max_position_embeddings": 64,
            }
            made = (sizes if architecture != "t5" else {}) | more | {"vocab_size": len(tokenizer) + 5}
            auto = {"llama": AutoModelForCausalLM, "bert": AutoModelForMaskedLM, "t5": models.AutoModelForSeq2SeqLM}
            with torch.random.fork_rng():
                torch.manual_seed(0)
                model = auto[architecture].from_config(config(**made), dtype=torch.float32)
            with_weights = models.with_random_weights(model)
            known[architecture] = tmp_path_factory.mktemp(architecture)
            with_weights.save_pretrained(known[architecture])
            tokenizer.save_pretrained(known[architecture])
        return str(known[architecture])

    return make


def quantised(folder, kind, dtype="float32"):
    return load_backbone(folder, dtype=dtype, device="cpu", quantize=kind)


def prompt_of(backbone, source):
    template = Template(source)
    generator = torch.Generator().manual_seed(0)
    vectors = {
        block.key: torch.randn(block.count, backbone.width, generator=generator) * backbone.embedding_rms
        for block in template.blocks
    }
    return Prompt(template, Verbalizer(WORDS), backbone.name, backbone.fingerprint, vectors=vectors)


def source_of(architecture):
    return "<soft*3> <text> It was <mask>" + ("" if architecture == "llama" else ".")


@needs_libraries
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gradients_are_slopes_after_a_scoring_pass(folder, architecture, kind):
    backbone = quantised(folder(architecture), kind)
    bound = BoundPrompt(prompt_of(backbone, source_of(architecture)), backbone)
    prompts = bound.encode(TEXTS)
    bound.features(prompts)  # without gradient, in evaluation mode
    soft = bound.parts.soft

    def loss(weight):
        scores = bound.parts.head.label_scores(bound.compiled.scorer.batch(prompts, SoftInputs(weight, {})))
        return bound.parts.head.loss(scores, torch.tensor([1, 0, 1, 0]))

    with backbone.frozen():
        loss(soft.weight).backward()
        gradient = soft.weight.grad
        direction = gradient / gradient.norm()
        step = 3e-3 * backbone.embedding_rms
        with torch.no_grad():
            slope = (loss(soft.weight + step * direction) - loss(soft.weight - step * direction)) / (2 * step)
    assert float(gradient.norm()) > 1e-3
    assert float(slope) == pytest.approx(float(gradient.norm()), rel=1e-2)


@needs_libraries
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_row_alone_scores_as_in_a_batch(folder, architecture, kind):
    backbone = quantised(folder(architecture), kind)
    bound = BoundPrompt(prompt_of(backbone, source_of(architecture)), backbone)
    together = bound.scores(TEXTS * 3)
    alone = np.concatenate([bound.scores([text]) for text in TEXTS] * 3)
    differences = [scores[:, 1] - scores[:, 0] for scores in (together, alone)]
    assert np.abs(differences[0] - differences[1]).max() < 1e-4


@needs_libraries
@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_transformers(folder, kind):
    place = folder("llama")
    if kind == "int8":
        from torchao.quantization import Int8WeightOnlyConfig

        config = TorchAoConfig(Int8WeightOnlyConfig())
    else:
        config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32)
    plain = AutoModelForCausalLM.from_pretrained(
        place, dtype=torch.float32, quantization_config=config, device_map="cpu"
    )
    for module in plain.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    backbone = quantised(place, kind)
    exact = load_backbone(place, dtype="float32", device="cpu")
    ids = [5, 30, 31, 57, 12, 90]
    with torch.no_grad():
        expected = plain(input_ids=torch.tensor([ids])).logits[0]
        found = backbone.outputs([ids], [range(len(ids))]).logits
        unlike = exact.outputs([ids], [range(len(ids))]).logits
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert (unlike - expected).abs().max() > 1e-2


@needs_libraries
@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_leaves_every_weight_and_belongs_to_its_form(folder, kind, tmp_path):
    place = folder("llama")
    options = {"quantize": kind, "dtype": "float32", "device": "cpu"}
    clf = PromptClassifier(place, source_of("llama"), WORDS, epochs=2, random_state=0, model_options=options)
    weights = [
        [part.clone() for part in stored(weight)] for weight in load_backbone(place, **options).model.parameters()
    ]
    clf.fit(TEXTS, LABELS)
    assert clf.engine_.quantisation == kind and clf.backbone_.fingerprint["quantisation"] == f"{kind} float32"
    for before, weight in zip(weights, clf.backbone_.model.parameters(), strict=True):
        assert all(torch.equal(one, two) for one, two in zip(before, stored(weight), strict=True))
    clf.save(tmp_path / "prompt")
    again = PromptClassifier.load(tmp_path / "prompt", model_options=options)
    assert np.array_equal(again.predict_proba(TEXTS), clf.predict_proba(TEXTS))
    by_card = PromptClassifier.load(tmp_path / "prompt")
    assert by_card.backbone_.quantisation == kind
    assert Saved.read(tmp_path / "prompt").open().backbone.quantisation == kind  # the commands
    exact = load_backbone(place, dtype="float32", device="cpu")
    with pytest.raises(ArtifactError, match=f"trained on weights of the form {kind} float32, .* the form none"):
        PromptClassifier.load(tmp_path / "prompt", exact)
    with pytest.raises(ParameterError, match=f"weights of the form {kind}"):
        clf.prompt_.to_peft(tmp_path / "adapter", clf.backbone_)
    assert clf.backbone_.parameters == exact.parameters
    assert clf.backbone_.activation_bytes == exact.activation_bytes
    with pytest.raises(BackboneError, match="cannot compile"):
        clf.backbone_.compile()


@needs_libraries
def test_a_prompt_moves_to_another_form_on_request(folder, tmp_path):
    place = folder("llama")
    options = {"dtype": "float32", "device": "cpu"}
    clf = PromptClassifier(place, source_of("llama"), WORDS, epochs=1, random_state=0, model_options=options)
    clf.fit(TEXTS, LABELS)
    clf.prompt_ = replace(clf.prompt_, metrics={"accuracy": 0.5})
    clf.prompt_.save(tmp_path / "exact")
    eight = {**options, "quantize": "int8"}
    with pytest.raises(ArtifactError, match=r"form none, .* the form int8 float32; .*other_precision=True"):
        PromptClassifier.load(tmp_path / "exact", model_options=eight)
    with pytest.warns(PrecisionWarning, match=r"weights of the form none, and .* has the form int8 float32"):
        moved = PromptClassifier.load(tmp_path / "exact", model_options=eight, other_precision=True)
    backbone = moved.backbone_
    bound = BoundPrompt(replace(clf.prompt_, fingerprint=backbone.fingerprint), backbone)
    assert np.array_equal(moved.predict_proba(TEXTS), bound.probabilities(bound.scores(TEXTS)))
    assert not np.array_equal(moved.predict_proba(TEXTS), clf.predict_proba(TEXTS))
    moved.save(tmp_path / "moved")
    again = PromptClassifier.load(tmp_path / "moved")  # as the card says, without a warning
    assert again.backbone_.quantisation == "int8" and not again.prompt_.metrics
    assert again.prompt_.training["trained_on"] == clf.backbone_.fingerprint
    assert np.array_equal(again.predict_proba(TEXTS), moved.predict_proba(TEXTS))
    back = again.prompt_.for_weights_of(clf.backbone_)
    assert back.fingerprint == clf.prompt_.fingerprint and "trained_on" not in back.training
    with pytest.warns(PrecisionWarning, match="form none, and .* has the form nf4 float32"):
        third = again.prompt_.for_weights_of(quantised(place, "nf4"))
    assert third.training["trained_on"] == clf.backbone_.fingerprint
    with pytest.raises(ArtifactError, match=r"tensor '#1'|another tokenizer"):
        clf.prompt_.for_weights_of(quantised(folder("bert"), "int8"))


@needs_libraries
def test_the_fingerprint_tells_forms_apart(folder):
    place = folder("llama")
    loaded = [load_backbone(place, dtype="float32", device="cpu"), quantised(place, "int8"), quantised(place, "nf4")]
    assert len({backbone.fingerprint["model"] for backbone in loaded}) == 3
    assert [backbone.quantisation for backbone in loaded] == ["none", "int8", "nf4"]
    half = quantised(place, "nf4", "bfloat16")
    assert half.quantisation == "nf4" and half.model.dtype == torch.bfloat16
    assert BoundPrompt(prompt_of(half, source_of("llama")), half).scores(TEXTS).shape == (4, 2)


@needs_libraries
def test_layers_that_score_or_learn_otherwise(folder):
    place, tokenizer = folder("llama"), models.tokenizer("llama")
    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
    packed = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32, quantization_config=config).eval()
    layer = packed.model.layers[0].self_attn.q_proj
    layer.weight.quant_state.packing_format_for_cpu = True  # as a processor with AVX512-BF16 sets it
    with pytest.raises(BackboneError, match="rearranged the 4-bit weights"):
        Backbone(packed, tokenizer, "packed")
    config = BitsAndBytesConfig(load_in_8bit=True)
    eight = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32, quantization_config=config)
    with pytest.raises(BackboneError, match="depend on the rest of its batch"):
        Backbone(eight, tokenizer, "eight")
    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
    given = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32, quantization_config=config)
    assert Backbone(given, tokenizer, "given").quantisation == "nf4"


@pytest.mark.parametrize(("kind", "library"), [("int8", "torchao.quantization"), ("nf4", "bitsandbytes")])
def test_a_library_that_is_missing(kind, library, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ParameterError, match=rf"pip install 'softcloze\[{kind}\]'"):
        quantised(folder("llama"), kind, "float16")  # a precision of which no other test has a copy in memory


@needs_libraries
def test_a_model_without_layers_to_quantise(tmp_path):
    models.model("gpt2").save_pretrained(tmp_path)  # of Conv1D
    models.tokenizer("gpt2").save_pretrained(tmp_path)
    with pytest.raises(
        BackboneError, match=r"quantize='int8' changes nothing in .*GPT2LMHeadModel has no linear layers"
    ):
        load_backbone(str(tmp_path), quantize="int8")


@pytest.mark.parametrize(
    ("model", "options", "problem"),
    [
        ("starter:bert-tiny", {"quantize": "int4"}, "quantize='int4'"),
        ("starter:bert-tiny", {"quantize": True}, "quantize=True"),
        ("starter:bert-tiny", {"quantize": "int8", "compile": True}, "exclude each other"),
        (models.backbone("llama"), {"quantize": "int8"}, "in memory already"),
    ],
)
def test_options_that_do_not_fit(model, options, problem):
    with pytest.raises(ParameterError, match=problem):
        load_backbone(model, **options)
