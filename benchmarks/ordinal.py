"""Five ordered labels by a word each, or by words for the two poles alone: the table of docs/measurements/ordinal.md.

Usage: python benchmarks/ordinal.py

Film reviews with one to five stars, the first 500 held-out rows (100 of each label), SmolLM2. Every prompt is measured
without training, as it is and with calibration="batch", and with ten soft vectors trained on 16 rows of
each label, three draws of them: behind the review, so that all draws are measured in one pass.
"""

import warnings
from collections.abc import Sequence

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, cohen_kappa_score, mean_absolute_error

from softcloze import Backbone, OrdinalVerbalizer, PromptClassifier, PromptSet, Verbalizer, load_backbone
from softcloze.calibration import fit_bias
from softcloze.data import Examples, few_shot
from softcloze.starters import load_data

ROWS, SHOTS, DRAWS = 500, 16, 3
TEMPLATE = "Review: <text> In short, the movie is <mask>"
SOFT = "Review: <text> <soft*10> In short, the movie is <mask>"
STARS = ["1", "2", "3", "4", "5"]
VERBALIZERS = {
    "terrible, bad, okay, good, great": Verbalizer(
        dict(zip(STARS, ["terrible", "bad", "okay", "good", "great"], strict=True))
    ),
    "terrible to great": OrdinalVerbalizer(STARS, low="terrible", high="great"),
    "terrible, bad to good, great": OrdinalVerbalizer(STARS, low=["terrible", "bad"], high=["good", "great"]),
}


def metrics(stars: Sequence[str], scores: np.ndarray) -> list[float]:
    """Accuracy, mean absolute error in stars, and quadratic weighted kappa."""
    truth, predicted = np.array([*map(int, stars)]), scores.argmax(1) + 1
    return [
        float(accuracy_score(truth, predicted)),
        float(mean_absolute_error(truth, predicted)),
        float(cohen_kappa_score(truth, predicted, weights="quadratic")),
    ]


def show(name: str, how: str, draws: Sequence[Sequence[float]]) -> None:
    """Print a row of the Markdown table: the mean over the draws, and their range where there are several."""
    cells = []
    for values in zip(*draws, strict=True):
        spread = f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else ""
        cells.append(f"{np.mean(values):.3f}{spread}")
    print(f"| {name} | {how} | {' | '.join(cells)} |", flush=True)


def print_untrained(backbone: Backbone, test: Examples) -> None:
    """Print the rows of the hard prompt."""
    for name, verbalizer in VERBALIZERS.items():
        scores = PromptClassifier(backbone, TEMPLATE, verbalizer).decision_function(test.texts)
        show(name, "no training", [metrics(test.labels, scores)])
        corrected = fit_bias(scores, "batch").apply(scores)
        show(name, 'no training, calibration="batch"', [metrics(test.labels, corrected)])


def print_trained(backbone: Backbone, train: Examples, test: Examples) -> None:
    """Print the rows of the soft prompt."""
    draws = [few_shot(train.labels, SHOTS, random_state=seed) for seed in range(DRAWS)]
    for name, verbalizer in VERBALIZERS.items():
        fitted = [
            PromptClassifier(backbone, SOFT, verbalizer, batch_size=8, random_state=seed).fit(
                [train.texts[i] for i in rows], [train.labels[i] for i in rows]
            )
            for seed, rows in enumerate(draws)
        ]
        found = PromptSet([clf.prompt_ for clf in fitted], backbone).label_scores(test.texts)
        show(name, f"{SHOTS} per class", [metrics(test.labels, scores) for scores in found])


def main() -> None:
    """Print the table row by row."""
    data, backbone = load_data("movie-stars"), load_backbone("starter:smollm2-135m")
    test = Examples(data.test.texts[:ROWS], data.test.labels[:ROWS])
    warnings.simplefilter("ignore", ConvergenceWarning)
    print("| words | | accuracy | mean absolute error | kappa |\n| --- | --- | --- | --- | --- |", flush=True)
    print_untrained(backbone, test)
    print_trained(backbone, data.train, test)


if __name__ == "__main__":
    main()
