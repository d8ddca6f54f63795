"""Models in folders."""

import pytest
from support import models


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A function from the name of an architecture to a backbone whose name is its folder."""
    known = {}

    def load(architecture):
        if architecture not in known:
            backbone = models.new_backbone(architecture)
            folder = tmp_path_factory.mktemp(architecture)
            backbone.model.save_pretrained(folder)
            backbone.tokenizer.save_pretrained(folder)
            backbone.name = str(folder)
            known[architecture] = backbone
        return known[architecture]

    return load
