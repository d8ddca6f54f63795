"""Positions of soft slots: accuracy against seconds for slots in front, after the text, and on both sides.

Usage: python benchmarks/places.py [LANGUAGE ...]     (English and Chinese without an argument)

Five draws of 16 rows of each class, every place on the same ones, and the first 400 held-out rows, which are balanced.
"""

import sys

from softcloze import PromptClassifier, Protocol, compare, load_backbone
from softcloze.library import load_template

# the library's templates with worked examples; both sides have the slots of both
LANGUAGES = {
    "English": ("movie-reviews", "smollm2-135m", "sentiment/en-worked", "sentiment/en", "<soft*10> "),
    "Chinese": ("chinese-reviews", "gemma3-270m", "sentiment/zh-worked", "sentiment/zh-recommend", "<soft*10>"),
}


def main() -> None:
    """Print a Markdown row for each place."""
    print("| language | slots | accuracy | each draw | log loss | a fit | 400 rows |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for language in sys.argv[1:] or LANGUAGES:
        data, model, name, words, front = LANGUAGES[language]
        backbone = load_backbone(f"starter:{model}")
        after = load_template(f"{name}-after").template.source.lstrip("\n")
        templates = {
            "none": name,
            "in front": f"{name}-front",
            "after the text": f"{name}-after",
            "on both sides": front + after,
        }
        methods = {place: PromptClassifier(backbone, template, words) for place, template in templates.items()}
        for found in compare(methods, data, Protocol(shots=16, seeds=5, test_rows=400)).summary():
            accuracy = found.accuracy
            print(
                f"| {language}, {model} | {found.method} | {accuracy.mean:.3f} ± {accuracy.sd or 0:.3f} "
                f"| {', '.join(f'{each:.3f}' for each in accuracy.each)} | {found.log_loss.mean:.3f} "
                f"| {found.fit_seconds:.0f} s | {found.predict_seconds:.0f} s |",
                flush=True,
            )


if __name__ == "__main__":
    main()
