"""Rows of fifty prompts in shared batches beside rows of one prompt, with and without kept prefixes.

    python -m benchmarks.mixed_rows [--models bert-tiny smollm2-135m] [--rounds 3]

All settings take the same texts and run in turn, round after round, on one thread of the processor.
"""

import argparse
import statistics
from collections.abc import Sequence
from functools import partial

import torch

from benchmarks.engine.case import Case, timed
from benchmarks.engine.sharing import prompts_of
from softcloze import PromptSet

PROMPTS = 50
ROWS = {"bert-tiny": 512, "smollm2-135m": 64}  # in a call
DTYPES = {"bert-tiny": "float32", "smollm2-135m": "bfloat16"}
STARTS = {
    "10 vectors": "<soft*10> Review: <text>\nSentiment: <mask>",
    "40 vectors": "<soft*40> Review: <text>\nSentiment: <mask>",
}
MASKED_STARTS = {"10 vectors": "<soft*10> <text> It was <mask>."}
MEMORY = 1 << 30


def measure(model: str, start: str, template: str, rounds: int) -> None:
    """Print a row for each setting: rows a second, and the ratio to one prompt in the same round."""
    case = Case(model, DTYPES[model])
    texts, _ = case.texts(ROWS[model])
    prompts = {f"p{i}": prompt for i, prompt in enumerate(prompts_of(case, [template] * PROMPTS))}
    mixed = [(f"p{i % PROMPTS}", text) for i, text in enumerate(texts)]
    one = [("p0", text) for text in texts]
    anew, keeping = PromptSet(prompts, case.backbone), PromptSet(prompts, case.backbone, prefix_memory=MEMORY)
    settings = {
        "one prompt": partial(anew.predict_rows, one),
        "fifty prompts": partial(anew.predict_rows, mixed),
    }
    if case.backbone.supports_prefix_cache:
        settings |= {
            "one prompt, kept": partial(keeping.predict_rows, one),
            "fifty prompts, kept": partial(keeping.predict_rows, mixed),
        }
    for call in settings.values():  # warm, and prefixes kept
        call()
    rates: dict[str, list[float]] = {name: [] for name in settings}
    for _ in range(rounds):
        for name, call in settings.items():
            rates[name].append(len(texts) / timed(call)[1])
    for name, values in rates.items():
        base = rates["one prompt, kept" if name.endswith("kept") else "one prompt"]
        ratios = [rate / other for rate, other in zip(values, base, strict=True)]
        print(
            f"| {model} | {start} | {name} | {statistics.median(values):.1f} | {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f}-{max(ratios):.2f}) |",
            flush=True,
        )
    print(f"kept: {keeping.kept_bytes / 1e6:.1f} MB", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the models that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for model in options.models:
        starts = MASKED_STARTS if model == "bert-tiny" else STARTS
        for start, template in starts.items():
            measure(model, start, template, options.rounds)


if __name__ == "__main__":
    main()
