"""AutoPromptClassifier, as a user of scikit-learn relies on it."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from support import models

from softcloze import AutoPromptClassifier, ProbeClassifier, PromptClassifier, PromptEnsemble
from softcloze.automatic.proposals import propose
from softcloze.embeddings import load_encoder
from softcloze.errors import OneSidedWarning, ParameterError, SoftclozeError
from softcloze.heads import exact

TEXTS = [
    f"{start} {thing}."
    for thing in ("film", "book", "play", "meal", "song", "trip")
    for start in ("A great", "An awful", "What a lovely", "Such a dull")
]
LABELS = ["positive", "negative"] * (len(TEXTS) // 2)
pytestmark = pytest.mark.usefixtures("few_folds")
CHINESE = [f"这{thing}{end}" for thing in ("手机", "电脑", "衣服") for end in ("很好", "太差了", "我很喜欢", "不能用")]


@pytest.fixture(scope="module")
def fitted(bert_tiny):
    return AutoPromptClassifier(bert_tiny, candidates=3, soft_prompts=0, random_state=0).fit(TEXTS, LABELS)


def test_nothing_but_texts_and_labels_is_needed(fitted):
    assert fitted.classes_.tolist() == ["negative", "positive"]
    assert fitted.score(TEXTS, LABELS) > 0.9
    assert fitted.predict(["A great meal."]).tolist() == ["positive"]
    assert np.allclose(fitted.predict_proba(TEXTS[:3]).sum(1), 1)
    logs = fitted.predict_log_proba(TEXTS)
    assert np.allclose(np.exp(logs), fitted.predict_proba(TEXTS))
    assert np.allclose(fitted.decision_function(TEXTS), logs[:, 1] - logs[:, 0])
    calibrated = CalibratedClassifierCV(FrozenEstimator(fitted), cv=2).fit(TEXTS, LABELS)
    assert calibrated.score(TEXTS, LABELS) > 0.9


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
    assert again.trials_.cost.tokens == fitted.trials_.cost.tokens


def test_the_table_shows_what_was_tried(fitted):
    records = fitted.trials_.records
    assert {record.head for record in records} == {"words", "words+linear", "linear"}
    assert len({(record.template, record.features) for record in records}) == 3
    assert sum(record.is_chosen for record in records) == len(fitted.best_estimator_.classifiers)
    chosen = [record for record in records if record.is_chosen]
    assert min(record.log_loss for record in records) == chosen[0].log_loss
    assert "Trials" in str(fitted.trials_)


def test_the_table_shows_what_predictions_cost(fitted):
    chosen = [record for record in fitted.trials_.records if record.is_chosen]
    assert min(record.tokens for record in chosen) > max(len(text.split()) for text in TEXTS)
    # a masked model computes each member's prompts; states and their mean of one template in one sequence
    of_templates = {record.template: record.tokens for record in chosen}
    assert fitted.trials_.cost.tokens == pytest.approx(sum(of_templates.values()))
    assert "to predict a text" in str(fitted.trials_) and "s per 100 texts here." in str(fitted.trials_)


def test_the_mean_of_the_states_is_tried_once(bert_tiny):
    auto = AutoPromptClassifier(bert_tiny, soft_prompts=0, members=20, random_state=0).fit(TEXTS, LABELS)
    means = [record for record in auto.trials_.records if record.features == "mean"]
    assert [record.way for record in means] == ["linear, mean"]
    members = [(member.head, member.features) for member in auto.best_estimator_.classifiers]
    assert ("linear", "mean") in members or not means[0].is_chosen


def test_a_soft_prompt_is_trained_where_asked_for(bert_tiny):
    auto = AutoPromptClassifier(bert_tiny, candidates=1, budget=None, random_state=0).fit(TEXTS, LABELS)
    assert any("<soft*10>" in record.template for record in auto.trials_.records)


def test_chinese_texts_are_asked_in_chinese(bert_tiny):
    auto = AutoPromptClassifier(bert_tiny, candidates=3, soft_prompts=0, random_state=0).fit(CHINESE, ["好", "差"] * 6)
    assert all(any("\u4e00" <= letter <= "\u9fff" for letter in record.template) for record in auto.trials_.records)


def test_all_columns_are_shown(bert_tiny):
    rows = [{"title": text.split()[-1], "body": text} for text in TEXTS]
    auto = AutoPromptClassifier(bert_tiny, candidates=2, soft_prompts=0, random_state=0).fit(rows, LABELS)
    assert all("<title>" in record.template and "<body>" in record.template for record in auto.trials_.records)
    assert auto.predict(rows[:2]).tolist() == LABELS[:2]


def test_labels_that_say_nothing_get_words_in_the_order_of_the_examples():
    auto = AutoPromptClassifier(models.backbone("gpt2"), candidates=1, members=1, soft_prompts=0, random_state=0)

    def by_words(names):
        records = clone(auto).fit(TEXTS[:8], [names[label] for label in LABELS[:8]]).trials_.records
        return next(record for record in records if record.head == "words")

    named = by_words({"negative": "negative", "positive": "positive"})
    numbers, letters = by_words({"negative": 0, "positive": 1}), by_words({"negative": "b", "positive": "a"})
    assert named.template == numbers.template == letters.template
    assert numbers.log_loss == pytest.approx(letters.log_loss)
    assert numbers.log_loss <= named.log_loss + 1e-9  # the order that suits the examples, maybe not that of the names


@pytest.mark.parametrize(
    "labels", [[1, 2, 3, 4, 5], ["1 star", "2 stars", "3 stars"], ["no", "yes"], [*range(12)]], ids=len
)
def test_labels_that_say_nothing_are_no_examples(labels):
    proposals = propose(labels, TEXTS, models.backbone("gpt2"))
    assert {proposal.has_words for proposal in proposals} == ({True, False} if len(labels) < 12 else {False})
    for proposal in proposals:
        texts = proposal.compiled.encode_labels()
        assert proposal.has_words or not texts
        assert proposal.features == "mask" or not proposal.has_words


def test_scales_of_chinese_texts_have_chinese_words():
    proposals = propose([1, 2, 3, 4, 5], CHINESE, models.backbone("gpt2"))
    words = [proposal.verbalizer.words for proposal in proposals if proposal.has_words]
    assert words and all(of_labels == (("糟糕",), ("差",), ("一般",), ("好",), ("棒",)) for of_labels in words)


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


TOPICS = {
    0: [
        *("I roasted carrots in olive oil.", "Knead the dough well.", "The soup needs more salt."),
        *("Bake it until golden.", "She fried two eggs.", "Serve the noodles with soy sauce."),
    ],
    1: [
        *("The bank raised its interest rate.", "My loan was approved today.", "She paid the mortgage early."),
        *("He bought shares of the company.", "The tax bill arrived.", "Transfer the money by Friday."),
    ],
    2: [
        *("Our team scored in the last minute.", "The goalkeeper saved a penalty.", "He won the tennis match."),
        *("She ran the marathon in three hours.", "The coach changed the striker.", "They lost the cup final."),
    ],
}
TOPIC_TEXTS = [text for texts in TOPICS.values() for text in texts]
TOPIC_LABELS = [label for label, texts in TOPICS.items() for _ in texts]


@pytest.fixture(scope="module")
def with_encoder(bert_tiny):
    auto = AutoPromptClassifier(
        bert_tiny, encoder="starter:minilm-l6", candidates=1, members=1, soft_prompts=0, random_state=0
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "FITS", 3 * exact.FOLDS)
        return auto.fit(TOPIC_TEXTS, TOPIC_LABELS)


def test_sentence_embeddings_join_the_candidates(with_encoder, tmp_path):
    records = with_encoder.trials_.records
    assert [record.way for record in records if record.is_chosen] == ["linear, embedding"]
    assert {record.features for record in records} == {"embedding", "mask"}
    assert records[0].template == "embedding of <text> by starter:minilm-l6"
    alone = ProbeClassifier("starter:minilm-l6", random_state=0, class_weight="balanced")
    assert (with_encoder.predict(TOPIC_TEXTS) == alone.fit(TOPIC_TEXTS, TOPIC_LABELS).predict(TOPIC_TEXTS)).all()
    # the tokens of the encoder, at least one for each word
    (probe,) = [record for record in records if record.features == "embedding"]
    assert probe.tokens == with_encoder.trials_.cost.tokens > min(len(text.split()) for text in TOPIC_TEXTS)
    with_encoder.save(tmp_path / "probe")
    loaded = ProbeClassifier.load(tmp_path / "probe")
    assert (loaded.predict_proba(TOPIC_TEXTS) == with_encoder.predict_proba(TOPIC_TEXTS)).all()


def test_the_log_loss_of_the_embeddings_is_that_of_held_out_examples(with_encoder):
    """Of heads at the chosen strength that scikit-learn fits without the example, in folds of its own."""
    probe = with_encoder.best_estimator_.probe_
    embeddings = load_encoder("starter:minilm-l6").embed(TOPIC_TEXTS)
    targets = np.array(TOPIC_LABELS)
    losses = []
    for train, test in RepeatedStratifiedKFold(n_splits=5, n_repeats=3, random_state=1).split(embeddings, targets):
        strength = probe.training["strength"]
        pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=1 / (strength * len(train)), max_iter=5000))
        logs = pipeline.fit(embeddings[train], targets[train]).predict_log_proba(embeddings[test])
        losses += (-logs[np.arange(len(test)), targets[test]]).tolist()
    assert with_encoder.trials_.records[0].log_loss == pytest.approx(np.mean(losses), rel=0.15)


def test_an_ensemble_of_prompts_and_embeddings_saves_and_loads(bert_tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("softcloze.automatic.members.choose_trials", lambda trials, most: trials[:1])
    monkeypatch.setattr("softcloze.automatic.members.Choice.log_loss", property(lambda choice: -len(choice.trials)))
    encoder, best = load_encoder("starter:minilm-l6"), []
    auto = AutoPromptClassifier(
        bert_tiny, encoder=encoder, candidates=2, soft_prompts=0, random_state=0, on_trial=best.append
    ).fit(TEXTS, LABELS)
    assert best[0].features == "embedding" and len(best) == 3
    assert [record.log_loss for record in best] == sorted([record.log_loss for record in best], reverse=True)
    kinds = {type(member) for member in auto.best_estimator_.classifiers}
    assert kinds == {PromptClassifier, ProbeClassifier}
    auto.save(tmp_path / "e")
    loaded = PromptEnsemble.load(tmp_path / "e", bert_tiny)
    assert (loaded.predict_proba(TEXTS) == auto.predict_proba(TEXTS)).all()
    assert clone(auto).encoder is encoder


def test_embeddings_are_left_out_where_they_would_take_half_of_the_budget(bert_tiny, monkeypatch):
    monkeypatch.setattr("softcloze.automatic.budget.Budget.allows", lambda *_, **__: False)
    monkeypatch.setattr("softcloze.automatic.probe_trial.FIRST", 4)
    auto = AutoPromptClassifier(bert_tiny, encoder="starter:minilm-l6", candidates=1, soft_prompts=0, random_state=0)
    assert {record.features for record in auto.fit(TEXTS[:8], LABELS[:8]).trials_.records} == {"mask"}


def test_without_time_embeddings_and_prompts_are_judged_by_the_same_examples(bert_tiny, monkeypatch):
    monkeypatch.setattr("softcloze.automatic.budget.Budget.allows", lambda *_, **__: False)
    monkeypatch.setattr("softcloze.automatic.race.CHUNK", 4)
    auto = AutoPromptClassifier(bert_tiny, encoder="starter:minilm-l6", candidates=1, soft_prompts=0, random_state=0)
    records = auto.fit(TEXTS[:8], LABELS[:8]).trials_.records
    assert {(record.features, record.examples) for record in records} == {("mask", 4), ("embedding", 4)}


def test_chat_options_reach_every_prompt(bert_tiny):
    options = {"enable_thinking": True}
    auto = AutoPromptClassifier(bert_tiny, chat_options=options, candidates=2, members=9, budget=None, random_state=0)
    members = auto.fit(TEXTS[:8], LABELS[:8]).best_estimator_.classifiers
    assert all(member.prompt_.chat_options == options for member in members)


def test_the_classes_that_a_dataset_names_have_words(bert_tiny):
    datasets = pytest.importorskip("datasets")
    rows = {"text": TEXTS[:8], "label": [int(label == "positive") for label in LABELS[:8]]}
    column = datasets.Dataset.from_dict(rows).cast_column("label", datasets.ClassLabel(names=["negative", "positive"]))
    auto = AutoPromptClassifier(bert_tiny, candidates=1, soft_prompts=0, random_state=0)
    auto.fit(column["text"], column["label"])
    assert auto.classes_.tolist() == [0, 1]
    assert {record.head for record in auto.trials_.records} == {"words", "words+linear"}


def test_two_spellings_of_a_label_are_named():
    with pytest.raises(SoftclozeError, match="row 2: label 'Good' is 'good' in another row"):
        AutoPromptClassifier("no/such-model").fit(["a", "b", "c", "d"], ["good", "bad", "Good", "bad"])


def test_a_result_that_gives_one_label_warns(bert_tiny, monkeypatch):
    def one_sided(trials, most):
        logs = np.log(np.tile([0.9, 0.1], (len(trials[0].targets), 1)))
        return [replace(trials[0], log_probabilities=logs)]

    monkeypatch.setattr("softcloze.automatic.members.choose_trials", one_sided)
    auto = AutoPromptClassifier(bert_tiny, candidates=1, soft_prompts=0, random_state=0)
    expected = "gives 'negative' to 12 of 12 examples that it did not learn from, and 6 have it"
    with pytest.warns(OneSidedWarning, match=expected):
        auto.fit(TEXTS[:12], LABELS[:12])
