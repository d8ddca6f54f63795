"""Output that nobody reads, or that cannot be written."""

import os
import subprocess

import pytest
from support import models

from softcloze import PromptClassifier

from .conftest import ENVIRONMENT, SCRIPT


def shell(command, folder):
    """The exit code of the command before a pipe, and its output."""
    done = subprocess.run(
        ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}".replace("softcloze", str(SCRIPT), 1)],
        cwd=folder,
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        encoding="utf-8",
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("command", ["softcloze --help", "softcloze models", "softcloze templates"])
def test_a_full_disk_is_one_line(command, tmp_path):
    """Backblaze/B2_Command_Line_Tool#1071 and its neighbours."""
    code, _, errors = shell(f"{command} > /dev/full", tmp_path)
    assert (code, errors) == (2, "error: cannot write the output: No space left on device\n")


@pytest.mark.parametrize("command", ["softcloze --help", "softcloze models", "softcloze templates"])
def test_a_pipe_that_is_closed_ends_the_command_quietly(command, tmp_path):
    """Backblaze/B2_Command_Line_Tool#1071: as the signal SIGPIPE would."""
    assert shell(f"{command} | sleep 0", tmp_path) == (141, "", "")


def test_a_message_that_cannot_be_written_keeps_the_exit_code(tmp_path):
    assert shell("softcloze predict nowhere.csv --prompt p 2> /dev/full", tmp_path) == (2, "", "")
    assert shell("softcloze nothing 2>&-", tmp_path) == (2, "", "")
    assert shell("softcloze models > /dev/full 2>&1", tmp_path) == (2, "", "")


@pytest.mark.parametrize("streams", [pytest.param("2> /dev/full > /dev/null", marks=pytest.mark.slow), "<&- >&- 2>&-"])
def test_the_work_is_done_without_streams(streams, tmp_path):
    models.model("bert").save_pretrained(tmp_path / "model")
    models.tokenizer("wordpiece").save_pretrained(tmp_path / "model")
    words = {"good": "good", "bad": "bad"}
    PromptClassifier(str(tmp_path / "model"), "<text> It was <mask>", words).save(tmp_path / "prompt")
    (tmp_path / "rows.jsonl").write_text('{"text": "a film"}\n{"text": null}\n')
    code, _, errors = shell(f"softcloze predict rows.jsonl --prompt prompt --out out.csv {streams}", tmp_path)
    assert (code, errors) == (0, "")
    assert (
        (tmp_path / "out.csv").read_text().startswith("text,predicted,probability_bad,probability_good,error\na film,")
    )
