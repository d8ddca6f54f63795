"""softcloze predict --url: a running service scores the rows, and the files are those of a local run."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack

import pytest
from support.calling import replying
from support.command_line import around_windows
from support.serving import command_of_bert_tiny, is_ready, listening, wait_until

from softcloze import Prompt, Template, Verbalizer, load_backbone
from softcloze.cli import main
from softcloze.cli.input_files import open_table
from softcloze.cli.resumable import ResumableOutput
from softcloze.registry import Registry
from softcloze.verbalizer import FieldVerbalizer

ROWS = 300
BAD = {7: '{"text": null}', 260: '{"txet": "oops"}', 261: '{"text": ', 262: "[1]", 299: '{"text": [1]}'}
ODD = {8: {"text": "lone \ud83d"}, 9: {"text": 5, "more": {"很": 1}}, 10: {"text": "很 " * 700}}
SENTENCES = ["a delight from start to finish", "dull and far too long", "这部电影很好", "warm, funny and wise"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Prompts, saved and in a registry, a file of rows of which some are bad, and the files of local runs."""
    folder = tmp_path_factory.mktemp("predict-url")
    backbone = load_backbone("starter:bert-tiny")
    registry = Registry(folder / "prompts")
    for name, template, words in (
        ("reviews", "<text> It was <mask>.", Verbalizer({"positive": "good", "消极": "bad"})),
        ("stars", "<text> It was <mask>.", Verbalizer({1: "bad", 5: "good"})),
        ("choices", "<options field=choices>. <question> It is <mask>.", FieldVerbalizer("choices", 3, answers="word")),
    ):
        prompt = Prompt(Template(template), words, backbone.name, backbone.fingerprint)
        prompt.save(folder / name)
        registry.promote(str(registry.add(prompt, name)))
    lines = [{"text": f"{SENTENCES[i % 4]} {i}", "id": i, "secret": f"s3cret {i}"} for i in range(ROWS)]
    written = [BAD.get(i, json.dumps(ODD.get(i, line))) for i, line in enumerate(lines)]
    (folder / "rows.jsonl").write_text("\n".join(written), encoding="utf-8")
    (folder / "few.jsonl").write_text("\n".join(written[:12]), encoding="utf-8")
    questions = [
        {"question": "What is snow like?", "choices": ["cold", "warm"]},
        {"question": "What is green?", "choices": ["milk", "grass", "milk"]},
        {"question": "What is this?", "choices": "cold"},
        {"question": "What is that?", "choices": ["big", 5]},
    ]
    (folder / "questions.jsonl").write_text("\n".join(map(json.dumps, questions)), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def serving(folder):
    """Start a service of the registry, and return its URL and the function that ends it."""

    def start():
        stack = ExitStack()
        _, port = stack.enter_context(listening(Registry(folder / "prompts"), load_backbone("starter:bert-tiny")))
        return f"http://127.0.0.1:{port}", stack.close

    return start


@pytest.fixture(scope="module")
def url(serving):
    url, stop = serving()
    yield url
    stop()


@pytest.fixture(autouse=True)
def in_folder(monkeypatch, folder):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "100")


def predict(*arguments):
    """The command in this process; its exit code."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as stop:
        patch.setattr(sys, "argv", ["softcloze", "predict", *arguments])
        main()
    return stop.value.code


def assert_same(out, local):
    """Two outputs have the same rows but for the reasons of bad ones; returns those of the first."""
    pairs = list(zip(open_table(out).rows(), open_table(local).rows(), strict=True))
    for row, own in pairs:
        assert [*row] == [*own]
        assert (row["error"] is None) == (own["error"] is None)
        for name, value in own.items():
            if name.startswith("probability_") and value is not None:
                assert row[name] == pytest.approx(value, abs=1e-5)
            elif name != "error":
                assert row[name] == value
    return [row["error"] for row, _ in pairs if row["error"] is not None]


@pytest.fixture(scope="module")
def local(folder):
    """The output of a local run."""
    os.chdir(folder)
    assert predict("rows.jsonl", "--prompt", "reviews", "--out", "local.jsonl") == 0
    return folder / "local.jsonl"


def test_the_output_is_that_of_a_local_run(folder, local, url, capsys):
    assert predict("rows.jsonl", "--prompt", "reviews@live", "--url", url, "--out", "served.jsonl") == 0
    reasons = assert_same(folder / "served.jsonl", local)
    fits = "reviews@1 takes the fields text; "
    assert reasons == [
        f"{fits}one of them does not fit",
        f"{fits}missing: text",
        "rows.jsonl, line 262: not JSON: Expecting value at column 9",
        "rows.jsonl, line 263: expected a JSON object, found '[1]'",
        f"{fits}one of them does not fit",
    ]
    captured = capsys.readouterr()
    assert "295 rows labelled: positive " in captured.out
    assert "warning: 5 of 300 rows could not be scored and have no label" in captured.err
    assert "1 of 300 rows was too long and lost something" in captured.err
    assert not (folder / "served.jsonl.part").exists()


def test_labels_that_are_numbers_and_choices_of_the_rows(folder, url):
    for prompt, rows in (("stars", "few.jsonl"), ("choices", "questions.jsonl")):
        assert predict(rows, "--prompt", prompt, "--out", f"{prompt}-local.jsonl") == 0
        assert predict(rows, "--prompt", prompt, "--url", url, "--out", f"{prompt}-served.jsonl") == 0
        assert_same(folder / f"{prompt}-served.jsonl", folder / f"{prompt}-local.jsonl")


def test_a_table_in_the_terminal_is_the_same(folder, url, capsys):
    (folder / "few.csv").write_text("review,x\na delight,1\ndull,2\n", encoding="utf-8")
    printed = []
    for options in ([], ["--url", url]):
        assert predict("few.csv", "--prompt", "reviews", "--text-column", "review", *options) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert "a delight" in printed[0]


def test_a_service_that_ends_in_the_middle_loses_no_window(folder, local, serving, capsys):
    url, stop = serving()
    with around_windows(after=stop):
        assert predict("rows.jsonl", "--prompt", "reviews", "--url", url, "--out", "stopped.jsonl") == 2
    error = capsys.readouterr().err
    assert "interrupted: 256 rows are saved; run the same command again to resume" in error
    assert f"error: reviews@1, rows 256 to 299: cannot connect to {url}" in error
    assert not (folder / "stopped.jsonl").exists()
    url, stop = serving()
    assert predict("rows.jsonl", "--prompt", "reviews", "--url", url, "--out", "stopped.jsonl") == 0
    stop()
    assert "resuming: 256 of 300 rows are done already" in capsys.readouterr().err
    assert_same(folder / "stopped.jsonl", local)


def test_a_run_stays_with_its_version(folder, tmp_path, capsys):
    """An alias that moves while the rows are scored, or between two runs, mixes no versions."""
    shutil.copytree(folder / "prompts", tmp_path / "prompts")
    registry, backbone = Registry(tmp_path / "prompts"), load_backbone("starter:bert-tiny")
    other = Prompt(
        Template("<text> <mask>!"), Verbalizer({"positive": "good", "消极": "bad"}), backbone.name, backbone.fingerprint
    )
    append, versions = ResumableOutput.append, []
    arguments = ["rows.jsonl", "--prompt", "reviews", "--out", "moved.jsonl"]

    def append_and_promote(self, window):
        append(self, window)
        if not versions:
            versions.append(registry.promote(str(registry.add(other, "reviews"))))
            wait_until(lambda: "reviews@1" not in service.catalogue.versions)

    with listening(registry, backbone) as (service, port), pytest.MonkeyPatch.context() as patch:
        arguments += ["--url", f"http://127.0.0.1:{port}"]
        patch.setattr(ResumableOutput, "append", append_and_promote)
        assert predict(*arguments) == 2
        assert "reviews@1, row 256: the service no longer has the version" in capsys.readouterr().err
        assert predict(*arguments) == 2
        assert "moved.jsonl.part keeps the rows of a run with another prompt" in capsys.readouterr().err


def test_the_service_gets_the_fields_of_the_template_alone(folder):
    described = {
        "prompt_id": "reviews",
        "aliases": {"live": 1},
        "versions": [
            {"version": 1, "kind": "prompt", "labels": ["a", "b"], "several_labels": False, "fields": ["text"],
             "choices": None, "template": "<text> <mask>", "sha256": "0" * 64},
        ],
        "faults": [],
    }  # fmt: skip
    busy = 503, {"error": "the service is shutting down", "code": "stopping"}, {"Retry-After": "0"}

    def answer(request):
        one = {
            "label": "a",
            "probabilities": {"b": 0.25, "a": 0.75},
            "prompt_id": "reviews",
            "version": 1,
            "tokens": 5,
            "cut": {},
        }
        return 200, {"rows": [one] * len(request[2]["rows"])}

    with pytest.MonkeyPatch.context() as patch, replying((200, described), busy, answer) as (url, requests):
        patch.setenv("SOFTCLOZE_TOKEN", "t0ken")
        assert predict("rows.jsonl", "--prompt", "reviews", "--url", url, "--out", "fields.jsonl") == 0
    sent = json.dumps([body for _, _, body in requests])
    assert "s3cret" not in sent
    assert SENTENCES[0] in sent
    assert {headers["Authorization"] for _, headers, _ in requests} == {"Bearer t0ken"}
    first = next(iter(open_table(folder / "fields.jsonl").rows()))
    assert (first["probability_a"], first["probability_b"]) == (0.75, 0.25)


def test_rows_that_waited_too_long_stop_the_run_and_are_no_bad_rows(folder, url, monkeypatch, capsys):
    late = 504, {"error": "the rows could not be scored in time", "code": "deadline"}
    with replying((200, describe(url)), late) as (slow, _):
        assert predict("rows.jsonl", "--prompt", "reviews", "--url", slow, "--out", "late.jsonl") == 2
    error = capsys.readouterr().err
    assert "0 rows are saved" in error
    assert "reviews@1, row 0: the service did not answer the row in time" in error


def describe(url):
    from softcloze.client import Client

    with Client(url) as client:
        return client.prompt("reviews")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--prompt", "nothing"], "nothing: there is no such prompt"),
        (["--prompt", "reviews@canary"], "serves no reviews@canary; it has 'reviews@live', 'reviews@1'"),
        (["--prompt", "reviews@2"], "serves no reviews@2"),
        (["--prompt", "reviews", "--model", "starter:bert-tiny"], "leave out --model, --encoder and --compile"),
        (["--prompt", "reviews", "--compile"], "leave out --model, --encoder and --compile"),
        (["--prompt", ""], "has to be the name of a prompt"),
        (["--prompt", "reviews", "--token-file", "nowhere"], "cannot read the token in nowhere"),
        (["--prompt", "choices"], "has no column 'choices'"),
    ],
)
def test_mistakes_are_reported_before_a_row_is_sent(options, message, url, capsys):
    assert predict("rows.jsonl", "--url", url, *options) == 2
    assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
def test_no_torch_is_imported(folder, url):
    code = """
import sys
from softcloze.cli import main
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        assert name.split(".")[0] not in {"torch", "transformers", "sklearn"}, f"{name} is imported"
sys.meta_path.insert(0, NoTorch())
main()
"""
    arguments = ["predict", "questions.jsonl", "--prompt", "choices", "--url", url]
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=folder, capture_output=True, encoding="utf-8")
    assert (done.returncode, "3 rows labelled" in done.stdout) == (0, True), done.stderr


@pytest.mark.slow
def test_a_killed_service_and_a_killed_command(tmp_path, capsys):
    """As `kill -9` ends them; the same command finishes the run."""
    command, port = command_of_bert_tiny(tmp_path)
    lines = [json.dumps({"text": f"{SENTENCES[i % 4]} {i}"}) for i in range(5000)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    out, journal = tmp_path / "out.jsonl", tmp_path / "out.jsonl.part"
    rows = str(tmp_path / "rows.jsonl")
    arguments = [rows, "--prompt", "reviews", "--out", str(out), "--url", f"http://127.0.0.1:{port}"]

    def windows():
        return journal.read_bytes().count(b"\n") if journal.exists() else 0

    def killed(process):
        """Kill a process after two more windows; return the exit code and the messages of the command."""
        before = windows()
        wait_until(lambda: windows() > before + 2 or predicting.poll() is not None)
        process.kill()
        process.wait()
        _, messages = predicting.communicate(timeout=120)
        return predicting.returncode, messages

    def started(*words):
        return subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, encoding="utf-8")

    for kills_service in (True, False):
        with (tmp_path / "log").open("w") as log, subprocess.Popen(command, stderr=log) as service:
            wait_until(lambda process=service: process.poll() is not None or is_ready(port))
            predicting = started(sys.executable, "-m", "softcloze", "predict", *arguments)
            code, messages = killed(service if kills_service else predicting)
            assert (code == 2) == kills_service
            assert ("rows are saved; run the same command again to resume" in messages) == kills_service
            if not kills_service:
                assert predict(*arguments) == 0
            service.kill()
    assert "rows are done already" in capsys.readouterr().err
    version = tmp_path / "prompts" / "reviews" / "versions" / "1"
    assert predict(rows, "--prompt", str(version), "--out", str(tmp_path / "local.jsonl")) == 0
    assert assert_same(out, tmp_path / "local.jsonl") == []
