"""AutoPromptClassifier, as a user of scikit-learn relies on it."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from softcloze import AutoPromptClassifier, PromptClassifier, PromptEnsemble
from softcloze.errors import ParameterError, SoftclozeError

TEXTS = [
    f"{start} {thing}."
    for thing in ("film", "book", "play", "meal", "song", "trip")
    for start in ("A great", "An awful", "What a lovely", "Such a dull")
]
LABELS = ["positive", "negative"] * (len(TEXTS) // 2)
CHINESE = [f"这{thing}{end}" for thing in ("手机", "电脑", "衣服") for end in ("很好", "太差了", "我很喜欢", "不能用")]


@pytest.fixture(scope="module")
def fitted(bert_tiny):
    return AutoPromptClassifier(bert_tiny, candidates=3, soft_prompts=0, random_state=0).fit(TEXTS, LABELS)


def test_nothing_but_texts_and_labels_is_needed(fitted):
    assert fitted.classes_.tolist() == ["negative", "positive"]
    assert fitted.score(TEXTS, LABELS) > 0.9
    assert fitted.predict(["A great meal."]).tolist() == ["positive"]
    assert np.allclose(fitted.predict_proba(TEXTS[:3]).sum(1), 1)
    assert np.allclose(np.exp(fitted.predict_log_proba(TEXTS[:3])), fitted.predict_proba(TEXTS[:3]))


def test_the_result_is_an_ordinary_classifier_that_saves_and_loads(fitted, bert_tiny, tmp_path):
    assert isinstance(fitted.best_estimator_, PromptEnsemble)
    fitted.save(tmp_path / "saved")
    loaded = PromptEnsemble.load(tmp_path / "saved", bert_tiny)
    assert (loaded.predict_proba(TEXTS) == fitted.predict_proba(TEXTS)).all()


def test_a_single_prompt_predicts_as_a_fit_of_its_parameters(bert_tiny, tmp_path):
    auto = AutoPromptClassifier(bert_tiny, candidates=3, members=1, soft_prompts=0, random_state=0).fit(TEXTS, LABELS)
    best = auto.best_estimator_
    assert isinstance(best, PromptClassifier)
    auto.save(tmp_path / "saved")
    assert (
        PromptClassifier.load(tmp_path / "saved", bert_tiny).predict_proba(TEXTS) == auto.predict_proba(TEXTS)
    ).all()
    again = clone(best).fit(TEXTS, LABELS)
    assert again.prompt_.head == best.prompt_.head
    # the folds of its cross-validation differ, and with them perhaps the strength
    assert (again.predict(TEXTS) == best.predict(TEXTS)).all()


def test_the_same_seed_gives_the_same_result(fitted, bert_tiny):
    again = clone(fitted).fit(TEXTS, LABELS)
    assert (again.predict_proba(TEXTS) == fitted.predict_proba(TEXTS)).all()
    assert [*map(str, again.trials_.records)] == [*map(str, fitted.trials_.records)]


def test_the_table_shows_what_was_tried(fitted):
    records = fitted.trials_.records
    assert {record.head for record in records} == {"words", "words+linear", "linear"}
    assert len({(record.template, record.features) for record in records}) == 3
    assert sum(record.is_chosen for record in records) == len(fitted.best_estimator_.classifiers)
    chosen = [record for record in records if record.is_chosen]
    assert min(record.log_loss for record in records) == chosen[0].log_loss
    assert "Trials" in str(fitted.trials_)


def test_the_mean_of_the_states_is_tried_once(bert_tiny):
    auto = AutoPromptClassifier(bert_tiny, soft_prompts=0, members=20, random_state=0).fit(TEXTS, LABELS)
    means = [record for record in auto.trials_.records if record.features == "mean"]
    assert [record.way for record in means] == ["linear, mean"]
    members = [(member.head, member.features) for member in auto.best_estimator_.classifiers]
    assert ("linear", "mean") in members or not means[0].is_chosen


def test_a_soft_prompt_is_trained_where_asked_for(bert_tiny):
    auto = AutoPromptClassifier(bert_tiny, candidates=1, random_state=0).fit(TEXTS, LABELS)
    assert any("<soft*10>" in record.template for record in auto.trials_.records)


def test_chinese_texts_are_asked_in_chinese(bert_tiny):
    auto = AutoPromptClassifier(bert_tiny, candidates=3, soft_prompts=0, random_state=0).fit(CHINESE, ["好", "差"] * 6)
    assert all(any("\u4e00" <= letter <= "\u9fff" for letter in record.template) for record in auto.trials_.records)


def test_all_columns_are_shown(bert_tiny):
    rows = [{"title": text.split()[-1], "body": text} for text in TEXTS]
    auto = AutoPromptClassifier(bert_tiny, candidates=2, soft_prompts=0, random_state=0).fit(rows, LABELS)
    assert all("<title>" in record.template and "<body>" in record.template for record in auto.trials_.records)
    assert auto.predict(rows[:2]).tolist() == LABELS[:2]


def test_numbers_as_labels_have_no_words(bert_tiny):
    auto = AutoPromptClassifier(bert_tiny, candidates=2, soft_prompts=1, random_state=0)
    auto.fit(TEXTS, [int(label == "positive") for label in LABELS])
    assert {record.head for record in auto.trials_.records} == {"linear"}


def test_templates_and_words_of_the_user_come_first(bert_tiny):
    template, words = "All in all, <text> was <mask>.", {"positive": "good", "negative": "bad"}
    auto = AutoPromptClassifier(
        bert_tiny, verbalizer=words, templates=[template], candidates=1, soft_prompts=0, random_state=0
    ).fit(TEXTS, LABELS)
    assert {record.template for record in auto.trials_.records} == {template}


def test_weights_count_like_repeated_examples(bert_tiny):
    auto = AutoPromptClassifier(bert_tiny, candidates=1, members=1, soft_prompts=0, random_state=0)
    weights = [3.0] + [1.0] * (len(TEXTS) - 1)
    weighted = clone(auto).fit(TEXTS, LABELS, sample_weight=weights).trials_.records
    plain = clone(auto).fit(TEXTS, LABELS).trials_.records
    by_words = [next(r.log_loss for r in records if r.head == "words") for records in (weighted, plain)]
    repeated = clone(auto).fit([TEXTS[0]] * 2 + TEXTS, [LABELS[0]] * 2 + LABELS).trials_.records
    assert by_words[0] == pytest.approx(next(r.log_loss for r in repeated if r.head == "words"))
    assert by_words[0] != pytest.approx(by_words[1])


def test_progress_is_reported_after_each_template(bert_tiny):
    losses = []
    AutoPromptClassifier(
        bert_tiny, candidates=3, soft_prompts=0, random_state=0, on_trial=lambda best: losses.append(best.log_loss)
    ).fit(TEXTS, LABELS)
    assert len(losses) == 3
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        ([], [], "fit needs at least one example"),
        (["a", "b"], ["x"], "X has 2 examples"),
        (["a", "b", "c"], ["x", "x", "y"], "'y' has fewer than two examples"),
        ([{"text": "a"}, {"other": "b"}], ["x", "y"], "row 1"),
        ([{"a text": "a"}, {"a text": "b"}], ["x", "y"], "field 'a text', which no tag can name"),
        ([{"mask": "a"}, {"mask": "b"}], ["x", "y"], "field 'mask', which no tag can name"),
        (["a", "b"], ["x", "x"], "only the label 'x'"),
    ],
)
def test_data_that_does_not_suffice_raises_before_the_model_is_loaded(texts, labels, message):
    with pytest.raises(SoftclozeError, match=message):
        AutoPromptClassifier("no/such-model").fit(texts, labels)


@pytest.mark.parametrize(
    "template", ["<soft*3> <text> <mask>", "<demos*2><text> <mask>", "<text> <mask name=a> <mask name=b>"]
)
def test_templates_that_are_not_hard_are_refused(template):
    with pytest.raises(ParameterError, match="expected hard templates with one mask"):
        AutoPromptClassifier("no/such-model", templates=[template]).fit(TEXTS, LABELS)


def test_a_frame_of_one_column_has_the_texts_whatever_its_name(bert_tiny):
    pandas = pytest.importorskip("pandas")
    auto = AutoPromptClassifier(bert_tiny, candidates=1, soft_prompts=0, random_state=0)
    auto.fit(pandas.DataFrame({"a column": TEXTS}), pandas.Series(LABELS))
    assert auto.predict(pandas.DataFrame({"a column": TEXTS[:2]})).tolist() == LABELS[:2]


@pytest.mark.parametrize(
    "parameters", [{"budget": "soon"}, {"budget": 0}, {"candidates": 0}, {"members": 0}, {"templates": "<text> <mask>"}]
)
def test_wrong_parameters_are_named(parameters):
    with pytest.raises(ParameterError, match=next(iter(parameters))):
        AutoPromptClassifier("no/such-model", **parameters).fit(TEXTS, LABELS)


def test_before_fit_it_says_so(bert_tiny):
    with pytest.raises(NotFittedError, match="call fit"):
        AutoPromptClassifier(bert_tiny).predict(TEXTS)
