"""Measure each calibration on hard prompts without training: the tables of docs/measurements/calibration.md.

Usage: python benchmarks/calibration.py [english|chinese ...]     (both without an argument)
       python benchmarks/calibration.py priors                    what each prompt says without content

Every prompt scores the first 1,000 held-out rows once; each calibration is learnt and put on these scores. "domain"
draws its words from 500 training texts, "batch" and "prototypical" learn from the held-out texts themselves, as their
papers do, and "temperature" from 16 labelled training examples of each class.
"""

import json
import sys
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import balanced_accuracy_score

from softcloze import Backbone, PromptClassifier, load_backbone
from softcloze.calibration import CALIBRATIONS, expected_calibration_error, fit_bias, fit_mixture
from softcloze.data import Examples, few_shot
from softcloze.starters import load_data

ROWS, TEXTS, SHOTS = 1000, 500, 16


@dataclass(frozen=True)
class Setup:
    """Hard templates with their label words, for one model and data set."""

    data: str
    model: str
    prompts: tuple[tuple[str, str], ...]


SETUPS = {
    "english": Setup(
        "movie-reviews",
        "smollm2-135m",
        (
            ("Review: <text>\nSentiment: <mask>", "sentiment/en"),
            ("Movie review: <text>\nSentiment: <mask>", "sentiment/en"),
            ("<text>\nSentiment: <mask>", "sentiment/en"),
            ("Review: <text> In short, the movie is <mask>", "sentiment/en"),
            ("Review: <text>\nRating: <mask>", "sentiment/en"),
            ("sentiment/en-worked", "sentiment/en"),
        ),
    ),
    "chinese": Setup(
        "chinese-reviews",
        "gemma3-270m",
        (
            ("<text> 总之，很<mask>", "sentiment/zh"),
            ("<text>总之，我很<mask>", "sentiment/zh"),
            ("评论：<text>\n总之，很<mask>", "sentiment/zh"),
            ("评论：<text>\n顾客很<mask>", "sentiment/zh"),
            ("<text> 总之，很<mask>", "sentiment/zh-recommend"),
            ("sentiment/zh-worked", "sentiment/zh-recommend"),
        ),
    ),
}


def measure(
    backbone: Backbone, template: str, verbalizer: str, train: Examples, test: Examples
) -> dict[str, list[float]]:
    """Balanced accuracy and calibration error on `test`, without calibration and with each."""
    plain = PromptClassifier(backbone, template, verbalizer)
    labels = ["negative", "positive"]
    odds = plain.decision_function(test.texts)
    scores = np.stack([np.zeros_like(odds), odds], 1)
    shown = few_shot(train.labels, SHOTS, random_state=0)
    found = {"none": scores}
    for method in CALIBRATIONS:
        match method:
            case "batch":
                calibration = fit_bias(scores, method)
            case "prototypical":
                calibration = fit_mixture(scores, 0)
            case _:
                rows = shown if method == "temperature" else range(TEXTS)
                clf = PromptClassifier(backbone, template, verbalizer, calibration=method, random_state=0)
                clf.fit([train.texts[i] for i in rows], [train.labels[i] for i in rows])
                calibration = clf.prompt_.calibration
        found[method] = calibration.apply(scores)
    result = {}
    for method, corrected in found.items():
        chances = np.exp(corrected - np.logaddexp.reduce(corrected, axis=1, keepdims=True))
        predicted = [labels[i] for i in chances.argmax(1)]
        result[method] = [
            float(balanced_accuracy_score(test.labels, predicted)),
            expected_calibration_error(test.labels, chances, labels=labels),
        ]
    return result


def print_priors() -> None:
    """Print a Markdown table of all prompts: the likeliest label without content, and whether that is warned of."""
    print("| prompt, label words | content-free | warned |\n| --- | --- | --- |", flush=True)
    for setup in SETUPS.values():
        backbone = load_backbone(f"starter:{setup.model}", dtype="float32")
        for template, verbalizer in setup.prompts:
            checked = PromptClassifier(backbone, template, verbalizer).check()
            prior, label = max(zip(checked.priors or (), checked.labels, strict=True))
            warned = "yes" if "one-sided" in {finding.code for finding in checked.findings} else ""
            name = json.dumps(template, ensure_ascii=False)
            print(f"| {name}, {verbalizer} | {label} {prior:.2f} | {warned} |", flush=True)


def main() -> None:
    """Print a Markdown table for each setup: accuracy, and in brackets the calibration error."""
    if sys.argv[1:] == ["priors"]:
        print_priors()
        return
    for name in sys.argv[1:] or list(SETUPS):
        setup = SETUPS[name]
        data, backbone = load_data(setup.data), load_backbone(f"starter:{setup.model}")
        test = Examples(data.test.texts[:ROWS], data.test.labels[:ROWS])
        methods = ("none", *CALIBRATIONS)
        print(
            f"| {name}, label words | {' | '.join(methods)} |\n| --- | {' | '.join('---' for _ in methods)} |",
            flush=True,
        )
        rows = []
        for template, verbalizer in setup.prompts:
            found = measure(backbone, template, verbalizer, data.train, test)
            rows.append([found[method] for method in methods])
            cells = " | ".join(f"{accuracy:.3f} ({error:.2f})" for accuracy, error in rows[-1])
            print(f"| {json.dumps(template, ensure_ascii=False)}, {verbalizer} | {cells} |", flush=True)
        table = np.array(rows)  # (templates, methods, two)
        for title, cells in (
            ("mean", [f"{accuracy:.3f} ({error:.2f})" for accuracy, error in table.mean(0)]),
            ("worst and best", [f"{a.min():.3f} to {a.max():.3f}" for a in table[..., 0].T]),
            ("standard deviation", [f"{a.std(ddof=1):.3f}" for a in table[..., 0].T]),
        ):
            print(f"| {title} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
