"""Training of soft vectors that enter at later layers."""

import numpy as np
import pytest
import torch
from support import models
from support.deep_reference import logits
from support.training_task import Task

from softcloze import Prompt, PromptClassifier, PromptSet, Template
from softcloze.errors import ArtifactError, ParameterError, TemplateSyntaxError
from softcloze.heads import WordHead
from softcloze.soft import SoftVectors, layer_rms

DEPTH = 4
TEXTS, LABELS = models.SENTENCES[:8], ["pos", "neg"] * 4
WORDS = {"pos": "good", "neg": "bad"}


def task_of(architecture, source, texts=4):
    return Task(models.backbone(architecture, layers=DEPTH), source, texts=texts)


def batch_loss(task, soft):
    head, scorer = WordHead(task.verbalizer), task.scorer
    scores = head.label_scores(scorer.batch(task.prompts, soft.inputs()))
    return head.loss(scores, torch.tensor(task.targets))


@pytest.mark.parametrize("mode", ["add", "replace"])
@pytest.mark.parametrize("architecture", ["gpt2", "gemma3_text", "albert", "t5"])
def test_gradients_of_every_slot_and_layer(architecture, mode):
    task = task_of(architecture, f"<soft*2 layers=all mode={mode}> <text> <soft layers=2> It was <mask>")
    soft = task.soft()
    with task.backbone.frozen():
        batch_loss(task, soft).backward()
        assert soft.deep.shape == (3 * 2 + 1, 32)
        assert (soft.deep.grad.abs().max(-1).values > 1e-7).all()
        soft.validate_gradient()
        step = 3e-3
        for vector, number in enumerate(soft.deep.grad.abs().argmax(-1).tolist()):
            losses = []
            for sign in (1, -1):
                with torch.no_grad():
                    soft.deep[vector, number] += sign * step
                    losses.append(float(batch_loss(task, soft)))
                    soft.deep[vector, number] -= sign * step
            expected = (losses[0] - losses[1]) / (2 * step)
            assert float(soft.deep.grad[vector, number]) == pytest.approx(expected, rel=0.05, abs=5e-5)


def plain_fit(task, architecture, epochs, learning_rate, deep_learning_rate):
    """AdamW on one example and one word at a time, by plain transformers with wrapped layers."""
    backbone, (block,) = task.backbone, task.blocks
    with torch.no_grad():
        states = [
            models.hidden_states_of(
                backbone.model,
                inputs_embeds=torch.stack(
                    [
                        task.initial[-1 - i] if i < 0 else backbone.model.get_input_embeddings()(torch.tensor(i))
                        for i in prompt.left
                    ]
                )[None],
            )
            for prompt in task.prompts
        ]
    units = [
        torch.cat([of_prompt[layer][0].square().mean(-1).sqrt() for of_prompt in states]).median()
        for layer in range(DEPTH)
    ]
    weight = torch.nn.Parameter(task.initial.clone())
    deep = [torch.nn.Parameter(vectors / units[i]) for i, vectors in enumerate(task.deep[block.key], start=1)]
    rates = [learning_rate * backbone.embedding_rms, *[deep_learning_rate] * len(deep)]
    groups = [{"params": [own], "lr": rate} for own, rate in zip([weight, *deep], rates, strict=True)]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
    for step in range(epochs):
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * (epochs - step) / epochs
        rows = []
        for prompt in task.prompts:
            words = []
            for word in task.words:
                row = [*prompt.left, *word]
                entering = {i: (own * units[i], ()) for i, own in enumerate(deep, start=1)}
                logs = logits(backbone, architecture, row, weight, entering).log_softmax(-1)
                words.append(sum(logs[at - 1, row[at]] for at in range(len(prompt.left), len(row))))
            bad, good, great = (word.double() for word in words)
            rows.append(torch.stack([bad, torch.stack([good, great]).exp().mean().log()]))
        loss = torch.nn.functional.cross_entropy(torch.stack(rows), torch.tensor(task.targets))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    backbone.model.zero_grad(set_to_none=True)
    return weight.detach(), torch.stack([own.detach() * units[i] for i, own in enumerate(deep, start=1)])


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_a_fit_equals_plain_torch(architecture):
    task = task_of(architecture, "<soft*2 layers=all> <text> It was <mask>")
    rates = {"learning_rate": 0.1, "deep_learning_rate": 0.06}
    soft, _ = task.fit(epochs=3, batch_size=4, warmup_fraction=0.0, max_grad_norm=1e9, **rates)
    weight, deep = plain_fit(task, architecture, 3, 0.1, 0.06 / (DEPTH - 1))
    for own, expected, initial in (
        (soft.weight.detach(), weight, task.initial),
        (soft.deep_by_block()["#1"], deep, task.deep["#1"]),
    ):
        moved = float((expected - initial).abs().max())
        assert moved > 0.01
        # Adam divides by the gradient's size: where that is next to nothing, rounding decides
        assert torch.isclose(own, expected, atol=2e-3 * moved, rtol=2e-3).float().mean() > 0.95


@pytest.mark.parametrize(
    "source", ["<soft*2 layers=all> <text> It was <mask>", "<text> <soft*2 layers=2> It was <mask>"]
)
def test_an_interrupted_fit_ends_where_another_does(tmp_path, source):
    task = task_of("gpt2", source)
    expected, history = task.fit(epochs=3)
    soft, resumed = task.resume(tmp_path / "progress", epochs=3)
    assert torch.equal(soft.deep, expected.deep)
    assert torch.equal(soft.weight, expected.weight)
    assert [record["loss"] for record in resumed] == [record["loss"] for record in history]


def test_a_slot_that_enters_late_keeps_its_first_embeddings():
    task = task_of("bert", "<soft*2> <text> <soft*3 layers=2-3> It was <mask>")
    soft, _ = task.fit(epochs=2)
    assert torch.equal(soft.weight[2:], task.initial[2:])
    assert not torch.isclose(soft.weight[:2], task.initial[:2]).any(-1).all()
    assert (soft.deep_by_block()["#2"] != task.deep["#2"]).any(-1).all()


def test_layer_rms_is_that_of_the_hidden_states_of_transformers():
    task = task_of("bert", "<soft*2 layers=all> <text> It was <mask>")
    prompt, backbone = task.prompts[0], task.backbone
    ids = [*prompt.left, backbone.prompt_tokenizer.mask_id, *prompt.right]
    embed = backbone.model.get_input_embeddings()
    rows = torch.stack([task.initial[-1 - i] if i < 0 else embed(torch.tensor(i)) for i in ids])
    with torch.no_grad():
        states = models.hidden_states_of(backbone.model, inputs_embeds=rows[None])[:DEPTH]
        rms = layer_rms(backbone, [prompt], task.soft().inputs())
    expected = torch.stack([layer[0].square().mean(-1).sqrt().median() for layer in states])
    torch.testing.assert_close(rms, expected)


def classifier(backbone, template, **parameters):
    return PromptClassifier(backbone, template, WORDS, epochs=1, random_state=0).set_params(**parameters)


def test_replaced_states_start_from_their_means():
    backbone = models.backbone("gpt2", layers=DEPTH)
    clf = classifier(backbone, "<text> <soft*2 layers=all mode=replace> It was <mask>", learning_rate=1e-9)
    clf.set_params(training__deep_learning_rate=1e-9).fit(TEXTS, LABELS)
    prompts = clf._bound_prompt().encode(TEXTS)
    with torch.no_grad():
        rows = [
            torch.stack(
                [
                    clf.prompt_.vectors["#1"][-1 - i]
                    if i < 0
                    else backbone.model.get_input_embeddings()(torch.tensor(i))
                    for i in prompt.left
                ]
            )
            for prompt in prompts
        ]
        states = [
            torch.stack(models.hidden_states_of(backbone.model, inputs_embeds=row[None])[1:DEPTH])[
                :, 0, [i for i, token in enumerate(prompt.left) if token < 0]
            ]
            for row, prompt in zip(rows, prompts, strict=True)
        ]
    torch.testing.assert_close(clf.prompt_.deep["#1"], torch.stack(states).mean(0), atol=1e-4, rtol=1e-4)


def test_saved_loaded_and_scored_together(tmp_path):
    backbone = models.backbone("gpt2", layers=DEPTH)
    templates = [
        "<soft*2 layers=all> <text> It was <mask>",
        "<text> <soft*2 layers=2 mode=replace> It was <mask>",
        "<soft*3> <text> It was <mask>",
    ]
    fitted = [classifier(backbone, template).fit(TEXTS, LABELS) for template in templates]
    alone = [clf.predict_proba(TEXTS) for clf in fitted]
    for i, (clf, expected) in enumerate(zip(fitted, alone, strict=True)):
        clf.save(tmp_path / f"{i}")
        again = PromptClassifier.load(tmp_path / f"{i}", backbone)
        np.testing.assert_array_equal(again.predict_proba(TEXTS), expected)
    together = PromptSet([clf.prompt_ for clf in fitted], backbone).predict_proba(TEXTS)
    for own, expected in zip(together, alone, strict=True):
        np.testing.assert_allclose(own, expected, atol=1e-5)
    assert {key: tuple(of_block.shape) for key, of_block in fitted[0].prompt_.deep.items()} == {"#1": (3, 2, 32)}
    deeper = models.backbone("gpt2", layers=DEPTH + 1)
    prompt = Prompt.load(tmp_path / "0")
    changed = Prompt(**{**vars(prompt), "fingerprint": deeper.fingerprint})
    with pytest.raises(ArtifactError, match="tensor 'deep/#1' of this prompt is for 3 layers, and gpt2 has 4 for it"):
        changed.validate_backbone(deeper)


def test_a_deep_prompt_starts_from_a_shallow_one_and_from_a_deep_one():
    backbone = models.backbone("gpt2", layers=DEPTH)
    shallow = classifier(backbone, "<soft*2 name=task> <text> It was <mask>").fit(TEXTS, LABELS)
    deep = classifier(backbone, "<soft*2 name=task layers=all> <text> It was <mask>", soft_init=shallow.prompt_)
    deep.set_params(learning_rate=1e-9, training__deep_learning_rate=1e-9).fit(TEXTS, LABELS)
    np.testing.assert_allclose(deep.predict_proba(TEXTS), shallow.predict_proba(TEXTS), atol=1e-5)
    deep.set_params(learning_rate=0.1, training__deep_learning_rate=0.1).fit(TEXTS, LABELS)
    other = classifier(backbone, "<soft*2 name=task layers=all> So: <text> It was <mask>", soft_init=deep.prompt_)
    other.set_params(learning_rate=1e-9, training__deep_learning_rate=1e-9).fit(TEXTS, LABELS)
    torch.testing.assert_close(other.prompt_.deep["task"], deep.prompt_.deep["task"], atol=1e-6, rtol=1e-5)
    late = classifier(backbone, "<soft*2 name=task layers=2> <text> It was <mask>", soft_init=deep.prompt_)
    with pytest.raises(ParameterError, match=r"enters at layers 2, but at all .*write <soft\*2 name=task layers=all>"):
        late.fit(TEXTS, LABELS)


@pytest.mark.parametrize("layers", ["4", "2-4"])
def test_a_layer_that_the_model_lacks(layers):
    backbone = models.backbone("bert", layers=DEPTH)
    clf = classifier(backbone, f"<text> <soft*2 layers={layers}> It was <mask>")
    with pytest.raises(TemplateSyntaxError) as caught:
        clf.fit(TEXTS, LABELS)
    assert caught.value.problem == f"soft block '#1' enters at layers {layers}, and bert has the layers 0 to 3"
    assert caught.value.source[caught.value.start : caught.value.end] == f"<soft*2 layers={layers}>"


def test_vectors_of_other_layers_raise():
    task = task_of("bert", "<soft*2 layers=1-2> <text> It was <mask>")
    vectors = {"#1": task.initial}
    for deep in ({}, {"#1": torch.zeros(3, 2, 32)}, {"#1": torch.zeros(2, 1, 32)}):
        with pytest.raises(
            ParameterError, match="soft block '#1' has 2 vectors at layers 1-2, and the vectors at later"
        ):
            SoftVectors.from_blocks(task.blocks, vectors, deep)


def test_templates_show_the_layers():
    template = Template("<soft*2 layers=1-2 mode=replace><text><mask>")
    assert str(template) == "<soft*2 layers=1-2 mode=replace><text><mask>"
    assert "at layers 1-2, replacing the hidden states" in template._repr_html_()
