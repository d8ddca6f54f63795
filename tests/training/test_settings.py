"""Options of training: each has a type and a range, and a wrong value is named before any work."""

from dataclasses import fields
from fractions import Fraction

import numpy as np
import pytest
from support import models

from softcloze import PromptClassifier
from softcloze.errors import ParameterError
from softcloze.training import FIT_PARAMETERS, ResolvedSettings, TrainingSettings

OPTIONS = [option.name for option in fields(TrainingSettings)]
NUMBERS = [name for name in OPTIONS if isinstance(getattr(ResolvedSettings(), name), int | float)]
NUMBERS.remove("early_stopping")
# values that none of the numbers takes, as configuration files, grids and typos bring them
NO_NUMBER = ["3", None, True, float("nan"), float("inf"), -1, [1], np.array([1, 2]), 1j]


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_refuses_an_object(name):
    with pytest.raises(ParameterError, match=f"^{name}=<object .*, but it has to be "):
        TrainingSettings(**{name: object()}).validate()


@pytest.mark.parametrize("value", NO_NUMBER, ids=repr)
@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_refuses_what_is_none(name, value):
    if value is None and getattr(TrainingSettings(), name) is None:
        return
    with pytest.raises(ParameterError, match=f"^{name}=.*, but it has to be (a number|an integer) "):
        TrainingSettings(**{name: value}).validate()


@pytest.mark.parametrize("value", [*NO_NUMBER, 0], ids=repr)
@pytest.mark.parametrize("name", FIT_PARAMETERS)
def test_parameters_of_fit_refuse_what_is_no_number(name, value):
    assert not FIT_PARAMETERS[name].holds(value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("average_last_epochs", 1.5),
        ("n_iter_no_change", 0),
        ("n_iter_no_change", 2.0),
        ("early_stopping", "yes"),
        ("early_stopping", 1),
        ("early_stopping", None),
        ("checkpoint", 7),
        ("checkpoint", True),
        ("cache_memory", True),
        ("cache_memory", 1.5),
        ("cache_memory", None),
        ("on_epoch", "print"),
        ("target_loss", 10**400),
    ],
)
def test_wrong_types(name, value):
    with pytest.raises(ParameterError, match=f"^{name}="):
        TrainingSettings(**{name: value}).validate()


def test_numbers_of_numpy_are_numbers():
    settings = TrainingSettings(
        head_learning_rate=np.float32(0.5),
        warmup_fraction=np.float64(0.5),
        average_last_epochs=np.int64(2),
        early_stopping=np.True_,
        cache_memory=np.int32(5),
    )
    settings.validate()
    saved = settings.to_dict()
    assert {type(saved[name]) for name in ("head_learning_rate", "average_last_epochs", "early_stopping")} == {
        float,
        int,
        bool,
    }


def test_numbers_of_other_kinds_are_saved_with_the_prompt(tmp_path):
    """A prompt trained with numbers of numpy, as a grid brings them, is not lost when it is saved."""
    numbers = {"epochs": np.int8(1), "batch_size": np.uint8(4), "learning_rate": Fraction(1, 25)}
    clf = PromptClassifier(models.backbone("bert"), "<soft> <text> It was <mask>.", {"pos": "good", "neg": "bad"})
    clf.set_params(**numbers, max_length=np.int64(40), random_state=np.int64(3), training__target_loss=np.float32(0.5))
    clf.fit(models.SENTENCES[:4], ["pos", "neg"] * 2).save(tmp_path / "prompt")
    loaded = PromptClassifier.load(tmp_path / "prompt", models.backbone("bert"))
    assert (loaded.epochs, loaded.batch_size, loaded.learning_rate, loaded.max_length) == (1, 4, 0.04, 40)
    assert loaded.training.target_loss == 0.5
