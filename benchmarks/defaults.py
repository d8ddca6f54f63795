"""Measure soft prompts on the three starter models, in both languages: the table of docs/measurements/defaults.md.

Usage: python benchmarks/defaults.py [SETUP ...]     (all setups without an argument)
"""

import json
import sys
from dataclasses import asdict, dataclass

from softcloze import Comparison, PromptClassifier, Protocol, compare, load_backbone

SEEDS = 5


@dataclass(frozen=True)
class Setup:
    """One row of the table, measured on the first 1,000 held-out rows, which are balanced."""

    data: str
    model: str
    hard: str
    soft: str
    verbalizer: str | dict[str, str]
    shots: int
    epochs: int = 3
    batch_size: int = 4
    learning_rate: float = 0.04


BERT = (
    "movie-reviews",
    "bert-tiny",
    "It was <mask>. <text>",
    "<soft*10> It was <mask>. <text>",
    {"positive": "good", "negative": "bad"},
)
SETUPS = {
    "front": Setup(
        *("movie-reviews", "smollm2-135m", "sentiment/en", "sentiment/en-soft", "sentiment/en", 16), batch_size=8
    ),
    "after": Setup(
        *("movie-reviews", "smollm2-135m", "sentiment/en", "sentiment/en-after", "sentiment/en", 16), batch_size=8
    ),
    "worked-front": Setup(
        *("movie-reviews", "smollm2-135m", "sentiment/en-worked", "sentiment/en-worked-front", "sentiment/en", 16)
    ),
    "worked-after": Setup(
        *("movie-reviews", "smollm2-135m", "sentiment/en-worked", "sentiment/en-worked-after", "sentiment/en", 16)
    ),
    "worked-zh": Setup(
        *("chinese-reviews", "gemma3-270m", "sentiment/zh-worked", "sentiment/zh-worked-front"),
        *("sentiment/zh-recommend", 16),
        batch_size=8,
    ),
    "bert-16": Setup(*BERT, 16, batch_size=8),
    "bert-100": Setup(*BERT, 100, batch_size=8),
    "bert-1000": Setup(*BERT, 1000, epochs=20, batch_size=8, learning_rate=0.1),
}


def measure(setup: Setup) -> Comparison:
    """Hard prompt once, soft prompt with five draws of its training rows."""
    backbone = load_backbone(f"starter:{setup.model}")
    learning = {"epochs": setup.epochs, "batch_size": setup.batch_size, "learning_rate": setup.learning_rate}
    methods = {
        "hard": PromptClassifier(backbone, setup.hard, setup.verbalizer),
        "soft": PromptClassifier(backbone, setup.soft, setup.verbalizer, **learning),
    }
    return compare(methods, setup.data, Protocol(shots=setup.shots, seeds=SEEDS))


def main() -> None:
    """Print a Markdown row for each setup, and everything that was measured as JSON to stderr."""
    names = sys.argv[1:] or list(SETUPS)
    print("| setup | template | shots | hard prompt | soft prompt | each draw | training | scoring |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in names:
        setup = SETUPS[name]
        hard, soft = measure(setup).summary()
        print(
            f"| {name} | {setup.soft} | {setup.shots} | {hard.accuracy.mean:.3f} "
            f"| {soft.accuracy.mean:.3f} ± {soft.accuracy.sd:.3f} "
            f"| {', '.join(f'{a:.3f}' for a in soft.accuracy.each)} "
            f"| {soft.fit_seconds:.0f} s | {soft.predict_seconds:.0f} s |",
            flush=True,
        )
        print(json.dumps({name: [asdict(hard), asdict(soft)]}), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
