"""Prompts as PEFT adapters, and adapters as prompts: the same probabilities here and in PEFT itself."""

import json
from dataclasses import replace

import pytest
import torch
from peft import (
    MultitaskPromptTuningConfig,
    PrefixTuningConfig,
    PromptEncoderConfig,
    PromptTuningConfig,
    get_peft_model,
)
from safetensors.torch import load_file
from support import chat_templates, models
from support.peft_adapters import CAUSAL, IGNORED, SEQ2SEQ, TEXTS, random_vectors, readme_of
from transformers import AutoTokenizer

from softcloze import PromptClassifier
from softcloze.analysis import inspect_soft
from softcloze.backbone import Backbone
from softcloze.demonstrations import FixedDemonstrations, Pool
from softcloze.errors import ArtifactError, EncodingError, FileError, ParameterError
from softcloze.prompt import BoundPrompt, Prompt, PromptSet
from softcloze.template import Template
from softcloze.verbalizer import OrdinalVerbalizer, Verbalizer

pytestmark = IGNORED

WORDS = Verbalizer({"neg": "bad", "pos": "good"})
LONG = Verbalizer(
    {"neg": {"bad": 1.0, "terrible story": 0.5}, "pos": ["good", "a great film"]}, "mean_log_prob", length_norm="token"
)
MASKED = ("bert", "roberta", "albert", "deberta-v2", "modernbert", "distilbert", "electra")
EXPORTED = [*CAUSAL, *SEQ2SEQ, *MASKED]


def prompt_of(backbone, source, verbalizer=WORDS, **parts):
    template = Template(source)
    vectors = random_vectors(template, backbone)
    return Prompt(template, verbalizer, backbone.name, backbone.fingerprint, vectors=vectors, **parts)


def probabilities(prompt, backbone, texts=TEXTS):
    bound = BoundPrompt(prompt, backbone)
    return torch.from_numpy(bound.probabilities(bound.scores(texts)))


@pytest.mark.parametrize(
    ("architecture", "words"),
    [
        *(pytest.param(name, WORDS, id=f"{name}, one token each") for name in EXPORTED),
        *(pytest.param(name, LONG, id=f"{name}, several tokens") for name in ("llama", "bert", "t5", "bart")),
    ],
)
def test_the_code_in_the_readme_gives_the_probabilities_in_peft(saved, architecture, words, tmp_path):
    backbone = saved(architecture)
    tail = "" if architecture in CAUSAL else "."
    prompt = prompt_of(backbone, "A \\{film}: <soft*3>review<soft*2 name=task> <text>\nIt was <mask>" + tail, words)
    prompt.to_peft(tmp_path / "adapter", backbone)
    theirs = readme_of(tmp_path / "adapter")["probabilities"]
    with torch.no_grad():
        found = torch.stack([theirs(text=text) for text in TEXTS])
    torch.testing.assert_close(found.double(), probabilities(prompt, backbone), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_text_after_the_mask_of_a_causal_model(saved, architecture, tmp_path):
    backbone = saved(architecture)
    prompt = prompt_of(backbone, "<soft*3> <text> It was <mask> and too long.")
    prompt.to_peft(tmp_path / "adapter", backbone)
    with torch.no_grad():
        found = torch.stack([readme_of(tmp_path / "adapter")["probabilities"](text=text) for text in TEXTS])
    torch.testing.assert_close(found.double(), probabilities(prompt, backbone), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("architecture", ["llama", "bert", "t5"])
def test_all_in_front_of_the_first_field_is_exported(saved, architecture, tmp_path):
    """Special tokens, hard words and slots; the file is what PEFT holds, whatever the version."""
    backbone = saved(architecture)
    prompt = prompt_of(backbone, "Review of a film: <soft*3> <text> It was <mask>")
    prompt.to_peft(tmp_path / "adapter", backbone)
    before = backbone.tokenizer("Review of a film:", add_special_tokens=False)["input_ids"]
    front = backbone.tokenizer("")["input_ids"][: len(backbone.prompt_tokenizer.prefix_markers)]
    vectors = load_file(tmp_path / "adapter" / "adapter_model.safetensors")["prompt_embeddings"]
    expected = torch.cat([backbone.embed(torch.tensor([*front, *before], dtype=torch.long)), prompt.vectors["#1"]])
    assert torch.equal(vectors, expected)
    keys = {  # those that PEFT 0.4 knows: others raised TypeError before 0.14
        *("peft_type", "task_type", "num_virtual_tokens", "token_dim", "num_transformer_submodules", "num_layers"),
        *("num_attention_heads", "inference_mode", "base_model_name_or_path", "prompt_tuning_init"),
    }
    assert json.loads((tmp_path / "adapter" / "adapter_config.json").read_text()).keys() == keys


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "qwen3", "gemma3_text"])
@pytest.mark.parametrize("mode", ["add", "replace"])
def test_vectors_at_later_layers_become_keys_and_values(saved, architecture, mode, tmp_path):
    backbone = saved(architecture)
    prompt = prompt_of(backbone, f"Review: <soft*3 layers=all mode={mode}> <text> It was <mask>")
    generator = torch.Generator().manual_seed(1)
    count = backbone.layers.count - 1
    deep = {"#1": torch.randn(count, 3, backbone.width, generator=generator)}
    plain, prompt = prompt, replace(prompt, deep=deep)
    prompt.to_peft(tmp_path / "adapter", backbone)
    assert json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["peft_type"] == "PREFIX_TUNING"
    with torch.no_grad():
        found = torch.stack([readme_of(tmp_path / "adapter")["probabilities"](text=text) for text in TEXTS]).double()
    torch.testing.assert_close(found.log(), probabilities(prompt, backbone).log(), atol=1e-4, rtol=0)
    zeros = replace(plain, deep={"#1": torch.zeros_like(deep["#1"])})
    assert (found.log() - probabilities(zeros, backbone).log()).abs().max() > 2e-2


def test_vectors_at_later_layers_of_a_masked_model(tmp_path):
    backbone = models.backbone("bert")
    prompt = prompt_of(backbone, "<soft*2 layers=all> <text> It was <mask>.")
    deep = {"#1": torch.zeros(1, 2, backbone.width)}
    with pytest.raises(ParameterError, match="enter at later layers"):
        replace(prompt, deep=deep).to_peft(tmp_path / "adapter", backbone)


def test_words_that_may_join_with_the_text_stay_in_the_tail(saved, tmp_path):
    prompt = prompt_of(backbone := saved("gpt2"), "<soft*2>Say:<text> <mask>")
    prompt.to_peft(tmp_path / "adapter", backbone)
    assert len(load_file(tmp_path / "adapter" / "adapter_model.safetensors")["prompt_embeddings"]) == 2
    assert repr("Say:{text}") in (tmp_path / "adapter" / "README.md").read_text()


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "t5", "bart", "bert", "albert"])
def test_out_and_in_again(saved, architecture, tmp_path):
    backbone = saved(architecture)
    tail = "<text> It was <mask>" + ("" if architecture in CAUSAL else ".")
    prompt = prompt_of(backbone, f"<soft*3> {tail}")
    prompt.to_peft(tmp_path / "adapter", backbone)
    space = "" if "'{text}" in (tmp_path / "adapter" / "README.md").read_text() else " "
    again = Prompt.from_peft(tmp_path / "adapter", space + tail, WORDS, backbone)
    assert torch.equal(again.vectors["peft"], prompt.vectors["#1"])
    torch.testing.assert_close(probabilities(again, backbone), probabilities(prompt, backbone), atol=1e-6, rtol=1e-6)
    again.to_peft(tmp_path / "again", backbone)
    first, second = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("adapter", "again"))
    assert torch.equal(first["prompt_embeddings"], second["prompt_embeddings"])


# -- from PEFT --


def trained(architecture, config, folder):
    """An adapter of random weights, as PEFT saves it, and PEFT's own model for it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tuned = get_peft_model(models.model(architecture), config)
        with torch.no_grad():
            for parameter in tuned.prompt_encoder.parameters():
                parameter.normal_(std=0.5)
    tuned.save_pretrained(folder)
    return tuned.eval()


def peft_probabilities(tuned, backbone, count, **more):
    """Probabilities of the words by PEFT, one text at a time, tokenized as PEFT's users do."""
    rows = []
    tokenizer = backbone.tokenizer
    kind = backbone.family
    mask = {"causal": "", "masked": tokenizer.mask_token, "seq2seq": tokenizer.mask_token or "<extra_id_0>"}[kind]
    end = "" if kind == "causal" else "."
    for text in TEXTS:
        encoded = tokenizer(f"{text} It was {mask}{end}".rstrip(" "), return_tensors="pt")
        given = {"input_ids": encoded.input_ids, "attention_mask": encoded.attention_mask} | more
        at = -1
        if kind == "masked":
            at = count + encoded.input_ids[0].tolist().index(tokenizer.mask_token_id)
        elif kind == "seq2seq":
            given["decoder_input_ids"] = torch.tensor([[backbone.decoder_start, backbone.prompt_tokenizer.mask_id]])
        with torch.no_grad():
            logits = tuned(**given).logits[0, at]
        words = [WORDS.words[i][0] for i in range(2)]
        ids = [tokenizer(f"was {word}", add_special_tokens=False)["input_ids"][-1] for word in words]
        rows.append(logits[ids].double().softmax(-1))
    return torch.stack(rows)


def configs():
    tasks = {"causal": "CAUSAL_LM", "masked": "FEATURE_EXTRACTION", "seq2seq": "SEQ_2_SEQ_LM"}
    for architecture in ("gpt2", "llama", "gemma3_text", "qwen3", "t5", "bert", "roberta", "albert"):
        family = "masked" if architecture in MASKED else "seq2seq" if architecture in SEQ2SEQ else "causal"
        width = {"token_dim": 24} if architecture == "albert" else {}  # of its embeddings, not of its layers
        given = {"task_type": tasks[family], "num_virtual_tokens": 4, **width}
        yield pytest.param(architecture, PromptTuningConfig(**given), id=f"prompt tuning, {architecture}")
    for kind in ("MLP", "LSTM"):
        config = PromptEncoderConfig(
            task_type="CAUSAL_LM", num_virtual_tokens=4, encoder_hidden_size=8, encoder_reparameterization_type=kind
        )
        yield pytest.param("llama", config, id=f"P-tuning, {kind}")
    config = PromptEncoderConfig(task_type="SEQ_2_SEQ_LM", num_virtual_tokens=4, encoder_hidden_size=8)
    yield pytest.param("t5", config, id="P-tuning, t5")


@pytest.mark.parametrize(("architecture", "config"), [*configs()])
def test_an_adapter_of_peft_gives_its_probabilities_here(architecture, config, tmp_path):
    backbone = models.backbone(architecture)
    tuned = trained(architecture, config, tmp_path)
    tail = "<text> It was <mask>" + ("" if backbone.family == "causal" else ".")
    prompt = Prompt.from_peft(tmp_path, tail, WORDS, backbone)
    expected = peft_probabilities(tuned, backbone, count=4)
    torch.testing.assert_close(probabilities(prompt, backbone), expected, atol=1e-5, rtol=1e-4)
    alone = torch.cat([probabilities(prompt, backbone, [text]) for text in TEXTS])  # above in a batch, padded
    torch.testing.assert_close(alone, expected, atol=1e-5, rtol=1e-4)
    saved = tmp_path / "saved"
    prompt.save(saved)
    loaded = Prompt.load(saved)
    assert torch.equal(probabilities(loaded, backbone), probabilities(prompt, backbone))


@pytest.mark.parametrize("architecture", ["llama", "gemma3_text"])
def test_an_adapter_trained_without_special_tokens(architecture, tmp_path):
    """With a tokenizer that adds none the prompt has none; it belongs to this tokenizer."""
    usual = models.backbone(architecture)
    usual.tokenizer.save_pretrained(tmp_path / "tokenizer")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "tokenizer", add_bos_token=False)
    backbone = Backbone(usual.model, tokenizer, "without <bos>")
    config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    tuned = trained(architecture, config, tmp_path / "adapter")
    prompt, with_bos = (
        Prompt.from_peft(tmp_path / "adapter", "<text> It was <mask>", WORDS, of) for of in (backbone, usual)
    )
    assert ["<bos>" in of.template.source for of in (prompt, with_bos)] == [False, True]
    expected = peft_probabilities(tuned, backbone, count=4)
    torch.testing.assert_close(probabilities(prompt, backbone), expected, atol=1e-5, rtol=1e-4)
    assert (probabilities(with_bos, usual) / expected).log().abs().max() > 1e-2
    with pytest.raises(ArtifactError, match="belongs to another tokenizer"):
        prompt.validate_backbone(usual)


@pytest.mark.parametrize("task", [0, 1])
def test_a_prompt_of_several_tasks_is_folded(task, tmp_path):
    config = MultitaskPromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4, num_tasks=2, num_ranks=2)
    tuned = trained("llama", config, tmp_path)
    backbone = models.backbone("llama")
    prompt = Prompt.from_peft(tmp_path, "<text> It was <mask>", WORDS, backbone, task=task)
    expected = peft_probabilities(tuned, backbone, count=4, task_ids=torch.tensor([task]))
    torch.testing.assert_close(probabilities(prompt, backbone), expected, atol=1e-5, rtol=1e-4)


@pytest.fixture(scope="module", params=CAUSAL)
def prefix(request, tmp_path_factory):
    """An adapter of prefix tuning: its architecture, PEFT's model with it, and the prompt made of it."""
    folder = tmp_path_factory.mktemp("prefix")
    tuned = trained(request.param, PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=20), folder)
    backbone = models.backbone(request.param)
    return request.param, tuned, Prompt.from_peft(folder, "<text> It was <mask>", WORDS, backbone)


def test_a_prefix_gives_the_probabilities_of_peft(prefix, tmp_path):
    architecture, tuned, prompt = prefix
    backbone = models.backbone(architecture)
    expected = peft_probabilities(tuned, backbone, count=0).log()
    torch.testing.assert_close(probabilities(prompt, backbone).log(), expected, atol=1e-4, rtol=0)
    alone = torch.cat([probabilities(prompt, backbone, [text]) for text in TEXTS])
    torch.testing.assert_close(alone.log(), expected, atol=1e-4, rtol=0)
    prompt.save(tmp_path / "saved")
    loaded = PromptClassifier.load(tmp_path / "saved", backbone)
    assert torch.equal(torch.from_numpy(loaded.predict_proba(TEXTS)), probabilities(prompt, backbone))
    without = replace(prompt, template=Template("<text> It was <mask>"), prefixes={})
    assert (probabilities(without, backbone).log() - expected).abs().max() > 1e-2


def test_a_prefix_shares_batches_with_other_prompts(prefix):
    """A second prefix, vectors and words alone, with texts that share a start, and words of several tokens."""
    architecture, _, prompt = prefix
    backbone = models.backbone(architecture)
    prompt = replace(prompt, verbalizer=LONG)
    other = replace(prompt, prefixes={key: -2 * tensor for key, tensor in prompt.prefixes.items()})
    prompts = [prompt, prompt_of(backbone, "<soft*3> <text> It was <mask>", LONG), other]
    prompts.append(replace(prompts[1], template=Template("<text> It was <mask>"), vectors={}))
    texts = [*TEXTS, *(f"{TEXTS[0]} And {end}" for end in ("more", "more of it", "then"))]
    together = PromptSet(prompts, backbone).predict_proba(texts)
    for member, of_member in zip(prompts, together, strict=True):
        alone = torch.cat([probabilities(member, backbone, [text]) for text in texts])
        torch.testing.assert_close(torch.from_numpy(of_member), alone, atol=1e-5, rtol=1e-4)


def test_what_a_prefix_cannot_do(prefix, tmp_path):
    architecture, _, prompt = prefix
    backbone = models.backbone(architecture)
    with pytest.raises(ParameterError, match="a prefix of keys and values"):
        prompt.to_peft(tmp_path / "adapter", backbone)
    clf = PromptClassifier(backbone, str(prompt.template), {"neg": "bad", "pos": "good"}, soft_init=prompt)
    with pytest.raises(ParameterError, match="cannot be trained further"):
        clf.fit(["bad film", "good film"], ["neg", "pos"])
    prompt.save(tmp_path / "saved")
    with pytest.raises(ParameterError, match="no vectors to inspect"):
        inspect_soft(PromptClassifier.load(tmp_path / "saved", backbone))
    if not backbone.prompt_tokenizer.prefix_markers:
        with pytest.raises(EncodingError, match="between a prefix of keys and values and the mask"):
            probabilities(replace(prompt, template=Template("<soft*20 name=peft><text><mask>")), backbone, ["", "a"])
    later = replace(prompt, template=Template("<text> <soft*20 name=peft> It was <mask>"))
    with pytest.raises(ArtifactError, match="it has the tensors 'prefix/peft'; expected 'peft'"):
        later.save(tmp_path / "later")
    with pytest.raises(EncodingError, match="stands in front of all"):
        probabilities(later, backbone)


def test_a_prefix_of_another_model(prefix):
    architecture, _, prompt = prefix
    backbone = models.backbone(architecture)
    more = {key: torch.cat([tensor, tensor]) for key, tensor in prompt.prefixes.items()}
    with pytest.raises(ArtifactError, match="keys and values for 4 layers"):
        replace(prompt, prefixes=more).validate_backbone(backbone)


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_an_exported_prefix_comes_back(architecture, tmp_path):
    backbone = models.backbone(architecture)
    prompt = prompt_of(backbone, "<soft*3 layers=all> <text> It was <mask>")
    generator = torch.Generator().manual_seed(1)
    prompt = replace(prompt, deep={"#1": torch.randn(1, 3, backbone.width, generator=generator)})
    prompt.to_peft(tmp_path / "adapter", backbone)
    if backbone.prompt_tokenizer.prefix_markers:  # the keys of <bos> are part of it
        refused(tmp_path / "adapter", "load the saved prompt", architecture=architecture)
        return
    again = Prompt.from_peft(tmp_path / "adapter", " <text> It was <mask>", WORDS, backbone)
    torch.testing.assert_close(probabilities(again, backbone), probabilities(prompt, backbone), atol=1e-5, rtol=1e-4)


# -- errors --


@pytest.mark.parametrize(
    ("source", "parts", "problem"),
    [
        ("<text> <soft*2><mask>", {}, "'#1' stands after <text>"),
        ("<text> It was <mask>", {"head": "linear"}, "weights of its own"),
        ("{{ text }} It was <mask>", {}, "Jinja"),
    ],
)
def test_what_an_adapter_cannot_hold(source, parts, problem, tmp_path):
    backbone = models.backbone("gpt2")
    with pytest.raises(ParameterError, match=problem):
        prompt_of(backbone, source, **parts).to_peft(tmp_path / "adapter", backbone)
    assert not (tmp_path / "adapter").exists()


def test_nothing_in_front(tmp_path):
    backbone = models.backbone("gpt2")
    with pytest.raises(ParameterError, match="nothing stands in front of <text>"):
        prompt_of(backbone, "<text> It was <mask>").to_peft(tmp_path / "adapter", backbone)


def test_token_types(tmp_path):
    backbone = models.backbone("bert")
    prompt = prompt_of(backbone, "<soft*2> <text> <sep> It was <mask>.")
    with pytest.raises(ParameterError, match="token types"):
        prompt.to_peft(tmp_path / "adapter", backbone)
    trained("bert", PromptTuningConfig(task_type="FEATURE_EXTRACTION", num_virtual_tokens=4), tmp_path / "theirs")
    with pytest.raises(ParameterError, match="token types"):
        Prompt.from_peft(tmp_path / "theirs", "<text> <sep> It was <mask>.", WORDS, backbone)


def test_an_ordinal_verbalizer(tmp_path):
    backbone = models.backbone("gpt2")
    prompt = prompt_of(backbone, "<soft*2> <text> It was <mask>", OrdinalVerbalizer([1, 2, 3], "bad", "good"))
    with pytest.raises(ParameterError, match="OrdinalVerbalizer"):
        prompt.to_peft(tmp_path / "adapter", backbone)


def test_a_folder_that_is_in_use(tmp_path):
    backbone = models.backbone("gpt2")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileError, match="not empty"):
        prompt_of(backbone, "<soft*2> <text> It was <mask>").to_peft(tmp_path, backbone)


@pytest.fixture
def adapter(tmp_path):
    trained("gpt2", PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4), tmp_path)
    return tmp_path


def refused(folder, problem, error=ArtifactError, architecture="gpt2", tail="<text> It was <mask>", **more):
    with pytest.raises(error, match=problem):
        Prompt.from_peft(folder, tail, WORDS, models.backbone(architecture), **more)


def test_keys_and_values_of_an_encoder_decoder_model(tmp_path):
    trained("gpt2", PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4), tmp_path)
    config = tmp_path / "adapter_config.json"
    config.write_text(config.read_text().replace("CAUSAL_LM", "SEQ_2_SEQ_LM"))
    refused(tmp_path, "keys and values of causal models alone")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"num_layers": None}, "num_layers=None"),
        ({"num_attention_heads": 5}, "multiple of the heads"),
        ({"num_layers": 7}, "does not fit its configuration"),
    ],
)
def test_keys_and_values_that_do_not_fit(tmp_path, change, problem):
    trained("gpt2", PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4), tmp_path)
    config = tmp_path / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | change))
    refused(tmp_path, problem)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"peft_type": "LORA"}, "no prompt"),
        ({"peft_type": 3}, "expected text"),
        ({"task_type": "SEQ_CLS"}, "a head of its own"),
        ({"num_virtual_tokens": 5}, "shape"),
        ({"num_virtual_tokens": True}, "at least 1"),
        ({"num_virtual_tokens": 10**30}, "shape"),
        ({"num_transformer_submodules": 2}, "shape"),
        ({"peft_type": "MULTITASK_PROMPT_TUNING"}, "tensors"),
    ],
)
def test_a_configuration_that_does_not_fit(adapter, change, problem):
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    refused(adapter, problem)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"peft_type": "PROMPT_TUNING"}', b"[" * 100_000, b"\xff"])
def test_a_damaged_configuration(adapter, content):
    (adapter / "adapter_config.json").write_bytes(content)
    refused(adapter, "adapter_config.json")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", bytes(100)])
def test_damaged_tensors(adapter, content):
    (adapter / "adapter_model.safetensors").write_bytes(content)
    refused(adapter, "damaged")


def test_files_that_are_missing(adapter):
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    refused(adapter, "a pickle")
    (adapter / "adapter_config.json").unlink()
    refused(adapter, "has no adapter_config.json")


def test_a_model_of_another_width(adapter):
    small = models.backbone("bert")
    if small.width == models.backbone("gpt2").width:
        tensors = adapter / "adapter_model.safetensors"
        from safetensors.torch import save_file

        save_file({"prompt_embeddings": torch.zeros(4, small.width + 8)}, tensors)
    refused(adapter, "width")


def test_a_task_where_there_is_one_and_none_where_there_are_several(adapter, tmp_path):
    refused(adapter, "task=0 is for an adapter of several tasks", ParameterError, task=0)
    config = MultitaskPromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4, num_tasks=2)
    trained("gpt2", config, tmp_path / "tasks")
    for task in (None, 2, -1, True, 0.0):
        refused(tmp_path / "tasks", "prompts of 2 tasks", ParameterError, task=task)


def test_a_tail_with_slots_of_its_own(adapter):
    refused(adapter, "soft slots", ParameterError, tail="<soft*2> <text> It was <mask>")


def test_chat_turns_and_fixed_demonstrations(saved, tmp_path):
    """Frames of turns and worked examples precede the text in every prompt, so they are vectors as well."""
    backbone = saved("qwen3")
    backbone.tokenizer.chat_template = chat_templates.CHATML
    backbone.tokenizer.model_max_length = backbone.model.config.max_position_embeddings = 256
    chat = Backbone(backbone.model, backbone.tokenizer, backbone.name)
    prompt = prompt_of(chat, "<chat:user>Review:<soft*2> <text><chat:assistant>It was <mask>")
    prompt.to_peft(tmp_path / "chat", chat)
    pool = Pool(({"text": "A bore"}, {"text": "Great {fun}"}), (0, 1), ("bad", "good"))
    demos = prompt_of(backbone, "Say:\n<demos><soft*2> <text> It was <mask>", demonstrations=FixedDemonstrations(pool))
    demos.to_peft(tmp_path / "demos", backbone)
    for given, name, model in ((prompt, "chat", chat), (demos, "demos", backbone)):
        with torch.no_grad():
            found = torch.stack([readme_of(tmp_path / name)["probabilities"](text=text) for text in TEXTS])
        torch.testing.assert_close(found.double(), probabilities(given, model), atol=1e-4, rtol=1e-4)
