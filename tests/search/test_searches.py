"""Every search of scikit-learn and optuna, with a real model that is never copied."""

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import loguniform
from sklearn.exceptions import FitFailedWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    RandomizedSearchCV,
    cross_val_score,
)

from softcloze import PromptClassifier
from softcloze.errors import ParameterError
from softcloze.experiments import tfidf
from softcloze.library import load_template
from softcloze.search import library_prompts, summarise_search
from softcloze.template import with_slots

GOOD = ["很好看", "非常满意", "好极了", "a delight", "i loved it", "great fun"]
BAD = ["太差了", "很失望", "不好看", "a mess", "i hated it", "so boring"]
TEXTS = [text for pair in zip(GOOD, BAD, strict=True) for text in pair]
LABELS = ["positive", "negative"] * 6

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # one epoch teaches little


@pytest.fixture
def classifier(bert_tiny):
    return PromptClassifier(bert_tiny, "<text> <mask>", "sentiment/en", epochs=1, random_state=0)


def shown(summary):
    console = Console(width=100, color_system=None)
    with console.capture() as captured:
        console.print(summary.table())
    return captured.get()


def test_grid_of_slots(classifier, bert_tiny):
    templates = [with_slots("<text> It was <mask>.", **{place: n}) for place in ("front", "after") for n in (1, 3)]
    words = [{"positive": "good", "negative": "bad"}, {"positive": ["good", "great"], "negative": "bad"}]
    search = GridSearchCV(classifier, {"template": templates, "verbalizer": words}, cv=2).fit(TEXTS, LABELS)
    assert search.best_estimator_.backbone_ is search.best_estimator_.model is bert_tiny
    found = summarise_search(search, held_out=search.score(TEXTS, LABELS))
    assert found.best.parameters == search.best_params_ and found.best.mean == pytest.approx(search.best_score_)
    assert found.held_out == search.score(TEXTS, LABELS) and found.noise is not None
    ((round_,), results) = found.rounds, search.cv_results_
    assert [each.mean for each in round_.candidates] == pytest.approx(sorted(results["mean_test_score"], reverse=True))
    order = [results["params"].index(each.parameters) for each in round_.candidates]
    expected = results["std_test_score"][order] * np.sqrt(2)  # scikit-learn divides by the folds, not by one less
    assert [each.sd for each in round_.candidates] == pytest.approx(expected)
    assert {each.name for each in found.parameters} == {
        "template: slot position",
        "template: slot length",
        "verbalizer",
    }
    text = shown(found)
    assert all(each in text for each in ("positive: good, great; negative: bad", "is optimistic", "score is 0."))


def test_random_search_keeps_label_words_with_their_template(classifier, bert_tiny):
    grids = library_prompts("sentiment", "en", learning_rate=loguniform(0.01, 0.1))
    grids = [grid for grid in grids if "demos" not in grid["template"][0]]
    search = RandomizedSearchCV(classifier, grids, n_iter=4, cv=2, random_state=0).fit(TEXTS, LABELS)
    assert search.best_estimator_.backbone_ is bert_tiny
    pairs = {grid["template"][0]: grid["verbalizer"][0] for grid in grids}
    found = summarise_search(search)
    assert all(
        pairs[each.parameters["template"]] == each.parameters["verbalizer"] for each in found.rounds[0].candidates
    )
    assert found == summarise_search(search)


@pytest.mark.parametrize("kind", [HalvingGridSearchCV, HalvingRandomSearchCV])
def test_halving(kind, classifier, bert_tiny):
    space = {
        "template": [
            "sentiment/en-cloze",
            with_slots(load_template("sentiment/zh").template, front=2),
            "<text>很<mask>",
        ]
    }
    draws = {} if kind is HalvingGridSearchCV else {"n_candidates": 3}
    search = kind(classifier, space, resource="epochs", max_resources=3, cv=2, random_state=0, **draws)
    search.fit(TEXTS, LABELS)
    assert search.best_estimator_.backbone_ is bert_tiny
    found = summarise_search(search)
    assert [each.resource for each in found.rounds] == ["epochs=1", "epochs=3"]
    assert [len(each.candidates) for each in found.rounds] == search.n_candidates_ == [3, 1]
    assert found.best.parameters == search.best_params_
    assert sum(len(level.scores) for level in found.parameters[0].levels) == 3, "all of the first round"
    text = shown(found)
    assert text.index("Round 2 of 2, epochs=3") < text.index("Round 1 of 2, epochs=1")
    assert "compare within a round" in text


def test_halving_chooses_among_the_last_round_alone():
    """A lucky score on few examples in an early round does not win."""
    texts, labels = TEXTS * 4, LABELS * 4
    space = {"logisticregression__C": np.logspace(-4, 2, 9)}
    search = HalvingGridSearchCV(tfidf("char"), space, cv=2, min_resources=12, random_state=0).fit(texts, labels)
    found = summarise_search(search)
    last = [each.parameters for each in found.rounds[-1].candidates]
    assert found.best.parameters == search.best_params_ and found.best.parameters in last
    assert len(last) < len(found.rounds[0].candidates) == 9
    assert found.rounds[0].resource == "n_samples=12"


def test_a_study_of_optuna(classifier, bert_tiny):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def objective(trial):
        if trial.number == 2:
            raise optuna.TrialPruned
        template = trial.suggest_categorical("template", ["sentiment/zh", "<soft*2><text>很<mask>"])
        classifier.set_params(
            template=template, learning_rate=trial.suggest_float("learning_rate", 0.01, 0.1, log=True)
        )
        scores = cross_val_score(classifier, TEXTS, LABELS, cv=2)
        trial.set_user_attr("scores", scores.tolist())
        return scores.mean()

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(objective, n_trials=4)
    assert classifier.model is bert_tiny
    found = summarise_search(study)
    assert found.best.parameters == study.best_params and found.best.mean == study.best_value
    assert found.rounds[0].failed == 1 and len(found.best.folds) == 2 and found.noise is not None
    assert "1 without a score" in shown(found)


def test_a_study_that_looks_for_the_lowest():
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.GridSampler({"a": [1, 2], "b": [1, 2]}, seed=0))
    study.optimize(lambda trial: trial.suggest_int("a", 1, 2) + 0.1 * trial.suggest_int("b", 1, 2))
    found = summarise_search(study)
    assert found.best.parameters == {"a": 1, "b": 1} and not found.higher_is_better
    assert [level.best for level in found.parameters[0].levels] == pytest.approx([1.1, 2.1])
    both = optuna.create_study(directions=["minimize", "maximize"])
    with pytest.raises(ParameterError, match="2 objectives"):
        summarise_search(both)


def test_candidates_that_failed_are_counted():
    space = {"logisticregression__C": [1.0, -1.0]}
    search = GridSearchCV(tfidf("char"), space, cv=2, error_score=float("nan"))
    with pytest.warns(FitFailedWarning), pytest.warns(UserWarning, match="non-finite"):
        search.fit(TEXTS, LABELS)
    found = summarise_search(search)
    assert len(found.rounds[0].candidates) == found.rounds[0].failed == 1
    assert found.parameters == () and "1 without a score" in shown(found)


def test_several_scores():
    space, scores = {"logisticregression__C": [0.01, 1.0]}, ["accuracy", "neg_log_loss"]
    search = GridSearchCV(tfidf("char"), space, cv=2, scoring=scores, refit="neg_log_loss").fit(TEXTS, LABELS)
    assert summarise_search(search).best.mean == pytest.approx(search.best_score_)
    with pytest.raises(ParameterError, match="refit= must name the one to select by, found False"):
        summarise_search(GridSearchCV(tfidf("char"), space, cv=2, scoring=scores, refit=False).fit(TEXTS, LABELS))


def test_what_is_no_search():
    for wrong, message in (
        (GridSearchCV(tfidf(), {}), "found GridSearchCV, which is not fitted"),
        ([0.5, 0.6], "found list$"),
    ):
        with pytest.raises(ParameterError, match=message):
            summarise_search(wrong)


@pytest.mark.parametrize("value", [None, "3", -1, 2.5, float("nan"), True, [], {}], ids=repr)
def test_wrong_arguments_are_named(value):
    search = GridSearchCV(tfidf("char"), {"logisticregression__C": [1.0]}, cv=2).fit(TEXTS, LABELS)
    for name in ("held_out", "random_state"):
        if name == "held_out" and (value is None or value in (-1, 2.5)):
            continue
        with pytest.raises(ParameterError, match=f"{name}="):
            summarise_search(search, **{name: value})
    with pytest.raises(ParameterError, match="top="):
        summarise_search(search).table(top=value)


@pytest.mark.parametrize("scores", [0.5, ["good"], [0.5, float("nan")], {"fold": 0.5}])
def test_scores_of_a_trial_that_are_no_numbers(scores):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    study.add_trial(optuna.trial.create_trial(value=0.5, user_attrs={"scores": scores}))
    with pytest.raises(ParameterError, match=r"trial 0 has the scores .*; expected a list of a number per fold"):
        summarise_search(study)
