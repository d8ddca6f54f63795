"""A mistake in the input is reported before torch is imported, which takes seconds."""

import json
import subprocess
import sys

import pytest
from support.models import model, tokenizer

from softcloze import Prompt, PromptClassifier, PromptEnsemble, Template
from softcloze.prompt import GeneratorPrompt
from softcloze.registry import Registry

CODE = """
import json, sys
from softcloze.cli import main

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        assert name.split(".")[0] not in {"torch", "transformers", "sklearn"}, f"{name} is imported"

sys.meta_path.insert(0, NoTorch())
for arguments in json.load(sys.stdin):
    sys.argv = ["softcloze", *arguments]
    try:
        main()
    except SystemExit as stop:
        assert stop.code == 2, arguments
"""

FIT = ["fit", "rows.csv", "--out", "out"]
MISTAKES = [
    [*FIT, "--template", "<text*4> <mask>"],
    [*FIT, "--template", "<txt> <mask>"],
    [*FIT, "--template", "<soft*2> {text} It was <mask>."],
    [*FIT, "--template", "<text> {label} It was <mask>."],
    [*FIT, "--template", "sentiment/nowhere"],
    [*FIT, "--template", "<text> <mask>", "--label-column", "labl"],
    [*FIT, "--template", "<text> <mask>", "--verbalizer", "sentiment/nowhere"],
    [*FIT[:2], "--out", "rows.csv/out", "--template", "<text> <mask>"],
    [*FIT],
    [*FIT, "--auto", "--epochs", "3"],
    [*FIT, "--auto", "--text-column", "txt"],
    [*FIT, "--template", "<text> <answer>", "--answer-column", "answr"],
    [*FIT, "--template", "<text> <answer>", "--answer-column", "label", "--verbalizer", "sentiment/en"],
    [*FIT, "--template", "<text> <mask>", "--answer-column", "label"],
    [*FIT, "--template", "<text> <answer>"],
    [*FIT, "--template", "<soft*2> <text> <mask>", "--soft-init", "prompt"],
    [*FIT, "--template", "<soft*2 name=task> <text> <mask>", "--soft-init", "nowhere"],
    [*FIT, "--template", "<soft*2 name=task> <text> <mask>", "--soft-init", "tsk=prompt"],
    [*FIT, "--template", "<soft*2 name=task> <text> <mask>", "--soft-init", "task=prompt", "--soft-init", "prompt"],
    [*FIT, "--auto", "--soft-init", "prompt"],
    ["predict", "rows.csv", "--prompt", "prompt", "--text-column", "txt"],
    ["predict", "rows.csv", "--prompt", "ensemble", "--text-column", "txt"],
    ["predict", "rows.csv", "--prompt", "prompt", "--out", "rows.csv/out.csv"],
    ["predict", "other.csv", "--prompt", "prompt"],
    ["predict", "rows.csv", "--prompt", "nowhere"],
    ["predict", "rows.csv", "--prompt", "reviews", "--url", "http://127.0.0.1:9"],
    ["predict", "rows.csv", "--prompt", "reviews", "--url", "127.0.0.1:9"],
    ["predict", "rows.csv", "--prompt", "prompt", "--out", "out.csv", "--shard", "3/2"],
    ["predict", "rows.csv", "--prompt", "prompt", "--out", "out.csv", "--shard", "1/2"],
    ["label", "rows.csv", "--label-column", "none", "--text-column", "text"],
    ["label", "rows.csv", "--labels", "positive,negative", "--terminal", "--text-column", "txt"],
    ["join", "rows.csv", "--out", "out.csv"],
    ["evaluate", "rows.csv", "--prompt", "prompt", "--text-column", "txt"],
    ["evaluate", "rows.csv", "--prompt", "prompt"],
    ["evaluate", "good.csv", "--prompt", "prompt", "--report", "rows.csv/page.html"],
    ["evaluate", "rows.csv", "--prompt", "writer", "--answer-column", "answr"],
    ["evaluate", "rows.csv", "--prompt", "writer", "--label-column", "label"],
    ["predict", "rows.csv", "--prompt", "writer"],
    ["generate", "rows.csv", "--prompt", "writer"],
    ["generate", "rows.csv", "--prompt", "prompt", "--out", "out.csv"],
    ["generate", "rows.csv", "--prompt", "writer", "--out", "out.csv", "--text-column", "txt"],
    ["generate", "--prompt", "writer", "--field", "txt=a"],
    ["generate", "--prompt", "writer", "--text", "a", "--option", "num_beams"],
    ["inspect", "<text*4> <mask>", "--text", "a", "--model", "model"],
    ["inspect", "<text> <mask>", "--field", "txt=a", "--model", "model"],
    ["inspect-prompt", "prompt", "--data", "other.csv"],
    ["export-peft", "nowhere", "--out", "adapter"],
    ["export-peft", "prompt", "--out", "model"],
    ["export-peft", "ensemble", "--out", "adapter"],
    ["import-peft", "adapter", "--out", "out", "--tail", "<text*4> <mask>", "--verbalizer", "sentiment/en"],
    ["import-peft", "adapter", "--out", "out", "--tail", "<text> <mask>", "--verbalizer", "sentiment/nowhere"],
    ["import-peft", "adapter", "--out", "rows.csv/out", "--tail", "<text> <mask>", "--verbalizer", "sentiment/en"],
    ["serve", "nowhere"],
    ["serve", "empty"],
    ["serve", "prompts", "--host", "0.0.0.0"],
    ["serve", "prompts", "--token-file", "nowhere"],
    ["serve", "prompts", "--max-wait", "0"],
    ["serve", "prompts", "--label-studio-events", "no/events.jsonl"],
    ["registry", "add", "prompts", "Reviews", "--prompt", "prompt"],
    ["registry", "add", "prompts", "reviews", "--prompt", "model"],
    ["registry", "list", "nowhere"],
    ["registry", "list", "prompts", "reviws"],
    ["registry", "promote", "prompts", "reviews"],
    ["registry", "promote", "prompts", "reviews@9"],
    ["registry", "promote", "prompts", "reviews@1", "--field", "text"],
    ["registry", "rollback", "prompts", "reviews"],
    ["registry", "remove", "prompts", "reviews@1"],
    ["registry", "check", "nowhere"],
]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "rows.csv").write_text("text,label\na,wrong\n", encoding="utf-8")
    (tmp_path / "good.csv").write_text("text,label\na,good\n", encoding="utf-8")
    (tmp_path / "other.csv").write_text("title,label\na,good\n", encoding="utf-8")
    model("bert").save_pretrained(tmp_path / "model")
    tokenizer("wordpiece").save_pretrained(tmp_path / "model")
    words = {"good": "good", "bad": "bad"}
    PromptClassifier(str(tmp_path / "model"), "<text> It was <mask>", words).save(tmp_path / "prompt")
    members = [PromptClassifier(str(tmp_path / "model"), f"<text> {end} <mask>", words) for end in ("It was", "A")]
    PromptEnsemble(members).save(tmp_path / "ensemble")
    fingerprint = Prompt.load(tmp_path / "prompt").fingerprint
    GeneratorPrompt(Template("<text> <answer>"), "model", fingerprint).save(tmp_path / "writer")
    (tmp_path / "empty").mkdir()
    registry = Registry(tmp_path / "prompts")
    registry.promote(str(registry.add(tmp_path / "prompt", "reviews")))
    return tmp_path


def test_mistakes_are_reported_before_torch_is_imported(folder):
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=folder, input=json.dumps(MISTAKES), capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("error: ") == len(MISTAKES)


def test_the_service_names_the_extra_that_it_needs(folder):
    code = """
import sys
from softcloze.cli import main

sys.modules["uvicorn"] = None
sys.argv = ["softcloze", "serve", "prompts"]
main()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, encoding="utf-8")
    assert done.returncode == 2
    assert "softcloze serve needs uvicorn; install it with pip install 'softcloze[serve]'" in done.stderr
