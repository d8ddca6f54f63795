"""Time and memory as one number grows: rows, text length, soft vectors, label words, prompts."""

import statistics
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context

from benchmarks.engine.case import LABELS, TEMPLATES, Case, Record, epoch_seconds, seconds
from benchmarks.engine.sharing import prompts_of
from softcloze import PromptClassifier, PromptSet
from softcloze.experiments.grid import PeakMemory
from softcloze.starters import load_data

ROWS = (100, 1_000, 10_000)
LENGTHS = (16, 32, 64, 128, 256, 480)
VECTORS = (1, 10, 30, 100)
LABEL_WORDS = (2, 20, 200)
PROMPTS = (1, 2, 5, 10, 20)


def growth(case: Case, rounds: int) -> Iterator[Record]:
    """All of them on the small model, the last three on the other."""
    measures = (_by_rows, _by_length, _by_vectors, _by_words, _by_prompts)
    for measure in measures if case.small else measures[2:]:
        for what, count, found in measure(case, rounds):
            case.show("growth", what, count, *(f"{name}: {value:.4g}" for name, value in found.items()))
            yield case.record("growth", by=what, count=count, found=found)


Found = Iterator[tuple[str, int, dict[str, float]]]


def _by_rows(case: Case, rounds: int) -> Found:
    for count in ROWS:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            yield "rows", count, pool.submit(_of_rows, case, count).result()


def _of_rows(case: Case, count: int) -> dict[str, float]:
    """Seconds, and peak memory above the model and the texts, in a process of its own."""
    texts, labels = case.texts(count)
    case.backbone.fingerprint, case.backbone.embedding_rms  # noqa: B018
    clf = case.classifier()
    found = {}
    for name, work in {"an epoch": partial(clf.fit, texts, labels), "scoring": partial(clf.predict, texts)}.items():
        with PeakMemory() as before:
            pass
        with PeakMemory() as during:
            found[f"{name}, s"] = seconds(work)
        found[f"{name}, MB"] = (during.peak - before.peak) / 1e6
    return found


def _by_length(case: Case, rounds: int) -> Found:
    for tokens in LENGTHS:
        longer = replace(case, tokens=tokens)
        texts, labels = longer.texts(64)
        yield "tokens of a text", tokens, _both(longer.classifier(), texts, labels, rounds)


def _by_vectors(case: Case, rounds: int) -> Found:
    texts, labels = case.texts(_few(case))
    for place, template in TEMPLATES[case.model].items():
        for count in VECTORS:
            clf = case.classifier(template.replace("<soft*10>", f"<soft*{count}>"))
            yield f"soft vectors, {place}", count, _both(clf, texts, labels, rounds)


def _by_words(case: Case, rounds: int) -> Found:
    texts, labels = case.texts(_few(case))
    known = _known_words(case, max(LABEL_WORDS))
    for count in LABEL_WORDS:
        words = {label: known[i:count:2] for i, label in enumerate(LABELS)}
        yield "label words", count, _both(case.classifier(verbalizer=words), texts, labels, rounds)


def _by_prompts(case: Case, rounds: int) -> Found:
    texts, _ = case.texts(_few(case))
    template = "<text> <soft*2> It was <mask>." if case.small else "<text> <soft*2>: <mask>"
    for count in PROMPTS:
        together = PromptSet(prompts_of(case, [template] * count), case.backbone)
        taken = _median(partial(seconds, partial(together.label_scores, texts)), rounds)
        yield "prompts on the same texts", count, {"scoring, ms a row": taken / len(texts) * 1e3}


def _both(clf: PromptClassifier, texts: list[str], labels: list[str], rounds: int) -> dict[str, float]:
    clf.set_params(epochs=2)
    return {
        "a step, ms a row": _median(lambda: epoch_seconds(clf, texts, labels)[1][0], rounds) / len(texts) * 1e3,
        "scoring, ms a row": _median(lambda: seconds(lambda: clf.predict(texts)), rounds) / len(texts) * 1e3,
    }


def _median(work: Callable[[], float], rounds: int) -> float:
    return statistics.median(work() for _ in range(rounds))


def _few(case: Case) -> int:
    return 256 if case.small else 8


def _known_words(case: Case, count: int) -> list[str]:
    """The commonest words of the reviews that are one token each."""
    counts = Counter(word for text in load_data("movie-reviews").train.texts for word in text.lower().split())
    common = [word for word, _ in counts.most_common() if word.isalpha()]
    before = "" if case.small else " "
    ids = case.backbone.tokenizer([before + word for word in common], add_special_tokens=False)["input_ids"]
    return [word for word, own in zip(common, ids, strict=True) if len(own) == 1][:count]
