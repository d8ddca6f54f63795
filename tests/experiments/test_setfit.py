"""SetFit without its packages: a clear error, and a method like others."""

import pytest

from softcloze.errors import ParameterError
from softcloze.experiments import Method, SetFitClassifier
from softcloze.experiments import baselines as module
from softcloze.experiments.run_cache import identity


def test_what_is_missing_is_named_with_the_command_that_installs_it(monkeypatch):
    found = {"setfit": None, "datasets": object()}
    monkeypatch.setattr(module, "find_spec", found.get)
    with pytest.raises(ParameterError, match=r"needs setfit; install with: pip install setfit$"):
        SetFitClassifier("encoder").fit(["好", "差"], ["good", "bad"])


def test_it_is_a_method_like_others():
    method = Method("SetFit", SetFitClassifier("encoder", epochs=2))
    prepared = method.prepared(seed=3, folds=list)
    assert (prepared.encoder, prepared.epochs, prepared.random_state) == ("encoder", 2, 3)
    assert method.learns and method.card.description == "SetFitClassifier"
    assert identity(prepared) != identity(method.prepared(seed=4, folds=list))
