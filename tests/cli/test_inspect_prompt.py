"""softcloze inspect-prompt: a saved prompt from the command line, on a real model."""

import pytest

from softcloze import PromptClassifier, load_backbone
from softcloze.analysis import delete_vectors, harden, inspect_soft

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


def test_vectors_that_depend_on_a_field(run, tmp_path):
    template = "<soft*2 from=text> It was <mask>. <text>"
    clf = PromptClassifier(load_backbone("starter:bert-tiny"), template, TABLE, epochs=1, random_state=0)
    clf.fit(["a delight", "dull"], ["positive", "negative"]).save(tmp_path / "prompt")
    done = run("inspect-prompt", "prompt", cwd=tmp_path, env={"COLUMNS": "120"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "block #1: base vectors, to which a network adds what the field text of each example gives" in done.stdout
    assert "nearest words as text: none, since vectors with from= are others for each example" in done.stdout


def test_a_hard_prompt_has_nothing_to_look_into(run, saved):
    done = run("inspect-prompt", "hard", cwd=saved[0])
    assert (done.returncode, done.stdout) == (2, "")
    assert "error: '<text> <mask>' has no soft slots, so it has no vectors to inspect" in done.stderr
