"""The other side: prompt tuning of PEFT, as its guide has it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from peft import PromptTuningConfig, PromptTuningInit, TaskType, get_peft_model
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

from benchmarks.engine.case import LABELS, SLOTS, Case
from softcloze.backbone import load_tokenizer
from softcloze.encoding import PretrainedTokenizer
from softcloze.starters import fetch_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
GUIDE, LONGEST, FLOAT32 = "as in its guide", "batches padded to their longest row", "as in its guide, in float32"
# to at least so many tokens
PADDINGS = {GUIDE: 64, LONGEST: 1, FLOAT32: 64}


def pefts_of(case: Case) -> dict[str, "Peft"]:
    """Both ways to pad, or one where all texts are longer than the guide's padding; and the guide's float32."""
    wanted = [GUIDE]
    if case.tokens < 64:
        wanted.append(LONGEST)
    if case.dtype != "float32":
        wanted.append(FLOAT32)
    return {
        name: peft_of(replace(case, dtype="float32") if name == FLOAT32 else case, PADDINGS[name]) for name in wanted
    }


def peft_of(case: Case, at_least: int, seed: int = 0) -> "Peft":
    """PEFT with a model of its own; rows are padded to `at_least` tokens."""
    folder = fetch_model(case.model)
    tokenizer = load_tokenizer(str(folder))[0]
    kind = AutoModelForCausalLM if tokenizer.mask_token is None else AutoModelForMaskedLM
    model = kind.from_pretrained(folder, dtype=DTYPES[case.dtype])
    return Peft(model, tokenizer, [*case.words.values()], case.batch, at_least, seed)


class Peft:
    """`PromptTuningConfig` with as many virtual tokens as we have slots, on a model.

    A causal model learns the label word's tokens as the goal of causal language modelling. For a masked model PEFT
    has no task, so that of features serves, which puts the virtual tokens in front of everything and leaves the
    rest to the model with its masked head.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        tokenizer: PretrainedTokenizer,
        words: Sequence[str],
        batch: int,
        at_least: int = 1,
        seed: int = 0,
    ):
        """Put virtual tokens in front of `model`; rows of a batch are padded to `at_least` tokens and the longest."""
        self.tokenizer = tokenizer
        self.masked = tokenizer.mask_token is not None
        config = PromptTuningConfig(
            task_type=TaskType.FEATURE_EXTRACTION if self.masked else TaskType.CAUSAL_LM,
            num_virtual_tokens=SLOTS,
            prompt_tuning_init=PromptTuningInit.RANDOM,
        )
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.model = get_peft_model(model, config)
        self.device = model.device
        spelled = [word if self.masked else f" {word}" for word in words]
        ids = [ids[0] for ids in self._ids(spelled, add_special_tokens=False)]
        self.words = torch.tensor(ids, device=self.device)
        self.batch, self.at_least = batch, at_least
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=3e-2)

    def train(self, texts: Sequence[str], labels: Sequence[str]) -> None:
        """One step for each batch."""
        self.model.train()
        for first in range(0, len(texts), self.batch):
            chosen = slice(first, first + self.batch)
            answers = [int(self.words[LABELS.index(label)]) for label in labels[chosen]]
            rows, places = self._prompts(texts[chosen])
            if not self.masked:  # the answer is read as well, as in the guide
                rows = [[*row, answer] for row, answer in zip(rows, answers, strict=True)]
                places = [place + 1 for place in places]
            ids, mask = self._padded(rows)
            goal = torch.full_like(ids, -100)
            goal[torch.arange(len(rows)), places] = torch.tensor(answers, device=self.device)
            if self.masked:
                goal = torch.cat([goal.new_full((len(rows), SLOTS), -100), goal], 1)
            self.model(input_ids=ids, attention_mask=mask, labels=goal).loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()

    def score(self, texts: Sequence[str]) -> list[str]:
        """The likelier label word of each text, in the order that they come."""
        self.model.eval()
        found = []
        with torch.inference_mode():
            for first in range(0, len(texts), self.batch):
                rows, places = self._prompts(texts[first : first + self.batch])
                ids, mask = self._padded(rows)
                logits = self.model(input_ids=ids, attention_mask=mask).logits
                at = torch.tensor(places) + SLOTS
                found += logits[torch.arange(len(ids)), at][:, self.words].argmax(-1).tolist()
        return [LABELS[i] for i in found]

    def _ids(self, texts: Sequence[str], **options: bool) -> list[list[int]]:
        return self.tokenizer(list(texts), **options)["input_ids"]

    def _prompts(self, texts: Sequence[str]) -> tuple[list[list[int]], list[int]]:
        """Ids, and the place at which the answer is predicted."""
        if self.masked:
            rows = self._ids([f"{text} It was {self.tokenizer.mask_token}." for text in texts])
            return rows, [row.index(self.tokenizer.mask_token_id) for row in rows]
        rows = self._ids([f"Review: {text}\nSentiment:" for text in texts])
        return rows, [len(row) - 1 for row in rows]

    def _padded(self, rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        ids, mask = padded(rows, self.at_least)
        return ids.to(self.device), mask.to(self.device)


def padded(rows: Sequence[Sequence[int]], at_least: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids padded on the right to the longest row and to `at_least` tokens, and their mask."""
    longest = max(at_least, *map(len, rows))
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)], mask[i, : len(row)] = torch.tensor(row), 1
    return ids, mask
