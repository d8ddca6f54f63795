"""softcloze inspect-prompt: a saved prompt from the command line, on a real model."""

import pytest
from support.html_page import Page

from softcloze import PromptClassifier, load_backbone
from softcloze.analysis import delete_vectors, field_effects, harden, inspect_soft

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # four texts teach little

TABLE = {"positive": "good", "negative": "bad"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    bert_tiny = load_backbone("starter:bert-tiny")  # in the precision that the command takes as well
    texts, labels = ["a delight", "dull", "warm and wise", "a mess"], ["positive", "negative"] * 2
    clf = PromptClassifier(bert_tiny, "<soft*3> It was <mask>. <text>", TABLE, epochs=1, random_state=0)
    clf.fit(texts, labels).save(folder / "prompt")
    PromptClassifier(bert_tiny, "<text> <mask>", TABLE).fit(texts, labels).save(folder / "hard")
    return folder, clf


def test_it_shows_what_the_functions_find(run, saved, reviews):
    folder, clf = saved
    lines = reviews.read_text(encoding="utf-8").splitlines()[1:]
    texts, labels = zip(*(line.strip('"').rsplit(",", 1) for line in lines), strict=True)
    texts = [text.strip('"') for text in texts]
    done = run("inspect-prompt", "prompt", "--data", reviews, "--words", "2", cwd=folder, env={"COLUMNS": "120"})
    assert (done.returncode, done.stderr) == (0, "")
    found = [inspect_soft(clf, 2), delete_vectors(clf, texts, labels), harden(clf, texts, labels)]
    assert [line.rstrip() for line in done.stdout.splitlines()] == "".join(f"{own}\n" for own in found).splitlines()


@pytest.mark.parametrize("width", [40, 80, 200])
def test_it_follows_the_width_of_the_terminal(run, saved, width):
    done = run("inspect-prompt", "prompt", cwd=saved[0], env={"COLUMNS": f"{width}"})
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= width
    for position in "123":
        assert any(line.split()[:1] == [position] for line in lines)
    assert ("not shown: nearest words by distance" in done.stdout) == (width < 200)


@pytest.fixture(scope="module")
def in_depth(tmp_path_factory):
    """A prompt whose slots enter at all layers, late, and as a network of the field, at layer 0 and late."""
    folder = tmp_path_factory.mktemp("in-depth") / "prompt"
    template = (
        "<soft layers=all> <soft*2 name=late layers=1 mode=replace> <soft from=text> <soft from=text from_by=states> "
        "It was <mask>. <text> <soft from=text layers=1>"
    )
    clf = PromptClassifier(load_backbone("starter:bert-tiny"), template, TABLE, epochs=1, random_state=0)
    clf.fit(["a delight", "dull"], ["positive", "negative"]).save(folder)
    return folder, clf


def test_vectors_at_later_layers_and_those_that_depend_on_a_field(run, in_depth, tmp_path):
    folder, clf = in_depth
    texts = ["a fine film", "a mess", "dull"]
    rows = [f"{text},{label}\n" for text, label in zip(texts, ["positive", "negative", "negative"], strict=True)]
    (tmp_path / "rows.csv").write_text("text,label\n" + "".join(rows), encoding="utf-8")
    done = run("inspect-prompt", folder, "--data", "rows.csv", cwd=tmp_path, env={"COLUMNS": "200"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "block late: enters at layer 1 alone; its input embeddings are those that it started with" in done.stdout
    inputs = ("its mean input embedding", "the model's mean states of it", "the model's states of it at layer 1")
    for block, by in zip(("#2", "#3", "#4"), inputs, strict=True):
        expected = (
            f"block {block}: base vectors, to which a network of width 16 adds what the field text of each example"
        )
        assert f"{expected} gives by {by}" in done.stdout
    rows = [line.split() for line in done.stdout.splitlines()]
    unit = dict(clf.prompt_.training["layer_rms"])[1]
    for block, key, mode in (("#1", "#1", "add"), ("late", "late", "replace")):
        mean = float(clf.prompt_.deep[key][0].square().mean(-1).sqrt().mean()) / unit
        assert [block, "1", mode, f"{mean:.4f}"] in [row[:4] for row in rows]
    effects = field_effects(clf, texts)
    assert f"the fields of {len(texts)} examples move soft vectors" in done.stdout
    entries = (["input", "embeddings"], ["input", "embeddings"], ["layer", "1"])
    for effect, block, entry in zip(effects.effects, ("#2", "#3", "#4"), entries, strict=True):
        mean = sum(effect.moved) / len(texts)
        assert mean > 0
        assert [block, *entry, "text", f"{mean:.4f}"] in [row[:5] for row in rows]
    assert "nearest words as text: none, since vectors with from= are others for each example" in done.stdout


def test_the_page_of_an_evaluation_shows_them(run, in_depth, reviews, tmp_path):
    done = run("evaluate", reviews, "--prompt", in_depth[0], "--report", "page.html", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = Page((tmp_path / "page.html").read_text(encoding="utf-8")).lines
    assert "| #1| 1| all layers| add| yes|" in lines
    assert "| late| 2| layer 1| replace| yes|" in lines
    states = "the field text by the model's mean states of it; network of width 16"
    assert f"| #3| 1| input embeddings| | yes| {states}" in lines
    states = "the field text by the model's states of it at layer 1; network of width 16"
    assert f"| #4| 1| layer 1| add| yes| {states}" in lines
    assert any(line.startswith("| late| 1| replace| ") for line in lines)


def test_a_hard_prompt_has_nothing_to_look_into(run, saved):
    done = run("inspect-prompt", "hard", cwd=saved[0])
    assert (done.returncode, done.stdout) == (2, "")
    assert "error: '<text> <mask>' has no soft slots, so it has no vectors to inspect" in done.stderr
