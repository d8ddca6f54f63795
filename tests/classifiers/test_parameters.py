"""Every parameter of every public estimator with wrong values: an error that names it, before a model is loaded."""

from functools import wraps
from inspect import signature

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from support import models

from softcloze import (
    AutoPromptClassifier,
    MultiLabelPromptClassifier,
    MultiTaskPrompt,
    ProbeClassifier,
    PromptClassifier,
    PromptEnsemble,
    PromptGenerator,
)
from softcloze.automatic import classifier as automatic
from softcloze.classifiers import probe, trained
from softcloze.errors import SoftclozeError
from softcloze.training import TrainingSettings

WORDS = {"bad": "bad", "good": "good"}
TEXTS, LABELS = models.SENTENCES[:4], ["good", "bad"] * 2
HARD, SOFT = "<text> It was <mask>", "<soft*2> <text> It was <mask>"
WRONG = {
    "None": None,
    "text": "3",
    "-1": -1,
    "0": 0,
    "2.5": 2.5,
    "nan": float("nan"),
    "inf": float("inf"),
    "True": True,
    "list": [],
    "dict": {},
    "object": object(),
    "array": np.array([1, 2]),
    "generator": np.random.default_rng(0),
    "class": dict,
    "duration": np.timedelta64(1, "s"),
    "big": 2**70,
}
# the values above that are right
RIGHT = {
    "verbalizer": {"None"},
    "calibration": {"None"},
    "learning_rate": {"2.5"},
    "epochs": {"big"},
    "batch_size": {"big"},
    "class_weight": {"None", "dict"},
    "max_length": {"None", "big"},
    "chat_options": {"None", "dict"},
    "warm_start": {"True"},
    "training": {"None"},
    "model_options": {"None", "dict"},
    "options": {"None", "dict"},
    "random_state": {"None", "0"},
    "cv": {"big"},
    "templates": {"list"},
    "budget": {"None", "text", "2.5", "big"},
    "candidates": {"None", "big"},
    "encoder": {"None", "text"},
    "members": {"big"},
    "soft_prompts": {"0", "big"},
    "on_trial": {"None", "class"},
    "deep_learning_rate": {"None", "2.5"},
    "via_learning_rate": {"2.5"},
    "via_width": {"big"},
    "from_learning_rate": {"2.5"},
    "from_width": {"big"},
    "head_learning_rate": {"2.5"},
    "warmup_fraction": {"0"},
    "max_grad_norm": {"2.5", "big"},
    "target_loss": {"None", "0", "2.5", "big"},
    "average_last_epochs": {"0", "big"},
    "early_stopping": {"True"},
    "n_iter_no_change": {"big"},
    "part_size": {"None", "big"},
    "checkpoint": {"None", "text"},
    "cache_memory": {"0", "big"},
    "on_epoch": {"None", "class"},
    "on_step": {"None", "class"},
}
ESTIMATORS = [PromptClassifier, MultiLabelPromptClassifier]


class LoadedError(Exception):
    """A model would have been loaded: the parameters passed."""


@pytest.fixture(autouse=True)
def nothing_is_loaded(monkeypatch):
    @wraps(trained.load_backbone)
    def load(*_, **__):
        raise LoadedError

    monkeypatch.setattr(trained, "load_backbone", load)
    for module in (automatic, probe):
        for name in {"load_backbone", "load_encoder"} & {*vars(module)}:
            monkeypatch.setattr(module, name, load)


def fit(estimator):
    several = isinstance(estimator, MultiLabelPromptClassifier)
    estimator.fit(TEXTS, [[label] for label in LABELS] if several else LABELS)


def outcome(use, estimator):
    """The message of our error, or None if a model would be loaded."""
    try:
        use(estimator)
    except LoadedError:
        return None
    except SoftclozeError as error:
        return str(error)
    raise AssertionError("neither an error nor a model that is loaded")


def parameters_of(estimator):
    return [name for name in signature(estimator).parameters if name != "model"]


def assert_named(message, name, is_right):
    """An error names the parameter with the wrong value; a right value has none."""
    if is_right:
        assert message is None
    else:
        assert message is not None and name in message


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize(("estimator", "name"), [(cls, name) for cls in ESTIMATORS for name in parameters_of(cls)])
def test_a_wrong_value_of_a_parameter_is_named_by_fit(estimator, name, value):
    clf = estimator("./nowhere", SOFT, WORDS).set_params(**{name: WRONG[value]})
    message = outcome(fit, clf)
    is_right = value in RIGHT.get(name, ()) and (estimator, name) != (MultiLabelPromptClassifier, "verbalizer")
    assert_named(message, name, is_right)


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize("name", parameters_of(PromptGenerator))
def test_a_wrong_value_of_a_parameter_is_named_by_a_generator(name, value):
    generator = PromptGenerator("./nowhere", "<soft*2> <text>: <answer>").set_params(**{name: WRONG[value]})
    assert_named(outcome(fit, generator), name, value in RIGHT.get(name, ()))


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize("name", parameters_of(AutoPromptClassifier))
def test_a_wrong_value_of_a_parameter_is_named_by_an_automatic_fit(name, value):
    message = outcome(fit, AutoPromptClassifier("./nowhere").set_params(**{name: WRONG[value]}))
    assert_named(message, name, value in RIGHT.get(name, ()))


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize("name", parameters_of(ProbeClassifier))
def test_a_wrong_value_of_a_parameter_is_named_by_a_probe(name, value):
    message = outcome(fit, ProbeClassifier().set_params(**{name: WRONG[value]}))
    assert_named(message, name, value in RIGHT.get(name, ()) - ({"None"} if name == "encoder" else set()))


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize("name", parameters_of(PromptClassifier))
def test_a_wrong_value_of_a_parameter_is_named_by_a_hard_prompt(name, value):
    clf = PromptClassifier("./nowhere", HARD, WORDS).set_params(**{name: WRONG[value]})
    if (name, value) == ("verbalizer", "None"):
        with pytest.raises(NotFittedError, match="verbalizer"):
            clf.predict(TEXTS)
        return
    message = outcome(lambda clf: clf.predict(TEXTS), clf)
    is_right = value in RIGHT.get(name, ()) or (name, value) == (
        "soft_init",
        "text",
    )  # it may be the folder of a prompt
    assert_named(message, name, is_right)


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize("name", signature(TrainingSettings).parameters)
def test_a_wrong_option_of_training_is_named(name, value):
    clf = PromptClassifier("./nowhere", SOFT, WORDS).set_params(**{f"training__{name}": WRONG[value]})
    message = outcome(fit, clf)
    assert_named(message, name, value in RIGHT.get(name, ()))


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize("name", signature(PromptEnsemble).parameters)
def test_a_wrong_value_of_a_parameter_is_named_by_an_ensemble(name, value):
    members = [PromptClassifier("./nowhere", template, WORDS) for template in (HARD, SOFT)]
    message = outcome(fit, PromptEnsemble(members).set_params(**{name: WRONG[value]}))
    assert_named(message, name, value in RIGHT.get(name, ()))


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize("name", signature(MultiTaskPrompt).parameters)
def test_a_wrong_value_of_a_parameter_is_named_by_several_tasks(name, value):
    tasks = {name: PromptClassifier("./nowhere", "<soft name=task> <text> <mask>", WORDS) for name in "ab"}
    clf = MultiTaskPrompt(tasks).set_params(**{name: WRONG[value]})
    message = outcome(lambda clf: clf.fit(dict.fromkeys("ab", (TEXTS, LABELS))), clf)
    assert_named(message, name, value in RIGHT.get(name, ()))


def test_one_classifier_is_no_ensemble():
    member = PromptClassifier("./nowhere", HARD, WORDS)
    for classifiers in (member, "ab", [member, "ab"], [PromptClassifier], {"a": member}):
        for use in (fit, lambda ensemble: ensemble.score(TEXTS, LABELS), lambda ensemble: ensemble.predict(TEXTS)):
            assert outcome(use, PromptEnsemble(classifiers)).startswith("classifiers=")


def test_a_name_that_no_file_system_takes():
    clf = PromptClassifier("./nowhere", SOFT, WORDS).set_params(training__checkpoint="\ud800")
    assert "cannot write '\\ud800" in outcome(fit, clf)


def test_every_member_reads_the_examples_before_one_is_fitted():
    members = [PromptClassifier("./nowhere", template, WORDS) for template in (HARD, "<review> It was <mask>")]
    rows = [{"text": text} for text in TEXTS]
    message = outcome(lambda ensemble: ensemble.fit(rows, LABELS), PromptEnsemble(members))
    assert message.startswith("row 0: no field 'review'")


def test_labels_are_validated_before_a_member_is_fitted():
    members = [PromptClassifier("./nowhere", HARD, words) for words in (WORDS, {"good": "fine", "poor": "poor"})]
    assert "member 1 has the labels ['good', 'poor']" in outcome(fit, PromptEnsemble(members))
    ensemble = PromptEnsemble(members[:1])
    for y in (["good", "goood"] * 2, ["good", None] * 2, [1, "good"] * 2, ["good"] * 3):
        assert outcome(lambda ensemble, y=y: ensemble.fit(TEXTS, y), ensemble) is not None
