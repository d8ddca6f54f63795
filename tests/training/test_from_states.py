"""Soft vectors that depend on the states of a field: computed once, saved, loaded, resumed and scored together."""

import numpy as np
import pytest
import torch
from support import models
from support.saved_prompts import reload
from support.training_task import Task

from softcloze import Prompt, PromptClassifier, PromptEnsemble, PromptSet
from softcloze.cli.inspect_view import filled
from softcloze.demonstrations import mean_states
from softcloze.errors import ArtifactError
from softcloze.scoring import field_vectors
from softcloze.template import Template

TEXTS, LABELS = [*models.SENTENCES[:6], models.SENTENCES[0], ""], ["pos", "neg"] * 4
WORDS = {"pos": "good", "neg": "bad"}
SOURCE = "<soft*3 name=task from=text from_by=states> <text> It was <mask>"

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # few epochs


def classifier(backbone, template=SOURCE, **parameters):
    return PromptClassifier(backbone, template, WORDS, epochs=2, random_state=0).set_params(
        **{"training__target_loss": 0.0, "training__from_learning_rate": 0.05, **parameters}
    )


@pytest.fixture
def computed(monkeypatch):
    """The texts whose states are computed, by their token ids, and the batches in which they are."""
    batches = []
    compute = field_vectors.mean_states_of_ids

    def counted(backbone, sequences):
        batches.append([tuple(ids) for ids in sequences])
        return compute(backbone, sequences)

    monkeypatch.setattr(field_vectors, "mean_states_of_ids", counted)
    return batches


def test_the_states_of_a_text_are_computed_once_in_a_fit_and_once_in_a_prediction(computed):
    task = Task("bert", f"<soft*2 layers=1> {SOURCE}", texts=8)
    task.fit(early_stopping=True)
    backbone = task.backbone
    ids = {tuple(backbone.tokenizer(text)["input_ids"]) for text in models.SENTENCES[:8]}
    assert [sorted(batch) for batch in computed] == [sorted(ids)]
    clf = classifier(backbone).fit(TEXTS, LABELS)
    ids = {tuple(backbone.tokenizer(text)["input_ids"]) for text in TEXTS if text}
    computed.clear()
    probabilities = clf.predict_proba([*TEXTS, *TEXTS])
    assert [sorted(batch) for batch in computed] == [sorted(ids)]
    np.testing.assert_allclose(probabilities[:8], probabilities[8:], atol=1e-5)
    np.testing.assert_allclose(clf.predict_proba(TEXTS[:1]), probabilities[:1], atol=1e-5)
    assert np.ptp(probabilities[:6, 0]) > 1e-3


def test_they_are_those_of_nearest_demonstrations():
    backbone, texts = models.backbone("bert"), models.SENTENCES[:4]
    ids = [tuple(backbone.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
    states = field_vectors.states_of_texts(backbone, ids)
    torch.testing.assert_close(torch.stack([states[text] for text in ids]), mean_states(backbone, texts))


@pytest.mark.parametrize("scale", [1.0, 50.0])
def test_steps_of_the_first_layer_are_in_units_of_their_root_mean_square(scale, monkeypatch):
    compute = field_vectors.mean_states_of_ids
    monkeypatch.setattr(field_vectors, "mean_states_of_ids", lambda *args: scale * compute(*args))
    task = Task("bert", SOURCE, texts=8)
    soft = task.soft()
    task.fit(soft=soft, epochs=1, batch_size=8, from_learning_rate=0.01)
    rms = float(scale * mean_states(task.backbone, models.SENTENCES[:8]).square().mean().sqrt())
    assert soft.state_units == {"text": pytest.approx(rms, rel=1e-4)}
    bound = 32**-0.5 / rms
    assert 0.9 * bound < soft.networks["task/down"].abs().max() < bound + 1.01 * 0.01 / rms


@pytest.mark.parametrize("architecture", ["gpt2", "albert", "t5"])
def test_saved_loaded_trained_further_and_scored_with_others(tmp_path, architecture, computed):
    backbone = models.backbone(architecture)
    clf = classifier(backbone).fit(TEXTS, LABELS)
    expected = clf.predict_proba(TEXTS)
    shapes = {
        "task": (3, backbone.width),
        "from/task/down": (16, 32),
        "from/task/up": (3, backbone.width, 16),
    }
    again = reload(clf, tmp_path / "prompt", shapes, TEXTS)
    other = classifier(backbone, "<soft*2 from=text> <text> So <soft from=text from_by=states> <mask>")
    other.fit(TEXTS, LABELS)
    alone = other.predict_proba(TEXTS)
    computed.clear()
    together = PromptSet([clf.prompt_, other.prompt_], backbone).predict_proba(TEXTS)
    assert sum(map(len, computed)) == len({ids for batch in computed for ids in batch})
    for own, expected_alone in zip(together, (expected, alone), strict=True):
        np.testing.assert_allclose(own, expected_alone, atol=1e-5)
    again.set_params(warm_start=True, learning_rate=1e-9, training__from_learning_rate=1e-12).fit(TEXTS[:4], LABELS[:4])
    np.testing.assert_allclose(again.predict_proba(TEXTS), expected, atol=1e-5)


def test_members_of_an_ensemble_are_scored_and_saved(tmp_path):
    backbone = models.backbone("gpt2")
    members = [classifier(backbone), classifier(backbone, random_state=1), classifier(backbone, "<text> So <mask>")]
    ensemble = PromptEnsemble(members).fit(TEXTS, LABELS)
    expected = ensemble.predict_proba(TEXTS)
    alone = np.mean([member.fit(TEXTS, LABELS).predict_proba(TEXTS) for member in members], 0)
    np.testing.assert_allclose(expected, alone, atol=1e-4)
    ensemble.save(tmp_path / "ensemble")
    again = PromptEnsemble.load(tmp_path / "ensemble", backbone)
    np.testing.assert_allclose(again.predict_proba(TEXTS), expected, atol=1e-6)


def test_an_interrupted_fit_ends_where_another_does(tmp_path):
    task = Task("gpt2", "<soft*3 from=text from_by=states> <text> <soft*2> It was <mask>", texts=8)
    options = {"epochs": 3, "average_last_epochs": 2, "from_learning_rate": 0.05}
    expected, _ = task.fit(**options)
    soft, _ = task.resume(tmp_path / "progress", **options)
    assert (expected.networks["#1/up"] != 0).all()
    for name, weight in expected.state_dict().items():
        assert torch.equal(soft.state_dict()[name], weight)


@pytest.mark.parametrize("texts", [["It was good."], ["", ""]])
def test_one_text_and_none(texts):
    clf = classifier(models.backbone("bert")).fit([*texts, *texts], LABELS[: 2 * len(texts)])
    assert np.isfinite(clf.predict_proba(TEXTS)).all()


def test_states_of_another_width_fit_no_model():
    backbone = models.backbone("bert")
    clf = classifier(backbone).fit(TEXTS[:4], LABELS[:4])
    networks = clf.prompt_.networks | {"task/down": torch.ones(16, 8)}
    prompt = Prompt(**{**vars(clf.prompt_), "networks": networks})
    with pytest.raises(ArtifactError, match=r"tensor 'from/task/down' of this prompt has width 8, and .* has 32"):
        PromptSet([prompt], backbone)


def test_it_is_shown():
    template = Template("<soft*2 from=text from_by=states><text><mask>")
    assert str(template) == "<soft*2 from=text from_by=states><text><mask>"
    assert "with a part that depends on the model's states of the field text" in template._repr_html_().replace(
        "&#x27;", "'"
    )
    assert filled(template, {"text": "好"})[0] == ("soft", "◆◆←text:states")
