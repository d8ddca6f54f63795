"""Training, scoring, memory and accuracy beside PEFT's prompt tuning."""

import statistics
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

from sklearn.metrics import balanced_accuracy_score

from benchmarks.engine.case import BEHIND, TEMPLATES, Case, Record, epoch_seconds, seconds
from benchmarks.engine.peft_side import GUIDE, PADDINGS, peft_of, pefts_of
from softcloze.experiments.grid import PeakMemory
from softcloze.starters import load_data

EPOCHS = 3  # of training for accuracy
SEEDS = 3


def training(case: Case, rounds: int) -> Iterator[Record]:
    """Steps alone, and where something is read before them whole fits of three and of ten epochs."""
    rows = case.batch * (2 if case.tokens < 100 else 1) * (4 if case.small else 1)
    texts, labels = case.texts(rows)
    pefts = pefts_of(case)
    rates: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, peft in pefts.items():
            rates.setdefault(name, []).append(rows / seconds(partial(peft.train, texts, labels)))
        for place in TEMPLATES[case.model]:
            for epochs in (3, 10) if place == BEHIND else (2,):
                whole, steps = epoch_seconds(case.classifier(place, epochs=epochs), texts, labels)
                if epochs < 10:
                    rates.setdefault(f"{place}, a step", []).append(rows / statistics.median(steps))
                if place == BEHIND:
                    rates.setdefault(f"{place}, fit of {epochs} epochs", []).append(rows * epochs / whole)
    yield from _ratios("training", case, rates)


def scoring(case: Case, rounds: int) -> Iterator[Record]:
    """Predictions for rows in no order."""
    rows = case.many
    texts, labels = case.texts(rows)
    works: dict[str, Callable[[list[str]], object]] = {name: peft.score for name, peft in pefts_of(case).items()}
    for place in TEMPLATES[case.model]:
        works[place] = case.classifier(place).fit(texts[: case.batch], labels[: case.batch]).predict
    rates: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, work in works.items():
            rates.setdefault(name, []).append(rows / seconds(partial(work, texts)))
    yield from _ratios("scoring", case, rates)


def _ratios(kind: str, case: Case, rates: dict[str, list[float]]) -> Iterator[Record]:
    """Medians of rows per second, and of the ratios to each PEFT within a round."""
    pefts = [name for name in rates if name in PADDINGS]
    for name in rates:
        if name in pefts:
            continue
        ratios = {peft: [a / b for a, b in zip(rates[name], rates[peft], strict=True)] for peft in pefts}
        own, theirs = statistics.median(rates[name]), {peft: statistics.median(rates[peft]) for peft in pefts}
        times = " / ".join(f"{statistics.median(of):.1f} ({min(of):.1f}-{max(of):.1f})" for of in ratios.values())
        case.show(kind, name, f"{own:.2f} rows/s", " / ".join(f"{rate:.2f}" for rate in theirs.values()), times)
        yield case.record(kind, method=name, rows_per_second=own, peft_rows_per_second=theirs, ratios=ratios)


def memory(case: Case, rounds: int) -> Iterator[Record]:
    """Peak memory of training above the loaded model, each in a process of its own; what is kept read is part of it."""
    for name in (*TEMPLATES[case.model], "PEFT"):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            found = pool.submit(_memory_of, case, name).result()
        case.show("memory", name, *(f"{what}: {size / 1e6:,.0f} MB" for what, size in found.items()))
        yield case.record("memory", method=name, bytes=found)


def _memory_of(case: Case, name: str) -> dict[str, int]:
    texts, labels = case.texts(4 * case.batch)
    if name == "PEFT":
        peft = peft_of(case, PADDINGS[GUIDE])
        work: Callable[[], object] = partial(peft.train, texts, labels)
        peft.score(texts[:1])  # so that the weights are in memory
    else:
        # what is found by trying once is no part of a fit, and neither are the weights
        case.backbone.fingerprint, case.backbone.embedding_rms, case.backbone.supports_prefix_cache  # noqa: B018
        clf = case.classifier(name)
        work = partial(clf.fit, texts, labels)
    with PeakMemory() as before:
        pass
    with PeakMemory() as during:
        work()
    found = {"above the model": during.peak - before.peak}
    if name == BEHIND:
        found["of it what is kept of texts"] = clf.engine_.cached.bytes
    return found


def accuracy(case: Case, rounds: int) -> Iterator[Record]:
    """After the same number of epochs on the same 32 rows, held-out rows in a pair for each seed."""
    splits = load_data("movie-reviews")
    held_out, goal = list(splits.test.texts[:64]), list(splits.test.labels[:64])
    every, its_labels = case.texts(32 * SEEDS)
    found: dict[str, list[float]] = {}
    for seed in range(SEEDS):
        texts, labels = every[32 * seed : 32 * (seed + 1)], its_labels[32 * seed : 32 * (seed + 1)]
        peft = peft_of(case, 1, seed)
        for _ in range(EPOCHS):
            peft.train(texts, labels)
        found.setdefault("PEFT", []).append(balanced_accuracy_score(goal, peft.score(held_out)))
        for place in TEMPLATES[case.model]:
            clf = case.classifier(place, epochs=EPOCHS, random_state=seed).fit(texts, labels)
            found.setdefault(place, []).append(balanced_accuracy_score(goal, clf.predict(held_out)))
        case.show("accuracy", f"seed {seed}", *(f"{name}: {own[-1]:.3f}" for name, own in found.items()))
    for name, own in found.items():
        more = [a - b for a, b in zip(own, found["PEFT"], strict=True)]
        case.show("accuracy", name, f"{statistics.mean(own):.3f}", f"{statistics.mean(more):+.3f} beside PEFT")
        yield case.record("accuracy", method=name, accuracies=own, epochs=EPOCHS)
