"""Prefix tuning of PEFT as a classifier: the other way to have trained vectors at every layer."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from peft import PeftModel, PrefixTuningConfig, TaskType, get_peft_model
from sklearn.base import BaseEstimator, ClassifierMixin
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

from benchmarks.engine.peft_side import padded
from softcloze import Template, Verbalizer, load_backbone
from softcloze.backbone import Backbone
from softcloze.encoding import EncodedPrompt
from softcloze.errors import ParameterError
from softcloze.library import resolve_template, resolve_verbalizer
from softcloze.prompt import CompiledPrompt
from softcloze.verbalizer import Label, Words


@dataclass(eq=False, repr=False)
class PrefixTuningClassifier(ClassifierMixin, BaseEstimator):
    """Keys and values in front of every layer of a causal model, trained by PEFT.

    Prompts and label words are those of softcloze, so that both sides read the same tokens. The vectors are
    float32, from PEFT's own random start.

    Args:
        model: a name for `load_backbone`.
        template: that ends in its mask.
        words: label words of one token each.
        length: vectors at each layer.
        epochs, batch_size, learning_rate: of AdamW, whose rate falls linearly to 0 after a tenth of the steps; epochs
            and rate are from the ranges of P-tuning v2.
        dtype: of the model; see `load_backbone`.
        random_state: seed of the vectors and of the order of examples.

    Source:
        Li and Liang, ACL 2021, arXiv:2101.00190; Liu et al., ACL 2022, arXiv:2110.07602.
    """

    model: str
    template: str | Template
    words: Mapping[Label, Words] | str | Verbalizer
    _: KW_ONLY
    length: int = 10
    epochs: int = 20
    batch_size: int = 8
    learning_rate: float = 1e-2
    dtype: str = "auto"
    random_state: int = 0

    def fit(self, X: Sequence[str], y: Sequence[Label]) -> Self:
        """Train the vectors."""
        backbone = load_backbone(self.model, dtype=self.dtype)
        verbalizer = resolve_verbalizer(self.words)
        self.compiled_ = CompiledPrompt(resolve_template(self.template), verbalizer, backbone, max_length=512)
        if any(len(ids) != 1 for ids in self.compiled_.words):
            raise ParameterError(f"{verbalizer!r} has label words of several tokens; expected one token each")
        self.classes_ = np.array(sorted(set(y)))
        order = [list(verbalizer.labels).index(label) for label in self.classes_]
        self.word_ids_ = torch.tensor([self.compiled_.words[i][0] for i in order])
        with torch.random.fork_rng():
            torch.manual_seed(self.random_state)
            self.model_ = with_prefix(backbone, self.length)
        prompts, goals = self.compiled_.encode(X), np.searchsorted(self.classes_, np.array(y))
        generator = np.random.default_rng(self.random_state)
        steps = self.epochs * -(-len(prompts) // self.batch_size)
        optimizer = torch.optim.AdamW(
            [weight for weight in self.model_.parameters() if weight.requires_grad], lr=self.learning_rate
        )
        warmup = max(1, steps // 10)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min((step + 1) / warmup, (steps - step) / max(1, steps - warmup))
        )
        self.model_.train()
        for _ in range(self.epochs):
            for chosen in _batches(generator.permutation(len(prompts)), self.batch_size):
                logits = self._logits([prompts[i] for i in chosen])
                cross_entropy(logits, torch.from_numpy(goals[chosen])).backward()
                torch.nn.utils.clip_grad_norm_(self.model_.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
                schedule.step()
        self.model_.eval()
        return self

    def predict_proba(self, X: Sequence[str]) -> NDArray[np.floating]:
        """Probabilities of the label words among themselves."""
        prompts = self.compiled_.encode(X)
        longest_first = np.argsort([-len(prompt.left) for prompt in prompts], kind="stable")
        probabilities = np.zeros((len(prompts), len(self.classes_)))
        with torch.inference_mode():
            for chosen in _batches(longest_first, 16):
                probabilities[chosen] = self._logits([prompts[i] for i in chosen]).softmax(-1).numpy()
        return probabilities

    def predict(self, X: Sequence[str]) -> NDArray[np.generic]:
        """The most probable labels."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(1)])

    def _logits(self, prompts: Sequence[EncodedPrompt]) -> torch.Tensor:
        """Logits of the label words after each prompt, shape (prompts, labels); padded on the right."""
        ids, mask = padded([prompt.left for prompt in prompts])
        logits = self.model_(input_ids=ids, attention_mask=mask).logits
        return logits[torch.arange(len(prompts)), mask.sum(1) - 1][:, self.word_ids_].float()


def with_prefix(backbone: Backbone, length: int) -> PeftModel:
    """A model of its own in the backbone's precision, with PEFT's prefix."""
    model = AutoModelForCausalLM.from_pretrained(backbone.model.config._name_or_path, dtype=backbone.model.dtype)
    config = PrefixTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=length)
    return get_peft_model(model, config)


def _batches(order: NDArray[np.integer], size: int) -> Iterator[NDArray[np.integer]]:
    """Parts of an order."""
    for first in range(0, len(order), size):
        yield order[first : first + size]
