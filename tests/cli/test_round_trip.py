"""The commands as users run them, on a real model."""

import json
import re
from typing import get_args

import pytest
from support.html_page import Page

from softcloze.calibration import CALIBRATIONS
from softcloze.cli.compare_methods import DESCRIPTIONS
from softcloze.cli.options import Baseline, Calibration, HeadName
from softcloze.heads import EXCLUSIVE

pytestmark = pytest.mark.filterwarnings("ignore")

TEMPLATE = "<soft*4> <text> It was <mask>."
WORDS = '{"positive": ["good", "great"], "negative": "bad"}'


@pytest.fixture(scope="module")
def fitted(run_script, reviews, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fitted")
    done = run_script(
        *("fit", reviews, "--model", "starter:bert-tiny", "--template", TEMPLATE, "--verbalizer", WORDS),
        *("--out", "prompt", "--epochs", "2", "--shots", "8"),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return folder, done


def test_fit_reports_epochs_and_where_it_saved(fitted):
    folder, done = fitted
    steps, *epochs = (line for line in done.stderr.splitlines() if "wins on content-free input" not in line)
    assert steps == "training on 16 rows: 8 steps, 4 in each epoch"
    assert [line.split("   ")[0] for line in epochs] == ["epoch 1 of 2", "epoch 2 of 2"]
    assert done.stdout.startswith("training accuracy ") and done.stdout.endswith("on 16 rows; saved in prompt\n")
    assert sorted(path.name for path in folder.iterdir()) == ["prompt"]
    assert sorted(path.name for path in (folder / "prompt").iterdir()) == ["prompt.json", "vectors.safetensors"]


def test_fit_warns_of_what_the_linter_and_content_free_input_say(run, reviews, tmp_path):
    """The checks that cost little: text that looks like a tag, and a label that wins whatever the text."""
    done = run(
        *("fit", reviews, "--model", "starter:bert-tiny", "--template", r"<text>\nA {great} one, it was <mask>."),
        *("--verbalizer", '{"positive": "good", "negative": "bad"}', "--out", tmp_path / "prompt", "--shots", "2"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    first, second = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert first == r"warning: '{great}' looks like a tag, but is text: write <great>, or \{great} to keep the text"
    assert second.startswith("warning: label 'positive' wins on content-free input with probability 0.")
    card = json.loads((tmp_path / "prompt" / "prompt.json").read_text(encoding="utf-8"))
    assert card["template"] == "<text>\nA {great} one, it was <mask>."  # a line end, as typed


def test_predict_shows_the_first_rows_with_the_users_brackets(run, fitted, reviews):
    folder, _ = fitted
    before = reviews.read_bytes()
    done = run("predict", reviews, "--prompt", "prompt", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "i loved it [bold]so[/bold] much, number 0" in done.stdout
    assert "awful acting [/] and bad music, number 0" in done.stdout
    assert "the first 10 of 24 rows; --out FILE writes all" in done.stdout
    assert "24 rows labelled: negative " in done.stdout
    assert reviews.read_bytes() == before


def test_bad_rows_are_named_and_all_others_scored(run, fitted):
    folder, _ = fitted
    texts = [{"text": "a great film", "n": 7}, {"text": None}, {"txet": "oops"}, {"text": "lone \ud83d and [/]"}]
    (folder / "mixed.jsonl").write_text("".join(json.dumps(row) + "\n" for row in texts), encoding="utf-8")
    done = run("predict", "mixed.jsonl", "--prompt", "prompt", "--out", "scored.jsonl", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        "warning: 2 of 4 rows could not be scored and have no label",
        "  line 2: field 'text' is None: drop the row or give it a text, if only an empty one",
        "  line 3: no field 'text': the example has 'txet'; did you mean 'txet'?",
    ]
    rows = [json.loads(line) for line in (folder / "scored.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["predicted"] is None for row in rows] == [False, True, True, False]
    assert [row["error"] is None for row in rows] == [True, False, False, True]
    assert rows[0]["n"] == 7 and rows[3]["text"] == "lone \ud83d and [/]"
    assert rows[0]["probability_negative"] + rows[0]["probability_positive"] == pytest.approx(1)


def test_parquet_in_and_out(run, fitted, tmp_path, monkeypatch):
    from datasets import Dataset, config

    folder, _ = fitted
    Dataset.from_dict({"review": ["a great film", None, "很好看"], "id": [1, 2, 3]}).to_parquet(folder / "in.parquet")
    monkeypatch.setattr(config, "HF_DATASETS_CACHE", tmp_path)
    done = run(
        *("predict", "in.parquet", "--prompt", "prompt", "--text-column", "review", "--out", "out.parquet"),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    assert "1 of 3 rows could not be scored" in done.stderr
    assert not list(tmp_path.rglob("*.arrow"))
    rows = Dataset.from_parquet(str(folder / "out.parquet"), keep_in_memory=True, cache_dir=str(folder / "c")).to_list()
    assert list(rows[0]) == ["review", "id", "predicted", "probability_negative", "probability_positive", "error"]
    assert [row["predicted"] is None for row in rows] == [False, True, False]


def test_evaluate_counts(run, fitted, reviews):
    folder, _ = fitted
    done = run("evaluate", reviews, "--prompt", "prompt", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "of 24 rows" in done.stdout
    assert "balanced accuracy" in done.stdout
    (error,) = re.findall(r"^calibration error  (0\.\d{3})   gap", done.stdout, re.MULTILINE)
    bins = re.findall(r"^ *0\.\d to \d\.\d +(\d\.\d+) +(\d\.\d+) +(\d+) *$", done.stdout, re.MULTILINE)
    assert sum(int(rows) for *_, rows in bins) == 24
    gaps = sum(int(rows) * abs(float(mean) - float(accuracy)) for mean, accuracy, rows in bins)
    assert gaps / 24 == pytest.approx(float(error), abs=0.0015)
    support = [line.split() for line in done.stdout.splitlines() if line.split()[:1] in (["negative"], ["positive"])]
    assert [row[-1] for row in support[:2]] == ["12", "12"]
    assert sum(int(count) for row in support[2:] for count in row[1:]) == 24


def test_evaluate_writes_its_numbers_and_curves_to_a_page(run, fitted, reviews, tmp_path):
    folder, _ = fitted
    done = run("evaluate", reviews, "--prompt", "prompt", "--report", tmp_path / "new" / "page.html", cwd=folder)
    assert done.returncode == 0 and done.stderr.startswith("the page is ")
    html = (tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    lines = [re.findall(r"[^|\s]+", line) for line in Page(html).lines]
    rows = [line.split() for line in done.stdout.splitlines() if re.search(r"\d$", line.strip())]
    assert len(rows) >= 6 and all(row in lines for row in rows)
    assert html.count("<svg") == 2 and "in the last of 2" in html  # epochs
    done = run("evaluate", reviews, "--prompt", "prompt", "--model", "nowhere", "--report", tmp_path, cwd=folder)
    assert done.returncode == 2 and done.stderr == f"error: {tmp_path} is a folder; name a file to write\n"


def test_chinese_inspect(run, tmp_path):
    done = run(
        *("inspect", "<soft*2> <text> 总之，很 <mask>", "--text", "这部电影很好看，[bold]我[/bold]喜欢。" * 3),
        *("--model", "starter:bert-tiny", "--max-length", "20"),
        cwd=tmp_path,
        env={"NO_COLOR": "1", "COLUMNS": "60"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("◆◆ 这部电影很好看，[bold]我[/bold]喜欢。")
    assert lines[1].startswith("[CLS] ◆ ◆ ") and lines[2].startswith(".     s s ")
    assert lines[-1] == "20 of 20 positions"
    assert lines[-2].startswith(". special: 2   s soft #1: 2   f field text: ")
    assert "x cut from field text: " in lines[-2]


def test_ascii_terminal_is_no_reason_to_fail(run, tmp_path):
    env = {"PYTHONIOENCODING": "ascii"}
    done = run("inspect", "<soft*2> <text> 很 <mask>", "--text", "好", cwd=tmp_path, env=env)
    assert (done.returncode, done.stdout, done.stderr) == (0, "?? ? ? <mask>\n", "")


def test_compare_prints_the_tables_and_goes_on_where_it_was(run, reviews, tmp_path):
    (tmp_path / "more.toml").write_text(
        f"""["four vectors"]
template = "{TEMPLATE}"
verbalizer = {{ positive = "great", negative = "bad" }}
epochs = 1
training = {{ average_last_epochs = 1 }}

[characters]
baseline = "tf-idf"
analyzer = "char"

[vectors]
baseline = "embeddings"
max_length = 32
""",
        encoding="utf-8",
    )
    command = (
        *(
            "compare",
            "--data",
            reviews,
            "--model",
            "starter:bert-tiny",
            "--verbalizer",
            WORDS,
            "--methods",
            "more.toml",
        ),
        *("--hard", "<text> It was <mask>.", "--calibration", "batch", "--baseline", "tf-idf"),
        *("--baseline", "embeddings"),
        *("--shots", "2", "--seeds", "2", "--folder", "cells"),
    )
    done = run(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    few, *progress = done.stderr.splitlines()
    assert few == "10 held-out rows: accuracies on them are exact to about 31 points"
    assert [line.split("; ")[-1] for line in progress][:3] == [
        "run 1 of 13: <text> It was <mask>.",
        "run 2 of 13: <text> It was <mask>., batch (2 shots, seed 0)",
        "run 3 of 13: <text> It was <mask>., batch (2 shots, seed 1)",
    ]
    assert all(
        name in done.stdout
        for name in ("It was <mask>., batch", "four vectors", "tf-idf", "characters", "vectors", "embeddings")
    )
    assert "standard deviation of 2 draws" in " ".join(done.stdout.split())
    assert "corrected for 6 comparisons" in " ".join(done.stdout.split())
    assert len(list((tmp_path / "cells").glob("*.safetensors"))) == 1 + 6 * 2
    assert run(*command, cwd=tmp_path).stdout == done.stdout  # to the second: nothing was run again


def test_fit_and_predict_tell_what_was_cut(run, reviews, tmp_path):
    done = run(
        *("fit", reviews, "--model", "starter:bert-tiny", "--template", TEMPLATE, "--verbalizer", WORDS),
        *("--out", "prompt", "--epochs", "1", "--shots", "2", "--max-length", "14"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(
        r"4 of 4 rows were too long and lost something \(\d+ tokens of 'text'\)", done.stderr.splitlines()[-1]
    )
    done = run("predict", reviews, "--prompt", "prompt", "--out", "scored.csv", cwd=tmp_path)
    assert re.fullmatch(r"\d+ of 24 rows were too long and lost something \(\d+ tokens of 'text'\)\n", done.stderr)


def test_a_calibrated_hard_prompt(run, reviews, tmp_path):
    done = run(
        *("fit", reviews, "--model", "starter:bert-tiny", "--template", "<text> It was <mask>.", "--verbalizer", WORDS),
        *("--out", "prompt", "--calibration", "contextual"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    card = json.loads((tmp_path / "prompt" / "prompt.json").read_text(encoding="utf-8"))
    assert card["calibration"]["method"] == "contextual"
    assert run("evaluate", reviews, "--prompt", "prompt", "--report", "page.html", cwd=tmp_path).returncode == 0
    assert (tmp_path / "page.html").read_text(encoding="utf-8").count("<svg") == 1  # no loss curve


def test_a_linear_head_without_slots(run, reviews, tmp_path):
    done = run(
        *("fit", reviews, "--model", "starter:bert-tiny", "--template", "<text> It was <mask>.", "--head", "linear"),
        *("--out", "prompt", "--class-weight", '{"positive": 2}'),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert re.match(r"linear layer of L2 strength \S+: log loss 0\.\d+ nats on rows left out", done.stderr)
    card = json.loads((tmp_path / "prompt" / "prompt.json").read_text(encoding="utf-8"))
    assert card["head"] == "linear" and card["training"]["class_weight"] == [["positive", 2]]
    assert run("evaluate", reviews, "--prompt", "prompt", cwd=tmp_path).returncode == 0
    inspected = run("inspect-prompt", "prompt", "--data", reviews, cwd=tmp_path)
    assert inspected.returncode == 0, inspected.stderr
    assert "mean size of the parts of each label's score over 24 examples" in " ".join(inspected.stdout.split())


def test_every_calibration_head_and_baseline_has_its_option():
    assert tuple(Calibration) == tuple(CALIBRATIONS)
    assert get_args(HeadName) == EXCLUSIVE
    assert tuple(Baseline) == tuple(DESCRIPTIONS)
