"""Training on the likelihood of answers, against plain transformers."""

import pytest
import torch
from sklearn.base import clone
from support import models
from support.training_task import interrupt_at, options

from softcloze import PromptGenerator
from softcloze.heads import AnswerHead
from softcloze.prompt import CompiledGenerator
from softcloze.scoring import compute_features
from softcloze.soft import SoftVectors
from softcloze.template import Template
from softcloze.training import Checkpoint, TrainingTask, train

PAIRS = [
    ("It was good, and the acting was good too.", "good acting"),
    ("A dull film about dull people, and far too long.", "dull"),
    ("这部电影很好，演员也很好。", "很好"),
    ("I liked the story, the cast and the music.", ""),
    ("It was bad, and the story was bad as well.", "a bad story"),
    ("In all, a positive review of a wonderful book.", "wonderful"),
]
TEXTS, ANSWERS = map(list, zip(*PAIRS, strict=True))
FRONT, BEHIND = "<soft*2>Review: <text>\nIn short: <answer>\n", "<text> In short <soft*2>:<answer>"
MIDDLE = "<soft*2> <text> It was <answer> ."


class Task:
    """A template compiled for a model, with vectors and the encoded pairs."""

    def __init__(self, architecture, template):
        self.backbone = models.backbone(architecture)
        self.compiled = CompiledGenerator(Template(template), self.backbone)
        self.prompts = self.compiled.encode(TEXTS, answers=ANSWERS)
        count = self.compiled.template.soft_count
        noise = torch.randn(count, self.backbone.width, generator=torch.Generator().manual_seed(0))
        self.soft = SoftVectors(self.compiled.template.blocks, noise * self.backbone.embedding_rms)
        self.lengths = torch.tensor([len(prompt.answer) for prompt in self.prompts])

    def fit(self, checkpoint=None, **changes):
        task = TrainingTask(self.soft, AnswerHead(), self.compiled.scorer({}), self.prompts, self.lengths)
        return train([task], checkpoint=checkpoint, **options(**changes))

    def plain_loss(self, prompt):
        """The loss of plain transformers with labels, summed over the answer."""
        model, embed = self.backbone.model, self.backbone.model.get_input_embeddings()
        opening = self.compiled.plan.opening(prompt)

        def embedded(ids):
            rows = [self.soft.weight[-1 - i] if i < 0 else embed(torch.tensor(i)) for i in ids]
            return torch.stack(rows)[None]

        if opening.source:
            start = list(opening.ids[1:])
            labels = torch.tensor([[-100] * len(start) + list(prompt.answer)])
            decoder = torch.tensor([[*opening.ids, *prompt.answer[:-1]]])
            loss = model(inputs_embeds=embedded(opening.source), decoder_input_ids=decoder, labels=labels).loss
        else:
            labels = torch.tensor([[-100] * len(prompt.left) + list(prompt.answer)])
            loss = model(inputs_embeds=embedded((*prompt.left, *prompt.answer)), labels=labels).loss
        return loss * len(prompt.answer)


CASES = [
    *[(architecture, template) for architecture in ("gpt2", "llama", "gemma3_text") for template in (FRONT, BEHIND)],
    ("t5", MIDDLE),
    ("t5", BEHIND),
    ("bart", BEHIND),
]


@pytest.mark.parametrize(("architecture", "template"), CASES)
def test_the_likelihood_of_an_answer_is_that_of_transformers(architecture, template):
    task = Task(architecture, template)
    with torch.no_grad():
        expected = torch.stack([-task.plain_loss(prompt) for prompt in task.prompts])
        scores = compute_features(task.compiled.scorer({}), task.prompts, task.soft.inputs())[:, 0]
    torch.testing.assert_close(scores, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("architecture", "template"), [("llama", FRONT), ("llama", BEHIND), ("t5", MIDDLE)])
def test_the_first_step_has_the_gradient_of_plain_autograd(architecture, template):
    task = Task(architecture, template)
    loss = torch.stack([task.plain_loss(prompt) for prompt in task.prompts]).sum() / task.lengths.sum()
    (expected,) = torch.autograd.grad(loss, task.soft.weight)
    before = task.soft.weight.detach().clone()
    gradients = []
    task.soft.weight.register_hook(lambda gradient: gradients.append(gradient.clone()))
    history = task.fit(epochs=1, batch_size=len(PAIRS))
    torch.testing.assert_close(sum(gradients), expected, atol=1e-4, rtol=1e-3)
    assert history[0]["loss"] == pytest.approx(float(loss.detach()), abs=1e-4)
    assert not torch.equal(before, task.soft.weight)


def test_what_stands_before_the_first_slot_is_computed_once():
    task = Task("llama", BEHIND)
    cached, lengths, rows = [], [], []
    head = task.backbone.model.get_output_embeddings()
    forward = type(task.backbone.model.model).forward

    def counted(self, *arguments, **inputs):
        lengths.append(inputs["inputs_embeds"].shape[1])
        return forward(self, *arguments, **inputs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(task.backbone.model.model), "forward", counted)
        hook = head.register_forward_hook(lambda *given: rows.append(given[2].shape[:-1].numel()))
        training = TrainingTask(task.soft, AnswerHead(), task.compiled.scorer({}), task.prompts, task.lengths)
        train([training], on_cached=cached.append, **options(epochs=2, batch_size=2))
        hook.remove()
    assert sum(rows[-6:]) == 2 * int(task.lengths.sum())  # the head runs at the tokens of the answers alone
    assert cached[0].lengths.tolist() == [prompt.left.index(-1) for prompt in task.prompts]
    tail = max(len(prompt.left) - prompt.left.index(-1) + len(prompt.answer) for prompt in task.prompts)
    assert max(lengths[-6:]) <= tail


def test_the_mean_is_over_the_tokens_of_a_batch_however_it_is_split():
    head = AnswerHead()
    scores, lengths = torch.tensor([[-6.0], [-2.0], [-1.0]]), torch.tensor([3, 1, 1])
    parts = sum(head.loss(scores[rows], lengths[rows]) * head.size(lengths[rows]) for rows in ([0], [1, 2]))
    assert parts / head.size(lengths) == head.loss(scores, lengths) == 9 / 5


def test_an_interrupted_fit_ends_where_another_does(tmp_path):
    whole = Task("gpt2", FRONT)
    expected = whole.fit()
    checkpoint = Checkpoint(tmp_path, "a" * 64)
    with pytest.raises(KeyboardInterrupt):
        Task("gpt2", FRONT).fit(checkpoint=checkpoint, on_epoch=interrupt_at(2))
    resumed = Task("gpt2", FRONT)
    history = resumed.fit(checkpoint=checkpoint)
    assert torch.equal(resumed.soft.weight, whole.soft.weight)
    assert [record["loss"] for record in history] == [record["loss"] for record in expected]
    assert "accuracy" not in history[0]


def test_held_out_answers_stop_the_training():
    history = Task("gpt2", FRONT).fit(
        early_stopping=True, epochs=30, learning_rate=2.0, n_iter_no_change=1, validation_fraction=0.34
    )
    losses = [record["validation_loss"] for record in history]
    assert len(losses) < 30
    assert losses[-1] >= min(losses)


@pytest.mark.parametrize("architecture", ["bart", "mbart"])
def test_a_forced_first_token_precedes_given_answers_as_it_does_written_ones(architecture):
    """In place of the tokenizer's own, and not scored; the model's likelihood is that of transformers' labels."""
    backbone = models.backbone(architecture)
    forced = backbone.prompt_tokenizer.ids("good")[0]
    end = CompiledGenerator(Template("<text><answer>"), backbone).ends[0]
    generator = PromptGenerator(backbone, "<text><answer>", options={"forced_bos_token_id": forced})
    for text, answer, found in zip(TEXTS, ANSWERS, generator.log_likelihood(TEXTS, ANSWERS), strict=True):
        ids = [*backbone.prompt_tokenizer.ids(answer), end]
        source = backbone.tokenizer(text, return_tensors="pt", return_token_type_ids=False)
        decoder = torch.tensor([[backbone.decoder_start, forced, *ids[:-1]]])
        with torch.no_grad():
            loss = backbone.model(**source, decoder_input_ids=decoder, labels=torch.tensor([[-100, *ids]])).loss
        assert found == pytest.approx(-loss.item(), abs=1e-4)
    plain = PromptGenerator(backbone, "<text><answer>").log_likelihood(TEXTS, ANSWERS)
    assert abs(plain - generator.log_likelihood(TEXTS, ANSWERS)).min() > 1e-4
    trained = clone(generator).set_params(template="<soft*1 init=It> <text><answer>", epochs=1, learning_rate=1e-9)
    first = trained.set_params(batch_size=len(TEXTS)).fit(TEXTS, ANSWERS).history_[0]["loss"]
    counts = [len(backbone.prompt_tokenizer.ids(answer)) + 1 for answer in ANSWERS]
    assert first == pytest.approx(-(trained.log_likelihood(TEXTS, ANSWERS) @ counts) / sum(counts), abs=1e-4)
