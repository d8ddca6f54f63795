import io
import json
import os
import random
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from support.random_classifiers import LONG, PROTOCOL, SLOW, SPLIT, Broken, Noisy, same

from softcloze import PromptClassifier
from softcloze.data import Examples, Split, few_shot
from softcloze.errors import DataError, FileError, ParameterError
from softcloze.experiments import FineTunedClassifier, Method, Protocol, compare, tfidf


class Interruption:
    """Interrupt a comparison after a number of runs, as a user may."""

    def __init__(self, runs):
        self.left = runs

    def __call__(self, event):
        self.left -= 1
        if self.left < 0 and event.doing:
            raise KeyboardInterrupt


METHODS = {"noise": Noisy(), "more noise": Noisy(strength=5.0), "words": tfidf("char")}


@pytest.fixture(scope="module")
def whole():
    return compare(METHODS, SPLIT, PROTOCOL)


def test_runs_are_what_the_classifiers_give_by_hand(whole):
    expected = [(name, shots, seed) for name in METHODS for shots in (2, 0.5) for seed in range(2)]
    assert [(run.method, run.shots, run.seed) for run in whole.runs] == expected
    assert whole.classes == ("bad", "good") and whole.texts == SPLIT.test.texts[:20]
    for run in whole.runs:
        if run.shots == 0.5:
            continue
        drawn = few_shot(SPLIT.train.labels, run.shots, run.seed)
        X, y = [SPLIT.train.texts[row] for row in drawn], [SPLIT.train.labels[row] for row in drawn]
        classifier = {"noise": Noisy(1.0, run.seed), "more noise": Noisy(5.0, run.seed), "words": tfidf("char")}[
            run.method
        ]
        expected = classifier.fit(X, y).predict_proba(list(whole.texts)).astype(np.float32)
        assert np.array_equal(run.probabilities, expected)
        assert run.predict_seconds > 0 and run.fit_seconds > 0 and run.peak_memory > 10_000_000


def test_finished_runs_are_not_run_again(whole, tmp_path):
    first = compare(METHODS, SPLIT, PROTOCOL, folder=tmp_path)
    fits = Noisy.fits
    again = compare(METHODS, SPLIT, PROTOCOL, folder=tmp_path)
    assert Noisy.fits == fits
    assert same(first, whole) and same(again, whole)
    assert [run.fit_seconds for run in again.runs] == [run.fit_seconds for run in first.runs]
    assert Protocol.from_dict(json.loads((tmp_path / "protocol.json").read_text(encoding="utf-8"))) == PROTOCOL
    # what is new is run, under whatever name
    more = {"renamed": METHODS["noise"], "new": Noisy(strength=2.0)}
    compare(more, SPLIT, replaced(seeds=3), folder=tmp_path)
    assert Noisy.fits == fits + 2 + 2 * 3


def replaced(**changes):
    return Protocol(**{"shots": PROTOCOL.shots, "seeds": PROTOCOL.seeds, "test_rows": 20, **changes})


def test_other_rows_or_settings_are_other_runs(tmp_path):
    protocol = Protocol(shots=2, seeds=1, test_rows=20)
    compare({"noise": Noisy()}, SPLIT, protocol, folder=tmp_path)
    texts = tuple(text.upper() for text in SPLIT.test.texts)
    for methods, split, other in (
        ({"noise": Noisy(strength=1.5)}, SPLIT, protocol),
        ({"noise": Noisy()}, replace(SPLIT, test=Examples(texts, SPLIT.test.labels)), protocol),
        ({"noise": Noisy()}, SPLIT, Protocol(shots=2, seeds=1, test_rows=18)),
        ({"noise": Noisy()}, SPLIT, Protocol(shots=2, seeds=(1,), test_rows=20)),
    ):
        fits = Noisy.fits
        compare(methods, split, other, folder=tmp_path)
        assert Noisy.fits == fits + 1


@pytest.mark.parametrize("seed", range(3))
def test_an_interrupted_comparison_goes_on_where_it_was(whole, tmp_path, seed):
    dice = random.Random(seed)
    found, interruptions = None, 0
    while found is None:
        on_progress = Interruption(dice.randint(0, 6)) if interruptions < 4 else None
        try:
            found = compare(METHODS, SPLIT, PROTOCOL, folder=tmp_path, on_progress=on_progress)
        except KeyboardInterrupt:
            interruptions += 1
    assert interruptions and same(found, whole)


IN_A_PROCESS = """
from sklearn.feature_extraction.text import TfidfVectorizer
from softcloze import PromptClassifier
from softcloze.experiments import Protocol, compare, tfidf
from softcloze.experiments.run_cache import identity
from support import models
from support.random_classifiers import SPLIT

comparison = compare({"words": tfidf(), "characters": tfidf("char")}, SPLIT, Protocol(shots=(2, 0.5), seeds=2))
for run in comparison.runs:
    print(run.method, run.shots, run.seed, run.probabilities.tobytes().hex())
print(comparison.differences(), comparison.protocol.hash, comparison.classes)
print(identity(TfidfVectorizer(vocabulary={"good", "bad", "fine", "poor"})))
words = {"pos": {"good", "great", "fine"}, "neg": {"bad", "awful", "poor"}, "so": {"film", "it"}}
texts, labels = models.SENTENCES[:9], ["pos", "neg", "so"] * 3
for template in ("<soft*2> <text> (<options>) It was <mask>.", "<demos*3> <text> It was <mask>."):
    for head in ("words", "linear"):
        clf = PromptClassifier(models.backbone("bert"), template, words, head=head, epochs=1, random_state=0)
        print(head, clf.fit(texts, labels).predict_proba(texts).tobytes().hex())
"""


@pytest.mark.slow
def test_nothing_depends_on_the_hash_seed():
    """Comparisons, identities of methods, fits with sets of label words: in one test, for processes start slowly."""
    printed = set()
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-W", "ignore", "-c", IN_A_PROCESS]
        printed.add(subprocess.run(command, env=environment, capture_output=True, check=True, text=True).stdout)
    assert len(printed) == 1
    (output,) = printed
    assert "words 2 0" in output and output.count("\nlinear ") == 2


KILLS = 20
VICTIM = f"""
import os, random, signal, time
from pathlib import Path
from support.random_classifiers import LONG, SLOW, SPLIT
from softcloze.experiments import compare

dice, finished = random.Random(0), {{}}
for kill in range({KILLS}):
    child = os.fork()  # of a process that has imported all
    if not child:
        compare(SLOW, SPLIT, LONG, folder="runs")
        os._exit(0)
    enough = len(finished) + dice.randrange(4)
    while len(list(Path("runs").glob("*.safetensors"))) < enough:
        time.sleep(0.001)
    time.sleep(dice.random() / 50)
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL, "it was done already"
    found = {{path: path.read_bytes() for path in Path("runs").glob("*.safetensors")}}
    assert finished.items() <= found.items(), "what was finished is lost, or was run again"
    finished = found
"""


@pytest.mark.slow
def test_killed_at_any_moment_and_resumed_it_finds_the_same(tmp_path):
    """SIGKILL, twenty times, before, while and after files are written; the last time it may finish."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", VICTIM], cwd=tmp_path, env=environment, check=True)
    runs = tmp_path / "runs"
    finished = {path: path.read_bytes() for path in runs.glob("*.safetensors")}
    assert 0 < len(finished) < 120
    resumed, alone = compare(SLOW, SPLIT, LONG, folder=runs), compare(SLOW, SPLIT, LONG)
    assert same(resumed, alone) and without_costs(resumed) == without_costs(alone)
    assert all(path.read_bytes() == content for path, content in finished.items())
    assert len(list(runs.glob("*.safetensors"))) == 120


def without_costs(comparison):
    """The printed table with constant seconds and memory."""
    runs = (replace(run, fit_seconds=1.0, predict_seconds=1.0, peak_memory=1_000_000) for run in comparison.runs)
    console = Console(file=io.StringIO(), width=100)
    console.print(replace(comparison, runs=tuple(runs)).table())
    return console.file.getvalue()


def test_a_damaged_file_is_measured_again(whole, tmp_path):
    compare({"noise": Noisy()}, SPLIT, PROTOCOL, folder=tmp_path)
    for number, path in enumerate(sorted(tmp_path.glob("*.safetensors"))):
        content = path.read_bytes()
        path.write_bytes((b"", content[:50], content[:-3], b"\xff" * 100)[number % 4])
    found = compare(METHODS, SPLIT, PROTOCOL, folder=tmp_path)
    assert same(found, whole)


def test_a_method_that_fails_is_a_run_with_its_error(tmp_path):
    events = []
    methods = {"broken": Broken(), "noise": Noisy()}
    found = compare(methods, SPLIT, replaced(shots=(2, 4)), folder=tmp_path, on_progress=events.append)
    errors = [(run.method, run.shots, run.error) for run in found.runs if run.error is not None]
    assert errors == [("broken", 4, "MemoryError: too many rows")] * 2
    assert [(each.method, each.shots) for each in found.summary()] == [("broken", 2), ("noise", 2), ("noise", 4)]
    assert len(list(tmp_path.glob("*.safetensors"))) == 6  # what failed is tried again
    assert [(event.done, event.total) for event in events] == [(done, 8) for done in range(9)]
    assert [len(event.comparison.runs) for event in events] == list(range(9))
    assert events[0].doing == (("broken", 2, 0),) and events[0].seconds_left is None
    assert events[-1].doing == () and events[-1].seconds_left == 0
    assert all(event.seconds_left > 0 for event in events[1:-1])


def test_hard_prompts_run_once_and_soft_ones_with_each_draw(bert_tiny):
    words = {"good": "good", "bad": "bad"}
    methods = [
        Method("hard", PromptClassifier(bert_tiny, "It was <mask>. <text>", words)),
        Method("soft", PromptClassifier(bert_tiny, "<soft*2> It was <mask>. <text>", words, epochs=1)),
    ]
    found = compare(methods, SPLIT, Protocol(shots=2, seeds=2, test_rows=10), command="again")
    assert [(run.method, run.shots, run.seed) for run in found.runs] == [("hard", 0, 0), ("soft", 2, 0), ("soft", 2, 1)]
    hard, soft, _ = found.runs
    assert (hard.trainable, hard.fit_seconds, soft.trainable) == (0, 0.0, 2 * 128)
    assert hard.artifact_bytes < soft.artifact_bytes
    clf = methods[0].classifier
    columns = [list(clf.fit(SPLIT.train.texts, SPLIT.train.labels).classes_).index(name) for name in found.classes]
    expected = clf.predict_proba(SPLIT.test.texts[:10])[:, columns]
    assert hard.probabilities == pytest.approx(expected, abs=1e-6)
    assert (found.model, found.parameters) == (bert_tiny.name, bert_tiny.parameters)
    assert (found.task, found.command) == ("data", "again")
    assert {*found.environment} == {"python", "torch", "transformers", "softcloze", "processor", "cores", "date"}


MISTAKES = [
    ([], SPLIT, {}, r"one or more methods with distinct names, found \[\]"),
    ([Method("a", tfidf()), Method("a", tfidf())], SPLIT, {}, r"found \['a', 'a'\]"),
    ({"a": tfidf()}, SPLIT, {"shots": 70}, "70 rows of each class are wanted"),
    ({"a": tfidf()}, SPLIT, {"shots": 0}, r"'a' needs training examples, but shots=\(0,\) provides none"),
    ({"a": tfidf()}, Split(SPLIT.train, Examples((), ())), {}, "no held-out examples"),
    ({"a": tfidf()}, Split(SPLIT.train, SPLIT.train), {}, "texts are in both the training and the held-out examples"),
    (
        {"a": PromptClassifier("no model", "<a> <b> <mask>", {"good": "x", "bad": "y"})},
        SPLIT,
        {},
        "one field .* 'a', 'b'",
    ),
    (
        {"a": PromptClassifier("no model", "<a> <mask>", {"good": "x", "poor": "y"})},
        SPLIT,
        {},
        "labels 'bad', which the",
    ),
]


HARD = PromptClassifier("no model", "<text> <mask>", {"good": "x", "bad": "y"})
ESTIMATOR = "but it has to be an estimator of scikit-learn"
DATA = "but it has to be the name of a starter data set or a Split"
ROWS = list(zip(SPLIT.train.texts, SPLIT.train.labels, strict=True))
WRONG_TYPES = [
    ({"methods": [HARD, tfidf()]}, ParameterError, "one of the methods is PromptClassifier"),
    ({"methods": HARD}, ParameterError, "one of the methods is PromptClassifier"),
    ({"methods": "hard"}, ParameterError, "one of the methods is 'h'"),
    ({"methods": None}, ParameterError, "expected a mapping from names to classifiers, or Methods"),
    ({"methods": {"a": "tfidf"}}, ParameterError, f"classifier='tfidf', {ESTIMATOR}"),
    ({"methods": {"a": PromptClassifier}}, ParameterError, f"{ESTIMATOR}, not its class"),
    ({"methods": {1: tfidf()}}, ParameterError, "name=1, but it has to be text"),
    ({"methods": {"a": HARD.set_params(epochs="3")}}, ParameterError, "method 'a': epochs='3', but"),
    ({"methods": {"b": FineTunedClassifier("no model", rank=0)}}, ParameterError, "method 'b': rank=0, but"),
    ({"data": None}, ParameterError, f"data=None, {DATA}"),
    ({"data": ROWS}, ParameterError, DATA),
    ({"data": pd.DataFrame(ROWS, columns=["text", "label"])}, ParameterError, DATA),
    ({"protocol": {"shots": 2}}, ParameterError, "but it has to be a Protocol or None"),
    ({"folder": 3}, ParameterError, "folder=3, but it has to be a path or None"),
    ({"processes": "2"}, ParameterError, "processes='2', but it has to be an integer of at least 1"),
    ({"processes": 1.5}, ParameterError, "processes=1.5, but"),
    ({"processes": 0}, ParameterError, "processes=0, but"),
    ({"on_progress": 3}, ParameterError, "on_progress=3, but it has to be a function or None"),
    ({"task": 3}, ParameterError, "task=3, but it has to be text or None"),
    ({"data": Split(SPLIT.train, Examples((None, "a"), ("good", "bad")))}, DataError, "row 0 of the held-out .* None"),
    ({"data": Split(SPLIT.train, Examples(("b", "a"), ("good",)))}, DataError, "2 examples but y has 1 labels"),
    (
        {"data": Split(Examples(("b", "a"), ("c", "c")), Examples(("d",), ("c",)))},
        DataError,
        "all .* have the label 'c'",
    ),
]


@pytest.mark.parametrize(("changes", "error", "message"), WRONG_TYPES)
def test_wrong_types_are_explained_before_anything_runs(changes, error, message):
    given = {"methods": {"a": tfidf()}, "data": SPLIT, "protocol": Protocol(shots=2)} | changes
    with pytest.raises(error, match=message):
        compare(**given, **({} if "on_progress" in given else {"on_progress": print}))


def test_labels_may_be_numbers(bert_tiny):
    def numbered(examples):
        return Examples(examples.texts, tuple(np.array([label == "good" for label in examples.labels], np.int64)))

    words = {1: "good", 0: "bad"}
    methods = {"words": PromptClassifier(bert_tiny, "<text> It was <mask>.", words), "TF-IDF": tfidf()}
    protocol = Protocol(shots=4, seeds=1, test_rows=10)
    comparison = compare(methods, Split(numbered(SPLIT.train), numbered(SPLIT.test)), protocol)
    assert comparison.classes == (0, 1) and all(type(label) is int for label in comparison.labels)
    named = compare({"TF-IDF": tfidf()}, SPLIT, protocol)
    assert np.array_equal(comparison.of("TF-IDF", 4)[0].probabilities, named.of("TF-IDF", 4)[0].probabilities)
    assert [run.error for run in comparison.runs] == [None, None]


def test_a_label_without_held_out_examples_is_told():
    test = Examples(("x", "y"), ("bad", "bad"))
    with pytest.warns(UserWarning, match=r"no held-out example has the label 'good'"):
        compare({"noise": Noisy()}, Split(SPLIT.train, test), replaced(shots=2, seeds=1))
    train = Examples(("x", "y", "z"), ("bad", "bad", "good"))
    other = Examples(("u", "v", "w"), ("bad", "good", "fair"))
    with pytest.warns(UserWarning, match=r"no training example has the label 'fair'"):
        compare({"noise": Noisy()}, Split(train, other), replaced(shots=1, seeds=1))


class Careless(Noisy):
    """Returns something else than probabilities."""

    def __init__(self, returned=None, random_state=None):
        super().__init__(random_state=random_state)
        self.returned = returned

    def predict_proba(self, X):
        return self.returned


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (np.full((20, 2), np.nan), "DataError: .* negative, not finite or do not sum to 1"),
        (np.full((20, 2), np.inf), "DataError: .* not finite"),
        (np.full((20, 3), 1 / 3), r"DataError: .* have shape \(20, 3\); expected \(20, 2\)"),
        (np.full((19, 2), 0.5), r"DataError: .* have shape \(19, 2\); expected \(20, 2\)"),
        (np.full(20, 0.5), r"DataError: .* have shape \(20,\); expected \(20, 2\)"),
        (None, r"DataError: .* have shape \(\)"),
    ],
)
def test_scores_that_are_no_probabilities_are_the_error_of_their_method_alone(returned, message):
    comparison = compare({"careless": Careless(returned), "noise": Noisy()}, SPLIT, replaced(shots=2, seeds=1))
    careless, noise = comparison.runs
    assert re.match(message, careless.error) and noise.error is None
    assert [summary.method for summary in comparison.summary()] == ["noise"]


def test_files_of_others_in_the_folder_stay(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "0.safetensors").write_text("mine too")
    compare({"noise": Noisy()}, SPLIT, PROTOCOL, folder=tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine" and (tmp_path / "0.safetensors").read_text() == "mine too"
    for content in ("my own notes", "{}", json.dumps({"shots": 3}), "\udcff"):
        (tmp_path / "protocol.json").write_bytes(content.encode("utf-8", "surrogateescape"))
        with pytest.raises(FileError, match=r"protocol\.json exists and is not the protocol of a comparison"):
            compare({"noise": Noisy()}, SPLIT, PROTOCOL, folder=tmp_path)
        assert (tmp_path / "protocol.json").read_bytes() == content.encode("utf-8", "surrogateescape")


def test_a_folder_that_cannot_be_written_is_told_before_the_first_run(tmp_path):
    (tmp_path / "file").write_text("mine")
    fits = Noisy.fits
    with pytest.raises(FileError, match="is not a folder"):
        compare({"noise": Noisy()}, SPLIT, PROTOCOL, folder=tmp_path / "file" / "runs")
    assert Noisy.fits == fits


@pytest.mark.parametrize(("methods", "split", "settings", "message"), MISTAKES)
def test_mistakes_are_found_before_anything_runs(methods, split, settings, message):
    with pytest.raises(ParameterError, match=message):
        compare(methods, split, Protocol(**{"shots": 2, **settings}))
