"""Parameters, options of training and the compiled prompt of classifiers with one prompt."""

import pickle
from inspect import signature

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from support import models

from softcloze import MultiLabelPromptClassifier, PromptClassifier, PromptEnsemble, PromptGenerator, PromptSet
from softcloze.encoding import CompiledTemplate
from softcloze.errors import ParameterError
from softcloze.training import TrainingSettings

WORDS = {"bad": "bad", "good": ["good", "great"]}
TEXTS, LABELS = models.SENTENCES[:8], ["good", "bad"] * 4
HARD, SOFT = "<text> It was <mask>", "<soft*2> <text> It was <mask>"


@pytest.fixture
def compilations(monkeypatch):
    """List of the templates compiled during the test."""
    seen = []
    compiled = CompiledTemplate.__init__

    def counted(self, *arguments, **options):
        seen.append(self)
        return compiled(self, *arguments, **options)

    monkeypatch.setattr(CompiledTemplate, "__init__", counted)
    return seen


@pytest.mark.parametrize("template", [HARD, SOFT])
def test_a_prompt_is_compiled_once_for_any_number_of_calls(compilations, template):
    clf = PromptClassifier(models.backbone("gpt2"), template, WORDS, epochs=1, random_state=0)
    if template == SOFT:
        clf.fit(TEXTS, LABELS)
        assert len(compilations) <= 2  # with its slots, and perhaps without them to see whether its words are one-sided
        del compilations[1:]
    for _ in range(100):
        clf.predict_proba(TEXTS[:1])
    assert len(compilations) == 1
    clf.explain(TEXTS[0])
    clf.predict(TEXTS[:2])
    clf.decision_function(TEXTS[:2])
    assert len(compilations) == 1


def test_several_labels_are_compiled_once_as_well(compilations):
    clf = MultiLabelPromptClassifier(models.backbone("bert"), HARD, WORDS, random_state=0)
    clf.fit(TEXTS, [["good"], ["bad"], ["good", "bad"], []] * 2)
    for _ in range(100):
        clf.predict(TEXTS[:1])
    assert len(compilations) == 1


def test_members_of_an_ensemble_are_compiled_once(compilations):
    members = [
        PromptClassifier(models.backbone("gpt2"), template, WORDS) for template in (HARD, "<text> In all, <mask>")
    ]
    ensemble = PromptEnsemble(members)
    for _ in range(10):
        ensemble.predict_proba(TEXTS[:1])
    assert len(compilations) == 2


def test_a_changed_parameter_compiles_a_hard_prompt_again(compilations):
    clf = PromptClassifier(models.backbone("gpt2"), HARD, WORDS)
    before = clf.predict_proba(TEXTS)
    clf.set_params(template="<text> In all, <mask>")
    after = clf.predict_proba(TEXTS)
    assert len(compilations) == 2 and not np.allclose(before, after)
    fresh = PromptClassifier(models.backbone("gpt2"), "<text> In all, <mask>", WORDS)
    np.testing.assert_array_equal(after, fresh.predict_proba(TEXTS))


def test_the_kept_prompt_changes_no_score(named):
    clf = PromptClassifier(named("gpt2"), SOFT, WORDS, epochs=1, random_state=0).fit(TEXTS, LABELS)
    kept = clf.predict_proba(TEXTS)
    np.testing.assert_array_equal(PromptSet([clf.prompt_], clf.backbone_).predict_proba(TEXTS)[0], kept)
    again = pickle.loads(pickle.dumps(clone(clf)))
    np.testing.assert_array_equal(again.fit(TEXTS, LABELS).predict_proba(TEXTS), kept)


def test_parameters_that_are_tuned_often_stay_flat():
    flat = [*signature(PromptClassifier).parameters]
    assert flat == [
        "model", "template", "verbalizer", "head", "features", "demonstrations", "soft_init", "calibration", "epochs",
        "batch_size", "learning_rate", "class_weight", "max_length", "chat_options", "warm_start", "training",
        "model_options", "random_state",
    ]  # fmt: skip


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # the model knows nothing
def test_a_grid_search_reaches_options_of_training():
    clf = PromptClassifier(models.backbone("gpt2"), SOFT, WORDS, epochs=1, random_state=0)
    search = GridSearchCV(clf, {"training__warmup_fraction": [0.0, 0.5], "epochs": [1, 2]}, cv=2)
    search.fit(TEXTS, LABELS)
    settings = search.best_estimator_.prompt_.training
    assert settings["warmup_fraction"] == search.best_params_["training__warmup_fraction"]
    assert settings["epochs"] == search.best_params_["epochs"]
    assert clf.training is None  # the searched classifier stays as it was


def test_options_of_training_belong_to_one_classifier():
    one, other = (PromptClassifier("starter:bert-tiny", HARD, WORDS) for _ in range(2))
    one.set_params(training__target_loss=0.5)
    assert one.training == TrainingSettings(target_loss=0.5) and other.training is None
    copy = clone(one).set_params(training__target_loss=0.1)
    assert (one.training.target_loss, copy.training.target_loss) == (0.5, 0.1)
    several = MultiLabelPromptClassifier("starter:bert-tiny", HARD, WORDS).set_params(training__warmup_fraction=0.2)
    assert several.training == TrainingSettings(warmup_fraction=0.2)
    with pytest.raises(ValueError, match="Invalid parameter 'warmup' for estimator TrainingSettings"):
        one.set_params(training__warmup=0.1)
    one.set_params(training=None, training__target_loss=0.3)
    assert one.training == TrainingSettings(target_loss=0.3)
    with pytest.raises(ParameterError, match=r"training={}, but it has to be TrainingSettings\(...\) or None"):
        one.set_params(training={}, training__target_loss=0.3)


def test_a_loaded_classifier_has_the_settings_it_was_trained_with(tmp_path):
    training = TrainingSettings(target_loss=0.0, warmup_fraction=0.5, checkpoint=tmp_path / "progress")
    clf = PromptClassifier(models.backbone("gpt2"), SOFT, WORDS, epochs=2, training=training, random_state=0)
    clf.fit(TEXTS, LABELS).save(tmp_path / "prompt")
    loaded = PromptClassifier.load(tmp_path / "prompt", models.backbone("gpt2"))
    assert loaded.epochs == 2
    taken = {"target_loss": 0.0, "warmup_fraction": 0.5, "deep_learning_rate": 0.03}
    assert loaded.training == TrainingSettings(**taken)
    other = PromptClassifier.load(tmp_path / "prompt", models.backbone("gpt2"), training__target_loss=0.1)
    assert other.training == TrainingSettings(**{**taken, "target_loss": 0.1})


@pytest.mark.parametrize(
    ("kind", "taken"),
    [(PromptClassifier, (0.2, 0.03)), (MultiLabelPromptClassifier, (0.0, 0.03)), (PromptGenerator, (0.0, 0.3))],
)
def test_an_option_that_is_not_given_has_the_default_of_the_estimator(kind, taken):
    words = () if kind is PromptGenerator else (WORDS,)
    for training in (None, TrainingSettings(), TrainingSettings(warmup_fraction=0.5)):
        options = kind("starter:bert-tiny", SOFT, *words, training=training)._settings()
        assert (options.target_loss, options.deep_learning_rate) == taken
        assert options.warmup_fraction == (0.5 if training and training.warmup_fraction == 0.5 else 0.1)
    given = kind("starter:bert-tiny", SOFT, *words, training=TrainingSettings(target_loss=0.7, deep_learning_rate=1))
    assert (given._settings().target_loss, given._settings().deep_learning_rate) == (0.7, 1)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"epochs": 0}, "epochs=0, but it has to be an integer of at least 1"),
        (
            {"training": TrainingSettings(warmup_fraction=1.0)},
            "warmup_fraction=1.0, but it has to be a number from 0 to below 1",
        ),
        ({"epochs": 1.5}, "epochs=1.5, but it has to be an integer of at least 1"),
        ({"learning_rate": "0.1"}, "learning_rate='0.1', but it has to be a number above 0"),
        ({"training": TrainingSettings(target_loss=-1)}, "target_loss=-1, but it has to be a number of at least 0"),
        ({"training": TrainingSettings(cache_memory=None)}, "cache_memory=None, but it has to be a size in memory"),
        ({"training": {"warmup_fraction": 0.1}}, r"training={.*}, but it has to be TrainingSettings\(...\) or None"),
        (
            {"training": TrainingSettings(cache_memory="2 GB of it")},
            "cache_memory='2 GB of it', but it has to be a size in memory",
        ),
        (
            {"model_options": {"dtyp": "float32"}},
            "model_options has 'dtyp'; expected 'dtype', .*; did you mean 'dtype'?",
        ),
    ],
)
def test_mistakes_are_found_before_a_model_is_loaded(parameters, message):
    clf = PromptClassifier("./nowhere", SOFT, WORDS).set_params(**parameters)
    with pytest.raises(ParameterError, match=message):
        clf.fit(TEXTS, LABELS)


def test_options_of_a_model_are_for_one_given_by_name():
    clf = PromptClassifier(models.backbone("bert"), HARD, WORDS, model_options={"dtype": "float32"})
    with pytest.raises(ParameterError, match="is for a model given by name, and model is a Backbone"):
        clf.predict(TEXTS)


def test_no_model_is_loaded_to_tell_whether_a_classifier_is_fitted():
    assert PromptClassifier("./nowhere", HARD, WORDS).__sklearn_is_fitted__()


@pytest.mark.parametrize("parameters", [{"template": "no mask"}, {"template": SOFT}, {"calibration": "x"}])
def test_a_notebook_shows_a_classifier_that_cannot_predict(parameters):
    clf = PromptClassifier("./nowhere", HARD, WORDS).set_params(**parameters)
    assert "PromptClassifier" in clf._repr_html_() and not clf.__sklearn_is_fitted__()
