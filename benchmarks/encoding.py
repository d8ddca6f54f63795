"""Time of encoding beside the tokenizer alone, on 10,000 short reviews; at most 1.5 times is promised.

Usage: python benchmarks/encoding.py

Both are measured in turn, in one process, so that other work on the machine slows both down alike. The tokenizer gets
the strings that the template would render to; a template does that itself, reads the examples' fields and sorts
tokens and slots.
"""

import statistics
import time
from collections.abc import Callable, Sequence

from transformers import AutoTokenizer

from softcloze.encoding import CompiledTemplate, Demonstration, PromptTokenizer
from softcloze.starters import fetch_model, load_data
from softcloze.template import Template

ROWS, ROUNDS = 10_000, 5
SHOWN = [
    Demonstration({"text": "A delight from the first scene to the last."}, "good"),
    Demonstration({"text": "Dull, and far too long."}, "bad"),
] * 2

# what the tokenizer alone is given for each template; {} is the review
TEMPLATES = {
    "<text> It was <mask>.": "{} It was [MASK].",
    "<soft*10> <text> It was <mask>.": "{} It was [MASK].",
    "<soft*10> <text max=200 keep=ends> It was <mask>.": "{} It was [MASK].",
    "<text><sep>It was <mask>.": "{}[SEP]It was [MASK].",
    "{% if text %}{{ text | trim }} {% endif %}It was <mask>.": "{} It was [MASK].",
    "<demos*4><text> It was <mask>.": "".join(f"{one.values['text']} It was {one.word}.\n\n" for one in SHOWN)
    + "{} It was [MASK].",
}


def reviews() -> list[str]:
    """Movie reviews and tweets of at most 200 characters, from the starters."""
    texts = [text for name in ("movie-reviews", "tweets-3") for text in load_data(name).train.texts]
    return [text for text in texts if len(text) <= 200][:ROWS]


def seconds(work: Callable[[], object]) -> float:
    """The seconds of a call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure(source: str, plain: str, texts: Sequence[str]) -> tuple[float, float, float]:
    """Median seconds of the tokenizer and of the template, and the median of their ratio in each round."""
    tokenizer = AutoTokenizer.from_pretrained(fetch_model("bert-tiny"))
    template = CompiledTemplate(Template(source), PromptTokenizer(tokenizer, masked=True), 512)
    strings = [plain.format(text) for text in texts]
    shown = [SHOWN] * len(texts) if template.template.demos is not None else None
    alone, ours = [], []
    for _ in range(ROUNDS):
        alone.append(seconds(lambda: tokenizer(strings)))
        ours.append(seconds(lambda: template.encode(texts, demonstrations=shown)))
    ratios = [b / a for a, b in zip(alone, ours, strict=True)]
    return statistics.median(alone), statistics.median(ours), statistics.median(ratios)


def main() -> None:
    """Print a Markdown row for each template."""
    texts = reviews()
    print(f"{len(texts):,} reviews, {statistics.mean(map(len, texts)):.0f} characters on average\n")
    print("| template | tokenizer alone | template | ratio |")
    print("| --- | --- | --- | --- |")
    for source, plain in TEMPLATES.items():
        alone, ours, ratio = measure(source, plain, texts)
        cell = source.replace("|", "\\|")
        print(f"| `{cell}` | {alone:.2f} s | {ours:.2f} s | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
