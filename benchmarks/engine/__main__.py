"""Time and memory of the engine: beside PEFT and plain transformers, as a share of what is possible, and as work grows.

Usage: OMP_NUM_THREADS=1 taskset -c 0 python -m benchmarks.engine [KIND ...] [--models ...] [--tokens 28 128 512]
           [--rounds 5] [--dtypes float32 bfloat16] [--json FILE]

Everything is measured in turn within a round, on the same model, rows, precision and threads, and what is printed are
medians over the rounds. With one thread times are those of the processor, so that other work on the core does not
count. PEFT pads rows to 64 tokens, as its guide does, and once more to the longest row of each batch only, which it
does not; texts longer than that know no difference. FILE keeps what was found, so that kinds can be measured one after
the other, and a picture is drawn beside it; what is measured again takes the place of what was there.
"""

import argparse
import json
from pathlib import Path

import torch

from benchmarks.engine.beside_peft import accuracy, memory, scoring, training
from benchmarks.engine.case import TEMPLATES, Case, Record
from benchmarks.engine.compiled import compiled
from benchmarks.engine.growth import growth
from benchmarks.engine.limit import limit
from benchmarks.engine.peft_side import DTYPES
from benchmarks.engine.plot import draw
from benchmarks.engine.sharing import demonstrations, prompts
from softcloze import load_backbone

# by the length of texts
BY_TOKENS = {"training": training, "scoring": scoring, "memory": memory, "limit": limit, "compiled": compiled}
# with reviews as they are
ONCE = {"accuracy": accuracy, "demonstrations": demonstrations, "prompts": prompts, "growth": growth}
KINDS = BY_TOKENS | ONCE


def main() -> None:
    """Print a Markdown row for each measurement, and keep all of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", default=list(KINDS), metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--models", nargs="+", default=list(TEMPLATES), choices=list(TEMPLATES))
    parser.add_argument("--tokens", nargs="+", type=int, default=[28, 128, 512])
    parser.add_argument("--dtypes", nargs="+", choices=list(DTYPES), help="default: what the processor multiplies")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    if unknown := set(given.kinds) - set(KINDS):
        parser.error(f"{', '.join(sorted(unknown))}: expected one of {', '.join(KINDS)}")
    print(f"{torch.get_num_threads()} threads, {given.rounds} rounds\n", flush=True)
    for kind in given.kinds:
        print("| what | model | precision | tokens | found |\n| --- | --- | --- | --- | --- |", flush=True)
        for dtype in given.dtypes or _multiplied():
            for model in given.models:
                if kind == "demonstrations" and model == "bert-tiny":
                    continue  # a masked model shares nothing
                for tokens in given.tokens if kind in BY_TOKENS else [28]:
                    _measure(kind, Case(model, dtype, tokens), given.rounds, given.json)
        print(flush=True)


def _measure(kind: str, case: Case, rounds: int, path: Path | None) -> None:
    records = list(KINDS[kind](case, rounds))
    if path is None:
        return
    same = {"kind": kind, "model": case.model, "dtype": case.dtype, "tokens": case.tokens}
    kept: list[Record] = json.loads(path.read_text()) if path.exists() else []
    kept = [record for record in kept if any(record[name] != value for name, value in same.items())] + records
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(kept, indent=2) + "\n")
    draw(kept, path.with_suffix(".svg"))


def _multiplied() -> list[str]:
    """The precisions that this processor multiplies in hardware."""
    if load_backbone("starter:bert-tiny").model.dtype == torch.bfloat16:  # what dtype="auto" says
        return list(DTYPES)
    print("bfloat16 is left out: this processor does not multiply it in hardware (--dtypes bfloat16 asks for it)\n")
    return ["float32"]


if __name__ == "__main__":
    main()
