"""Time and memory of prompts that write: training beside PEFT, writing beside plain transformers and beside PEFT.

Usage: OMP_NUM_THREADS=1 taskset -c 0 python -m benchmarks.generation_speed [KIND ...] [--pairs ...] [--dtype ...]

SmolLM2-135M, ten vectors, two sorts of pairs: texts of 100 tokens with a summary in batches of four, and short
instructions as they are in batches of eight. Both sides have the same precision. PEFT has its vectors in front, since
it has no other place for them; its batches are padded on the right to their longest row in training and on the left in
writing. Both sides start from the same vectors, and their first losses are compared before anything is timed. All is
measured in turn within a round; with one thread times are those of the processor, and those of the wall are beside
them. Memory is measured in a process for each side.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice, pairwise, product
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from peft import PromptTuningConfig, TaskType, get_peft_model
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedTokenizerBase

from benchmarks.engine.case import SLOTS, Case, clock
from benchmarks.engine.peft_side import DTYPES, padded
from softcloze import Backbone, PromptGenerator, Template
from softcloze.experiments.grid import PeakMemory
from softcloze.prompt import GeneratorPrompt
from softcloze.starters import fetch_model

MODEL, TOKENS, WRITING_BATCH, NEW = "smollm2-135m", 100, 8, 20
FRONT, BEHIND, HARD = "slots in front", "slots after the input", "hard prompt"
DATA = Path(__file__).parent.parent / "examples" / "data"
# difference of first losses that rounding makes
TOLERANCE = {"float32": 1e-3, "bfloat16": 0.05}


@dataclass(frozen=True)
class Sort:
    """A sort of pairs: the word before the answer, and the pairs of a training step."""

    file: str
    word: str
    batch: int

    @property
    def templates(self) -> dict[str, str]:
        """A template for each place of the slots."""
        return {
            FRONT: f"<soft*{SLOTS}> <text>\n{self.word}: <answer>",
            BEHIND: f"<text><soft*{SLOTS}>\n{self.word}: <answer>",
            HARD: f"<text>\n{self.word}: <answer>",
        }

    def pairs(self, steps: int, tokenizer: PreTrainedTokenizerBase) -> tuple[list[str], list[str]]:
        """Texts and answers for some steps; the same ones come again where there are too few."""
        rows = [json.loads(line) for line in (DATA / self.file).read_text(encoding="utf-8").splitlines()]
        texts = [row.get("text") or f"{row['instruction']}\n{row['input']}".strip() for row in rows]
        if self.file == "summaries.jsonl":  # each paragraph and the start of the next
            joined = [f"{text} {following}" for text, following in pairwise([*texts, texts[0]])]
            texts = [tokenizer.decode(tokenizer(text)["input_ids"][:TOKENS]) for text in joined]
        count = steps * self.batch
        pairs = islice(cycle(zip(texts, (row["answer"] for row in rows), strict=True)), count)
        texts, answers = zip(*pairs, strict=True)
        return list(texts), list(answers)


SORTS = {
    "summaries": Sort("summaries.jsonl", "Summary", batch=4),
    "instructions": Sort("instructions_en.jsonl", "Answer", batch=8),
}


@dataclass(frozen=True)
class Setting:
    """Pairs and a precision."""

    sort: Sort
    dtype: str

    @property
    def backbone(self) -> Backbone:
        """The model, loaded once in a process."""
        return Case(MODEL, self.dtype).backbone

    def pairs(self, steps: int) -> tuple[list[str], list[str]]:
        """Texts and answers for some steps."""
        return self.sort.pairs(steps, self.backbone.tokenizer)

    def vectors(self) -> torch.Tensor:
        """Initial vectors of both sides, shape (slots, width)."""
        generator = torch.Generator().manual_seed(0)
        return torch.randn(SLOTS, self.backbone.width, generator=generator) * self.backbone.embedding_rms

    def generator(self, place: str, **settings: object) -> PromptGenerator:
        """Ours, with the initial vectors."""
        template, backbone = Template(self.sort.templates[place]), self.backbone
        if place == HARD:
            return PromptGenerator(backbone, template, **settings)
        prompt = GeneratorPrompt(template, backbone.name, backbone.fingerprint, vectors={"#1": self.vectors()})
        with TemporaryDirectory() as folder:
            prompt.save(folder)
            given = {"warm_start": True, "batch_size": self.sort.batch, "random_state": 0, **settings}
            return PromptGenerator.load(folder, backbone, **given)


class Peft:
    """Prompt tuning of PEFT for causal language modelling on a model of its own."""

    def __init__(self, setting: Setting, space: str = " ") -> None:
        """Load the model, and give its virtual tokens the initial vectors; `space` precedes each text."""
        self.sort, self.space = setting.sort, space
        base = AutoModelForCausalLM.from_pretrained(fetch_model(MODEL), dtype=DTYPES[setting.dtype])
        base.generation_config = GenerationConfig()
        config = PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=SLOTS)
        self.model, self.tokenizer = get_peft_model(base, config), setting.backbone.tokenizer
        with torch.no_grad():
            self.model.prompt_encoder.default.embedding.weight.copy_(setting.vectors())
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=3e-2)

    def train(self, texts: Sequence[str], answers: Sequence[str]) -> list[float]:
        """One step for each batch; return their losses."""
        self.model.train()
        losses, size = [], self.sort.batch
        for first in range(0, len(texts), size):
            chosen = slice(first, first + size)
            prompts = self.prompts(texts[chosen])
            ends = [[*self._ids(f" {answer}"), self.tokenizer.eos_token_id] for answer in answers[chosen]]
            ids, mask = padded([[*prompt, *end] for prompt, end in zip(prompts, ends, strict=True)])
            labels = torch.full_like(ids, -100)
            for row, (prompt, end) in enumerate(zip(prompts, ends, strict=True)):
                labels[row, len(prompt) : len(prompt) + len(end)] = torch.tensor(end)
            loss = self.model(input_ids=ids, attention_mask=mask, labels=labels).loss
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            losses.append(loss.item())
        return losses

    def write(self, texts: Sequence[str]) -> list[str]:
        """Greedy texts of PEFT, in batches padded on the left."""
        self.model.eval()
        return self._written(self.model.generate, texts)

    def write_plain(self, texts: Sequence[str]) -> list[str]:
        """Greedy texts of the plain model for the hard prompt, in batches padded on the left."""
        with self.model.disable_adapter():
            return self._written(self.model.get_base_model().generate, texts)

    def prompts(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids before each answer."""
        return [self._ids(f"{self.space}{text}\n{self.sort.word}:") for text in texts]

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _written(self, generate: Callable[..., torch.Tensor], texts: Sequence[str]) -> list[str]:
        found = []
        for first in range(0, len(texts), WRITING_BATCH):
            rows = self.prompts(texts[first : first + WRITING_BATCH])
            longest = max(map(len, rows))
            ids = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
            mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
            config = GenerationConfig(max_new_tokens=NEW, min_new_tokens=NEW, eos_token_id=[2], pad_token_id=2)
            with torch.inference_mode():
                written = generate(input_ids=ids, attention_mask=mask, generation_config=config)[:, longest:]
            found += self.tokenizer.batch_decode(written, skip_special_tokens=True)
        return found


def validate_losses(setting: Setting, peft: Peft) -> None:
    """Raise if the first loss of a side is not that of transformers with labels, up to rounding."""
    texts, answers = setting.pairs(1)
    for place in (FRONT, BEHIND):
        gen = setting.generator(place, epochs=1).fit(texts, answers)
        ours = gen.history_[0]["loss"]
        theirs = peft.train(texts, answers)[0] if place == FRONT else transformers_loss(setting, texts, answers)
        print(f"first loss, {place}: {ours:.5f}, {'PEFT' if place == FRONT else 'transformers'} {theirs:.5f}")
        if abs(ours - theirs) > TOLERANCE[setting.dtype]:
            raise SystemExit(f"the sides compute different losses: {ours} and {theirs}")


def transformers_loss(setting: Setting, texts: list[str], answers: list[str]) -> float:
    """The loss of plain transformers with the vectors after the input, one row at a time."""
    backbone, vectors = setting.backbone, setting.vectors()
    encode, embed = backbone.tokenizer, backbone.model.get_input_embeddings()
    total, count = 0.0, 0
    for text, answer in zip(texts, answers, strict=True):
        before, after = encode(text)["input_ids"], encode(f"\n{setting.sort.word}:")["input_ids"]
        end = [*encode(f" {answer}")["input_ids"], encode.eos_token_id]
        with torch.no_grad():
            parts = embed(torch.tensor(before)), vectors, embed(torch.tensor([*after, *end]))
            rows = torch.cat([part.to(backbone.model.dtype) for part in parts])[None]
            labels = torch.tensor([[-100] * (rows.shape[1] - len(end)) + end])
            total += backbone.model(inputs_embeds=rows, labels=labels).loss.item() * len(end)
        count += len(end)
    return total / count


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the processor (with one thread) and of the wall."""
    started, wall = clock(), time.perf_counter()
    work()
    return clock() - started, time.perf_counter() - wall


def training(setting: Setting, rounds: int, steps: int) -> None:
    """Epochs of steps, and whole fits of three epochs, where a prefix is computed before them."""
    texts, answers = setting.pairs(steps)
    peft = Peft(setting)
    validate_losses(setting, peft)
    times: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds):
        times.setdefault("PEFT", []).append(timed(partial(peft.train, texts, answers)))
        for place in (FRONT, BEHIND):
            ticks: list[tuple[float, float]] = []
            gen = setting.generator(place, epochs=3)
            gen.set_params(training__on_epoch=lambda _, ticks=ticks: ticks.append((clock(), time.perf_counter())))
            whole = timed(partial(gen.fit, texts, answers))
            epochs = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(ticks)]
            times.setdefault(f"{place}, an epoch of steps", []).append(min(epochs))
            times.setdefault(f"{place}, a fit of 3 epochs", []).append((whole[0] / 3, whole[1] / 3))
    show("training", times, len(texts), "PEFT")


def writing(setting: Setting, rounds: int, steps: int) -> None:
    """Greedy texts of `NEW` tokens; those of the hard prompt are compared."""
    texts, _ = setting.pairs(steps)
    peft, plain = Peft(setting), Peft(setting, space="")  # as the hard template has it
    options = {"max_new_tokens": NEW, "min_new_tokens": NEW}
    hard, front = setting.generator(HARD, options=options), setting.generator(FRONT)
    same = [a.strip() == b.strip() for a, b in zip(hard.predict(texts), plain.write_plain(texts), strict=True)]
    print(f"{sum(same)} of {len(texts)} texts of the hard prompt are those of the plain loop")
    works: dict[str, Callable[[], object]] = {
        "transformers, hard prompt": partial(plain.write_plain, texts),
        "PEFT": partial(peft.write, texts),
        HARD: partial(hard.predict, texts),
        FRONT: partial(front.predict, texts, **options),
    }
    times: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for name, work in works.items():
            times.setdefault(name, []).append(timed(work))
    for other, ours in (("transformers, hard prompt", HARD), ("PEFT", FRONT)):
        show("writing", {name: times[name] for name in (other, ours)}, len(texts), other)


def memory(setting: Setting, rounds: int, steps: int) -> None:
    """Peak memory of training above the loaded model."""
    for name in ("PEFT", FRONT, BEHIND):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            peak = pool.submit(_memory_of, setting, name, steps).result()
        print(f"| memory | {name} | {peak / 1e6:,.0f} MB |", flush=True)


def _memory_of(setting: Setting, name: str, steps: int) -> int:
    texts, answers = setting.pairs(steps)
    if name == "PEFT":
        peft = Peft(setting)
        work: Callable[[], object] = partial(peft.train, texts, answers)
        peft.write(texts[:1])  # so that the weights are in memory
    else:
        # what is found by trying once is no part of a fit, and neither are the weights
        setting.backbone.fingerprint, setting.backbone.embedding_rms, setting.backbone.can_pack  # noqa: B018
        work = partial(setting.generator(name, epochs=1).fit, texts, answers)
    with PeakMemory() as before:
        pass
    with PeakMemory() as during:
        work()
    return during.peak - before.peak


def show(kind: str, times: dict[str, list[tuple[float, float]]], rows: int, other: str) -> None:
    """Print medians of rows a second, and of the ratios to the other side within a round."""
    for name, own in times.items():
        rate = statistics.median(rows / seconds for seconds, _ in own)
        cells = [kind, name, f"{rate:.2f} rows/s"]
        for place, clock_name in enumerate(("processor", "wall")):
            ratios = [b[place] / a[place] for a, b in zip(own, times[other], strict=True)]
            cells.append(f"{clock_name}: {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})")
        print("|", " | ".join(cells), "|", flush=True)


KINDS = {"training": training, "memory": memory, "writing": writing}


def main() -> None:
    """Print a Markdown row for each measurement."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generation_speed", description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", default=list(KINDS), metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--pairs", nargs="+", default=list(SORTS), choices=SORTS)
    parser.add_argument("--dtype", nargs="+", default=list(TOLERANCE), choices=TOLERANCE)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4)
    given = parser.parse_args()
    if unknown := set(given.kinds) - set(KINDS):
        parser.error(f"{', '.join(sorted(unknown))}: expected one of {', '.join(KINDS)}")
    for sort, dtype in product(given.pairs, given.dtype):
        threads = torch.get_num_threads()
        print(f"{sort}, {dtype}, {threads} threads, {given.rounds} rounds of {given.steps} steps", flush=True)
        for kind in given.kinds:
            KINDS[kind](Setting(SORTS[sort], dtype), given.rounds, given.steps)


if __name__ == "__main__":
    main()
