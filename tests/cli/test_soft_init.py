"""Blocks of saved prompts and quantised weights on the command line."""

import json

import pytest
import torch
from support import models

from softcloze import Prompt, PromptGenerator

pytestmark = pytest.mark.slow  # torchao loads in seconds

WORDS = ["--verbalizer", json.dumps({"positive": "good", "negative": "bad"}), "--epochs", "1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("soft-init")
    models.model("llama").save_pretrained(folder / "model")
    models.tokenizer(models._KINDS["llama"]).save_pretrained(folder / "model")
    rows = ["text,label,answer", "a delight,positive,good", "a dull mess,negative,bad"]
    (folder / "rows.csv").write_text("\n".join(rows), encoding="utf-8")
    return folder


def test_blocks_start_from_saved_prompts_on_quantised_weights(run, folder):
    def fit(out, template, *more):
        command = ["fit", "rows.csv", "--model", folder / "model", "--quantize", "int8", "--out", out]
        done = run(*command, "--template", template, *more, cwd=folder)
        assert done.returncode == 0, done.stderr

    fit("language", "<soft*2 name=language layers=all> <text> It was <mask>", *WORDS)
    language = Prompt.load(folder / "language")
    assert language.fingerprint["quantisation"].startswith("int8")

    frozen = "<soft*2 name=language layers=all train=no> <soft*2 name=task> <text> It was <mask>"
    fit("both", frozen, *WORDS, "--soft-init", "language")
    both = Prompt.load(folder / "both")
    assert torch.equal(both.vectors["language"], language.vectors["language"])
    assert torch.equal(both.deep["language"], language.deep["language"])

    writes = "<soft*2 name=task train=no><text> In short: <answer max=4>\n"
    fit("writer", writes, "--answer-column", "answer", "--epochs", "1", "--soft-init", "task=both")
    writer = PromptGenerator.load(folder / "writer")
    assert torch.equal(writer.prompt_.vectors["task"], both.vectors["task"])
    assert writer.engine_.quantisation == "int8"

    done = run("predict", "rows.csv", "--prompt", "both", "--out", "-", cwd=folder)
    assert done.returncode == 0, done.stderr
