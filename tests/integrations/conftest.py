"""A model and a classifier on it, for runnables of LangChain and graphs of LangGraph."""

import pytest
from support import models, three_labels


@pytest.fixture(scope="module")
def backbone():
    return models.new_backbone("bert")


@pytest.fixture(scope="module")
def clf(backbone):
    return three_labels.fitted_classifier(backbone)
