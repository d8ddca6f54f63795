"""Distillation of an ensemble into one prompt, and self-training of its members."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from support import models
from support.training_task import Task
from torch.nn.functional import cross_entropy

from softcloze import PromptClassifier, PromptEnsemble
from softcloze.errors import DataError, ParameterError
from softcloze.starters import load_data
from softcloze.training import TrainingSettings

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # models that know little

WORDS = {"positive": "good", "negative": "bad"}
CHINESE = {"positive": "满意", "negative": "失望"}
STUDENT = "<soft*4> <text> It was <mask>."
TEXTS, LABELS = models.SENTENCES[:8] + models.SENTENCES[14:18], ["positive", "negative"] * 6


def members(backbone):
    templates = (("<text> It was <mask>", WORDS), ("<text> A <mask> film", WORDS), ("<text>总之，很<mask>", CHINESE))
    return [PromptClassifier(backbone, source, words) for source, words in templates]


def divergence(teacher, student):
    """Mean Kullback-Leibler divergence in nats."""
    return float((teacher * np.log(teacher / student)).sum(1).mean())


@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
def test_the_loss_is_the_cross_entropy_to_probabilities(architecture):
    task = Task(architecture, "<soft*2> <text> It was <mask>")
    hard, _ = task.fit(epochs=2)
    task.targets = torch.nn.functional.one_hot(torch.tensor(task.targets)).float()
    soft, _ = task.fit(epochs=2)
    torch.testing.assert_close(soft.weight, hard.weight)  # sure of every label, they are the labels
    dice = torch.Generator().manual_seed(0)
    task.targets = torch.rand(len(task.prompts), 2, generator=dice).softmax(-1)
    _, history = task.fit(epochs=1, batch_size=len(task.prompts))
    with torch.no_grad():
        mask_id = task.backbone.prompt_tokenizer.mask_id
        scores = [models.word_scores(task.backbone.model, p, task.words, task.initial, mask_id) for p in task.prompts]
    scores = task.verbalizer.label_scores(torch.stack(scores)).log_softmax(-1)
    expected = -(task.targets * scores).sum(-1).mean()
    assert history[0]["loss"] == pytest.approx(float(expected), abs=1e-4)
    assert float(expected) == pytest.approx(float(cross_entropy(scores, task.targets)))


def test_a_student_of_bert_tiny_agrees_with_its_teachers(bert_tiny):
    data = load_data("movie-reviews")
    texts, others = data.train.texts[:48], data.test.texts[:48]
    sources = ("<text> It was <mask>.", "In all, it was <mask>. <text>")
    teachers = PromptEnsemble([PromptClassifier(bert_tiny, source, WORDS) for source in sources])
    expected = teachers.predict_proba(others)
    untrained = PromptClassifier(bert_tiny, "<text> Just <mask>!", WORDS)
    student = teachers.distil(texts, "<soft*4> <text> Just <mask>!", epochs=6, random_state=0, temperature=1.0)
    found = student.predict_proba(others)
    assert divergence(expected, found) < 0.6 * divergence(expected, untrained.predict_proba(others))
    assert len(student.history_) == 6
    assert student.prompt_.vectors["#1"].shape == (4, 128)


def test_temperature_and_parameters():
    backbone = models.backbone("llama")
    teachers = PromptEnsemble(members(backbone))
    settings = {"epochs": 1, "random_state": 0, "soft_init": "vocabulary"}
    student = teachers.distil(TEXTS, STUDENT, **settings)
    log = np.log(teachers.predict_proba(TEXTS)) / 2
    odds = np.exp(log - log.max(1, keepdims=True))
    by_hand = PromptClassifier(backbone, STUDENT, WORDS, training=TrainingSettings(target_loss=0.0), **settings)
    by_hand.fit_probabilities(TEXTS, odds / odds.sum(1, keepdims=True))
    np.testing.assert_allclose(student.predict_proba(TEXTS), by_hand.predict_proba(TEXTS), atol=1e-4)
    hotter = teachers.distil(TEXTS, STUDENT, temperature=50, **settings)
    assert not torch.equal(hotter.prompt_.vectors["#1"], student.prompt_.vectors["#1"])
    with pytest.raises(ParameterError, match="temperature=0, but it has to be"):
        teachers.distil(TEXTS, STUDENT, temperature=0)


@pytest.mark.parametrize(
    ("parameters", "probabilities", "match"),
    [
        ({}, [[0.5, 0.5]], r"have shape \(1, 2\); expected \(2, 2\)"),
        ({}, [[0.5, 0.5], [0.5, 0.6]], r"row 1 of the probabilities is \[0.5, 0.6\]"),
        ({}, [[0.5, 0.5], [-0.5, 1.5]], "row 1"),
        ({}, [[0.5, 0.5], [float("nan"), 0.5]], "row 1"),
        ({"calibration": "batch"}, [[0.5, 0.5]] * 2, "fit_probabilities has no labels"),
        ({"head": "prototypes"}, [[0.5, 0.5]] * 2, "fit_probabilities has no labels"),
        ({"verbalizer": None}, [[0.5, 0.5]] * 2, "fit_probabilities has no labels"),
    ],
)
def test_probabilities_and_parameters_that_do_not_fit_raise(parameters, probabilities, match):
    student = PromptClassifier(models.backbone("bert"), STUDENT, WORDS).set_params(**parameters)
    with pytest.raises(DataError, match=match):
        student.fit_probabilities(["A delight.", "A bore."], np.array(probabilities))


def test_early_stopping_holds_out_by_the_likeliest_label():
    student = PromptClassifier(
        models.backbone("bert"),
        STUDENT,
        WORDS,
        training=TrainingSettings(early_stopping=True),
        epochs=2,
        random_state=0,
    )
    odds = np.random.default_rng(0).uniform(size=(12, 1))
    student.fit_probabilities(TEXTS, np.hstack([odds, 1 - odds]))
    assert all("validation_loss" in record for record in student.history_)


class TestSelfTraining:
    def ensemble(self, template="<text> <soft> It was <mask>", **parameters):
        backbone = models.backbone("llama")
        soft = PromptClassifier(backbone, template, WORDS, epochs=1, random_state=0)
        return PromptEnsemble([soft, *members(backbone)], random_state=0, **parameters)

    def test_sets_grow_and_seeds_decide(self):
        ensemble = self.ensemble(weights="development", cv=2)
        ensemble.self_train(TEXTS[:4], LABELS[:4], models.SENTENCES * 3, generations=2, growth=2)
        size = ensemble.classifiers_[0].prompt_.training["examples"]
        assert 4 < size <= 16  # 2 of each label, twice as many twice, as far as there are any
        first = self.ensemble(weights="development", cv=2).fit(TEXTS[:4], LABELS[:4])
        assert ensemble.combination_ == first.combination_
        again = clone(ensemble).self_train(TEXTS[:4], LABELS[:4], models.SENTENCES * 3, generations=2, growth=2)
        np.testing.assert_array_equal(again.predict_proba(TEXTS), ensemble.predict_proba(TEXTS))
        assert not np.allclose(first.predict_proba(TEXTS), ensemble.predict_proba(TEXTS))

    def test_members_learn_the_labels_that_others_predict(self):
        ensemble = self.ensemble()
        seen = []
        learner = ensemble.classifiers[0]
        original = PromptClassifier.fit

        def fit(self, X, y, sample_weight=None):
            if self.template == learner.template:
                seen.append(list(zip(X, y, strict=True)))
            return original(self, X, y, sample_weight)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(PromptClassifier, "fit", fit)
            ensemble.self_train(TEXTS[:2], LABELS[:2], TEXTS, generations=1, growth=6, teachers=1.0)
        first, second = seen
        assert first == list(zip(TEXTS[:2], LABELS[:2], strict=True))
        assert second[:2] == first
        said = PromptEnsemble(members(models.backbone("llama"))).predict(TEXTS)
        by_teachers = dict(zip(TEXTS, said.tolist(), strict=True))
        assert second[2:]
        assert all(by_teachers[text] == label for text, label in second[2:])

    @pytest.mark.parametrize("wrong", [{"generations": 0}, {"growth": 1}, {"teachers": 0}, {"teachers": 1.5}])
    def test_parameters_out_of_range(self, wrong):
        with pytest.raises(ParameterError, match=f"{next(iter(wrong))}={next(iter(wrong.values()))}"):
            self.ensemble().self_train(TEXTS, LABELS, TEXTS, **wrong)

    def test_one_member_is_too_few(self):
        with pytest.raises(ParameterError, match="at least two members"):
            PromptEnsemble(members(models.backbone("llama"))[:1]).self_train(TEXTS, LABELS, TEXTS)
