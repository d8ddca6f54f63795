"""Fixtures: one tiny backbone or tokenizer of each kind, and the real starters."""

import os

import pytest
import torch
from hypothesis import settings
from support import models

from softcloze.backbone import load_backbone

# The same cases on every run, so that a run that fails can be repeated. `fuzz/` and `pytest --hypothesis-profile=new`
# look at cases that nobody has seen.
settings.register_profile("same", derandomize=True)
settings.register_profile("new", print_blob=True)
settings.load_profile("same")


def pytest_configure(config):
    """Test processes share the cores: one thread for each of them and for what they start."""
    if hasattr(config, "workerinput"):
        torch.set_num_threads(1)
        os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(params=models.TOKENIZERS)
def kind(request):
    """The name of each kind of tokenizer in turn."""
    return request.param


@pytest.fixture(params=list(models.ARCHITECTURES))
def architecture(request):
    """The name of each architecture in turn."""
    return request.param


@pytest.fixture(scope="session")
def bert_tiny():
    """BERT-tiny, the smallest real masked model."""
    return load_backbone("starter:bert-tiny", dtype="float32", device="cpu")


@pytest.fixture
def smollm2():
    """SmolLM2-135M, a real causal model of English."""
    return load_backbone("starter:smollm2-135m", dtype="float32", device="cpu")


@pytest.fixture
def gemma3():
    """Gemma 3 270M, a real causal model of many languages."""
    return load_backbone("starter:gemma3-270m", dtype="float32", device="cpu")
