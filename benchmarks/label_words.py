"""Label words found in 16 examples per class and words written by hand; results in docs/measurements/label-words.md.

Usage: python benchmarks/label_words.py [english|chinese|masked ...]     (all without an argument)

Five draws of the training examples. The candidates of all draws and the words written by hand are scored on the first
1,000 held-out rows in one pass; what each search finds is then a matter of arithmetic.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from statistics import fmean, stdev

import numpy as np
import torch
from sklearn.metrics import balanced_accuracy_score

from softcloze import Backbone, Template, Verbalizer, load_backbone
from softcloze.data import Examples, few_shot
from softcloze.encoding import CompiledTemplate
from softcloze.label_words.beam_search import choose_words
from softcloze.label_words.candidates import RANKINGS, Candidates, read_candidates
from softcloze.label_words.search import initial_words
from softcloze.library import load_verbalizer
from softcloze.scoring import Scorer, compute_features, plan_words
from softcloze.starters import load_data

ROWS, SHOTS, DRAWS = 1000, 16, 5
WORDS = (1, 3)
LABELS = ("negative", "positive")


@dataclass(frozen=True)
class Setup:
    """A hard template with label words written for it, for one model and data set."""

    data: str
    model: str
    template: str
    verbalizer: str


SETUPS = {
    "english": Setup("movie-reviews", "smollm2-135m", "Review: <text>\nSentiment: <mask>", "sentiment/en"),
    "chinese": Setup("chinese-reviews", "gemma3-270m", "<text> 总之，很<mask>", "sentiment/zh"),
    "masked": Setup("movie-reviews", "bert-tiny", "<text> It was <mask>.", "sentiment/en-cloze"),
}


@dataclass(frozen=True)
class Reading:
    """Scores by a model: of the candidates in each draw of training examples, and of all of them in the held-out rows.

    Attributes:
        names: labels that are words themselves, which come first.
        draws: the candidates of each draw and the number of the label of each example.
        words: every word that is scored: column of `scores`.
        scores: log-probabilities in the held-out rows, up to a constant for each, shape (rows, words).
        labels: of the held-out rows.
    """

    names: list[str]
    draws: list[tuple[Candidates, np.ndarray]]
    words: dict[str, int]
    scores: torch.Tensor
    labels: tuple[str, ...]


def read(setup: Setup) -> Reading:
    """One pass over the training examples of all draws, and one over the held-out rows."""
    data, backbone = load_data(setup.data), load_backbone(f"starter:{setup.model}")
    compiled = CompiledTemplate(Template(setup.template), backbone.prompt_tokenizer, backbone.max_length)
    names = initial_words(compiled, LABELS, None)
    draws = [_candidates(backbone, compiled, data.train, seed, names) for seed in range(DRAWS)]
    written = by_hand(setup).all_words
    words = sorted({*written, *(word for found, _ in draws for word in found.words)})
    prompts = compiled.encode(data.test.texts[:ROWS])
    plan = plan_words(backbone, [compiled.word_ids(word) for word in words], has_right=compiled.has_right)
    scorer = Scorer(backbone, plan)
    with backbone.frozen():
        scores = compute_features(scorer, prompts, None)
    return Reading(names, draws, {word: i for i, word in enumerate(words)}, scores, data.test.labels[:ROWS])


def _candidates(
    backbone: Backbone, compiled: CompiledTemplate, train: Examples, seed: int, names: list[str]
) -> tuple[Candidates, np.ndarray]:
    rows = few_shot(train.labels, SHOTS, random_state=seed)
    texts = [train.texts[i] for i in rows]
    targets = np.unique([train.labels[i] for i in rows], return_inverse=True)[1]
    return read_candidates(backbone, compiled, compiled.encode(texts), targets, texts, names), targets


def by_hand(setup: Setup) -> Verbalizer:
    """The words written for the template."""
    return Verbalizer(dict(load_verbalizer(setup.verbalizer).words))


def measure(reading: Reading, verbalizer: Verbalizer) -> float:
    """Balanced accuracy in the held-out rows."""
    scores = verbalizer.label_scores(reading.scores[:, [reading.words[word] for word in verbalizer.all_words]])
    predicted = [verbalizer.labels[i] for i in scores.argmax(1).tolist()]
    return float(balanced_accuracy_score(reading.labels, predicted))


def found(candidates: Candidates, targets: np.ndarray, method: str, words: int, names: Sequence[str]) -> Verbalizer:
    """Label words by `search_label_words`."""
    start = tuple((candidates.words.index(name),) for name in names) or None
    choice = choose_words(candidates.log_probs, targets, RANKINGS[method], words, 0, start)
    return Verbalizer({label: [candidates.words[i] for i in own] for label, own in zip(LABELS, choice, strict=True)})


def report(name: str, setup: Setup, reading: Reading) -> None:
    """Print a Markdown table and the words of every draw."""
    written = by_hand(setup)
    print(f"\n| {name} | mean | sd | each draw |\n| --- | --- | --- | --- |", flush=True)
    print(f"| by hand: {_listed(written)} | {measure(reading, written):.3f} | | |", flush=True)
    lists = []
    for method, words, names in product(RANKINGS, WORDS, [reading.names, []] if reading.names else [[]]):
        what = f"{method}, words={words}" + (", start={}" if reading.names and not names else "")
        verbalizers = [found(candidates, targets, method, words, names) for candidates, targets in reading.draws]
        accuracies = [measure(reading, verbalizer) for verbalizer in verbalizers]
        each = ", ".join(f"{accuracy:.3f}" for accuracy in accuracies)
        print(f"| {what} | {fmean(accuracies):.3f} | {stdev(accuracies):.3f} | {each} |", flush=True)
        lists += [f"- {what}, draw {i}: {_listed(own)}" for i, own in enumerate(verbalizers)]
    print("\n" + "\n".join(lists), flush=True)


def _listed(verbalizer: Verbalizer) -> str:
    return " / ".join(", ".join(own) for own in verbalizer.words)


def main() -> None:
    """Print the tables of the setups that the arguments name."""
    for name in sys.argv[1:] or list(SETUPS):
        report(name, SETUPS[name], read(SETUPS[name]))


if __name__ == "__main__":
    main()
