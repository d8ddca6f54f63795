"""Measure linear layers on sentence embeddings: the table of docs/measurements/heads.md.

Usage: python benchmarks/probes.py [TASK ...]     (names of benchmarks/tasks/sets.py)
"""

import sys
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, log_loss

from softcloze import Verbalizer
from softcloze.data import few_shot
from softcloze.embeddings import load_encoder
from softcloze.heads import fit_exact

sys.path.insert(0, str(Path(__file__).parent.parent))  # run as a script

from benchmarks.tasks.sets import TASKS

DRAWS, SHOTS = 5, (8, 16)
CS = (1.0, 10.0)  # of scikit-learn's LogisticRegression
DEFAULT = ("tickets-en", "tweets-3", "movie-reviews", "banking-en")


def measure(name: str, shots: int) -> dict[str, np.ndarray]:
    """Balanced accuracy and log loss in nats of each way, mean over the draws."""
    split, encoder = TASKS[name].split(), load_encoder()
    labels = sorted(set(split.train.labels))
    verbalizer = Verbalizer({label: str(label) for label in labels})
    names, test = (encoder.embed(texts) for texts in (map(str, labels), split.test.texts))
    truth = [labels.index(label) for label in split.test.labels]
    scores: dict[str, list[tuple[float, float]]] = {}
    for draw in range(DRAWS):
        rows = few_shot(split.train.labels, shots, draw)
        embeddings = encoder.embed([split.train.texts[i] for i in rows])
        targets = [labels.index(split.train.labels[i]) for i in rows]
        ways = {f"logistic regression, C={C:g}": LogisticRegression(C=C, max_iter=2000) for C in CS}
        predicted = {way: model.fit(embeddings, targets).predict_proba(test) for way, model in ways.items()}
        for way, further in (("exact", names[:0]), ("exact, names of labels as examples", names)):
            fit = fit_exact(
                "linear",
                verbalizer,
                torch.from_numpy(embeddings),
                targets,
                label_features=torch.from_numpy(further),
                seed=draw,
            )
            predicted[way] = fit.head.label_scores(torch.from_numpy(test)).detach().double().softmax(1).numpy()
        for way, probabilities in predicted.items():
            score = balanced_accuracy_score(truth, probabilities.argmax(1)), log_loss(truth, probabilities)
            scores.setdefault(way, []).append(score)
    return {way: np.mean(values, axis=0) for way, values in scores.items()}


def main() -> None:
    """Print a row for each task and number of rows of each class."""
    for task in sys.argv[1:] or DEFAULT:
        for shots in SHOTS:
            measured = measure(task, shots)
            cells = [f"{way} {accuracy:.3f} ({loss:.2f})" for way, (accuracy, loss) in measured.items()]
            print(f"{task}, {shots} of each: {'; '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
