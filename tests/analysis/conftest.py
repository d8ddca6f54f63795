"""Soft prompts made without training."""

from types import SimpleNamespace

import pytest
import torch
from support import models

from softcloze import Prompt, Template, Verbalizer
from softcloze.prompt import CompiledPrompt


@pytest.fixture
def soft_prompt():
    """Make what a fitted classifier holds, with vectors at random."""

    def made(backbone, source, table, *, vectors=None, **rest):
        backbone = models.backbone(backbone) if isinstance(backbone, str) else backbone
        template, verbalizer = Template(source), table if not isinstance(table, dict) else Verbalizer(table)
        bound = CompiledPrompt(template, verbalizer, backbone, None)
        if vectors is None:
            dice = torch.Generator().manual_seed(0)
            noise = torch.randn(bound.template.soft_count, backbone.width, generator=dice)
            vectors = {b.key: noise[list(b.rows)] * backbone.embedding_rms for b in bound.template.blocks}
        prompt = Prompt(template, verbalizer, backbone.name, backbone.fingerprint, vectors, **rest)
        return SimpleNamespace(prompt_=prompt, backbone_=backbone)

    return made
