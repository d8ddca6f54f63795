"""A prompt without each of its vectors, against plain transformers and against templates with a slot less."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, logsumexp
from support import models

from softcloze import PromptClassifier, RuleVerbalizer, Template
from softcloze.analysis import delete_vectors
from softcloze.calibration import LabelBias
from softcloze.errors import DataError, ParameterError, SoftclozeError
from softcloze.prompt import BoundPrompt

WORDS = {"bad": "bad", "good": ["good", "great"]}
CHINESE = {"bad": "差", "good": ["好", "满意"]}
TEXTS = [*models.SENTENCES[4:10], *models.SENTENCES[14:16]]
LABELS = ["good", "bad"] * 4

CASES = [
    ("bert", "<soft*3> <text> It was <mask>.", WORDS),
    ("bert", "<text> 总之，很<mask>。<soft*2>", CHINESE),
    ("gpt2", "<soft*3> Review: <text> It was <mask>", WORDS),
    ("gpt2", "<text> <soft*3> 总之，很<mask>", CHINESE),  # the text is read once
    ("gpt2", "<text><soft><mask>", WORDS),  # nothing is left between what is read once and the mask
    ("llama", "<text> <soft*2 name=a> It was <soft*2 name=a><soft*1><mask>", WORDS),  # a block at two places
    ("llama", "<soft*2> <text> It was <mask>, I think<soft>.", WORDS),
    ("gemma3_text", "<text> 总之，很<soft*2><mask>", CHINESE),
]
IDS = [f"{architecture} {source}" for architecture, source, _ in CASES]


def outcomes(clf, slot=None):
    """By plain transformers without this slot: which rows are right, and -log of the right label."""
    prompt, backbone = clf.prompt_, clf.backbone_
    bound = BoundPrompt(prompt, backbone)
    vectors = torch.cat([prompt.vectors[block.key] for block in bound.compiled.template.blocks])
    right, losses = [], []
    for encoded, label in zip(bound.encode(TEXTS), LABELS, strict=True):
        left, last = ([i for i in piece if i != slot] for piece in (encoded.left, encoded.right))
        rest = SimpleNamespace(left=left, right=last)
        with torch.no_grad():
            words = models.word_scores(
                backbone.model, rest, bound.compiled.words, vectors, backbone.prompt_tokenizer.mask_id
            )
        parts = np.split(words.double().numpy(), np.cumsum([len(own) for own in prompt.verbalizer.words])[:-1])
        logs = log_softmax([logsumexp(own) - np.log(len(own)) for own in parts])
        at = prompt.verbalizer.labels.index(label)
        right.append(logs.argmax() == at)
        losses.append(-logs[at])
    return np.array(right), np.array(losses)


def check(clf):
    found = delete_vectors(clf, TEXTS, LABELS)
    right, losses = outcomes(clf)
    assert (found.rows, found.whole.accuracy) == (8, pytest.approx(right.mean()))
    assert found.whole.log_loss == pytest.approx(losses.mean(), abs=1e-4)
    assert len(found.vectors) == sum(map(len, clf.prompt_.vectors.values()))
    for row, own in enumerate(found.vectors):
        other_right, other_losses = outcomes(clf, -1 - row)
        assert (own.lost, own.gained) == ((right & ~other_right).sum(), (~right & other_right).sum())
        assert own.score.accuracy == pytest.approx(other_right.mean())
        assert own.accuracy_change == pytest.approx(other_right.mean() - right.mean())
        assert own.score.log_loss == pytest.approx(other_losses.mean(), abs=1e-4)
        assert own.log_loss_change == pytest.approx(other_losses.mean() - losses.mean(), abs=1e-4)
        error = np.std(other_losses - losses, ddof=1) / np.sqrt(8)
        assert own.log_loss_error == pytest.approx(error, abs=1e-4)
        assert abs(own.log_loss_change) > 1e-4  # every vector matters to models like these


@pytest.mark.parametrize(("architecture", "source", "table"), CASES, ids=IDS)
def test_against_plain_transformers(soft_prompt, architecture, source, table):
    check(soft_prompt(architecture, source, table))


def test_a_real_model(soft_prompt, bert_tiny):
    check(soft_prompt(bert_tiny, "<soft*2> It was <mask>. <text>", WORDS))


RULES = RuleVerbalizer({"good": {"how": "good", "far": "great"}, "bad": {"how": "bad", "far": "terrible"}})


@pytest.mark.parametrize(
    ("architecture", "source", "table", "calibration"),
    [
        ("bert", "<soft*3><text> <sep> It was <soft*2> <mask>.", WORDS, None),  # two token types
        ("bert", "<soft*3> <text> <mask name=how> <soft*2> and <mask name=far>.", RULES, None),
        ("gpt2", "<soft*3> <text> <soft*2> <mask name=how> and <mask name=far>", RULES, None),
        ("gpt2", "<text> <soft*3> It <soft*2> was <mask>", WORDS, LabelBias("batch", (0.5, -1.0))),
    ],
)
def test_it_is_the_template_with_a_slot_less(soft_prompt, tmp_path, architecture, source, table, calibration):
    clf = soft_prompt(architecture, source, table, calibration=calibration)
    whole = delete_vectors(clf, TEXTS, LABELS)
    for place, own in enumerate(whole.vectors):
        vectors = dict(clf.prompt_.vectors)
        left = len(vectors[own.block]) - 1
        vectors[own.block] = torch.cat([vectors[own.block][: own.position - 1], vectors[own.block][own.position :]])
        template = Template(source.replace(f"<soft*{left + 1}>", f"<soft*{left}>"))
        replace(clf.prompt_, template=template, vectors=vectors).save(tmp_path / f"{place}")
        shorter = PromptClassifier.load(tmp_path / f"{place}", clf.backbone_)
        chances = shorter.predict_proba(TEXTS)[np.arange(8), [shorter.classes_.tolist().index(y) for y in LABELS]]
        assert own.score.accuracy == pytest.approx(shorter.score(TEXTS, LABELS))
        assert own.score.log_loss == pytest.approx(-np.log(chances).mean(), abs=1e-4)


def test_what_stands_before_the_slots_is_read_once(soft_prompt):
    clf = soft_prompt("gpt2", "<text> <soft*3><mask>", WORDS)
    texts = [f"{'good ' * 30}{digit}" for digit in range(8)]
    read = []
    hook = clf.backbone_.model.register_forward_pre_hook(
        lambda _, args, inputs: read.append(inputs["inputs_embeds"][..., 0].numel()), with_kwargs=True
    )
    try:
        delete_vectors(clf, texts, LABELS)
    finally:
        hook.remove()
    once = sum(len(prompt) for prompt in BoundPrompt(clf.prompt_, clf.backbone_).encode(texts))
    assert sum(read) < 2 * once  # for four passes


def test_the_model_stays_as_it_was(soft_prompt):
    clf = soft_prompt("llama", "<text> <soft*2><mask>", WORDS)
    before = {name: tensor.clone() for name, tensor in clf.backbone_.model.state_dict().items()}
    delete_vectors(clf, TEXTS, LABELS)
    assert all(torch.equal(tensor, before[name]) for name, tensor in clf.backbone_.model.state_dict().items())
    assert all(parameter.grad is None for parameter in clf.backbone_.model.parameters())


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_heads_have_their_say():
    clf = PromptClassifier(models.backbone("bert"), "<soft*2> <text> <mask>", WORDS, head="warp", random_state=0)
    clf.fit(TEXTS, LABELS)
    assert delete_vectors(clf, TEXTS, LABELS).whole.accuracy == clf.score(TEXTS, LABELS)


THRESHOLDS = {"head": "thresholds", "head_tensors": {"slopes": torch.ones(2), "thresholds": torch.zeros(2)}}


def test_mistakes(soft_prompt):
    clf = soft_prompt("bert", "<soft*2> <text> <mask>", WORDS)
    for texts, labels, message in [
        (TEXTS, LABELS[1:], "X has 8 examples but y has 7 labels"),
        ([], [], "no examples to measure on; give at least one"),
        (
            ["x"],
            ["god"],
            r"row 0 has label 'god', which the verbalizer does not name; it has \['bad', 'good'\]; did you",
        ),
    ]:
        with pytest.raises(DataError, match=message):
            delete_vectors(clf, texts, labels)
    one = delete_vectors(clf, ["A delight."], ["good"])  # a single row has no spread
    assert {vector.log_loss_error for vector in one.vectors} == {0.0}
    with pytest.raises(SoftclozeError, match="nothing stands before <mask>"):
        delete_vectors(soft_prompt("gpt2", "<soft><mask> <text>", WORDS), TEXTS, LABELS)
    several = soft_prompt("bert", "<soft*2> <text> <mask>", WORDS, **THRESHOLDS)
    with pytest.raises(ParameterError, match="this prompt gives an example several"):
        delete_vectors(several, TEXTS, LABELS)
