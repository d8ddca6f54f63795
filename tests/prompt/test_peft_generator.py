"""Generators as PEFT adapters, and adapters as generators: the same greedy ids here and in PEFT's `generate`."""

import json
from copy import deepcopy
from dataclasses import replace
from functools import cache

import pytest
import torch
from peft import PeftModel, PrefixTuningConfig, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file
from support import chat_templates, models
from support.peft_adapters import CAUSAL, IGNORED, SEQ2SEQ, TEXTS, random_vectors, readme_of
from transformers import GenerationConfig

from softcloze.backbone import Backbone
from softcloze.demonstrations import FixedDemonstrations, Pool
from softcloze.errors import ParameterError, TemplateSyntaxError
from softcloze.prompt import BoundGenerator, GeneratorPrompt
from softcloze.prompt.peft_generator import to_peft
from softcloze.template import Template

pytestmark = IGNORED

EXPORTED = [*CAUSAL, *SEQ2SEQ]


def prompt_of(backbone, source, **parts):
    """A generator with random vectors, which write other tokens than none do."""
    template = Template(source)
    vectors = random_vectors(template, backbone, 3)
    return GeneratorPrompt(template, backbone.name, backbone.fingerprint, vectors=vectors, **parts)


def written_ids(prompt, backbone, texts=TEXTS):
    """New ids that the generator writes after each text, all texts in one call."""
    bound = BoundGenerator(prompt, backbone)
    writer = bound.compiled.writer(bound.options())
    soft = bound.soft.inputs() if bound.soft is not None else None
    with torch.no_grad():
        return [list(written.ids) for written in writer.write(bound.encode(texts), soft)]


def peft_ids(tuned, ids, end, decoder=()):
    """Greedy new ids of `generate` of PEFT's model after the ids of one text."""
    given = {"decoder_input_ids": torch.tensor([decoder]), "decoder_start_token_id": decoder[0]} if decoder else {}
    config = GenerationConfig(max_new_tokens=8, eos_token_id=end, pad_token_id=0)
    batch = torch.tensor([ids])
    rows = tuned.generate(input_ids=batch, attention_mask=torch.ones_like(batch), generation_config=config, **given)
    new = rows[0, len(decoder) if decoder else len(ids) :].tolist()
    return new[: new.index(end)] if end in new else new


@cache
def sensitive(architecture):
    """A model whose text depends on all that stands before; the small Gemma repeats its last token otherwise."""
    backbone = models.new_backbone(architecture)
    with torch.no_grad():
        for name, weight in backbone.model.named_parameters():
            if architecture == "gemma3_text" and "post_" in name:  # norms after attention and feed-forward layers
                weight.add_(20)
    return backbone


def peft_model(architecture, folder):
    """PEFT's model with an adapter, without options of writing of the model's own."""
    base = deepcopy(sensitive(architecture).model)
    base.generation_config = GenerationConfig()
    return PeftModel.from_pretrained(base, folder).eval()


def decoder_ids(prompt, backbone):
    """The ids with which a decoder starts; empty for a causal model."""
    bound = BoundGenerator(prompt, backbone)
    (example,) = bound.encode(TEXTS[:1])
    opening = bound.compiled.plan.opening(example)
    return list(opening.ids) if opening.source else []


MIDDLE = "Note: <soft*2> <text> In short: <answer max=8> and more."


@pytest.mark.parametrize(
    ("architecture", "source"),
    [
        *((name, "A \\{film}: <soft*3>review<soft*2 name=task> <text>\nIn short: <answer max=8>") for name in EXPORTED),
        *((name, "<soft*3> <text>\nIn short:\n <answer max=8>") for name in ("llama", "bart")),
        ("t5", MIDDLE),
    ],
)
def test_generate_of_peft_writes_the_same_ids(architecture, source, tmp_path):
    """On single rows, with the tail that README.md says, tokenized without special tokens."""
    backbone = sensitive(architecture)
    prompt = prompt_of(backbone, source)
    front = to_peft(prompt, tmp_path / "adapter", backbone)
    assert repr(front.tail) in (tmp_path / "adapter" / "README.md").read_text()
    tuned, decoder = peft_model(architecture, tmp_path / "adapter"), decoder_ids(prompt, backbone)
    end = BoundGenerator(prompt, backbone).compiled.ends[0]
    ours = written_ids(prompt, backbone)
    for text, expected in zip(TEXTS, ours, strict=True):
        tail = front.tail.format(text=text, mask="<extra_id_0>")
        assert peft_ids(tuned, backbone.tokenizer(tail, add_special_tokens=False).input_ids, end, decoder) == expected
    plain = replace(prompt, vectors={key: 0 * tensor for key, tensor in prompt.vectors.items()})
    assert written_ids(plain, backbone) != ours


@pytest.mark.parametrize(("architecture", "mode"), [*((name, "add") for name in CAUSAL), ("llama", "replace")])
def test_vectors_at_later_layers_become_keys_and_values(architecture, mode, tmp_path):
    backbone = sensitive(architecture)
    prompt = prompt_of(backbone, f"Review: <soft*3 layers=all mode={mode}> <text>:<answer max=8>")
    generator = torch.Generator().manual_seed(1)
    deep = {"#1": torch.randn(backbone.layers.count - 1, 3, backbone.width, generator=generator)}
    prompt = replace(prompt, deep=deep)
    front = to_peft(prompt, tmp_path / "adapter", backbone)
    assert json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["peft_type"] == "PREFIX_TUNING"
    tuned, end = peft_model(architecture, tmp_path / "adapter"), BoundGenerator(prompt, backbone).compiled.ends[0]
    ours = written_ids(prompt, backbone)
    for text, expected in zip(TEXTS, ours, strict=True):
        ids = backbone.tokenizer(front.tail.format(text=text), add_special_tokens=False).input_ids
        assert peft_ids(tuned, ids, end) == expected
    assert written_ids(replace(prompt, deep={"#1": 0 * deep["#1"]}), backbone) != ours


def test_the_code_in_the_readme_keeps_a_forced_first_token(saved, tmp_path):
    backbone = saved("mbart")
    forced = backbone.prompt_tokenizer.ids("good")[0]
    prompt = prompt_of(backbone, "<soft*3> <text>: <answer max=8>", options={"forced_bos_token_id": forced})
    prompt.to_peft(tmp_path / "adapter", backbone)
    write = readme_of(tmp_path / "adapter")["write"]
    texts = BoundGenerator(prompt, backbone).write(TEXTS)
    assert [write(text=text) for text in TEXTS] == texts
    assert all(text.startswith("good") for text in texts)


@pytest.mark.parametrize(
    ("architecture", "end"), [("gpt2", "\n"), ("llama", ""), ("gemma3_text", " a"), ("t5", ""), ("bart", " a")]
)
def test_the_code_in_the_readme_writes_the_texts_of_predict(architecture, end, saved, tmp_path):
    backbone = saved(architecture)
    prompt = prompt_of(backbone, f"<soft*3> <text>: <answer max=8>{end}", options={"num_beams": 2} if not end else {})
    prompt.to_peft(tmp_path / "adapter", backbone)
    write = readme_of(tmp_path / "adapter")["write"]
    assert [write(text=text) for text in TEXTS] == BoundGenerator(prompt, backbone).write(TEXTS)


def test_chat_turns_and_fixed_demonstrations(saved, tmp_path):
    """Frames of turns and worked examples precede the text in every prompt, so they are vectors as well."""
    backbone = saved("qwen3")
    backbone.tokenizer.chat_template = chat_templates.CHATML
    backbone.tokenizer.model_max_length = backbone.model.config.max_position_embeddings = 256
    chat = Backbone(backbone.model, backbone.tokenizer, backbone.name)
    prompt = prompt_of(chat, "<chat:user>Review:<soft*2> <text><chat:assistant><answer max=8>")
    pool = Pool(({"text": "A bore"}, {"text": "Great {fun}"}), (0, 1), ("bad", "good"))
    source = "Say:\n<demos><soft*2> <text> -> <answer max=8>\n"
    demos = prompt_of(backbone, source, demonstrations=FixedDemonstrations(pool))
    for name, given, model in (("chat", prompt, chat), ("demos", demos, backbone)):
        given.to_peft(tmp_path / name, model)
        write = readme_of(tmp_path / name)["write"]
        assert [write(text=text) for text in TEXTS] == BoundGenerator(given, model).write(TEXTS)


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "t5", "bart"])
def test_out_and_in_again(architecture, tmp_path):
    backbone = models.backbone(architecture)
    prompt = prompt_of(backbone, "<soft*3> <text>:<answer max=8>.")
    front = to_peft(prompt, tmp_path / "adapter", backbone)
    space = " " if front.tail.startswith(" ") else ""
    again = GeneratorPrompt.from_peft(tmp_path / "adapter", space + "<text>:<answer max=8>.", backbone)
    assert torch.equal(again.vectors["peft"], prompt.vectors["#1"])
    assert written_ids(again, backbone) == written_ids(prompt, backbone)
    again.to_peft(tmp_path / "again", backbone)
    first, second = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("adapter", "again"))
    assert torch.equal(first["prompt_embeddings"], second["prompt_embeddings"])


# -- from PEFT --


def trained(architecture, config, folder):
    """An adapter that took steps in PEFT on answers, as PEFT saves it, and PEFT's own model for it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        base = deepcopy(sensitive(architecture).model)
        base.generation_config = GenerationConfig()
        tuned = get_peft_model(base, config)
    tokenizer = sensitive(architecture).tokenizer
    optimizer = torch.optim.Adam(tuned.parameters(), lr=0.3)
    for text in TEXTS:
        question, answer = tokenizer(f"{text} =>").input_ids, tokenizer("good film", add_special_tokens=False).input_ids
        if tuned.config.is_encoder_decoder:
            given = {"input_ids": torch.tensor([question]), "labels": torch.tensor([answer])}
        else:
            labels = torch.tensor([[-100] * len(question) + answer])
            given = {"input_ids": torch.tensor([question + answer]), "labels": labels}
        tuned(**given, attention_mask=torch.ones_like(given["input_ids"])).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    tuned.save_pretrained(folder)
    return tuned.eval()


@pytest.mark.parametrize("architecture", EXPORTED)
def test_an_adapter_that_peft_trained_writes_the_same_ids(architecture, tmp_path):
    """Of an encoder-decoder model PEFT keeps twice as many vectors as it uses."""
    task = "SEQ_2_SEQ_LM" if architecture in SEQ2SEQ else "CAUSAL_LM"
    tuned = trained(architecture, PromptTuningConfig(task_type=task, num_virtual_tokens=4), tmp_path)
    backbone = sensitive(architecture)
    prompt = GeneratorPrompt.from_peft(tmp_path, "<text> =><answer max=8>", backbone, options={"num_beams": 1})
    assert prompt.options == {"num_beams": 1}
    end, decoder = BoundGenerator(prompt, backbone).compiled.ends[0], decoder_ids(prompt, backbone)
    rows = [backbone.tokenizer(f"{text} =>").input_ids for text in TEXTS]
    assert written_ids(prompt, backbone) == [peft_ids(tuned, ids, end, decoder) for ids in rows]
    prompt.save(tmp_path / "saved")
    assert written_ids(GeneratorPrompt.load(tmp_path / "saved"), backbone) == written_ids(prompt, backbone)


@pytest.mark.parametrize("architecture", CAUSAL)
def test_a_prefix_of_keys_and_values_writes_the_same_ids(architecture, tmp_path):
    """PEFT's prefix tuning: in one call, alone, in pieces, and saved; the likelihoods are those of PEFT's loss."""
    tuned = trained(architecture, PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5), tmp_path / "peft")
    backbone = sensitive(architecture)
    prompt = GeneratorPrompt.from_peft(tmp_path / "peft", "<text> =><answer max=8>", backbone)
    bound, rows = BoundGenerator(prompt, backbone), [backbone.tokenizer(f"{text} =>").input_ids for text in TEXTS]
    expected = [peft_ids(tuned, ids, bound.compiled.ends[0]) for ids in rows]
    assert written_ids(prompt, backbone) == expected
    assert [written_ids(prompt, backbone, [text])[0] for text in TEXTS] == expected
    assert ["".join(bound.stream(text)) for text in TEXTS] == bound.write(TEXTS)
    prompt.save(tmp_path / "saved")
    assert written_ids(GeneratorPrompt.load(tmp_path / "saved"), backbone) == expected
    without = replace(prompt, template=Template("<text> =><answer max=8>"), prefixes={})
    assert written_ids(without, backbone) != expected
    likelihoods = bound.log_likelihood(TEXTS, ["good film"] * len(TEXTS))
    examples = bound.encode(TEXTS, answers=["good film"] * len(TEXTS))
    for answer, ids, likelihood in zip([example.answer for example in examples], rows, likelihoods, strict=True):
        batch = torch.tensor([[*ids, *answer]])
        labels = torch.tensor([[-100] * len(ids) + list(answer)])
        loss = tuned(input_ids=batch, attention_mask=torch.ones_like(batch), labels=labels).loss
        assert likelihood == pytest.approx(-float(loss.detach()), abs=1e-4)
    with pytest.raises(ParameterError, match="a prefix of keys and values"):
        prompt.to_peft(tmp_path / "adapter", backbone)


def test_what_a_generator_cannot_take_from_peft(tmp_path):
    backbone = models.backbone("gpt2")
    trained("gpt2", PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4), tmp_path)
    with pytest.raises(TemplateSyntaxError, match="a <mask> takes label words"):
        GeneratorPrompt.from_peft(tmp_path, "<text> => <mask>", backbone)
    with pytest.raises(ParameterError, match="did you mean 'num_beams'"):
        GeneratorPrompt.from_peft(tmp_path, "<text> =><answer>", backbone, options={"num_beam": 2})


@pytest.mark.parametrize(
    ("source", "options", "problem"),
    [
        ("<text> <soft*2>:<answer>", {}, "'#1' stands after <text>"),
        ("<soft*2 name=a><text><soft*2 name=b>:<answer>", {}, "'b' stands after <text>"),
        ("<soft*2 from=text> <text>:<answer>", {}, "has from="),
        ("{{ text }}<soft*2>:<answer>", {}, "Jinja"),
        ("<text>:<answer>", {}, "nothing stands in front of <text>"),
        ("<soft*2> <text>:<answer>", {"repetition_penalty": 1.2}, "'repetition_penalty' counts new tokens alone"),
    ],
)
def test_what_an_adapter_cannot_hold(source, options, problem, tmp_path):
    backbone = models.backbone("gpt2")
    with pytest.raises(ParameterError, match=problem):
        GeneratorPrompt(
            *(Template(source), backbone.name, backbone.fingerprint),
            vectors={"#1": torch.zeros(2, backbone.width), "a": torch.zeros(2, backbone.width)},
            options=options,
        ).to_peft(tmp_path / "adapter", backbone)
    assert not (tmp_path / "adapter").exists()
