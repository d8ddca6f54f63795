"""What soft prompts achieve on the three starter models, in both languages: the table of docs/defaults.md.

Usage: python benchmarks/defaults.py [SETUP ...]     (all setups without an argument)
"""

import json
import sys
from dataclasses import asdict, dataclass

from softcloze.experiments import Comparison, compare
from softcloze.starters import load_data

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
    return compare(
        load_data(setup.data),
        model=f"starter:{setup.model}",
        hard=setup.hard,
        soft=[setup.soft],
        verbalizer=setup.verbalizer,
        shots=setup.shots,
        seeds=SEEDS,
        test_rows=1000,
        epochs=setup.epochs,
        batch_size=setup.batch_size,
        learning_rate=setup.learning_rate,
    )


def main() -> None:
    """Print a Markdown row for each setup, and everything that was measured as JSON to stderr."""
    names = sys.argv[1:] or list(SETUPS)
    print("| setup | template | shots | hard prompt | soft prompt | each draw | training | scoring |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in names:
        setup = SETUPS[name]
        hard, soft = measure(setup).rows
        runs = len(soft.accuracies)
        print(
            f"| {name} | {setup.soft} | {setup.shots} | {hard.accuracy:.3f} "
            f"| {soft.accuracy:.3f} ± {soft.accuracy_sd:.3f} | {', '.join(f'{a:.3f}' for a in soft.accuracies)} "
            f"| {soft.fit_seconds / runs:.0f} s | {soft.predict_seconds / runs:.0f} s |",
            flush=True,
        )
        print(json.dumps({name: [asdict(hard), asdict(soft)]}), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
