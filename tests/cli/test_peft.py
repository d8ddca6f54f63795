"""Prompts to PEFT and back on the command line."""

import json

import pytest
from safetensors.torch import load_file
from support import models

from softcloze import PromptClassifier, PromptEnsemble, PromptGenerator
from softcloze.prompt import GeneratorPrompt, Prompt
from softcloze.verbalizer import Verbalizer

WORDS = {"neg": "bad", "pos": "good"}


@pytest.fixture
def folder(tmp_path):
    models.model("gpt2").save_pretrained(tmp_path / "model")
    models.tokenizer("gpt2").save_pretrained(tmp_path / "model")
    fitted = PromptClassifier(str(tmp_path / "model"), "<soft*2> <text> It was <mask>", WORDS, epochs=1)
    fitted.fit(["A delight.", "Dull."], ["pos", "neg"]).save(tmp_path / "prompt")
    return tmp_path


def test_out_and_in(run, folder):
    out = run("export-peft", "prompt", "--out", "adapter", cwd=folder)
    assert (out.returncode, out.stdout) == (0, "saved in adapter; README.md there says how to run it\n"), out.stderr
    back = run(
        *("import-peft", "adapter", "--out", "again", "--tail", " <text> It was <mask>"),
        *("--verbalizer", json.dumps(WORDS), "--model", "model"),
        cwd=folder,
    )
    assert (back.returncode, back.stdout) == (0, "<soft*2 name=peft> <text> It was <mask>; saved in again\n")
    vectors = load_file(folder / "adapter" / "adapter_model.safetensors")["prompt_embeddings"]
    again = Prompt.load(folder / "again")
    assert again.vectors["peft"].equal(vectors) and again.verbalizer == Verbalizer(WORDS)


def test_a_generator_out_and_in(run, folder):
    gen = PromptGenerator(str(folder / "model"), "<soft*2> <text>:<answer max=5>\n", epochs=1)
    gen.fit(["A delight.", "Dull."], ["good", "bad"]).save(folder / "generator")
    out = run("export-peft", "generator", "--out", "adapter", cwd=folder)
    assert (out.returncode, out.stdout) == (0, "saved in adapter; README.md there says how to run it\n"), out.stderr
    back = run(
        *("import-peft", "adapter", "--out", "again", "--tail", " <text>:<answer max=5>\\n", "--model", "model"),
        cwd=folder,
    )
    assert (back.returncode, back.stderr) == (0, "")
    assert GeneratorPrompt.load(folder / "again").vectors["peft"].equal(gen.prompt_.vectors["#1"])
    words = run(
        *("import-peft", "adapter", "--out", "other", "--tail", "<text>:<answer>", "--verbalizer", json.dumps(WORDS)),
        cwd=folder,
    )
    assert words.returncode == 2 and "leave --verbalizer out" in words.stderr


def test_mistakes(run, folder):
    full = run("export-peft", "prompt", "--out", "model", cwd=folder)
    assert (full.returncode, full.stderr) == (2, "error: model already exists and is not empty; choose another path\n")
    PromptEnsemble([PromptClassifier(str(folder / "model"), "<text> <mask>", WORDS)] * 2).save(folder / "ensemble")
    several = run("export-peft", "ensemble", "--out", "adapter", cwd=folder)
    assert several.returncode == 2 and "ensemble is an ensemble, and an adapter holds one prompt" in several.stderr
    none = run(
        *("import-peft", "prompt", "--out", "again", "--tail", "<text> It was <mask>"),
        *("--verbalizer", json.dumps(WORDS), "--model", "model"),
        cwd=folder,
    )
    assert none.returncode == 2 and "prompt is not the folder of a PEFT adapter" in none.stderr
