"""The tasks of the study: rows, model, wording and label words, fixed before any method was run on them."""

import csv
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

from softcloze.data import Examples, Split
from softcloze.starters import load_data
from softcloze.verbalizer import Label, Words

TEST_ROWS = 400  # at most
SHOTS = (16, 8, 4, 64)  # the most important number first
FEWEST_TEST_ROWS = 50  # of each class, where 64 rows of each class are drawn
SMOLLM2, GEMMA = "starter:smollm2-135m", "starter:gemma3-270m"


@dataclass(frozen=True)
class Task:
    """A labelled set with a plain prompt for it.

    Attributes:
        name: unique.
        language: "English" or "Chinese".
        source: of the rows, for the table of tasks.
        load: returns training and held-out rows.
        model: of all prompts.
        template: without slots.
        words: label words, or their name in the library.
        balanced: False to draw the training rows with the classes' own shares.
    """

    name: str
    language: str
    source: str
    load: Callable[[], Split]
    model: str
    template: str
    words: Mapping[Label, Words] | str
    balanced: bool = True

    def split(self) -> Split:
        """Training rows, and at most `TEST_ROWS` held-out rows with equally many of each class."""
        split = self.load()
        classes = len(set(split.test.labels))
        rows = min(len(split.test), TEST_ROWS) // classes * classes  # the first rows of a test set take turns
        return Split(split.train, Examples(split.test.texts[:rows], split.test.labels[:rows]))

    @property
    def shots(self) -> tuple[int, ...]:
        """Numbers of rows that are drawn of each class."""
        split = self.load()
        train, test = (min(map(labels.count, set(labels))) for labels in (split.train.labels, split.test.labels))
        return tuple(k for k in SHOTS if k < 64 or (train >= 64 and test >= FEWEST_TEST_ROWS))


def halves(path: Path) -> Split:
    """Split a CSV file of texts and labels by a hash of each text: half of each class for training, half held out."""
    rows_of: dict[str, list[str]] = defaultdict(list)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            rows_of[row["label"]].append(row["text"])
    train: list[tuple[str, Label]] = []
    turns: list[list[tuple[str, Label]]] = []
    for label, texts in sorted(rows_of.items()):
        ordered = sorted(texts, key=lambda text: sha256(text.encode()).digest())
        turns.append([(text, label) for text in ordered[: len(ordered) // 2]])
        train += [(text, label) for text in ordered[len(ordered) // 2 :]]
    held_out = [row for turn in zip(*turns, strict=False) for row in turn]
    return Split(Examples.from_rows(train), Examples.from_rows(held_out))


def _starter(
    data: str, template: str, words: Mapping[Label, Words] | str, model: str = SMOLLM2, uneven: bool = False
) -> Task:
    language = "English" if model == SMOLLM2 else "Chinese"
    name = f"{data}, uneven" if uneven else data
    return Task(name, language, "starter", partial(load_data, data), model, template, words, balanced=not uneven)


def _own(name: str, template: str, labels: Sequence[str], model: str = SMOLLM2) -> Task:
    """A set that was written for this study, with its labels as label words."""
    language = "English" if model == SMOLLM2 else "Chinese"
    load = partial(halves, Path(__file__).with_name(f"{name}.csv"))
    return Task(name, language, "written for it", load, model, template, {label: label for label in labels})


SENTIMENT = {"negative": "negative", "positive": "positive"}
THREE = {"negative": "negative", "neutral": "neutral", "positive": "positive"}
STARS = {"1": "terrible", "2": "bad", "3": "okay", "4": "good", "5": "great"}
REVIEW, TWEET = "Review: <text>\nSentiment: <mask>", "Tweet: <text>\nSentiment: <mask>"

TASKS = {
    task.name: task
    for task in (
        _starter("movie-reviews", REVIEW, SENTIMENT),
        _starter("product-reviews", REVIEW, SENTIMENT),
        _starter("news-snippets", "Article: <text>\nSentiment: <mask>", SENTIMENT),
        _starter("tweets", TWEET, SENTIMENT),
        _starter("tweets-3", TWEET, THREE),
        _starter("movie-stars", "Review: <text> In short, the movie is <mask>", STARS),
        _starter("sms-spam", "spam/en", "spam/en"),
        _starter("sms-spam", "spam/en", "spam/en", uneven=True),
        _starter("drug-reviews", REVIEW, THREE),
        _starter("drug-reviews", REVIEW, THREE, uneven=True),
        _own(
            "tickets-en",
            "Support ticket: <text>\nQueue: <mask>",
            [
                *("account", "billing", "complaint", "delivery", "product question", "returns", "technical fault"),
                "warranty",
            ],
        ),
        _own(
            "banking-en",
            "Customer: <text>\nSubject: <mask>",
            [
                *("card lost or stolen", "card not working", "change personal details", "close an account"),
                *("exchange rate", "fees", "loan or mortgage", "login problem", "open an account", "suspected fraud"),
                *("transfer not arrived", "wrong amount charged"),
            ],
        ),
        _starter("chinese-reviews", "sentiment/zh", "sentiment/zh", GEMMA),
        _own(
            "headlines-zh",
            "新闻：<text>\n栏目：<mask>",
            ["财经", "体育", "科技", "娱乐", "教育", "健康", "国际", "房产", "汽车", "旅游"],
            GEMMA,
        ),
        _own(
            "questions-zh",
            "问题：<text>\n问的是：<mask>",
            ["人物", "地点", "时间", "数量", "原因", "方法", "定义", "是非"],
            GEMMA,
        ),
    )
}
