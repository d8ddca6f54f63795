"""PromptSet: prompts of every kind score the same together as separately."""

import numpy as np
import pytest
import torch
from support import models

from softcloze import MultiLabelPromptClassifier, PromptClassifier, PromptSet, RuleVerbalizer, Verbalizer
from softcloze.errors import ArtifactError, DataError, FieldError, ParameterError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # models that know nothing

TEXTS, LABELS = models.SENTENCES[:8] + models.SENTENCES[14:18], ["good", "bad"] * 6
WORDS = {"good": ["good", "great"], "bad": "bad"}
RULES = RuleVerbalizer({"good": {"a": "good", "b": "film"}, "bad": {"a": "bad", "b": "story"}})


def classifiers(backbone):
    """Different templates, label words, heads, calibrations and demonstrations, in both languages."""
    last = "<text> <soft*2> It was <mask>"
    kinds = [
        (last, WORDS, {"random_state": 0}),
        (last, WORDS, {"random_state": 1, "calibration": "domain"}),
        ("<soft*2> <text> It was <mask>", Verbalizer(WORDS, length_norm="character"), {}),
        ("<text>总之，很<mask>。", {"good": "满意", "bad": "失望"}, {"calibration": "batch"}),
        ("<text> It was <mask>", WORDS, {"head": "linear"}),
        ("<text> It was a <mask name=a> <mask name=b>.", RULES, {}),
        ("<demos*2> <text> It was <mask>", WORDS, {}),
    ]
    return [
        PromptClassifier(backbone, template, words, **{"epochs": 1, "random_state": 0, **options}).fit(TEXTS, LABELS)
        for template, words, options in kinds
    ]


@pytest.mark.parametrize("architecture", ["bert", "llama"])
def test_probabilities_are_those_of_each_classifier(architecture):
    backbone = models.backbone(architecture)
    alone = classifiers(backbone)
    together = PromptSet([clf.prompt_ for clf in alone], backbone)
    found = together.predict_proba(TEXTS)
    assert len(found) == len(alone)
    for clf, probabilities in zip(alone, found, strict=True):
        np.testing.assert_allclose(probabilities, clf.predict_proba(TEXTS), atol=1e-4)
    assert len({probabilities.tobytes() for probabilities in found}) == len(found)
    assert all(parameter.requires_grad for parameter in backbone.model.parameters())
    assert [scores.shape for scores in together.label_scores([])] == [(0, 2)] * len(alone)


def test_several_labels_an_example():
    backbone = models.backbone("bert")
    both = [["good"], ["bad"], [], ["good", "bad"]] * 3
    several = MultiLabelPromptClassifier(backbone, "<text> It was <mask>", WORDS).fit(TEXTS, both)
    one = PromptClassifier(backbone, "<text> It was <mask>", WORDS).fit(TEXTS, LABELS)
    found = PromptSet([several.prompt_, one.prompt_], backbone).predict_proba(TEXTS)
    np.testing.assert_allclose(found[0], several.predict_proba(TEXTS), atol=1e-4)
    np.testing.assert_allclose(found[1], one.predict_proba(TEXTS), atol=1e-4)


def test_fields_of_all_templates():
    backbone = models.backbone("llama")
    alone = [
        PromptClassifier(backbone, template, WORDS).fit([{"text": text, "title": "A"} for text in TEXTS], LABELS)
        for template in ("<text> It was <mask>", "<title>: <text> It was <mask>")
    ]
    prompts = PromptSet([clf.prompt_ for clf in alone], backbone)
    rows = [{"text": text, "title": "The best film"} for text in TEXTS]
    for clf, probabilities in zip(alone, prompts.predict_proba(rows), strict=True):
        np.testing.assert_allclose(probabilities, clf.predict_proba(rows), atol=1e-4)
    with pytest.raises(FieldError, match=r"row 0: no field 'title'"):
        prompts.predict_proba([{"text": "A film."}])


def test_bad_arguments_raise():
    backbone = models.backbone("bert")
    with pytest.raises(DataError, match="at least one prompt"):
        PromptSet([], backbone)
    prompt = PromptClassifier(models.backbone("llama"), "<text> <mask>", WORDS).fit(TEXTS, LABELS).prompt_
    with pytest.raises(ArtifactError, match="belongs to another model"):
        PromptSet([prompt], backbone)
    with pytest.raises(ParameterError, match=r"prompts\[0\]='a', but it has to be a Prompt"):
        PromptSet(["a"], backbone)
    with pytest.raises(ParameterError, match=r"prompts\[0\]=None, but it has to be a Prompt"):
        PromptSet(None, backbone)
    with pytest.raises(ParameterError, match=r"prompts\[0\]=array\(1\), but it has to be a Prompt"):
        PromptSet(np.array(1), backbone)
    with pytest.raises(ParameterError, match=r"backbone='bert', but it has to be a Backbone"):
        PromptSet([prompt], "bert")


def test_real_texts(bert_tiny):
    alone = [PromptClassifier(bert_tiny, source, WORDS) for source in ("<text> It was <mask>.", "<mask>! <text>")]
    prompts = [clf.fit(TEXTS, LABELS).prompt_ for clf in alone]
    before = {name: tensor.clone() for name, tensor in bert_tiny.model.state_dict().items()}
    for clf, found in zip(alone, PromptSet(prompts, bert_tiny).label_scores(TEXTS), strict=True):
        np.testing.assert_allclose(found[:, 1] - found[:, 0], clf.decision_function(TEXTS), atol=1e-4)
    assert all(torch.equal(before[name], tensor) for name, tensor in bert_tiny.model.state_dict().items())
