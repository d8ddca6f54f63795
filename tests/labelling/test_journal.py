"""The journal: whole lines or none, several writers, and the state that its events give."""

import threading

import pytest

from softcloze.errors import ArtifactError
from softcloze.labelling.journal import JOURNAL, Journal
from softcloze.labelling.record import Record


def answer(index, *labels, name="", time=0.0):
    return {"event": "answer", "index": index, "labels": [*labels], "name": name, "time": time}


def renamed(old, new, name=""):
    return {"event": "rename", "old": old, "new": new, "name": name, "time": 0.0}


UNDO = {"event": "undo", "name": "", "time": 0.0}
START = {
    "event": "start",
    "version": 1,
    "texts": "",
    "rows": 5,
    "labels": ["a", "b"],
    "multi_label": False,
    "held_out": [],
}


def replayed(*events):
    record = Record()
    for event in events:
        record.apply(event)
    return record


def test_a_line_without_its_end_is_ignored_and_removed(tmp_path):
    journal = Journal(tmp_path)
    journal.append(answer(0, "a"))
    path = tmp_path / JOURNAL
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"event": "answer", "ind')  # the writer was killed here
    other = Journal(tmp_path)
    assert other.read() == [answer(0, "a")]
    other.append(answer(1, "差\n"))
    assert path.read_bytes().startswith(whole + b'{"event"')
    assert Journal(tmp_path).read() == [answer(0, "a"), answer(1, "差\n")]


def test_each_writer_reads_what_others_wrote(tmp_path):
    journals = [Journal(tmp_path) for _ in range(4)]

    def write(journal, number):
        for i in range(10):
            with journal.locked():
                journal.append(answer(10 * number + i, "a"))

    threads = [threading.Thread(target=write, args=pair) for pair in zip(journals, range(4), strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    read = [journal.read() for journal in journals]
    assert sorted(event["index"] for event in read[0]) == [*range(40)]
    assert read[1:] == [read[0]] * 3


def test_a_damaged_line_is_named(tmp_path):
    (tmp_path / JOURNAL).write_text('{"event": "start"}\n{"event": 3}\n')
    with pytest.raises(ArtifactError, match=r"line 2 of .* is damaged"):
        Journal(tmp_path).read()


def test_undo_brings_back_the_answer_before():
    record = replayed(answer(0, "a"), answer(1, "b", name="Ada"), answer(0, "b"), UNDO)
    assert {index: given.labels for index, given in record.given.items()} == {0: ("a",), 1: ("b",)}
    record.apply(UNDO)
    record.apply(UNDO)  # nothing of this person is left
    assert {*record.given} == {1}
    assert record.last_of("Ada").labels == ("b",)


def labels_of(record):
    return {index: given.labels for index, given in record.given.items()}


def test_a_renamed_label_has_its_new_name_everywhere_until_that_is_taken_back():
    before = [START, answer(0, "a"), answer(1, "b", name="Ada"), answer(1, "a"), answer(2, "b")]
    record = replayed(*before, renamed("b", "c"))
    assert record.labels == ["a", "c"] and record.renamed == {"b": "c"}
    assert labels_of(record) == {0: ("a",), 1: ("a",), 2: ("c",)}
    record.apply(answer(3, "a", name="Ada"))
    record.apply({**UNDO, "name": "Ada"})
    record.apply({**UNDO, "name": "Ada"})  # neither of which is the renaming
    assert labels_of(record) == {0: ("a",), 1: ("a",), 2: ("c",)}
    answered = record.answered
    record.apply(UNDO)
    assert (record.labels, record.renamed, record.answered) == (["a", "b"], {}, answered + 1)
    assert labels_of(record) == {0: ("a",), 1: ("a",), 2: ("b",)}
    record.apply(UNDO)
    assert labels_of(record) == {0: ("a",), 1: ("a",)}


def test_two_labels_become_one_and_two_again():
    several = {**START, "labels": ["a", "b", "c"], "multi_label": True}
    before = [several, answer(0, "a", "b"), answer(1, "c"), answer(2, "b", name="Ada")]
    record = replayed(*before, renamed("c", "b"), renamed("b", "a", name="Ada"), answer(3, "a"))
    assert labels_of(record) == {0: ("a",), 1: ("a",), 2: ("a",), 3: ("a",)}
    assert record.labels == ["a"] and record.renamed == {"c": "a", "b": "a"}
    record.apply({**UNDO, "name": "Ada"})
    assert labels_of(record) == {0: ("a", "b"), 1: ("b",), 2: ("b",), 3: ("a",)}
    record.apply(UNDO)
    record.apply(UNDO)
    assert labels_of(record) == {0: ("a", "b"), 1: ("c",), 2: ("b",)}
    record.apply({"event": "label", "label": "d", "name": "", "time": 0.0})
    record.apply(renamed("a", "e"))
    record.apply({"event": "label", "label": "a", "name": "", "time": 0.0})
    assert record.labels == ["e", "b", "c", "d", "a"] and record.renamed == {}


def test_people_who_agree_by_the_new_name_no_longer_disagree():
    shown = {"event": "ask", "index": 0, "how": "random", "name": "Ada", "until": 0.0}
    record = replayed(START, shown, answer(0, "a", name="Bob"), answer(0, "b", name="Ada"))
    assert record.given[0].other.labels == ("a",)
    record.apply(renamed("b", "c"))
    assert (record.given[0].labels, record.given[0].other.labels) == (("c",), ("a",))
    record.apply(renamed("c", "a"))
    assert (record.given[0].labels, record.given[0].other) == (("a",), None)
    decided = {**answer(0, "b", name="Ada"), "corrects": True}
    assert replayed(START, shown, answer(0, "a", name="Bob"), decided).given[0].other is None


def test_skipped_texts_are_no_answers():
    record = replayed(answer(0, "a"), {"event": "skip", "index": 1, "name": "", "time": 1.0})
    assert [given.index for given in record.answers()] == [0]
    assert {*record.given} == {0, 1}


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        ({"event": "dance"}, "'dance' is not an event"),
        ({**START, "version": 2}, "start.version is 2"),
        ({**START, "held_out": [5]}, "text 5, and the texts are 5"),
        (answer(5, "a"), "text 5, and the texts are 5"),
        (answer(-1, "a"), "at least 0"),
        (answer(0, "a", "b"), "2 items"),
        (answer(0, None), "labels"),
        (answer(0, "a", time=1e300), "seconds since 1970"),
        ({**UNDO, "name": None}, "undo.name"),
        ({**renamed("a", "b"), "new": None}, "rename.new"),
    ],
)
def test_an_event_that_is_damaged_or_of_another_version_is_named(event, problem):
    with pytest.raises(ArtifactError, match=problem):
        replayed(*([] if event["event"] == "start" else [START]), event)


def test_a_journal_that_is_removed_or_cut_is_noticed(tmp_path):
    journal = Journal(tmp_path)
    journal.append(answer(0, "a"))
    journal.read()
    (tmp_path / JOURNAL).write_bytes(b"")
    with pytest.raises(ArtifactError, match="shorter"):
        journal.append(answer(1, "a"))
    (tmp_path / JOURNAL).unlink()
    with pytest.raises(ArtifactError, match="cannot read"):
        journal.append(answer(1, "a"))
