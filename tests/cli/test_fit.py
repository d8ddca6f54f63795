"""softcloze fit loses nothing: interruptions, disks that are full, and other files in the folder of the prompt."""

import errno
import json
import os
import re
import shlex
import signal
import sys
from pathlib import Path

import pytest
import torch
from support import models
from transformers import BertModel

from softcloze import Prompt
from softcloze.cli import main, progress
from softcloze.training import checkpoint

pytestmark = pytest.mark.filterwarnings("always:.*holds the progress of another fit")

COMMAND = "fit reviews.csv --model model --template '<soft*2> <text> It was <mask>.' --out prompt --learning-rate 0.5"
WORDS = ["--verbalizer", json.dumps({"positive": "good", "negative": "bad"})]
STEPS = 6  # of 4 rows in each of 3 epochs


@pytest.fixture
def folder(tmp_path, monkeypatch, reviews):
    models.model("bert").save_pretrained(tmp_path / "model")
    models.tokenizer("wordpiece").save_pretrained(tmp_path / "model")
    (tmp_path / "reviews.csv").write_bytes(reviews.read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checkpoint, "SECONDS", 0)
    return tmp_path


def fit(*more):
    """The command in this process; its exit code."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as stop:
        patch.setattr(sys, "argv", ["softcloze", *shlex.split(COMMAND), *WORDS, *more])
        main()
    return stop.value.code


def ctrl_c():
    raise KeyboardInterrupt


def interrupt_at(patch, step, interrupt=ctrl_c):
    """Interrupt a step of training, counted from 1."""
    take, calls = torch.optim.AdamW.step, []

    def interrupted(self, *arguments):
        calls.append(1)
        if len(calls) == step:
            interrupt()
        return take(self, *arguments)

    patch.setattr(torch.optim.AdamW, "step", interrupted)


def vectors(folder="prompt"):
    return Prompt.load(folder).vectors["#1"]


@pytest.fixture
def whole(folder):
    """The vectors of a fit that nobody interrupts."""
    assert fit("--out", "whole") == 0
    return vectors("whole")


def test_what_is_to_come_is_said_at_the_start(folder, capsys):
    assert fit() == 0
    first, *rest = capsys.readouterr().err.splitlines()
    assert first == f"training on 24 rows: 18 steps, {STEPS} in each epoch"
    assert [line.split("   ")[0] for line in rest] == ["epoch 1 of 3", "epoch 2 of 3", "epoch 3 of 3"]


def test_without_a_terminal_a_line_tells_the_time_left_now_and_then(folder, capsys, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS", 0)
    assert fit() == 0
    lines = re.findall(r"training on 24 rows: (\d+) of 18, about 0:00:\d\d left\n", capsys.readouterr().err)
    assert lines == [str(step) for step in range(1, 19)]


def test_parts_of_a_step(folder, monkeypatch):
    forward, sizes = BertModel.forward, set()

    def counted(self, *args, **kwargs):
        if torch.is_grad_enabled():
            sizes.add(len(kwargs["inputs_embeds"]))
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(BertModel, "forward", counted)
    assert fit() == 0
    assert sizes == {4}
    sizes.clear()
    assert fit("--part-size", "3", "--out", "parts") == 0
    assert sizes == {2}  # of about equal sizes


@pytest.mark.parametrize("step", [2, STEPS + 1, 2 * STEPS + 4, 3 * STEPS])
def test_interrupted_and_resumed(folder, whole, monkeypatch, capsys, step):
    with monkeypatch.context() as patch:
        interrupt_at(patch, step)
        assert fit() == 130
    assert "interrupted: the progress is kept in prompt.part; run the same command again" in capsys.readouterr().err
    assert not (folder / "prompt").exists()
    assert fit() == 0
    assert f"training on 24 rows: 18 steps, 6 in each epoch, resumed after step {step - 1}\n" in capsys.readouterr().err
    assert torch.equal(vectors(), whole)
    assert not (folder / "prompt.part").exists()


def test_an_interruption_before_the_first_step(folder, monkeypatch, capsys):
    interrupt_at(monkeypatch, 1)
    assert fit() == 130
    assert "interrupted before there was progress to keep; nothing is saved" in capsys.readouterr().err


def test_an_interruption_after_the_training(folder, whole, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("softcloze.cli.fit_files.score_rows", interrupted)
    assert fit() == 130
    assert "interrupted: the prompt is saved in prompt\n" in capsys.readouterr().err
    assert torch.equal(vectors(), whole)


@pytest.mark.parametrize("change", [["--epochs", "4"], ["--seed", "1"], ["--shots", "9"], ["--batch-size", "3"]])
def test_another_command_does_not_resume(folder, monkeypatch, capsys, change):
    with monkeypatch.context() as patch:
        interrupt_at(patch, STEPS + 2)
        assert fit() == 130
    assert fit(*change, "--out", "prompt") == 0
    told = capsys.readouterr().err
    assert "warning: prompt.part holds the progress of another fit, with other examples or parameters" in told
    assert "resumed" not in told
    assert len([*(folder / "prompt.part").iterdir()]) == 1  # of the first command


def test_other_rows_do_not_resume(folder, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        interrupt_at(patch, STEPS + 2)
        assert fit() == 130
    rows = (folder / "reviews.csv").read_text().replace("a dull mess", "a dull thing")
    (folder / "reviews.csv").write_text(rows)
    assert fit() == 0
    assert "resumed" not in capsys.readouterr().err


def test_damaged_progress_is_named(folder, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        interrupt_at(patch, STEPS + 2)
        assert fit() == 130
    (file,) = (folder / "prompt.part").iterdir()
    file.write_bytes(file.read_bytes()[:-9])
    assert fit() == 2
    assert re.search(rf"error: prompt\.part/{file.name} is damaged .*; delete it to start", capsys.readouterr().err)


@pytest.fixture
def interruptible():
    """SIGINT as Python handles it: a shell that starts the tests in the background has it ignored."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, handler)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_keeps_the_progress(folder, whole, monkeypatch, capsys, number, code):
    with monkeypatch.context() as patch:
        interrupt_at(patch, STEPS + 2, lambda: os.kill(os.getpid(), number))
        assert fit() == code
    assert "interrupted: the progress is kept in prompt.part; run the same command again" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert fit() == 0
    assert torch.equal(vectors(), whole)


def test_a_place_that_cannot_be_written_is_told_before_the_training(folder, capsys, monkeypatch):
    """Nerogar/OneTrainer#168, ultralytics/ultralytics#14558: told after the training."""
    monkeypatch.setattr("softcloze.cli.fit.open_backbone", lambda model: pytest.fail("the model was loaded"))
    (folder / "file").touch()
    for out in ("/proc/prompt", "file/prompt", "n" * 256):
        assert fit("--out", out) == 2
        assert f"error: cannot write {out}" in capsys.readouterr().err


def test_a_disk_that_fills_up_does_not_lose_the_prompt(folder, whole, capsys, monkeypatch):
    write = Path.write_bytes

    def full(path, content):
        if path.is_relative_to(folder):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, content)

    assert fit("--epochs", "1") == 0
    earlier = vectors()
    monkeypatch.setattr(Path, "write_bytes", full)
    assert fit() == 2
    told = capsys.readouterr().err
    assert (other := re.search(r"No space left on device; the prompt is saved in (.*) instead", told)), told
    assert torch.equal(vectors(other[1]), whole)
    assert torch.equal(vectors(), earlier)


def test_other_files_stay(folder):
    assert fit("--epochs", "1") == 0
    (folder / "prompt" / "precious.txt").write_text("years of work")
    assert fit("--epochs", "1", "--seed", "1") == 0
    assert (folder / "prompt" / "precious.txt").read_text() == "years of work"
    assert len([*(folder / "prompt").iterdir()]) == 3
