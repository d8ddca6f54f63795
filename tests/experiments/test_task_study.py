"""The study of many tasks: it resumes, keeps errors and its budget, and its tables follow from its cells."""

import csv
import shutil
from collections import Counter
from functools import partial

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score
from support.random_classifiers import Broken, Noisy

from benchmarks.soft_prompts.__main__ import PLAN as SOFT_PROMPTS
from benchmarks.soft_prompts.methods import KINDS, template_of
from benchmarks.tasks.__main__ import PLAN
from benchmarks.tasks.cells import Cell, Study, digits, indices
from benchmarks.tasks.methods import Family
from benchmarks.tasks.sets import SENTIMENT, TASKS, Task, halves
from benchmarks.tasks.study import CELLS, Runner
from benchmarks.tasks.tables import END, START, Tables, render
from softcloze import PromptClassifier
from softcloze.experiments import tfidf
from softcloze.library import resolve_template, resolve_verbalizer
from softcloze.starters import DATASETS

WORDS = {"negative": ["bad", "dull"], "positive": ["good", "fine"], "neutral": ["plain", "even"]}


@pytest.fixture
def tasks(tmp_path):
    """Two sets of texts whose words name their labels, with two and three labels."""
    made = []
    for name, labels in (("two", ["negative", "positive"]), ("three", [*WORDS])):
        path = tmp_path / f"{name}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label"])
            writer.writerows((f"{n} a {WORDS[label][n % 2]} film", label) for n in range(24) for label in labels)
        words = {label: WORDS[label][0] for label in labels}
        load = partial(halves, path)
        made.append(Task(name, "English", "a test", load, "starter:bert-tiny", "<text> It was <mask>.", words))
    return made


def families(bert_tiny):
    return {
        "quick": Family({"tfidf": lambda task: tfidf(), "broken": lambda task: Broken()}, draws=2),
        "words": Family(
            {
                "words": lambda task: PromptClassifier(bert_tiny, task.template, task.words),
                "words, batch": lambda task: PromptClassifier(
                    bert_tiny, task.template, task.words, calibration="batch"
                ),
            },
            draws=3,
        ),
        "absent": Family(
            shared=False,
            methods={"absent": lambda task: PromptClassifier(bert_tiny, task.template, task.words, nothing=1)},
        ),
    }


@pytest.mark.slow
def test_it_resumes_keeps_errors_and_renders(bert_tiny, tasks, tmp_path):
    folder, lines = tmp_path / "study", []
    study = Runner(folder, 1.0, lines.append).run(tasks, families(bert_tiny), shots=[4, 8])
    counts = Counter(cell.method for cell in study.cells.values() if not cell.error)
    # two tasks: two sizes and two draws; once; two sizes and three draws
    assert (counts["tfidf"], counts["words"], counts["words, batch"]) == (8, 2, 12)
    failed = {(cell.task, cell.method, cell.shots): cell.error for cell in study.cells.values() if cell.error}
    assert failed["two", "broken", 4] == "MemoryError: too many rows"
    assert "unexpected keyword argument 'nothing'" in failed["three", "absent", 0]
    cell = study.cells["three", "tfidf", 8, 1]
    truth = indices(study.tasks["three"]["truth"])
    assert len(truth) == 36 and np.bincount(truth).tolist() == [12, 12, 12]
    assert cell.balanced_accuracy == pytest.approx(balanced_accuracy_score(truth, indices(cell.predicted)), abs=1e-4)
    assert cell.balanced_accuracy > 0.9  # the words of the texts are the labels

    page = tmp_path / "page.md"
    page.write_text(f"# Tasks\n\n{START}\nold\n{END}\n\nText.\n", encoding="utf-8")
    render(Study.read(folder / CELLS), PLAN.layout, page)
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# Tasks\n\n{START}\n\n") and text.endswith(f"{END}\n\nText.\n") and "old" not in text
    assert "| three | English | 3 | 36 | 36 |" in text and "| **mean** |" in text
    assert "- broken: MemoryError: too many rows (two, three)" in text

    # a family that works now, and one more: nothing else is measured again
    Noisy.fits, before = 0, dict(study.cells)
    more = families(bert_tiny) | {"absent": Family({"absent": lambda task: tfidf("char")}, draws=1)}
    del more["quick"].methods["broken"]
    study = Runner(folder, 1.0, lines.append).run(tasks, {name: more[name] for name in ("absent", "quick")}, shots=[4])
    assert study.cells["two", "absent", 4, 0].error is None and ("two", "absent", 0, 0) not in study.cells
    assert {key: study.cells[key] for key in before if key[1] == "tfidf"} == {
        key: cell for key, cell in before.items() if key[1] == "tfidf"
    }
    assert Study.read(folder / CELLS).cells == study.cells


def test_a_spent_budget_stops_between_runs_and_resumes(tasks, tmp_path):
    noise, lines = {"noise": Family({"noise": lambda task: Noisy()}, draws=2)}, []
    study = Runner(tmp_path, 0.0, lines.append).run(tasks, noise, shots=[4])
    assert len(study.cells) == 0 and lines[-1] == "the budget of 0.0 hours is spent; a larger --hours resumes"
    study = Runner(tmp_path, 1.0, lines.append).run(tasks, noise, shots=[4])
    assert len(study.cells) == 4 and study.seconds > 0
    again = Runner(tmp_path, 0.0, lines.append).run(tasks, noise, shots=[4], draws=1)
    assert again.cells == study.cells

    # cells alone suffice: nothing is measured again where the runs are gone
    shutil.rmtree(tmp_path / "runs")
    Noisy.fits = 0
    again = Runner(tmp_path, 1.0, lines.append).run(tasks, noise, shots=[4])
    assert again.cells == study.cells and Noisy.fits == 0
    again = Runner(tmp_path, 1.0, lines.append).run(tasks, noise, shots=[4, 8])
    assert len(again.cells) == 8 and Noisy.fits > 0


def test_other_held_out_rows_make_old_cells_void(tasks):
    study = Study()
    two, three = tasks
    study.describe(two, two.split())
    study.add(Cell("two", "tfidf", 4, 0, 0.5, predicted="01"))
    study.describe(two, two.split())
    assert len(study.cells) == 1
    study.describe(two, three.split())
    assert len(study.cells) == 0


def test_differences_are_paired_and_of_the_shared_draws():
    truth = "01" * 50
    study = Study({"t": {"language": "English", "classes": 2, "train": 9, "truth": truth}})
    wrong = "10" * 10 + "01" * 40
    for seed in range(3):
        study.add(Cell("t", "automatic", 4, seed, 1.0, predicted=truth))
    for seed in range(2):
        study.add(Cell("t", "lora", 4, seed, 0.8, predicted=wrong))
    study.add(Cell("t", "words", 0, 0, 0.5, predicted="0" * 100))
    text = Tables(study, PLAN.layout).markdown()
    assert "| t | lora | +0.200 | +0.137 to +0.268 |" in text
    assert "| t | 0.500 | **1.000** ± 0.000 | 0.800 ± 0.000 |" in text


def test_kinds_of_soft_prompts_are_compared_with_plain_ones():
    study = Study({"movie-reviews": {"language": "English", "classes": 2, "train": 9, "truth": "01" * 50}})
    for kind, right in (("plain", 40), ("late", 45), ("words", 30)):
        predicted = "01" * right + "10" * (50 - right)
        study.add(
            Cell("movie-reviews", kind, 16, 0, right / 50, predicted=predicted, trainable=5760, artifact_bytes=23300)
        )
    text = Tables(study, SOFT_PROMPTS.layout).markdown()
    assert "| minus plain, 90 % interval | words | late |" in text
    assert "| movie-reviews | -0.200 (" in text and "| +0.100 (" in text
    assert "| movie-reviews | 5,760, 23 | 5,760, 23 | 5,760, 23 |" in text


@pytest.mark.parametrize("name", SOFT_PROMPTS.tasks)
def test_every_kind_of_soft_prompt_has_a_template_for_every_task(name):
    task = TASKS[name]
    templates = [template_of(kind, task) for kind in KINDS]
    assert len({*map(str, templates)}) == len(KINDS)
    assert all([block.count for block in template.blocks] == [10] for template in templates)


def test_rows_are_split_in_halves_without_overlap(tmp_path):
    path = tmp_path / "rows.csv"
    rows = [f'"{label} text, {n}",{label}' for n in range(50) for label in "ab"]
    path.write_text("text,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    split = halves(path)
    assert split.test.labels[:4] == ("a", "b", "a", "b") and len(split.test) == len(split.train) == 50
    assert len({*split.test.texts, *split.train.texts}) == 100


def test_every_task_has_a_word_for_each_label():
    assert len(TASKS) >= 12 and {task.language for task in TASKS.values()} == {"English", "Chinese"}
    assert sum(len(resolve_verbalizer(task.words).labels) > 2 for task in TASKS.values()) >= len(TASKS) / 2
    for task in TASKS.values():
        name = task.name.removesuffix(", uneven")
        labels = DATASETS[name].labels if task.source == "starter" else task.split().train.labels
        assert {*labels} == {*resolve_verbalizer(task.words).labels}
        assert resolve_template(task.template).fields == ("text",)


def test_written_sets_leave_enough_rows():
    banking = TASKS["banking-en"].split()
    assert (len(banking.train), len(banking.test), TASKS["banking-en"].shots) == (300, 300, (16, 8, 4))


def test_digits():
    assert indices(digits(np.arange(36))).tolist() == list(range(36))
    assert [*PLAN.chosen(["tfidf", "lora"])] == ["baselines", "lora"]
    assert SENTIMENT == {"negative": "negative", "positive": "positive"}
