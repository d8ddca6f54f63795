"""softcloze label in the terminal: from a file without labels to labelled rows, a saved prompt and predictions."""

import csv
import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas
import pytest
from support import models
from support.command_line import run_here
from support.html_page import Page, assert_complete

from softcloze.labelling import Labeller

SCRIPT = Path(sys.executable).with_name("softcloze")
GOOD = ["a delight", "warm and wise", "[bold]loved[/bold] it", "a great film", "好看 的 电影", "so good\u200f, 'very'"]
BAD = ["a dull mess", "i hated it", "boring, slow", "awful acting", "太 无聊 了", "so bad,\nall of it"]
STYLE = re.compile(r"\x1b\[[\d;]*m")  # bold and dim stay without colours
LABELS = ["positive", "negative"]
LABEL = ["label", "films.csv", "--labels", "positive,negative", "--model", "model", "--terminal"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("label") / "model"
    models.model("bert").save_pretrained(folder)
    models.tokenizer("wordpiece").save_pretrained(folder)
    return folder


@pytest.fixture
def folder(tmp_path, monkeypatch, model):
    """A folder with a model and films of which the even ones are good; one row has no text."""
    (tmp_path / "model").symlink_to(model)
    rows = [(f"{text} {i}", i) for i, pair in enumerate([*zip(GOOD, BAD, strict=True)] * 2) for text in pair]
    with (tmp_path / "films.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "number"), *rows, ("", 99)])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def say(monkeypatch):
    """Type lines into a command, and return its exit code."""

    def run(*lines, command=LABEL):
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        return run_here(*command)

    return run


def answers(folder="films.labelling"):
    lines = (Path(folder) / "journal.jsonl").read_text(encoding="ascii").splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == "answer"]


def texts_shown(output):
    """The first line of each text that was shown."""
    return re.findall(r"labelled ·.*─\n  (.*)\n", output)


def labelled_texts(folder="films.labelling"):
    return pandas.read_csv(Path(folder) / "labelled.csv", dtype=str, keep_default_na=False)


def test_from_rows_without_labels_to_a_classifier(folder, say, capsys):
    assert say("1", "neg", "?", "2", "s", "u", "n", "a note, 注", "positive", "1", "e", "d", "q", "f") == 0
    out, err = capsys.readouterr()
    assert "1 of 25 rows have no text" in err and "line 28: the text is blank" in err
    assert "the model's guess: " in out and "Balanced accuracy about " in out and "→ taken back" in out
    assert "5 labelled rows: films.labelling/labelled.csv" in out
    table = labelled_texts()
    assert [*table.columns[:3]] == ["text", "number", "label"] and len(table) == 5
    assert sorted(table.label) == ["negative"] * 2 + ["positive"] * 3
    assert table.loc[table.label_note != "", ["label", "label_note"]].values.tolist() == [["positive", "a note, 注"]]
    assert {*table.chosen_as} == {"random"} and all(table.labelled_at.str.endswith("Z"))

    rest = pandas.read_csv(folder / "films.labelling/predicted.csv")
    assert len(rest) == 20 and not {*rest.text.dropna()} & {*table.text}
    assert rest.error.dropna().tolist() == ["the text is blank"]
    assert run_here("predict", "films.csv", "--prompt", "films.labelling/prompt", "--out", "all.csv") == 0
    by_command = pandas.read_csv("all.csv").merge(rest.dropna(subset="text"), on=["text", "number"])
    assert len(by_command) == 19 and (by_command.predicted_x == by_command.predicted_y).all()
    for label in LABELS:
        expected = by_command[f"probability_{label}_x"].tolist()
        assert by_command[f"probability_{label}_y"].tolist() == pytest.approx(expected, abs=1e-4)

    html = (folder / "films.labelling/labelling.html").read_text(encoding="utf-8")
    assert_complete(html)
    page = "\n".join(Page(html).lines)
    assert "Balanced accuracy about " in page and re.search(r"\| positive\s*\| 3", page)


def test_the_same_command_continues_with_the_same_rows(folder, say, capsys):
    assert say("1", "2", "1", "2") == 0
    together = texts_shown(capsys.readouterr().out)
    for lines in (["1", "2"], ["1", "2"]):
        assert say(*lines, command=[*LABEL, "--out", "two"]) == 0
    apart = texts_shown(capsys.readouterr().out)
    assert len(together) == 5 and together == apart[:3] + apart[4:]  # the text at the end of the first is shown again
    assert [event["labels"] for event in answers("two")] == [["positive"], ["negative"]] * 2
    assert say(command=["label", "films.csv", "--model", "model", "--terminal", "--out", "two"]) == 0
    assert "4 of 24 labelled" in capsys.readouterr().out


def test_people_with_different_names_are_shown_different_rows(folder, say, capsys):
    assert say(command=[*LABEL, "--name", "ann"]) == 0
    (first,) = texts_shown(capsys.readouterr().out)
    assert say("1", command=[*LABEL, "--name", "bo"]) == 0
    others = texts_shown(capsys.readouterr().out)
    assert first not in others and len({*others}) == 2
    assert say(command=[*LABEL, "--name", "ann"]) == 0
    assert texts_shown(capsys.readouterr().out) == [first]


def test_labels_in_the_file_are_taken(folder, say, capsys):
    table = pandas.read_csv("films.csv")
    table["mood"] = ["positive", "negative", "positive", "negative", *[None] * 21]
    table.to_json("films.jsonl", orient="records", lines=True, force_ascii=False)
    command = ["label", "films.jsonl", "--label-column", "mood", "--model", "model"]
    assert say("2", "u", "u", command=[*command, "--terminal"]) == 0
    captured = capsys.readouterr()
    assert "4 rows labelled already, in 'mood'" in captured.err and "no answer of yours" in captured.out
    assert run_here(*command, "--finish") == 0
    assert "4 rows labelled already" not in capsys.readouterr().err
    assert labelled_texts()[["mood", "chosen_as"]].values.tolist() == [[label, "given"] for label in LABELS * 2]
    table.loc[1, "mood"] = "negativ"
    table.to_json("films.jsonl", orient="records", lines=True, force_ascii=False)
    assert run_here(*command, "--labels", "positive,negative", "--finish") == 2
    assert "line 2: label 'negativ' is not one of" in capsys.readouterr().err


def test_several_labels_and_new_ones(folder, say, capsys):
    assert say("1,2", "+", "long, slow", "3", "-", "pos,long", "f", command=[*LABEL, "--multi-label"]) == 0
    given = [["positive", "negative"], ["long, slow"], [], ["positive", "long, slow"]]
    assert [event["labels"] for event in answers()] == given
    table = labelled_texts()
    assert sorted(table.label) == sorted(json.dumps(labels) for labels in given)
    assert "predicted" in pandas.read_csv("films.labelling/predicted.csv").columns


def test_without_two_labels_there_is_no_classifier_yet(folder, say, capsys):
    assert say("1", "f") == 0
    assert "no classifier yet: " in capsys.readouterr().out
    assert len(labelled_texts()) == 1 and not (folder / "films.labelling/prompt").exists()
    assert run_here(*LABEL[:-1], "--finish") == 2


def test_results_of_an_earlier_call_are_not_taken_for_new_ones(folder, say, capsys):
    results = Path("films.labelling")
    assert say("1", "2", "1", "2", "f") == 0
    old = (results / "predicted.csv").read_bytes()
    assert say("u", "u", "u", "f") == 0  # one label is left
    for shown in (capsys.readouterr().out, (results / "labelling.html").read_text("utf-8")):
        assert (
            "he folder still has prompt and predicted.csv of an earlier call, made from 4 labels; there are 1 now"
            in " ".join(shown.split())
        )
    assert (results / "predicted.csv").read_bytes() == old and len(labelled_texts()) == 1
    assert say("2", "1", "2", "f") == 0
    assert "earlier call" not in capsys.readouterr().out + (results / "labelling.html").read_text("utf-8")
    several = ["label", "films.csv", *LABEL[2:], "--multi-label", "--out", "several"]
    assert say("1", "2", "1,2", "f", "u", "u", "f", command=several) == 0
    assert "of an earlier call, made from 3 labels" in " ".join(capsys.readouterr().out.split())


def test_a_label_is_renamed(folder, say, capsys):
    table = pandas.read_csv("films.csv")
    table["label"] = ["negative", *[None] * 24]
    table.to_csv("films.csv", index=False)
    assert say("1", "2", "=", "neg", "so-so", "2", "=", "so", "positive", "u", "u", "1", "f") == 0
    captured = capsys.readouterr()
    assert "taken back: negative has its name again" in captured.out
    assert "are the only labels" in captured.out  # of the two, which would be one
    command = [*LABEL[:-1], "--rename", "negative=a=b", "--finish"]
    assert (
        run_here(*command) == run_here(*command) == 0
    )  # the labels of the command and of the file come by the new name
    assert capsys.readouterr().err.count("'negative' is now 'a=b': 2 rows labelled so") == 1
    assert sorted(labelled_texts().label) == ["a=b"] * 2 + ["positive"] * 2
    assert {*pandas.read_csv("films.labelling/predicted.csv").predicted.dropna()} <= {"a=b", "positive"}
    assert run_here(*LABEL, "--rename", "negative") == run_here(*LABEL, "--rename", "no=yes") == 2
    err = capsys.readouterr().err
    assert "expected OLD=NEW" in err and "there is no label 'no'" in err


def test_two_answers_with_several_labels_are_decided(folder, say, capsys):
    command = [*LABEL, "--multi-label"]
    assert say("u", command=[*command, "--name", "ann"]) == 0
    journal = folder / "films.labelling" / "journal.jsonl"
    shown = json.loads(journal.read_text().splitlines()[-1])
    answer = {"event": "answer", "index": shown["index"], "labels": ["negative"], "name": "bo", "time": 0}
    with journal.open("a") as file:
        for event in (answer, {**answer, "labels": ["positive"], "name": "ann"}):
            file.write(json.dumps(event) + "\n")
    assert say("d", "no such", "1,2", "d", command=[*command, "--name", "ann"]) == 0
    out = capsys.readouterr().out
    assert "labels positive (by ann)" in out and "bo answered negative: which one is right?" in out
    assert "1 text decided" in out and "nobody gave other labels than somebody else" in out
    assert answers()[-1] | {"time": 0} == answer | {"labels": LABELS, "name": "ann", "corrects": True}


def test_a_template_with_a_column_of_another_name(folder, say, capsys):
    """A long text is folded, and all of it is shown on request; the commands that come next name the column."""
    long = " ".join(f"word{i}" for i in range(500))
    rows = [f"{text} {long}\t{i}\n" for i, text in enumerate(GOOD[:2] + BAD[:3])]
    (folder / "notes.tsv").write_text("".join(["note\tid\n", *rows]), encoding="utf-8")
    command = ["label", "notes.tsv", *LABEL[2:], "--text-column", "note", "--template", "It was <mask>: <text>"]
    assert say("v", "1", "2", "1", "2", "f", command=command) == 0
    out = capsys.readouterr().out
    folded, whole = out.split("labelled ·")[1].split("v shows all", 1)
    assert "word40" in folded and "word499" not in folded and "word499" in whole
    assert "--prompt notes.labelling/prompt --text-column note --out" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--labels is missing, and the rows have none"),
        (["--labels", "one"], "expected two or more labels"),
        (["--labels", "a,A"], "'A'"),
        (["--labels", "a,b", "--text-column", "txt"], "has no column 'txt'"),
        (["--labels", "a,b", "--template", "no mask"], "mask"),
        (["--labels", "a,b", "--finish"], "leave out --terminal"),
    ],
)
def test_mistakes(folder, capsys, arguments, message):
    assert run_here("label", "films.csv", "--model", "model", "--terminal", *arguments) == 2
    assert message in capsys.readouterr().err


def test_keys_and_rows_cannot_both_be_standard_input(capsys):
    assert run_here("label", "-", "--format", "csv", "--labels", "a,b", "--terminal") == 2
    assert "save the rows in a file" in capsys.readouterr().err


def test_columns_that_would_be_overwritten(folder, capsys):
    (folder / "films.csv").write_text("text,labelled_by\na,b\nc,d\n", encoding="utf-8")
    assert run_here(*LABEL) == 2
    assert "a column 'labelled_by' already" in capsys.readouterr().err


class Terminal:
    """The command on a terminal of its own."""

    def __init__(self, *arguments):
        self.shown = ""
        pid, self.file = pty.fork()
        if pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # which the processes of the tests ignore
            environment = {"NO_COLOR": "1", "TERM": "xterm", "COLUMNS": "90"}
            os.execve(SCRIPT, [str(SCRIPT), *arguments], os.environ | environment)
        self.pid = pid

    def type(self, keys):
        os.write(self.file, keys.encode())

    def wait_for(self, text, seconds=60):
        """Read until a text is shown; what was shown up to its end is dropped."""
        end = time.monotonic() + seconds
        while text not in self.shown:
            assert select.select([self.file], [], [], max(end - time.monotonic(), 0))[0], self.shown
            self.shown = STYLE.sub("", self.shown + os.read(self.file, 4096).decode("utf-8", "replace"))
        self.shown = self.shown.split(text, 1)[1]

    def end(self):
        try:
            while os.read(self.file, 4096):
                pass
        except OSError:
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.mark.slow
def test_single_keys_in_a_terminal(folder):
    terminal = Terminal(*LABEL)
    terminal.wait_for("0 of 24 labelled")
    terminal.type("1")
    terminal.wait_for("1 of 24 labelled")
    terminal.type("\x1b[A")  # an arrow says nothing
    terminal.type("？")  # of a Chinese keyboard
    terminal.wait_for("the model's guess")
    terminal.type("+")
    terminal.wait_for("new label: ")
    terminal.type("还行\n")
    terminal.wait_for("还行 0")
    terminal.type("3u")
    terminal.wait_for("taken back")
    terminal.type("2/")
    terminal.wait_for("label (its beginning is enough): ")
    terminal.type("还\n")
    terminal.wait_for("3 of 24 labelled")
    terminal.type("\x03")
    terminal.wait_for("3 rows labelled; run the same command again")
    assert terminal.end() != 0
    assert [event["labels"] for event in answers()] == [["positive"], ["还行"], ["negative"], ["还行"]]


@pytest.mark.slow
def test_a_killed_process_loses_no_answer(folder):
    terminal = Terminal(*LABEL)
    for number, key in enumerate("1212"):
        terminal.wait_for(f"{number} of 24 labelled")
        terminal.type(key)
    terminal.wait_for("4 of 24 labelled")
    os.kill(terminal.pid, signal.SIGKILL)
    assert terminal.end() == -signal.SIGKILL
    done = subprocess.run([SCRIPT, *LABEL], input="2\n", capture_output=True, encoding="utf-8", timeout=120)
    assert "4 of 24 labelled" in done.stdout and "5 of 24 labelled" in done.stdout
    texts = [{"text": text} for text in pandas.read_csv(folder / "films.csv").text.dropna()]
    with Labeller("model", texts, None, folder="films.labelling") as again:
        assert again.counts() == {"positive": 2, "negative": 3}
