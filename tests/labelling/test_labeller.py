"""Labeller: questions, answers, leases, and the classifier that comes of them."""

import copy
import pickle
import subprocess
import sys
import time

import numpy as np
import pytest
from support import models

from softcloze import Labeller, PromptClassifier
from softcloze.errors import ArtifactError, DataError, ParameterError
from softcloze.labelling.sentences import estimate_sentence

TEXTS = [*models.SENTENCES, *(f"{text} {text}" for text in models.SENTENCES)]
LABELS = ["positive", "negative"]
BAD = ("bad", "terrible", "dull", "not", "worst", "negative", "dreadful", "差", "失望", "消极", "不", "坏")


def truth(index):
    return "negative" if any(word in TEXTS[index] for word in BAD) else "positive"


def labeller(folder=None, **options):
    options = {"template": "<text> It was <mask>.", "background": False, "strategy": "uncertain", **options}
    return Labeller(models.backbone("bert"), TEXTS, options.pop("labels", LABELS), folder=folder, **options)


def answered(made, count, label=truth):
    for _ in range(count):
        (question,) = made.ask()
        made.tell(question.index, label(question.index))
    return made


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A labelling with 24 answers and 6 held-out texts."""
    return answered(labeller(tmp_path_factory.mktemp("done"), held_out=6), 24)


@pytest.fixture(scope="module")
def fitted(done):
    """Its classifier."""
    return done.classifier()


def test_no_text_is_asked_twice_and_the_reasons_are_kept(done):
    rows = done.labelled()
    assert len({row.index for row in rows}) == 24
    assert {row.how for row in rows} == {"different", "uncertain", "held out"}
    assert [row.label for row in rows] == [truth(row.index) for row in rows]
    assert sum(done.counts().values()) == 24


def test_the_classifier_predicts_and_is_saved(done, fitted, tmp_path):
    rest = done.predict_rest()
    assert isinstance(fitted, PromptClassifier)
    texts = [TEXTS[index] for index in rest.indices]
    np.testing.assert_allclose(rest.probabilities, fitted.predict_proba(texts), atol=1e-5)
    assert rest.labels == fitted.predict(texts).tolist()
    assert {*rest.indices.tolist()} == {*range(len(TEXTS))} - {row.index for row in done.labelled()}
    fitted.save(tmp_path / "prompt")
    loaded = PromptClassifier.load(tmp_path / "prompt", models.backbone("bert"))
    np.testing.assert_allclose(loaded.predict_proba(texts), rest.probabilities, atol=1e-5)


def test_held_out_texts_judge_and_do_not_teach(done, fitted):
    held = [row for row in done.labelled() if row.how == "held out"]
    assert {row.index for row in held} == {*done.held_out}
    assert done.estimate().of == "held out"
    assert done.estimate().texts == 6
    assert fitted.prompt_.training["examples"] == 18


def test_estimates_doubts_and_guesses_fit_the_answers(done):
    estimate, forecast, doubts = done.estimate(), done.forecast(10), done.doubts()
    assert 0 <= estimate.low <= estimate.balanced_accuracy <= estimate.high <= 1
    assert forecast.low <= forecast.high
    assert [point.texts for point in done.learning_curve()] == [8, 16]
    assert sorted(doubt.index for doubt in doubts) == sorted(row.index for row in done.labelled())
    assert [doubt.margin for doubt in doubts] == sorted(doubt.margin for doubt in doubts)
    assert all(doubt.label == truth(doubt.index) != doubt.suggested for doubt in doubts)
    guess = done.guess(0)
    assert {*guess} == {*LABELS}
    assert sum(guess.values()) == pytest.approx(1)


def test_the_same_answers_lead_to_the_same_questions():
    one, other = (answered(labeller(random_state=3), 16).labelled() for _ in range(2))
    assert [row.index for row in one] == [row.index for row in other]


def test_a_folder_is_continued_with_its_texts_alone(tmp_path):
    first = answered(labeller(tmp_path), 3)
    (open_,) = first.ask()
    again = labeller(tmp_path)
    assert [row.index for row in again.labelled()] == [row.index for row in first.labelled()]
    assert again.ask() == [open_]
    with pytest.raises(ArtifactError, match="48 other texts"):
        Labeller(models.backbone("bert"), TEXTS[:5], LABELS, folder=tmp_path)
    longer = Labeller(models.backbone("bert"), [*TEXTS, "one more"], LABELS, folder=tmp_path)
    longer.tell(48, "positive")
    assert longer.counts() == Labeller("no-model", [*TEXTS, "one more"], None, folder=tmp_path).counts()
    with pytest.raises(ArtifactError, match="texts were added"):
        first.counts()


def test_two_answers_to_one_text_after_a_lease_are_both_kept(tmp_path, monkeypatch):
    ada, bob = (labeller(tmp_path, strategy="random") for _ in range(2))
    answered(ada, 4)
    (question,) = ada.ask(name="Ada")
    now = time.time()
    monkeypatch.setattr("softcloze.labelling.labeller.time.time", lambda: now + 601)
    assert bob.tell(question.index, "positive", name="Bob") is None
    other = ada.tell(question.index, "negative", name="Ada")
    assert (other.name, other.labels) == ("Bob", ("positive",))
    assert [(row.label, row.other) for row in bob.labelled() if row.other] == [("negative", other)]
    assert (bob.doubts(1)[0].index, bob.doubts(1)[0].other) == (question.index, other)
    assert ada.undo(name="Ada") is not None
    assert (
        bob.counts()["positive"]
        == ada.counts()["positive"]
        == 1 + sum(row.label == "positive" for row in ada.labelled()[:4])
    )
    ada.tell(question.index, "negative", name="Ada")
    assert bob.tell(question.index, "positive", name="Bob") is None  # decided
    assert not any(row.other for row in ada.labelled())


def test_who_corrects_among_the_doubts_a_text_whose_lease_ended_decides(tmp_path, monkeypatch):
    ada, bob = (labeller(tmp_path) for _ in range(2))
    (question,) = ada.ask(name="Ada")
    now = time.time()
    monkeypatch.setattr("softcloze.labelling.labeller.time.time", lambda: now + 601)
    bob.tell(question.index, "positive", name="Bob")
    assert ada.tell(question.index, "negative", name="Ada", corrects=True) is None
    assert ada.disputes() == bob.disputes() == []
    assert [(row.label, row.name) for row in bob.labelled()] == [("negative", "Ada")]


def test_a_label_is_renamed_for_everybody_and_in_the_classifier(tmp_path):
    labels = {"positive": "good", "negative": "bad", "neither": "film"}
    made, other = (labeller(tmp_path, labels=labels) for _ in range(2))
    answered(made, 12)
    before = made.estimate()
    made.rename("negative", "poor", name="")
    assert other.labels == made.labels == ("positive", "poor", "neither")
    assert {*made.guess(0)} == {"positive", "poor", "neither"}
    assert made.ask()
    assert made.estimate().balanced_accuracy >= 0 and before.texts == made.estimate().texts
    assert made.classifier().classes_.tolist() == ["poor", "positive"] == [*sorted(made.predict_rest().classes)]
    again = labeller(tmp_path, labels=labels)  # as the same command
    assert (again.labels, again.renamed) == (made.labels, {"negative": "poor"})
    assert again.read().classifier().prompt_.verbalizer.words[0] == ("bad",)
    with pytest.raises(ParameterError, match="there is no label 'negative'"):
        other.tell(0, "negative")
    other.add_label("negative")
    other.rename("neither", "poor", name="Bob")
    assert other.counts() == {"positive": made.counts()["positive"], "poor": made.counts()["poor"], "negative": 0}
    other.rename("poor", "Negative.", name="Bob")
    other.add_label("Poor")
    with pytest.raises(DataError, match="give it another name"):
        other.undo(name="Bob")
    assert other.labels == ("positive", "Negative.", "negative", "Poor")
    for old, new, error in [("no", "x", "no label 'no'"), ("Poor", "Poor", "has this name"), ("Poor", "", "label")]:
        with pytest.raises((ParameterError, DataError), match=error):
            other.rename(old, new)
    small = labeller()
    with pytest.raises(ParameterError, match="the only labels"):
        small.rename("negative", "positive")


def test_two_answers_with_several_labels_are_reviewed(tmp_path, monkeypatch):
    ada, bob = (labeller(tmp_path, multi_label=True) for _ in range(2))
    (question,) = ada.ask(name="Ada")
    now = time.time()
    monkeypatch.setattr("softcloze.labelling.labeller.time.time", lambda: now + 601)
    bob.tell(question.index, ["positive", "negative"], name="Bob")
    assert ada.tell(question.index, [], name="Ada").labels == ("positive", "negative")
    (text,) = bob.disputes()
    assert (text.labels, text.name, text.other.name) == ((), "Ada", "Bob")
    bob.tell(question.index, ["negative"], name="Bob", corrects=True)
    assert ada.disputes() == []


def test_an_estimate_from_chosen_texts_never_stands_without_the_word():
    made = answered(labeller(), 12)
    assert made.estimate().is_biased
    for shown in (repr(made.estimate()), f"{made.estimate()}", estimate_sentence(made.estimate())):
        assert "biased" in shown.lower()


def test_states_are_read_once(tmp_path, monkeypatch):
    labeller(tmp_path).read()
    steps = []
    monkeypatch.setattr("softcloze.prompt.CompiledPrompt.features", None)
    again = labeller(tmp_path).read(lambda done, total: steps.append((done, total)))
    assert steps == [(48, 48)]
    assert again.ask()


def test_two_people_get_different_texts_until_a_lease_ends(tmp_path, monkeypatch):
    ada, bob = labeller(tmp_path), labeller(tmp_path)
    of_ada, of_bob = ada.ask(3, name="Ada"), bob.ask(3, name="Bob")
    assert len({question.index for question in of_ada + of_bob}) == 6
    assert ada.ask(3, name="Ada") == of_ada
    now = time.time()
    monkeypatch.setattr("softcloze.labelling.labeller.time.time", lambda: now + 601)
    bob.tell(of_bob[0].index, "positive", name="Bob")
    of_cy = {question.index for question in bob.ask(len(TEXTS), name="Cy")}
    assert of_cy == {*range(len(TEXTS))} - {of_bob[0].index}


def test_undo_skip_relabel_and_notes():
    made = labeller()
    first, second = made.ask(2)
    made.tell(first.index, "positive", name="", note="sure")
    made.skip(second.index)
    assert made.undo() == second
    assert made.ask() == [second]
    made.tell(second.index, "negative")
    made.tell(second.index, "positive")  # a better thought
    assert [(row.label, row.note) for row in made.labelled()] == [("positive", "sure"), ("positive", "")]
    made.undo()
    made.undo()
    assert made.counts() == {"positive": 1, "negative": 0}


def test_a_new_label_needs_no_new_reading():
    made = answered(labeller(), 10)
    assert made.estimate().missing == 0
    made.add_label("neutral")
    assert made.estimate().missing == 1
    with pytest.raises(ParameterError, match="did you mean 'neutral'"):
        made.tell(0, "neutrl")
    taken = {row.index for row in made.labelled()}
    for index in [index for index in range(len(TEXTS)) if index not in taken][:2]:
        made.tell(index, "neutral")
    assert made.ask()
    assert {*made.guess(0)} == {"positive", "negative", "neutral"}
    before = made.classifier()
    assert before.classes_.tolist() == ["negative", "neutral", "positive"]
    assert made.predict_rest().classes == ("negative", "neutral", "positive")
    assert (before.prompt_.head, made.read().classifier().prompt_.head) == ("linear", "words+linear")


def test_a_head_solved_in_the_background_takes_part():
    with labeller(background=True, refit_every=1) as made:
        answered(made, 13)
        made.close()
        (question,) = made.ask()
        assert question.how in ("uncertain", "sought")


def test_several_labels(tmp_path):
    made = labeller(tmp_path, multi_label=True, labels={"good": "good", "film": "film"})
    for question in made.ask(12):
        made.tell(question.index, [label for label in ("good", "film") if label in TEXTS[question.index]])
    assert all(set(row.labels) <= {"good", "film"} for row in made.labelled())
    assert made.predict_rest().probabilities.shape == (36, 2)
    with pytest.raises(ParameterError, match="expected a collection of labels"):
        made.tell(0, "good")
    with pytest.raises(ParameterError, match="multi_label=True"):
        made.estimate()


def test_wrong_use_is_named():
    with pytest.raises(DataError, match="expected at least two"):
        labeller(labels=["only"])
    with pytest.raises(DataError, match="give it another name"):
        labeller(labels=["a", "A "])
    made = labeller()
    with pytest.raises(ParameterError, match="one of the 48 texts"):
        made.tell(48, "positive")
    with pytest.raises(DataError, match="needs two labels"):
        made.classifier()
    with pytest.raises(ParameterError, match="expected a fitted classifier"):
        made.predict_rest(5)
    for copied in (copy.deepcopy, pickle.dumps):
        with pytest.raises(ParameterError, match="cannot be copied or pickled"):
            copied(made)


TELL = """
import sys
from softcloze import Labeller
texts = [f"text {i}" for i in range(2000)]
made = Labeller("no-model", texts, ["a", "b"], folder=sys.argv[1])
for i in range(2000):
    made.tell(i, "ab"[i % 2])
    print(i, flush=True)
"""


@pytest.mark.slow
def test_kill_loses_no_answer_that_was_told(tmp_path):
    with subprocess.Popen([sys.executable, "-c", TELL, tmp_path], stdout=subprocess.PIPE, text=True) as process:
        shown = [process.stdout.readline() for _ in range(50)]
        process.kill()
        shown += process.stdout.readlines()
    last = int([line for line in shown if line.endswith("\n")][-1])
    made = Labeller("no-model", [f"text {i}" for i in range(2000)], ["a", "b"], folder=tmp_path)
    rows = made.labelled()
    assert len(rows) in (last + 1, last + 2)  # the next may have been told and not shown
    assert [(row.index, row.label) for row in rows] == [(i, "ab"[i % 2]) for i in range(len(rows))]


def test_labels_of_numpy_are_plain_and_the_journal_continues(tmp_path):
    made = labeller(tmp_path, labels=np.array([0, 1]))
    made.tell(0, np.int64(1))
    made.tell(1, 0.0)
    assert [(row.label, type(row.label)) for row in labeller(tmp_path, labels=[0, 1]).labelled()] == [
        (1, int),
        (0, int),
    ]
    with pytest.raises(DataError, match="each label once"):
        labeller(labels=["a", "b", "a"])
    with pytest.raises(DataError, match="labels must all be str or all be int"):
        labeller(tmp_path, labels=["a", "b"])
    for name in (None, 5, b"Ada"):
        with pytest.raises(ParameterError, match="name"):
            made.tell(0, 1, name=name)


def test_a_template_that_is_not_hard_is_refused_before_a_reading():
    for template in ("<soft*2> <text> <mask>", "<text> <mask name=a> <mask name=b>"):
        with pytest.raises(ParameterError, match="expected a hard template with one mask"):
            labeller(template=template)


def test_more_questions_than_texts():
    assert len(labeller().ask(10**9)) == len(TEXTS)


def test_a_damaged_event_stops_the_labelling_until_it_is_mended(tmp_path):
    made = labeller(tmp_path)
    with (tmp_path / "journal.jsonl").open("a") as file:
        file.write('{"event": "dance"}\n')

    for call in (made.counts, lambda: made.tell(0, "positive"), lambda: labeller(tmp_path)):
        with pytest.raises(ArtifactError, match="'dance' is not an event"):
            call()
