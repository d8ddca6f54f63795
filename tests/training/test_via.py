"""Soft vectors that are the output of a network while they are trained."""

import numpy as np
import pytest
import torch
from peft import PromptEncoder, PromptEncoderConfig
from support import models
from support.training_task import Task

from softcloze import PromptClassifier
from softcloze.soft.encoder import Encoder
from softcloze.template import Template

VIAS = ["mlp", "lstm"]
TEXTS, LABELS = models.SENTENCES[:8], ["pos", "neg"] * 4


def task_of(via, architecture="gpt2"):
    return Task(architecture, f"<soft*3 via={via}> <text> <soft*2> It was <mask>", texts=8)


@pytest.mark.parametrize("via", VIAS)
def test_the_network_is_that_of_peft(via):
    width, hidden = 12, 8
    config = PromptEncoderConfig(
        encoder_reparameterization_type=via.upper(),
        encoder_hidden_size=hidden,
        num_virtual_tokens=5,
        token_dim=width,
        num_transformer_submodules=1,
        encoder_num_layers=2,
        encoder_dropout=0.0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        reference = PromptEncoder(config).eval()
    encoder = Encoder(via, width, hidden, 1.0, torch.Generator().manual_seed(0))
    own = list(encoder.parameters())
    theirs = [weight for name, weight in reference.named_parameters() if not name.startswith("embedding")]
    assert [tuple(weight.shape) for weight in own] == [tuple(weight.shape) for weight in theirs]
    with torch.no_grad():
        for weight, copied in zip(own, theirs, strict=True):
            weight.copy_(copied)
        expected = reference(torch.arange(5)[None])[0]
        torch.testing.assert_close(encoder.network(reference.embedding.weight), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(("via", "count"), [("mlp", 3 * (576 * 576 + 576)), ("lstm", 15_281_856)])
def test_number_of_weights_at_the_width_of_smollm2(via, count):
    encoder = Encoder(via, 576, 576, 1.0, torch.Generator())
    assert sum(weight.numel() for weight in encoder.parameters()) == count


@pytest.mark.parametrize("via", VIAS)
def test_the_first_step_changes_no_bit(via):
    task = task_of(via)
    soft, plain = task.soft(), task.soft()
    soft.reparameterize(16, task.backbone.embedding_rms, seed=0)
    with task.backbone.frozen():
        scores, expected = (task.scorer.batch(task.prompts, own.inputs()) for own in (soft, plain))
        assert torch.equal(scores, expected)
        for result in (scores, expected):
            result.log_softmax(-1)[:, 0].sum().backward()
    assert torch.equal(soft.weight.grad, plain.weight.grad)
    assert len(list(soft.encoders.parameters())) == (6 if via == "mlp" else 20)


@pytest.mark.parametrize("via", VIAS)
def test_a_fit_ends_with_vectors_alone(via):
    task = task_of(via)
    plain, _ = Task("gpt2", "<soft*3> <text> <soft*2> It was <mask>", texts=8).fit(epochs=2)
    soft, _ = task.fit(epochs=2, via_learning_rate=0.01)
    assert not list(soft.encoders.parameters())
    assert not torch.allclose(soft.weight[:3], plain.weight[:3], atol=1e-4)
    again, _ = task.fit(epochs=2, via_learning_rate=0.01)
    assert torch.equal(soft.weight, again.weight)
    slow, _ = task.fit(epochs=2, via_learning_rate=1e-12)
    torch.testing.assert_close(slow.weight, plain.weight, atol=1e-5, rtol=1e-5)


def test_the_mean_is_that_of_the_vectors_after_each_step():
    task = task_of("mlp")
    soft, after = task.soft(), []
    options = {"epochs": 3, "batch_size": 8, "via_learning_rate": 0.05}
    task.fit(soft=soft, on_epoch=lambda _: after.append(soft.folded().detach().clone()), **options)
    mean, _ = task.fit(average_last_epochs=2, **options)
    torch.testing.assert_close(mean.weight.detach(), torch.stack(after[-2:]).mean(0))


@pytest.mark.parametrize("via", VIAS)
@pytest.mark.parametrize("averaged", [0, 2])
def test_an_interrupted_fit_ends_where_another_does(tmp_path, via, averaged):
    task = task_of(via)
    options = {"epochs": 3, "average_last_epochs": averaged, "via_learning_rate": 0.01}
    expected, _ = task.fit(**options)
    soft, _ = task.resume(tmp_path / "progress", **options)
    assert torch.equal(soft.weight, expected.weight)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # two epochs with tiny steps
def test_saved_and_trained_further(tmp_path):
    backbone = models.backbone("bert")
    template = "<soft*3 via=lstm> <text> It was <mask>"
    clf = PromptClassifier(backbone, template, {"pos": "good", "neg": "bad"}, epochs=2, random_state=0)
    expected = clf.fit(TEXTS, LABELS).predict_proba(TEXTS)
    clf.save(tmp_path / "prompt")
    again = PromptClassifier.load(tmp_path / "prompt", backbone)
    np.testing.assert_array_equal(again.predict_proba(TEXTS), expected)
    assert {key: tuple(vectors.shape) for key, vectors in again.prompt_.vectors.items()} == {"#1": (3, 32)}
    again.set_params(warm_start=True, learning_rate=1e-9, training__via_learning_rate=1e-12).fit(TEXTS, LABELS)
    np.testing.assert_allclose(again.predict_proba(TEXTS), expected, atol=1e-5)


def test_templates_show_the_network():
    template = Template("<soft*2 via=lstm><text><mask>")
    assert str(template) == "<soft*2 via=lstm><text><mask>"
    assert "trained as the output of an LSTM" in template._repr_html_()
