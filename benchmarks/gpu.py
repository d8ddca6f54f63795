"""The engine on an accelerator: equal to plain transformers, out of memory, and its speed beside PEFT.

Usage: python -m benchmarks.gpu [--device cuda] [--rounds 5] [--tokens 28 128 512] [--out gpu.md]

It is sized for eight minutes of a GPU. On a CPU it leaves out SmolLM2 beside PEFT and texts of 128 and 512 tokens,
unless `--tokens` names lengths, which then take all models. It prints a page of Markdown, writes it to `--out`, and
exits with 1 where a shortcut gives other scores than plain transformers. Speed is measured in turn within a round on
the same model, precision and texts: SmolLM2-135M, and a Llama of a billion random weights, on a CPU of 46 million. A
first round warms a GPU up. Both sides pad a batch to its longest sequence.
"""

import argparse
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median

import torch
import transformers

from benchmarks.engine.case import BEHIND, FRONT, TEMPLATES, WORDS, Case, epoch_seconds, seconds
from benchmarks.engine.equality import FLOAT32_TOLERANCE, HEADER, ROUNDINGS, equality, random_llama
from benchmarks.engine.limit import Products, products_of_epoch
from benchmarks.engine.peft_side import Peft
from softcloze import Backbone, PromptClassifier, load_backbone
from softcloze.errors import OneSidedWarning
from softcloze.training import TrainingSettings

MODEL = "smollm2-135m"
BILLION = {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32}
SMALL = {"hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 6, "num_attention_heads": 8}
LARGEST = {"cuda": 8192, "cpu": 2048}  # rows and columns of the largest product


class Page:
    """Lines of Markdown, printed as they come and written at the end."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, text: str) -> None:
        """Add lines."""
        print(text, flush=True)
        self.lines.append(text)


def out_of_memory(device: str) -> tuple[str, bool]:
    """Score with half the memory that the batches take.

    Returns:
        A sentence, and False if the scores differ or memory did not run out.
    """
    if device != "cuda":
        return "Not checked: a CPU does not run out of memory in a way that a program can catch.", True
    backbone = load_backbone(f"starter:{MODEL}", dtype="float32", device=device)
    texts, labels = Case(MODEL, tokens=128).texts(256)
    clf = _classifier(backbone, FRONT, 16).fit(texts[:16], labels[:16])
    sizes: list[int] = []

    def count(_: torch.nn.Module, _inputs: object, outputs: Sequence[torch.Tensor]) -> None:
        sizes.append(outputs[0].shape[:2].numel())

    hook = backbone.model.base_model.register_forward_hook(count)
    try:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_reserved()
        expected = clf.predict_proba(texts)
        most, whole = torch.cuda.max_memory_reserved() - before, max(sizes)
        torch.cuda.empty_cache()
        sizes.clear()
        errors = torch.cuda.memory_stats()["num_ooms"]
        torch.cuda.set_per_process_memory_fraction(
            (before + most / 2) / torch.cuda.get_device_properties(0).total_memory
        )
        difference = abs(clf.predict_proba(texts) - expected).max()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        hook.remove()
    errors = torch.cuda.memory_stats()["num_ooms"] - errors
    after = max(sizes)
    sentence = (
        f"With half of the {most / 1e6:,.0f} MB that batches of up to {whole:,} tokens took, memory ran out {errors} "
        f"times, the largest batch that ran had {after:,}, and probabilities differ by {difference:.1e}."
    )
    return sentence, 0 < after < whole and errors > 0 and difference <= FLOAT32_TOLERANCE


def speed(backbone: Backbone, tokens: int, rounds: int) -> Iterator[str]:
    """Rows of a table: training and scoring beside PEFT, and beside the products of matrices alone."""
    on_gpu, case = backbone.device.type == "cuda", Case(MODEL, tokens=tokens)
    batch = (16 if tokens < 500 else 8) if on_gpu else case.batch
    trained, scored = (4 * batch, 8 * case.many) if on_gpu else (batch, case.many // 4)
    texts, labels = case.texts(max(trained, scored))
    peft = Peft(backbone.model, backbone.tokenizer, WORDS[MODEL], batch)
    train, score = (texts[:trained], labels[:trained]), texts[:scored]
    works: dict[tuple[str, str], Callable[[], float]] = {
        ("training", "PEFT"): lambda: seconds(partial(peft.train, *train)),
        ("scoring", "PEFT"): lambda: seconds(partial(peft.score, score)),
    }
    products: dict[tuple[str, str], Products] = {}
    for place in (FRONT, BEHIND):
        fitted = _classifier(backbone, place, batch).fit(texts[:batch], labels[:batch])
        with Products() as products["scoring", place]:
            fitted.predict(score)
        products["training", place] = products_of_epoch(_classifier(backbone, place, batch), *train)
        clf = _classifier(backbone, place, batch).set_params(epochs=2)
        works["training", place] = lambda clf=clf: epoch_seconds(clf, *train)[1][0]
        works["scoring", place] = lambda fitted=fitted: seconds(lambda: fitted.predict(score))
    taken: dict[tuple[str, str], list[float]] = {name: [] for name in works}
    for round_number in range(rounds + on_gpu):
        for name, work in works.items():
            time = work()
            if round_number >= on_gpu:
                taken[name].append(time)
    model = f"{backbone.name.removeprefix('starter:')}, {backbone.parameters / 1e6:,.0f} million"
    for name, counted in products.items():
        kind, place = name
        rows = trained if kind == "training" else scored
        ratios = [theirs / ours for ours, theirs in zip(taken[name], taken[kind, "PEFT"], strict=True)]
        ours, theirs = median(taken[name]), median(taken[kind, "PEFT"])
        alone = counted.seconds_alone(backbone.model.dtype, backbone.device)
        cells = [
            model, tokens, f"{kind}, {place}", f"{rows / ours:.1f}",
            f"{rows / theirs:.1f}", f"{median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})",
            f"{counted.work / ours / 1e12:.2f}", f"{alone / ours:.0%}",
        ]  # fmt: skip
        yield f"| {' | '.join(map(str, cells))} |"


def largest_product(dtype: torch.dtype, device: str) -> str:
    """The speed of one large product, the limit of all work."""
    size = LARGEST[device]
    product = Products()
    product.found[(size, size, size), False] = 1
    speed = product.work / product.seconds_alone(dtype, torch.device(device)) / 1e12
    return f"A product of matrices of {size:,} × {size:,} runs at {speed:.2f} TFLOP/s in {_name(dtype)}."


def _classifier(backbone: Backbone, place: str, batch: int) -> PromptClassifier:
    words = dict(zip(Case(MODEL).words, WORDS[MODEL], strict=True))
    settings = TrainingSettings(target_loss=0.0)
    return PromptClassifier(
        backbone, TEMPLATES[MODEL][place], words, batch_size=batch, epochs=1, training=settings, random_state=0
    )


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def main() -> None:
    """Write the page; exit with 1 if something is not equal."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", nargs="+", type=int, help="by default 28 128 512; on a CPU 28, of the Llama alone")
    parser.add_argument("--out", type=Path, default=Path("gpu.md"), metavar="FILE")
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch has no CUDA device here; give --device cpu")
    warnings.simplefilter("ignore", OneSidedWarning)  # accuracy is measured elsewhere
    transformers.logging.disable_progress_bar()
    page, equal = Page(), []
    device = torch.cuda.get_device_name() if given.device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "peft"))
    page.add(f"{device}, {packages}, {given.rounds} rounds, {datetime.now(UTC):%d %B %Y}.\n")
    page.add(
        f"Equal: in float32 up to {FLOAT32_TOLERANCE:g}; in bfloat16 as far from plain float32 as {ROUNDINGS:g} times "
        f"plain bfloat16. Scores in nats, the largest difference in float32, the root mean square in bfloat16; "
        f"gradients as a share of their norm.\n\n{HEADER}"
    )
    for row, same in equality(given.device):
        page.add(row)
        equal.append(same)
    sentence, same = out_of_memory(given.device)
    page.add(f"\nOut of memory: {sentence}\n")
    equal.append(same)
    backbone = load_backbone(f"starter:{MODEL}", device=given.device)
    dtype = backbone.model.dtype
    page.add(f"{largest_product(dtype, given.device)} Sequences per second in {_name(dtype)}:\n")
    small = given.device == "cpu" and given.tokens is None
    if small:
        page.add(f"Left out on a CPU, for time: {MODEL}, and texts of 128 and 512 tokens; `--tokens` names them.\n")
    lengths = given.tokens if given.tokens is not None else [28] if small else [28, 128, 512]
    page.add("| model | tokens | what | softcloze | PEFT | ratio | TFLOP/s | share of the products alone |")
    page.add("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for llama in (True,) if small else (False, True):
        if llama:
            sizes = BILLION if given.device == "cuda" else SMALL
            backbone = random_llama(given.device, dtype, num_key_value_heads=8, **sizes)
        for tokens in lengths:
            for row in speed(backbone, tokens, given.rounds):
                page.add(row)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text("\n".join(page.lines) + "\n", encoding="utf-8")
    if not all(equal):
        sys.exit("a shortcut is not equal to plain transformers: see the table")


if __name__ == "__main__":
    main()
