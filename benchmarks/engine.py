"""Training and scoring beside PEFT's prompt tuning: same model, rows, precision and threads, ratios from one run.

Usage: python benchmarks/engine.py [train|score|memory|bert ...] [--tokens 28 128 512] [--rounds 5] [--json FILE]

PEFT as its guide to prompt tuning has it: `PromptTuningConfig`, ten virtual tokens, the label words' tokens as the goal
of causal language modelling, all rows padded to 64 tokens where they are shorter (to the longest row where not). A
second PEFT pads each batch to its longest row, which the guide does not. All take turns within a round; what is printed
are medians over the rounds. Threads are torch's own choice: set OMP_NUM_THREADS, and pin the process to cores.
"""

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch
from peft import PromptTuningConfig, PromptTuningInit, TaskType, get_peft_model
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from softcloze import Backbone, PromptClassifier, load_backbone
from softcloze.experiments.memory import PeakMemory
from softcloze.starters import fetch_model, load_data

MODEL, SLOTS, BATCH = "smollm2-135m", 10, 8
WORDS = {"negative": ["negative"], "positive": ["positive"]}
TEMPLATES = {
    "slots in front": f"<soft*{SLOTS}> Review: <text>\nSentiment: <mask>",
    "slots after the text": f"Review: <text><soft*{SLOTS}>\nSentiment: <mask>",
}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Peft:
    """Prompt tuning of PEFT on a model of its own."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, dtype: torch.dtype, at_least: int):
        """Load the model; rows are padded to `at_least` tokens."""
        model = AutoModelForCausalLM.from_pretrained(fetch_model(MODEL), dtype=dtype)
        config = PromptTuningConfig(
            task_type=TaskType.CAUSAL_LM, num_virtual_tokens=SLOTS, prompt_tuning_init=PromptTuningInit.RANDOM
        )
        self.model = get_peft_model(model, config)
        self.tokenizer = tokenizer
        self.at_least = at_least
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=3e-2)

    def train(self, texts: Sequence[str], labels: Sequence[str]) -> None:
        """One step for each batch."""
        self.model.train()
        for first in range(0, len(texts), BATCH):
            chosen = slice(first, first + BATCH)
            answers = self._ids([f" {label}" for label in labels[chosen]])
            rows = [prompt + answer for prompt, answer in zip(self._prompts(texts[chosen]), answers, strict=True)]
            ids, mask = self._padded(rows)
            goal = torch.full_like(ids, -100)
            for i, (row, answer) in enumerate(zip(rows, answers, strict=True)):
                goal[i, len(row) - len(answer) : len(row)] = torch.tensor(answer)
            self.model(input_ids=ids, attention_mask=mask, labels=goal).loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()

    def score(self, texts: Sequence[str]) -> list[str]:
        """The likelier label word of each text, in the order that they come."""
        self.model.eval()
        words = torch.tensor([own[0] for own in self._ids([f" {word}" for word in WORDS])])
        found = []
        with torch.inference_mode():
            for first in range(0, len(texts), BATCH):
                ids, mask = self._padded(self._prompts(texts[first : first + BATCH]))
                logits = self.model(input_ids=ids, attention_mask=mask).logits
                last = mask.sum(1) - 1 + SLOTS
                found += logits[torch.arange(len(ids)), last][:, words].argmax(-1).tolist()
        return [list(WORDS)[i] for i in found]

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        return self.tokenizer(texts)["input_ids"]

    def _prompts(self, texts: Sequence[str]) -> list[list[int]]:
        return self._ids([f"Review: {text}\nSentiment:" for text in texts])

    def _padded(self, rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        longest = max(self.at_least, *map(len, rows))
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, : len(row)], mask[i, : len(row)] = torch.tensor(row), 1
        return ids, mask


PEFTS = {"as in its guide": 64, "batches padded to their longest row": 1}


def ours(backbone: Backbone, place: str, epochs: int = 1) -> PromptClassifier:
    """Ours, with steps of the same size."""
    return PromptClassifier(
        backbone, TEMPLATES[place], WORDS, batch_size=BATCH, epochs=epochs, stop_loss=0.0, random_state=0
    )


def texts_of(tokenizer: PreTrainedTokenizerFast, tokens: int, count: int) -> tuple[list[str], list[str]]:
    """Reviews of about so many tokens; long ones are made of several with the same label."""
    train = load_data("movie-reviews").train
    queues: dict[str, list[str]] = {label: [] for label in WORDS}
    for text, label in zip(train.texts, train.labels, strict=True):
        queues[label].append(text)
    texts, labels = [], []
    while len(texts) < count:
        label = list(WORDS)[len(texts) % 2]
        text = queues[label].pop()
        while tokens > 28 and len(tokenizer(text)["input_ids"]) < tokens:
            text += " " + queues[label].pop()
        texts.append(text if tokens <= 28 else tokenizer.decode(tokenizer(text)["input_ids"][:tokens]))
        labels.append(label)
    return texts, labels


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def report(what: str, tokens: int, dtype: str, rates: dict[str, list[float]]) -> list[dict]:
    """Medians of rows per second, and of the ratios to each PEFT within a round."""
    records = []
    for name in [name for name in rates if name not in PEFTS]:
        ratios = {peft: [a / b for a, b in zip(rates[name], rates[peft], strict=True)] for peft in PEFTS}
        record = {
            "what": what,
            "tokens": tokens,
            "dtype": dtype,
            "method": name,
            "rows_per_second": statistics.median(rates[name]),
            "peft_rows_per_second": {peft: statistics.median(rates[peft]) for peft in PEFTS},
            "ratio": {peft: statistics.median(own) for peft, own in ratios.items()},
            "ratios": ratios,
        }
        records.append(record)
        peft_rates = " / ".join(f"{rate:.2f}" for rate in record["peft_rows_per_second"].values())
        times = " / ".join(f"{statistics.median(own):.1f} ({min(own):.1f}-{max(own):.1f})" for own in ratios.values())
        print(
            f"| {what} | {tokens} | {dtype} | {name} | {record['rows_per_second']:.2f} | {peft_rates} | {times} |",
            flush=True,
        )
    return records


def train(backbone: Backbone, dtype: str, tokens: int, rounds: int) -> list[dict]:
    """Steps alone, and whole fits of three and of ten epochs with everything that comes before the first step."""
    rows = 4 * BATCH if tokens < 100 else BATCH
    texts, labels = texts_of(backbone.tokenizer, tokens, rows)
    pefts = {name: Peft(backbone.tokenizer, DTYPES[dtype], at_least) for name, at_least in PEFTS.items()}
    rates: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, peft in pefts.items():
            rates.setdefault(name, []).append(rows / seconds(lambda peft=peft: peft.train(texts, labels)))
        for place in TEMPLATES:
            for epochs in (3, 10) if place == "slots after the text" else (3,):
                clf = ours(backbone, place, epochs)
                whole = seconds(lambda clf=clf: clf.fit(texts, labels))
                steps = statistics.median(record["seconds"] for record in clf.history_)
                if epochs == 3:
                    rates.setdefault(f"{place}, a step", []).append(rows / steps)
                rates.setdefault(f"{place}, fit of {epochs} epochs", []).append(rows * epochs / whole)
    return report("training", tokens, dtype, rates)


def score(backbone: Backbone, dtype: str, tokens: int, rounds: int) -> list[dict]:
    """Predictions for rows in no order."""
    rows = {28: 256, 128: 64, 512: 16}.get(tokens, 64)
    texts, labels = texts_of(backbone.tokenizer, tokens, rows)
    pefts = {name: Peft(backbone.tokenizer, DTYPES[dtype], at_least) for name, at_least in PEFTS.items()}
    fitted = {place: ours(backbone, place).fit(texts[:BATCH], labels[:BATCH]) for place in TEMPLATES}
    rates: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, work in {
            **{n: p.score for n, p in pefts.items()},
            **{n: c.predict for n, c in fitted.items()},
        }.items():
            rates.setdefault(name, []).append(rows / seconds(lambda work=work: work(texts)))
    return report("scoring", tokens, dtype, rates)


def memory(backbone: Backbone, dtype: str, tokens: int, rounds: int) -> list[dict]:
    """Peak memory of a fit above what the process held before it, each in a process of its own."""
    records = []
    for name in (*TEMPLATES, "PEFT"):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            taken = pool.submit(_memory_of, name, dtype, tokens).result() / 1e6
        print(f"| memory of a fit | {tokens} | {dtype} | {name} | {taken:,.0f} MB | | |", flush=True)
        records.append({"what": "memory", "tokens": tokens, "dtype": dtype, "method": name, "megabytes": taken})
    return records


def _memory_of(name: str, dtype: str, tokens: int) -> int:
    backbone = load_backbone(f"starter:{MODEL}", dtype=dtype)
    texts, labels = texts_of(backbone.tokenizer, tokens, 4 * BATCH)
    if name == "PEFT":
        peft = Peft(backbone.tokenizer, DTYPES[dtype], PEFTS["as in its guide"])
        gc.collect()
        work = partial(peft.train, texts, labels)
    else:
        # what is found by trying once, and the weights read from the file, are no part of a fit
        backbone.fingerprint, backbone.embedding_rms, backbone.can_read  # noqa: B018
        work = partial(ours(backbone, name).fit, texts, labels)
    with PeakMemory() as before:
        pass
    with PeakMemory() as during:
        work()
    return during.peak - before.peak


def bert(backbone: Backbone, dtype: str, tokens: int, rounds: int) -> list[dict]:
    """Rows per second of BERT-tiny, which PEFT's prompt tuning has no task for."""
    tiny = load_backbone("starter:bert-tiny", dtype=dtype)
    rows = 1024 if tokens < 100 else 128
    texts, labels = texts_of(tiny.tokenizer, tokens, rows)
    records = []
    for batch in (8, 32):
        clf = PromptClassifier(
            tiny, f"<soft*{SLOTS}> <text> It was <mask>.", {"negative": "terrible", "positive": "great"}
        ).set_params(batch_size=batch, epochs=1, stop_loss=0.0, random_state=0)
        rates = []
        for _ in range(rounds):
            clf.fit(texts, labels)
            rates.append((rows / clf.history_[0]["seconds"], rows / seconds(partial(clf.predict, texts))))
        trained, scored = map(statistics.median, zip(*rates, strict=True))
        print(f"| BERT-tiny, batches of {batch} | {tokens} | {dtype} | training | {trained:,.0f} | | |", flush=True)
        print(f"| BERT-tiny | {tokens} | {dtype} | scoring | {scored:,.0f} | | |", flush=True)
        records.append({"what": "bert", "tokens": tokens, "dtype": dtype, "batch": batch, "rates": rates})
    return records


KINDS = {"train": train, "score": score, "memory": memory, "bert": bert}


def main() -> None:
    """Print a Markdown row for each measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--tokens", nargs="+", type=int, default=[28, 128, 512])
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"], choices=list(DTYPES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    print(f"{MODEL}, {torch.get_num_threads()} threads, batches of {BATCH} in training\n")
    print("PEFT, two numbers: as in its guide, and with each batch padded to its longest row\n")
    print("| what | tokens | precision | softcloze | rows/s | PEFT rows/s | ratio |\n| --- " + "| --- " * 6 + "|")
    records = []
    for dtype in given.dtypes:
        backbone = load_backbone(f"starter:{MODEL}", dtype=dtype)
        for tokens in given.tokens:
            for kind in given.kinds:
                records += KINDS[kind](backbone, dtype, tokens, given.rounds)
    if given.json is not None:
        given.json.write_text(json.dumps(records, indent=2) + "\n")


if __name__ == "__main__":
    main()
