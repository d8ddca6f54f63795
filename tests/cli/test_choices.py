"""Choices of each row on the command line: `predict` and `evaluate` answer as the classifier does."""

import json

import pytest
from support import models

from softcloze import FieldVerbalizer, PromptClassifier, PromptEnsemble

ROWS = [
    {"text": "The film is a", "choices": ["good", "terrible story"]},
    {"text": "I liked the music", "choices": ["bad", "good", "very long film"]},
    {"text": "It was", "choices": ["a delight", "dull"]},
]
BAD = {"text": "no choice", "choices": ["one"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("choices")
    models.model("bert").save_pretrained(folder / "model")
    models.tokenizer("wordpiece").save_pretrained(folder / "model")
    return folder


@pytest.mark.parametrize("answers", ["index", "word"])
@pytest.mark.parametrize("members", [1, 2])
def test_predict_and_evaluate_answer_as_the_classifier(run, folder, answers, members):
    choices = FieldVerbalizer("choices", 3, answers=answers)
    sources = ["<text>, it is <mask>", "<text> <mask>."]
    prompts = [PromptClassifier(str(folder / "model"), source, choices) for source in sources[:members]]
    classifier = PromptEnsemble(prompts) if members > 1 else prompts[0]
    name = f"{answers}-{members}"
    classifier.save(folder / name)
    expected = classifier.predict(ROWS).tolist()
    right = [expected[0], *(row["choices"].index(row["choices"][-1]) for row in ROWS[1:])]
    if answers == "word":
        right = [expected[0], *(row["choices"][-1] for row in ROWS[1:])]
    rows = [{**row, "label": label} for row, label in zip([*ROWS, BAD], [*right, 0], strict=True)]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")

    done = run("predict", "rows.jsonl", "--prompt", name, "--out", f"{name}.jsonl", cwd=folder)
    assert done.returncode == 0, done.stderr
    written = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["predicted"] for row in written] == [*map(str, expected), None]
    assert "3 rows labelled" in done.stdout

    measured = run("evaluate", "rows.jsonl", "--prompt", name, cwd=folder)
    assert measured.returncode == 0, measured.stderr
    hits = sum(label == other for label, other in zip(expected, right, strict=True))
    assert f"{hits} of 3 rows" in measured.stdout


def test_a_label_that_is_no_choice_of_its_row_is_named(run, folder):
    choices = FieldVerbalizer("choices", 3, answers="word")
    PromptClassifier(str(folder / "model"), "<text> <mask>.", choices).save(folder / "prompt")
    rows = [{**ROWS[0], "label": "good"}, {**ROWS[1], "label": "goood"}]
    (folder / "wrong.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    done = run("evaluate", "wrong.jsonl", "--prompt", "prompt", cwd=folder)
    assert done.returncode != 0
    message = " ".join(done.stderr.split())
    assert "line 2: label 'goood' is not one of the choices 'bad', 'good'" in message
    assert "did you mean 'good'?" in message
