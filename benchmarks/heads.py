"""Measure each head on hard prompts: the tables of docs/measurements/heads.md.

Usage: python benchmarks/heads.py [SETUP ...]     (all setups without an argument)

The model computes all rows once for each kind of features; heads learn from draws of the training rows.
"""

import csv
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import balanced_accuracy_score

from softcloze import PromptClassifier, Verbalizer, load_backbone
from softcloze.data import Examples, Split, few_shot
from softcloze.heads import fit_exact
from softcloze.library import resolve_template, resolve_verbalizer
from softcloze.prompt import BoundPrompt, CompiledPrompt
from softcloze.starters import load_data

DRAWS = 5
EXACT = (("linear", "mask"), ("linear", "mean"), ("words+linear", "mask"), ("words+linear", "mean"))
TRAINED = (("warp", 3), ("warp", 20), ("prototypes", 1))
TASKS = Path(__file__).parent / "tasks"


@dataclass(frozen=True)
class Setup:
    """A hard template on a model and data set.

    Attributes:
        data: a starter, or a file of `benchmarks/tasks`, whose first rows are held out.
        model: a starter model.
        template: the template.
        verbalizer: label words; None for the labels themselves.
        shots: training rows of each class, in each series of draws.
        pool: rows of each class from which they are drawn.
        held_out: rows to test on.
        trained: whether heads that are trained in epochs are measured too.
    """

    data: str
    model: str
    template: str
    verbalizer: str | dict[str, str] | None
    shots: tuple[int, ...]
    pool: int
    held_out: int
    trained: bool = False


GOOD_BAD = {"positive": "good", "negative": "bad"}
POLES = {"positive": "positive", "negative": "negative"}
SETUPS = {
    "bert": Setup("movie-reviews", "bert-tiny", "It was <mask>. <text>", GOOD_BAD, (16, 100), 200, 1000, trained=True),
    "bert-1000": Setup("movie-reviews", "bert-tiny", "It was <mask>. <text>", GOOD_BAD, (1000,), 1500, 1000),
    "movie": Setup("movie-reviews", "smollm2-135m", "Review: <text>\nSentiment: <mask>", POLES, (4, 16), 40, 200),
    "tweets-3": Setup("tweets-3", "smollm2-135m", "Tweet: <text>\nSentiment: <mask>", None, (4, 16), 40, 200),
    "banking": Setup("banking-en.csv", "smollm2-135m", "Message: <text>\nIt is about: <mask>", None, (4, 8), 16, 200),
}


def load(setup: Setup) -> Split:
    """The rows to draw from and the rows that are held out."""
    if not setup.data.endswith(".csv"):
        data = load_data(setup.data)
        return Split(data.train, Examples(data.test.texts[: setup.held_out], data.test.labels[: setup.held_out]))
    with (TASKS / setup.data).open(encoding="utf-8", newline="") as file:
        rows = [(row["text"], row["label"]) for row in csv.DictReader(file)]
    return Split(Examples.from_rows(rows[setup.held_out :]), Examples.from_rows(rows[: setup.held_out]))


class ExperimentGrid:
    """One model and template: all rows that a draw may need, computed once for each kind of features."""

    def __init__(self, setup: Setup):
        """Load the model and the rows."""
        self.setup, self.backbone, self.data = setup, load_backbone(f"starter:{setup.model}"), load(setup)
        labels = sorted(set(self.data.train.labels))
        verbalizer = setup.verbalizer if setup.verbalizer is not None else {label: str(label) for label in labels}
        self.verbalizer = resolve_verbalizer(verbalizer)
        assert isinstance(self.verbalizer, Verbalizer)
        index = {label: i for i, label in enumerate(self.verbalizer.labels)}
        used = few_shot(self.data.train.labels, setup.pool, 0)
        of_pool = [self.data.train.labels[row] for row in used]
        self.draws = {(shots, seed): few_shot(of_pool, shots, seed) for shots in setup.shots for seed in range(DRAWS)}
        self.targets = np.array([index[label] for label in of_pool])
        self.expected = np.array([index[label] for label in self.data.test.labels])
        self.labels, self.texts = of_pool, [self.data.train.texts[row] for row in used]
        texts = self.texts + list(self.data.test.texts)
        self.train, self.test = {}, {}
        for kind in ("mask", "mean"):
            template = resolve_template(setup.template)
            bound = CompiledPrompt(template, self.verbalizer, self.backbone, None, "words+linear", features=kind)
            started = time.perf_counter()
            features = bound.features(bound.encode(texts), None)
            print(f"<!-- {kind}: {len(texts) / (time.perf_counter() - started):.1f} rows/s -->", flush=True)
            self.train[kind], self.test[kind] = features[: len(used)], features[len(used) :]

    def words(self) -> float:
        """Balanced accuracy of the label words."""
        scores = self.verbalizer.label_scores(self.test["mask"][:, : self.verbalizer.scored])
        return self.balanced(scores)

    def exact(self, head: str, kind: str, shots: int, seed: int) -> float:
        """Balanced accuracy of an exact head on one draw."""
        rows = self.draws[shots, seed]
        first = self.verbalizer.scored if head == "linear" else 0
        fit = fit_exact(
            head, self.verbalizer, self.train[kind][rows][:, first:], self.targets[rows].tolist(), seed=seed
        )
        with torch.no_grad():
            return self.balanced(fit.head.label_scores(self.test[kind][:, first:]))

    def trained(self, head: str, epochs: int, shots: int, seed: int) -> float:
        """Balanced accuracy of a head that is trained in epochs, on one draw."""
        rows = self.draws[shots, seed]
        texts, labels = [self.texts[i] for i in rows], [self.labels[i] for i in rows]
        clf = PromptClassifier(self.backbone, self.setup.template, self.verbalizer, head=head, epochs=epochs)
        clf.set_params(batch_size=8, random_state=seed).fit(texts, labels)
        learnt = BoundPrompt(clf.prompt_, self.backbone).parts.head
        first = self.verbalizer.scored if head == "warp" else 0
        with torch.no_grad():
            return self.balanced(learnt.label_scores(self.test["mask"][:, first:]))

    def balanced(self, scores: torch.Tensor) -> float:
        """Balanced accuracy of label scores of the held-out rows."""
        return float(balanced_accuracy_score(self.expected, scores.argmax(-1).numpy()))


def main() -> None:
    """Print a Markdown row for each setup and number of shots."""
    for name in sys.argv[1:] or SETUPS:
        bench = ExperimentGrid(SETUPS[name])
        print(f"| {name} | words | {bench.words():.3f} |", flush=True)
        for shots in bench.setup.shots:
            runs = {f"{head}, {kind}": (bench.exact, head, kind) for head, kind in EXACT}
            if bench.setup.trained:
                runs |= {f"{head}, {epochs} epochs": (bench.trained, head, epochs) for head, epochs in TRAINED}
            for run, (measure, *options) in runs.items():
                started = time.perf_counter()
                measured = [measure(*options, shots, seed) for seed in range(DRAWS)]
                seconds = (time.perf_counter() - started) / DRAWS
                spread = f"{np.mean(measured):.3f} ± {np.std(measured, ddof=1):.3f}"
                print(f"| {name} | {shots} | {run} | {spread} | {seconds:.2f} s |", flush=True)


if __name__ == "__main__":
    main()
