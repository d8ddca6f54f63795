"""A model, fifty prompts of it, and the answers that are right."""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engine.case import Case
from benchmarks.engine.sharing import prompts_of
from benchmarks.load.clients import Answer, Row
from softcloze import PromptSet
from softcloze.registry import Registry

PROMPTS, CLIENTS, ROWS_IN_A_LIST = 50, 32, 32
TEXTS = {"bert-tiny": 512, "smollm2-135m": 64}
TEMPLATES = {
    "bert-tiny": "<soft*10> <text> It was <mask>.",
    "smollm2-135m": "<soft*10> Review: <text>\nSentiment: <mask>",
}
PREFIX_MEMORY = 64 << 20  # that of the service
TOLERANCE = 0.08  # of a probability: in bfloat16 a row in other batches differed by up to 0.062


class Bench:
    """A model, fifty prompts of it, a registry of them, and the answers that are right."""

    def __init__(self, model: str, folder: Path):
        self.model, self.case = model, Case(model, "auto")  # as the service loads it
        self.texts, _ = self.case.texts(TEXTS[model])
        made = prompts_of(self.case, [TEMPLATES[model]] * (PROMPTS + 1))
        self.prompts = {f"p{i:02}": prompt for i, prompt in enumerate(made[:PROMPTS])}
        self.registry = Registry(folder / "prompts")
        for name, prompt in self.prompts.items():
            self.registry.promote(str(self.registry.add(prompt, name)))
        self.second = {"p00": made[PROMPTS]}
        self.set = PromptSet(self.prompts, self.case.backbone, prefix_memory=PREFIX_MEMORY)
        changed = PromptSet(self.second, self.case.backbone, prefix_memory=PREFIX_MEMORY)
        self.expected = {
            (name, version, text): self._by_label(row)
            for version, rows, prompts in (
                (1, {*self.rows(1), *self.rows(10), *self.rows(PROMPTS)}, self.set),
                (2, {*self.rows(1)}, changed),
            )
            for (name, text), row in zip(rows, prompts.predict_rows([*rows]), strict=True)
        }

    def rows(self, prompts: int) -> list[Row]:
        """The texts, in turn by so many prompts."""
        return [(f"p{i % prompts:02}", text) for i, text in enumerate(self.texts)]

    @staticmethod
    def _by_label(row: Any) -> dict[str, float]:  # noqa: ANN401
        return dict(zip(row.labels, row.probabilities.tolist(), strict=True))

    def offline(self, seconds: float) -> tuple[float, float]:
        """Rows of `predict_rows` in a second, and in a second of the processor."""
        started, used, rows = time.monotonic(), time.process_time(), 0
        while time.monotonic() - started < seconds:
            self.set.predict_rows(self.rows(1))
            rows += len(self.rows(1))
        return rows / (time.monotonic() - started), rows / (time.process_time() - used)

    def check(self, answers: Sequence[Answer]) -> Counter[str]:
        """Count the rows of answers by what they are: right, wrong, or the status or code of a failure."""
        counts: Counter[str] = Counter()
        for answer in answers:
            if answer.status != 200:
                counts[str(answer.status)] += len(answer.rows)
                continue
            for (name, text), given in zip(answer.rows, answer.row_answers, strict=True):
                if "code" in given:
                    counts[given["code"]] += 1
                    continue
                expected = self.expected[name, given["version"], text]
                nearest = np.allclose(
                    [given["probabilities"][k] for k in expected], [*expected.values()], atol=TOLERANCE
                )
                counts["right" if nearest else "wrong"] += 1
        return counts
