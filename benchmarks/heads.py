"""Measure each head on hard prompts: the table of docs/measurements/heads.md.

Usage: python benchmarks/heads.py [SETUP ...]     (all setups without an argument)

The model reads the first 1,000 held-out rows once for all heads; each head learns from five draws of training rows.
"""

import sys
from dataclasses import dataclass

import numpy as np
import torch

from softcloze import PromptClassifier, Verbalizer, load_backbone
from softcloze.data import Examples, few_shot
from softcloze.heads import HEADS
from softcloze.library import resolve_template, resolve_verbalizer
from softcloze.prompt import BoundPrompt, CompiledPrompt
from softcloze.starters import load_data

ROWS, DRAWS = 1000, 5
RUNS = (("words", 1), ("soft", 3), ("soft", 20), ("linear", 20), ("linear", 100), ("prototypes", 1))


@dataclass(frozen=True)
class Setup:
    """A hard template on a model and data set."""

    data: str
    model: str
    template: str
    verbalizer: str | dict[str, str]
    shots: int


BERT = ("movie-reviews", "bert-tiny", "It was <mask>. <text>", {"positive": "good", "negative": "bad"})
SMOLLM2 = ("movie-reviews", "smollm2-135m", "sentiment/en-worked", "sentiment/en")
GEMMA = ("chinese-reviews", "gemma3-270m", "sentiment/zh-worked", "sentiment/zh-recommend")
SETUPS = {
    "bert-16": Setup(*BERT, 16),
    "bert-100": Setup(*BERT, 100),
    "bert-1000": Setup(*BERT, 1000),
    "smollm2-16": Setup(*SMOLLM2, 16),
    "smollm2-100": Setup(*SMOLLM2, 100),
    "gemma-16": Setup(*GEMMA, 16),
}


class ExperimentGrid:
    """One model and template, with the held-out rows read."""

    def __init__(self, setup: Setup):
        """Load the model and read the rows."""
        self.setup, self.backbone = setup, load_backbone(f"starter:{setup.model}")
        self.data = load_data(setup.data)
        test = Examples(self.data.test.texts[:ROWS], self.data.test.labels[:ROWS])
        verbalizer = resolve_verbalizer(setup.verbalizer)
        assert isinstance(verbalizer, Verbalizer)
        # this head reads all that any head does
        bound = CompiledPrompt(resolve_template(setup.template), verbalizer, self.backbone, None, "prototypes")
        self.features = bound.features(bound.encode(test.texts), None)
        self.words = len(verbalizer.all_words)
        self.expected = np.array(test.labels)

    def accuracy(self, head: str, seed: int, epochs: int) -> float:
        """Fit one draw, and how often it is right."""
        rows = few_shot(self.data.train.labels, self.setup.shots, seed)
        texts, labels = [self.data.train.texts[i] for i in rows], [self.data.train.labels[i] for i in rows]
        template, verbalizer = self.setup.template, self.setup.verbalizer
        clf = PromptClassifier(
            self.backbone, template, verbalizer, head=head, epochs=epochs, batch_size=8, random_state=seed
        )
        clf.fit(texts, labels)
        learnt = BoundPrompt(clf.prompt_, self.backbone).parts.head
        with torch.no_grad():
            scores = learnt.label_scores(self.features if HEADS[head].words else self.features[:, self.words :])
        return float(np.mean(clf.classes_[scores.argmax(-1).numpy()] == self.expected))


def main() -> None:
    """Print a Markdown row for each setup and head."""
    print("| setup | head | epochs | accuracy | each draw |")
    print("| --- | --- | --- | --- | --- |")
    for name in sys.argv[1:] or SETUPS:
        bench = ExperimentGrid(SETUPS[name])
        for head, epochs in RUNS:
            draws = DRAWS if head != "words" else 1
            found = [bench.accuracy(head, seed, epochs) for seed in range(draws)]
            spread = f" ± {np.std(found, ddof=1):.3f}" if draws > 1 else ""
            each = ", ".join(f"{accuracy:.3f}" for accuracy in found)
            print(f"| {name} | {head} | {epochs} | {np.mean(found):.3f}{spread} | {each} |", flush=True)


if __name__ == "__main__":
    main()
