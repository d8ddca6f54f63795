"""softcloze generate --url: a running service writes the texts, and the files are those of a local run."""

import json
import signal
import subprocess
import sys
from contextlib import ExitStack

import pytest
from support import models
from support.command_line import around_windows, run_here
from support.serving import listening, wait_until

from softcloze import Prompt, Template, Verbalizer, load_backbone
from softcloze.prompt import GeneratorPrompt
from softcloze.prompt.streaming import WRITING_WINDOW
from softcloze.registry import Registry

ROWS = 2 * WRITING_WINDOW + 10
BAD = {3: '{"text": null}', WRITING_WINDOW + 1: "[1]", ROWS - 1: '{"txet": "oops"}'}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, a generator and a prompt that labels, saved and in a registry, and rows of which some are bad."""
    folder = tmp_path_factory.mktemp("generate-url")
    models.model("gpt2").save_pretrained(folder / "model")
    models.tokenizer("gpt2").save_pretrained(folder / "model")
    backbone = load_backbone(str(folder / "model"))
    shorten = GeneratorPrompt(Template("<text> In short:<answer max=6>"), backbone.name, backbone.fingerprint)
    shorten.save(folder / "shorten")
    words = Verbalizer({"good": "good", "bad": "bad"})
    labels = Prompt(Template("<text> It was<mask>"), words, backbone.name, backbone.fingerprint)
    registry = Registry(folder / "prompts")
    for name, prompt in {"shorten": shorten, "labels": labels}.items():
        registry.promote(str(registry.add(prompt, name)))
    lines = [{"text": f"{models.SENTENCES[i % 9]} {i}", "id": i, "secret": "s3cret"} for i in range(ROWS)]
    written = [BAD.get(i, json.dumps(line)) for i, line in enumerate(lines)]
    (folder / "rows.jsonl").write_text("\n".join(written), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def serving(folder):
    """Start a service of the registry, and return its URL and the function that ends it."""
    backbone = load_backbone(str(folder / "model"))

    def start():
        stack = ExitStack()
        _, port = stack.enter_context(listening(Registry(folder / "prompts"), backbone, max_request_new_tokens=100))
        return f"http://127.0.0.1:{port}", stack.close

    return start


@pytest.fixture(autouse=True)
def in_folder(monkeypatch, folder):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "200")


def read_lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_run_that_a_service_interrupts_ends_as_a_local_one(folder, serving, capsys):
    assert run_here("generate", "rows.jsonl", "--prompt", "shorten", "--out", "local.jsonl") == 0
    arguments = ["generate", "rows.jsonl", "--prompt", "shorten@live", "--out", "served.jsonl", "--url"]
    url, stop = serving()
    with around_windows(after=stop):
        assert run_here(*arguments, url) == 2
    error = capsys.readouterr().err
    assert f"interrupted: {WRITING_WINDOW} rows are saved; run the same command again to resume" in error
    assert f"cannot connect to {url}" in error
    url, stop = serving()
    assert run_here(*arguments, url) == 0
    said = capsys.readouterr()
    assert f"resuming: {WRITING_WINDOW} of {ROWS} rows are done already" in said.err
    assert f"warning: 3 of {ROWS} rows could not be answered and have no text" in said.err
    served, local = (read_lines(folder / name) for name in ("served.jsonl", "local.jsonl"))
    assert [i for i, row in enumerate(served) if row["error"] is not None] == [*BAD]
    for row, expected in zip(served, local, strict=True):
        assert {**row, "error": None} == {**expected, "error": None}
        assert (row["error"] is None) == (expected["error"] is None)
    assert run_here("generate", "--prompt", "shorten", "--text", local[0]["text"], "--url", url) == 0
    assert capsys.readouterr().out == f"{local[0]['written']}\n"
    stop()


@pytest.mark.slow
def test_a_run_that_is_killed_ends_as_a_local_one(folder, serving):
    """As `kill -9` does it, which no program can catch."""
    assert run_here("generate", "rows.jsonl", "--prompt", "shorten", "--out", "here.jsonl") == 0
    url, stop = serving()
    journal = folder / "killed.jsonl.part"
    arguments = ["generate", "rows.jsonl", "--prompt", "shorten@live", "--out", "killed.jsonl", "--url", url]
    with subprocess.Popen([sys.executable, "-c", "from softcloze.cli import main; main()", *arguments]) as process:
        wait_until(lambda: process.poll() is not None or (journal.exists() and journal.read_bytes().count(b"\n") > 1))
        process.kill()
    assert process.returncode == -signal.SIGKILL and not (folder / "killed.jsonl").exists()
    assert run_here(*arguments) == 0
    stop()
    killed, local = (read_lines(folder / name) for name in ("killed.jsonl", "here.jsonl"))
    assert [row["written"] for row in killed] == [row["written"] for row in local]
    assert [row.get("id") for row in killed] == [row.get("id") for row in local]
    assert not journal.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--prompt", "labels"], "labels labels examples and writes no text; softcloze predict takes it"),
        (["--prompt", "shorten@2"], "serves no shorten@2"),
        (["--prompt", "shorten", "--model", "model"], "leave out --model, --seed and every --option but"),
        (["--prompt", "shorten", "--option", "num_beams=2"], "leave out --model, --seed and every --option but"),
        (["--prompt", "shorten", "--option", "max_new_tokens=300"], "the service writes fewer new tokens"),
        (["--prompt", "shorten", "--option", "max_new_tokens=0"], "max_new_tokens=0"),
    ],
)
def test_mistakes_end_the_run_before_a_text_is_written(options, message, serving, capsys):
    url, stop = serving()
    assert run_here("generate", "rows.jsonl", "--out", "wrong.jsonl", "--restart", "--url", url, *options) == 2
    stop()
    assert message in " ".join(capsys.readouterr().err.split())
