"""How much faster ten prompts are together than one after the other: the table of docs/ensembles.md.

Usage: OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/together.py [SETUP ...]     (all setups without an argument)

Rounds alternate between both ways. Times are those of the processor, which is one core, so that whatever else runs on
the machine does not count.
"""

import sys
import time
from collections.abc import Callable, Sequence
from statistics import median

import numpy as np
import torch

from softcloze import Backbone, Prompt, PromptSet, Template, Verbalizer, load_backbone
from softcloze.soft import SoftVectors
from softcloze.starters import load_data

ROWS, LENGTH, ROUNDS, PROMPTS = 16, 28, 5, 10
TAILS = (
    "\nSentiment:",
    "\nMy verdict:",
    "\nRating:",
    " All in all,",
    "\nIn short:",
    " It was",
    "\nThe film is",
    "\nOpinion:",
    " I found it",
    "\nReview type:",
)
SETUPS: dict[str, tuple[str, list[str]]] = {
    "words": ("smollm2-135m", [f"<text>{tail} <mask>" for tail in TAILS]),
    "2 vectors": ("smollm2-135m", ["<text> <soft*2>: <mask>"] * PROMPTS),
    "10 vectors": ("smollm2-135m", ["<text> <soft*10>: <mask>"] * PROMPTS),
    "vectors in front": ("smollm2-135m", ["<soft*10> <text>: <mask>"] * PROMPTS),
    "masked": ("bert-tiny", [f"<text>{tail} <mask>." for tail in TAILS]),
}
WORDS = Verbalizer({"positive": "good", "negative": "bad"})


def prompts_of(templates: Sequence[str], backbone: Backbone) -> list[Prompt]:
    """A prompt for each template, with random vectors in its slots."""
    prompts = []
    for seed, source in enumerate(templates):
        hard = Prompt(Template(source), WORDS, backbone.name, backbone.fingerprint)
        compiled = hard.bind(backbone).compiled
        dice = torch.Generator().manual_seed(seed)
        weight = torch.randn(compiled.soft_count, backbone.width, generator=dice) * backbone.embedding_rms
        vectors = SoftVectors(compiled.blocks, weight).by_block() if compiled.blocks else {}
        prompts.append(Prompt(hard.template, WORDS, hard.model, hard.fingerprint, vectors))
    return prompts


def seconds(run: Callable[[], object]) -> float:
    """Time of the processor."""
    started = time.process_time()
    run()
    return time.process_time() - started


def measure(name: str) -> str:
    """The row of one setup."""
    model, templates = SETUPS[name]
    backbone = load_backbone(f"starter:{model}")
    texts = load_data("movie-reviews").test.texts
    lengths = {text: len(backbone.vocabulary.ids(text)) for text in texts}
    chosen = sorted(texts, key=lambda text: abs(lengths[text] - LENGTH))[:ROWS]
    prompts = prompts_of(templates, backbone)
    together, alone = PromptSet(prompts, backbone), [PromptSet([prompt], backbone) for prompt in prompts]

    def each_alone() -> list[np.ndarray]:
        return [one.label_scores(chosen)[0] for one in alone]

    pairs = zip(together.label_scores(chosen), each_alone(), strict=True)
    gap = max(float(abs(np.diff(found) - np.diff(expected)).max()) for found, expected in pairs)
    times = [(seconds(each_alone), seconds(lambda: together.label_scores(chosen))) for _ in range(ROUNDS)]
    ratios = [apart / joint for apart, joint in times]
    apart, joint = (median(column) for column in zip(*times, strict=True))
    each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    return f"| {name} | {apart:.2f} s | {joint:.2f} s | **{median(ratios):.2f}** ({each}) | {gap:.1e} |"


def main() -> None:
    """Print a Markdown row for each setup."""
    print("| prompts | alone | together | ratio (each round) | largest difference, nats |")
    print("| --- | --- | --- | --- | --- |")
    for name in sys.argv[1:] or SETUPS:
        print(measure(name), flush=True)


if __name__ == "__main__":
    main()
