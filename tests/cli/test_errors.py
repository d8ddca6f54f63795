"""Every mistake gives one short message on the error stream and exit code 2."""

import sys

import pytest

from softcloze.cli import main
from softcloze.cli.input_files import open_table
from softcloze.errors import FileError

FIT = ["fit", "reviews.csv", "--template", "<text> It was <mask>", "--out", "prompt"]

MISTAKES = [
    (
        ["fit", "reviews.csv", "--template", "评论 <text*4> <mask>", "--out", "prompt"],
        "error: the field <text> takes no count\n  at line 1, column 5:\n    评论 <text*4> <mask>\n          ^^^^^^\n",
    ),
    (
        ["fit", "reviws.csv", *FIT[2:]],
        "error: there is no file reviws.csv; did you mean 'reviews.csv'?\n",
    ),
    (
        ["fit", "[/red].txt", *FIT[2:]],
        "error: there is no file [/red].txt\n",
    ),
    (["fit", "empty.csv", *FIT[2:]], "error: empty.csv is empty: it holds no rows\n"),
    (
        ["fit", "header.csv", *FIT[2:]],
        "error: header.csv is empty: it holds no rows after its header: 'text', 'label'\n",
    ),
    (["fit", "folder.csv", *FIT[2:]], "error: folder.csv is a folder, expected a file\n"),
    (
        ["fit", "reviews.csv", "--template", "<txt> It was <mask>", "--out", "prompt"],
        "error: reviews.csv has no column 'txt'; it has 'text', 'label'; did you mean 'text'? "
        "(--text-column names another)\n",
    ),
    (
        [*FIT, "--label-column", "labl"],
        "error: reviews.csv has no column 'labl'; it has 'text', 'label'; did you mean 'label'? "
        "(--label-column names another)\n",
    ),
    (
        ["fit", "reviews.csv", "--template", "<a> <b> <mask>", "--out", "prompt", "--text-column", "text"],
        "error: --text-column is for templates with one field; this one reads the columns 'a', 'b'\n",
    ),
    (
        [*FIT, "--shots", "13"],
        "error: 13 rows of each class are wanted, but 'negative' has 12, 'positive' has 12; ask for fewer",
    ),
    (
        [*FIT[:-1], "folder.csv"],
        "error: folder.csv already exists and is not a saved prompt; choose another path\n",
    ),
    (
        [*FIT, "--verbalizer", '{"good": 5, "bad": "x"}'],
        "error: --verbalizer: label 'good' has 5 among its words; expected text\n",
    ),
    (
        [*FIT, "--verbalizer", '{"a": "x", "a": "y"}'],
        "error: --verbalizer is not JSON: 'a' comes twice\n",
    ),
    ([*FIT, "--verbalizer", "words.json"], "error: cannot read words.json: No such file or directory\n"),
    ([*FIT, "--verbalizer", "a\0.json"], "error: 'a\\x00.json' is not the name of a file: it has a NUL character\n"),
    (
        ["fit", "reviews.csv", "--auto", "--out", "prompt", "--report", "./reviews.csv"],
        "error: reviews.csv is the file of the rows, which the page would replace; name another one\n",
    ),
    (
        ["compare", "--data", "reviews.csv", "--report", "reviews.csv"],
        "error: reviews.csv is the file of the rows, which the page would replace; name another one\n",
    ),
    (
        [*FIT, "--verbalizer", "sentiment/end"],
        "error: no 'sentiment/end' among the library's verbalizers: sentiment/en, sentiment/en-cloze, "
        "sentiment/en-knowledge, sentiment/zh, sentiment/zh-knowledge, sentiment/zh-recommend; "
        "did you mean 'sentiment/en'?\n",
    ),
    (
        ["predict", "reviews.csv", "--prompt", "[bold]nowhere"],
        "error: [bold]nowhere is not a saved prompt: there is no such folder\n",
    ),
    (
        ["predict", "reviews.csv", "--prompt", "prompt", "--out", "reviews.csv"],
        "error: --out reviews.csv is the input file; name another\n",
    ),
    (
        ["predict", "reviews.csv", "--prompt", "prompt", "--out", "out.xls"],
        "error: out.xls has an unknown ending '.xls'; expected .csv, .tsv, .jsonl, .ndjson, .parquet, and ",
    ),
    (
        [*FIT, "--class-weight", "balance"],
        "error: --class-weight is not JSON: ",
    ),
    (
        [*FIT, "--class-weight", '{"positive": 0}'],
        "error: --class-weight is '{\"positive\": 0}'; expected balanced, none, or JSON from labels to weights above 0",
    ),
    (
        [*FIT, "--class-weight", '{"positiv": 2}'],
        "error: --class-weight has 'positiv', and the labels are 'negative', 'positive'\n",
    ),
    (
        [*FIT, "--features", "mean"],
        "error: --features mean is for --head linear or words+linear, and the head is words\n",
    ),
    ([*FIT, "--weight-column", "wieght"], "error: reviews.csv has no column 'wieght'; it has "),
    (
        [*FIT, "--weight-column", "text"],
        "error: reviews.csv, line 2: weight ",
    ),
    # outputs that cannot be written: Nerogar/OneTrainer#168, ultralytics/ultralytics#14558
    ([*FIT[:-1], "reviews.csv/prompt"], "error: cannot write reviews.csv/prompt: {here}/reviews.csv is not a folder\n"),
    (
        ["compare", "--data", "reviews.csv", "--folder", "reviews.csv"],
        "error: cannot write reviews.csv/protocol.json: {here}/reviews.csv is not a folder\n",
    ),
    (
        ["compare", "--data", "reviews.csv", "--report", "reviews.csv/a.html"],
        "error: cannot write reviews.csv/a.html: {here}/reviews.csv is not a folder\n",
    ),
    (
        ["compare", "--data", "reviews.csv", "--report", "folder.csv"],
        "error: folder.csv is a folder; name a file to write\n",
    ),
    (
        ["label-words", "reviews.csv", "--template", "<text> <mask>", "--out", "reviews.csv/words.toml"],
        "error: cannot write reviews.csv/words.toml: {here}/reviews.csv is not a folder\n",
    ),
    (
        ["inspect", "<text> <mask>", "--html", "reviews.csv/a.html"],
        "error: cannot write reviews.csv/a.html: {here}/reviews.csv is not a folder\n",
    ),
    (
        ["compare", "--data", "starter:movie-review"],
        "error: unknown starter data set 'movie-review'; did you mean 'movie-reviews'?\n"
        "  known: movie-reviews, movie-stars, product-reviews, news-snippets, tweets, chinese-reviews, tweets-3, "
        "sms-spam, drug-reviews\n",
    ),
    (
        ["compare", "--data", "reviews.csv", "--hard", "<soft> <text> <mask>"],
        "error: '<soft> <text> <mask>' is given with --hard, but has soft slots: give it with --soft\n",
    ),
    (
        ["compare", "--data", "reviews.csv", "--baseline", "tf-idf", "--shots", "many"],
        "error: --shots 'many': expected a number of examples, a share such as 0.1, or all\n",
    ),
    (
        ["compare", "--data", "reviews.csv", "--baseline", "tf-idf", "--shots", "90"],
        "error: 90 rows of each class are wanted, but 'negative' has ",
    ),
    (
        ["compare", "--data", "small.csv", "--baseline", "tf-idf"],
        "error: small.csv is too small to hold out three in ten texts of every label; bring more rows\n",
    ),
    (
        ["compare", "--data", "one.csv", "--baseline", "tf-idf"],
        "error: one.csv has only the label 'good' in 'label'; rows of at least 2 are needed\n",
    ),
    (
        ["fit", "~nobody-of-this-name/a.csv", *FIT[2:]],
        "error: there is no ~nobody-of-this-name/a.csv: Could not determine home directory.\n",
    ),
    (
        ["compare", "--data", "reviews.csv", "--variants", "sentimnt/en"],
        "error: the library has no hard prompts with one field for sentimnt/en; it has ",
    ),
    (
        ["compare", "--data", "reviews.csv", "--methods", "methods.toml"],
        "error: methods.toml, [soft] has 'epoch', which PromptClassifier does not take; did you mean 'epochs'?\n",
    ),
    (
        ["compare", "--data", "reviews.csv", "--methods", "training.toml"],
        "error: training.toml, [soft], training has 'early_stop', which TrainingSettings does not take; did you mean "
        "'early_stopping'?\n",
    ),
    (
        ["compare", "--data", "reviews.csv", "--methods", "other.toml"],
        "error: other.toml, [a]: expected template = \"…\", or baseline = one of 'tf-idf', 'embeddings', "
        "'setfit', 'head', 'fine-tuning', 'lora'\n",
    ),
    (
        ["compare", "--data", "reviews.csv", "--methods", "encoder.toml"],
        "error: method 'a': encoder is 5; expected a name, a folder, a SentenceEncoder, or a transformers model and "
        "its tokenizer as a tuple\n",
    ),
    (
        ["compare", "--data", "reviews.csv", "--model", "starter:minilm-l6", "--hard", "<text> It was <mask>."],
        "error: 'starter:minilm-l6' is a sentence encoder: it turns texts into vectors and predicts no words, as a "
        "prompt needs\n",
    ),
    (
        ["compare", "--data", "reviews.csv", "--methods", "words.toml"],
        "error: words.toml, [a]: a verbalizer maps at least two labels to words, got 5\n",
    ),
    (["compare", "--data", "reviews.csv", "--methods", "reviews.csv"], "error: reviews.csv is not TOML: "),
    (
        ["inspect", "<a> and <b>: <mask>", "--text", "x"],
        "error: --text is for templates with one field; this one has 'a', 'b': give each with --field NAME=VALUE\n",
    ),
    (
        ["inspect", "<a> and <b>: <mask>", "--field", "a=1", "--field", "c=2"],
        "error: the template has no field 'c'; it has 'a', 'b'\n",
    ),
    (["inspect", "<a> <mask>", "--field", "a"], "error: --field takes NAME=VALUE, found 'a'\n"),
    (
        ["inspect", "<a> <mask>", "--model", "starter:bert-tiny"],
        "error: --model shows the tokens of an example: give one with --text TEXT or --field NAME=VALUE\n",
    ),
    (
        ["models", "--fetch", "bert-tny"],
        "error: unknown starter model or data set 'bert-tny'; did you mean 'bert-tiny'?\n",
    ),
]


@pytest.fixture
def folder(tmp_path, monkeypatch, reviews):
    (tmp_path / "reviews.csv").write_bytes(reviews.read_bytes())
    (tmp_path / "empty.csv").touch()
    (tmp_path / "header.csv").write_text("text,label\n")
    (tmp_path / "small.csv").write_text("text,label\na,good\nb,bad\n")
    (tmp_path / "one.csv").write_text("text,label\na,good\nb,good\n")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "folder.csv" / "notes.txt").touch()
    (tmp_path / "methods.toml").write_text('[soft]\ntemplate = "<soft> <text> <mask>"\nepoch = 3\n')
    (tmp_path / "training.toml").write_text(
        '[soft]\ntemplate = "<soft> <text> <mask>"\nepochs = 3\ntraining = { early_stop = true }\n'
    )
    (tmp_path / "words.toml").write_text('[a]\ntemplate = "<text> <mask>"\nverbalizer = 5\n')
    (tmp_path / "encoder.toml").write_text('[a]\nbaseline = "embeddings"\nencoder = 5\n')
    (tmp_path / "other.toml").write_text('[a]\nbaseline = "best"\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("args", "message"), MISTAKES, ids=[message[7:60] for _, message in MISTAKES])
def test_mistakes(args, message, folder, monkeypatch, capsys):
    before = sorted(folder.iterdir())
    monkeypatch.setattr(sys, "argv", ["softcloze", *args])
    with pytest.raises(SystemExit) as stop:
        main()
    out, err = capsys.readouterr()
    assert (stop.value.code, out) == (2, "")
    assert err.startswith(message.replace("{here}", str(folder)))
    assert sorted(folder.iterdir()) == before


USAGE = [
    (
        [*FIT, "--head", "wrds"],
        "'--head': 'wrds' is not one of 'words', 'warp', 'linear', 'words+linear', 'prototypes'.",
    ),
    (
        ["compare", "--baseline", "x"],
        "'--baseline': 'x' is not one of 'tf-idf', 'embeddings', 'setfit', 'head', 'fine-tuning', 'lora'.",
    ),
    (["compare", "--seeds", "0"], "'--seeds': Input should be greater than or equal to 1"),
]


@pytest.mark.parametrize(("args", "message"), USAGE, ids=[message[1:12] for _, message in USAGE])
def test_values_that_an_option_does_not_take(args, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["softcloze", *args])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert capsys.readouterr().err.endswith(f"Error: Invalid value for {message}\n")


def test_a_bug_keeps_its_traceback(monkeypatch, folder):
    monkeypatch.setattr("softcloze.cli.fit.open_table", lambda *_: 1 / 0)
    monkeypatch.setattr(sys, "argv", ["softcloze", *FIT])
    with pytest.raises(ZeroDivisionError):
        main()


DAMAGED = [
    ("a.csv", b"text,label\na,b,c\n", "a.csv, line 2: 3 values where the header names 2 columns"),
    ("a.csv", b'text,label\n"a,b\n', "a.csv, line 2: a quote opens here and is never closed; inside quotes"),
    ("a.csv", b"text,text\na,b\n", "a.csv: the column 'text' occurs twice in the header"),
    ("a.csv", "text\n很好\n".encode("gbk"), "a.csv is not UTF-8 text"),
    ("a.jsonl", b'{"text": "a"}\n{"text": \n', "a.jsonl, line 2: not JSON"),
    ("a.jsonl", b"[1, 2]\n", "a.jsonl, line 1: expected a JSON object, found '[1, 2]'"),
    ("a.jsonl", b"\n\n", "a.jsonl is empty: it holds no rows"),
    ("a.parquet", b"no parquet", "cannot read "),
]


@pytest.mark.parametrize(("name", "content", "message"), DAMAGED)
def test_damaged_files(name, content, message, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(FileError) as caught:
        [*open_table(path).rows()]
    assert message in str(caught.value) and str(path) in str(caught.value)


def test_damaged_rows_are_counted_and_told(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label\na,b\nc\n\nd,e,f\ng,h\n", encoding="utf-8")
    table = open_table(path)
    assert (table.columns, table.count) == (("text", "label"), 4)
    good, short, long, last = table.lines()
    assert (good, last) == ({"text": "a", "label": "b"}, {"text": "g", "label": "h"})
    assert str(short).startswith(f"{path}, line 3: 1 value where") and str(long).startswith(f"{path}, line 5: 3 ")


def test_csv_text_is_never_taken_for_something_else(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('\ufefftext,label\n007,NA\n"null, ""so""\nto say",2024-01-01\n\n,\n', encoding="utf-8")
    table = open_table(path)
    assert table.columns == ("text", "label")
    assert [*table.rows()] == [
        {"text": "007", "label": "NA"},
        {"text": 'null, "so"\nto say', "label": "2024-01-01"},
        {"text": "", "label": ""},
    ]


def test_json_lines_keep_their_values(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "2024-01-01"}\n{"text": 5, "more": [1]}\n', encoding="utf-8")
    table = open_table(path)
    assert table.columns == ("text", "more")
    assert [*table.rows()] == [{"text": "2024-01-01"}, {"text": 5, "more": [1]}]


def test_parquet_without_pyarrow_names_the_command(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    path.touch()
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(Exception, match=r"pip install 'softcloze\[files\]'"):
        open_table(path)


def test_several_processes_of_a_launcher_do_not_fit_alone(folder, monkeypatch, capsys):
    before = sorted(folder.iterdir())
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(sys, "argv", ["softcloze", *FIT, "--auto"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert "fit --auto runs in one process, and this is one of 2" in capsys.readouterr().err
    assert sorted(folder.iterdir()) == before
