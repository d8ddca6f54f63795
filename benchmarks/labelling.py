"""Simulate labelling: known labels answer, and strategies, estimates and doubts are compared with what is true.

    python -m benchmarks.labelling FOLDER [--seeds 10] [--fast-seeds 50] [--strategies uncertain random doubts]
    python -m benchmarks.labelling FOLDER --keys 100

FOLDER keeps the states of each task, which a model computes once, and the result of each run; the same command resumes.
It prints the tables of docs/measurements/labelling.md. Runs take turns by seed, so that an interrupted one has equally
many of each task. With --keys it measures the time from a key to the next text among 5,000 instead.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.metrics import balanced_accuracy_score

from benchmarks.labelling_keys import measure_keys
from benchmarks.tasks.sets import TASKS
from softcloze.backbone import load_backbone
from softcloze.files import replacing_file, write_text
from softcloze.heads import WordHead
from softcloze.labelling.doubts import rank_doubts
from softcloze.labelling.estimate import cross_validated, estimate
from softcloze.labelling.head import Features, choose_strength, fit_quick
from softcloze.labelling.selection import Space, choose, margins_of, space_of
from softcloze.library import resolve_mask_template, resolve_verbalizer
from softcloze.prompt import CompiledPrompt

BERT, SMOLLM2, GEMMA = "starter:bert-tiny", "starter:smollm2-135m", "starter:gemma3-270m"
# task, model, head: "linear" where reading the words of many labels takes long
SETS = (
    ("tweets-3", SMOLLM2, "words+linear"),
    ("sms-spam, uneven", SMOLLM2, "linear"),
    ("banking-en", SMOLLM2, "words+linear"),
    ("tickets-en", SMOLLM2, "linear"),
    ("movie-reviews", SMOLLM2, "words+linear"),
    ("product-reviews", SMOLLM2, "words+linear"),
    ("headlines-zh", GEMMA, "linear"),
    ("questions-zh", GEMMA, "linear"),
    ("chinese-reviews", GEMMA, "words+linear"),
    ("movie-reviews", BERT, "words+linear"),
    ("tweets-3", BERT, "words+linear"),
    ("product-reviews", BERT, "words+linear"),
    ("drug-reviews, uneven", BERT, "words+linear"),
    ("sms-spam, uneven", BERT, "linear"),
    ("tickets-en", BERT, "words+linear"),
    ("banking-en", BERT, "linear"),
)
FAST = (SETS[1], SETS[4])
AT = (32, 64)
DOUBTS_AT, DOUBTS = (64, 200), "doubts"
REFIT_EVERY, STRENGTH_EVERY, STRENGTH = 4, 1.5, 0.1
WRONG = 0.1  # share of labels that are wrong, to find them
SHOWN = 0.2  # share of the labelled texts that are shown as doubtful


class Set(NamedTuple):
    """A task with its features.

    Attributes:
        features: of the texts to label, and after them of those that judge.
        pool: the features of the texts to label.
        targets: index of the label of each text.
        labels: number of labels.
        space: of the texts to label.
    """

    features: Features
    pool: Features
    targets: np.ndarray
    labels: int
    space: Space


def path_of(folder: Path, task: str, model: str) -> Path:
    """File of the states of a task."""
    return folder / f"{task.replace(', ', '-')}.{model.removeprefix('starter:')}.npz"


def read(path: Path, task_name: str, model: str, head: str, pool: int, held_out: int, max_length: int) -> None:
    """Compute the states of a task, unless they are there."""
    if path.exists():
        return
    task, generator = TASKS[task_name], np.random.default_rng(0)
    split = task.split()
    parts = []
    for examples, most in ((split.train, pool), (split.test, held_out)):
        chosen = generator.permutation(len(examples))[:most]
        parts.append([(examples.texts[i], examples.labels[i]) for i in chosen])
    rows = parts[0] + parts[1]
    verbalizer = resolve_verbalizer(task.words)
    template = resolve_mask_template(task.template)
    compiled = CompiledPrompt(template, verbalizer, load_backbone(model), max_length, head, None, "mean")
    features = compiled.features(compiled.encode([text for text, _ in rows]), None).numpy()
    with replacing_file(path) as draft, draft.open("wb") as file:
        np.savez(
            file,
            features=features,
            label_features=compiled.features(compiled.encode_labels(), None).numpy(),
            targets=np.array([verbalizer.labels.index(label) for _, label in rows]),
            pool=len(parts[0]),
            scored=len(compiled.scorer.words),
        )


def load(folder: Path, task_name: str, model: str) -> Set:
    """Read the states of a task from their file."""
    file = np.load(path_of(folder, task_name, model))
    verbalizer = resolve_verbalizer(TASKS[task_name].words)
    count, pool, labels = int(file["scored"]), int(file["pool"]), len(verbalizer.labels)

    def words(features: np.ndarray) -> np.ndarray | None:
        head = WordHead(verbalizer)
        return head.label_scores(torch.tensor(features[:, :count]).double()).numpy() if count else None

    def part(rows: slice) -> Features:
        texts, names = file["features"][rows], file["label_features"]
        return Features(texts[:, count:], words(texts), names[:, count:], words(names))

    own = part(slice(pool))
    return Set(part(slice(None)), own, file["targets"], labels, space_of(own, labels, seed=0))


def run(given: Set, strategy: str, seed: int) -> Iterator[dict[str, Any]]:
    """Label as `Labeller` does, and judge at each number of `AT`."""
    features, targets, labels = given.features, given.targets, given.labels
    space = given.space if seed == 0 else space_of(given.pool, labels, seed)
    labelled: list[int] = []
    open_ = np.ones(len(given.pool), dtype=bool)
    logs, strength, chosen_at, fitted = None, STRENGTH, 0, 0
    while len(labelled) < AT[-1]:
        if labelled and len(labelled) % REFIT_EVERY == 0 and strategy != "random":
            rows = np.array(labelled)
            if len(rows) >= max(8, STRENGTH_EVERY * chosen_at):
                strength, _ = choose_strength(features, rows, targets[rows], labels, seed)
                chosen_at = len(rows)
            fitted = len(rows)
            logs = fit_quick(features, rows, targets[rows], labels, strength).log_probabilities(given.pool)
        ((index, _),) = choose(
            1,
            strategy=strategy,
            space=space,
            log_probabilities=logs,
            margins=margins_of(logs) if logs is not None else None,
            targets=set(targets[labelled].tolist()),
            recent=np.array(labelled[fitted:], dtype=int),
            open_=open_,
            turn=len(labelled),
        )
        labelled.append(index)
        open_[index] = False
        if len(labelled) in AT:
            yield judge(given, np.array(labelled), strategy, seed)


def judge(given: Set, rows: np.ndarray, strategy: str, seed: int) -> dict[str, Any]:
    """True balanced accuracy, and the estimate of it."""
    features, targets, labels = given.features, given.targets, given.labels
    known = targets[rows]
    strength, _ = choose_strength(features, rows, known, labels, seed)
    test = slice(len(given.pool), None)
    predicted = fit_quick(features, rows, known, labels, strength).log_probabilities(features, test).argmax(1)
    none = np.zeros(0, dtype=int)
    estimated = estimate(
        features,
        rows,
        known,
        labels,
        held_out=none,
        held_out_targets=none,
        rest=np.setdiff1d(np.arange(len(given.pool)), rows),
        sample=strategy == "random",
        seed=seed,
    )
    assert estimated is not None
    return {
        "labelled": len(rows),
        "true": float(balanced_accuracy_score(targets[test], predicted)),
        "estimate": estimated.balanced_accuracy,
        "low": estimated.low,
        "high": estimated.high,
    }


def judge_doubts(given: Set, count: int, seed: int) -> dict[str, Any]:
    """Share of wrong labels that are found among random texts, and the balanced accuracy of a head that learns them."""
    features, labels = given.features, given.labels
    generator = np.random.default_rng(seed)
    rows = generator.permutation(len(given.pool))[:count]
    known = given.targets[rows]
    wrong = generator.choice(count, round(WRONG * count), replace=False)
    mistaken = known.copy()
    mistaken[wrong] = (known[wrong] + generator.integers(1, labels, size=len(wrong))) % labels
    strength, _ = choose_strength(features, rows, mistaken, labels, seed)
    logs = cross_validated(features, rows, mistaken, labels, seed, strength)
    order, _ = rank_doubts(logs, mistaken)
    test = slice(len(given.pool), None)
    predicted = fit_quick(features, rows, mistaken, labels, strength).log_probabilities(features, test).argmax(1)
    return {
        "labelled": count,
        "true": float(balanced_accuracy_score(given.targets[test], predicted)),
        "right": float((logs.argmax(1) == known).mean()),
        "found": float(np.isin(wrong, order[: round(SHOWN * count)]).mean()),
    }


def found_by_labels(right: float, labels: int) -> float:
    """Share of wrong labels that a classifier finds by its predicted labels alone, right in this share of texts.

    Its errors do not depend on the given labels, fall on all other labels alike, and of the texts whose label it
    disputes any may be shown.
    """
    disputed = 1 - (1 - right) / (labels - 1)
    return disputed * min(1.0, SHOWN / ((1 - WRONG) * (1 - right) + WRONG * disputed))


def tables(results: dict[tuple[str, str, str], list[list[dict[str, Any]]]], strategies: list[str]) -> None:
    """Print what the runs show."""
    sets = list(dict.fromkeys((task, model) for task, model, _ in results))
    print("\n| task, model | runs | " + " | ".join(f"{name}, {n}" for n in AT for name in strategies) + " |")
    print("| --- " * (2 + len(AT) * len(strategies)) + "|")
    differences: dict[tuple[str, int], list[float]] = {}
    for task, model in sets:
        runs = min(len(results[task, model, name]) for name in strategies)
        cells = []
        for i, n in enumerate(AT):
            values = {name: np.array([r[i]["true"] for r in results[task, model, name][:runs]]) for name in strategies}
            for name in strategies:
                cell = f"{values[name].mean():.3f}"
                if name != "random":
                    gains = 100 * (values[name] - values["random"])
                    error = gains.std(ddof=1) / np.sqrt(runs) if runs > 1 else np.nan
                    cell += f" ({gains.mean():+.1f} ± {error:.1f})"
                    differences.setdefault((name, n), []).append(float(gains.mean()))
                cells.append(cell)
        print(f"| {task}, {model.removeprefix('starter:')} | {runs} | " + " | ".join(cells) + " |")
    for (name, n), means in differences.items():
        print(f"{name} at {n}: mean gain {np.mean(means):+.1f} points, least {min(means):+.1f}")
    print("\n| strategy, labelled | runs | interval holds | error of the estimate | width |")
    print("| --- " * 5 + "|")
    for name in strategies:
        for i, n in enumerate(AT):
            rows = [r[i] for key, of_task in results.items() if key[2] == name for r in of_task]
            held = np.mean([row["low"] <= row["true"] <= row["high"] for row in rows])
            error = np.mean([row["estimate"] - row["true"] for row in rows])
            width = np.mean([row["high"] - row["low"] for row in rows])
            print(f"| {name}, {n} | {len(rows)} | {held:.3f} | {100 * error:+.1f} points | {width:.3f} |")


def table_of_doubts(results: dict[tuple[str, str, str], list[list[dict[str, Any]]]]) -> None:
    """Print how many wrong labels are found."""
    print("\n| task, model | runs | " + " | ".join(f"accuracy, found, {n}" for n in DOUBTS_AT) + " |")
    print("| --- " * (2 + len(DOUBTS_AT)) + "|")
    for (task, model, name), runs in results.items():
        if name == DOUBTS:
            labels, cells = len(resolve_verbalizer(TASKS[task].words).labels), []
            for i in range(max(map(len, runs))):
                of = {key: float(np.mean([run[i][key] for run in runs])) for key in ("true", "found", "right")}
                by_labels = found_by_labels(of["right"], labels)
                cells.append(f"{of['true']:.2f}, {of['found']:.2f} ({by_labels:.2f} by labels)")
            print(f"| {task}, {model.removeprefix('starter:')} | {len(runs)} | " + " | ".join(cells) + " |")


def main() -> None:
    """Read, run what has no result yet, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=10, help="seeds below this one")
    parser.add_argument("--fast-seeds", type=int, default=50, help="the same for the two fastest sets")
    parser.add_argument("--pool", type=int, help="texts to label, at most: 500, or 5,000 with --keys")
    parser.add_argument("--held-out", type=int, default=200, help="texts that judge, at most")
    parser.add_argument("--max-length", type=int, default=128, help="of prompts in tokens")
    parser.add_argument("--strategies", nargs="+", default=["uncertain", "random", DOUBTS])
    parser.add_argument("--tables", action="store_true", help="print the tables of the runs so far, and run nothing")
    parser.add_argument("--no-reading", action="store_true", help="leave out tasks whose states are not there")
    parser.add_argument(
        "--keys", type=int, help="measure the time from so many keys to the next text, and nothing else"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.keys is not None:
        measure_keys(options.folder, options.keys, options.pool or 5000)
        return
    sets = [s for s in SETS if path_of(options.folder, *s[:2]).exists() or not (options.no_reading or options.tables)]
    results: dict[tuple[str, str, str], list[list[dict[str, Any]]]] = {}
    loaded: dict[tuple[str, str], Set] = {}
    for seed in range(options.first_seed, max(options.seeds, options.fast_seeds)):
        for task, model, head in sets:
            if seed >= (options.fast_seeds if (task, model, head) in FAST else options.seeds):
                continue
            states = path_of(options.folder, task, model)
            for strategy in options.strategies:
                path = options.folder / "runs" / f"{states.stem}.{strategy}.{seed}.json"
                if not path.exists() and not options.tables:
                    read(states, task, model, head, options.pool or 500, options.held_out, options.max_length)
                    if (task, model) not in loaded:
                        loaded[task, model] = load(options.folder, task, model)
                    given = loaded[task, model]
                    if strategy == DOUBTS:
                        result = [judge_doubts(given, n, seed) for n in DOUBTS_AT if n <= len(given.pool)]
                    else:
                        result = [*run(given, strategy, seed)]
                    path.parent.mkdir(exist_ok=True)
                    write_text(path, json.dumps(result))
                if path.exists():
                    results.setdefault((task, model, strategy), []).append(json.loads(path.read_text("utf-8")))
    compared = [strategy for strategy in options.strategies if strategy != DOUBTS]
    if compared:
        tables(
            {key: runs for key, runs in results.items() if all((*key[:2], s) in results for s in compared)}, compared
        )
    table_of_doubts(results)


if __name__ == "__main__":
    main()
