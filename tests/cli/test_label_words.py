"""softcloze label-words: its output, its file and its errors, on a real model."""

import json
import tomllib
from typing import get_args

import pytest

from softcloze.cli.label_words import Ranking
from softcloze.label_words.candidates import RANKINGS
from softcloze.library import load_verbalizer

TEMPLATE = "<text> It was <mask>."


@pytest.fixture(scope="module")
def searched(run, reviews, tmp_path_factory):
    folder = tmp_path_factory.mktemp("searched")
    done = run(
        *("label-words", reviews, "--model", "starter:bert-tiny", "--template", TEMPLATE, "--words", "2"),
        *("--out", "mine/verbalizers/reviews/found.toml"),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_the_table_has_the_words_of_each_label(searched):
    folder, output = searched
    words = load_verbalizer("reviews/found", folder / "mine").words  # a card of the user's own library
    assert sorted(words) == ["negative", "positive"]
    for label, own in words.items():
        assert len(own) == 2
        assert any(line.split() == [label, f"{own[0]},", own[1]] for line in output.splitlines())
    assert output.endswith("saved in mine/verbalizers/reviews/found.toml\n")


def test_the_file_says_where_it_comes_from(searched):
    card = tomllib.loads((searched[0] / "mine/verbalizers/reviews/found.toml").read_text(encoding="utf-8"))
    assert card["source"] == "softcloze label-words: petal on 24 rows of reviews.csv, starter:bert-tiny"
    assert card["description"] == "Found for the template <text> It was <mask>."


def test_fit_takes_the_file(run, searched, reviews):
    folder, _ = searched
    done = run(
        *("fit", reviews, "--model", "starter:bert-tiny", "--template", TEMPLATE),
        *("--verbalizer", "mine/verbalizers/reviews/found.toml", "--out", "prompt"),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    card = json.loads((folder / "prompt" / "prompt.json").read_text(encoding="utf-8"))
    assert dict(card["verbalizer"]["words"]) == load_verbalizer("reviews/found", folder / "mine").words


@pytest.mark.parametrize(
    "options, message",
    [
        (["--template", TEMPLATE, "--out", "words.json"], "error: --out writes a .toml file, found words.json\n"),
        (["--template", "<soft*2> <text> It was <mask>."], "error: the soft slots of '<soft*2> <text> It was <mask>.'"),
        (["--template", TEMPLATE, "--shots", "40"], "error: 40 rows of each class are wanted"),
    ],
)
def test_mistakes(run, reviews, tmp_path, options, message):
    done = run("label-words", reviews, "--model", "starter:bert-tiny", *options, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(message)


def test_the_command_offers_every_method():
    assert get_args(Ranking) == tuple(RANKINGS)
