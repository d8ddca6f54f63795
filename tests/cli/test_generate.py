"""Prompts that write on the command line: fit, generate and evaluate, and the ways to get them wrong."""

import csv
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet
import pytest
import torch
from support import models
from support.command_line import interrupted_after_a_window, run_here

from softcloze import PromptClassifier, PromptGenerator
from softcloze.analysis import delete_vectors, inspect_soft
from softcloze.cli.evaluate_generator import Metric
from softcloze.cli.options import EpochsOption, LearningRateOption
from softcloze.data.splits import is_held_out
from softcloze.errors import ParameterError
from softcloze.experiments import compare_generation, evaluate_draws, evaluate_generation
from softcloze.experiments.generation import GENERATION_METRICS
from softcloze.experiments.grid import PeakMemory
from softcloze.generation import Writer
from softcloze.prompt.streaming import WRITING_WINDOW
from softcloze.training import checkpoint

pytestmark = pytest.mark.filterwarnings("ignore:.*training loss did not fall", "ignore:.*holds the progress of another")

TEMPLATE = r"<text><soft*3> so: <answer max=6>\n"
FIT = ["fit", "pairs.csv", "--answer-column", "answer", "--template", TEMPLATE, "--model", "model", "--epochs", "2"]
ROWS = 2 * WRITING_WINDOW + 10
BAD = {3: '{"text": null}', WRITING_WINDOW + 1: "[1]", ROWS - 1: '{"txet": "oops"}'}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, pairs, a prompt that `fit` trained on them and one for labels, and rows of which some are bad."""
    folder = tmp_path_factory.mktemp("generate")
    models.model("gpt2").save_pretrained(folder / "model")
    models.tokenizer("gpt2").save_pretrained(folder / "model")
    with (folder / "pairs.csv").open("w", encoding="utf-8", newline="") as file:
        pairs = [["text", "answer"], *([text, "a good film" if "good" in text else "bad"] for text in models.SENTENCES)]
        csv.writer(file).writerows(pairs)
    lines = [{"text": models.SENTENCES[i % len(models.SENTENCES)], "id": i} for i in range(ROWS)]
    written = [BAD.get(i, json.dumps(line)) for i, line in enumerate(lines)]
    (folder / "rows.jsonl").write_text("\n".join(written), encoding="utf-8")
    words = {"good": "good", "bad": "bad"}
    PromptClassifier(str(folder / "model"), "<text> It was <mask>", words).save(folder / "labels")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run_here(*FIT, "--out", "prompt") == 0
        assert run_here("generate", "rows.jsonl", "--prompt", "prompt", "--out", "whole.jsonl") == 0
    return folder


@pytest.fixture(autouse=True)
def in_folder(monkeypatch, folder):
    monkeypatch.chdir(folder)


def read_pairs():
    with open("pairs.csv", encoding="utf-8", newline="") as file:  # noqa: PTH123
        return zip(*((row["text"], row["answer"]) for row in csv.DictReader(file)), strict=True)


def read_lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_fit_saves_what_the_estimator_learns(folder):
    saved = PromptGenerator.load(folder / "prompt")
    fitted = PromptGenerator("model", TEMPLATE.replace(r"\n", "\n"), epochs=2, random_state=0).fit(*read_pairs())
    assert torch.equal(saved.prompt_.vectors["#1"], fitted.prompt_.vectors["#1"])
    assert saved.prompt_.template == fitted.prompt_.template
    assert saved.history_[-1]["loss"] == fitted.history_[-1]["loss"]
    assert not list(folder.glob("*.part"))


def test_an_interrupted_fit_resumes(folder, monkeypatch, capsys):
    monkeypatch.setattr(checkpoint, "SECONDS", 0)
    take, calls = torch.optim.AdamW.step, []

    def interrupted(self, *arguments):
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return take(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", interrupted)
        assert run_here(*FIT, "--out", "again") != 0
    assert "interrupted: the progress is kept in again.part; run the same command again" in capsys.readouterr().err
    assert run_here(*FIT, "--out", "again") == 0
    out, err = capsys.readouterr()
    assert "training on 24 rows: 12 steps, 6 in each epoch, resumed after step 7\n" in err
    assert out.startswith("training loss ") and out.endswith(
        " nats per token of the answers on 24 rows; saved in again\n"
    )
    vectors = [PromptGenerator.load(name).prompt_.vectors["#1"] for name in ("prompt", "again")]
    assert torch.equal(*vectors)


def test_demonstrations_and_options_of_writing_are_saved(folder, capsys):
    template = r"<demos*2><text> so: <answer max=8>\n"
    options = ["--option", "num_beams=2", "--option", r"stop_strings=\t"]
    assert run_here(*FIT, "--template", template, *options, "--out", "shown") == 0
    assert capsys.readouterr().out == "demonstrations from 24 rows; saved in shown\n"
    generator = PromptGenerator.load(folder / "shown")
    assert generator.options == {"num_beams": 2, "stop_strings": "\t"}
    assert len(generator.prompt_.demonstrations.pool) == 2
    assert run_here("generate", "--prompt", "shown", "--text", "It was good.") == 0
    assert capsys.readouterr().out == generator.predict(["It was good."])[0] + "\n"


def test_a_text_for_each_row_and_a_reason_for_bad_ones(folder):
    rows = read_lines(folder / "whole.jsonl")
    assert [row.get("id") for row in rows] == [None if i in BAD else i for i in range(ROWS)]
    assert {i: row["error"] for i, row in enumerate(rows) if row["error"] is not None} == {
        3: "field 'text' is None: drop the row or give it a text, if only an empty one",
        WRITING_WINDOW + 1: f"rows.jsonl, line {WRITING_WINDOW + 2}: expected a JSON object, found '[1]'",
        ROWS - 1: "no field 'text': the example has 'txet'; did you mean 'txet'?",
    }
    good = [row for row in rows if row["error"] is None]
    expected = PromptGenerator.load(folder / "prompt").predict([row["text"] for row in good])
    assert [row["written"] for row in good] == expected.tolist()
    assert len({*expected}) > 3


def test_other_formats_hold_the_same(folder, capsys):
    texts = [row["written"] for row in read_lines(folder / "whole.jsonl")]
    for out in ("out.csv", "out.parquet"):
        assert run_here("generate", "rows.jsonl", "--prompt", "prompt", "--out", out) == 0
    said, warned = capsys.readouterr()
    assert said.splitlines()[-1] == f"{ROWS - 3} texts written to out.parquet"
    assert f"3 of {ROWS} rows could not be answered and have no text\n  line 4: field 'text'" in warned
    table = pyarrow.parquet.read_table(folder / "out.parquet").to_pydict()
    assert table["written"] == texts
    with (folder / "out.csv").open(encoding="utf-8", newline="") as file:
        assert [row["written"] for row in csv.DictReader(file)] == [text or "" for text in texts]


@pytest.mark.parametrize("options", [[], ["--option", "do_sample=true", "--option", "top_k=5", "--seed", "7"]])
def test_interrupted_in_the_middle_of_a_window_and_resumed(options, folder, monkeypatch, capsys):
    """A window of long rows takes many batches; none that ended is run again, and the others are the same."""
    arguments = ["generate", "rows.jsonl", "--prompt", "prompt", *options]
    monkeypatch.setattr("softcloze.generation.writer.MAX_BATCH_TOKENS", 300)
    if options:
        assert run_here(*arguments, "--out", "whole-drawn.jsonl") == 0
    run, batches = Writer._batch, []

    def counted(self, batch, *rest):
        if len(batches) == 5:
            batches.append(0)
            raise KeyboardInterrupt
        batches.append(len(batch))
        return run(self, batch, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Writer, "_batch", counted)
        assert run_here(*arguments, "--out", "part.jsonl") != 0
    done = sum(batches) + 1  # of a bad row
    assert WRITING_WINDOW < done < 2 * WRITING_WINDOW
    assert f"interrupted: {done} rows are saved; run the same command again" in capsys.readouterr().err
    assert run_here(*arguments, "--option", "max_new_tokens=2", "--out", "part.jsonl") == 2
    assert "keeps the rows of a run with another --option; --restart discards" in capsys.readouterr().err
    monkeypatch.setattr(
        Writer, "_batch", lambda self, batch, *rest: batches.append(len(batch)) or run(self, batch, *rest)
    )
    assert run_here(*arguments, "--out", "part.jsonl") == 0
    assert f"resuming: {done} of {ROWS} rows are done already" in capsys.readouterr().err
    assert sum(batches) == ROWS - len(BAD)
    whole = folder / ("whole-drawn.jsonl" if options else "whole.jsonl")
    assert (folder / "part.jsonl").read_bytes() == whole.read_bytes()
    assert bool(options) == (whole.read_bytes() != (folder / "whole.jsonl").read_bytes())


def test_joined_shards_are_the_output_of_one_run_to_the_byte(folder, capsys, monkeypatch):
    drawn = ["--option", "do_sample=true", "--option", "top_k=5", "--seed", "3"]
    command = ["generate", "rows.jsonl", "--prompt", "prompt", *drawn, "--out"]
    assert run_here(*command, "all.jsonl") == 0
    with interrupted_after_a_window():
        assert run_here(*command, "out.jsonl", "--shard", "2/2") != 0
    assert run_here(*command, "out.jsonl", "--shard", "1/2") == 0
    assert run_here("join", "rows.jsonl", "--out", "out.jsonl") == 2
    unfinished = f"unfinished: out.jsonl.2-of-2.part has {WRITING_WINDOW} of {ROWS - WRITING_WINDOW} rows"
    assert unfinished in capsys.readouterr().err
    assert run_here(*command, "out.jsonl", "--shard", "2/2") == 0
    said = capsys.readouterr().out
    assert said.endswith(
        " texts written; kept in out.jsonl.2-of-2.part for softcloze join, when all 2 shards are done\n"
    )
    monkeypatch.setattr("softcloze.cli.saved.open_backbone", None)
    assert run_here(*command, "out.jsonl", "--shard", "2/2") == 0  # it is finished
    assert run_here("join", "rows.jsonl", "--out", "out.jsonl") == 0
    said, warned = capsys.readouterr()
    assert said.endswith(f"{ROWS - 3} texts written to out.jsonl from 2 shards\n")
    assert f"3 of {ROWS} rows could not be answered and have no text\n  line 4: field 'text'" in warned
    assert (folder / "out.jsonl").read_bytes() == (folder / "all.jsonl").read_bytes()


@pytest.mark.slow
def test_killed_at_a_random_moment(folder):
    """As `kill -9` does it, which no program can catch."""
    journal = folder / "killed.jsonl.part"
    arguments = ["generate", "rows.jsonl", "--prompt", "prompt", "--out", "killed.jsonl"]
    with subprocess.Popen([sys.executable, "-c", "from softcloze.cli import main; main()", *arguments]) as process:
        deadline = time.monotonic() + 200
        while process.poll() is None and time.monotonic() < deadline:
            if journal.exists() and journal.read_bytes().count(b"\n") > 1:
                break
            time.sleep(0.005)
        time.sleep(random.random() * 0.05)  # where it dies must make no difference: any moment will do
        process.kill()
    assert run_here(*arguments) == 0
    assert (folder / "killed.jsonl").read_bytes() == (folder / "whole.jsonl").read_bytes()
    assert not journal.exists()


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows(folder):
    """Rows of 10 KB: all of them would take 20 MB."""
    peaks = []
    for count in (300, 300, 2000):  # the first run loads what stays
        lines = (json.dumps({"text": "A good film.", "id": i, "note": f"{i} " * 2000}) for i in range(count))
        (folder / "long.jsonl").write_text("\n".join(lines), encoding="utf-8")
        options = ["--option", "max_new_tokens=1", "--restart"]
        with PeakMemory() as memory:
            assert run_here("generate", "long.jsonl", "--prompt", "prompt", "--out", "long.csv", *options) == 0
        peaks.append(memory.peak)
    assert peaks[2] - peaks[1] < 8e6


def test_a_single_text_is_streamed(folder, capsys):
    generator = PromptGenerator.load(folder / "prompt")
    for options, changes in ([], {}), (["--option", "max_new_tokens=2"], {"max_new_tokens": 2}):
        assert run_here("generate", "--prompt", "prompt", "--text", "这部电影很好", *options) == 0
        assert capsys.readouterr().out == generator.predict(["这部电影很好"], **changes)[0] + "\n"


def test_evaluate_measures_as_in_python(folder, capsys):
    metrics = ["chrf", "exact_match", "perplexity"]
    chosen = [word for metric in metrics for word in ("--metric", metric)]
    assert run_here("evaluate", "pairs.csv", "--prompt", "prompt", *chosen, "--report", "page.html") == 0
    texts, answers = read_pairs()
    expected = evaluate_generation(PromptGenerator.load(folder / "prompt"), texts, answers, metrics)
    assert capsys.readouterr().out.split() == str(expected).split()
    page = (folder / "page.html").read_text(encoding="utf-8")
    assert all(text in page for text in expected.predictions[:10] if text.isascii() and text.isprintable())


def test_evaluate_takes_several_right_answers_and_leaves_bad_rows_out(folder, capsys):
    lines = [{"text": "It was good.", "right": ["a", "b"]}, {"text": None, "right": "a"}, {"text": "好", "right": ""}]
    (folder / "right.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    arguments = ["evaluate", "right.jsonl", "--prompt", "prompt", "--answer-column", "right", "--metric", "chrf"]
    assert run_here(*arguments) == 0
    out, err = capsys.readouterr()
    assert "2 rows; 95% interval" in out
    assert "warning: 1 of 3 rows could not be answered and are left out\n  line 2: field 'text' is None" in err


def test_the_help_states_the_defaults_of_the_estimators():
    for option, name in ((EpochsOption, "epochs"), (LearningRateOption, "learning_rate")):
        defaults = [getattr(estimator, name) for estimator in (PromptClassifier, PromptGenerator)]
        assert "by default {}, or {} ".format(*defaults) in option.__metadata__[0].help


def test_metrics_are_those_of_the_registry():
    assert [*map(str, Metric)] == [*GENERATION_METRICS]


COMPARE = ["compare", "--data", "many.jsonl", "--answer-column", "answer", "--model", "model", "--metric", "chrf"]
HARD, SOFT = r"<text> so: <answer max=4>\n", r"<text><soft*2> so: <answer max=4>\n"


@pytest.fixture
def many(folder):
    """Pairs for a comparison, one of them twice."""
    rows = [{"text": f"Film {i % 40} was good.", "answer": "a good film"} for i in range(41)]
    (folder / "many.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return rows[:40]


def test_compare_evaluates_on_rows_that_no_draw_has(folder, many, monkeypatch, capsys):
    (folder / "methods.toml").write_text(
        '["behind"]\ntemplate = "<text> so: <soft*2><answer max=4>\\n"\nepochs = 1\ntraining = {target_loss = 9.9}\n',
        encoding="utf-8",
    )
    options = [
        *("--shots", "4,8", "--seeds", "2", "--epochs", "1", "--folder", "kept"),
        *("--methods", "methods.toml", "--report", "compared.html"),
    ]
    assert run_here(*COMPARE, "--hard", HARD, "--soft", SOFT, *options) == 0
    out, err = capsys.readouterr()
    test = [row for row in many if is_held_out(row["text"])]
    train = [row for row in many if not is_held_out(row["text"])]
    assert f"{len(test)} held-out rows, and {len(train)} to draw 4, 8 from\n" in err
    pairs = [[row[name] for row in rows] for rows in (train, test) for name in ("text", "answer")]
    hard, soft = (PromptGenerator("model", text.replace(r"\n", "\n"), epochs=1) for text in (HARD, SOFT))
    expected = compare_generation(
        {
            "hard": evaluate_generation(hard, *pairs[2:], ["chrf"]),
            **{
                f"soft, {shots} pairs": evaluate_draws(soft, *pairs, ["chrf"], shots=shots, seeds=2) for shots in (4, 8)
            },
        }
    )
    rows = [line.split() for line in out.splitlines()]
    for line in str(expected).splitlines():
        name, *values = line.replace(", ", ",").replace("4 pairs", "").replace("8 pairs", "").split() or [""]
        if name in ("hard", "soft,"):
            assert values in [words[-len(values) :] for words in rows], line
    assert "behind, 4 pairs" in out
    page = (folder / "compared.html").read_text(encoding="utf-8")
    assert "behind, 8 pairs" in page and test[0]["text"] in page

    monkeypatch.setattr(PromptGenerator, "fit", None)  # all draws are in the folder
    monkeypatch.setattr(PromptGenerator, "predict", None)
    assert run_here(*COMPARE, "--hard", HARD, "--soft", SOFT, *options) == 0
    assert capsys.readouterr().out == out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to compare: give templates with --hard and --soft, or --methods"),
        (["--hard", "<text> <mask>"], "a <mask> takes label words, for PromptClassifier"),
        (["--soft", SOFT, "--shots", "99"], "many.jsonl has 40 different rows, of which"),
        (["--soft", SOFT, "--shots", "all"], "--shots all: with --answer-column they are numbers of pairs above 0"),
        (["--soft", SOFT, "--baseline", "tf-idf"], "compares prompts that write, and --baseline is for labels"),
        (["--soft", SOFT, "--epochs", "0"], "epochs=0, but it has to be an integer of at least 1"),
        (["--methods", "wrong.toml"], "wrong.toml, [a] has 'head', which PromptGenerator does not take"),
    ],
)
def test_mistakes_in_a_comparison(arguments, message, folder, many, monkeypatch, capsys):
    monkeypatch.setattr("softcloze.cli.compare_generators.open_backbone", None)
    (folder / "wrong.toml").write_text('[a]\ntemplate = "<text><answer>"\nhead = "words"\n', encoding="utf-8")
    assert run_here(*COMPARE, *arguments) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_the_vectors_and_demonstrations_are_shown(folder, capsys):
    assert run_here("inspect-prompt", "prompt") == 0
    generator = PromptGenerator.load(folder / "prompt")
    assert capsys.readouterr().out.startswith("3 vectors; lengths and distances in lengths of a typical word")
    assert [vector.start for vector in inspect_soft(generator).vectors] == ["s", "o", ":"]
    with pytest.raises(ParameterError, match="PromptGenerator writes text and has no labels; inspect_soft shows"):
        delete_vectors(generator, ["a"], ["b"])
    template = "<demos*1><text> so: <answer max=6>\\n"
    assert run_here("inspect", template, "--text", "A film", "--examples", "pairs.csv", "--model", "model") == 0
    shown = capsys.readouterr().out
    assert "1 of 1 demonstrations" in shown and ("so: a good film↵" in shown or "so: bad↵" in shown)


MISTAKES = [
    (["fit", "--label-column", "answer"], "trains a prompt that writes, and --label-column is for prompts with labels"),
    (["fit", "--verbalizer", "sentiment/en"], "and --verbalizer is for prompts with labels; leave one of the two out"),
    (["fit", "--shots", "4"], "and --shots is for prompts with labels"),
    (["fit", "--auto"], "and --auto is for prompts with labels"),
    (["fit", "--template", "<text> It was <mask>"], "a <mask> takes label words, for PromptClassifier"),
    (
        ["fit", "--answer-column", "anwser"],
        "no column 'anwser'; it has 'text', 'answer'; did you mean 'answer'? (--answer-column",
    ),
    (["fit", "--option", "num_beam=2"], "--option num_beam is no option of writing; did you mean 'num_beams'?"),
    (["fit", "--option", "num_beams"], "--option takes NAME=VALUE, as in num_beams=4; found 'num_beams'"),
    (["fit", "--out", "labels"], "labels already exists and is not a saved generator"),
    (["generate", "--prompt", "labels"], "labels labels examples and writes no text; softcloze predict takes it"),
    (["generate", "--prompt", "nowhere"], "nowhere is not a saved prompt: there is no such folder"),
    (["generate", "--prompt", "model"], "model is not a saved prompt: it holds a model"),
    (["generate", "--text", "a"], "for the rows of a FILE, or for one example in --text or --field: give one"),
    (["generate", "--shard", "1/9"], "the 24 rows of the input make 1 window of 32, which stay together"),
    (["generate", "--text-column", "txt"], "pairs.csv has no column 'txt'"),
    (["generate", "--option", "top_k=5"], "'top_k' has an effect with do_sample=True alone; give that as well"),
    (["predict", "--prompt", "prompt"], "prompt writes text and has no labels; softcloze generate"),
    (
        ["evaluate", "--label-column", "answer"],
        "prompt writes text, and --label-column is for prompts of the other kind",
    ),
    (["evaluate", "--prompt", "labels", "--metric", "chrf"], "labels has labels, and --metric is for prompts of the"),
    (
        ["inspect-prompt", "--data", "pairs.csv"],
        "--data measures label scores, and prompt writes text; softcloze evaluate",
    ),
    (["evaluate", "--metric", "json_exact"], "pairs.csv, line 2: the reference 'a good film' is not a JSON object"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_mistakes_are_explained_before_a_model_is_loaded(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr("softcloze.cli.saved.open_backbone", None)
    monkeypatch.setattr("softcloze.cli.fit_generator.open_backbone", None)
    common = {
        "fit": [*FIT[1:], "--out", "wrong"],
        "generate": ["pairs.csv", "--prompt", "prompt", "--out", "wrong.csv"],
        "predict": ["pairs.csv"],
        "inspect-prompt": ["prompt"],
        "evaluate": ["pairs.csv", "--prompt", "prompt"],
    }
    name, *others = arguments
    assert run_here(name, *common[name], *others) == 2
    assert not Path("wrong.csv.part").exists()
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_template_with_an_answer_needs_the_column(capsys):
    assert run_here(*FIT[:2], *FIT[4:], "--out", "wrong") == 2
    assert "the template writes text at <answer>: name the column of the answers with" in capsys.readouterr().err
    assert run_here("fit", "pairs.csv", "--answer-column", "answer", "--out", "wrong") == 2
    assert "--answer-column needs a template with an <answer>: give one with --template" in capsys.readouterr().err


@pytest.mark.parametrize("value", [None, 5, ["a", 1]])
def test_an_answer_that_is_no_text_is_named_by_its_line(value, folder, capsys):
    (folder / "odd.jsonl").write_text(
        '{"text": "a", "answer": ""}\n' + json.dumps({"text": "b", "answer": value}), encoding="utf-8"
    )
    for command in (["fit", "odd.jsonl", *FIT[2:], "--out", "wrong"], ["evaluate", "odd.jsonl", "--prompt", "prompt"]):
        assert run_here(*command) == 2
        assert "odd.jsonl, line 2: the answer is " in capsys.readouterr().err
