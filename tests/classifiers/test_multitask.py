"""Several tasks with one shared soft block."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from support import models
from support.training_task import interrupt_at

from softcloze import MultiTaskPrompt, PromptClassifier, PromptSet
from softcloze.analysis import inspect_soft
from softcloze.errors import DataError, ParameterError
from softcloze.training.batches import draw_batches

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::softcloze.errors.OneSidedWarning"
)  # models that know nothing

FEELING = {"neg": "bad", "pos": "good"}
TOPIC = {"book": "book", "film": "film", "music": "music"}
TEMPLATES = {
    "feeling": '<soft*3 name=task init="the film"> <text> It was <mask>',
    "topic": '<soft*3 name=task init="the film"> <text> <soft*2> About <mask>',
}
TASKS = {
    "feeling": (models.SENTENCES[:8], ["pos", "neg"] * 4),
    "topic": (models.SENTENCES[4:16], ["book", "film", "music"] * 4),
}


def classifiers(architecture="gpt2", **templates):
    backbone = models.backbone(architecture)
    words = {"feeling": FEELING, "topic": TOPIC}
    return {
        name: PromptClassifier(backbone, templates.get(name, TEMPLATES[name]), words[name], max_length=40)
        for name in TASKS
    }


def multitask(architecture="gpt2", templates=None, **parameters):
    parameters = {"random_state": 0, "epochs": 2, "learning_rate": 0.5, **parameters}
    return MultiTaskPrompt(classifiers(architecture, **(templates or {})), **parameters)


@pytest.fixture(scope="module")
def fitted():
    return multitask().fit(TASKS)


def test_the_folded_prompt_scores_alone_as_in_training(monkeypatch, tmp_path):
    seen = {}

    def train(tasks, settings, **options):
        from softcloze.training import train

        def keep(record):
            for number, task in enumerate(tasks):
                with torch.no_grad(), task.scorer.backbone.frozen():
                    seen[number] = task.head.label_scores(task.scorer.batch(task.prompts, task.soft.inputs()))

        return train(tasks, settings.set_params(on_epoch=keep), **options)

    monkeypatch.setattr("softcloze.classifiers.multitask.train", train)
    members = {name: member.set_params(calibration=None) for name, member in classifiers().items()}
    clf = multitask().set_params(classifiers=members, training=models_settings()).fit(TASKS)
    for number, (name, (texts, _)) in enumerate(TASKS.items()):
        clf.prompts_[name].save(tmp_path / name)
        alone = PromptClassifier.load(tmp_path / name, clf.classifiers_[name].backbone_)
        expected = seen[number].log_softmax(-1).numpy()
        np.testing.assert_allclose(alone.predict_log_proba(texts), expected, atol=1e-4)
        np.testing.assert_array_equal(alone.predict_proba(texts), clf.classifiers_[name].predict_proba(texts))


def models_settings():
    from softcloze import TrainingSettings

    return TrainingSettings(average_last_epochs=0, target_loss=0.0)


@pytest.mark.parametrize("architecture", ["gpt2", "bert"])
def test_before_the_first_step_each_task_scores_as_its_plain_prompt(architecture):
    clf = multitask(architecture, learning_rate=1e-12).fit(TASKS)
    for name, plain in classifiers(architecture).items():
        texts, labels = TASKS[name]
        plain.set_params(learning_rate=1e-12, epochs=1, random_state=0).fit(texts, labels)
        expected = plain.predict_proba(texts)
        np.testing.assert_allclose(clf.classifiers_[name].predict_proba(texts), expected, atol=1e-5)


def test_each_prompt_is_an_ordinary_one(fitted):
    feeling, topic = fitted.classifiers_.values()
    assert [*fitted.prompts_] == ["feeling", "topic"]
    assert feeling.prompt_.vectors.keys() == {"task"}
    assert topic.prompt_.vectors.keys() == {"task", "#1"}
    assert not torch.allclose(feeling.prompt_.vectors["task"], topic.prompt_.vectors["task"], atol=1e-4)
    texts = TASKS["feeling"][0][:2]
    both = PromptSet([*fitted.prompts_.values()], feeling.backbone_).predict_proba(texts)
    np.testing.assert_allclose(both[1], topic.predict_proba(texts), atol=1e-5)
    assert [vector.start is not None for vector in inspect_soft(feeling).vectors] == [True] * 3
    assert fitted.history_ == feeling.history_
    assert (feeling.epochs, feeling.random_state) == (2, 0)


def test_the_history_has_the_loss_of_each_task():
    clf = multitask(learning_rate=1e-12).fit(TASKS)  # the scores stay, and the classes weigh the same
    batches = draw_batches([range(len(labels)) for _, labels in TASKS.values()], clf.batch_size, seed=0, epoch=0)
    losses, count = 0.0, 0
    for number, (name, (texts, labels)) in enumerate(TASKS.items()):
        member = clf.classifiers_[name]
        columns = [member.classes_.tolist().index(label) for label in labels]
        of_examples = -np.log(member.predict_proba(texts)[range(len(texts)), columns])
        rows = [row for of, batch in batches if of == number for row in batch]
        np.testing.assert_allclose(clf.history_[0][f"loss/{name}"], of_examples[rows].mean(), rtol=1e-3)
        losses, count = losses + clf.history_[0][f"loss/{name}"] * len(rows), count + len(rows)
    np.testing.assert_allclose(clf.history_[0]["loss"], losses / count, rtol=1e-6)


def test_a_start_of_another_task_is_not_recorded():
    clf = multitask(templates={"topic": "<soft*3 name=task> About: <text> <mask>"}).fit(TASKS)
    assert clf.prompts_["feeling"].training["soft_init"] == "template"
    assert "soft_init" not in clf.prompts_["topic"].training


def test_equal_seeds_give_equal_vectors(fitted):
    again, other = (multitask(random_state=seed).fit(TASKS) for seed in (0, 1))
    for name, prompt in fitted.prompts_.items():
        assert torch.equal(prompt.vectors["task"], again.prompts_[name].vectors["task"])
        assert not torch.equal(prompt.vectors["task"], other.prompts_[name].vectors["task"])


def test_the_shared_vectors_start_another_task(fitted):
    texts, labels = TASKS["feeling"]
    clf = PromptClassifier(
        models.backbone("gpt2"), "<soft*3 name=task train=no> <text> 很 <mask>", FEELING, soft_init=fitted.shared_
    ).fit(texts, labels)
    assert torch.equal(clf.prompt_.vectors["task"], fitted.shared_.vectors["task"])


def test_it_clones_with_the_model_and_without_what_it_learnt(fitted):
    copy = clone(fitted)
    assert copy.classifiers["feeling"].model is fitted.classifiers["feeling"].model
    with pytest.raises(NotFittedError, match="call fit first"):
        copy.prompts_  # noqa: B018


def test_an_interrupted_fit_resumes(tmp_path, fitted):
    settings = models_settings().set_params(checkpoint=tmp_path, on_epoch=interrupt_at(1))
    clf = multitask().set_params(training=settings)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(TASKS)
    epochs = []
    clf.training.set_params(on_epoch=lambda record: epochs.append(record["epoch"]))
    clf.fit(TASKS)
    assert epochs == [2]
    assert not [*tmp_path.iterdir()]
    whole = multitask().set_params(training=models_settings()).fit(TASKS)
    for name, prompt in whole.prompts_.items():
        assert torch.equal(prompt.vectors["task"], clf.prompts_[name].vectors["task"])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"shared": "tusk"}, ParameterError, r"shared='tusk', .*task 'feeling' are 'task'; did you mean 'task'"),
        ({"topic": "<soft*3> <text> <mask>"}, ParameterError, "task 'topic' are none; give the slots"),
        (
            {"topic": "<soft*4 name=task> <text> <mask>"},
            ParameterError,
            r"4 vectors in task 'topic' and 3 in task 'fee",
        ),
        ({"topic": "<soft*3 name=task layers=all> <text> <mask>"}, ParameterError, "'topic' has layers=all, and a sha"),
        ({"topic": "<soft*3 name=task train=no> <soft> <text> <mask>"}, ParameterError, "'topic' has train=no"),
        ({"topic": "<soft*3 name=task via=mlp> <text> <mask>"}, ParameterError, "'topic' has via=mlp"),
        ({"topic": "<soft*3 name=task from=text> <text> <mask>"}, ParameterError, "'topic' has from=text"),
        ({"classifiers": {}}, ParameterError, "classifiers={}, but it has to be a mapping from the names of two"),
        ({"epochs": 0}, ParameterError, "epochs=0"),
    ],
)
def test_what_does_not_fit_raises(change, error, message):
    templates = {"topic": change.pop("topic")} if "topic" in change else {}
    with pytest.raises(error, match=message):
        multitask(templates=templates).set_params(**change).fit(TASKS)


def test_an_error_about_examples_names_the_task():
    with pytest.raises(DataError) as raised:
        multitask().fit({**TASKS, "topic": (["text", "text"], ["book"])})
    assert raised.value.__notes__ == ["in task 'topic'"]


def test_one_task_raises():
    clf = multitask()
    clf.classifiers = {"feeling": clf.classifiers["feeling"]}
    with pytest.raises(ParameterError, match="two or more tasks"):
        clf.fit({"feeling": TASKS["feeling"]})


def test_different_models_raise():
    clf = multitask()
    clf.classifiers = {**clf.classifiers, "topic": classifiers("llama")["topic"]}
    with pytest.raises(DataError, match="'feeling' and 'topic' have different models"):
        clf.fit(TASKS)


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ({"feeling": TASKS["feeling"]}, "of the tasks 'feeling', 'topic', as in .*; found the tasks 'feeling'"),
        ({**TASKS, "other": ([], [])}, "found the tasks 'feeling', 'other', 'topic'"),
        (TASKS["feeling"], r"found \(\["),
        ({**TASKS, "topic": ["text"]}, r"task 'topic' needs a pair of examples and labels, as in \(X, y\)"),
        ({**TASKS, "topic": (["text"], [])}, "1 example"),
    ],
)
def test_examples_that_do_not_fit_the_tasks_raise(tasks, message):
    with pytest.raises(DataError, match=message):
        multitask().fit(tasks)
