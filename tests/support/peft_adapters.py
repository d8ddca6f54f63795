"""Adapters of PEFT that are written from prompts with random vectors."""

import re

import pytest
import torch

TEXTS = ["A delight from the first scene to the last.", '"Dull," (and long) {it} was', "好看，a great film"]
CAUSAL = ("gpt2", "llama", "gemma3_text", "qwen3")
SEQ2SEQ = ("t5", "bart")
# PEFT asks transformers for the first, and reports what it does not support
IGNORED = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing`:FutureWarning",
    "ignore:Position ids are not supported",
    "ignore:Token type ids are not supported",
)


def random_vectors(template, backbone, scale=1):
    """Soft vectors by block, with the typical length of the input embeddings times `scale`."""
    generator = torch.Generator().manual_seed(0)
    return {
        block.key: torch.randn(block.count, backbone.width, generator=generator) * backbone.embedding_rms * scale
        for block in template.blocks
    }


def readme_of(folder):
    """The names that the code in the README of an adapter defines."""
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    namespace = {}
    exec(code, namespace)
    return namespace
