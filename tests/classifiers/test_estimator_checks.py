"""scikit-learn's tags, and its checks of estimators by name, with texts in place of their numbers."""

import numpy as np
import pytest
from sklearn.utils import InputTags
from sklearn.utils.estimator_checks import check_estimator

import softcloze
from softcloze import (
    AutoPromptClassifier,
    MultiLabelPromptClassifier,
    ProbeClassifier,
    PromptClassifier,
    PromptEnsemble,
    PromptGenerator,
)

WORDS = {"pos": "good", "neg": "bad"}
HARD, SOFT = "<text> It was <mask>.", "<soft*2> <text> It was <mask>."
COLUMNS = ["good", "bad", "fine", "dull", "film", "story", "plot", "cast"]

# checks that a classifier of texts cannot pass, or is not meant to
OF_NUMBERS = {
    "check_n_features_in_after_fitting": "texts have no number of features",
    "check_n_features_in": "texts have no number of features",
    "check_fit1d": "X of one dimension holds texts",
    "check_fit2d_predict1d": "X of one dimension holds texts",
    "check_dtype_object": "a field may hold any value, which is written as text",
    "check_estimators_nan_inf": "only a whole field can be missing; tests/classifiers/test_scikit_learn.py has that",
    "check_estimator_sparse_tag": "the texts in place of the numbers are not sparse",
    "check_estimators_empty_data_messages": "an example without features has an empty text in their place",
    "check_classifiers_train": "it wants an accuracy on two columns of random numbers",
    "check_estimators_partial_fit_n_features": "texts have no number of features",
    "check_class_weight_classifiers": "a hard prompt learns nothing that weights could change",
}
OF_ROUNDING = {  # may pass or fail
    "check_methods_sample_order_invariance": "to 1e-9, and the rounding of a forward pass depends on its batch",
    "check_methods_subset_invariance": "to 1e-7, and the rounding of a forward pass depends on its batch",
}
OF_MESSAGES = {
    "check_complex_data": "the message has the row and its label",
    "check_classifiers_one_label": "fit takes at least two labels, since one leaves nothing to decide",
    "check_classifiers_one_label_sample_weights": "as above",
    "check_fit2d_1sample": "as above",
    "check_classifiers_regression_target": "the message has the row and its label",
    "check_requires_y_none": "the message says what y has to be",
    "check_supervised_y_2d": "y of shape (n, 1) is taken for a column without a warning",
    "check_sample_weights_not_an_array": "y is a list, an array or a column, and no object with __array__ alone",
    "check_classifier_data_not_an_array": "as above",
}


def of_numbers(kind):
    """A subclass that writes the rows of scikit-learn's numbers as texts, and is called as its base."""

    def texts(X):
        rows = np.asarray(X.toarray() if hasattr(X, "toarray") else X)
        if rows.ndim != 2:
            return rows
        return [" ".join(f"{name} {value}" for name, value in zip(COLUMNS, row, strict=False)) for row in rows.tolist()]

    def calling(name):
        return lambda self, X: getattr(kind, name)(self, texts(X))

    def fit(self, X, y, sample_weight=None):
        return kind.fit(self, texts(X), y, sample_weight)

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        return kind.partial_fit(self, texts(X), y, classes, sample_weight)

    def score(self, X, y, sample_weight=None):
        return kind.score(self, texts(X), y, sample_weight)

    def tags(self):
        tags = kind.__sklearn_tags__(self)
        tags.input_tags = InputTags()
        return tags

    predicting = ("predict", "predict_proba", "predict_log_proba", "decision_function")
    methods = {name: calling(name) for name in predicting if hasattr(kind, name)}
    methods |= {"fit": fit, "score": score, "__sklearn_tags__": tags, "__module__": __name__}
    if hasattr(kind, "partial_fit"):
        methods["partial_fit"] = partial_fit
    return type(kind.__name__ + "OfNumbers", (kind,), methods)


PromptClassifierOfNumbers = of_numbers(PromptClassifier)  # by this name it pickles
ProbeClassifierOfNumbers = of_numbers(ProbeClassifier)
PromptEnsembleOfNumbers = of_numbers(PromptEnsemble)


def outcomes(estimator, legacy=False):
    """The names of checks by status."""
    by_status = {}
    for result in check_estimator(estimator, legacy=legacy, on_skip=None, on_fail=None):
        by_status.setdefault(result["status"], {})[result["check_name"]] = str(result["exception"])
    return by_status


def assert_interface(estimator):
    """All checks of the interface pass, but for the one of numbers."""
    results = outcomes(estimator)
    assert results["failed"].keys() == {"check_n_features_in_after_fitting"}, results["failed"]
    assert results.keys() == {"passed", "failed"}
    assert {
        "check_estimator_cloneable",
        "check_estimators_overwrite_params",
        "check_dont_overwrite_parameters",
        "check_estimators_fit_returns_self",
        "check_no_attributes_set_in_init",
        "check_do_not_raise_errors_in_init_or_set_params",
        "check_fit_score_takes_y",
        "check_readonly_memmap_input",
        "check_valid_tag_types",
        "check_mixin_order",
    } <= results["passed"].keys()


@pytest.mark.filterwarnings("ignore")  # the checks' own numbers say nothing to a prompt
class TestChecks:
    def test_of_the_interface(self, named):
        assert_interface(PromptClassifierOfNumbers(named("bert"), HARD, None, random_state=0))

    @pytest.mark.slow
    def test_of_the_interface_of_other_estimators(self, named):
        bert = named("bert")
        assert_interface(PromptEnsembleOfNumbers([PromptClassifier(bert, HARD, None)], random_state=0))
        assert_interface(ProbeClassifierOfNumbers(bert.name, random_state=0))

    @pytest.mark.slow
    def test_all(self, named):
        results = outcomes(PromptClassifierOfNumbers(named("bert"), HARD, None, random_state=0), legacy=True)
        assert results["failed"].keys() - OF_ROUNDING.keys() == {*OF_NUMBERS, *OF_MESSAGES}, results["failed"]
        assert {
            "check_estimators_pickle",
            "check_fit_idempotent",
            "check_dict_unchanged",
            "check_sample_weight_equivalence_on_dense_data",
            "check_decision_proba_consistency",
        } <= results["passed"].keys()


class TestTags:
    def test_every_estimator_takes_texts_and_mappings(self):
        kinds = [getattr(softcloze, name) for name in softcloze.__all__]
        kinds = [kind for kind in kinds if hasattr(kind, "fit")]
        assert len(kinds) == 7
        for kind in kinds:
            made = kind.__new__(kind)
            for name in kind._get_param_names():
                setattr(made, name, None)
            inputs = made.__sklearn_tags__().input_tags
            assert inputs.dict and not inputs.two_d_array and not inputs.sparse
            assert (inputs.string and inputs.one_d_array) or kind is softcloze.MultiTaskPrompt

    @pytest.mark.parametrize(
        ("parameters", "requires_fit"),
        [
            ({"template": HARD}, False),
            ({"template": SOFT}, True),
            ({"template": HARD, "calibration": "contextual"}, True),
            ({"template": HARD, "head": "linear"}, True),
            ({"template": "<demos*2> <text> It was <mask>."}, True),
            ({"template": HARD, "verbalizer": None}, True),
            ({"template": "<nonsense"}, True),
        ],
    )
    def test_what_has_to_be_learnt(self, parameters, requires_fit):
        clf = PromptClassifier(**{"model": "./nowhere", "verbalizer": WORDS, **parameters})
        seeded = PromptClassifier(**{"model": "./nowhere", "verbalizer": WORDS, "random_state": 0, **parameters})
        for member, varies in ((clf, requires_fit), (seeded, False)):
            for estimator in (member, PromptEnsemble([member, member])):
                tags = estimator.__sklearn_tags__()
                assert (tags.requires_fit, tags.non_deterministic) == (requires_fit, varies)
                assert tags.target_tags.required and not tags.classifier_tags.multi_label
        stacked = PromptEnsemble([seeded, seeded], weights="stacked").__sklearn_tags__()
        assert stacked.requires_fit and stacked.non_deterministic

    def test_of_other_estimators(self):
        several = MultiLabelPromptClassifier("./nowhere", HARD, WORDS).__sklearn_tags__()
        assert several.classifier_tags.multi_label and several.target_tags.multi_output and several.requires_fit
        assert not several.target_tags.single_output
        automatic = AutoPromptClassifier("./nowhere", random_state=0)
        assert automatic.__sklearn_tags__().non_deterministic  # within a budget of time
        assert not automatic.set_params(budget=None).__sklearn_tags__().non_deterministic
        writers = [PromptGenerator("./nowhere", f"{start}<text> In short: <answer>") for start in ("", "<soft>")]
        assert [writer.__sklearn_tags__().requires_fit for writer in writers] == [False, True]
