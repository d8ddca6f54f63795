import io
import json
import os
import random
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from support.random_classifiers import LONG, PROTOCOL, SLOW, SPLIT, Broken, Noisy, same

from softcloze import PromptClassifier
from softcloze.data import Examples, Split, few_shot
from softcloze.errors import ParameterError
from softcloze.experiments import Method, Protocol, compare, tfidf


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


@pytest.mark.parametrize(("methods", "split", "settings", "message"), MISTAKES)
def test_mistakes_are_found_before_anything_runs(methods, split, settings, message):
    with pytest.raises(ParameterError, match=message):
        compare(methods, split, Protocol(**{"shots": 2, **settings}))
