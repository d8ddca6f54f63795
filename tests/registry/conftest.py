import shutil
from dataclasses import replace

import pytest
import torch
from support import models

from softcloze import Prompt, Template, Verbalizer
from softcloze.registry import Registry

WORDS = Verbalizer({"positive": "good", "negative": "bad"})


@pytest.fixture(scope="session")
def backbone():
    return models.backbone("bert")


@pytest.fixture(scope="session")
def prompt(backbone):
    template = Template("<soft*2 name=task> <text> It was <mask>.")
    vectors = {"task": torch.ones(2, backbone.width)}
    return Prompt(template, WORDS, backbone.name, backbone.fingerprint, vectors=vectors)


@pytest.fixture(scope="session")
def numbered(prompt):
    """Make a prompt that differs from others by its vectors alone."""
    return lambda number: replace(prompt, vectors={"task": torch.full_like(prompt.vectors["task"], number)})


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "prompts")


@pytest.fixture(scope="session")
def read_only(numbered, tmp_path_factory):
    """A registry with the versions 1, 2 and 3 of `reviews`, all of which were live; tests do not change it."""
    made = Registry(tmp_path_factory.mktemp("registry") / "prompts")
    for number in (1, 2, 3):
        made.promote(str(made.add(numbered(number), "reviews", note=f"number {number}")))
    return made


@pytest.fixture
def filled(read_only, registry):
    """A copy of it that tests change."""
    shutil.copytree(read_only.folder, registry.folder)
    return registry
