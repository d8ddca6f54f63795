"""Speed with twelve label words beside two, of one and two tokens each, with and without a list of them in the prompt.

Usage: OMP_NUM_THREADS=1 python benchmarks/many_classes.py [--rounds 3] [--rows 96] [--dtype float32] [--json FILE]

Both run in turn within a round, on the same texts and with the same template; what is printed are medians over the
rounds and their ratio. Times are those of the processor, so that other work on the core does not count.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from softcloze import Backbone, PromptClassifier, load_backbone
from softcloze.starters import load_data
from softcloze.training import TrainingSettings

# the first two are of one and of two tokens, as are the twelve
WORDS = (
    "sports",
    "real estate",
    "politics",
    "video games",
    "health",
    "credit cards",
    "music",
    "pet care",
    "travel",
    "job search",
    "gardening",
    "public transport",
)
TEXT_WORDS = 12
TEMPLATES = {
    "no list": "Message: <text>\nTopic: <mask>",
    "list before the text": "Topics: <options>\nMessage: <text>\nTopic: <mask>",
    "list after the text": "Message: <text>\nTopics: <options>\nTopic: <mask>",
}
SOFT = "<soft*10>"
FEW, MANY = 2, len(WORDS)


def main() -> None:
    """Print a Markdown row for each template, in scoring and in training."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="starter:smollm2-135m")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=96)
    parser.add_argument("--train-rows", type=int, default=24)
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    backbone = load_backbone(given.model, dtype=given.dtype, device="cpu")
    records = []
    print(f"{backbone.name}, {backbone.model.dtype}\n")
    print(
        f"| what | template | {FEW} words, s | {MANY} words, s | ratio |\n| --- | --- | --- | --- | --- |", flush=True
    )
    for kind, rows, work in (("scoring", given.rows, scoring), ("training", given.train_rows, training)):
        for name, template in TEMPLATES.items():
            works = [work(backbone, template, count, short_texts(rows)) for count in (FEW, MANY)]
            times = [[seconds(job) for job in works] for _ in range(given.rounds)]
            few, many = (statistics.median(column) for column in zip(*times, strict=True))
            ratio = statistics.median(late / early for early, late in times)
            print(f"| {kind} | {name} | {few:.2f} | {many:.2f} | {ratio:.2f} |", flush=True)
            records.append({"kind": kind, "template": name, "dtype": str(backbone.model.dtype), "seconds": times})
    if given.json is not None:
        given.json.write_text(json.dumps(records, indent=2) + "\n")


def short_texts(count: int) -> list[str]:
    """The first words of so many reviews."""
    return [" ".join(text.split()[:TEXT_WORDS]) for text in load_data("movie-reviews").test.texts[:count]]


def classifier(backbone: Backbone, template: str, words: int) -> PromptClassifier:
    """A classifier with so many label words that trains for one epoch."""
    return PromptClassifier(
        backbone,
        template,
        {word: word for word in WORDS[:words]},
        epochs=1,
        training=TrainingSettings(target_loss=0.0),
        random_state=0,
    )


def scoring(backbone: Backbone, template: str, words: int, texts: list[str]) -> Callable[[], object]:
    """Scoring with a hard prompt."""
    clf = classifier(backbone, template, words).fit(texts[:words], list(WORDS[:words]))
    clf.predict_proba(texts[:2])
    return lambda: clf.predict_proba(texts)


def training(backbone: Backbone, template: str, words: int, texts: list[str]) -> Callable[[], object]:
    """An epoch of training ten vectors at the start of the prompt."""
    clf = classifier(backbone, f"{SOFT} {template}", words)
    labels = [WORDS[i % words] for i in range(len(texts))]
    return lambda: clf.fit(texts, labels)


def seconds(work: Callable[[], object]) -> float:
    """Seconds of the processor."""
    started = time.process_time()
    work()
    return time.process_time() - started


if __name__ == "__main__":
    main()
