"""Nothing but texts and labels: template, words and head are chosen. 只给文本和标签，其余自动选择。

Tasks: tweets in 3 classes and bank messages in 12 (English, SmolLM2, sentence embeddings beside the prompts), questions
in 3 classes and headlines in 10 (Chinese, Gemma).
任务：推文三类、银行来信十二类（英文）；问题三类、新闻标题十类（中文）。
"""

import argparse
import csv
from pathlib import Path

from sklearn.metrics import balanced_accuracy_score

from softcloze import AutoPromptClassifier
from softcloze.data import few_shot
from softcloze.starters import load_data

SETS = Path(__file__).parent.parent / "benchmarks" / "tasks"
SMOLLM2, GEMMA, ENCODER = "starter:smollm2-135m", "starter:gemma3-270m", "starter:minilm-l6"
TASKS = {  # model, encoder of the language, rows
    "tweets": (SMOLLM2, ENCODER, lambda: tweets()),
    "bank": (SMOLLM2, ENCODER, lambda: read("banking-en")),
    "questions": (GEMMA, None, lambda: read("questions-zh", ("人物", "时间", "原因"))),
    "headlines": (GEMMA, None, lambda: read("headlines-zh")),
}


def tweets():
    """Texts and labels of a starter."""
    rows = load_data("tweets-3").train
    return rows.texts, rows.labels


def read(name, only=None):
    """Texts and labels of a set of the repository; those of some labels alone if `only` names them."""
    with (SETS / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["text"], row["label"]) for row in csv.DictReader(file)]
    return [*zip(*(row for row in rows if only is None or row[1] in only), strict=True)]


def run(task):
    """Choose on a few rows of each class, and measure on others."""
    model, encoder, load = TASKS[task]
    texts, labels = load()
    drawn = few_shot(labels, arguments.shots, random_state=0)
    others = [i for i in range(len(texts)) if i not in {*drawn}]
    held_out = [others[i] for i in few_shot([labels[i] for i in others], arguments.rows, random_state=0)]
    auto = AutoPromptClassifier(
        model,
        encoder=None if arguments.without_encoder else encoder,
        budget=None,
        candidates=arguments.candidates,
        soft_prompts=0,
        random_state=0,
    )
    auto.fit([texts[i] for i in drawn], [labels[i] for i in drawn])
    predicted = auto.predict([texts[i] for i in held_out])
    accuracy = balanced_accuracy_score([labels[i] for i in held_out], predicted)
    print(auto.trials_)
    print(f"{task}: balanced accuracy {accuracy:.3f} on {len(held_out)} held-out rows\n")
    print(f"{texts[held_out[0]]} -> {predicted[0]}")
    if hasattr(auto.best_estimator_, "classifiers"):
        print(auto.best_estimator_.explain(texts[held_out[0]]))


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("tasks", nargs="*", default=["tweets", "bank"], help=f"of {', '.join(TASKS)}")
parser.add_argument("--shots", type=int, default=8, help="training rows of each class")
parser.add_argument("--rows", type=int, default=8, help="held-out rows of each class")
parser.add_argument("--candidates", type=int, default=2, help="templates to try")
parser.add_argument("--without-encoder", action="store_true", help="prompts alone")
arguments = parser.parse_args()
for task in arguments.tasks:
    run(task)
